"""The spaces of NDS (Radosavovic et al., ICCV 2019): the networks that one official file has.

The paper trained samples of design spaces; a space here is such a sample. It is read from the list
that `untrained fetch` writes beside the benchmark table.
"""

import json
from collections.abc import Sequence
from functools import cached_property, partialmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from untrained.errors import DamagedFileError, MissingDataError, unknown_name
from untrained.files import BENCHMARKS, absent, atomic, reading
from untrained.spaces.base import Architecture, BenchmarkFacts, GraphSpace, Skeleton, Words
from untrained.spaces.nds_networks import SWEEPS, parse_network

if TYPE_CHECKING:
    from untrained.networks.graph import Graph


class Nds(GraphSpace):
    """The networks of one official file, indexed by their position in it.

    A file may have a network more than once, trained with other settings or another seed.

    Args:
        name: the name of the space.
        folder: the folder of its list of architectures, which is read at first use.
    """

    words = Words("networks")
    benchmark = BenchmarkFacts(partial=True, fetch="untrained.benchmarks.nds:fetch_nds")

    def __init__(self, name: str, folder: Path = BENCHMARKS) -> None:
        if name not in SWEEPS:
            raise unknown_name("space of NDS", name, SWEEPS)
        self.name = name
        self._folder = folder

        # Imagenette stands for ImageNet, as in NASWOT
        self.datasets = (SWEEPS[name].dataset,)
        self._imagenet = SWEEPS[name].imagenet

    @cached_property
    def spellings(self) -> list[str]:
        """The spellings of the architectures, by index.

        Raises:
            MissingDataError: the file was not fetched; the message has the command.
            DamagedFileError: the list is damaged.
        """
        table = self._folder / f"{self.name}.parquet"
        return read_architectures(self.name, architectures_beside(table))

    def __len__(self) -> int:
        return len(self.spellings)

    def spelling(self, index: int) -> str:
        """See `SearchSpace.spelling`."""
        return self.spellings[index]

    def index_at(self, spelling: str) -> int:
        """Return the index of the first of the networks with a spelling."""
        return super().index_at(str(parse_network(spelling)))

    @cached_property
    def representatives(self) -> NDArray[np.int64]:
        """The first of the networks with the same spelling as each network, (len,)."""
        return np.array([self._indices[spelling] for spelling in self.spellings])

    def tabulated(self, table: Path) -> int | None:
        """Return how many architectures the list beside a table has; None without a list.

        The table itself lacks those whose training failed.
        """
        beside = architectures_beside(table)
        return len(read_architectures(self.name, beside)) if beside.is_file() else None

    def graph(
        self, architecture: Architecture, num_classes: int, skeleton: Skeleton | None = None
    ) -> "Graph":
        """Return the network that NASWOT scores; see `untrained.networks.nds`.

        Raises:
            ParameterError: a skeleton is given, which has a single kind of cell.
        """
        self.refuse_skeleton(skeleton)
        from untrained.networks.nds import scored_network

        network = parse_network(architecture.spelling)
        return scored_network(network, num_classes, imagenet=self._imagenet)

    def trained_graph(self, architecture: Architecture, num_classes: int) -> "Graph":
        """Return the network that the benchmark trained, whose parameters it counted."""
        from untrained.networks.nds import trained_network

        network = parse_network(architecture.spelling)
        return trained_network(network, num_classes, imagenet=self._imagenet)


def architectures_beside(table: Path) -> Path:
    """Return the path of the list of architectures of a benchmark table of NDS."""
    return table.with_suffix(".json")


def write_architectures(space: str, spellings: Sequence[str], target: Path) -> None:
    """Write the architectures of a space, in the order of their indices."""
    with atomic(target) as part:
        content = {"space": space, "architectures": list(spellings)}
        part.write_text(json.dumps(content, indent=0) + "\n")


def read_architectures(space: str, path: Path) -> list[str]:
    """Return the spellings of the architectures of a space, by index.

    Raises:
        MissingDataError: there is no such file; the message has the command that makes it.
        DamagedFileError: the file has other content, or is that of another space.
    """
    if not path.is_file():
        raise MissingDataError(
            f"{absent(path)}: run `untrained fetch {space}`, with --mirror FOLDER or --from "
            f"{SWEEPS[space].file} if you have the file"
        )
    with reading(f"{path} is damaged", f"fetch {space} again"):
        content = json.loads(path.read_text())
        found, spellings = content["space"], _texts(content["architectures"])
    if found != space:
        raise DamagedFileError(f"{path} has the architectures of {found!r}: fetch {space} again")
    return spellings


def _texts(value: object) -> list[str]:
    if not (isinstance(value, list) and value and all(isinstance(one, str) for one in value)):
        raise ValueError("its architectures are not a list of texts")
    return value


def __getattr__(name: str) -> Any:  # noqa: ANN401 - spaces, and nothing else
    """Return the class of a space by the space's name, for the registry."""
    if name not in SWEEPS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = {
        "__module__": __name__,
        "name": name,
        "summary": f"the networks of {SWEEPS[name].file} (Network Design Spaces)",
        "__init__": partialmethod(Nds.__init__, name),
    }
    # one class for each name, so that spaces can be sent to other processes
    return globals().setdefault(name, type(name, (Nds,), made))
