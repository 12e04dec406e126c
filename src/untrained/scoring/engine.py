"""Scores networks, one at a time, each from its own random stream."""

import copy
import math
import sys
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache, partial
from typing import Any, TypeVar, cast, get_args

import torch
from torch import nn

from untrained.errors import ParameterError
from untrained.images.minibatches import Minibatch
from untrained.networks.plans import Planned
from untrained.networks.plans import Reading as RectifierReading
from untrained.proxies.base import Proxy, Setting, SharesMeasurement, Status, UndefinedScore
from untrained.scoring.execution import Execution, ReadsRectifiers
from untrained.scoring.images import TrainingImages
from untrained.scoring.request import Reading, ScoreRequest
from untrained.seeds import seed_sequence, torch_seeded
from untrained.spaces import SearchSpace
from untrained.spaces.base import NotApplicable
from untrained.training.short import Diverged, Stop, WatchSteps, unwatched

T = TypeVar("T")

#: Makes a network for a number of classes.
Build = Callable[[int], nn.Module | Planned]


@dataclass(frozen=True)
class Score:
    """The value of a proxy for one network.

    Attributes:
        score: natural units of the proxy; None where `status` is not "ok".
        status: "ok", or why there is no score.
        reason: the same in words; empty where the status is "ok".
        seconds: wall-clock time of building and scoring the network; after training, with all of
            the training up to then, whether or not other proxies were read on the way.
    """

    score: float | None
    status: Status
    reason: str
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The score as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> "Score | None":  # noqa: ANN401 - whatever JSON holds
        """The score that `to_json` made into this value; None where the value is something else."""
        if not isinstance(value, dict) or value.keys() != {one.name for one in fields(cls)}:
            return None
        score, seconds = value["score"], value["seconds"]
        known = value["status"] in get_args(Status) and isinstance(value["reason"], str)
        defined = is_finite(score) if value["status"] == "ok" else score is None
        return cls(**value) if known and defined and is_finite(seconds) and seconds >= 0 else None


def is_finite(value: Any) -> bool:  # noqa: ANN401 - whatever JSON holds
    """Whether a JSON value is a number that a float can hold."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max


#: How PyTorch's allocator and oneDNN say that there is no memory left.
_OUT_OF_MEMORY = ("DefaultCPUAllocator: ", "could not create a primitive", "std::bad_alloc")

#: Into how many pieces a batch is cut, one after the other, when a plan runs out of memory.
_PIECES = (1, 4, 16)


def score_architectures(
    request: ScoreRequest, indices: Iterable[int], watch: WatchSteps = unwatched
) -> Iterator[list[Score]]:
    """Score architectures of a space by all proxies of a request with its first seed, in order.

    Each is scored when it is asked for; see `score_work`.
    """
    work = ((index, request.proxies) for index in indices)
    return score_work(request, work, request.seeds[0], watch)


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
        request: of the scores; its proxies and seeds are not looked at.
        work: index of each architecture, and the proxies to score it by.
        seed: of minibatch and weights.
        watch: wraps the steps of each training.

    Yields:
        For each architecture the scores by its proxies.
    """
    space, images, execution = request.target, request.images, request.execution
    if isinstance(space, str):
        raise TypeError(f"{space} is no space of architectures")
    shown = cache(lambda setting: images.draw_for(setting, seed, execution.device))
    learned = cache(
        lambda whole: replace(
            images.training_images(seed, watch, whole=whole), recipe=request.training, shown=shown
        )
    )
    for index, readings in work:
        found: dict[int, Score] = {}
        for setting, mine in _groups(readings).items():
            chosen = [readings[number] for number in mine]
            training = learned(setting.test_after_training) if setting.epochs else None
            # before any training, which would be lost if one of them can't be drawn
            batches = [shown(reading.setting) for reading in chosen]
            scores = score_architecture(space, index, chosen, batches[0], execution, seed, training)
            found |= dict(zip(mine, scores, strict=True))
        yield [found[number] for number in range(len(readings))]


def _groups(readings: Sequence[Reading]) -> dict[Setting, list[int]]:
    """The places of the readings that one network serves, by what they have in common.

    What is read before training is apart, so that it is what it would be without the other. One
    training serves all numbers of epochs and of held-out images.
    """
    groups: dict[Setting, list[int]] = {}
    for number, setting in enumerate(reading.setting for reading in readings):
        if setting.epochs:
            leaks = setting.test_after_training
            setting = Setting(setting.skeleton, epochs=1, test_after_training=leaks)
        groups.setdefault(setting, []).append(number)
    return groups


def score_architecture(
    space: SearchSpace,
    index: int,
    readings: Sequence[Reading],
    batch: Minibatch,
    execution: Execution,
    seed: int,
    training: TrainingImages | None = None,
) -> list[Score]:
    """Score an architecture by each of several proxies of one setting but for epochs.

    Args:
        space: of the architecture.
        index: in the space.
        readings: the proxies; at least one.
        batch: see `MinibatchSettings.draw_for`.
        execution: how the network is run.
        seed: of the weights and of whatever the proxies draw.
        training: see `score_by_all`.
    """
    architecture = space[index]
    (skeleton,) = {reading.setting.skeleton for reading in readings}
    planned = None
    if training is None and execution.engine != "plain":
        rectifiers = all(isinstance(reading.proxy, ReadsRectifiers) for reading in readings)
        planned = space.planned if rectifiers else None

    def build(num_classes: int) -> nn.Module | Planned:
        if planned is not None:
            return planned(architecture)
        network = space.network(architecture, num_classes, skeleton)
        if skeleton is not None:
            return network
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    return score_by_all(build, readings, batch, execution, seed, index, training=training)


def score_by_all(
    build: Build,
    readings: Sequence[Reading],
    batch: Minibatch,
    execution: Execution,
    seed: int,
    *keys: int,
    training: TrainingImages | None = None,
) -> list[Score]:
    """Build a network and score it by each of several proxies.

    Args:
        build: makes the network for a number of classes. PyTorch's generator stands on the stream
            of (seed, "weights", keys) meanwhile.
        readings: the proxies.
        batch: on the device of `execution`.
        execution: how the network is run.
        seed: of the weights and of whatever the proxies draw.
        keys: what tells this network's streams from those of others (its index).
        training: what the network is trained on, once, where a proxy is read after training. All
            proxies are then read off the module.

    Returns:
        For each proxy the score, or the status of an undefined one; running out of memory is a
        status too, and so is a training that diverged. The time is shared among them, but for that
        of training and of building what is trained.

    Raises:
        ParameterError: a proxy is read after training, and there is nothing to train on.
    """
    for reading in readings:
        reading.check_readable()
    if any(reading.epochs for reading in readings):
        if training is None:
            names = ", ".join(reading.name for reading in readings if reading.epochs)
            raise ParameterError(f"{names} after training: nothing is trained here, drop @epochs")
        return _score_while_training(build, readings, batch, execution, seed, keys, training)
    start, proxies = time.perf_counter(), [reading.proxy for reading in readings]

    def run() -> list[float | UndefinedScore]:
        with torch_seeded(seed, "weights", *keys):
            network = build(batch.num_classes)
            if isinstance(network, nn.Module):
                network = network.to(execution.device).train()
            return run_proxies(network, proxies, batch, execution, _proxy_seed(seed, keys))

    found = _or_no_memory(run, len(proxies))
    seconds = (time.perf_counter() - start) / len(proxies)
    return [_score(value, seconds) for value in found]


def _score_while_training(
    build: Build,
    readings: Sequence[Reading],
    batch: Minibatch,
    execution: Execution,
    seed: int,
    keys: Sequence[int],
    training: TrainingImages,
) -> list[Score]:
    """The scores by proxies of one network, each at its number of epochs."""
    # a plan takes normalisations of zeros to be zero, which holds for fresh weights only
    if execution.engine == "fast":
        names = " and ".join(reading.name for reading in readings)
        raise ParameterError(f"no fast engine for {names} after training: take --engine auto")
    start, scores = time.perf_counter(), dict[int, Score]()
    try:
        with torch_seeded(seed, "weights", *keys):
            network = cast("nn.Module", build(batch.num_classes)).to(execution.device).train()
        _check_trainable(network)
        building = time.perf_counter() - start
        read = partial(_read_at_stop, network, readings, batch, execution, seed, keys, training)
        epochs = sorted({reading.epochs for reading in readings})
        for stop in training.train(network, epochs, seed, execution):
            scores |= read(stop, building)
    except (Diverged, NotApplicable, UndefinedScore, RuntimeError, MemoryError) as error:
        missed = _score(_undefined(error), time.perf_counter() - start)
        scores = dict.fromkeys(range(len(readings)), missed) | scores
    return [scores[number] for number in range(len(readings))]


def _check_trainable(network: nn.Module) -> None:
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise UndefinedScore("no_parameters", f"{type(network).__name__} has nothing to train")


def _read_at_stop(
    network: nn.Module,
    readings: Sequence[Reading],
    batch: Minibatch,
    execution: Execution,
    seed: int,
    keys: Sequence[int],
    training: TrainingImages,
    stop: Stop,
    building: float,
) -> dict[int, Score]:
    """The scores by those proxies that are read at a stop of a training, by their place."""
    shown: dict[Setting, list[int]] = {}
    for number, reading in enumerate(readings):
        if reading.epochs == stop.epochs:
            shown.setdefault(reading.setting, []).append(number)
    scores: dict[int, Score] = {}
    execution = replace(execution, engine="plain")
    for setting, mine in shown.items():
        proxies = [readings[number].proxy for number in mine]
        images = batch if training.shown is None else training.shown(setting)
        begun = time.perf_counter()
        with torch_seeded(seed, "reading after training", *keys):
            run = partial(run_proxies, network, proxies, images, execution, _proxy_seed(seed, keys))
            found = _or_no_memory(run, len(mine))  # the training goes on without
        seconds = building + stop.seconds + (time.perf_counter() - begun) / len(mine)
        scores |= {n: _score(value, seconds) for n, value in zip(mine, found, strict=True)}
    return scores


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
    module = cast("nn.Module", network)
    found, measured = [], dict[Hashable, Any]()
    for proxy in proxies:
        generator = torch.Generator(execution.device)
        generator.manual_seed(seed_of_proxy)
        if not isinstance(proxy, SharesMeasurement):
            found.append(_outcome(partial(_run_module, module, proxy, batch, generator, execution)))
            continue
        key = proxy.measurement
        if key not in measured:
            measured[key] = _outcome(
                partial(_run_module, module, proxy.measure, batch, generator, execution)
            )
        made = measured[key]
        undefined = isinstance(made, UndefinedScore)
        found.append(made if undefined else _outcome(partial(proxy.read, made)))
    return found


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


def _outcome(score: Callable[[], T]) -> T | UndefinedScore:
    try:
        return score()
    except UndefinedScore as undefined:
        return undefined


def _or_no_memory(
    run: Callable[[], list[float | UndefinedScore]], count: int
) -> list[float | UndefinedScore]:
    """What `run` returns; where it runs out of memory, that this is so, `count` times."""
    try:
        return run()
    except (NotApplicable, RuntimeError, MemoryError) as error:
        return [_undefined(error)] * count


def _undefined(error: Exception) -> UndefinedScore:
    """Why there is no score after an error, which is raised again if it is none of the network's.

    Those are that it has nothing to read, that it can't be built, that its training diverged, and
    that memory ran out.
    """
    if isinstance(error, UndefinedScore):
        return error
    if isinstance(error, NotApplicable):
        return UndefinedScore("not_applicable", str(error))
    if isinstance(error, Diverged):
        return UndefinedScore("diverged", str(error))
    if not _is_out_of_memory(error):
        raise error
    return UndefinedScore("out_of_memory", (str(error).splitlines() or ["no memory left"])[0])


def _is_out_of_memory(error: Exception) -> bool:
    # on the CPU PyTorch has no type of its own for it, and neither has oneDNN
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return any(words in str(error) for words in _OUT_OF_MEMORY)


def _proxy_seed(seed: int, keys: Sequence[int]) -> int:
    return int(seed_sequence(seed, "proxy", *keys).generate_state(1)[0])


def _score(value: float | UndefinedScore, seconds: float) -> Score:
    if isinstance(value, UndefinedScore):
        return Score(None, value.status, value.reason, seconds)
    if not math.isfinite(value):
        return Score(None, "non_finite", f"the proxy returned {value}", seconds)
    return Score(value, "ok", "", seconds)
