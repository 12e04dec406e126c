"""What moves a score besides the architecture (Mellor et al. 2021, section 3.1 and Fig. 5).

Four experiments vary one thing each on ten cells of different accuracy; a fifth crosses minibatches
with initialisations on many random cells, so that the variance of a score can be split.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise, product
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np
import numpy.typing as npt

from untrained.benchmarks.benchmark import Benchmark
from untrained.errors import ParameterError, unknown_name
from untrained.images.minibatches import Minibatch
from untrained.images.sets import NOISE
from untrained.scoring.columns import ABLATION_COLUMNS
from untrained.scoring.engine import Score, subject_of
from untrained.scoring.images import MinibatchSettings
from untrained.scoring.progress import Track, untracked
from untrained.scoring.request import ScoreRequest, Settings, images_of, parse_reading, requested
from untrained.seeds import numpy_generator
from untrained.spaces import SPACES, SearchSpace, get_space
from untrained.spaces.base import draw_without_replacement

if TYPE_CHECKING:
    import pandas as pd

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
        high: upper end. Both are NaN where a cell was drawn from the whole space.
    """

    arch: int
    low: float = nan
    high: float = nan


@dataclass(frozen=True)
class Trial:
    """One score to compute.

    Attributes:
        cell: whose.
        images: the minibatch up to its seed.
        minibatch_seed: of the minibatch.
        weight_seed: of the initialisation. Each cell has its own stream of weights, so equal
            seeds of two cells have nothing in common.
    """

    cell: BinnedCell
    images: MinibatchSettings
    minibatch_seed: int
    weight_seed: int


@dataclass(frozen=True)
class AblationSettings:
    """How large the experiments are.

    Attributes:
        repeats: scores of each of the ten cells, per batch size.
        batch_sizes: of the experiment that varies them.
        cells: drawn at random from the whole space for the variance split.
        minibatches: of the variance split.
        initialisations: of the variance split; each is crossed with each minibatch.
        seed: of the draws of cells.
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

    The paper takes one network per 5 % of CIFAR-100 accuracy from 50 to 100. NAS-Bench-201 ends at
    73.5 % (test, 200 epochs, mean over the runs), so half of those bins are empty; here the ten
    bins divide what there is, from 50 % to the best cell, and each is about 2.35 points wide.

    Args:
        accuracy: (n,) percent by index in the space, NaN where unknown.
        seed: of the draw.

    Returns:
        Ten cells, least accurate first. A bin holds its lower end; the last one its upper too.

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


@dataclass(frozen=True)
class Design:
    """The factors of an experiment: each cell is scored with each minibatch and initialisation.

    Attributes:
        images: the minibatches up to their seed.
        minibatch_seeds: of each of them.
        weight_seeds: of the initialisations.
        binned: whether the cells are `binned_cells`, or random ones.
    """

    images: Sequence[MinibatchSettings]
    minibatch_seeds: Sequence[int] = (0,)
    weight_seeds: Sequence[int] = (0,)
    binned: bool = True


def _of_noise(images: MinibatchSettings) -> MinibatchSettings:
    return replace(images, dataset=NOISE.name, split=NOISE.split(images.split))


#: What each experiment varies: repeats have the seeds 0, 1, ...; what is held fixed has seed 0. A
#: smaller minibatch is the beginning of a larger one with its seed.
EXPERIMENTS: dict[str, Callable[[MinibatchSettings, AblationSettings], Design]] = {
    "minibatch": lambda images, how: Design([images], range(how.repeats)),
    "noise": lambda images, how: Design([_of_noise(images)], range(how.repeats)),
    "initialisation": lambda images, how: Design([images], weight_seeds=range(how.repeats)),
    "batch-size": lambda images, how: Design(
        [replace(images, batch_size=size) for size in how.batch_sizes], range(how.repeats)
    ),
    "variance": lambda images, how: Design(
        [images], range(how.minibatches), range(how.initialisations), binned=False
    ),
}


def trials_of(
    experiment: str,
    space: SearchSpace,
    accuracy: Accuracies,
    images: MinibatchSettings,
    settings: AblationSettings,
) -> list[Trial]:
    """List the scores of one experiment; trials with the same minibatch lie next to each other.

    Args:
        experiment: one of `EXPERIMENTS`.
        space: of the cells.
        accuracy: on CIFAR-100, in percent.
        images: the minibatch, except for what the experiment varies.
        settings: how many of everything.

    Raises:
        UnknownNameError: no such experiment.
        ParameterError: no cell in a bin, or more cells than the space has.
    """
    if experiment not in EXPERIMENTS:
        raise unknown_name("experiment", experiment, EXPERIMENTS)
    design = EXPERIMENTS[experiment](images, settings)
    if design.binned:
        cells = binned_cells(accuracy, settings.seed)
    else:
        drawn = draw_without_replacement(space, settings.cells, settings.seed)
        cells = [BinnedCell(arch) for arch in drawn]
    varied = product(design.images, design.minibatch_seeds, cells, design.weight_seeds)
    return [Trial(cell, shown, images_seed, seed) for shown, images_seed, cell, seed in varied]


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
        space: its name.
        experiments: what is varied, of `EXPERIMENTS`; None for all that make sense.
        proxy: how it is spelled.
        sizes: how large the experiments are.
        benchmark: table with the accuracies after which architectures are chosen; by default the
            fetched or bundled one.
        track: reports progress.
        settings: see `untrained.scoring.request.Settings`.

    Returns:
        A row per score; see `untrained.scoring.columns.ABLATION_COLUMNS`.

    Raises:
        UntrainedError: a name, a number or a setting that does not exist, no cell in a bin, or
            more cells than the space has.
    """
    searched, reading = get_space(space), parse_reading(proxy)
    column = searched.benchmark and searched.benchmark.ablated_by
    if not column:
        able = [name for name in SPACES.names() if get_space(name).ablations]
        raise ParameterError(
            f"no ablations of {space}: its benchmark has no accuracies to choose architectures by; "
            f"take {', '.join(able)}"
        )
    accuracy = Benchmark.load(space, path=benchmark).accuracies(*column)
    images, how = images_of(settings), sizes or AblationSettings()
    names = list(dict.fromkeys(experiments or searched.ablations))
    trials = [
        (name, trial)
        for name in names
        for trial in trials_of(name, searched, accuracy, images, how)
    ]
    with requested(searched, [reading], [0], settings) as request:
        scores = score_trials(request, (trial for _, trial in trials))
        title = f"{space}/{'+'.join(names)}/{proxy} on {request.execution.device}"
        followed = track(scores, len(trials), title, "scores")
        return ablation_table(
            (name, trial, score) for (name, trial), score in zip(trials, followed, strict=True)
        )


def score_trials(request: ScoreRequest, trials: Iterable[Trial]) -> Iterator[Score]:
    """Score trials by the proxy of a request, in order, as they are asked for.

    With equal seeds of minibatch and weights a score is that of `score_work`.

    Args:
        request: of one proxy; trials have images and seeds of their own.
        trials: those with the same minibatch next to each other, since each run of them draws it.
    """
    setting = request.proxies[0].setting
    if setting.crop is None:
        # the size is what some of the experiments vary, whatever the proxy's own would be
        setting = replace(setting, images=None)

    def scores(trial: Trial, batch: Minibatch) -> list[Score]:
        arch, seed, proxies = trial.cell.arch, trial.weight_seed, request.proxies
        return subject_of(request, arch, proxies, seed, lambda _setting: batch).scores(proxies)

    for (images, seed), same in groupby(trials, lambda trial: (trial.images, trial.minibatch_seed)):
        batch = images.draw_for(setting, seed, request.execution.device)
        for trial in same:
            yield from scores(trial, batch)


def ablation_table(rows: Iterable[tuple[str, Trial, Score]]) -> "pd.DataFrame":
    """A sorted row with `ABLATION_COLUMNS` for each (experiment, trial, score)."""
    import pandas as pd

    found = [
        (
            *(experiment, trial.images.dataset, trial.images.batch_size),
            *(trial.cell.arch, trial.cell.low, trial.cell.high),
            *(trial.minibatch_seed, trial.weight_seed, score.score, score.status),
        )
        for experiment, trial, score in rows
    ]
    types = {"experiment": "str", "dataset": "str", "batch_size": "int32", "arch": "int32"}
    types |= dict.fromkeys(("bin_low", "bin_high", "score"), "float64")
    types |= dict.fromkeys(("minibatch_seed", "weight_seed"), "int64") | {"status": "str"}
    keys = ["experiment", "batch_size", "arch", "minibatch_seed", "weight_seed"]
    table = pd.DataFrame(found, columns=ABLATION_COLUMNS).astype(types)
    return table.sort_values(keys, ignore_index=True)
