"""The spaces of NDS (Radosavovic et al., ICCV 2019): the networks that one official file has.

The paper trained samples of its design spaces, once each; a space here is such a sample. It is read
from the list that `untrained fetch` writes beside the benchmark table.
"""

from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from untrained.benchmarks.nds_networks import FILES, dataset_of, parse_network
from untrained.errors import ArchitectureError, ParameterError, unknown_name
from untrained.files import BENCHMARKS
from untrained.spaces.base import Architecture, Skeleton

if TYPE_CHECKING:
    from torch import nn

    from untrained.networks.plans import Planned


class Nds:
    """The networks of one file, by their position in it.

    Networks may be the same, as in the files that vary learning rate and weight decay.

    Args:
        name: of the space.
        folder: where its list of architectures is looked for, when it is first needed.
    """

    def __init__(self, name: str, folder: Path = BENCHMARKS) -> None:
        if name not in FILES:
            raise unknown_name("space of NDS", name, FILES)
        self.name = name
        self._folder = folder

    @property
    def datasets(self) -> tuple[str, ...]:
        """What its networks were trained on; Imagenette stands for ImageNet, as in NASWOT."""
        return (dataset_of(self.name),)

    @property
    def _imagenet(self) -> bool:
        return dataset_of(self.name) == "ImageNet"

    @cached_property
    def spellings(self) -> list[str]:
        """Of the architectures, by index.

        Raises:
            MissingDataError: the file was not fetched; the message says how to.
            DamagedFileError: the list is damaged.
        """
        from untrained.benchmarks.nds import architectures_beside, read_architectures

        table = self._folder / f"{self.name}.parquet"
        return read_architectures(self.name, architectures_beside(table))

    @cached_property
    def _firsts(self) -> dict[str, int]:
        """Spelling to its lowest index."""
        firsts: dict[str, int] = {}
        for index, spelling in enumerate(self.spellings):
            firsts.setdefault(spelling, index)
        return firsts

    def __len__(self) -> int:
        return len(self.spellings)

    def __getitem__(self, index: int) -> Architecture:
        if not 0 <= index < len(self):
            raise ArchitectureError(
                f"index {index} is not in {self.name}: it has 0 to {len(self) - 1}"
            )
        return Architecture(self.name, index, self.spellings[index])

    def parse(self, text: str | int) -> Architecture:
        """See `SearchSpace.parse`; of equal networks the first one is meant."""
        stripped = str(text).strip()
        # Python refuses to read numbers of thousands of digits
        if (digits := stripped.removeprefix("-")).isdecimal() and len(digits) < 4000:
            return self[int(stripped)]
        spelling = str(parse_network(stripped))
        if spelling not in self._firsts:
            raise ArchitectureError(
                f"{self.name} has no {spelling}: it is a sample of {len(self)} networks, name one "
                f"of them or an index from 0 to {len(self) - 1}"
            )
        return self[self._firsts[spelling]]

    def sample(self, rng: np.random.Generator) -> Architecture:
        """See `SearchSpace.sample`."""
        return self[int(rng.integers(len(self)))]

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """A sample has no neighbours.

        Raises:
            ParameterError: always.
        """
        del architecture, rng
        raise ParameterError(
            f"{self.name} is a sample of networks, none of which neighbours another: take an "
            "algorithm that doesn't mutate, such as random, or the space darts"
        )

    def canonical(self, architecture: Architecture) -> Architecture:
        """The first of the networks that are spelled alike; no other equality is looked for."""
        return self[self._firsts[architecture.spelling]]

    @cached_property
    def representatives(self) -> NDArray[np.int64]:
        """(len,): index of the canonical architecture of each architecture."""
        return np.array([self._firsts[spelling] for spelling in self.spellings])

    @property
    def executed_representatives(self) -> NDArray[np.int64]:
        """See `SearchSpace.executed_representatives`."""
        return self.representatives

    def planned(self, architecture: Architecture) -> "Planned":
        """See `SearchSpace.planned`, and `darts_plan` and `anynet_plan` of `untrained.networks`.

        It is the module itself: its weights are what takes the time of making it.
        """
        return cast("Planned", self.network(architecture, 1))

    def network(
        self, architecture: Architecture, num_classes: int, skeleton: Skeleton | None = None
    ) -> "nn.Module":
        """The network that NASWOT scores; see `SearchSpace.network` and `untrained.networks.nds`.

        Raises:
            ParameterError: a skeleton is asked for, which is made for a single kind of cell.
        """
        if skeleton is not None:
            raise ParameterError(
                f"{self.name} has no network of {skeleton}: take a variant that reads the "
                "benchmark's network, such as ntk_condition_number-weights_eval"
            )
        from untrained.networks.nds import scored_network

        network = parse_network(architecture.spelling)
        return scored_network(network, num_classes, imagenet=self._imagenet)

    def trained_network(self, architecture: Architecture, num_classes: int) -> "nn.Module":
        """The network that the benchmark trained, which has its parameters; see `network`."""
        from untrained.networks.nds import trained_network

        network = parse_network(architecture.spelling)
        return trained_network(network, num_classes, imagenet=self._imagenet)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - makers of spaces, and nothing else
    """What makes a space, under the space's own name, for the registry."""
    if name not in FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return partial(Nds, name)
