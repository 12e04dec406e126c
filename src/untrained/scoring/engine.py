"""Scores networks, one at a time, each from its own random stream."""

import copy
import math
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, ClassVar, TypeVar, cast

import torch
from torch import nn

from untrained.errors import ParameterError
from untrained.images.minibatches import Minibatch
from untrained.networks.plans import Planned, draw
from untrained.networks.plans import Reading as RectifierReading
from untrained.proxies.base import Proxy, Setting, SharesMeasurement, Status, UndefinedScore
from untrained.scoring.execution import Execution, ReadsRectifiers
from untrained.scoring.images import TrainingImages
from untrained.scoring.request import Reading, ScoreRequest
from untrained.seeds import seed_sequence, torch_seeded
from untrained.spaces import SearchSpace
from untrained.spaces.base import NotApplicable, Skeleton
from untrained.training.short import Diverged, Stop, WatchSteps, unwatched

T = TypeVar("T")

#: Makes a network for a number of classes.
Build = Callable[[int], nn.Module | Planned]

#: How PyTorch's allocator and oneDNN say that there is no memory left.
_OUT_OF_MEMORY = ("DefaultCPUAllocator: ", "could not create a primitive", "std::bad_alloc")

#: Into how many pieces a batch is cut, one after the other, when a plan runs out of memory.
_PIECES = (1, 4, 16)


@dataclass(frozen=True)
class Score:
    """The value of a proxy for one network.

    Attributes:
        score: the value, in the proxy's natural units; None where `status` is not "ok".
        status: "ok", or why there is no score.
        reason: the status in words; empty where it is "ok".
        seconds: wall-clock time of building and scoring the network; after training, with all of
            the training up to then, whether or not other proxies were read on the way.
    """

    __pydantic_config__: ClassVar = {"strict": True, "extra": "forbid", "allow_inf_nan": False}

    score: float | None
    status: Status
    reason: str
    seconds: float

    def __post_init__(self) -> None:
        if (self.status == "ok") == (self.score is None) or self.seconds < 0:
            raise ValueError(f"a score of {self.score} has the status {self.status}")


def score_work(
    request: ScoreRequest,
    work: Iterable[tuple[int, Sequence[Reading]]],
    seed: int,
    watch: WatchSteps = unwatched,
) -> Iterator[list[Score]]:
    """Score architectures of a space on one minibatch, in order, as they are asked for.

    The score of an architecture depends on request, architecture, proxy and seed alone. What is
    read after training is read off one training for each network and minibatch that proxies ask
    for, on the images of the split that are not held out.

    Args:
        request: the request; its proxies and seeds are not read.
        work: index of each architecture, and the proxies to score it by.
        seed: the seed of minibatch and weights.
        watch: wraps the steps of each training.

    Yields:
        For each architecture the scores by its proxies.
    """
    shown, learned = images_of_seed(request, seed, watch)
    for index, readings in work:
        found: dict[int, Score] = {}
        for setting, mine in _groups(readings).items():
            chosen = [readings[number] for number in mine]
            training = learned(setting.test_after_training) if setting.epochs else None
            subject = subject_of(request, index, chosen, seed, shown, training)
            found |= dict(zip(mine, subject.scores(chosen), strict=True))
        yield [found[number] for number in range(len(readings))]


def images_of_seed(
    request: ScoreRequest, seed: int, watch: WatchSteps
) -> tuple[Callable[[Setting], Minibatch], Callable[[bool], TrainingImages]]:
    """Return what draws the minibatch of a setting, and the images to learn; each is made once."""
    images, device = request.images, request.execution.device
    return (
        cache(lambda setting: images.draw_for(setting, seed, device)),
        cache(lambda whole: images.training_images(seed, request.training, watch, whole=whole)),
    )


def _groups(readings: Sequence[Reading]) -> dict[Setting, list[int]]:
    """Group the places of readings that one network serves by what they have in common.

    Readings before training are apart from those after it, so that neither changes the other. One
    training serves all numbers of epochs and of held-out images.
    """
    groups: dict[Setting, list[int]] = {}
    for number, setting in enumerate(reading.setting for reading in readings):
        if setting.epochs:
            leaks = setting.test_after_training
            setting = Setting(setting.skeleton, epochs=1, test_after_training=leaks)
        groups.setdefault(setting, []).append(number)
    return groups


def subject_of(
    request: ScoreRequest,
    index: int,
    readings: Sequence[Reading],
    seed: int,
    shown: Callable[[Setting], Minibatch],
    training: TrainingImages | None = None,
) -> "Subject":
    """Return the network of an architecture, as a plan where `readings` can be read off one."""
    space, execution = request.space, request.execution
    (skeleton,) = {reading.setting.skeleton for reading in readings}
    rectifiers = all(isinstance(reading.proxy, ReadsRectifiers) for reading in readings)
    planned = rectifiers and training is None and execution.engine != "plain"
    build = partial(_built, space, index, skeleton, planned=planned)
    return Subject(build, execution, seed, shown, (index,), training)


def _built(
    space: SearchSpace, index: int, skeleton: Skeleton | None, num_classes: int, *, planned: bool
) -> nn.Module | Planned:
    if planned and space.graph is not None:
        return draw(space.graph(space[index], num_classes, None))
    network = space.network(space[index], num_classes, skeleton)
    if skeleton is not None:
        return network
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


@dataclass(frozen=True, eq=False)
class Subject:
    """A network to score, and all that its scores depend on besides the proxies.

    Attributes:
        build: makes the network for a number of classes, while PyTorch's generator is seeded with
            (seed, "weights", keys).
        execution: how the network is run.
        seed: the seed of the weights and of whatever the proxies draw.
        shown: draws the minibatch of a setting, on the device of `execution`.
        keys: the index of the network, so that its random streams differ from those of others.
        training: the images that the network is trained on, once, where a proxy is read after
            training. All proxies are then read off the module.
        on_stop: called with each stop of the training.
    """

    build: Build
    execution: Execution
    seed: int
    shown: Callable[[Setting], Minibatch]
    keys: tuple[int, ...] = ()
    training: TrainingImages | None = None
    on_stop: Callable[[Stop], None] = lambda _stop: None

    def scores(self, readings: Sequence[Reading]) -> list[Score]:
        """Build the network and score it by each of several proxies.

        Args:
            readings: the proxies, of one setting but for what follows training.

        Returns:
            For each proxy the score, or the status of an undefined one; running out of memory is
            a status too, and so is a training that diverged. The time is shared among them, but
            for that of training and of building what is trained.

        Raises:
            ParameterError: a proxy is read after training, and there is nothing to train on or
                only the fast engine to run; or a minibatch can't be drawn.
        """
        for reading in readings:
            reading.check_readable()
        trained = " and ".join(reading.name for reading in readings if reading.epochs)
        if trained and self.training is None:
            raise ParameterError(f"{trained} after training: nothing is trained here, drop @epochs")
        if trained and self.execution.engine == "fast":
            # a plan takes normalisations of zeros to be zero, which holds for fresh weights only
            raise ParameterError(f"no fast engine for {trained} after training: take --engine auto")
        # before any training, which would be lost if one of them can't be drawn
        batches = {reading.setting: self.shown(reading.setting) for reading in readings}
        if trained:
            return self._scores_while_training(readings, batches)
        start, (batch, *_) = time.perf_counter(), batches.values()

        def run() -> list[float | UndefinedScore]:
            with torch_seeded(self.seed, "weights", *self.keys):
                return self._values(self._network(batch), readings, batch, self.execution)

        found = _outcome(run)
        return _scores(found, len(readings), (time.perf_counter() - start) / len(readings))

    def _scores_while_training(
        self, readings: Sequence[Reading], batches: dict[Setting, Minibatch]
    ) -> list[Score]:
        """Train the network once, and read each proxy at its number of epochs."""
        start, plain = time.perf_counter(), replace(self.execution, engine="plain")
        mine = {s: [one for one in readings if one.setting == s] for s in batches}
        made: dict[Setting, Iterator[Score]] = {}

        def read(network: nn.Module, setting: Setting) -> list[float | UndefinedScore]:
            with torch_seeded(self.seed, "reading after training", *self.keys):
                return self._values(network, mine[setting], batches[setting], plain)

        def train(training: TrainingImages) -> None:
            with torch_seeded(self.seed, "weights", *self.keys):
                network = cast("nn.Module", self._network(next(iter(batches.values()))))
            if not any(parameter.requires_grad for parameter in network.parameters()):
                name = type(network).__name__
                raise UndefinedScore("no_parameters", f"{name} has nothing to train")
            building = time.perf_counter() - start
            epochs = sorted({setting.epochs for setting in batches})
            for stop in training.train(network, epochs, self.seed, self.execution):
                self.on_stop(stop)
                for setting in (one for one in batches if one.epochs == stop.epochs):
                    begun, count = time.perf_counter(), len(mine[setting])
                    found = _outcome(partial(read, network, setting))
                    seconds = building + stop.seconds + (time.perf_counter() - begun) / count
                    made[setting] = iter(_scores(found, count, seconds))

        ended = _outcome(partial(train, cast("TrainingImages", self.training)))
        missed = _scores(ended or [], 1, time.perf_counter() - start)
        return [next(made[r.setting]) if r.setting in made else missed[0] for r in readings]

    def _network(self, batch: Minibatch) -> nn.Module | Planned:
        network = self.build(batch.num_classes)
        if isinstance(network, nn.Module):
            return network.to(self.execution.device).train()
        return network

    def _values(
        self,
        network: nn.Module | Planned,
        readings: Sequence[Reading],
        batch: Minibatch,
        execution: Execution,
    ) -> list[float | UndefinedScore]:
        seed = int(seed_sequence(self.seed, "proxy", *self.keys).generate_state(1)[0])
        return run_proxies(network, [one.proxy for one in readings], batch, execution, seed)


def run_proxies(
    network: nn.Module | Planned,
    proxies: Sequence[Proxy],
    batch: Minibatch,
    execution: Execution,
    seed_of_proxy: int,
) -> list[float | UndefinedScore]:
    """Read proxies off a network, through its plan where `execution` says so.

    A plan is run once for all of them. Where it runs out of memory it is run again with the batch
    cut into pieces: statistics are still those of the whole batch, so the scores are the same.

    Returns:
        For each proxy its value, or why it has none.

    Raises:
        ParameterError: the fast engine was asked for, and network or proxies have none.
    """
    reading = [proxy for proxy in proxies if isinstance(proxy, ReadsRectifiers)]
    if isinstance(network, Planned) and len(reading) == len(proxies):
        if execution.engine != "plain":
            readings = _readings(network, batch, execution, any(p.dead_branches for p in reading))
            return [_outcome(partial(proxy.score_readings, readings)) for proxy in reading]
    elif execution.engine == "fast":
        names = " and ".join(proxy.name for proxy in proxies)
        raise ParameterError(
            f"no fast engine for {names} of a {type(network).__name__}: take --engine auto"
        )
    module, measured = cast("nn.Module", network), dict[Hashable, Any]()

    def run(proxy: Proxy) -> float:
        generator = torch.Generator(execution.device)
        generator.manual_seed(seed_of_proxy)
        if not isinstance(proxy, SharesMeasurement):
            return _run_module(module, proxy, batch, generator, execution)
        key = proxy.measurement
        if key not in measured:
            measure = partial(_run_module, module, proxy.measure, batch, generator, execution)
            measured[key] = _outcome(measure)
        if isinstance(measured[key], UndefinedScore):
            raise measured[key]
        return proxy.read(measured[key])

    return [_outcome(partial(run, proxy)) for proxy in proxies]


def _readings(
    network: Planned, batch: Minibatch, execution: Execution, dead_branches: bool
) -> list[RectifierReading]:
    images = batch.images.to(execution.dtype(planned=True))
    for pieces in _PIECES:
        try:
            with torch.no_grad():
                return list(
                    network.rectifier_inputs(images, dead_branches=dead_branches, pieces=pieces)
                )
        except (RuntimeError, MemoryError) as error:
            if pieces == _PIECES[-1] or not _is_out_of_memory(error):
                raise
    raise AssertionError  # the last size returns or raises


def _run_module(
    network: nn.Module,
    proxy: Callable[[nn.Module, Minibatch, torch.Generator], T],
    batch: Minibatch,
    generator: torch.Generator,
    execution: Execution,
) -> T:
    dtype = execution.dtype(planned=False)
    if dtype != torch.float32:
        network = copy.deepcopy(network).to(dtype)
        batch = Minibatch(batch.images.to(dtype), batch.labels, batch.num_classes)
    return proxy(network, batch, generator)


def _outcome(run: Callable[[], T]) -> T | UndefinedScore:
    """Return what a call returns, or why the network has no score; other errors propagate."""
    try:
        return run()
    except UndefinedScore as undefined:
        return undefined
    except NotApplicable as error:
        return UndefinedScore("not_applicable", str(error))
    except Diverged as error:
        return UndefinedScore("diverged", str(error))
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        return UndefinedScore("out_of_memory", (str(error).splitlines() or ["no memory left"])[0])


def _is_out_of_memory(error: Exception) -> bool:
    # on the CPU PyTorch has no type of its own for it, and neither has oneDNN
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return any(words in str(error) for words in _OUT_OF_MEMORY)


def _scores(
    found: Sequence[float | UndefinedScore] | UndefinedScore, count: int, seconds: float
) -> list[Score]:
    """Return the scores of values, or `count` undefined ones with the same reason."""
    values = [found] * count if isinstance(found, UndefinedScore) else found
    return [_score(value, seconds) for value in values]


def _score(value: float | UndefinedScore, seconds: float) -> Score:
    if isinstance(value, UndefinedScore):
        return Score(None, value.status, value.reason, seconds)
    if not math.isfinite(value):
        return Score(None, "non_finite", f"the proxy returned {value}", seconds)
    return Score(value, "ok", "", seconds)
