"""Build nasbench201_scores.parquet from shards of scores of all cells of NAS-Bench-201.

Usage: python build_nasbench201_scores.py SHARD.parquet...

README.md beside this file has the commands that score the shards.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from untrained.files import read_parquet, write_parquet
from untrained.scoring.columns import SECONDS
from untrained.scoring.shards import merge_shards

TARGET = Path(__file__).with_name("nasbench201_scores.parquet")
CELLS = 15_625


def main(shards: Sequence[Path]) -> None:
    """Merge the shards, check that no cell is missing, and say how large the file is."""
    table = merge_shards(map(read_parquet, shards))
    for proxy, own in table.groupby("proxy"):
        if own["arch"].nunique() != CELLS:
            raise SystemExit(f"{proxy}: {own['arch'].nunique():,} of {CELLS:,} cells")
    # a score differs by more between two machines than by rounding to 32 bits
    small = {"arch": "int32", "seed": "int32", "score": "float32", SECONDS: "float32"}
    write_parquet(table.assign(seconds=table[SECONDS].round(3)).astype(small), TARGET)
    print(f"{TARGET.name}: {len(table):,} rows, {TARGET.stat().st_size:,} bytes")
    summary = table.groupby(["proxy", "dataset", "seed"]).agg(
        undefined=("status", lambda own: (own != "ok").sum()), seconds=(SECONDS, "mean")
    )
    print(pd.DataFrame(summary).to_string())


if __name__ == "__main__":
    main([Path(one) for one in sys.argv[1:]])
