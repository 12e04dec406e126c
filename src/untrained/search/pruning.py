"""The pruning search of TE-NAS: cut a supernet down to one network, by two numbers of candidates.

Chen, Gong, Wang: Neural Architecture Search on ImageNet in Four GPU Hours: A Theoretically Inspired
Perspective, ICLR 2021 (arXiv 2102.11535), algorithm 1. In a round every live operation is left out
once; what its absence does to the condition number kappa of the tangent kernel and to the number R
of linear regions ranks it, and the lowest ranks of each edge are pruned. In the space `darts`,
whose nodes read two others, a last round ranks the inputs of each node in the same way.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from untrained.errors import ParameterError, unknown_name
from untrained.files import IMAGES
from untrained.seeds import numpy_generator, seed_sequence
from untrained.spaces import nasbench201
from untrained.spaces.base import Architecture, Skeleton

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from untrained.networks.supernets import Mask, Supernet

CRITERIA = ("both", "kappa", "regions")
VARIANTS = ("tenas", "released")
#: Random crops whose activation patterns are counted, as in the released code.
CROPS = 3000

Values = NDArray[np.float64]
#: A row of a trace by column, in plain Python values.
Row = dict[str, Any]
#: Yields what it is given and may report how far that is, of how many, in which round.
Watch = Callable[[Iterator["Numbers"], int, str], Iterator["Numbers"]]


@dataclass(frozen=True)
class PrunedSpace:
    """What the search needs to know of a space.

    Attributes:
        name: of the space.
        operations: of an edge, `none` first.
        cells: name of the cell of each edge of a mask.
        edges: (source, target) of each edge of a mask.
        pruned_per_round: operations that an edge loses in a round, as long as it keeps one.
        skeletons: of the network of the kernel and of the one of the regions.
        supernet: its class, made from a number of classes and a skeleton.
        architecture: of a mask that is cut down.
        released_batch: images per kernel in the released code.
        kept_inputs: edges into a node that a last round leaves; None for all.
    """

    name: str
    operations: tuple[str, ...]
    cells: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    pruned_per_round: int
    skeletons: tuple[Skeleton, Skeleton]
    supernet: type["Supernet"]
    architecture: Callable[["Mask"], Architecture]
    released_batch: int
    kept_inputs: int | None = None


def pruned_space(name: str) -> PrunedSpace:
    """What is known of the space called `name`.

    Raises:
        UnknownNameError: it has no supernet.
    """
    if name not in _SPACES:
        raise unknown_name("space of a pruning search", name, _SPACES)
    return _SPACES[name]()


def _nasbench201() -> PrunedSpace:
    from untrained.networks.supernets import NasBench201Supernet
    from untrained.proxies.linear_regions import THIN_SKELETON
    from untrained.proxies.ntk import TENAS_SKELETON
    from untrained.spaces import get_space

    space = get_space("nasbench201")

    def architecture(mask: "Mask") -> Architecture:
        operations = tuple(nasbench201.OPERATIONS[number] for number in mask.argmax(axis=1))
        return space.parse(nasbench201.spelling_of(operations))

    return PrunedSpace(
        name="nasbench201",
        operations=nasbench201.OPERATIONS,
        cells=("cell",) * len(nasbench201.EDGES),
        edges=nasbench201.EDGES,
        pruned_per_round=1,
        skeletons=(TENAS_SKELETON, THIN_SKELETON),
        supernet=NasBench201Supernet,
        architecture=architecture,
        released_batch=72,
    )


def _darts() -> PrunedSpace:
    from untrained.networks.supernets import DARTS_EDGES, DARTS_OPERATIONS, DartsSupernet
    from untrained.spaces import get_space
    from untrained.spaces.darts import Genotype

    space = get_space("darts")

    def cell(mask: "Mask") -> tuple[tuple[str, int], ...]:
        return tuple((DARTS_OPERATIONS[o], DARTS_EDGES[e][0]) for e, o in np.argwhere(mask))

    def architecture(mask: "Mask") -> Architecture:
        return space.parse(str(Genotype(*(cell(half) for half in np.split(mask, 2)))))

    return PrunedSpace(
        name="darts",
        operations=DARTS_OPERATIONS,
        cells=("normal",) * len(DARTS_EDGES) + ("reduce",) * len(DARTS_EDGES),
        edges=2 * DARTS_EDGES,
        pruned_per_round=3,
        skeletons=(
            Skeleton(channels=1, cells=1, stages=2),
            Skeleton(channels=1, cells=1, stages=2, stem=False),
        ),
        supernet=DartsSupernet,
        architecture=architecture,
        released_batch=14,
        kept_inputs=2,
    )


_SPACES: Mapping[str, Callable[[], PrunedSpace]] = {"darts": _darts, "nasbench201": _nasbench201}


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
class Candidate:
    """An operation that may be pruned.

    Attributes:
        edge: its row in the mask.
        operation: its column.
    """

    edge: int
    operation: int

    def without(self, mask: "Mask") -> "Mask":
        """The mask with the operation dead."""
        pruned = mask.copy()
        pruned[self.edge, self.operation] = False
        return pruned


@dataclass(frozen=True)
class Numbers:
    """What is read off a supernet under a mask.

    Attributes:
        kappa: condition number of the tangent kernel; NaN where there is none or none was asked.
        regions: number of linear regions; NaN where none was asked.
    """

    kappa: float
    regions: float


class Draw:
    """The weights and images of one repeat of one round, the same for all its candidates.

    Args:
        space: of the search.
        settings: of the search.
        seed: of everything random.
        keys: round and repeat, counted from 0.
    """

    def __init__(
        self, space: PrunedSpace, settings: Pruning, seed: int, keys: tuple[int, int]
    ) -> None:
        from untrained.images.minibatches import minibatch, random_crops
        from untrained.seeds import torch_seeded

        own = int(seed_sequence(seed, "pruning images", *keys).generate_state(1)[0])
        drawn = minibatch(
            settings.dataset,
            settings.split,
            own,
            settings.images(space),
            "crop-flip" if settings.released else "none",
            root=settings.root,
        )
        weights = () if settings.released else keys
        whole, thin = space.skeletons
        with torch_seeded(seed, "pruning weights", *weights):
            self.network = space.supernet(drawn.num_classes, whole).to(settings.device)
            self.thin = space.supernet(drawn.num_classes, thin).to(settings.device)
        crops = random_crops(drawn, (1, 3, 3), CROPS, own).images
        self.images: Tensor = drawn.images.to(settings.device)
        self.crops: Tensor = crops.to(settings.device)

    def numbers(self, mask: "Mask", *, kappa: bool = True, regions: bool = True) -> Numbers:
        """Of the supernets under a mask; what is not asked for is NaN."""
        from untrained.proxies.linear_regions import activation_patterns, count_distinct

        self.network.mask = self.thin.mask = mask
        return Numbers(
            self._kappa() if kappa else np.nan,
            count_distinct(activation_patterns(self.thin, self.crops)) if regions else np.nan,
        )

    def _kappa(self) -> float:
        from untrained.proxies.base import UndefinedScore
        from untrained.proxies.ntk import condition_number
        from untrained.proxies.tangent_kernels import tangent_kernel

        kernel = tangent_kernel(self.network, self.images).numpy()
        try:
            return condition_number(kernel)
        except UndefinedScore:
            return np.nan  # an outcome, which the trace counts


@dataclass(frozen=True)
class Changes:
    """What pruning does, for each of n candidates.

    Attributes:
        kappa: (n,) mean over repeats of (before - after) / before; NaN where no repeat has both.
        regions: (n,) likewise.
        defined: (n,) repeats that the mean of kappa is over.
    """

    kappa: Values
    regions: Values
    defined: NDArray[np.int64]


def relative_changes(
    before: Sequence[Numbers], after: Sequence[Sequence[Numbers]], *, released: bool
) -> Changes:
    """Mean changes over the repeats that have a number before and after.

    Args:
        before: of each repeat.
        after: of each repeat and candidate.
        released: whether each change is rounded to three decimals first.
    """
    kappa = np.array([[one.kappa for one in row] for row in after])
    regions = np.array([[one.regions for one in row] for row in after])
    kappa_before = np.array([[one.kappa] for one in before])
    regions_before = np.array([[one.regions] for one in before])
    kappa = (kappa_before - kappa) / kappa_before
    regions = (regions_before - regions) / regions_before
    if released:
        kappa, regions = kappa.round(3), regions.round(3)
    return Changes(_mean(kappa), _mean(regions), np.isfinite(kappa).sum(axis=0))


def _mean(changes: Values) -> Values:
    """(n,) mean over the finite ones of each column of (repeats, n), NaN where there are none."""
    known = np.isfinite(changes)
    counts = known.sum(axis=0)
    sums = np.where(known, changes, 0).sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


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


def candidates_of(mask: "Mask") -> list[Candidate]:
    """Live operations of edges with more than one, in the order of edges and operations."""
    crowded = mask.sum(axis=1) > 1
    return [Candidate(int(e), int(o)) for e, o in np.argwhere(mask & crowded[:, None])]


def crowded_nodes(space: PrunedSpace, mask: "Mask") -> list[list[Candidate]]:
    """The live operations into each node that reads more nodes than the space keeps."""
    if space.kept_inputs is None:
        return []
    nodes: dict[tuple[str, int], list[Candidate]] = {}
    for edge, operation in np.argwhere(mask):
        node = space.cells[edge], space.edges[edge][1]
        nodes.setdefault(node, []).append(Candidate(int(edge), int(operation)))
    return [inputs for inputs in nodes.values() if len(inputs) > space.kept_inputs]


def mask_after(space: PrunedSpace, rows: Sequence[Row]) -> "Mask":
    """The mask that is left after the rounds of a trace."""
    mask = space.supernet.full_mask()
    edges = {
        (cell, _arrow(edge)): row
        for row, (cell, edge) in enumerate(zip(space.cells, space.edges, strict=True))
    }
    for row in rows:
        if row["pruned"]:
            mask[edges[row["cell"], row["edge"]], space.operations.index(row["operation"])] = False
    return mask


def _arrow(edge: tuple[int, int]) -> str:
    source, target = edge
    return f"{source}->{target}"


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
    """

    architecture: Architecture
    trace: "pd.DataFrame"


@dataclass(frozen=True)
class Job:
    """One measurement; it depends on nothing else, so any process may make it.

    Attributes:
        space: name of the space.
        settings: of the search.
        seed: of the search.
        keys: round and repeat, counted from 0.
        removed: what is left out of the mask; None for the unpruned supernet.
        kappa: whether it is asked for.
        regions: whether they are.
    """

    space: str
    settings: Pruning
    seed: int
    keys: tuple[int, int]
    removed: Candidate | None = None
    kappa: bool = True
    regions: bool = True

    def run(self, mask: "Mask") -> Numbers:
        """Measure under a mask."""
        draw = _draw(self.space, self.settings, self.seed, self.keys)
        left = mask if self.removed is None else self.removed.without(mask)
        return draw.numbers(left, kappa=self.kappa, regions=self.regions)


@lru_cache(maxsize=1)
def _draw(space: str, settings: Pruning, seed: int, keys: tuple[int, int]) -> Draw:
    return Draw(pruned_space(space), settings, seed, keys)


def _measured(job: Job, mask: "Mask") -> Numbers:
    return job.run(mask)


def prune(
    space: PrunedSpace,
    settings: Pruning,
    seed: int = 0,
    *,
    workers: int = 1,
    watch: Watch = lambda numbers, _total, _what: numbers,
    begun: Sequence[Row] = (),
    finished: Callable[[Sequence[Row]], None] = lambda _rows: None,
) -> Found:
    """Prune until every edge has one operation, and every node the inputs that it keeps.

    Args:
        space: to search.
        settings: how.
        seed: of everything random; the same for the same seed, whatever the workers.
        workers: processes that measure; 1 is this one.
        watch: reports progress.
        begun: what `finished` was given by the same search, which goes on from there.
        finished: takes the rows of all rounds whenever one is done.

    Raises:
        ParameterError: no candidate of a round has a condition number to be ranked by, the
            minibatch is larger than the data set, or fewer than 1 worker.
        MissingDataError: the images are not there.
    """
    if workers < 1:
        raise ParameterError(f"{workers} workers: 1 or more")
    with ExitStack() as stack:
        measure: Callable[..., Iterator[Numbers]] = map
        if workers > 1:
            from concurrent.futures import ProcessPoolExecutor
            from multiprocessing import get_context

            from untrained.scoring.execution import prepare_worker

            pool = stack.enter_context(
                ProcessPoolExecutor(workers, get_context("spawn"), initializer=prepare_worker)
            )
            measure = pool.map
        return _Search(space, settings, seed, measure, watch, finished, list(begun)).run()


@dataclass(frozen=True)
class _Search:
    space: PrunedSpace
    settings: Pruning
    seed: int
    measure: Callable[..., Iterator[Numbers]]
    watch: Watch
    finished: Callable[[Sequence[Row]], None]
    rows: list[Row]

    def run(self) -> Found:
        import pandas as pd

        mask = mask_after(self.space, self.rows)
        number = max((row["round"] for row in self.rows), default=0)
        while rivals := self._rivals(mask):
            mask = self._pruned(number, mask, rivals)
            number += 1
            self.finished(self.rows)
        before = self._numbers(number, mask, [])[0]
        self.rows.append(self._row(number, before))
        trace = pd.DataFrame(self.rows, columns=list(_COLUMNS)).astype(_COLUMNS)
        return Found(self.space.architecture(mask), trace)

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
        found = self.measure(_measured, jobs, [mask] * len(jobs))
        numbers = list(self.watch(found, len(jobs), f"round {number + 1}"))
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
            "kappa": float(_mean(kappas)[0]),
            "regions": float(np.mean([one.regions for one in before])),
            "kappa_undefined": int(np.count_nonzero(np.isnan(kappas))),
        }
        if candidate is not None:
            row["cell"] = self.space.cells[candidate.edge]
            row["edge"] = _arrow(self.space.edges[candidate.edge])
            row["operation"] = self.space.operations[candidate.operation]
        return row


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
