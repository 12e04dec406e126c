"""What a search is asked for, of any kind: cached or live."""

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
    """What any search needs, cached or live.

    Attributes:
        spelling: of the search.
        search: what is spelled so.
        space: that is searched.
        dataset: whose trainings and scores guide the search.
        budget: of each run that spends one.
        runs: the numbers of the runs.
        seed: of them all.
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
        """What progress is reported under."""
        return f"{self.spelling}/{self.space.name}/{self.dataset}"


@dataclass(frozen=True)
class Live:
    """How a live search scores what it proposes.

    Attributes:
        split: of the data set; `sample` is bundled.
        batch_size: images in the minibatch.
        augmentation: `none` or `crop-flip`.
        sampling: of images: `uniform`, or `balanced` by class.
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
