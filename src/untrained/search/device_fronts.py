"""For each device a search for the front of a score and its latency, and what to compare it with.

No accuracy is read. The table has one row per architecture of a front, with the columns of
`FRONT_TYPES`: the `score` whose front it is; `by`, the cost that it is weighed against, as in
"latency[raspi4]"; the `algorithm` that searched; the `run`; the number of `evaluations` after which
the front is read, and the `seconds` that so many scores take; the `place` of the architecture, from
0 for the lowest score; and the architecture, `arch`. A front without any member has one row, with
the architecture -1.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from untrained.benchmarks.devices import DeviceTable
from untrained.errors import MissingDataError, ParameterError
from untrained.files import read_parquet
from untrained.images.sets import image_set
from untrained.limits import COUNT, at_most
from untrained.scoring.columns import FRONT_TYPES, SECONDS
from untrained.scoring.ensembles import parse_proxy, readings_of
from untrained.scoring.progress import Track, untracked
from untrained.scoring.quantities import Costs, Quantity
from untrained.scoring.shipped import scores_at_hand
from untrained.search.members import part_of
from untrained.search.objectives import Objective, Objectives, parse_objective
from untrained.search.pareto import EVOLUTION, RANDOM, SEARCHERS, Aim, Values, searched
from untrained.search.runs import shard_of_runs
from untrained.seeds import check_seed, numpy_generator
from untrained.spaces import SearchSpace, get_space

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

#: Fronts are also read after a half of the evaluations, a quarter, and so on.
_HALVINGS = 4


def costs_of(
    space: SearchSpace, dataset: str, named: Sequence[str] = (), table: Path | None = None
) -> list[str]:
    """Return the spelled costs on devices.

    Args:
        space: the space.
        dataset: the data set of the networks.
        named: the costs; where there are none, all that are known of such networks.
        table: file of a table of devices beside those that are read anyway.

    Raises:
        UntrainedError: one is no cost on a device, is not known, or is there twice; or none is
            known of such networks.
    """
    known, measured = DeviceTable.load(space, table), image_set(dataset).measured_as
    names = []
    for one in map(parse_objective, named):
        quantity = one.of
        if not isinstance(quantity, Quantity) or not quantity.device or one.turned:
            raise ParameterError(f"{one} is no cost on a device: name one, as latency[raspi4]")
        known.values(quantity.metric, quantity.device, quantity.dataset or measured)
        if one.spelling in names:
            raise ParameterError(f"{one} is there twice: name it once")
        names.append(one.spelling)
    names = names or [
        f"{metric}[{device}]"
        for metric in ("latency", "energy")
        for device in known.devices
        if metric in known.metrics(device)
        # the values of a device that has one data set only hold for all
        and (len(there := known.datasets(metric, device)) == 1 or measured in there)
    ]
    if not names:
        raise MissingDataError(f"no cost on a device is known of networks of {measured}")
    return names


def device_fronts(
    space: str | SearchSpace,
    score: str,
    *,
    costs: Sequence[str] = (),
    controls: Sequence[str] = (),
    predictor: str | None = None,
    dataset: str = "cifar10",
    images: str | None = None,
    evaluations: int = 300,
    runs: int = 10,
    seed: int = 0,
    scores: Path | None = None,
    devices: Path | None = None,
    track: Track = untracked,
) -> "pd.DataFrame":
    """Search the fronts of a score and each cost, and those of controls.

    NSGA-II searches the front of the score and each cost. Beside it are the fronts of random
    search, which sees the same score; of NSGA-II by each control; of random search by a random
    number; and of NSGA-II by the score and the predictor instead of the cost.

    Architectures with the same score are in random order, a new one in each run. A front has the
    one of them with the least cost only, and counts have few values, so that it would else be the
    cost that chooses among most architectures, in favour of small ones. This leaves the ranks of an
    ensemble as they are.

    Args:
        space: the name of the space, or the space.
        score: a proxy or an ensemble.
        costs: costs on devices; all that are known of the space by default.
        controls: proxies or ensembles.
        predictor: a proxy of which less is wanted, in the place of the cost; None for none.
        dataset: the data set of the networks whose costs count.
        images: the data set of the images of the scores, `dataset` by default.
        evaluations: number of architectures that a run evaluates.
        runs: independent repetitions; run r depends on the seed and r alone.
        seed: seed of all random choices.
        scores: file of merged scores; by default that of the workflow, else those that come with
            the space.
        devices: file of a table of devices beside those that come with the space.
        track: reports progress.

    Returns:
        The table; see above.

    Raises:
        UntrainedError: a name is unknown, a number is out of range, or scores or costs are missing.
    """
    import pandas as pd

    known, shown = get_space(space), images or dataset
    if evaluations < 1:
        raise ParameterError(f"{evaluations} evaluations: 1 or more")
    at_most(COUNT, evaluations=evaluations)
    shard_of_runs(runs, 0, 1)
    check_seed(seed)
    spelled = costs_of(known, dataset, costs, devices)
    names = list(dict.fromkeys(str(parse_proxy(one)) for one in (score, *controls)))
    standing_in = [] if predictor is None else [str(parse_proxy(predictor))]
    scored = map(parse_proxy, names)
    wanted = [Objective(one, one.direction == "lower") for one in scored]
    wanted += [Objective(parse_proxy(name), lower=True) for name in standing_in]
    wanted += map(parse_objective, spelled)
    asked = Objectives(known, tuple(wanted), Costs(known, dataset, scores, devices))
    table = scores_at_hand(known, scores, [*map(str, asked.readings)], shown)
    if scores is not None and SECONDS in (whole := read_parquet(scores)):
        table = table.assign(**{SECONDS: whole[SECONDS]})
    table = table[table["dataset"] == shown]
    values = asked.cached(table, shown)
    part = part_of(known, values.architectures)
    gains = dict(zip(names, asked.aims, strict=False))
    losses = dict(zip([*standing_in, *spelled], asked.aims[len(names) :], strict=True))
    against = zip(losses, asked.each[len(names) :], strict=True)
    among = {by: replace(asked, each=(one,)).measured(part) for by, one in against}
    gains[RANDOM] = Aim((len(values.rows),))  # rows that are added to the values of each run
    single = {name: gains[name].rows[0] for name in names if not gains[name].rule}
    for place, name in enumerate(single, start=len(values.rows) + 1):
        gains[name] = replace(gains[name], rows=(place,))
    pairs = [(names[0], by, EVOLUTION) for by in losses]
    pairs += [(names[0], by, RANDOM) for by in spelled]
    pairs += [(name, by, EVOLUTION) for name in names[1:] for by in spelled]
    pairs += [(RANDOM, by, RANDOM) for by in spelled]
    seconds = {name: _seconds(table, name) for name in names} | {RANDOM: 0.0}
    steps = [-(-evaluations // 2**halving) for halving in range(_HALVINGS, -1, -1)]
    rows: list[tuple[object, ...]] = []
    for run in track(range(runs), runs, f"fronts/{known.name}/{dataset}", "runs"):
        lots = numpy_generator(seed, "random score", run).random(len(known))
        read = values.rows[:, run % values.rows.shape[1]]
        ranked = [_in_random_order(read[row], lots) for row in single.values()]
        own = np.vstack([read, lots, *ranked]).T.copy()
        for gain, by, algorithm in pairs:
            rng = numpy_generator(seed, "pareto search", run)
            aims, searcher = (gains[gain], losses[by]), SEARCHERS[algorithm]
            seen = next(searched(searcher, among[by], aims, _looked_up(own), evaluations, [rng]))
            indices = np.array([one.index for one in seen.architectures])
            for step in dict.fromkeys(steps):
                # a run that finds nothing new to evaluate ends early
                done = min(step, len(seen))
                found = indices[seen.front(done)[::-1]]  # that of the highest score came first
                front = found.tolist() or [-1]
                head = gain, by, algorithm, run, step, done * seconds[gain]
                rows += [(*head, place, arch) for place, arch in enumerate(front)]
    return pd.DataFrame(rows, columns=list(FRONT_TYPES)).astype(FRONT_TYPES)


def _in_random_order(values: Floats, lots: Floats) -> Floats:
    """Return the ranks (n,) of values, equal ones in the order of their lots; NaN if undefined."""
    found = np.empty(len(values))
    found[np.lexsort((lots, values))] = np.arange(len(values))
    return np.where(np.isfinite(values), found, np.nan)


def _looked_up(values: Floats) -> Values:
    """Return what looks values (n, rows) up."""
    return lambda architecture: values[architecture.index]


def _seconds(table: "pd.DataFrame", name: str) -> float:
    """Return the mean seconds of a score, of an ensemble that of all members; NaN if unknown."""
    if SECONDS not in table:
        return np.nan
    means = table.groupby("proxy")[SECONDS].mean()
    return float(sum(means[str(one)] for one in readings_of([name])))
