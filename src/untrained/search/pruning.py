"""The pruning search of TE-NAS: cut a supernet down to one network, by two numbers of candidates.

Chen, Gong, Wang: Neural Architecture Search on ImageNet in Four GPU Hours: A Theoretically Inspired
Perspective, ICLR 2021 (arXiv 2102.11535), algorithm 1. In a round every live operation is left out
once; what its absence does to the condition number kappa of the tangent kernel and to the number R
of linear regions ranks it, and the lowest ranks of each edge are pruned. In the space `darts`,
whose nodes read two others, a last round ranks the inputs of each node in the same way.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from untrained.closure import code_digest
from untrained.errors import ParameterError, unknown_name
from untrained.files import IMAGES, digest
from untrained.images.sets import image_set
from untrained.scoring.ledger import Ledger, damaged, opened
from untrained.scoring.progress import Track, quiet, untracked
from untrained.search.measurements import (
    Changes,
    Job,
    Numbers,
    Values,
    mean_of_finite,
    measured,
    relative_changes,
)
from untrained.search.supernets import (
    Candidate,
    PrunedSpace,
    arrow,
    candidates_of,
    crowded_nodes,
    mask_after,
    pruned_space,
)
from untrained.seeds import numpy_generator
from untrained.spaces import get_space
from untrained.spaces.base import Architecture

if TYPE_CHECKING:
    import pandas as pd

    from untrained.networks.supernets import Mask

CRITERIA = ("both", "kappa", "regions")
VARIANTS = ("tenas", "released")

#: A row of a trace by column, in plain Python values.
Row = dict[str, Any]
_COLUMNS = {
    "round": "int64",
    "cell": "str",
    "edge": "str",
    "operation": "str",
    "kappa_change": "float64",
    "regions_change": "float64",
    "kappa_repeats": "int64",
    "kappa_rank": "int64",
    "regions_rank": "int64",
    "pruned": "bool",
    "kappa": "float64",
    "regions": "float64",
    "kappa_undefined": "int64",
}


@dataclass(frozen=True)
class Pruning:
    """The settings of a search.

    Attributes:
        variant: `tenas` draws weights and images anew for every repeat of every round, shows
            all candidates and the unpruned supernet of a repeat the same ones, and compares exact
            numbers. `released` keeps one initialisation, crops and flips images, and rounds as the
            authors' code does.
        criterion: `both` ranks, or one of them: `kappa` or `regions`.
        repeats: draws per round, over which changes are averaged.
        batch_size: images per kernel; by default the paper's 32, or what the released code takes.
        dataset: whose images are shown.
        split: `sample` (bundled), or a split of the official files.
        root: folder of the official files.
        device: that supernets are run on, in PyTorch's notation; it moves numbers by rounding.

    Raises:
        UnknownNameError, ParameterError: a setting that does not exist or is out of range.
    """

    variant: str = "tenas"
    criterion: str = "both"
    repeats: int = 3
    batch_size: int | None = None
    dataset: str = "cifar10"
    split: str = "sample"
    root: Path = IMAGES
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise unknown_name("variant of the pruning search", self.variant, VARIANTS)
        if self.criterion not in CRITERIA:
            raise unknown_name("criterion", self.criterion, CRITERIA)
        if self.repeats < 1:
            raise ParameterError(f"{self.repeats} repeats: 1 or more")
        if self.batch_size is not None and self.batch_size < 2:
            raise ParameterError(
                f"batch size {self.batch_size} is too small: a tangent kernel needs 2 or more "
                "images"
            )

    @property
    def released(self) -> bool:
        """Whether to do as the released code does."""
        return self.variant == "released"

    def images(self, space: PrunedSpace) -> int:
        """How many a kernel is of."""
        if self.batch_size is not None:
            return self.batch_size
        return space.released_batch if self.released else 32


@dataclass(frozen=True)
class Found:
    """The outcome of a search.

    Attributes:
        architecture: what is left.
        trace: one row per round and candidate, and a last one, without an operation, for what is
            left: `round` (from 1; where nodes keep some of their inputs, the last round with
            candidates cuts edges and ranks those of a node), `cell`, `edge` ("0->2"), `operation`,
            `kappa_change`, `regions_change` (means over repeats; positive where pruning lowers
            them), `kappa_repeats` (that the mean is over), `kappa_rank`, `regions_rank` (from 0,
            -1 where the criterion does not read it), `pruned`, and of the unpruned supernet of the
            round the means `kappa` and `regions` and in how many repeats `kappa_undefined`.
        seconds: that the search took, with what it took before it was interrupted.
    """

    architecture: Architecture
    trace: "pd.DataFrame"
    seconds: float = 0.0


def prune(
    space: str,
    settings: Pruning | None = None,
    seed: int = 0,
    *,
    workers: int = 1,
    ledger: Path | None = None,
    save: Callable[[Found], None] | None = None,
    track: Track = untracked,
    tell: Callable[[str], None] = quiet,
) -> Found:
    """Prune the supernet of a space until one architecture is left.

    Every edge keeps one operation, and every node as many inputs as the space says.

    Args:
        space: its name.
        settings: how; by default those of TE-NAS.
        seed: of everything random; the same for the same seed, whatever the workers.
        workers: processes that measure; 1 is this one.
        ledger: file of finished rounds, from which an interrupted search resumes; None for none.
        save: takes what was found to where it stays, after which the ledger forgets the rounds.
        track: reports progress.
        tell: takes messages for people.

    Raises:
        UnknownNameError: no such space.
        ParameterError: it has no supernet, no candidate of a round has a condition number to be
            ranked by, the minibatch is larger than the data set, or fewer than 1 worker.
        MissingDataError: the images are not there.
    """
    searched, settings = pruned_space(space), settings or Pruning()
    if workers < 1:
        raise ParameterError(f"{workers} workers: 1 or more")
    with ExitStack() as stack:
        kept = stack.enter_context(opened(ledger, _key(searched, settings, seed) if ledger else {}))
        rows, seconds = _rounds_in(kept)
        if rows:
            tell(f"continuing after round {rows[-1]['round']}")
        measure = stack.enter_context(_measuring(workers))
        search = _Search(searched, settings, seed, measure, track, kept, rows, seconds)
        found = search.run()
        if save is not None:
            save(found)
            kept.finish()
    return found


@contextmanager
def _measuring(workers: int) -> Iterator[Callable[..., Iterator[Numbers]]]:
    """A `map` over so many processes."""
    if workers == 1:
        yield map
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from untrained.scoring.execution import prepare_worker

    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=prepare_worker) as pool:
        yield pool.map


def _key(space: PrunedSpace, settings: Pruning, seed: int) -> dict[str, Any]:
    """All that the rounds of a search depend on, for the ledger."""
    asked = asdict(settings) | {"batch_size": settings.images(space)}
    shown = image_set(settings.dataset)
    files = [path for path in (shown.bundled, shown.file(asked.pop("root"))) if path]
    return {
        "work": "pruning rounds",
        "space": space.name,
        "seed": seed,
        "settings": asked,
        "files": [digest(path, "sha256") for path in files if path.is_file()],
        "versions": {name: version(name) for name in ("numpy", "torch")},
        "code": code_digest(__name__, type(get_space(space.name)).__module__),
    }


def _rounds_in(ledger: Ledger) -> tuple[list[Row], float]:
    """The rows of all finished rounds, and the seconds that they took."""
    rows: list[Row] = []
    seconds = 0.0
    try:
        for number in range(1, len(ledger.done) + 1):
            done = ledger.done[f"round {number}"]
            seconds += float(done["seconds"])
            rows += [{name: row[name] for name in _COLUMNS} for row in done["rows"]]
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(ledger.path) from error
    for row in rows:  # JSON has no NaN
        row |= {name: np.nan for name, value in row.items() if value is None}
    return rows, seconds


def dense_ranks(values: Values, *, released: bool = False) -> NDArray[np.int64]:
    """Ranks from 0, smallest value first; equal values share one, and so do all NaN, the last.

    The released code sorts by three significant figures, and gives two neighbours of that order
    the same rank where they are equal before rounding: so equal values with another between them
    may differ in rank, which is kept.
    """
    ranks = np.zeros(len(values), np.int64)
    known = np.flatnonzero(~np.isnan(values))
    if not released:
        distinct, ranks[known] = np.unique(values[known], return_inverse=True)
        ranks[np.isnan(values)] = len(distinct)
        return ranks
    rank, previous = -1, np.nan
    for position in sorted(known, key=lambda one: float(f"{values[one]:.3g}")):
        rank += bool(values[position] != previous)
        ranks[position], previous = rank, values[position]
    ranks[np.isnan(values)] = rank + 1
    return ranks


@dataclass(frozen=True)
class _Search:
    space: PrunedSpace
    settings: Pruning
    seed: int
    measure: Callable[..., Iterator[Numbers]]
    track: Track
    ledger: Ledger
    rows: list[Row]
    seconds: float

    def run(self) -> Found:
        import pandas as pd

        start = begun = time.perf_counter()
        mask = mask_after(self.space, self.rows)
        number = max((row["round"] for row in self.rows), default=0)
        while rivals := self._rivals(mask):
            before = len(self.rows)
            mask = self._pruned(number, mask, rivals)
            number += 1
            done = {"rows": _plain(self.rows[before:]), "seconds": time.perf_counter() - begun}
            self.ledger.add(f"round {number}", done)
            begun = time.perf_counter()
        left = self._numbers(number, mask, [])[0]
        self.rows.append(self._row(number, left))
        trace = pd.DataFrame(self.rows, columns=list(_COLUMNS)).astype(_COLUMNS)
        seconds = self.seconds + time.perf_counter() - start
        return Found(self.space.architecture(mask), trace, seconds)

    def _rivals(self, mask: "Mask") -> list[list[Candidate]]:
        """The candidates of the next round, in groups that are ranked each on its own."""
        operations = candidates_of(mask)
        return [operations] if operations else crowded_nodes(self.space, mask)

    def _pruned(self, number: int, mask: "Mask", rivals: list[list[Candidate]]) -> "Mask":
        """The mask after a round, whose rows are added to the trace."""
        candidates = [candidate for group in rivals for candidate in group]
        before, after = self._numbers(number, mask, candidates)
        changes = relative_changes(before, after, released=self.settings.released)
        groups = np.split(np.arange(len(candidates)), np.cumsum([len(g) for g in rivals])[:-1])
        kappa_ranks, regions_ranks = self._ranks(number, groups, changes)
        sums = np.maximum(kappa_ranks, 0) + np.maximum(regions_ranks, 0)
        order = self._order(number, sums)
        chosen: set[Candidate] = set()
        for group in groups:
            chosen |= self._chosen([candidates[i] for i in order if i in group], mask)
        for i, candidate in enumerate(candidates):
            own = {
                "kappa_change": float(changes.kappa[i]),
                "regions_change": float(changes.regions[i]),
                "kappa_repeats": int(changes.defined[i]),
                "kappa_rank": int(kappa_ranks[i]),
                "regions_rank": int(regions_ranks[i]),
                "pruned": candidate in chosen,
            }
            self.rows.append(self._row(number, before, candidate) | own)
        for candidate in chosen:
            mask = candidate.without(mask)
        return mask

    def _numbers(
        self, number: int, mask: "Mask", candidates: list[Candidate]
    ) -> tuple[list[Numbers], list[list[Numbers]]]:
        """Of the unpruned supernet for each repeat, and of each candidate for each repeat."""
        criterion = self.settings.criterion
        kappa, regions = criterion != "regions", criterion != "kappa"
        jobs: list[Job] = []
        for repeat in range(self.settings.repeats):
            common = (self.space.name, self.settings, self.seed, (number, repeat))
            jobs.append(Job(*common))
            jobs += [Job(*common, candidate, kappa, regions) for candidate in candidates]
        found = self.measure(measured, jobs, [mask] * len(jobs))
        numbers = list(self.track(found, len(jobs), f"round {number + 1}", "supernets"))
        width = 1 + len(candidates)
        return numbers[::width], [
            numbers[start + 1 : start + width] for start in range(0, len(numbers), width)
        ]

    def _ranks(
        self, number: int, groups: list[NDArray[np.int64]], changes: Changes
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ranks by kappa and by regions within each group of positions, what to prune first.

        They are -1 for what the criterion does not read.
        """
        kappa, regions = np.full((2, len(changes.kappa)), -1, np.int64)
        released, criterion = self.settings.released, self.settings.criterion
        if criterion != "regions" and np.isnan(changes.kappa).all():
            raise ParameterError(
                f"round {number + 1}: the tangent kernels of all {len(kappa)} candidates are "
                "singular, so none has a condition number: take a smaller batch or the criterion "
                "regions"
            )
        for group in groups:
            if criterion != "regions":
                kappa[group] = dense_ranks(-changes.kappa[group], released=released)
            if criterion != "kappa":
                regions[group] = dense_ranks(changes.regions[group], released=released)
        return kappa, regions

    def _order(self, number: int, sums: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions by summed ranks; ties at random, or in the order of the list as released."""
        ties = np.arange(len(sums))
        if not self.settings.released:
            ties = numpy_generator(self.seed, "pruning ties", number).permutation(len(sums))
        order: NDArray[np.int64] = np.lexsort((ties, sums))
        return order

    def _chosen(self, ordered: list[Candidate], mask: "Mask") -> set[Candidate]:
        """The first few of each edge, which keeps one at least; or all but the last of a node."""
        live = mask.sum(axis=1)
        if live.max() == 1 and self.space.kept_inputs is not None:
            return set(ordered[: -self.space.kept_inputs])
        chosen: set[Candidate] = set()
        for edge in np.flatnonzero(live > 1):
            own = [candidate for candidate in ordered if candidate.edge == edge]
            chosen.update(own[: min(self.space.pruned_per_round, int(live[edge]) - 1)])
        return chosen

    def _row(self, number: int, before: list[Numbers], candidate: Candidate | None = None) -> Row:
        """A row of the trace without what only candidates have."""
        kappas = np.array([[one.kappa] for one in before])
        row: Row = dict.fromkeys(("kappa_change", "regions_change"), np.nan)
        row |= {"cell": "", "edge": "", "operation": "", "pruned": False, "kappa_repeats": 0}
        row |= {
            "round": number + 1,
            "kappa_rank": -1,
            "regions_rank": -1,
            "kappa": float(mean_of_finite(kappas)[0]),
            "regions": float(np.mean([one.regions for one in before])),
            "kappa_undefined": int(np.count_nonzero(np.isnan(kappas))),
        }
        if candidate is not None:
            row["cell"] = self.space.cells[candidate.edge]
            row["edge"] = arrow(self.space.edges[candidate.edge])
            row["operation"] = self.space.operations[candidate.operation]
        return row


def _plain(rows: Sequence[Row]) -> list[Row]:
    """Rows as JSON holds them: NaN is null."""
    return [
        {name: None if value != value else value for name, value in row.items()} for row in rows
    ]
