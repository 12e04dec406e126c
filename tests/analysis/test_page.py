import re

import numpy as np
import pandas as pd
import pytest

from untrained.analysis.correlations import COLUMNS
from untrained.analysis.page import page
from untrained.analysis.published import NASBENCH201_SPLITS
from untrained.analysis.search_tables import search_table


@pytest.fixture
def correlations():
    rows = [
        ("naswot", "cifar10", "cifar10-valid", "x-valid", "finite only"),
        ("parameters", "cifar100", "cifar100", "x-test", "all sampled"),
    ]
    numbers = (2, 300, 7, 0.6114, 0.58, 0.64, 0.79, 0.76, 0.82, np.nan)
    return pd.DataFrame([(*row, *numbers) for row in rows], columns=list(COLUMNS))


@pytest.fixture
def searches():
    rows = [
        ("Random", run, dataset, split, 80.0 + run)
        for run in range(3)
        for dataset, split in NASBENCH201_SPLITS
    ]
    names = ["method", "run", "dataset", "split", "accuracy"]
    return search_table(
        pd.DataFrame(rows, columns=names), reasons={"NASWOT N=1000": "the sample has 300 cells"}
    )


FIGURES = {"scores": "../figures/scores.svg", "time": "../figures/time.svg"}


def test_the_page_holds_the_tables_and_the_figures(correlations, searches):
    text = page("nasbench201", correlations, searches, FIGURES)
    assert text.startswith("# nasbench201: training-free scores against trained accuracies\n")
    headings = ["## Rank correlations", "## Searches: Table 2(a) of the NASWOT paper", "## Figures"]
    assert re.findall(r"^## .*$", text, re.MULTILINE) == headings
    for name, address in FIGURES.items():
        assert f"\n![{name}]({address})\n\n" in text
    assert "kernels" not in text.split("## Figures")[1]
    assert "0.611 [0.580, 0.640]" in text
    assert "81.00 ± 1.00" in text
    assert text.endswith("a 1080 Ti.\n")


def test_the_published_figures_stand_beside_ours(correlations, searches):
    text = page("nasbench201", correlations, searches, {})
    (line,) = [line for line in text.splitlines() if line.startswith("| naswot ")]
    assert "0.574" in [cell.strip() for cell in line.split("|")]
    (other,) = [line for line in text.splitlines() if line.startswith("| parameters ")]
    assert "0.574" not in other
    elsewhere = page("nasbench101", correlations, searches, {})
    (line,) = [line for line in elsewhere.splitlines() if line.startswith("| naswot ")]
    assert "0.574" not in line


def test_notes_are_a_list_below_the_table(correlations, searches):
    text = page("nasbench201", correlations, searches, FIGURES)
    notes = [line for line in text.splitlines() if line.startswith("- ")]
    assert any("the sample has 300 cells" in note for note in notes)
    assert not re.search(r"^- .*\n\n- ", text, re.MULTILINE)


def test_tables_are_whole(correlations, searches):
    text = page("nasbench201", correlations, searches, FIGURES)
    for block in text.split("\n\n"):
        if block.startswith("|"):
            bars = {line.replace("\\|", "").count("|") for line in block.splitlines()}
            assert len(bars) == 1
