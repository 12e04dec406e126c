"""The pruning search of TE-NAS, which cuts a supernet down to one network without training.

Chen, Gong, Wang: Neural Architecture Search on ImageNet in Four GPU Hours: A Theoretically Inspired
Perspective, ICLR 2021 (arXiv 2102.11535), algorithm 1. In a round every live operation is removed
once. The changes of the condition number kappa of the tangent kernel and of the number R of linear
regions rank it, and the operations with the lowest ranks on each edge are pruned. In the space
`darts`, whose nodes have two inputs, a last round ranks the inputs of each node in the same way.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from untrained.benchmarks.benchmark import Benchmark
from untrained.closure import code_digest
from untrained.errors import ParameterError, unknown_name
from untrained.files import IMAGES, digest
from untrained.images.sets import image_set, modules_of
from untrained.limits import COUNT, WORKERS, at_most
from untrained.scoring.devices import leased_device
from untrained.scoring.ledger import opened
from untrained.scoring.progress import Track, quiet, untracked
from untrained.search.measurements import Numbers, measured_together
from untrained.search.rounds import Rounds
from untrained.search.supernets import PrunedSpace, pruned_space
from untrained.spaces import SearchSpace, get_space
from untrained.spaces.base import Architecture

if TYPE_CHECKING:
    import pandas as pd

#: Criterion to whether it reads kappa, and whether it reads the regions.
CRITERIA = {"both": (True, True), "kappa": (True, False), "regions": (False, True)}

#: The forms of the search, and what tables call them.
VARIANTS = {"tenas": "TE-NAS", "released": "TE-NAS released"}


@dataclass(frozen=True)
class Pruning:
    """The settings of a pruning search.

    Attributes:
        variant: `tenas` draws weights and images anew for every repeat of every round, measures all
            candidates and the unpruned supernet of a repeat with the same ones, and compares exact
            numbers. `released` keeps one initialisation, crops and flips images, and rounds
            numbers, as the authors' code does.
        criterion: the numbers whose ranks are summed: `both`, `kappa` or `regions`.
        repeats: draws per round, over which changes are averaged.
        batch_size: images per kernel; by default the paper's 32, or that of the released code.
        dataset: the data set of the images.
        split: split of the data set: `sample` is bundled, others are in the official files.
        root: folder of the official files.
        device: `auto`, a GPU that is free or else the CPU, or a device in PyTorch's notation;
            devices round differently.

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
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise unknown_name("variant of the pruning search", self.variant, VARIANTS)
        if self.criterion not in CRITERIA:
            raise unknown_name("criterion", self.criterion, CRITERIA)
        if self.repeats < 1:
            raise ParameterError(f"{self.repeats} repeats: 1 or more")
        at_most(COUNT, repeats=self.repeats, batch_size=self.batch_size or 0)
        if self.batch_size is not None and self.batch_size < 2:
            raise ParameterError(
                f"batch size {self.batch_size} is too small: a tangent kernel needs 2 or more "
                "images"
            )
        image_set(self.dataset).check_split(self.split)

    @property
    def released(self) -> bool:
        """Whether to search as the released code does."""
        return self.variant == "released"

    @property
    def reads(self) -> tuple[bool, bool]:
        """Whether the criterion reads kappa, and whether it reads the regions."""
        return CRITERIA[self.criterion]

    def images(self, space: PrunedSpace) -> int:
        """Return the number of images of a kernel."""
        if self.batch_size is not None:
            return self.batch_size
        return space.released_batch if self.released else 32


@dataclass(frozen=True)
class PruningResult:
    """The outcome of a pruning search.

    Attributes:
        architecture: the architecture that is left.
        trace: one row per round and candidate, and a last one without an operation for the
            architecture that is left: `round` (from 1; if nodes keep some of their inputs, the
            last round with candidates removes edges and ranks those into a node), `cell`, `edge`
            ("0->2"), `operation`, `kappa_change`, `regions_change` (means over repeats; positive if
            pruning lowers the number), `kappa_repeats` (number of repeats in the mean),
            `kappa_rank`, `regions_rank` (from 0; -1 if the criterion does not read it), `pruned`,
            and of the unpruned supernet of the round the means `kappa` and `regions` and the number
            of repeats `kappa_undefined`.
        settings: settings of the search, with the device on which it ran.
        seconds: duration of the search, including the time before an interruption.
    """

    architecture: Architecture
    trace: "pd.DataFrame"
    settings: Pruning
    seconds: float

    @property
    def undefined(self) -> int:
        """The number of candidates that lack a condition number in some repeat."""
        asked = self.trace[self.trace["kappa_rank"] >= 0]
        return int((asked["kappa_repeats"] < self.settings.repeats).sum())

    def known(self) -> dict[str, Any]:
        """Return the accuracies of the architecture, from the benchmark of the space.

        Without a benchmark, return the sizes of its networks and the command that trains them.
        """
        name = self.architecture.space
        if get_space(name).benchmark is not None:
            (found,) = Benchmark.load(name).accuracy(self.architecture.index).to_dict("records")
            return {"accuracy": {one: value for one, value in found.items() if value == value}}
        space = pruned_space(name)
        known: dict[str, Any] = {}
        if space.networks is not None:
            known["networks"] = space.networks(self.architecture)
        if space.training is not None:
            known["train"] = space.training(self.architecture, self.settings.dataset)
        return known


def prune(
    space: str | SearchSpace,
    settings: Pruning | None = None,
    seed: int = 0,
    *,
    workers: int | None = 1,
    ledger: Path | None = None,
    save: Callable[[PruningResult], None] | None = None,
    track: Track = untracked,
    tell: Callable[[str], None] = quiet,
) -> PruningResult:
    """Prune the supernet of a space until one architecture is left.

    Every edge keeps one operation, and every node as many inputs as the space says.

    Args:
        space: name of a space with a supernet, or the space.
        settings: settings of the search; by default those of TE-NAS.
        seed: seed of weights, images and ties. The same seed gives the same result.
        workers: number of processes that measure; it does not change the result. 1 is this
            process; None is one process per core, or this one on a GPU.
        ledger: file of finished rounds, from which an interrupted search resumes; None for none.
        save: stores what was found, after which the ledger drops the rounds.
        track: reports progress.
        tell: takes messages for people.

    Raises:
        UnknownNameError: there is no such space.
        ParameterError: the space has no supernet, no candidate of a round has a condition number,
            the minibatch is larger than the data set, or there is no worker.
        MissingDataError: the images have not been fetched.
    """
    searched, settings = pruned_space(get_space(space).name), settings or Pruning()
    if workers is not None and workers < 1:
        raise ParameterError(f"{workers} workers: 1 or more")
    at_most(WORKERS, workers=workers or 1)
    with leased_device(settings.device) as device:
        settings = replace(settings, device=str(device))
        if workers is None:
            workers = os.cpu_count() or 1 if device.type == "cpu" else 1
        key = _key(searched, settings, seed) if ledger else {}
        with opened(ledger, key, tell) as kept, _measuring(workers, device.type) as measure:
            if kept.done:
                tell(f"continuing after round {len(kept.done)}")
            rounds = Rounds(searched, settings, seed, measure, track, kept)
            left, trace, seconds = rounds.run()
            found = PruningResult(searched.architecture(left), trace, settings, seconds)
            if save is not None:
                save(found)
                kept.finish()
    return found


@contextmanager
def _measuring(workers: int, device: str) -> Iterator[Callable[..., Iterator[Numbers]]]:
    """Provide a `map` over some number of processes; on a GPU one measures many at once."""
    if workers == 1:
        yield map if device == "cpu" else measured_together
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from untrained.scoring.execution import prepare_worker

    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=prepare_worker) as pool:
        yield pool.map


def _key(space: PrunedSpace, settings: Pruning, seed: int) -> dict[str, Any]:
    """Return everything that the rounds of a search depend on, as the key of the ledger."""
    # not the number of the card, as another one may be free where the search goes on
    kind = settings.device.partition(":")[0]
    asked = asdict(settings) | {"batch_size": settings.images(space), "device": kind}
    shown, searched = image_set(settings.dataset), get_space(space.name)
    supernet = [searched.supernet] if searched.supernet else []
    files = [path for path in (shown.bundled, shown.file(asked.pop("root"))) if path]
    return {
        "work": "pruning rounds",
        "space": space.name,
        "seed": seed,
        "settings": asked,
        "files": [digest(path, "sha256") for path in files if path.is_file()],
        "versions": {name: version(name) for name in ("numpy", "torch")},
        "code": code_digest(
            __name__, type(searched).__module__, *supernet, *modules_of(settings.dataset)
        ),
    }
