"""Build nasbench201_scores.parquet from shards of scores of cells of NAS-Bench-201.

Usage: python build_nasbench201_scores.py [--batch-size 64] SHARD.parquet...

README.md beside this file has the commands that score the shards. --batch-size is that of shards
without such a column. A shard may be the file that is there: its scores are kept, except those
that another shard has. Cells that run the same operations share their scores. Of proxies that not
all cells are scored by, the first cells of the sample that score_nasbench201.py draws are kept.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from score_nasbench201 import SPACE, sampled

from untrained.files import read_parquet, write_parquet
from untrained.scoring.columns import BATCH_SIZE, SCORE_COLUMNS, SECONDS

TARGET = Path(__file__).with_name("nasbench201_scores.parquet")
COLUMNS = [*SCORE_COLUMNS, SECONDS, BATCH_SIZE]
KEYS = ["proxy", "dataset", "seed"]


def main(shards: Sequence[Path], batch_size: int) -> None:
    """Join the shards, say which cells are missing, and how large the file is."""
    tables = []
    for path in shards:
        table = read_parquet(path)
        if BATCH_SIZE not in table:
            table[BATCH_SIZE] = batch_size
        if "device" in table:  # a card that many share says nothing about the time of a score
            table[SECONDS] = table[SECONDS].where(table["device"] == "cpu")
        tables.append(table[COLUMNS].assign(old=path.resolve() == TARGET))
    table = pd.concat(tables, ignore_index=True).sort_values([*KEYS, "arch", "old"])
    new = table[~table["old"]]
    if (twice := new.duplicated([*KEYS, "arch"])).any():
        raise SystemExit(f"two shards have {new[twice].iloc[0][[*KEYS, 'arch']].to_dict()}")
    table = table.drop_duplicates([*KEYS, "arch"])
    parts = [with_members(own) for _, own in table.groupby(KEYS)]
    table = pd.concat([one if len(one) == len(SPACE) else first_of_sample(one) for one in parts])
    # a score differs by more between two machines than by rounding to 32 bits
    small = {"arch": "int32", "seed": "int32", "score": "float32", SECONDS: "float32"}
    small[BATCH_SIZE] = "int32"
    write_parquet(table[COLUMNS].assign(seconds=table[SECONDS].round(3)).astype(small), TARGET)
    print(f"{TARGET.name}: {len(table):,} rows, {TARGET.stat().st_size:,} bytes")
    summary = table.groupby([*KEYS, BATCH_SIZE]).agg(
        cells=("arch", "size"),
        undefined=("status", lambda own: (own != "ok").sum()),
        seconds=(SECONDS, "mean"),
    )
    print(summary.to_string())


def with_members(own: pd.DataFrame) -> pd.DataFrame:
    """Give cells without a score that of the cell of their class that has one, if any has."""
    classes = SPACE.executed_representatives
    scored = own.set_index(classes[own["arch"]], drop=False)
    scored = scored[~scored.index.duplicated()].assign(**{SECONDS: np.nan})
    lacking = np.setdiff1d(np.arange(len(SPACE)), own["arch"])
    lacking = lacking[np.isin(classes[lacking], scored.index)]
    more = scored.loc[classes[lacking]].assign(arch=lacking)
    return pd.concat([own, more], ignore_index=True).sort_values("arch", ignore_index=True)


def first_of_sample(own: pd.DataFrame) -> pd.DataFrame:
    """Return the cells of the sample before the first one, in its random order, without a score.

    Those that were scored with members of their class would make large classes frequent.
    """
    scored, order = set(own["arch"]), sampled()
    count = next((place for place, cell in enumerate(order) if cell not in scored), len(order))
    return own[own["arch"].isin(order[:count])]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path, nargs="+")
    parser.add_argument("--batch-size", type=int, default=64)
    given = parser.parse_args()
    main(given.shards, given.batch_size)
