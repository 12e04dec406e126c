"""Build nasbench101.parquet: 10,000 cells of NAS-Bench-101, drawn at random.

Usage: python build_nasbench101.py SOURCE_FOLDER

SOURCE_FOLDER holds nasbench101.parquet with the columns index, module_hash, params and
test_acc108_mean. README.md beside this file says where its values come from, and under which
licence.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from untrained.benchmarks.nasbench101 import convert_nasbench101
from untrained.benchmarks.table import read_table, write_table
from untrained.files import read_parquet
from untrained.spaces import get_space
from untrained.spaces.base import draw_without_replacement

TARGET = Path(__file__).with_name("nasbench101.parquet")
CELLS = 10_000


def main(folder: Path) -> None:
    """Build the table, check that it reads back, and say how large it is."""
    chosen = draw_without_replacement(get_space("nasbench101"), CELLS, seed=0)
    with TemporaryDirectory() as scratch:
        whole = Path(scratch) / "whole.parquet"
        convert_nasbench101(folder / "nasbench101.parquet", whole)
        table = read_parquet(whole)
    write_table(table[table["arch"].isin(chosen)], TARGET)
    found = read_table(TARGET, "nasbench101")
    print(f"{TARGET.name}: {len(found):,} rows, {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
