"""What moves a score besides the architecture (Mellor et al. 2021, section 3.1 and Fig. 5).

Four experiments vary one thing each on ten cells of different accuracy; a fifth crosses minibatches
with initialisations on many random cells, so that the variance of a score can be split.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from math import nan
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from untrained.errors import ParameterError, unknown_name
from untrained.images.sets import image_set
from untrained.scoring.columns import ABLATION_COLUMNS
from untrained.scoring.engine import Score, score_architecture
from untrained.scoring.images import MinibatchSettings
from untrained.scoring.request import ScoreRequest
from untrained.seeds import numpy_generator
from untrained.spaces import SearchSpace
from untrained.spaces.base import draw_without_replacement

if TYPE_CHECKING:
    import pandas as pd

#: What each experiment varies; see `trials_of`.
EXPERIMENTS = ("minibatch", "noise", "initialisation", "batch-size", "variance")

#: The paper's ten bins start at this accuracy, in percent.
LOWEST_ACCURACY = 50.0
BINS = 10


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


def binned_cells(accuracy: npt.NDArray[np.float64], seed: int) -> list[BinnedCell]:
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


def trials_of(
    experiment: str,
    space: SearchSpace,
    accuracy: npt.NDArray[np.float64],
    images: MinibatchSettings,
    settings: AblationSettings,
) -> list[Trial]:
    """List the scores of one experiment.

    Repeats have the seeds 0, 1, ...; what is held fixed has seed 0.

    Args:
        experiment: `minibatch` draws another minibatch for each repeat, `noise` another one of
            N(0, 1) images, `initialisation` other weights, `batch-size` another minibatch of each
            size, all on `binned_cells`; `variance` crosses minibatches with initialisations on
            random cells. A smaller minibatch is the beginning of a larger one with its seed.
        space: of the cells.
        accuracy: (len(space),) on CIFAR-100, in percent.
        images: the minibatch, except for its size where sizes vary.
        settings: how many of everything.

    Returns:
        Trials with the same minibatch lie next to each other.

    Raises:
        UnknownNameError: no such experiment.
        ParameterError: no cell in a bin, or more cells than the space has.
    """
    if experiment not in EXPERIMENTS:
        raise unknown_name("experiment", experiment, EXPERIMENTS)
    repeats = range(settings.repeats)
    if experiment == "variance":
        drawn = draw_without_replacement(space, settings.cells, settings.seed)
        return [
            Trial(BinnedCell(arch), images, minibatch_seed, weight_seed)
            for minibatch_seed in range(settings.minibatches)
            for arch in drawn
            for weight_seed in range(settings.initialisations)
        ]
    cells = binned_cells(accuracy, settings.seed)
    if experiment == "initialisation":
        return [Trial(cell, images, 0, repeat) for cell in cells for repeat in repeats]
    shown = [images]
    if experiment == "noise":
        shown = [replace(images, dataset="noise", split=image_set("noise").split(images.split))]
    if experiment == "batch-size":
        shown = [replace(images, batch_size=size) for size in settings.batch_sizes]
    return [
        Trial(cell, settings_shown, repeat, 0)
        for settings_shown in shown
        for repeat in repeats
        for cell in cells
    ]


def score_trials(request: ScoreRequest, trials: Iterable[Trial]) -> Iterator[Score]:
    """Score trials by the proxy of a request, in order, as they are asked for.

    With equal seeds of minibatch and weights a score is that of `score_architectures`.

    Args:
        request: of one proxy; trials have images and seeds of their own.
        trials: those with the same minibatch next to each other, since each run of them draws it.
    """
    if isinstance(request.target, str):
        raise TypeError(f"{request.target} is no space of architectures")
    setting = request.proxies[0].setting
    if setting.crop is None:
        # the size is what some of the experiments vary, whatever the proxy's own would be
        setting = replace(setting, images=None)
    device = request.execution.device
    for (images, seed), same in groupby(trials, lambda trial: (trial.images, trial.minibatch_seed)):
        batch = images.draw_for(setting, seed, device)
        for trial in same:
            (score,) = score_architecture(
                request.target,
                trial.cell.arch,
                request.proxies,
                batch,
                request.execution,
                trial.weight_seed,
            )
            yield score


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
