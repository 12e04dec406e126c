"""Training curves: how the tangent kernel of a network, and scores, move in a short training.

Mok et al., CVPR 2022 (arXiv 2203.14577) follow the kernel from its state before training; Mellor et
al., ICML 2021 (arXiv 2006.04647, Fig. 6) follow a score. A curve is a list of readings with
different numbers of epochs, which are all read off one training of the network.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Unpack, cast

from untrained.errors import ParameterError, quoted
from untrained.images.sets import image_set
from untrained.images.splits import check_training_split
from untrained.proxies import Proxy, Setting
from untrained.proxies.base import UndefinedScore
from untrained.proxies.kernel_change import kernel_correlation, relative_change
from untrained.proxies.label_alignment import Matrix
from untrained.proxies.ntk import VARIANTS, LabelGradientAlignment, LabelledKernel, check_finite
from untrained.proxies.validation import ValidationAccuracy
from untrained.scoring.columns import CURVE_COLUMNS, CURVE_TYPES
from untrained.scoring.progress import Track, quiet, untracked
from untrained.scoring.request import (
    Reading,
    ScoreRequest,
    Settings,
    parse_reading,
    requested,
    spell_epochs,
)
from untrained.scoring.shards import scores_of
from untrained.spaces import SearchSpace, get_space
from untrained.training.recipe import steps_of

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from torch import nn

    from untrained.images.minibatches import Minibatch
    from untrained.scoring.ledger import Ledger
    from untrained.training.short import Stop

#: What is read besides scores. The first two compare the kernel with that before training; see
#: `untrained.proxies.kernel_change`. `accuracy` is the percentage of the held-out images that are
#: classified correctly, in the mode of the kernel; `loss` is the cross-entropy of the batch of the
#: last step, before that step. There is no accuracy and no loss before training.
CHANGE, CORRELATION, ACCURACY, LOSS = ("change", "correlation", "accuracy", "loss")
QUANTITIES = (CHANGE, CORRELATION, ACCURACY, LOSS)

#: Variants of the kernels of the benchmark's network and the run's minibatch.
KERNELS = tuple(name for name, known in VARIANTS.items() if known.setting == Setting())

#: Proxies of the papers; all but the first share the kernel that is followed by default.
PROXIES = (
    "naswot",
    "lga",
    "kernel_target_alignment",
    *(
        f"{name}-weights_without_classifier_train"
        for name in ("ntk_condition_number", "ntk_frobenius_norm", "ntk_mean")
    ),
)


@dataclass(frozen=True)
class CurveSettings:
    """The quantities of a training curve and the epochs at which they are read.

    Attributes:
        epochs: numbers of epochs, ascending; the first is 0.
        proxies: the proxies whose scores are read, without epochs of their own.
        kernel: one of `KERNELS`.

    Raises:
        ParameterError: epochs without 0 or out of order, a kernel or a proxy of another network or
            minibatch, or a proxy named twice.
    """

    epochs: tuple[float, ...]
    proxies: tuple[Reading, ...]
    kernel: str = "weights_without_classifier_train"

    def __post_init__(self) -> None:
        spelled = ", ".join(map(spell_epochs, self.epochs)) or "empty"
        for epochs in self.epochs:
            steps_of(epochs, 1)  # raises for what is no number of epochs
        if self.epochs[:1] != (0,) or list(self.epochs) != sorted(set(self.epochs)):
            raise ParameterError(
                f"epochs are {spelled}: start with 0, which all kernels are compared with, "
                "and ascend"
            )
        if self.kernel not in KERNELS:
            raise ParameterError(
                f"{quoted(self.kernel)} is no kernel to follow: take {', '.join(KERNELS)}"
            )
        names = list(map(str, self.proxies))
        for name, reading in zip(names, self.proxies, strict=True):
            if reading.epochs:
                raise ParameterError(
                    f"{quoted(name)} has its own epochs: drop @, the others are given"
                )
            if reading.setting != Setting():
                raise ParameterError(
                    f"{quoted(name)} is read off {reading.setting}, and one training serves all: "
                    "take a variant of the benchmark's network, as in ntk_mean-weights_train"
                )
            if names.count(name) > 1:
                raise ParameterError(f"{quoted(name)} is named twice: name a proxy once")


@dataclass(frozen=True, eq=False)
class _Compared:
    """A comparison of the kernel with that before training, read as a proxy is.

    Attributes:
        of: a proxy that is read off the kernel.
        compare: (kernel, initial kernel), each (n, n), to the number.
        initial: the kernel before training, once it is known.
        keeps: whether this is the stop before training.
    """

    name: ClassVar[str] = "kernel change"
    needs: ClassVar[frozenset[str]] = LabelGradientAlignment.needs

    of: LabelGradientAlignment
    compare: Callable[[Matrix, Matrix], float]
    initial: list[Matrix]
    keeps: bool

    @property
    def measurement(self) -> Hashable:
        return self.of.measurement

    def measure(
        self, network: "nn.Module", minibatch: "Minibatch", generator: "torch.Generator"
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
class _LastLoss:
    """The loss of the last step before the last of some stops, read as a proxy is."""

    name: ClassVar[str] = "loss"
    needs: ClassVar[frozenset[str]] = frozenset()

    stops: "list[Stop]"

    def __call__(self, *_given: object) -> float:
        return self.stops[-1].losses[-1]


def training_curves(
    space: str | SearchSpace,
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
) -> "pd.DataFrame":
    """Train architectures for a few epochs and follow their tangent kernel and scores.

    Everything is read on the minibatch; the network is trained on the rest of the split, as for
    `lga@1`.

    Args:
        space: the name of the space, or the space.
        architectures: indices or spellings, each once.
        epochs: the numbers of epochs at which to read, ascending from 0.
        proxies: the spellings of the proxies that are read; those of the papers by default.
        kernel: parameters and mode of the kernel that is followed.
        seeds: seeds of minibatch, weights and training.
        ledger: file from which an interrupted call resumes; None for none.
        save: writes the table; after that the ledger forgets the scores.
        track: reports the progress of each training.
        tell: takes messages for people.
        settings: see `untrained.scoring.request.Settings`; the default batch size is 32, as the
            time of a kernel grows with its square.

    Returns:
        A row for each number, with `untrained.scoring.columns.CURVE_COLUMNS`: architecture by
        architecture, seed by seed, stop by stop, first `QUANTITIES`, then scores. A value that is
        undefined has a status and a reason; from where a training diverges on, all have.

    Raises:
        UntrainedError: a name or a setting that does not exist, or an unusable ledger.
    """
    from untrained.scoring.ledger import opened

    searched = get_space(space)
    searched.check_numbered()
    indices = [searched.parse(text).index for text in architectures]
    if len(set(indices)) < len(indices):
        named = " ".join(map(str, architectures))
        raise ParameterError(f"{named}: an architecture is named twice")
    readings = tuple(map(parse_reading, proxies or PROXIES))
    followed = CurveSettings(tuple(epochs), readings, kernel)
    settings.setdefault("batch_size", 32)
    with requested(searched, readings, seeds, settings) as request:
        image_set(request.images.dataset).check_split(request.images.split)
        curves = {"architectures": indices, "kernel": kernel, "epochs": list(epochs)}
        key = request.key(__name__, curves=curves) if ledger else {}
        with opened(ledger, key, tell) as kept:
            table = curve_table(request, indices, followed, kept, track, tell)
            if save is not None:
                save(table)
                kept.finish()
    return table


def curve_table(
    request: ScoreRequest,
    indices: Sequence[int],
    settings: CurveSettings,
    kept: "Ledger",
    track: Track = untracked,
    tell: Callable[[str], None] = quiet,
) -> "pd.DataFrame":
    """Return the table of the curves of architectures with all seeds of a request.

    Args:
        request: the request, whose split has to be one for training.
        indices: the architectures.
        settings: what is read, and when.
        kept: ledger of the finished trainings.
        track: reports the progress of each training.
        tell: takes messages for people.
    """
    import pandas as pd

    dataset, total = request.images.dataset, len(indices) * len(request.seeds)
    check_training_split(dataset, request.images.split)
    if kept.done:
        tell(f"{len(kept.done)} of {total} trainings were followed before")
    rows = []
    for seed, index in product(request.seeds, indices):
        stops: list[Stop] = []
        named = list(_readings(settings, stops))
        work = [(index, seed, [reading for _, reading in named])]
        watch = partial(track, what=f"training {index}, seed {seed}", unit="steps")
        (scores,) = scores_of(request, work, kept, watch=watch, on_stop=stops.append)
        rows += [
            (dataset, index, seed, reading.epochs, quantity, one.score, one.status, one.reason)
            for (quantity, reading), one in zip(named, scores, strict=True)
        ]
    rows.sort(key=lambda row: row[1:3])
    return pd.DataFrame(rows, columns=CURVE_COLUMNS).astype(CURVE_TYPES)


def _readings(settings: CurveSettings, stops: "list[Stop]") -> Iterator[tuple[str, Reading]]:
    """Yield (quantity, what reads it at a stop), stop by stop."""
    kernel, initial = LabelGradientAlignment(variant=settings.kernel), list[Matrix]()
    mode = VARIANTS[settings.kernel].mode
    for epochs in settings.epochs:
        read: dict[str, object] = {
            CHANGE: _Compared(kernel, relative_change, initial, keeps=not epochs),
            CORRELATION: _Compared(kernel, kernel_correlation, initial, keeps=not epochs),
        }
        if epochs:
            read |= {ACCURACY: ValidationAccuracy(variant=mode), LOSS: _LastLoss(stops)}
        read |= {str(reading): reading.proxy for reading in settings.proxies}
        for quantity, proxy in read.items():
            yield quantity, Reading(cast("Proxy", proxy), epochs=epochs)
