"""The decisions that the architectures of a space are made of, derived from their spellings.

Policies and density models need each decision and its options, beyond samples and mutants. If every
spelling has the same number of words, and any combination of the words that vary is an
architecture, then those words are the decisions: `|nor_conv_3x3~0|+|...` has six of five options,
`8:16:64:32:8` has five of eight.

Options are numbered alphabetically unless the space orders them (`SearchSpace.option_order`). Most
searches use the numbers as names only; the bandwidths of BOHB's densities depend on them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from untrained.errors import ParameterError
from untrained.search.base import Searchable
from untrained.spaces.base import LISTED

Integers = NDArray[np.int64]


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
        """Return the index of the architecture with these options (decisions,)."""
        return int(self._indices[np.ravel_multi_index(tuple(options), tuple(self.sizes))])


def choices_of(space: Searchable) -> Choices:
    """Return the decisions of a space, or of the space that `space` is a part of.

    They are derived once per process.

    Raises:
        ParameterError: its architectures are no product of independent choices.
    """
    while (whole := getattr(space, "whole", None)) is not None:  # a part of a part, too
        space = whole
    return _derived(space)  # type: ignore[arg-type] # no hash promised


@lru_cache(maxsize=8)
def _derived(space: Searchable) -> Choices:
    wrong = ParameterError(
        f"{space.name} is no product of independent choices: search it with an algorithm that "
        "samples and mutates"
    )
    if len(space) > LISTED:
        raise wrong
    words = [re.split(r"\W+", space[index].spelling) for index in range(len(space))]
    if len({len(spelled) for spelled in words}) != 1:
        raise wrong
    order = getattr(space, "option_order", ())
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
    """Return the distinct words of a column in their order, and the number of each of its words."""
    rank = {word: place for place, word in enumerate(order)}
    options = sorted(set(column), key=lambda word: (rank.get(word, len(rank)), word))
    numbers = {word: number for number, word in enumerate(options)}
    return options, np.array([numbers[word] for word in column], dtype=np.int64)
