"""Scores networks, one at a time, each from its own random stream."""

import copy
import math
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import nn

from untrained.errors import ParameterError
from untrained.files import IMAGES
from untrained.images.minibatches import (
    Minibatch,
    held_out_count,
    minibatch,
    random_crops,
    rest_of,
)
from untrained.images.sets import IN_ORDER, image_set
from untrained.networks.plans import Planned, Reading
from untrained.proxies.base import (
    Proxy,
    Setting,
    SharesMeasurement,
    Status,
    UndefinedScore,
    setting_of,
)
from untrained.proxies.trained import check_readable, registered
from untrained.scoring.execution import Execution, ReadsRectifiers
from untrained.scoring.training import TrainingImages
from untrained.seeds import seed_sequence, torch_seeded
from untrained.spaces import SearchSpace
from untrained.training.short import Diverged, WatchSteps, unwatched

T = TypeVar("T")


@dataclass(frozen=True)
class Score:
    """What a proxy says of one network.

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


@dataclass(frozen=True)
class MinibatchSettings:
    """Which images the networks are shown, up to the seed; see `untrained.images.minibatches`."""

    dataset: str = "cifar10"
    split: str = "sample"
    batch_size: int = 128
    augmentation: str = "none"
    sampling: str = "uniform"
    root: Path = IMAGES

    def draw(self, seed: int, device: torch.device) -> Minibatch:
        """The minibatch of `seed`, on `device`."""
        drawn = minibatch(
            self.dataset,
            self.split,
            seed,
            self.batch_size,
            self.augmentation,
            self.sampling,
            root=self.root,
        )
        return Minibatch(drawn.images.to(device), drawn.labels.to(device), drawn.num_classes)

    def draw_for_space(self, seed: int, device: torch.device) -> Minibatch:
        """The same for networks of a space, channels last, which is twice as fast on CPUs.

        Only networks that we built ourselves surely stand it.
        """
        drawn = self.draw(seed, device)
        images = drawn.images.to(memory_format=torch.channels_last)
        return Minibatch(images, drawn.labels, drawn.num_classes)

    def draw_for(self, setting: Setting, seed: int, device: torch.device) -> Minibatch:
        """The minibatch that a proxy with this setting is shown around a cell of a space."""
        if setting.crop is not None:
            drawn = self.draw(seed, device)
            return random_crops(drawn, setting.crop, setting.images or self.batch_size, seed)
        sized = self._sized(setting)
        # blocks of channels are what makes channels last fast; thin networks don't fill one
        return (
            sized.draw_for_space(seed, device)
            if setting.skeleton is None
            else sized.draw(seed, device)
        )

    def training_images(
        self, seed: int, watch: WatchSteps = unwatched, *, whole: bool = False
    ) -> TrainingImages:
        """The images of the split that no proxy is shown; see `held_out_count`.

        Args:
            seed: of the minibatch.
            watch: wraps the steps of each training.
            whole: whether none are held out, for proxies that are shown the test set.

        Raises:
            UntrainedError: see `rest_of`.
        """
        size = 0 if whole else self._held_out()
        rest = rest_of(self.dataset, self.split, seed, size, self.sampling, root=self.root)
        if len(rest[1]) < 2:
            raise ParameterError(
                f"minibatch size {self.batch_size} leaves {len(rest[1])} images of {self.dataset} "
                f"{self.split} to train on: 2 or more"
            )
        return TrainingImages(*rest, image_set(self.dataset), watch=watch)

    def sized_for(self, proxy: Proxy) -> "MinibatchSettings":
        """The settings of whole images for a network of one's own: as many as the proxy wants."""
        setting = setting_of(proxy)
        return self if setting.crop is not None else self._sized(setting)

    def _sized(self, setting: Setting) -> "MinibatchSettings":
        """The settings of the whole images that a proxy with this setting is shown."""
        size = setting.images or self.batch_size
        if not setting.epochs:
            return replace(self, batch_size=size)
        if setting.shows_test:
            split = image_set(self.dataset).test_split
            return MinibatchSettings(self.dataset, split, size, "none", IN_ORDER, self.root)
        held_out = self._held_out()
        if size > held_out:
            raise ParameterError(
                f"{size} images per minibatch: a training holds out {held_out} of "
                f"{self.dataset} {self.split}, raise the batch size"
            )
        return replace(self, batch_size=held_out if setting.held_out else size)

    def _held_out(self) -> int:
        return held_out_count(self.dataset, self.split, self.batch_size, root=self.root)


#: How PyTorch's allocator and oneDNN say that there is no memory left.
_OUT_OF_MEMORY = ("DefaultCPUAllocator: ", "could not create a primitive", "std::bad_alloc")

#: Into how many pieces a batch is cut, one after the other, when a plan runs out of memory.
_PIECES = (1, 4, 16)


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
) -> list[Reading]:
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


def _outcome(score: Callable[[], T]) -> T | UndefinedScore:
    try:
        return score()
    except UndefinedScore as undefined:
        return undefined


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


def score_network(
    build: Callable[[int], nn.Module | Planned],
    proxy: Proxy,
    batch: Minibatch,
    execution: Execution,
    seed: int,
    *keys: int,
    training: TrainingImages | None = None,
) -> Score:
    """Build a network and score it by one proxy; see `score_by_all`."""
    (score,) = score_by_all(build, [proxy], batch, execution, seed, *keys, training=training)
    return score


def score_by_all(
    build: Callable[[int], nn.Module | Planned],
    proxies: Sequence[Proxy],
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
        proxies: what to read off it.
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
    for proxy in proxies:
        check_readable(proxy)
    if any(setting_of(proxy).epochs for proxy in proxies):
        if training is None:
            names = ", ".join(proxy.name for proxy in proxies if setting_of(proxy).epochs)
            raise ParameterError(f"{names} after training: nothing is trained here, drop @epochs")
        return _score_while_training(build, proxies, batch, execution, seed, keys, training)
    start = time.perf_counter()
    proxies, proxy_seed = list(map(registered, proxies)), _proxy_seed(seed, keys)
    found: list[float | UndefinedScore]
    try:
        with torch_seeded(seed, "weights", *keys):
            network = build(batch.num_classes)
            if isinstance(network, nn.Module):
                network = network.to(execution.device).train()
            found = run_proxies(network, proxies, batch, execution, proxy_seed)
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        found = [_without_memory(error)] * len(proxies)
    seconds = (time.perf_counter() - start) / len(proxies)
    return [_score(value, seconds) for value in found]


def _score_while_training(
    build: Callable[[int], nn.Module | Planned],
    proxies: Sequence[Proxy],
    batch: Minibatch,
    execution: Execution,
    seed: int,
    keys: Sequence[int],
    training: TrainingImages,
) -> list[Score]:
    """The scores by proxies of one network, each at its number of epochs."""
    # a plan takes normalisations of zeros to be zero, which holds for fresh weights only
    if execution.engine == "fast":
        names = " and ".join(proxy.name for proxy in proxies)
        raise ParameterError(f"no fast engine for {names} after training: take --engine auto")
    reading_execution = replace(execution, engine="plain")
    start, proxy_seed = time.perf_counter(), _proxy_seed(seed, keys)
    epochs = [setting_of(proxy).epochs for proxy in proxies]
    scores: dict[int, Score] = {}
    lost: UndefinedScore | None = None
    try:
        with torch_seeded(seed, "weights", *keys):
            network = cast("nn.Module", build(batch.num_classes)).to(execution.device).train()
        _check_trainable(network)
        building = time.perf_counter() - start
        for stop in training.train(network, sorted(set(epochs)), seed, execution):
            here = [number for number, asked in enumerate(epochs) if asked == stop.epochs]
            shown: dict[Setting, list[int]] = {}
            for number in here:
                shown.setdefault(setting_of(proxies[number]), []).append(number)
            for setting, mine in shown.items():
                chosen = [registered(proxies[number]) for number in mine]
                images = batch if training.shown is None else training.shown(setting)
                begun = time.perf_counter()
                found: list[float | UndefinedScore]
                try:
                    with torch_seeded(seed, "reading after training", *keys):
                        found = run_proxies(network, chosen, images, reading_execution, proxy_seed)
                except (RuntimeError, MemoryError) as error:
                    if not _is_out_of_memory(error):
                        raise
                    found = [_without_memory(error)] * len(mine)  # the training goes on
                seconds = building + stop.seconds + (time.perf_counter() - begun) / len(mine)
                scores |= {n: _score(value, seconds) for n, value in zip(mine, found, strict=True)}
    except Diverged as error:
        lost = UndefinedScore("diverged", str(error))
    except UndefinedScore as undefined:
        lost = undefined
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        lost = _without_memory(error)
    if lost is not None:
        missed = _score(lost, time.perf_counter() - start)
        scores = dict.fromkeys(range(len(proxies)), missed) | scores
    return [scores[number] for number in range(len(proxies))]


def _check_trainable(network: nn.Module) -> None:
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise UndefinedScore("no_parameters", f"{type(network).__name__} has nothing to train")


def _proxy_seed(seed: int, keys: Sequence[int]) -> int:
    return int(seed_sequence(seed, "proxy", *keys).generate_state(1)[0])


def _score(value: float | UndefinedScore, seconds: float) -> Score:
    if isinstance(value, UndefinedScore):
        return Score(None, value.status, value.reason, seconds)
    if not math.isfinite(value):
        return Score(None, "non_finite", f"the proxy returned {value}", seconds)
    return Score(value, "ok", "", seconds)


def _without_memory(error: Exception) -> UndefinedScore:
    said = (str(error).splitlines() or ["no memory left"])[0]
    return UndefinedScore("out_of_memory", said)


def _is_out_of_memory(error: Exception) -> bool:
    # on the CPU PyTorch has no type of its own for it, and neither has oneDNN
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return any(words in str(error) for words in _OUT_OF_MEMORY)


def score_architectures(
    space: SearchSpace,
    indices: Iterable[int],
    proxy: Proxy,
    settings: MinibatchSettings,
    seed: int,
    execution: Execution,
    watch: WatchSteps = unwatched,
) -> Iterator[Score]:
    """Score architectures of a space by one proxy, in order, as they are asked for."""
    work = ((index, [proxy]) for index in indices)
    for (score,) in score_work(space, work, settings, seed, execution, watch):
        yield score


def score_work(
    space: SearchSpace,
    work: Iterable[tuple[int, Sequence[Proxy]]],
    settings: MinibatchSettings,
    seed: int,
    execution: Execution,
    watch: WatchSteps = unwatched,
) -> Iterator[list[Score]]:
    """Score architectures of a space on one minibatch, in order, as they are asked for.

    The score of an architecture depends on (architecture, proxy, settings, seed) alone. What is
    read after training is read off one training for each network and minibatch that proxies ask
    for, on the images of the split that are not held out.

    Args:
        space: of the architectures.
        work: index of each architecture, and the proxies to score it by.
        settings: of the minibatch.
        seed: of minibatch and weights.
        execution: how networks are run.
        watch: wraps the steps of each training.

    Yields:
        For each architecture the scores by its proxies.
    """
    shown = cache(lambda setting: settings.draw_for(setting, seed, execution.device))
    learned = cache(
        lambda whole: replace(settings.training_images(seed, watch, whole=whole), shown=shown)
    )
    for index, proxies in work:
        found: dict[int, Score] = {}
        # apart, so that what is read before training is what it would be without the other
        groups: dict[tuple[Setting, bool], list[int]] = {}
        for number, setting in enumerate(map(setting_of, proxies)):
            trained = setting.epochs > 0
            # one training serves whatever number of the held-out images is read
            one = Setting(setting.skeleton, test_after_training=setting.test_after_training)
            groups.setdefault((one if trained else setting, trained), []).append(number)
        for (setting, trained), mine in groups.items():
            chosen = [proxies[number] for number in mine]
            training = learned(setting.test_after_training) if trained else None
            # before any training, which would be lost if one of them can't be drawn
            batches = [shown(setting_of(proxy)) for proxy in chosen]
            scores = score_architecture(space, index, chosen, batches[0], execution, seed, training)
            found |= dict(zip(mine, scores, strict=True))
        yield [found[number] for number in range(len(proxies))]


def score_architecture(
    space: SearchSpace,
    index: int,
    proxies: Sequence[Proxy],
    batch: Minibatch,
    execution: Execution,
    seed: int,
    training: TrainingImages | None = None,
) -> list[Score]:
    """Score an architecture of a space by each of several proxies of one setting but for epochs.

    Args:
        space: of the architecture.
        index: in the space.
        proxies: what to read off it; at least one.
        batch: see `MinibatchSettings.draw_for`.
        execution: how the network is run.
        seed: of the weights and of whatever the proxies draw.
        training: see `score_by_all`.
    """
    architecture = space[index]
    (skeleton,) = {setting_of(proxy).skeleton for proxy in proxies}
    planned = None
    read = [registered(proxy) for proxy in proxies]
    if training is None and execution.engine != "plain":
        planned = space.planned if all(isinstance(p, ReadsRectifiers) for p in read) else None

    def build(num_classes: int) -> nn.Module | Planned:
        if planned is not None:
            return planned(architecture)
        network = space.network(architecture, num_classes, skeleton)
        if skeleton is not None:
            return network
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    return score_by_all(build, proxies, batch, execution, seed, index, training=training)
