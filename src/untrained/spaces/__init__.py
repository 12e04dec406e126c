"""Search spaces: enumerate, index, sample, mutate, parse and print their architectures."""

from functools import cache
from pathlib import Path

from untrained.errors import PluginError, unknown_name
from untrained.images.sets import IMAGE_SETS, image_set
from untrained.plugins import Registry, address_of, blamed, is_address, is_foreign
from untrained.spaces.base import Architecture, SearchSpace
from untrained.spaces.nds_names import CELLS, STAGES, space_of

SPACES: Registry[type[SearchSpace]] = Registry(
    "space",
    "untrained.spaces",
    {
        "darts": "untrained.spaces.darts:Darts",
        "darts_lenient": "untrained.spaces.darts:DartsLenient",
        "nasbench101": "untrained.spaces.nasbench101:NasBench101",
        "nasbench201": "untrained.spaces.nasbench201:NasBench201",
        "natsbench_size": "untrained.spaces.natsbench_size:NatsBenchSize",
        **{name: f"untrained.spaces.nds:{name}" for name in map(space_of, (*CELLS, *STAGES))},
    },
    # what `SearchSpace` has, whether or not an entry derives from it
    tuple(name for name in (*SearchSpace.__annotations__, *vars(SearchSpace)) if name[0] != "_"),
    own=(
        *(name for name in SearchSpace.__annotations__ if name not in vars(SearchSpace)),
        *sorted(SearchSpace.__abstractmethods__),
    ),
    like=SearchSpace,
)


#: Spaces that were given as objects, by name.
_GIVEN: dict[str, SearchSpace] = {}


def get_space(space: str | SearchSpace) -> SearchSpace:
    """Return the search space of this name or address, or a space of one's own as it is.

    A space that was given is found by its name from then on, in the same process.

    Raises:
        UnknownNameError: no such space.
        PluginError: what is given is no space, or has the name of another one.
    """
    if isinstance(space, str):
        return _GIVEN[space] if space in _GIVEN else load_space(space)
    if isinstance(space, type):
        name = space.__qualname__
        raise PluginError(f"{name} is a class: give a space, as {name}() makes one")
    _GIVEN[_checked(space).name] = space
    return space


@cache
def load_space(name: str) -> SearchSpace:
    """Return the registered space of this name, or that at this address; see `get_space`."""
    kind = SPACES.load(name)
    with blamed("space", kind):
        return _checked(kind())


def _checked(space: SearchSpace) -> SearchSpace:
    """Return a space that has at least one architecture, with a spelling.

    Raises:
        PluginError: it has none, or it is no space.
    """
    if not is_foreign(address_of(space)):
        return space
    SPACES.adopt(space)
    with blamed("space", space):
        if not space.size:
            raise PluginError(f"the space {space.name} has no architectures: give it one or more")
        _ = space[0]
    for name in space.datasets:
        known = {
            name
            for one in map(image_set, IMAGE_SETS.names())
            for name in (one.name, one.measured_as)
        }
        if name not in known and not is_address(name):
            unknown = unknown_name("data set", name, known)
            raise PluginError(f"the datasets of the space {space.name}: {unknown}")
    return space


def table_of(folder: Path, space: str) -> Path:
    """Return the path of the table of a space in a folder that has one table of each space.

    Args:
        folder: such as `untrained.files.BENCHMARKS` or `untrained.files.SCORES`.
        space: the name or address of the space.
    """
    return folder / f"{SPACES.file_name(space)}.parquet"


__all__ = ["SPACES", "Architecture", "SearchSpace", "get_space", "table_of"]
