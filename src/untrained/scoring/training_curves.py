"""Training curves: how the tangent kernel of a network, and scores, move in a short training.

Mok et al., CVPR 2022 (arXiv 2203.14577) follow the kernel from its state before training; Mellor et
al., ICML 2021 (arXiv 2006.04647, Fig. 6) follow a score. Nothing but the moments of reading tells
these scores from those of `name@epochs`: one training of a network serves all of them.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Unpack, cast

import torch

from untrained.errors import ParameterError
from untrained.images.sets import image_set
from untrained.images.splits import check_training_split
from untrained.proxies import Proxy, Setting
from untrained.proxies.base import Status, UndefinedScore
from untrained.proxies.kernel_change import kernel_correlation, relative_change
from untrained.proxies.label_alignment import Matrix
from untrained.proxies.ntk import VARIANTS, LabelGradientAlignment, LabelledKernel, check_finite
from untrained.proxies.validation import ValidationAccuracy
from untrained.scoring.columns import CURVE_COLUMNS
from untrained.scoring.curve_settings import PROXIES, CurveSettings
from untrained.scoring.engine import Score, images_of_seed, subject_of
from untrained.scoring.ledger import Ledger, opened
from untrained.scoring.progress import Track, quiet, untracked
from untrained.scoring.request import (
    Reading,
    ScoreRequest,
    Settings,
    parse_reading,
    requested,
)
from untrained.spaces import get_space
from untrained.training.short import Stop, WatchSteps, unwatched

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from untrained.images.minibatches import Minibatch

#: What is read beside the scores. The first two are of the kernel, held against that before
#: training; see `untrained.proxies.kernel_change`. `accuracy` is the percentage of the held-out
#: images that get their label, in the mode of the kernel; `loss` the cross-entropy of the batch of
#: the last step, before that step.
CHANGE, CORRELATION, ACCURACY, LOSS = ("change", "correlation", "accuracy", "loss")
QUANTITIES = (CHANGE, CORRELATION, ACCURACY, LOSS)


@dataclass(frozen=True)
class Point:
    """One number at one stop of a training.

    Attributes:
        epochs: of training so far.
        quantity: one of `QUANTITIES`, or a proxy as it is spelled.
        value: None where `status` is not "ok".
        status: "ok", or why there is no value; see `untrained.proxies.base.Status`.
        reason: the same in words.
    """

    __pydantic_config__: ClassVar = {"strict": True, "extra": "forbid", "allow_inf_nan": False}

    epochs: float
    quantity: str
    value: float | None
    status: Status
    reason: str

    def __post_init__(self) -> None:
        if (self.status == "ok") == (self.value is None):
            raise ValueError(f"a value of {self.value} has the status {self.status}")


@dataclass(frozen=True)
class Curve:
    """All points of one training.

    Attributes:
        arch: index of the architecture.
        seed: of minibatch, weights and training.
        points: in the order of epochs, then of `QUANTITIES` and proxies; there are no accuracy and
            no loss before training. After a training that diverged or ran out of memory all stops
            to come have that status, with its reason; earlier ones stay.
    """

    arch: int
    seed: int
    points: tuple[Point, ...]


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


def training_curves(
    space: str,
    architectures: Sequence[str | int],
    *,
    epochs: Sequence[float] = (0, 0.5, 1, 2),
    proxies: Sequence[str] | None = None,
    kernel: str = "weights_without_classifier_train",
    seeds: Sequence[int] = (0,),
    ledger: Path | None = None,
    save: "Callable[[pd.DataFrame], None] | None" = None,
    track: Track = untracked,
    tell: Callable[[str], None] = quiet,
    **settings: Unpack[Settings],
) -> list[Curve]:
    """Train architectures a little and follow their tangent kernel and scores.

    All is read on the minibatch; what is learned is the rest of the split (as `lga@1` does).

    Args:
        space: its name.
        architectures: indices or spellings, each once.
        epochs: when to read; starts with 0 and ascends.
        proxies: how those are spelled whose scores are read; those of the papers by default.
        kernel: parameters and mode of the kernel that is followed.
        seeds: of minibatch, weights and training.
        ledger: file from which an interrupted call resumes; None for none.
        save: takes the table of `curve_table` to where it stays; then the ledger forgets it.
        track: reports the progress of each training.
        tell: takes messages for people.
        settings: see `untrained.scoring.request.Settings`; the default batch size is 32, as the
            time of a kernel grows with its square.

    Raises:
        UntrainedError: a name or a setting that does not exist, or an unusable ledger.
    """
    searched = get_space(space)
    indices = [searched.parse(text).index for text in architectures]
    if len(set(indices)) < len(indices):
        named = " ".join(map(str, architectures))
        raise ParameterError(f"{named}: an architecture is named twice")
    readings = tuple(map(parse_reading, proxies or PROXIES))
    followed = CurveSettings(tuple(epochs), readings, kernel)
    settings.setdefault("batch_size", 32)
    with requested(searched, readings, seeds, settings) as request:
        image_set(request.images.dataset).check_split(request.images.split)
        check_training_split(request.images.dataset, request.images.split)
        with opened(ledger, _key(request, indices, followed) if ledger else {}, tell) as kept:
            curves = _resumed(request, indices, followed, kept, track, tell)
            if save is not None:
                save(curve_table(request.images.dataset, curves))
                kept.finish()
    return curves


def follow(
    request: ScoreRequest,
    index: int,
    settings: CurveSettings,
    seed: int,
    watch: WatchSteps = unwatched,
) -> Curve:
    """Train an architecture of a space once, and read the kernel and the scores at every stop.

    Scores are those of `score_work` with `name@epochs` and the same request: learned are the images
    of the split that are not held out, on which all is read.

    Args:
        request: of the curves, whose split has to be one for training; its proxies and seeds are
            not looked at.
        index: of the architecture.
        settings: what is read, and when.
        seed: of minibatch, weights and training.
        watch: wraps the steps of the training.
    """
    named, stops = list(_readings(settings)), list[Stop]()
    readings = [reading for _, reading in named]
    shown, learned = images_of_seed(request, seed, watch)
    subject = subject_of(request, index, readings, seed, shown, learned(False))
    scores = replace(subject, on_stop=stops.append).scores(readings)
    return Curve(index, seed, tuple(_points(named, scores, stops)))


def _resumed(
    request: ScoreRequest,
    indices: Sequence[int],
    settings: CurveSettings,
    kept: Ledger,
    track: Track,
    tell: Callable[[str], None],
) -> list[Curve]:
    """Return the curves of architectures with all seeds; those that the ledger lacks are made."""
    if kept.done:
        total = len(indices) * len(request.seeds)
        tell(f"{len(kept.done)} of {total} trainings were followed before")
    curves = []
    for seed, index in product(request.seeds, indices):
        item, title = f"{index} seed {seed}", f"training {index}, seed {seed}"
        if item in kept.done:
            curves.append(Curve(index, seed, tuple(kept.read(item, list[Point]))))
            continue
        watch = partial(track, what=title, unit="steps")
        curves.append(follow(request, index, settings, seed, watch))
        kept.add(item, curves[-1].points)
    return curves


def _key(
    request: ScoreRequest, indices: Sequence[int], settings: CurveSettings
) -> dict[str, object]:
    """Return what identifies the work in a ledger."""
    curves = {"architectures": list(indices), "kernel": settings.kernel}
    return request.key(__name__, curves=curves | {"epochs": list(settings.epochs)})


def curve_table(dataset: str, curves: Iterable[Curve]) -> "pd.DataFrame":
    """One row per point with `CURVE_COLUMNS`, architecture by architecture, seed by seed."""
    import pandas as pd

    rows = [
        (dataset, one.arch, one.seed, p.epochs, p.quantity, p.value, p.status, p.reason)
        for one in sorted(curves, key=lambda one: (one.arch, one.seed))
        for p in one.points
    ]
    return pd.DataFrame(rows, columns=CURVE_COLUMNS).astype(
        {"dataset": "str", "arch": "int64", "seed": "int64", "epochs": "float64"}
        | {"quantity": "str", "value": "float64", "status": "str", "reason": "str"}
    )


def _readings(settings: CurveSettings) -> Iterator[tuple[str, Reading]]:
    """(quantity, what reads it at a stop), stop by stop."""
    kernel, initial = LabelGradientAlignment(variant=settings.kernel), list[Matrix]()
    mode = VARIANTS[settings.kernel].mode
    for epochs in settings.epochs:
        found: dict[str, object] = {
            CHANGE: _Compared(kernel, relative_change, initial, keeps=not epochs),
            CORRELATION: _Compared(kernel, kernel_correlation, initial, keeps=not epochs),
        }
        if epochs:
            found[ACCURACY] = ValidationAccuracy(variant=mode)
        found |= {str(reading): reading.proxy for reading in settings.proxies}
        for quantity, proxy in found.items():
            yield quantity, Reading(cast("Proxy", proxy), epochs=epochs)


def _points(
    named: Sequence[tuple[str, Reading]], scores: Sequence[Score], stops: Sequence[Stop]
) -> Iterator[Point]:
    losses = {stop.epochs: stop.losses[-1] for stop in stops if stop.losses}
    for (quantity, reading), score in zip(named, scores, strict=True):
        epochs = reading.epochs
        yield Point(epochs, quantity, score.score, score.status, score.reason)
        if quantity == ACCURACY:
            if epochs in losses:
                yield Point(epochs, LOSS, losses[epochs], "ok", "")
            else:
                yield Point(epochs, LOSS, None, score.status, score.reason)
