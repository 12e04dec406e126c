"""Write nasbench101_order.npy: the 423,624 cells of NAS-Bench-101 in the order of their hashes.

Usage: python build_nasbench101_order.py

Nothing is read. Every matrix of 2 to 7 vertices and at most 9 edges in which all vertices but the
output are read, and all but the input read something, is combined with every choice of operations.
Of those with the same module hash the first one is kept, as the benchmark does: it decides which
vertices get a channel more where channels don't divide evenly, and so the number of parameters.
"""

from itertools import product
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from untrained.spaces.nasbench101_cells import EDGES, OPERATIONS, PAIRS, VERTICES, cell_of

TARGET = Path(__file__).with_name("nasbench101_order.npy")
CELLS = 423_624

Words = NDArray[np.uint64]


def full_graphs(count: int) -> NDArray[np.uint32]:
    """Bits of the matrices of `count` vertices without a dead one, in ascending order."""
    pairs = PAIRS[: count * (count - 1) // 2]
    bits = np.arange(1 << len(pairs), dtype=np.uint32)
    edges = sum((bits >> place & 1 for place in range(len(pairs))), np.zeros_like(bits))
    chosen = edges <= EDGES
    for vertex in range(count):
        reads, is_read = (
            sum((1 << place for place, pair in enumerate(pairs) if pair[side] == vertex), 0)
            for side in (1, 0)
        )
        chosen &= (vertex == 0) | ((bits & np.uint32(reads)) > 0)
        chosen &= (vertex == count - 1) | ((bits & np.uint32(is_read)) > 0)
    return bits[chosen]


def mixed(x: Words) -> Words:
    """Scatter 64-bit numbers (the finaliser of Stafford's thirteenth variant of MurmurHash3)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def fingerprints(bits: NDArray[np.uint32], count: int, labels: tuple[int, ...]) -> Words:
    """(len(bits),): equal where module hashes are, which iterate the same over the same graphs.

    64 bits each instead of MD5, and a sum in the place of sorting: it can be done on whole arrays.
    """
    pairs = PAIRS[: count * (count - 1) // 2]
    edges = [(bits >> place & 1).astype(np.uint64) for place in range(len(pairs))]
    before, after = np.zeros((2, count, len(bits)), np.uint64)
    for edge, (source, target) in zip(edges, pairs, strict=True):
        before[target] += edge
        after[source] += edge
    named = np.array([count, *(label + 1 for label in labels), count + 1], np.uint64)
    own = mixed(mixed(mixed(named[:, None] + np.uint64(1)) + before) + after)
    for _ in range(count):
        scattered = mixed(own)
        before[:], after[:] = 0, 0
        for edge, (source, target) in zip(edges, pairs, strict=True):
            before[target] += edge * scattered[source]
            after[source] += edge * scattered[target]
        own = mixed(mixed(own + mixed(before + np.uint64(1))) + after)
    return mixed(own).sum(axis=0, dtype=np.uint64)


def distinct(count: int) -> NDArray[np.uint32]:
    """Codes of the cells of `count` vertices, the first one of each hash."""
    bits = full_graphs(count)
    choices = list(product(range(len(OPERATIONS)), repeat=count - 2))
    found = np.stack([fingerprints(bits, count, labels) for labels in choices], axis=1)
    _, first = np.unique(found.ravel(), return_index=True)
    graphs, numbers = np.divmod(first, len(choices))
    return numbers.astype(np.uint32) << np.uint32(len(PAIRS)) | bits[graphs]


def hash_at(code: int) -> str:
    """The module hash of the cell with this code."""
    return cell_of(code).module_hash


def ordered() -> NDArray[np.uint32]:
    """(423624,) uint32: the codes of all cells in the order of their module hashes."""
    codes = np.concatenate([distinct(count) for count in range(2, VERTICES + 1)])
    with Pool() as pool:
        hashes = pool.map(hash_at, codes.tolist(), chunksize=4096)
    if len(codes) != CELLS or len(set(hashes)) != CELLS:
        raise SystemExit(f"{len(codes)} cells with {len(set(hashes))} hashes, not {CELLS}")
    return codes[np.argsort(hashes)]


if __name__ == "__main__":
    np.save(TARGET, ordered())
    print(f"{TARGET.name}: {CELLS:,} cells, {TARGET.stat().st_size:,} bytes")
