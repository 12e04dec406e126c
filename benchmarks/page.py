"""Writes measurements into pages of docs/, and describes the machine."""

import os
import platform
from pathlib import Path

import numpy as np
import torch

from untrained.networks.nasbench201 import cell_graph
from untrained.spaces import SearchSpace, get_space
from untrained.spaces.base import LISTED
from untrained.spaces.nasbench201 import operations_of

PERFORMANCE = Path(__file__).parents[1] / "docs" / "performance.md"
SPACE = get_space("nasbench201")


def random_cells(count: int, seed: int = 0, space: SearchSpace = SPACE) -> list[int]:
    """Draw indices of architectures without replacement, without listing a large space."""
    if len(space) > LISTED:
        rng = np.random.default_rng(seed)
        return [space.sample(rng).index for _ in range(count)]
    drawn: list[int] = np.random.default_rng(seed).choice(len(space), count, replace=False).tolist()
    return drawn


def connected_cells(count: int) -> list[int]:
    """Draw cells of NAS-Bench-201 as `random_cells` does, and return those with an output."""
    cells = {i: cell_graph(operations_of(SPACE[i].spelling)) for i in random_cells(count)}
    return [index for index, cell in cells.items() if cell.output in cell.fed]


def write_section(name: str, text: str, path: Path = PERFORMANCE) -> None:
    """Replace the text of a page between `<!-- name -->` and `<!-- /name -->`, and print it."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    page = path.read_text()
    if begin not in page or end not in page:
        raise ValueError(f"{path} has no section {begin.strip()} ... {end.strip()}")
    head, _, rest = page.partition(begin)
    path.write_text(head + begin + text + end + rest.partition(end)[2])
    print(text)


def machine() -> str:
    """Return PyTorch's version, the name of the processor and its number of cores."""
    info = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in (info.read_text().splitlines() if info.is_file() else [])
        if line.startswith("model name")
    ]
    features = " with AMX" if torch.cpu._is_amx_tile_supported() else ""
    name = names[0] if names else platform.machine()
    return f"PyTorch {torch.__version__}, {name}{features}, {os.cpu_count()} cores"
