"""The sweeps of NDS, and the networks that they train, as values and as text.

Radosavovic, Johnson, Xie, Lo, Dollar: On Network Design Spaces for Visual Recognition, ICCV 2019.
Half of its spaces put two cells into the network of DARTS, at a width and a depth of their own; the
other half stack stages of plain or residual blocks. The text of an architecture is words of the
form key=value, in this order:

    width=32 depth=20 auxiliary=0 normal=|sep_conv_3x3~0|skip_connect~1|+...@2,3 reduce=...@2,3
    block=res_bottleneck_block depths=2,3 widths=16,32 strides=1,2 ratios=1,0.5 groups=1,4
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from untrained.errors import ArchitectureError, quoted, unknown_name
from untrained.spaces.genotypes import Edges, check_edges
from untrained.spaces.nds_names import CELLS, STAGES, space_of

T = TypeVar("T", int, float)
#: The operations of an edge in any of the five search spaces.
OPERATIONS = (
    *("none", "skip_connect"),
    *("avg_pool_2x2", "avg_pool_3x3", "avg_pool_5x5"),
    *("max_pool_2x2", "max_pool_3x3", "max_pool_5x5", "max_pool_7x7"),
    *("conv_1x1", "conv_3x3", "conv_3x1_1x3", "conv_7x1_1x7"),
    *("sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7"),
    *("dil_conv_3x3", "dil_conv_5x5", "dil_sep_conv_3x3"),
)
BLOCKS = ("vanilla_block", "res_basic_block", "res_bottleneck_block")

#: Limits far above the paper's networks, of networks that can still be built.
_MOST_NODES, _MOST_CELLS, _MOST_CHANNELS = 20, 200, 8192
_LONGEST_TEXT = 8000


@dataclass(frozen=True)
class CellNetwork:
    """A stack of two kinds of cells, each of any number of nodes.

    Nodes 0 and 1 are the outputs of the two cells before; an inner node is the sum of two edges,
    which may come from the same node; a cell's output has the nodes of its concatenation side by
    side.

    Attributes:
        width: the channels of a node of the first cell.
        depth: the number of cells of both kinds.
        auxiliary: whether the network was trained with an auxiliary head.
        normal: two edges for each inner node of a normal cell.
        normal_concat: the nodes whose concatenation is its output, ascending.
        reduce: two edges for each inner node of a reduction cell; those from nodes 0 and 1 halve
            the resolution.
        reduce_concat: the nodes whose concatenation is its output, ascending.

    Raises:
        ArchitectureError: there is no such network; the message names what is wrong.
    """

    parts: ClassVar[str] = "two cells"
    width: int
    depth: int
    auxiliary: bool
    normal: Edges
    normal_concat: tuple[int, ...]
    reduce: Edges
    reduce_concat: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 2 <= self.width <= _MOST_CHANNELS or self.width % 2:
            raise ArchitectureError(
                f"width is {self.width}: an even number of channels, 2 to {_MOST_CHANNELS}"
            )
        if not 3 <= self.depth <= _MOST_CELLS:
            raise ArchitectureError(f"depth is {self.depth}: 3 to {_MOST_CELLS} cells")
        _check_cell("normal", self.normal, self.normal_concat)
        _check_cell("reduce", self.reduce, self.reduce_concat)

    def __str__(self) -> str:
        return (
            f"width={self.width} depth={self.depth} auxiliary={int(self.auxiliary)} "
            f"normal={_spelled(self.normal, self.normal_concat)} "
            f"reduce={_spelled(self.reduce, self.reduce_concat)}"
        )


@dataclass(frozen=True)
class StagedNetwork:
    """Stages of equal blocks, the first of which has the stage's stride.

    Attributes:
        block: one of `BLOCKS`.
        depths: the number of blocks of each stage.
        widths: the channels of each stage.
        strides: the stride of each stage.
        ratios: channels inside a bottleneck divided by those of its stage; empty for other blocks.
        groups: groups of the 3x3 convolution of a bottleneck; empty for other blocks.

    Raises:
        ArchitectureError: there is no such network; the message names what is wrong.
    """

    parts: ClassVar[str] = "stages of blocks"
    block: str
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    strides: tuple[int, ...]
    ratios: tuple[float, ...] = ()
    groups: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.block not in BLOCKS:
            raise ArchitectureError(str(unknown_name("block", self.block, BLOCKS)))
        if not 1 <= len(self.depths) <= 10:
            raise ArchitectureError(f"{len(self.depths)} stages: a network has 1 to 10")
        bottleneck = self.block == "res_bottleneck_block"
        for name, values, most in (
            ("depths", self.depths, _MOST_CELLS),
            ("widths", self.widths, _MOST_CHANNELS),
            ("strides", self.strides, 2),
            ("ratios", self.ratios, 8),
            ("groups", self.groups, _MOST_CHANNELS),
        ):
            inside = name in ("ratios", "groups")
            wanted = 0 if inside and not bottleneck else len(self.depths)
            if len(values) != wanted:
                raise ArchitectureError(
                    f"{name} has {len(values)} numbers: {self.block} of {len(self.depths)} stages "
                    f"takes {wanted}"
                )
            for value in values:
                least = 0.0 if name == "ratios" else 1
                if not least <= value <= most or not value:
                    raise ArchitectureError(f"{name} has {value:g}: at most {most}, above 0")
        for stage, (width, ratio, groups) in enumerate(
            zip(self.widths, self.ratios, self.groups, strict=True) if bottleneck else ()
        ):
            if (inner := inner_width(width, ratio)) < 1 or inner % groups:
                raise ArchitectureError(
                    f"stage {stage + 1} has {inner} channels inside its bottleneck: {groups} "
                    "groups don't divide them"
                )

    def __str__(self) -> str:
        lists = {name: values for name, values in vars(self).items() if name != "block" and values}
        words = (f"{name}={','.join(map(_spelled_number, lists[name]))}" for name in lists)
        return " ".join((f"block={self.block}", *words))


Network = CellNetwork | StagedNetwork


@dataclass(frozen=True)
class Sweep:
    """The trained networks of one official file.

    Attributes:
        file: its name.
        kind: the kind of all its networks.
        dataset: the data set that they were trained on.
    """

    file: str
    kind: type[Network]
    dataset: str

    @property
    def imagenet(self) -> bool:
        """Whether the networks were trained on ImageNet, not on CIFAR-10."""
        return self.dataset == "ImageNet"


#: The sweep of each space.
SWEEPS: Mapping[str, Sweep] = {
    space_of(name): Sweep(f"{name}.json", kind, "ImageNet" if name.endswith("_in") else "cifar10")
    for kind, names in ((CellNetwork, CELLS), (StagedNetwork, STAGES))
    for name in names
}
#: Kind of a network to the words that its text has, those that it may have, and an example.
_WORDS: Mapping[type[Network], tuple[tuple[str, ...], tuple[str, ...], str]] = {
    CellNetwork: (
        ("width", "depth", "auxiliary", "normal", "reduce"),
        (),
        "width=32 depth=20 auxiliary=0 normal=|sep_conv_3x3~0|skip_connect~1|+...@2,3 "
        "reduce=...@2,3",
    ),
    StagedNetwork: (
        ("block", "depths", "widths", "strides"),
        ("ratios", "groups"),
        "block=res_basic_block depths=1,2,3 widths=16,32,64 strides=1,2,2",
    ),
}


def inner_width(width: int, ratio: float) -> int:
    """Return the channels inside a bottleneck of a stage of `width` channels."""
    return round(width * ratio)


def parse_network(text: str) -> Network:
    """Return the network that `text` spells.

    Raises:
        ArchitectureError: the text spells none; the message names what is wrong.
    """
    if len(text) > _LONGEST_TEXT:
        raise ArchitectureError(
            f"{len(text)} characters are no network of NDS: at most {_LONGEST_TEXT}"
        )
    fields: dict[str, str] = {}
    for word in text.split():
        name, equals, value = word.partition("=")
        if not equals or name in fields:
            wrong = f"{name!r} comes twice" if equals else f"{quoted(word)} is no key=value"
            raise ArchitectureError(f"{wrong}: spell it as {_WORDS[CellNetwork][2]}")
        fields[name] = value
    kind = StagedNetwork if "block" in fields else CellNetwork
    names, optional, example = _WORDS[kind]
    missing = [name for name in names if name not in fields]
    extra = [name for name in fields if name not in (*names, *optional)]
    if missing or extra:
        wrong = f"lacks {', '.join(missing)}" if missing else f"has the unknown {extra[0]!r}"
        raise ArchitectureError(f"{quoted(text)} {wrong}: spell it as {example}")
    if kind is StagedNetwork:
        depths, widths, strides, groups = (
            _numbers(name, fields[name]) if name in fields else ()
            for name in ("depths", "widths", "strides", "groups")
        )
        ratios = _numbers("ratios", fields["ratios"], float) if "ratios" in fields else ()
        return StagedNetwork(fields["block"], depths, widths, strides, ratios, groups)
    if fields["auxiliary"] not in ("0", "1"):
        raise ArchitectureError(f"auxiliary is {quoted(fields['auxiliary'])}: 0 or 1")
    cells = [_parsed_cell(name, fields[name]) for name in ("normal", "reduce")]
    width, depth = (_number(name, fields[name]) for name in ("width", "depth"))
    return CellNetwork(width, depth, fields["auxiliary"] == "1", *cells[0], *cells[1])


def _numbers(name: str, text: str, kind: type[T] = int) -> tuple[T, ...]:
    try:
        if text.isascii() and "_" not in text:
            return tuple(map(kind, text.split(",")))
    except ValueError:
        pass
    raise ArchitectureError(f"{name} has {quoted(text)}: numbers, as in 1,2")


def _number(name: str, text: str) -> int:
    values = _numbers(name, text)
    if len(values) > 1:
        raise ArchitectureError(f"{name} has {quoted(text)}: one number")
    return values[0]


def _check_cell(name: str, edges: Edges, concat: tuple[int, ...]) -> None:
    if not edges or len(edges) % 2 or len(edges) > 2 * _MOST_NODES:
        raise ArchitectureError(
            f"{name} has {len(edges)} pairs of operation and input: two for each of 1 to "
            f"{_MOST_NODES} nodes"
        )
    check_edges(name, edges, OPERATIONS)
    last = 1 + len(edges) // 2
    ascending = list(concat) == sorted(set(concat))
    if not concat or not ascending or not all(2 <= one <= last for one in concat):
        raise ArchitectureError(
            f"{name}_concat is {list(concat)}: one or more different nodes out of 2 to {last}"
        )


def _spelled(edges: Edges, concat: tuple[int, ...]) -> str:
    words = [f"{operation}~{source}" for operation, source in edges]
    pairs = zip(words[::2], words[1::2], strict=True)
    nodes = "+".join(f"|{first}|{second}|" for first, second in pairs)
    return f"{nodes}@{','.join(map(str, concat))}"


_NODE = re.compile(r"\|(\w+)~(\d{1,3})\|(\w+)~(\d{1,3})\|", re.ASCII)


def _parsed_cell(name: str, text: str) -> tuple[Edges, tuple[int, ...]]:
    nodes, _, concat = text.partition("@")
    edges: list[tuple[str, int]] = []
    for number, node in enumerate(nodes.split("+")):
        found = _NODE.fullmatch(node)
        if found is None:
            raise ArchitectureError(
                f"{name}, node {2 + number} is {quoted(node)}: two edges, as in "
                "|sep_conv_3x3~0|skip_connect~1|"
            )
        edges += [(found[1], int(found[2])), (found[3], int(found[4]))]
    # the order of a concatenation only permutes channels
    return tuple(edges), tuple(sorted(_numbers(f"{name}_concat", concat)))


def _spelled_number(value: float) -> str:
    """Return the shortest text that can be parsed again, such as 1 for 1.0."""
    return str(int(value)) if value == int(value) else repr(value)
