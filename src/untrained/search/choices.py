"""The decisions that the architectures of a space are made of, read off their spellings.

Policies and density models need each decision and its options, beyond samples and mutants. Where
every spelling has the same number of words, and any combination of the words that vary is an
architecture, those words are the decisions: `|nor_conv_3x3~0|+|...` has six of five options,
`8:16:64:32:8` five of eight.

Options are numbered alphabetically unless the space orders them (`option_order`). Most searches
use the numbers as names only; the bandwidths of BOHB's densities depend on them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from untrained.errors import ParameterError
from untrained.search.base import Searchable
from untrained.spaces.base import LISTED

Integers = NDArray[np.int64]


@runtime_checkable
class Ordered(Protocol):
    """A space that says how its options are numbered."""

    @property
    def option_order(self) -> Sequence[str]:
        """The words of its spellings that are options; any other comes after them."""
        ...


@runtime_checkable
class Part(Protocol):
    """A part of a space, which has the decisions of the whole."""

    @property
    def whole(self) -> Searchable:
        """The space that it is a part of."""
        ...


@dataclass(frozen=True, eq=False)
class Choices:
    """The options that architectures take at each decision.

    Attributes:
        codes: (n, decisions): the option of each architecture by index.
        sizes: (decisions,): number of options of each decision, 2 or more.
    """

    codes: Integers
    sizes: Integers
    _indices: Integers

    def index(self, options: Integers) -> int:
        """The index of the architecture with these options (decisions,)."""
        return int(self._indices[np.ravel_multi_index(tuple(options), tuple(self.sizes))])


def choices_of(space: Searchable) -> Choices:
    """The decisions of a space, which are read once.

    Raises:
        ParameterError: its architectures are no product of independent choices.
    """
    whole = space.whole if isinstance(space, Part) else space
    return _read(whole)  # type: ignore[arg-type] # a protocol promises no hash, an object has one


@lru_cache(maxsize=8)
def _read(space: Searchable) -> Choices:
    wrong = ParameterError(
        f"{space.name} is no product of independent choices: search it with an algorithm that "
        "samples and mutates"
    )
    if len(space) > LISTED:
        raise wrong
    words = [re.split(r"\W+", space[index].spelling) for index in range(len(space))]
    if len({len(spelled) for spelled in words}) != 1:
        raise wrong
    order = tuple(space.option_order) if isinstance(space, Ordered) else ()
    columns = [_numbered(column, order) for column in zip(*words, strict=True)]
    varying = [(options, codes) for options, codes in columns if len(options) > 1]
    sizes = np.array([len(options) for options, _ in varying], dtype=np.int64)
    if not varying or np.prod(sizes) != len(space):
        raise wrong
    codes = np.stack([codes for _, codes in varying], axis=1)
    indices = np.full(len(space), -1, dtype=np.int64)
    indices[np.ravel_multi_index(tuple(codes.T), tuple(sizes))] = np.arange(len(space))
    if (indices < 0).any():
        raise wrong
    return Choices(codes, sizes, indices)


def _numbered(column: Sequence[str], order: Sequence[str]) -> tuple[list[str], Integers]:
    """The distinct words of a column in their order, and the number of each of its words."""
    rank = {word: place for place, word in enumerate(order)}
    options = sorted(set(column), key=lambda word: (rank.get(word, len(rank)), word))
    numbers = {word: number for number, word in enumerate(options)}
    return options, np.array([numbers[word] for word in column], dtype=np.int64)
