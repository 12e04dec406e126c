"""The settings of a search, cached or live."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from untrained.errors import ParameterError
from untrained.files import IMAGES
from untrained.scoring.progress import Track
from untrained.search.clock import Budget
from untrained.search.spelling import Search
from untrained.spaces import SearchSpace


@dataclass(frozen=True, eq=False)
class Task:
    """The settings that any search has, cached or live.

    Attributes:
        spelling: spelling of the search.
        search: the search that is spelled so.
        space: the space that is searched.
        dataset: the data set whose trainings and scores guide the search.
        budget: what each run may spend.
        runs: the numbers of the runs.
        seed: seed of all runs.
        track: reports progress.
        tell: takes messages for people.
    """

    spelling: str
    search: Search
    space: SearchSpace
    dataset: str
    budget: Budget
    runs: range
    seed: int
    track: Track
    tell: Callable[[str], None]

    @property
    def title(self) -> str:
        """The title of its progress."""
        return f"{self.spelling}/{self.space.name}/{self.dataset}"


@dataclass(frozen=True)
class Live:
    """The settings of the scores of a live search.

    Attributes:
        split: split of the data set; `sample` is bundled.
        batch_size: number of images in the minibatch.
        augmentation: `none` or `crop-flip`.
        sampling: draw of the images: `uniform`, or `balanced` by class.
        seeds: run r scores with seed r modulo so many.
        device: `auto`, or a device in PyTorch's notation.
        engine: `auto`, `plain` or `fast`; see `untrained.scoring.execution`.
        precision: `auto`, `float32` or `bfloat16`.
        ledger: file of finished scores, from which the search resumes; None for none.
        root: folder of the official files.

    Raises:
        ParameterError: no seeds.
    """

    split: str = "sample"
    batch_size: int = 128
    augmentation: str = "none"
    sampling: str = "uniform"
    seeds: int = 1
    device: str = "cpu"
    engine: str = "auto"
    precision: str = "auto"
    ledger: Path | None = None
    root: Path = IMAGES

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ParameterError(f"{self.seeds} seeds of the scores: 1 or more")
