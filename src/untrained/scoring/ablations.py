"""Ablations of a score (Mellor et al., ICML 2021, arXiv 2006.04647, section 3.1 and Fig. 5).

Four experiments vary one thing each on ten cells of different accuracy. A fifth crosses minibatches
with initialisations on many random cells, so that the variance of a score can be split. Each is a
list of requests.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Unpack

import numpy as np
import numpy.typing as npt

from untrained.benchmarks.benchmark import Benchmark
from untrained.errors import ParameterError, quoted, unknown_name
from untrained.images.sets import NOISE
from untrained.limits import COUNT, at_most
from untrained.scoring.columns import ABLATION_TYPES
from untrained.scoring.progress import Track, untracked
from untrained.scoring.request import Reading, ScoreRequest, Settings, parse_reading, requested
from untrained.seeds import numpy_generator
from untrained.spaces import SPACES, SearchSpace, get_space
from untrained.spaces.base import draw_without_replacement

if TYPE_CHECKING:
    import pandas as pd

    from untrained.scoring.images import MinibatchSettings

#: The paper's ten bins start at this accuracy, in percent.
LOWEST_ACCURACY = 50.0
BINS = 10

#: (len(space),) percent by index, NaN where unknown.
Accuracies = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BinnedCell:
    """A cell that stands for a bin of accuracies.

    Attributes:
        arch: index in the space.
        low: lower end of the bin, in percent.
        high: upper end. Both are NaN for a cell drawn from the whole space.
    """

    arch: int
    low: float = nan
    high: float = nan


@dataclass(frozen=True)
class AblationSettings:
    """The sizes of the experiments.

    Attributes:
        repeats: number of scores of each of the ten cells, per batch size.
        batch_sizes: the batch sizes of the experiment that varies them.
        cells: number of cells of the variance split, drawn at random from the whole space.
        minibatches: number of minibatches of the variance split.
        initialisations: number of initialisations of the variance split, each of which is crossed
            with each minibatch.
        seed: seed of the draws of cells.
    """

    repeats: int = 20
    batch_sizes: tuple[int, ...] = (32, 64, 128, 256)
    cells: int = 200
    minibatches: int = 4
    initialisations: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("repeats", "cells", "minibatches", "initialisations"):
            if getattr(self, name) < 2:
                raise ParameterError(f"{name} is {getattr(self, name)}: a spread needs 2 or more")
            at_most(COUNT, **{name: getattr(self, name)})
        if not self.batch_sizes or len(set(self.batch_sizes)) < len(self.batch_sizes):
            sizes = ", ".join(map(str, self.batch_sizes)) or "empty"
            raise ParameterError(f"batch sizes are {sizes}: one or more, each once")
        if min(self.batch_sizes) < 2:
            raise ParameterError(f"batch size {min(self.batch_sizes)}: statistics need 2 or more")
        at_most(COUNT, batch_sizes=max(self.batch_sizes))


def binned_cells(accuracy: Accuracies, seed: int) -> list[BinnedCell]:
    """Draw one cell from each of ten equally wide bins of accuracy.

    The paper takes one network for each 5 % of CIFAR-100 accuracy from 50 to 100 %. The best cell
    of NAS-Bench-201 has 73.5 % (test, 200 epochs, mean over the runs), so half of those bins would
    be empty. Here the ten bins go from 50 % to the best cell; each is about 2.35 points wide.

    Args:
        accuracy: (n,) percent by index in the space, NaN where unknown.
        seed: seed of the draw.

    Returns:
        Ten cells, least accurate first. A bin contains its lower end, the last one its upper end.

    Raises:
        ParameterError: no cell lies in one of the bins.
    """
    best = float(np.nanmax(accuracy))
    if best <= LOWEST_ACCURACY:
        raise ParameterError(
            f"the best accuracy is {best:.2f} %: the bins start at {LOWEST_ACCURACY:.0f} %"
        )
    edges = np.linspace(LOWEST_ACCURACY, best, BINS + 1)
    # NaN compares as false, so unknown accuracies fall outside every bin
    bins = np.where(accuracy >= LOWEST_ACCURACY, np.digitize(accuracy, edges[1:-1]), -1)
    cells = []
    for number, (low, high) in enumerate(pairwise(edges)):
        members = np.flatnonzero(bins == number)
        if not len(members):
            raise ParameterError(f"no cell has an accuracy from {low:.2f} to {high:.2f} %")
        drawn = numpy_generator(seed, "cell of an accuracy bin", number).choice(members)
        cells.append(BinnedCell(int(drawn), float(low), float(high)))
    return cells


class Design(NamedTuple):
    """The factors of an experiment: each cell is scored with each combination of them.

    Attributes:
        images: the settings of the minibatches.
        minibatch_seeds: the seeds of each minibatch.
        weight_seeds: the seeds of the initialisations.
        binned: whether there is one cell of each bin of accuracies, or random cells.
    """

    images: "Sequence[MinibatchSettings]"
    minibatch_seeds: range = range(1)
    weight_seeds: range = range(1)
    binned: bool = True


def _noise(images: "MinibatchSettings") -> "MinibatchSettings":
    return replace(images, dataset=NOISE.name, split=NOISE.split(images.split))


class Ablation(NamedTuple):
    """What one experiment varies.

    Attributes:
        sizes: the attributes of `AblationSettings` that it uses, besides the seed.
        design: makes its design from the settings of minibatches and those sizes.
    """

    sizes: tuple[str, ...]
    design: Callable[["MinibatchSettings", AblationSettings], Design]


#: All experiments. Repeats have the seeds 0, 1, ...; what is held fixed has seed 0. A smaller
#: minibatch is the beginning of a larger one with its seed.
EXPERIMENTS = {
    "minibatch": Ablation(("repeats",), lambda images, how: Design([images], range(how.repeats))),
    "noise": Ablation(
        ("repeats",), lambda images, how: Design([_noise(images)], range(how.repeats))
    ),
    "initialisation": Ablation(
        ("repeats",), lambda images, how: Design([images], weight_seeds=range(how.repeats))
    ),
    "batch-size": Ablation(
        ("repeats", "batch_sizes"),
        lambda images, how: Design(
            [replace(images, batch_size=size) for size in how.batch_sizes], range(how.repeats)
        ),
    ),
    "variance": Ablation(
        ("cells", "minibatches", "initialisations"),
        lambda images, how: Design(
            [images], range(how.minibatches), range(how.initialisations), binned=False
        ),
    ),
}


def requests_of(design: Design, request: ScoreRequest) -> list[ScoreRequest]:
    """Return a request for each minibatch of an experiment, with the seeds of initialisations.

    The number of images is that of the minibatch, whatever the definition of the proxy has; only
    the number of crops is that of the proxy.
    """
    (reading,) = request.proxies
    crops = reading.setting.crop is not None
    return [
        replace(
            request,
            proxies=(reading if crops else replace(reading, images=images.batch_size),),
            images=images,
            minibatch_seed=seed,
            seeds=tuple(design.weight_seeds),
        )
        for images, seed in product(design.images, design.minibatch_seeds)
    ]


def check_untrained(reading: Reading) -> None:
    """Raise ParameterError for a proxy that is read after training."""
    if "training" in reading.needs:
        raise ParameterError(
            f"{quoted(str(reading))} is read after training, and ablations don't train"
        )


def ablate(
    space: str | SearchSpace,
    *,
    experiments: Iterable[str] | None = None,
    proxy: str = "naswot",
    sizes: AblationSettings | None = None,
    benchmark: Path | None = None,
    track: Track = untracked,
    **settings: Unpack[Settings],
) -> "pd.DataFrame":
    """Score architectures repeatedly while one thing varies, as in Fig. 5 of the NASWOT paper.

    Args:
        space: the name of the space, or the space.
        experiments: names in `EXPERIMENTS`; None for all that make sense on the space.
        proxy: the spelling of the proxy.
        sizes: the sizes of the experiments.
        benchmark: table with the accuracies by which architectures are chosen; by default the
            fetched or bundled one.
        track: reports progress.
        settings: see `untrained.scoring.request.Settings`.

    Returns:
        A sorted row for each score; see `untrained.scoring.columns.ABLATION_TYPES`.

    Raises:
        UntrainedError: a name, a number or a setting that does not exist, no cell in a bin, or
            more cells than the space has.
    """
    searched, reading = get_space(space), parse_reading(proxy)
    check_untrained(reading)
    column = searched.benchmark and searched.benchmark.ablated_by
    if not column or not (experiments or searched.ablations):
        able = [name for name in SPACES.names() if get_space(name).ablations]
        raise ParameterError(
            f"no ablations of {searched.name}: it declares no `ablations`, or its benchmark no "
            f"`ablated_by`; take {', '.join(able)}"
        )
    accuracy = Benchmark.load(searched, path=benchmark).accuracies(*column)
    names, how = list(dict.fromkeys(experiments or searched.ablations)), sizes or AblationSettings()
    if unknown := [name for name in names if name not in EXPERIMENTS]:
        raise unknown_name("experiment", unknown[0], EXPERIMENTS)
    with requested(searched, [reading], [0], settings) as request:
        varied = []
        for name in names:
            design = EXPERIMENTS[name].design(request.images, how)
            if design.binned:
                cells = binned_cells(accuracy, how.seed)
            else:
                drawn = draw_without_replacement(searched, how.cells, how.seed)
                cells = [BinnedCell(arch) for arch in drawn]
            varied += [(name, one, cells) for one in requests_of(design, request)]
        count = sum(len(one.seeds) * len(cells) for _, one, cells in varied)
        title = f"{searched.name}/{'+'.join(names)}/{proxy} on {request.execution.device}"
        scored = (row for one in varied for row in scored_rows(*one))
        return ablation_table(track(scored, count, title, "scores"))


def scored_rows(
    experiment: str, request: ScoreRequest, cells: Sequence[BinnedCell]
) -> Iterator[tuple[object, ...]]:
    """Score cells with each seed of a request, and yield the rows of the table."""
    from untrained.scoring.engine import score_work

    asked = list(product(cells, request.seeds))
    work = ((cell.arch, seed, request.proxies) for cell, seed in asked)
    images = request.images
    for (cell, seed), (score,) in zip(asked, score_work(request, work), strict=True):
        yield (
            *(experiment, images.dataset, images.batch_size, cell.arch, cell.low, cell.high),
            *(request.minibatch_seed, seed, score.score, score.status),
        )


def ablation_table(rows: Iterable[tuple[object, ...]]) -> "pd.DataFrame":
    """Return the sorted table of rows with the columns of `ABLATION_TYPES`."""
    import pandas as pd

    keys = ["experiment", "batch_size", "arch", "minibatch_seed", "weight_seed"]
    table = pd.DataFrame(rows, columns=[*ABLATION_TYPES]).astype(ABLATION_TYPES)
    return table.sort_values(keys, ignore_index=True)
