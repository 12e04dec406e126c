"""Scores networks, one at a time, each from its own random stream."""

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from untrained.errors import ParameterError
from untrained.files import IMAGES
from untrained.images.minibatches import Minibatch, minibatch
from untrained.networks.plans import Planned
from untrained.proxies.base import Proxy, Status, UndefinedScore
from untrained.scoring.execution import Execution, ReadsRectifiers
from untrained.seeds import seed_sequence, torch_seeded
from untrained.spaces import SearchSpace


@dataclass(frozen=True)
class Score:
    """What a proxy says of one network.

    Attributes:
        score: natural units of the proxy; None where `status` is not "ok".
        status: "ok", or why there is no score.
        reason: the same in words; empty where the status is "ok".
        seconds: wall-clock time of building and scoring the network.
    """

    score: float | None
    status: Status
    reason: str
    seconds: float


@dataclass(frozen=True)
class MinibatchSettings:
    """Which images the networks are shown, up to the seed; see `untrained.images.minibatches`."""

    dataset: str = "cifar10"
    split: str = "sample"
    batch_size: int = 128
    augmentation: str = "none"
    root: Path = IMAGES

    def draw(self, seed: int, device: torch.device) -> Minibatch:
        """The minibatch of `seed`, on `device`."""
        drawn = minibatch(
            self.dataset, self.split, seed, self.batch_size, self.augmentation, root=self.root
        )
        return Minibatch(drawn.images.to(device), drawn.labels.to(device), drawn.num_classes)


def run_proxy(
    network: nn.Module | Planned,
    proxy: Proxy,
    batch: Minibatch,
    generator: torch.Generator,
    execution: Execution,
) -> float:
    """Read the proxy off a network, through its plan where `execution` says so.

    Raises:
        UndefinedScore: see the proxy.
        ParameterError: the fast engine was asked for, and network or proxy have none.
    """
    if isinstance(network, Planned) and isinstance(proxy, ReadsRectifiers):
        if execution.engine != "plain":
            images = batch.images.to(execution.dtype(planned=True))
            with torch.no_grad():
                readings = network.rectifier_inputs(images, dead_branches=proxy.dead_branches)
                return proxy.score_readings(readings)
    elif execution.engine == "fast":
        raise ParameterError(
            f"no fast engine for {proxy.name} of a {type(network).__name__}: take --engine auto"
        )
    if not isinstance(network, nn.Module):
        raise TypeError(f"{proxy.name} needs a module, not a plan")
    dtype = execution.dtype(planned=False)
    if dtype != torch.float32:
        network = copy.deepcopy(network).to(dtype)  # it may be the user's own
        batch = Minibatch(batch.images.to(dtype), batch.labels, batch.num_classes)
    return proxy(network, batch, generator)


def score_network(
    build: Callable[[int], nn.Module | Planned],
    proxy: Proxy,
    batch: Minibatch,
    execution: Execution,
    seed: int,
    *keys: int,
) -> Score:
    """Build a network and score it.

    Args:
        build: makes the network for a number of classes. PyTorch's generator stands on the stream
            of (seed, "weights", keys) meanwhile.
        proxy: what to read off it.
        batch: on the device of `execution`.
        execution: how the network is run.
        seed: of the weights and of whatever the proxy draws.
        keys: what tells this network's streams from those of others (its index).

    Returns:
        The score, or the status of an undefined one; running out of memory is a status too.
    """
    start = time.perf_counter()
    status: Status
    value, status, reason = None, "ok", ""
    generator = torch.Generator(execution.device)
    generator.manual_seed(int(seed_sequence(seed, "proxy", *keys).generate_state(1)[0]))
    try:
        with torch_seeded(seed, "weights", *keys):
            network = build(batch.num_classes)
            if isinstance(network, nn.Module):
                network = network.to(execution.device).train()
            value = run_proxy(network, proxy, batch, generator, execution)
        if not math.isfinite(value):
            value, status, reason = None, "non_finite", f"the proxy returned {value}"
    except UndefinedScore as undefined:
        status, reason = undefined.status, undefined.reason
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        status, reason = "out_of_memory", str(error).splitlines()[0]
    return Score(value, status, reason, time.perf_counter() - start)


def _is_out_of_memory(error: RuntimeError) -> bool:
    # on the CPU PyTorch has no type of its own for it, and words it differently per system
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: " in str(error)


def score_architectures(
    space: SearchSpace,
    indices: Sequence[int],
    proxy: Proxy,
    settings: MinibatchSettings,
    seed: int,
    execution: Execution,
) -> Iterator[Score]:
    """Score architectures of a space on one minibatch, in order, as they are asked for.

    The score of an architecture depends on (architecture, proxy, settings, seed) alone.
    """
    drawn = settings.draw(seed, execution.device)
    batch = Minibatch(
        drawn.images.to(memory_format=torch.channels_last), drawn.labels, drawn.num_classes
    )
    planned = None
    if execution.engine != "plain" and isinstance(proxy, ReadsRectifiers):
        planned = space.planned
    for index in indices:
        architecture = space[index]

        def build(num_classes: int) -> nn.Module | Planned:
            if planned is not None:
                return planned(architecture)  # noqa: B023 - called at once
            network = space.network(architecture, num_classes)  # noqa: B023 - called at once
            # twice as fast on CPUs; only networks that we built ourselves surely stand it
            return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

        yield score_network(build, proxy, batch, execution, seed, index)
