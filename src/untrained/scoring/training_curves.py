"""Training curves: how the tangent kernel of a network, and scores, move in a short training.

Mok et al., CVPR 2022 (arXiv 2203.14577) follow the kernel from its state before training; Mellor et
al., ICML 2021 (arXiv 2006.04647, Fig. 6) follow a score. Nothing but the moments of reading tells
these scores from those of `name@epochs`: one training of a network serves all of them.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, cast, get_args

import torch

from untrained.proxies import Proxy, Setting
from untrained.proxies.base import Status, UndefinedScore
from untrained.proxies.kernel_change import kernel_correlation, relative_change
from untrained.proxies.label_alignment import Matrix
from untrained.proxies.ntk import VARIANTS, LabelGradientAlignment, LabelledKernel, check_finite
from untrained.proxies.validation import ValidationAccuracy
from untrained.scoring.columns import CURVE_COLUMNS
from untrained.scoring.curve_settings import CurveSettings
from untrained.scoring.engine import Score, is_finite, score_architecture
from untrained.scoring.ledger import Ledger, damaged
from untrained.scoring.request import Reading, ScoreRequest
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

    epochs: float
    quantity: str
    value: float | None
    status: Status
    reason: str


@dataclass(frozen=True)
class Curve:
    """What was read over one training.

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


def follow(
    request: ScoreRequest,
    indices: Iterable[int],
    settings: CurveSettings,
    seed: int,
    watch: WatchSteps = unwatched,
) -> Iterator[Curve]:
    """Train architectures of a space, each once, and read what is asked at every stop.

    Scores are those of `score_work` with `name@epochs` and the same request: learned are the images
    of the split that are not held out, on which all is read.

    Args:
        request: of the curves, whose split has to be one for training; its proxies and seeds are
            not looked at.
        indices: of the architectures.
        settings: what is read, and when.
        seed: of minibatch, weights and training.
        watch: wraps the steps of each training.
    """
    if isinstance(request.target, str):
        raise TypeError(f"{request.target} is no space of architectures")
    images, execution = request.images, request.execution
    learned = replace(images.training_images(seed, watch), recipe=request.training)
    shown = cache(lambda setting: images.draw_for(setting, seed, execution.device))
    for index in indices:
        stops: list[Stop] = []
        training = replace(learned, shown=shown, on_stop=stops.append)
        named = list(_readings(settings))
        scores = score_architecture(
            request.target,
            index,
            [reading for _, reading in named],
            shown(Setting()),
            execution,
            seed,
            training,
        )
        yield Curve(index, seed, tuple(_points(named, scores, stops)))


def resume(
    request: ScoreRequest,
    indices: Sequence[int],
    settings: CurveSettings,
    ledger: Ledger,
    watch: Callable[[str, Iterable[int], int], Iterable[int]],
) -> list[Curve]:
    """Follow architectures with all seeds of a request, but for what the ledger has.

    Args:
        request: of the curves.
        indices: of the architectures.
        settings: what is read, and when.
        ledger: opened for `key_of` these.
        watch: wraps the steps of each training, after its name.

    Raises:
        DamagedFileError: the ledger holds something else than curves.
    """
    curves = []
    for seed in request.seeds:
        for index in indices:
            item = f"{index} seed {seed}"
            if item in ledger.done:
                curves.append(_curve(index, seed, ledger))
                continue

            def steps(
                given: Iterable[int], count: int, name: str = f"training {index}, seed {seed}"
            ) -> Iterable[int]:
                return watch(name, given, count)

            (curve,) = follow(request, [index], settings, seed, steps)
            ledger.add(item, [asdict(point) for point in curve.points])
            curves.append(curve)
    return curves


def key_of(
    request: ScoreRequest, indices: Sequence[int], settings: CurveSettings
) -> dict[str, Any]:
    """What identifies the work of `resume` in a ledger."""
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


def _curve(index: int, seed: int, ledger: Ledger) -> Curve:
    """The curve of an architecture and seed in a ledger."""
    held = ledger.done[f"{index} seed {seed}"]
    if not isinstance(held, list) or not all(map(_is_point, held)):
        raise damaged(ledger.path)
    return Curve(index, seed, tuple(Point(**one) for one in held))


def _is_point(value: Any) -> bool:  # noqa: ANN401 - whatever JSON holds
    if not isinstance(value, dict) or value.keys() != {one.name for one in fields(Point)}:
        return False
    defined = is_finite(value["value"]) if value["status"] == "ok" else value["value"] is None
    text = isinstance(value["quantity"], str) and isinstance(value["reason"], str)
    return defined and text and value["status"] in get_args(Status) and is_finite(value["epochs"])
