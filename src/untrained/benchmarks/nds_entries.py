"""Read the official files of NDS (Radosavovic et al., ICCV 2019), one JSON file for each sweep.

This is the layout that public readers of the files take, among them the released code of NASWOT
(Mellor et al., ICML 2021):

- The content is a list of entries, or {"top": [...], "mid": [...]}, whose lists are joined.
- `net` of an entry is {"genotype": {"normal", "normal_concat", "reduce", "reduce_concat"}, "width",
  "depth", "aux", "drop_prob"}, where a cell is a list of [operation, input], or {"block_type",
  "ds", "ws", "ss", "bot_muls", "num_gs"}, where a stage has one number of each list: blocks, width,
  stride, and inside a bottleneck the ratio of widths and the groups.
- `test_ep_top1` has the test error in percent after each of the `max_ep` epochs of `optim`.
- `params` and `flops` count the parameters and the multiply-adds of the network.

What else an entry has is not read: the rest of `optim` (`base_lr`, `wd`), the errors and losses in
training (`train_ep_top1`, `train_ep_loss`, which may hold NaN), `iter_time` and `rng_seed`.

The index of an architecture is its position in the file.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any

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
from untrained.spaces.nds_networks import CellNetwork, Network, StagedNetwork

_PERFECT = 100.0  # percent
#: A number far above every count of a network that a table can still hold.
_LARGEST = 10**18
_BOTTLENECK = "res_bottleneck"
#: Maps the beginning of a block's name in the files to its name here.
_BLOCKS = {
    _BOTTLENECK: "res_bottleneck_block",
    "res_basic": "res_basic_block",
    "double_plain": "vanilla_block",
}


@dataclass(frozen=True)
class Entry:
    """One training run of an official file.

    Attributes:
        network: the network that was trained.
        accuracy: the accuracy on the test images after the last epoch, in percent; None if the run
            has no finite error.
        epochs: the length of the training.
        parameters: the number of parameters.
        flops: the number of multiply-adds.
    """

    network: Network
    accuracy: float | None
    epochs: int
    parameters: int
    flops: float


_Real = Annotated[float, Field(lt=_LARGEST, allow_inf_nan=False)]
_Whole = Annotated[int, Field(lt=_LARGEST)]
_Count = Annotated[float, Field(ge=0, lt=_LARGEST, allow_inf_nan=False)]
_Edges = tuple[tuple[str, _Whole], ...]
_Wholes = tuple[_Whole, ...]


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
    aux: bool

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

    def network(self) -> StagedNetwork:
        known = (name for start, name in _BLOCKS.items() if self.block_type.startswith(start))
        return StagedNetwork(next(known, self.block_type), self.ds, self.ws, self.ss)


class _Bottlenecks(_Stages):
    bot_muls: tuple[_Real, ...]
    num_gs: _Wholes

    def network(self) -> StagedNetwork:
        block = _BLOCKS[_BOTTLENECK]
        return StagedNetwork(block, self.ds, self.ws, self.ss, self.bot_muls, self.num_gs)


def _kind(net: Any) -> str:  # noqa: ANN401 - whatever the file holds
    if not isinstance(net, dict):
        return "stages"
    if "genotype" in net:
        return "cells"
    return "bottlenecks" if str(net.get("block_type")).startswith(_BOTTLENECK) else "stages"


class _Optim(_Layout):
    max_ep: _Whole


class _Run(_Layout):
    net: Annotated[
        Annotated[_Cells, Tag("cells")]
        | Annotated[_Stages, Tag("stages")]
        | Annotated[_Bottlenecks, Tag("bottlenecks")],
        Discriminator(_kind),
    ]
    optim: _Optim
    test_ep_top1: Annotated[tuple[float, ...], Field(min_length=1)]
    params: _Count
    flops: _Count

    def entry(self) -> Entry:
        epochs, error = len(self.test_ep_top1), self.test_ep_top1[-1]
        if epochs != self.optim.max_ep:
            raise ValueError(f"test_ep_top1 has {epochs} errors: max_ep is {self.optim.max_ep}")
        if math.isfinite(error) and not 0 <= error <= _PERFECT:
            raise ValueError(f"the test error {error:g} is not in 0..100 percent")
        return Entry(
            self.net.network(),
            _PERFECT - error if math.isfinite(error) else None,
            epochs,
            round(self.params),
            self.flops,
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
