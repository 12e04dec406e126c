"""Training-free neural architecture search: rank architectures before training them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from untrained.api import Score as Score
    from untrained.api import Scores as Scores
    from untrained.api import rank as rank
    from untrained.api import score as score
    from untrained.api import score_seeds as score_seeds
    from untrained.benchmarks.benchmark import Benchmark as Benchmark
    from untrained.benchmarks.benchmark import benchmark as benchmark
    from untrained.benchmarks.devices import DeviceTable as DeviceTable
    from untrained.benchmarks.devices import devices as devices
    from untrained.catalogue import list_algorithms as list_algorithms
    from untrained.catalogue import list_datasets as list_datasets
    from untrained.catalogue import list_devices as list_devices
    from untrained.catalogue import list_proxies as list_proxies
    from untrained.catalogue import list_spaces as list_spaces
    from untrained.errors import UntrainedError as UntrainedError
    from untrained.images.sets import ImageSet as ImageSet
    from untrained.proxies.base import BaseProxy as BaseProxy
    from untrained.proxies.base import UndefinedScore as UndefinedScore
    from untrained.scoring.ablations import AblationSettings as AblationSettings
    from untrained.scoring.ablations import ablate as ablate
    from untrained.scoring.measuring import measure as measure
    from untrained.scoring.quantities import quantity_values as quantity_values
    from untrained.scoring.shards import score_space as score_space
    from untrained.scoring.shipped import cached_scores as cached_scores
    from untrained.scoring.training_curves import training_curves as training_curves
    from untrained.search.base import BudgetedSearch as BudgetedSearch
    from untrained.search.base import SampledSearch as SampledSearch
    from untrained.search.fronts import ParetoResult as ParetoResult
    from untrained.search.fronts import pareto as pareto
    from untrained.search.live import Live as Live
    from untrained.search.pruning import Pruning as Pruning
    from untrained.search.pruning import PruningResult as PruningResult
    from untrained.search.pruning import prune as prune
    from untrained.search.run import SearchResult as SearchResult
    from untrained.search.run import run_search as run_search
    from untrained.search.training import Training as Training
    from untrained.search.training import TrainingImages as TrainingImages
    from untrained.search.training import train as train
    from untrained.spaces import get_space as get_space
    from untrained.spaces.base import Architecture as Architecture
    from untrained.spaces.base import BenchmarkFacts as BenchmarkFacts
    from untrained.spaces.base import GraphSpace as GraphSpace
    from untrained.spaces.base import SearchSpace as SearchSpace
    from untrained.spaces.base import Skeleton as Skeleton
    from untrained.training.recipe import Recipe as Recipe

_MODULES = {
    "AblationSettings": "untrained.scoring.ablations",
    "Architecture": "untrained.spaces.base",
    "BaseProxy": "untrained.proxies.base",
    "Benchmark": "untrained.benchmarks.benchmark",
    "BenchmarkFacts": "untrained.spaces.base",
    "BudgetedSearch": "untrained.search.base",
    "DeviceTable": "untrained.benchmarks.devices",
    "GraphSpace": "untrained.spaces.base",
    "ImageSet": "untrained.images.sets",
    "Live": "untrained.search.live",
    "ParetoResult": "untrained.search.fronts",
    "Pruning": "untrained.search.pruning",
    "PruningResult": "untrained.search.pruning",
    "Recipe": "untrained.training.recipe",
    "SampledSearch": "untrained.search.base",
    "Score": "untrained.api",
    "Scores": "untrained.api",
    "SearchResult": "untrained.search.run",
    "SearchSpace": "untrained.spaces.base",
    "Skeleton": "untrained.spaces.base",
    "Training": "untrained.search.training",
    "TrainingImages": "untrained.search.training",
    "UndefinedScore": "untrained.proxies.base",
    "UntrainedError": "untrained.errors",
    "ablate": "untrained.scoring.ablations",
    "benchmark": "untrained.benchmarks.benchmark",
    "cached_scores": "untrained.scoring.shipped",
    "devices": "untrained.benchmarks.devices",
    "get_space": "untrained.spaces",
    "list_algorithms": "untrained.catalogue",
    "list_datasets": "untrained.catalogue",
    "list_devices": "untrained.catalogue",
    "list_proxies": "untrained.catalogue",
    "list_spaces": "untrained.catalogue",
    "measure": "untrained.scoring.measuring",
    "pareto": "untrained.search.fronts",
    "prune": "untrained.search.pruning",
    "quantity_values": "untrained.scoring.quantities",
    "rank": "untrained.api",
    "run_search": "untrained.search.run",
    "score": "untrained.api",
    "score_seeds": "untrained.api",
    "score_space": "untrained.scoring.shards",
    "train": "untrained.search.training",
    "training_curves": "untrained.scoring.training_curves",
}

__all__ = list(_MODULES)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any attribute of a module
    # modules are imported when they are used, since PyTorch takes seconds to import
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
