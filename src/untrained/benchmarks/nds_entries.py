"""Read the official files of NDS (Radosavovic et al., ICCV 2019), one JSON file for each space.

No official file was available, so the following layout is not verified:

- the content is a list of entries, or {"top": [...], "mid": [...]}, whose lists are joined;
- `net` of an entry is {"genotype": {"normal", "normal_concat", "reduce", "reduce_concat"}, "width",
  "depth", "aux"}, or {"block_type", "ds", "ws", "ss", "bot_muls" or "bms", "num_gs" or "gws"};
- `test_ep_top1` has the test error in percent after each epoch; `params` and `flops` are the
  numbers of parameters and of multiply-adds of the network.

The index of an architecture is its position in the file.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
)

from untrained.errors import ArchitectureError, DamagedFileError
from untrained.spaces.nds_networks import CellNetwork, Network, StagedNetwork, inner_width

T = TypeVar("T")
#: Fewer parameters than any network of the paper has; smaller numbers are in millions.
_FEWEST = 1000
_PERFECT = 100.0  # percent
#: A number far above every count of a network that a table can still hold.
_LARGEST = 10**18
_BLOCKS = {"double_plain_block": "vanilla_block"}  # maps the older name to the newer one


@dataclass(frozen=True)
class Entry:
    """One training run of an official file.

    Attributes:
        network: the network that was trained.
        accuracy: the accuracy on the test images after the last epoch, in percent; None if the run
            has no finite error.
        epochs: the length of the training.
        parameters: the number of parameters; None if the file does not give it.
        flops: the number of multiply-adds; None if the file does not give it, or gives parameters
            in millions, since the unit of `flops` is unknown then.
    """

    network: Network
    accuracy: float | None
    epochs: int
    parameters: int | None
    flops: float | None


_Real = Annotated[float, Field(lt=_LARGEST, allow_inf_nan=False)]
_Whole = Annotated[int, Field(strict=False, lt=_LARGEST)]  # may be written as 8.0
_Cost = Annotated[float, Field(ge=0, lt=_LARGEST, allow_inf_nan=False)]
_Edges = tuple[tuple[str, _Whole], ...]
_Wholes = tuple[_Whole, ...]
#: Numbers of the inner layers of a bottleneck; other blocks may have nulls instead.
_Inside = tuple[T | None, ...] | None


class _Layout(BaseModel):
    model_config = ConfigDict(strict=True)


class _Genotype(_Layout):
    normal: _Edges
    normal_concat: _Wholes
    reduce: _Edges
    reduce_concat: _Wholes


class _Cells(_Layout):
    genotype: _Genotype
    width: _Whole
    depth: _Whole
    aux: Annotated[bool, Field(strict=False)]  # may be 0 or 1

    def network(self) -> CellNetwork:
        cells = self.genotype
        return CellNetwork(
            self.width,
            self.depth,
            self.aux,
            cells.normal,
            # the order of a concatenation only permutes channels
            tuple(sorted(cells.normal_concat)),
            cells.reduce,
            tuple(sorted(cells.reduce_concat)),
        )


class _Stages(_Layout):
    block_type: str
    ds: _Wholes
    ws: _Wholes
    ss: _Wholes
    bms: _Inside[_Real] = None
    bot_muls: _Inside[_Real] = None
    num_gs: _Inside[_Whole] = None
    gws: _Inside[_Whole] = None

    def network(self) -> StagedNetwork:
        block = _BLOCKS.get(self.block_type, self.block_type)
        if block != "res_bottleneck_block":
            return StagedNetwork(block, self.ds, self.ws, self.ss)
        ratios = _present("bms or bot_muls", self.bms or self.bot_muls)
        if self.gws is not None:
            group_widths = _present("gws", self.gws)
            if not len(group_widths) == len(self.ws) == len(ratios) or min(group_widths) < 1:
                raise ValueError(f"gws is {list(group_widths)}: a number from 1 up for each stage")
            stages = zip(self.ws, ratios, group_widths, strict=True)
            groups = tuple(
                max(inner_width(width, ratio) // each, 1) for width, ratio, each in stages
            )
        else:
            groups = _present("num_gs", self.num_gs or (1,) * len(self.ws))
        return StagedNetwork(block, self.ds, self.ws, self.ss, ratios, groups)


def _present(name: str, values: _Inside[T]) -> tuple[T, ...]:
    if not values or None in values:
        raise ValueError(f"a bottleneck needs numbers as {name}")
    return tuple(value for value in values if value is not None)


def _kind(net: Any) -> str:  # noqa: ANN401 - whatever the file holds
    return "cells" if isinstance(net, dict) and "genotype" in net else "stages"


class _Run(_Layout):
    net: Annotated[
        Annotated[_Cells, Tag("cells")] | Annotated[_Stages, Tag("stages")], Discriminator(_kind)
    ]
    test_ep_top1: Annotated[tuple[float, ...], Field(min_length=1)]
    params: _Cost | None = None
    flops: _Cost | None = None

    def entry(self) -> Entry:
        error = self.test_ep_top1[-1]
        if math.isfinite(error) and not 0 <= error <= _PERFECT:
            raise ValueError(f"the test error {error:g} is not in 0..100 percent")
        parameters, flops = self.params, self.flops
        if parameters is not None and parameters < _FEWEST:
            parameters, flops = parameters * 1e6, None
        return Entry(
            self.net.network(),
            _PERFECT - error if math.isfinite(error) else None,
            len(self.test_ep_top1),
            None if parameters is None else round(parameters),
            flops,
        )


class _Halves(_Layout, extra="forbid"):
    top: tuple[_Run, ...]
    mid: tuple[_Run, ...]


def read_entries(content: bytes, name: str) -> list[Entry]:
    """Read the entries of an official file.

    Args:
        content: the content of the file.
        name: the name of the file, for errors.

    Raises:
        DamagedFileError: the content is not JSON, or has another layout or impossible values; the
            message names the entry, counted from 0.
    """
    try:
        if content.lstrip()[:1] == b"{":
            halves = _Halves.model_validate_json(content)
            runs = halves.top + halves.mid
        else:
            runs = TypeAdapter(tuple[_Run, ...]).validate_json(content)
    except ValidationError as error:
        raise DamagedFileError(
            f"{name} is not a file of NDS: {_first(error)}: get it again"
        ) from None
    entries = []
    for number, run in enumerate(runs):
        try:
            entries.append(run.entry())
        except (ArchitectureError, ValueError) as error:
            raise DamagedFileError(f"{name}, entry {number}: {error}") from error
    if not entries:
        raise DamagedFileError(f"{name} has no entries: get it again")
    return entries


def _first(error: ValidationError) -> str:
    """Describe the first error: where it is, what is needed there, and what was found."""
    first = error.errors(include_url=False, include_context=False)[0]
    found = repr(first["input"])
    where = f"entry {' '.join(map(str, first['loc']))}: " if first["loc"] else ""
    # for broken JSON the input is the whole file, for a missing key it is the whole object
    seen = f", not {found[:60]}" if first["type"] not in ("json_invalid", "missing") else ""
    return f"{where}{first['msg']}{seen}"
