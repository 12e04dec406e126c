"""How the tangent kernel of a network, and scores, move while it is trained a little.

Mok et al., CVPR 2022 (arXiv 2203.14577) follow the kernel from its state before training; Mellor et
al., ICML 2021 (arXiv 2006.04647, Fig. 6) follow a score. Nothing but the moments of reading tells
these scores from those of `name@epochs`: one training of a network serves all of them.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch

from untrained.errors import ParameterError
from untrained.proxies import Proxy, Setting, setting_of, spelling_of
from untrained.proxies.base import Status, UndefinedScore
from untrained.proxies.kernel_change import kernel_correlation, relative_change
from untrained.proxies.label_alignment import Matrix
from untrained.proxies.ntk import VARIANTS, LabelGradientAlignment, LabelledKernel, check_finite
from untrained.proxies.trained import spell_epochs, with_setting
from untrained.proxies.validation import ValidationAccuracy
from untrained.scoring.engine import MinibatchSettings, Score, score_architecture
from untrained.scoring.training import TrainingImages
from untrained.training.short import WatchSteps, steps_of, unwatched

if TYPE_CHECKING:
    from torch import nn

    from untrained.images.minibatches import Minibatch
    from untrained.scoring.execution import Execution
    from untrained.spaces import SearchSpace
    from untrained.training.short import Stop

#: What is read beside the scores. The first two are of the kernel, held against that before
#: training; see `untrained.proxies.kernel_change`. `accuracy` is the percentage of the held-out
#: images that get their label, in the mode of the kernel; `loss` the cross-entropy of the batch of
#: the last step, before that step.
CHANGE, CORRELATION, ACCURACY, LOSS = ("change", "correlation", "accuracy", "loss")
QUANTITIES = (CHANGE, CORRELATION, ACCURACY, LOSS)

#: Variants of the kernels of the benchmark's network and the run's minibatch.
KERNELS = tuple(name for name, known in VARIANTS.items() if known.setting == Setting())


@dataclass(frozen=True)
class Evolution:
    """What is followed, and when it is read.

    Attributes:
        epochs: numbers of epochs, ascending; the first is 0.
        proxies: whose scores are read, without epochs of their own.
        kernel: one of `KERNELS`.

    Raises:
        ParameterError: epochs without 0 or out of order, a kernel or a proxy of another network or
            minibatch, or a proxy named twice.
    """

    epochs: tuple[float, ...]
    proxies: tuple[Proxy, ...]
    kernel: str = "weights_without_classifier_train"

    def __post_init__(self) -> None:
        said = ", ".join(map(spell_epochs, self.epochs)) or "empty"
        for epochs in self.epochs:
            steps_of(epochs, 1)  # knows what a number of epochs is
        if self.epochs[:1] != (0,) or list(self.epochs) != sorted(set(self.epochs)):
            raise ParameterError(
                f"epochs are {said}: start with 0, which the kernel is held against, and ascend"
            )
        if self.kernel not in KERNELS:
            raise ParameterError(
                f"{self.kernel!r} is no kernel to follow: take {', '.join(KERNELS)}"
            )
        names = [spelling_of(proxy) for proxy in self.proxies]
        for name, proxy in zip(names, self.proxies, strict=True):
            setting = setting_of(proxy)
            if setting.epochs:
                raise ParameterError(f"{name!r} has its own epochs: drop @, the others are given")
            if setting != Setting():
                raise ParameterError(
                    f"{name!r} is read off {setting}, and one training serves all: take a variant "
                    "of the benchmark's network, as in ntk_mean-weights_train"
                )
            if names.count(name) > 1:
                raise ParameterError(f"{name!r} is named twice: name a proxy once")


@dataclass(frozen=True)
class Reading:
    """One number at one stop of a training.

    Attributes:
        epochs: of training so far.
        quantity: one of `QUANTITIES`, or a proxy as it is spelled.
        value: None where `status` is not "ok".
        status: "ok", or why there is no value; see `untrained.proxies.base.Status`.
        reason: the same in words.
    """

    epochs: float
    quantity: str
    value: float | None
    status: Status
    reason: str


@dataclass(frozen=True, eq=False)
class _Compared:
    """A number of the kernel and of that which the stop before training left.

    Attributes:
        of: a proxy that is read off the kernel.
        compare: (kernel, initial kernel), each (n, n), to the number.
        initial: empty until the initial kernel is known.
        keeps: whether this is the stop that keeps it.
    """

    name: ClassVar[str] = "kernel change"
    setting: ClassVar[Setting] = Setting()

    of: LabelGradientAlignment
    compare: Callable[[Matrix, Matrix], float]
    initial: list[Matrix]
    keeps: bool

    @property
    def measurement(self) -> Hashable:
        return self.of.measurement

    def measure(
        self, network: "nn.Module", minibatch: "Minibatch", generator: torch.Generator
    ) -> LabelledKernel:
        return self.of.measure(network, minibatch, generator)

    def read(self, measured: LabelledKernel) -> float:
        check_finite(measured.kernel)
        if self.keeps and not self.initial:
            self.initial.append(measured.kernel)
        if not self.initial:
            raise UndefinedScore("non_finite", "the kernel before training is not finite")
        return self.compare(measured.kernel, self.initial[0])


@dataclass(frozen=True, eq=False)
class _Recorded(TrainingImages):
    """Training images that keep where their training stopped.

    Attributes:
        stops: of the training so far.
    """

    stops: list["Stop"] = field(default_factory=list)

    def train(self, *given: Any, **options: Any) -> Iterator["Stop"]:  # noqa: ANN401
        for stop in super().train(*given, **options):
            self.stops.append(stop)
            yield stop


def evolve(
    space: "SearchSpace",
    indices: Iterable[int],
    evolution: Evolution,
    settings: MinibatchSettings,
    seed: int,
    execution: "Execution",
    watch: WatchSteps = unwatched,
) -> Iterator[list[Reading]]:
    """Train architectures of a space, each once, and read what is asked at every stop.

    Scores are those of `score_work` with `name@epochs` and the same settings, seed and execution:
    learned are the images of the split that are not held out, on which all is read.

    Args:
        space: of the architectures.
        indices: of the architectures.
        evolution: what is read, and when.
        settings: of the minibatch, of which the split has to be one for training.
        seed: of minibatch, weights and training.
        execution: how networks are run.
        watch: wraps the steps of each training.

    Yields:
        For each architecture the readings in the order of the epochs, then of `QUANTITIES` and
        proxies; there are no accuracy and no loss before training. After a training that diverged
        or ran out of memory all stops to come have that status, with its reason; earlier ones stay.
    """
    images = settings.training_images(seed, watch)
    shown = cache(lambda setting: settings.draw_for(setting, seed, execution.device))
    for index in indices:
        training = _Recorded(
            images.images, images.labels, images.known, images.recipe, images.watch, shown
        )
        numbers = list(_readers(evolution))
        asked = [proxy for _, _, proxy in numbers]
        scores = score_architecture(
            space, index, asked, shown(Setting()), execution, seed, training
        )
        yield list(_readings(numbers, scores, training.stops))


def _readers(evolution: Evolution) -> Iterator[tuple[float, str, Proxy]]:
    """(epochs, quantity, what reads it at that stop)."""
    kernel, initial = LabelGradientAlignment(variant=evolution.kernel), list[Matrix]()
    mode = VARIANTS[evolution.kernel].mode
    named = {spelling_of(proxy): proxy for proxy in evolution.proxies}
    for epochs in evolution.epochs:
        found: dict[str, object] = {
            CHANGE: _Compared(kernel, relative_change, initial, keeps=not epochs),
            CORRELATION: _Compared(kernel, kernel_correlation, initial, keeps=not epochs),
        }
        if epochs:
            found[ACCURACY] = ValidationAccuracy(variant=mode)
        for quantity, reader in (found | named).items():
            yield epochs, quantity, with_setting(cast("Proxy", reader), None, epochs)


def _readings(
    numbers: Sequence[tuple[float, str, Proxy]], scores: Sequence[Score], stops: Sequence["Stop"]
) -> Iterator[Reading]:
    losses = {stop.epochs: stop.losses[-1] for stop in stops if stop.losses}
    for (epochs, quantity, _), score in zip(numbers, scores, strict=True):
        yield Reading(epochs, quantity, score.score, score.status, score.reason)
        if quantity == ACCURACY:
            if epochs in losses:
                yield Reading(epochs, LOSS, losses[epochs], "ok", "")
            else:
                yield Reading(epochs, LOSS, None, score.status, score.reason)
