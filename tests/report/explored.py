"""A small run on NAS-Bench-201 for the tests of the interactive page."""

import numpy as np
import pandas as pd

from untrained.files import write_parquet
from untrained.report.build import make_tables
from untrained.report.inputs import Inputs
from untrained.report.section import Section
from untrained.report.sections import correlations
from untrained.report.sections.regret import COLUMNS as REGRET

CELLS = 60
#: A score with ties and undefined values, one of which lower is better, and one on other images.
SCORED = (("naswot", "cifar10"), ("ntk_condition_number", "cifar10"), ("naswot", "cifar100"))


def scores():
    """Two seeds of scores of 60 cells, tied in places and undefined in others."""
    generator = np.random.default_rng(5)
    cells = np.sort(generator.choice(15_625, CELLS, replace=False))
    tables = []
    for proxy, images in SCORED:
        for seed in (0, 1):
            values = np.round(generator.normal(size=CELLS), 1) + seed / 7
            values[slice(4) if proxy == "naswot" else slice(3, 8)] = np.nan
            known = np.where(np.isnan(values), "constant_kernel", "ok")
            tables.append(
                pd.DataFrame({"arch": cells, "proxy": proxy, "dataset": images, "seed": seed})
                .assign(score=values, status=known, space="nasbench201", reason="")
                .astype({"arch": "int64", "seed": "int64"})
            )
    return pd.concat(tables, ignore_index=True)


def regrets():
    """Two curves and two points, one of which costs nothing."""
    times = np.array([50.0, 100.0, 400.0])
    rows = [
        (method, "cifar10", "cifar10", time, "seconds", 9, base / time, base / time * 0.9,
         base / time * 1.2, True)
        for method, base in (("AREA", 100.0), ("REA", 300.0))
        for time in times
    ]  # fmt: skip
    rows += [
        (method, "cifar10", "cifar10", spent, "seconds", 9, 5.0, 4.0, 5.5, False)
        for method, spent in (("NASWOT N=10", 3.0), ("Random", 0.0))
    ]
    return pd.DataFrame(rows, columns=list(REGRET))


def inputs(folder):
    """Write the tables of the run, and return its inputs."""
    table = scores()
    write_parquet(table, folder / "scores.parquet")
    found = Inputs("nasbench201", scores_file=folder / "scores.parquet", folder=folder)
    section: Section = correlations.SECTION
    make_tables([section], found, {"resamples": 200, "seed": 0})
    write_parquet(regrets(), folder / "regret.parquet")
    return found
