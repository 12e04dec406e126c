"""Score networks one at a time, each from its own random stream."""

import math
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from statistics import fmean
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, SupportsFloat, TypeVar, cast

import torch
from torch import nn

from untrained.errors import (
    NetworkError,
    ParameterError,
    PluginError,
    UntrainedError,
    passed_through_theirs,
    quoted,
    raised_here,
    summary,
    text_of,
    theirs,
)
from untrained.float32 import exact_float32, float32_by_default
from untrained.images.minibatches import Minibatch
from untrained.networks.modes import settings_restored, unchanged, uncompiled
from untrained.networks.plans import Planned, draw
from untrained.networks.plans import Reading as RectifierReading
from untrained.networks.prepared import (
    copied,
    dtype_of,
    has_one_type,
    in_mode,
    moved,
    prepared,
    with_effective_weights,
)
from untrained.plugins import address_of, blamed, is_foreign
from untrained.proxies.base import Noted, Proxy, Setting, Status, UndefinedScore
from untrained.scoring.batches import Batches, Kind, Member
from untrained.scoring.execution import (
    Execution,
    is_out_of_memory,
    measurement_of,
    measures_many,
    reads_codes,
    reads_kernels,
    reads_rectifiers,
    shares_measurement,
)
from untrained.scoring.images import TrainingImages
from untrained.scoring.request import OwnNetwork, Reading, ScoreRequest
from untrained.scoring.trainings import Trained, Trainee, Trainings
from untrained.seeds import generators_restored, seed_sequence, torch_seeded
from untrained.spaces.base import GraphSpace, NotApplicable
from untrained.training.short import Diverged, Stop, WatchSteps, unwatched

T = TypeVar("T")

#: The index of an architecture, the seed of its minibatch and weights, and the proxies to read.
Work = tuple[int, int, Sequence[Reading]]

#: Numbers of pieces that a batch is cut into, in turn, as long as a plan runs out of memory.
_PIECES = (1, 4, 16)


@dataclass(frozen=True)
class Score:
    """The value of a proxy for one network.

    Attributes:
        score: the value, in the proxy's natural units; None where `status` is not "ok".
        status: "ok", or the kind of reason why there is no score.
        reason: the reason in words; where the status is "ok", a remark if the proxy has one, such
            as what it leaves out.
        seconds: wall-clock time of building and scoring the network, and of all of its training
            before the score, without the reading of other proxies.
    """

    __pydantic_config__: ClassVar = {"strict": True, "extra": "forbid", "allow_inf_nan": False}

    score: float | None
    status: Status
    reason: str
    seconds: float

    def __post_init__(self) -> None:
        if (self.status == "ok") == (self.score is None) or self.seconds < 0:
            raise ValueError(f"a score of {self.score} has the status {self.status}")


class Value(NamedTuple):
    """The value of a proxy, or the reason why it has none, and the seconds that it took."""

    value: float | UndefinedScore
    seconds: float


class Outcome(Protocol):
    """Returns the value of a call, or the reason why there is no score; some errors propagate."""

    def __call__(self, run: Callable[[], T], /) -> T | UndefinedScore:
        """Call and return."""
        ...


def outcome_of(run: Callable[[], T]) -> T | UndefinedScore:
    """Return the value of a call, or the reason why there is no score; other errors propagate."""
    try:
        return run()
    except UndefinedScore as undefined:
        return undefined
    except NotApplicable as error:
        return UndefinedScore("not_applicable", str(error))
    except Diverged as error:
        return UndefinedScore("diverged", str(error))
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return UndefinedScore(
            "out_of_memory", (text_of(error).splitlines() or ["no memory left"])[0]
        )


def tolerated(run: Callable[[], T]) -> T | UndefinedScore:
    """Return the value of a call, or the reason why there is no score, failures included.

    What a proxy refuses is `not_applicable`. Any error of the network, of PyTorch or of a proxy of
    another package is `failed`, and so is a call of `exit()`, and an error of this package that the
    network's own call of it raises. An error that a line of this package
    itself raises is a bug and propagates: a `TypeError`, `KeyError` and the like whose traceback
    ends in this package. A `RuntimeError` there is one of PyTorch, whose operations leave no line
    of their own in a traceback.
    """
    try:
        return outcome_of(run)
    except (NetworkError, PluginError) as error:
        return UndefinedScore("failed", str(error))
    except UntrainedError as error:
        if passed_through_theirs(error):
            return UndefinedScore("failed", summary(error))
        return UndefinedScore("not_applicable", str(error))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a network raises is its own
        if not isinstance(error, RuntimeError) and raised_here(error):
            raise
        return UndefinedScore("failed", summary(error))


def score_work(
    request: ScoreRequest,
    work: Iterable[Work],
    watch: WatchSteps = unwatched,
    on_stop: Callable[[Stop], None] = lambda _stop: None,
) -> Iterator[list[Score]]:
    """Score networks in order, each when its scores are taken.

    A score depends on the request, the network, the proxy and the seed alone. Where the work is a
    sequence, so that it is known beforehand, many networks may be scored at once. All proxies with
    epochs that share a network and its images are read off one training, on the images of the
    split that are not held out.

    Args:
        request: the request; its proxies and seeds are not read.
        work: (index of an architecture, seed of its minibatch and weights, proxies) for each
            network; the index of a network of one's own is 0.
        watch: wraps the steps of each training.
        on_stop: called with each stop of each training, before proxies are read there.

    Yields:
        The scores of each network by its proxies.
    """
    images, execution, target = request.images, request.execution, request.target
    own = isinstance(target, OwnNetwork)

    @lru_cache(maxsize=16)
    def shown(setting: Setting, seed: int) -> Minibatch:
        drawn = images.draw_for(setting, seed, execution.device, own=own)
        return replace(drawn, loss=request.loss)

    @lru_cache(maxsize=2)
    def learned(whole: bool, seed: int) -> TrainingImages:
        return images.training_images(seed, request.training, watch, whole=whole)

    def shown_of(setting: Setting, seed: int) -> Minibatch:
        return shown(setting, _seed_of_images(request, seed))

    known = work if isinstance(work, Sequence) else []
    trainings = Trainings(target, _trainees(request, known), execution)
    with Batches(target, _members(request, known), execution, shown_of) as batches:
        for place, (index, seed, readings) in enumerate(work):
            of_images, found = _seed_of_images(request, seed), dict[int, Score]()
            drawn, groups = partial(shown, seed=of_images), _groups(request, readings)
            lessons = [  # before any measurement, as there may be no images to train on
                learned(setting.test_after_training, of_images) if setting.epochs else None
                for setting, _ in groups
            ]
            for ((setting, kind), mine), lesson in zip(groups.items(), lessons, strict=True):
                chosen = [readings[number] for number in mine]
                with nullcontext() if own else blamed("space", target):
                    made = batches.take(place, setting, kind) if kind else None
                    if made is None:
                        training = lesson and (trainings.take(place, setting, lesson) or lesson)
                        subject = subject_of(request, index, chosen, seed, drawn, training, on_stop)
                        scores = subject.scores(chosen)
                    else:
                        values = [Value(one, 0.0) for one in made.values]
                        scores = _scores(values, len(values), made.seconds)
                    found |= dict(zip(mine, scores, strict=True))
            yield [found[number] for number in range(len(readings))]


def _seed_of_images(request: ScoreRequest, seed: int) -> int:
    return seed if request.minibatch_seed is None else request.minibatch_seed


def _members(request: ScoreRequest, work: Sequence[Work]) -> list[Member]:
    """Return the networks of some work that are scored many at once."""
    return [
        Member(place, index, seed, setting, cast("Any", proxies), kind)
        for place, (index, seed, readings) in enumerate(work)
        for (setting, kind), mine in _groups(request, readings).items()
        for proxies in [tuple(readings[number].proxy for number in mine)]
        if kind
    ]


def _trainees(request: ScoreRequest, work: Sequence[Work]) -> list[Trainee]:
    """Return the networks of some work that are trained many at once."""
    if not runs_many(request):
        return []
    return [
        Trainee(place, index, seed, setting, tuple(sorted({one.epochs for one in read})))
        for place, (index, seed, readings) in enumerate(work)
        for (setting, _), mine in _groups(request, readings).items()
        for read in [[readings[number].setting for number in mine]]
        if setting.epochs
    ]


def _groups(
    request: ScoreRequest, readings: Sequence[Reading]
) -> dict[tuple[Setting, Kind | None], list[int]]:
    """Group the positions of readings that are read off one network.

    Readings before training have another network than those after it, so that neither changes the
    other. One training serves all numbers of epochs and of held-out images. What is read off many
    networks at once has groups of its own, with the kind of the batches.
    """
    groups: dict[tuple[Setting, Kind | None], list[int]] = {}
    for number, reading in enumerate(readings):
        setting = reading.setting
        if setting.epochs:
            leaks = setting.test_after_training
            setting = Setting(setting.skeleton, epochs=1, test_after_training=leaks)
        kind = kind_of(request, reading.proxy, trained=setting.epochs > 0)
        groups.setdefault((setting, kind), []).append(number)
    return groups


def kind_of(request: ScoreRequest, proxy: Proxy, *, trained: bool) -> Kind | None:
    """Return how a proxy is read off many networks at once; None where it is read off each alone.

    That is for architectures with graphs, before any training, on a GPU or where it is asked for.
    Gradients are those of the cross-entropy. What is no kernel is not read in bfloat16.
    """
    how = request.execution
    if trained or not runs_many(request):
        return None
    if reads_kernels(proxy):
        return "kernels"
    if how.dtype(planned=False) == torch.bfloat16:
        return None
    if reads_codes(proxy):
        return "codes"
    return "gradients" if request.loss is None and measures_many(proxy) else None


def runs_many(request: ScoreRequest) -> bool:
    """Return whether networks are run and trained many at once: those of graphs, on a GPU."""
    how = request.execution
    many = how.engine == "batched" or (how.engine == "auto" and how.device.type == "cuda")
    return many and _is_of_graphs(request.target)


def _is_of_graphs(target: object) -> bool:
    """Return whether the networks of a space are the modules of its graphs, and no others."""
    return isinstance(target, GraphSpace) and type(target).network is GraphSpace.network


def executor_of(
    request: ScoreRequest, proxies: Sequence[Proxy], *, trained: bool
) -> Literal["module", "plan"]:
    """Return what runs a network of a request alone to read some proxies off it.

    It is the plan where all proxies read rectifiers. Everything else needs the module.
    """
    if trained or request.execution.engine == "plain" or not _is_of_graphs(request.target):
        return "module"
    return "plan" if all(map(reads_rectifiers, proxies)) else "module"


def subject_of(
    request: ScoreRequest,
    index: int,
    readings: Sequence[Reading],
    seed: int,
    shown: Callable[[Setting], Minibatch],
    training: TrainingImages | Trained | None,
    on_stop: Callable[[Stop], None],
) -> "Subject":
    """Return the network to score, as a plan where all `readings` can be read off one."""
    target, execution = request.target, request.execution
    outcome = tolerated if request.tolerant else outcome_of
    if isinstance(target, OwnNetwork):
        if execution.engine == "auto":
            # a plan takes normalisations of zeros to be zero, which need not hold for these weights
            execution = replace(execution, engine="plain")
        return Subject(target.build, execution, seed, shown, (), training, on_stop, outcome)
    (skeleton,) = {reading.setting.skeleton for reading in readings}
    proxies = [reading.proxy for reading in readings]
    kinds = {kind_of(request, one, trained=training is not None) for one in proxies}
    if kinds & {"codes", "gradients"} or (training is not None and runs_many(request)):
        execution = replace(execution, engine="plain")  # what no batch could score, or reads
    planned = executor_of(request, proxies, trained=training is not None) != "module"

    @float32_by_default()
    def build(num_classes: int) -> nn.Module | Planned:
        if planned and isinstance(target, GraphSpace):
            return draw(target.graph(target[index], num_classes, skeleton))
        network = target.network(target[index], num_classes, skeleton)
        if skeleton is None:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    return Subject(build, execution, seed, shown, (index,), training, on_stop, outcome)


@dataclass(frozen=True, eq=False)
class Subject:
    """A network to score, with everything that its scores depend on besides the proxies.

    Attributes:
        build: makes the network for a number of classes, while PyTorch's generator is seeded with
            (seed, "weights", keys).
        execution: how the network is run.
        seed: the seed of the weights and of random numbers of the proxies.
        shown: draws the minibatch of a setting, on the device of `execution`.
        keys: the index of the network, so that its random streams differ from those of others.
        training: the images that the network is trained on if a proxy is read after training, or
            the training that is done; all proxies are then read off the module.
        on_stop: called with each stop of the training.
        outcome: decides which errors are scores with a status: `outcome_of` or `tolerated`.
    """

    build: Callable[[int], nn.Module | Planned]
    execution: Execution
    seed: int
    shown: Callable[[Setting], Minibatch]
    keys: tuple[int, ...] = ()
    training: TrainingImages | Trained | None = None
    on_stop: Callable[[Stop], None] = lambda _stop: None
    outcome: Outcome = outcome_of

    @exact_float32()
    @torch.inference_mode(mode=False)  # also where it is on, as its tensors have no gradients
    def scores(self, readings: Sequence[Reading]) -> list[Score]:
        """Build the network and score it by each of several proxies.

        Args:
            readings: the proxies, whose settings differ in epochs and held-out images only.

        Returns:
            The score by each proxy. It is undefined, too, where memory runs out or a training
            diverges. The time of building a network that is not trained is divided by the number
            of proxies.

        Raises:
            ParameterError: the fast engine is to read a proxy after training, or a minibatch can't
                be drawn.
        """
        for reading in readings:
            reading.check_readable()
        trained = " and ".join(reading.name for reading in readings if reading.epochs)
        if trained and self.execution.engine in ("fast", "batched"):
            # a plan takes normalisations of zeros to be zero, which holds for fresh weights only
            raise ParameterError(
                f"no {self.execution.engine} engine for {trained} after training: "
                "take --engine auto"
            )
        # before any training, which would be lost if one of them can't be drawn
        batches = {reading.setting: self.shown(reading.setting) for reading in readings}
        if trained:
            return self._scores_while_training(readings, batches)
        start, (batch, *_) = time.perf_counter(), batches.values()

        def run() -> list[Value]:
            with torch_seeded(self.seed, "weights", *self.keys, device=self.execution.device):
                return self._values(self._network(batch), readings, batch, self.execution)

        found = self.outcome(run)
        return _scores(found, len(readings), time.perf_counter() - start)

    def _scores_while_training(
        self, readings: Sequence[Reading], batches: dict[Setting, Minibatch]
    ) -> list[Score]:
        """Train the network once, and read each proxy at its number of epochs."""
        start, plain = time.perf_counter(), replace(self.execution, engine="plain")
        mine = {s: [one for one in readings if one.setting == s] for s in batches}
        made: dict[Setting, Iterator[Score]] = {}

        def read(network: nn.Module, setting: Setting) -> list[Value]:
            purpose, device = "reading after training", self.execution.device
            seeded = torch_seeded(self.seed, purpose, *self.keys, device=device)
            with unchanged(network), seeded:  # as it is trained on
                return self._values(network, mine[setting], batches[setting], plain)

        def train(training: TrainingImages | Trained) -> None:
            device = self.execution.device
            with torch_seeded(self.seed, "weights", *self.keys, device=device):
                network = cast("nn.Module", self._network(next(iter(batches.values()))))
                if has_one_type(network):
                    theirs(network.float)
            if not any(parameter.requires_grad for parameter in network.parameters()):
                name = type(network).__name__
                raise UndefinedScore("no_parameters", f"{name} has nothing to train")
            building = time.perf_counter() - start
            epochs = sorted({setting.epochs for setting in batches})
            for stop in training.train(network, epochs, self.seed, self.execution):
                self.on_stop(stop)
                for setting in (one for one in batches if one.epochs == stop.epochs):
                    begun, count = time.perf_counter(), len(mine[setting])
                    found = self.outcome(partial(read, network, setting))
                    seconds, before = time.perf_counter() - begun, building + stop.seconds
                    made[setting] = iter(_scores(found, count, seconds, before))

        ended = self.outcome(partial(train, cast("TrainingImages | Trained", self.training)))
        missed = _scores(ended or [], 1, time.perf_counter() - start)
        return [next(made[r.setting]) if r.setting in made else missed[0] for r in readings]

    def _network(self, batch: Minibatch) -> nn.Module | Planned:
        network = self.build(batch.num_classes)
        if isinstance(network, nn.Module):
            network = moved(prepared(network, batch.images), self.execution.device)
            return in_mode(network, training=True)
        return network

    def _values(
        self,
        network: nn.Module | Planned,
        readings: Sequence[Reading],
        batch: Minibatch,
        execution: Execution,
    ) -> list[Value]:
        seed = int(seed_sequence(self.seed, "proxy", *self.keys).generate_state(1)[0])
        proxies = [one.proxy for one in readings]
        return run_proxies(network, proxies, batch, execution, seed, self.outcome)


def run_proxies(
    network: nn.Module | Planned,
    proxies: Sequence[Proxy],
    batch: Minibatch,
    execution: Execution,
    seed_of_proxy: int,
    outcome: Outcome = outcome_of,
) -> list[Value]:
    """Read proxies off a network, through its plan if it has one and `execution` allows it.

    A plan is run once for all proxies. If it runs out of memory it is run again with the batch cut
    into pieces; statistics are still those of the whole batch, so the scores are the same.

    Returns:
        The value of each proxy, or the reason why it has none, as `outcome` decides. What several
        proxies share is divided among them in time.

    Raises:
        ParameterError: the fast engine is asked for, and network or proxies have none.
        PluginError: a proxy of another package failed.
    """
    reading: list[Any] = [proxy for proxy in proxies if reads_rectifiers(proxy)]
    if isinstance(network, Planned) and len(reading) == len(proxies):
        if execution.engine != "plain":
            start, dead = time.perf_counter(), any(proxy.dead_branches for proxy in reading)
            readings = _readings(network, batch, execution, dead)
            share = (time.perf_counter() - start) / len(reading)
            return [
                _read(proxy, partial(proxy.score_readings, readings), outcome, share)
                for proxy in reading
            ]
    elif execution.engine in ("fast", "batched"):
        names = " and ".join(proxy.name for proxy in proxies)
        raise ParameterError(
            f"no {execution.engine} engine for {names} of a {type(network).__name__}: "
            "take --engine auto"
        )
    module, measured = cast("nn.Module", network), dict[Hashable, Any]()

    def run(proxy: Proxy) -> float:
        generator = torch.Generator(execution.device)
        generator.manual_seed(seed_of_proxy)
        # so that gradients do not depend on how a weight is computed from others
        subject = with_effective_weights(module) if "gradients" in proxy.needs else module
        shown = batch
        if is_foreign(address_of(proxy)):
            # whatever it changes in place, other proxies read what they would without it
            subject = copied(subject)
            shown = replace(batch, images=batch.images.clone(), labels=batch.labels.clone())
        restored: AbstractContextManager[None] = nullcontext()
        if subject is module and proxy is not proxies[-1]:
            restored = unchanged(module)  # or the next proxy would read what this one leaves behind
        run_on = partial(_run_module, subject, restored, shown, generator, execution)
        if not shares_measurement(proxy):
            return run_on(proxy)
        key = measurement_of(proxy)
        if key not in measured:
            measured[key] = outcome(partial(run_on, proxy.measure))
        if isinstance(measured[key], UndefinedScore):
            raise measured[key]
        return proxy.read(measured[key])

    values = [_read(proxy, partial(run, proxy), outcome) for proxy in proxies]
    keys = [
        measurement_of(proxy) if shares_measurement(proxy) else place
        for place, proxy in enumerate(proxies)
    ]
    seconds = {
        key: fmean(one.seconds for its, one in zip(keys, values, strict=True) if its == key)
        for key in keys
    }
    return [one._replace(seconds=seconds[key]) for key, one in zip(keys, values, strict=True)]


def _read(proxy: Proxy, run: Callable[[], float], outcome: Outcome, seconds: float = 0.0) -> Value:
    """Return the value of a proxy or the reason why it has none, and name one that fails.

    Args:
        proxy: the proxy.
        run: returns its value.
        outcome: decides which errors are values.
        seconds: the time that it has taken before.
    """

    def read() -> float | UndefinedScore:
        with blamed("proxy", proxy):
            value = outcome_of(run)
            if isinstance(value, UndefinedScore):
                return value
            if not isinstance(value, SupportsFloat):
                raise TypeError(f"it returned {quoted(value)}, which is no number")
            return value if isinstance(value, Noted) else float(value)

    start = time.perf_counter()
    return Value(outcome(read), seconds + time.perf_counter() - start)


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
            if pieces == _PIECES[-1] or not is_out_of_memory(error):
                raise
    raise AssertionError  # the last number of pieces returns or raises


def _run_module(
    network: nn.Module,
    restored: AbstractContextManager[None],
    batch: Minibatch,
    generator: torch.Generator,
    execution: Execution,
    proxy: Callable[[nn.Module, Minibatch, torch.Generator], T],
) -> T:
    dtype = execution.dtype(planned=False)
    if dtype != torch.float32:
        network = moved(copied(network), dtype)
    else:
        dtype = dtype_of(network)
    batch = replace(batch, images=batch.images.to(dtype))
    # so that what a proxy draws, such as dropped units, does not depend on those before it
    device = batch.images.device
    with restored, generators_restored(device), settings_restored(), uncompiled():
        return proxy(network, batch, generator)


def _scores(
    found: Sequence[Value] | UndefinedScore, count: int, seconds: float, before: float = 0.0
) -> list[Score]:
    """Return scores with these values, or `count` scores that are undefined for one reason.

    Args:
        found: the values or the reason.
        count: the number of scores.
        seconds: the time of all of them, which is divided as far as it is none of a value.
        before: the time that each of them has taken before.
    """
    values = [Value(found, 0.0)] * count if isinstance(found, UndefinedScore) else found
    share = before + (seconds - sum(one.seconds for one in values)) / count
    return [_score(one.value, share + one.seconds) for one in values]


def _score(value: float | UndefinedScore, seconds: float) -> Score:
    if isinstance(value, UndefinedScore):
        return Score(None, value.status, value.reason, seconds)
    if not math.isfinite(value):
        return Score(None, "non_finite", f"the proxy returned {value}", seconds)
    return Score(float(value), "ok", value.note if isinstance(value, Noted) else "", seconds)
