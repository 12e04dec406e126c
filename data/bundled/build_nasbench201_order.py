"""Write nasbench201_order.npy, the order in which NAS-Bench-201 lists its 15,625 cells.

Usage: python build_nasbench201_order.py SOURCE_FOLDER
SOURCE_FOLDER holds nasbench201_cost.parquet (columns arch_index, arch_str). The order follows no
rule, so it is stored: one number to base 5 per cell, first edge most significant.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from untrained.spaces.nasbench201 import OPERATIONS, operations_of

table = pd.read_parquet(Path(sys.argv[1]) / "nasbench201_cost.parquet").sort_values("arch_index")
digits = [[OPERATIONS.index(name) for name in operations_of(text)] for text in table["arch_str"]]
codes = (np.array(digits) @ 5 ** np.arange(5, -1, -1)).astype(np.uint16)
np.save(Path(__file__).parent / "nasbench201_order.npy", codes)
print(f"{len(codes)} cells")
