"""Scores architectures many at a time, and draws the next ones in other processes meanwhile.

Weights are drawn from each architecture's own stream, as for one that is scored alone, so a score
depends on its batch by rounding only. What a batch can't score, its members are asked for alone.
"""

import gc
import os
import pickle
import shutil
import threading
import time
import warnings
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context, parent_process
from typing import Any, Literal, NamedTuple, TypeVar, cast

import torch
from torch import Tensor

from untrained.errors import PluginError, summary
from untrained.float32 import exact_float32, float32_by_default
from untrained.images.minibatches import Minibatch
from untrained.networks.batched import Batch, prepared, run
from untrained.networks.batched_gradients import Networks
from untrained.networks.plans import draw
from untrained.plugins import blamed
from untrained.proxies.base import Setting, UndefinedScore
from untrained.scoring import execution
from untrained.scoring.execution import (
    Execution,
    MeasuresMany,
    ReadsCodes,
    ReadsKernels,
    is_out_of_memory,
    measurement_of,
    prepare_worker,
)
from untrained.seeds import torch_seeded
from untrained.spaces.base import GraphSpace, Skeleton

T = TypeVar("T")

#: How proxies are read off many networks: off kernels of codes, off codes, or by differentiating
#: them.
Kind = Literal["kernels", "codes", "gradients"]

#: Architectures of a batch; it is halved where memory runs out. Of half as many gradients are
#: taken, for which all activations of a forward pass stay in memory.
SIZE = 64

#: Fewer architectures than so many full batches are drawn in this process, since others take
#: seconds to start.
WORTH_PROCESSES = 4

#: Bytes of the weights that are drawn ahead at most. They are handed over in shared memory where
#: so much of it is free; else they are copied.
_AHEAD = 8 << 30


class Member(NamedTuple):
    """An architecture of a batch.

    Attributes:
        place: the position of its work.
        architecture: the index of the architecture.
        seed: the seed of its minibatch and weights.
        setting: the network and the images that its proxies are read off.
        proxies: its proxies.
        kind: how they are read; all proxies of a member are read alike.
    """

    place: int
    architecture: int
    seed: int
    setting: Setting
    proxies: tuple[ReadsKernels | ReadsCodes | MeasuresMany, ...]
    kind: Kind

    @property
    def dead_branches(self) -> bool:
        """Return whether branches without influence on the output count for any proxy."""
        return any(getattr(proxy, "dead_branches", False) for proxy in self.proxies)


class Values(NamedTuple):
    """The values of an architecture by its proxies, and its share of the seconds of its batch.

    These are the seconds of this process: what other processes draw meanwhile takes none.
    """

    values: list[float | UndefinedScore]
    seconds: float


class Drawn(NamedTuple):
    """The networks of a batch that could be drawn, and their positions among its members."""

    positions: list[int]
    batch: Batch


class Asked(NamedTuple):
    """What a batch is drawn from: see `Member`.

    Classes and shape (C, H, W) are those of the images; the type is that of products.
    """

    indices: list[int]
    dead_branches: list[bool]
    seed: int
    classes: int
    skeleton: Skeleton | None
    images: tuple[int, int, int]
    dtype: torch.dtype
    kind: Kind = "kernels"


class Batches:
    """Scores members in batches, each when the first of its members is asked for.

    Args:
        space: the space of the members, which has graphs if there are any.
        members: the members, in the order in which they are asked for.
        how: how networks are run.
        shown: draws the minibatch of a setting and a seed, on the device of `how`.
    """

    def __init__(
        self,
        space: object,
        members: Sequence[Member],
        how: Execution,
        shown: Callable[[Setting, int], Minibatch],
    ) -> None:
        self.space, self.how, self.shown = cast("GraphSpace", space), how, shown
        self.sizes: dict[Kind, int] = {"kernels": SIZE, "codes": SIZE, "gradients": -(-SIZE // 2)}
        alike: dict[tuple[Setting, int, Kind], list[Member]] = defaultdict(list)
        for member in members:
            alike[member.setting, member.seed, member.kind].append(member)
        batches = [
            same[start : start + self.sizes[kind]]
            for (_, _, kind), same in alike.items()
            for start in range(0, len(same), self.sizes[kind])
        ]
        # in the order in which their first members are asked for
        self._left = deque(sorted(batches, key=lambda batch: batch[0].place))
        self._found: dict[tuple[int, Setting, Kind], Values] = {}
        self._ahead: deque[Future[Drawn]] = deque()
        #: the first of them, which a thread makes ready to be sent to a GPU
        self._first: Future[Drawn] | None = None
        worth = len(members) >= WORTH_PROCESSES * SIZE
        self._processes = processes_here(how.device) if worth else 0
        self._pool: ProcessPoolExecutor | None = None
        self._thread = ThreadPoolExecutor(1)

    def __enter__(self) -> "Batches":
        if self._processes and (state := _pickled(self.space)):
            context = get_context("spawn")
            self._pool = ProcessPoolExecutor(self._processes, context, _start, (state,))
            with self._others():
                for _ in range(self._processes):
                    self._pool.submit(int)  # they start while the first batch is drawn here
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def take(self, place: int, setting: Setting, kind: Kind) -> Values | None:
        """Return the values of a member, or None where it has to be scored alone."""
        while (place, setting, kind) not in self._found and self._left:
            if self._left[0][0].place > place:
                return None
            start = time.perf_counter()
            drawn, members = self._next()
            with exact_float32():
                self._score(members, drawn, start)
        return self._found.pop((place, setting, kind), None)

    def _next(self) -> tuple[Drawn, list[Member]]:
        """Return the next batch, and begin to draw those after it."""
        members = self._left.popleft()
        drawn: Drawn | None = None
        if self._first is not None:
            with self._others():
                drawn = self._first.result()
        if drawn is None:
            drawn = _draw(self.space, self._asked(members))
        if self._pool is not None:
            room = max(1, _AHEAD // max(1, drawn.batch.weights.nbytes))
            most = min(2 * self._processes, room)
            with self._others():
                for later in list(self._left)[len(self._ahead) : most]:
                    self._ahead.append(self._pool.submit(_draw_there, self._asked(later)))
        self._first = None
        if self._ahead:
            self._first = self._thread.submit(_received, self._ahead.popleft(), self.how.device)
        return drawn, members

    @contextmanager
    def _others(self) -> Iterator[None]:
        """Do without other processes, with a warning, if a block that asks them fails."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - killed, or without memory to hand weights over
            warnings.warn(
                f"drawing weights in one process, since others failed: {summary(error)}",
                stacklevel=2,
            )
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool, self._first, self._ahead = None, None, deque()

    def _asked(self, members: list[Member]) -> Asked:
        batch = self.shown(members[0].setting, members[0].seed)
        channels, height, width = batch.images.shape[1:]
        return Asked(
            [member.architecture for member in members],
            [member.dead_branches for member in members],
            members[0].seed,
            batch.num_classes,
            members[0].setting.skeleton,
            (channels, height, width),
            self.how.dtype(planned=members[0].kind == "kernels"),
            members[0].kind,
        )

    def _score(self, members: list[Member], drawn: Drawn, start: float) -> None:
        """Score members, whose time began at `start`; in halves while memory is too small."""
        if not drawn.positions:
            return
        kind = members[0].kind
        if len(members) > self.sizes[kind]:
            for half in (members[: len(members) // 2], members[len(members) // 2 :]):
                self._score(half, _draw(self.space, self._asked(half)), start)
                start = time.perf_counter()
            return
        try:
            values = self._values(members, drawn)
        except (RuntimeError, MemoryError, PluginError) as error:
            if not is_out_of_memory(error):
                self._give_up(error)
                return
            values = None
        if values is None:  # outside of the block, whose error keeps the tensors of the batch
            if self.how.device.type == "cuda":
                torch.cuda.empty_cache()
            self.sizes[kind] = max(1, len(members) // 2)
            if len(members) > 1:
                self._score(members, drawn, start)
            return
        share = (time.perf_counter() - start) / len(drawn.positions)
        for position, found in values.items():
            member = members[position]
            self._found[member.place, member.setting, kind] = Values(found, share)

    def _give_up(self, error: Exception) -> None:
        """Leave all members to be scored alone, with a warning, if nobody asked for batches."""
        if self.how.engine != "auto":
            raise error
        warnings.warn(
            f"scoring architectures one at a time, since many at once failed: {summary(error)}",
            stacklevel=2,
        )
        self._left.clear()

    def _values(
        self, members: list[Member], drawn: Drawn
    ) -> dict[int, list[float | UndefinedScore]]:
        """Return the values of the members that were drawn, by their positions."""
        first = members[0]
        minibatch = self.shown(first.setting, first.seed)
        proxies = {proxy for member in members for proxy in member.proxies}
        if first.kind == "kernels":
            made = self._of_kernels(cast("set[ReadsKernels]", proxies), drawn, minibatch)
        elif first.kind == "codes":
            made = self._of_codes(cast("set[ReadsCodes]", proxies), drawn, minibatch)
        else:
            made = self._of_gradients(cast("set[MeasuresMany]", proxies), drawn, minibatch)
        rows = {
            proxy: dict(zip(drawn.positions, values, strict=True)) for proxy, values in made.items()
        }
        return {
            position: [rows[proxy][position] for proxy in members[position].proxies]
            for position in drawn.positions
        }

    def _of_kernels(
        self, proxies: "set[ReadsKernels]", drawn: Drawn, minibatch: Minibatch
    ) -> dict[Any, list[float | UndefinedScore]]:
        """Return the values of the networks by proxies that read kernels of codes."""
        made = {}
        with torch.no_grad():
            found = run(drawn.batch, minibatch.images.to(self.how.dtype(planned=True)))
            for proxy in proxies:
                with blamed("proxy", proxy):
                    kernels = found.modules if proxy.dead_branches else found.rectifiers
                    made[proxy] = _as_many(proxy.score_kernels(kernels), drawn)
        return made

    def _of_codes(
        self, proxies: "set[ReadsCodes]", drawn: Drawn, minibatch: Minibatch
    ) -> dict[Any, list[float | UndefinedScore]]:
        """Return the values of the networks by proxies that read codes."""
        made, images = {}, minibatch.images.to(self.how.dtype(planned=False))
        for proxy in proxies:
            with blamed("proxy", proxy):
                made[proxy] = _as_many(proxy.score_codes(drawn.batch, images), drawn)
        return made

    def _of_gradients(
        self, proxies: "set[MeasuresMany]", drawn: Drawn, minibatch: Minibatch
    ) -> dict[Any, list[float | UndefinedScore]]:
        """Return the values of the networks by proxies that differentiate them."""
        made, networks = {}, Networks(drawn.batch, self.how.device)
        shown = replace(minibatch, images=minibatch.images.to(self.how.dtype(planned=False)))
        measured: dict[Hashable, list[Any]] = {}
        for proxy in proxies:
            with blamed("proxy", proxy):
                key = measurement_of(proxy)
                if key not in measured:
                    measured[key] = _as_many(proxy.measure_many(networks, shown), drawn)
                made[proxy] = [_read(proxy, one) for one in measured[key]]
        return made


def _as_many(made: list[T], drawn: Drawn) -> list[T]:
    """Check that there is one of something for each network."""
    if len(made) != len(drawn.positions):
        raise ValueError(f"it returned {len(made)} results of {len(drawn.positions)} networks")
    return made


def _read(proxy: MeasuresMany, measured: object) -> float | UndefinedScore:
    """Return the value of a measurement, or why there is none."""
    if isinstance(measured, UndefinedScore):
        return measured
    try:
        return proxy.read(measured)
    except UndefinedScore as undefined:
        return undefined


def processes_here(device: torch.device) -> int:
    """Return how many processes may draw: this one's share of the cores, if it only scores."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    if not execution.only_scores or device.type != "cuda":
        return 0
    own = cores // max(1, torch.cuda.device_count())
    return own - 1 if own > 1 else 0


def _pickled(space: GraphSpace) -> bytes:
    """Return a space for another process; nothing where that cannot have it."""
    try:
        return pickle.dumps(space)
    except Exception:  # noqa: BLE001 - whatever a space of one's own is made of
        return b""


_space: Any = None


def _start(state: bytes) -> None:
    """Set up a process that draws architectures of a space, and ends with its parent."""
    global _space
    threading.Thread(target=_end_with_parent, daemon=True).start()
    prepare_worker()
    _space = pickle.loads(state)  # noqa: S301 - of the process that started this one
    gc.freeze()  # what stays need not be looked at each time that garbage is collected


def _end_with_parent() -> None:
    """End this process when the one that started it does, even if that is killed."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _draw_there(asked: Asked) -> Drawn:
    """Draw a batch in a process that was set up for it."""
    drawn = _draw(_space, asked)
    try:
        free = shutil.disk_usage("/dev/shm").free  # noqa: S108 - where PyTorch shares memory
    except OSError:
        free = 0
    if free > _AHEAD:
        return drawn
    return _with(drawn, lambda tensor: (tensor.view(torch.uint8).numpy(), tensor.dtype))


def _received(future: "Future[Drawn]", device: torch.device) -> Drawn:
    """Wait for a batch that another process draws, and make it ready to be sent to a device."""

    def ready(copied: Any) -> Tensor:  # noqa: ANN401 - what `_draw_there` has made of a tensor
        tensor = copied if isinstance(copied, Tensor) else torch.from_numpy(copied[0])
        own = tensor if tensor is copied else tensor.view(copied[1])
        return own.pin_memory() if device.type == "cuda" else own

    return _with(future.result(), ready)


def _with(drawn: Drawn, change: Callable[[Tensor], Any]) -> Drawn:
    """Change each tensor of a batch."""
    batch = drawn.batch
    made = {name: change(getattr(batch, name)) for name in ("weights", "learned", "indices")}
    return drawn._replace(batch=batch._replace(**made))


@float32_by_default()
def _draw(space: GraphSpace, asked: Asked) -> Drawn:
    """Draw the networks of a batch; those that cannot be drawn are left out."""
    positions, networks = [], []
    for position, index in enumerate(asked.indices):
        try:
            with torch_seeded(asked.seed, "weights", index):
                graph = space.graph(space[index], asked.classes, asked.skeleton)
                network = draw(graph, whole=asked.kind == "gradients")
        except Exception:  # noqa: BLE001, S112 - raised once more when the member is scored alone
            continue
        positions.append(position)
        networks.append(network)
    dead = [asked.dead_branches[position] for position in positions]
    logits = asked.kind == "gradients"
    batch = prepared(networks, asked.images, dead, asked.dtype, logits=logits)
    return Drawn(positions, batch)
