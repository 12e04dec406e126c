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
from typing import TYPE_CHECKING, Unpack

import numpy as np
import numpy.typing as npt

from untrained.benchmarks.benchmark import Benchmark
from untrained.errors import ParameterError, unknown_name
from untrained.images.sets import NOISE
from untrained.scoring.columns import ABLATION_TYPES
from untrained.scoring.progress import Track, untracked
from untrained.scoring.request import Reading, ScoreRequest, Settings, parse_reading, requested
from untrained.seeds import numpy_generator
from untrained.spaces import SPACES, SearchSpace, get_space
from untrained.spaces.base import draw_without_replacement

if TYPE_CHECKING:
    import pandas as pd

    from untrained.scoring.images import MinibatchSettings

    Design = tuple[Sequence[MinibatchSettings], range, range]

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
        if not self.batch_sizes or len(set(self.batch_sizes)) < len(self.batch_sizes):
            sizes = ", ".join(map(str, self.batch_sizes)) or "empty"
            raise ParameterError(f"batch sizes are {sizes}: one or more, each once")
        if min(self.batch_sizes) < 2:
            raise ParameterError(f"batch size {min(self.batch_sizes)}: statistics need 2 or more")


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


def _noise(images: "MinibatchSettings") -> "MinibatchSettings":
    return replace(images, dataset=NOISE.name, split=NOISE.split(images.split))


#: The minibatches of each experiment without their seeds, the seeds of each minibatch and the seeds
#: of each initialisation. Repeats have the seeds 0, 1, ...; what is held fixed has seed 0. A
#: smaller minibatch is the beginning of a larger one with its seed.
EXPERIMENTS: dict[str, Callable[["MinibatchSettings", AblationSettings], "Design"]] = {
    "minibatch": lambda images, how: ([images], range(how.repeats), range(1)),
    "noise": lambda images, how: ([_noise(images)], range(how.repeats), range(1)),
    "initialisation": lambda images, how: ([images], range(1), range(how.repeats)),
    "batch-size": lambda images, how: (
        *([replace(images, batch_size=size) for size in how.batch_sizes], range(how.repeats)),
        range(1),
    ),
    "variance": lambda images, how: ([images], range(how.minibatches), range(how.initialisations)),
}

#: The experiment on cells drawn from the whole space; the others have a cell for each bin.
CROSSED = "variance"


def requests_of(
    experiment: str, request: ScoreRequest, settings: AblationSettings
) -> list[ScoreRequest]:
    """Return the requests of one experiment, which hold for each of its cells.

    Args:
        experiment: one of `EXPERIMENTS`.
        request: a request of one proxy, with the minibatch but for what the experiment varies.
        settings: how many of everything.

    Raises:
        UnknownNameError: no such experiment.
    """
    if experiment not in EXPERIMENTS:
        raise unknown_name("experiment", experiment, EXPERIMENTS)
    minibatches, minibatch_seeds, weight_seeds = EXPERIMENTS[experiment](request.images, settings)
    (reading,) = request.proxies
    return [
        replace(
            request,
            # crops are as many as the proxy has it, whatever the minibatch
            proxies=(
                reading if reading.setting.crop else replace(reading, images=images.batch_size),
            ),
            images=images,
            minibatch_seed=seed,
            seeds=tuple(weight_seeds),
        )
        for images, seed in product(minibatches, minibatch_seeds)
    ]


def cells_of(
    experiment: str, space: SearchSpace, accuracy: Accuracies, settings: AblationSettings
) -> list[BinnedCell]:
    """Return the cells of an experiment: one of each bin of accuracies, or random ones.

    Args:
        experiment: one of `EXPERIMENTS`.
        space: the space of the cells.
        accuracy: (len(space),) percent on CIFAR-100.
        settings: the number of random cells, and the seed of the draw.

    Raises:
        ParameterError: no cell in a bin, or more cells than the space has.
    """
    if experiment != CROSSED:
        return binned_cells(accuracy, settings.seed)
    return [
        BinnedCell(arch) for arch in draw_without_replacement(space, settings.cells, settings.seed)
    ]


def check_untrained(reading: Reading) -> None:
    """Raise ParameterError for a proxy that is read after training."""
    if "training" in reading.needs:
        raise ParameterError(f"{str(reading)!r} is read after training, and ablations don't train")


def ablate(
    space: str,
    *,
    experiments: Iterable[str] | None = None,
    proxy: str = "naswot",
    sizes: AblationSettings | None = None,
    benchmark: Path | None = None,
    track: Track = untracked,
    **settings: Unpack[Settings],
) -> "pd.DataFrame":
    """Score architectures again and again with one thing varied (the NASWOT paper's Fig. 5).

    Args:
        space: the name of the space.
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
    if not column:
        able = [name for name in SPACES.names() if get_space(name).ablations]
        raise ParameterError(
            f"no ablations of {space}: its benchmark has no accuracies to choose architectures by; "
            f"take {', '.join(able)}"
        )
    accuracy = Benchmark.load(space, path=benchmark).accuracies(*column)
    names, how = list(dict.fromkeys(experiments or searched.ablations)), sizes or AblationSettings()
    with requested(searched, [reading], [0], settings) as request:
        varied = [
            (name, one, cells_of(name, searched, accuracy, how))
            for name in names
            for one in requests_of(name, request, how)
        ]
        count = sum(len(one.seeds) * len(cells) for _, one, cells in varied)
        title = f"{space}/{'+'.join(names)}/{proxy} on {request.execution.device}"
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
