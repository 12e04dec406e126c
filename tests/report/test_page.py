import json
import re
import sys

import numpy as np
import pandas as pd
import pytest
from tests.report import SPLITS, fed, table_of_searches

from untrained.files import write_parquet
from untrained.report import SECTIONS
from untrained.report.build import captions, write_metrics, write_page
from untrained.report.inputs import Inputs
from untrained.report.section import Section
from untrained.report.sections.ablations import COLUMNS as VARIANCE_COLUMNS
from untrained.report.sections.comparisons import COLUMNS as COMPARISON_COLUMNS
from untrained.report.sections.correlations import COLUMNS
from untrained.report.sections.preferences import COLUMNS as PREFERENCE_COLUMNS
from untrained.report.sections.prunings import PruningRun, pruning_table, trajectory_table
from untrained.report.sections.seeds import COLUMNS as SEED_COLUMNS
from untrained.report.sections.training_curves import COLUMNS as EVOLUTION_COLUMNS


@pytest.fixture
def correlations():
    rows = [
        ("naswot", "cifar10", "cifar10-valid", "x-valid", "finite only"),
        ("parameters", "cifar100", "cifar100", "x-test", "all sampled"),
    ]
    numbers = (2, 300, 7, 0.6114, 0.58, 0.64, 0.79, 0.76, 0.82, np.nan)
    return pd.DataFrame([(*row, *numbers) for row in rows], columns=list(COLUMNS))


@pytest.fixture
def seeds():
    row = ("naswot", "cifar10", "cifar10", "ori-test", 300, 2, 1)
    numbers = (0.6114, 0.6114, 0.6114, 0.58, 0.643, np.nan)
    return pd.DataFrame([(*row, *numbers)], columns=list(SEED_COLUMNS))


@pytest.fixture
def searches():
    rows = [
        ("Random", run, dataset, split, 80.0 + run) for run in range(3) for dataset, split in SPLITS
    ]
    names = ["method", "run", "dataset", "split", "accuracy"]
    table = table_of_searches(
        pd.DataFrame(rows, columns=names), reasons={"NASWOT N=1000": "the sample has 300 cells"}
    )
    return table.assign(seconds=3.0, evaluations=0)


@pytest.fixture
def comparisons():
    row = ("AREA", "REA", "cifar10", "test", 9, 0.3, 0.1, 0.4, 0.012, 0.024, 0.6, 0.52, 0.7, "")
    return pd.DataFrame([row], columns=list(COMPARISON_COLUMNS))


@pytest.fixture
def page(tmp_path, correlations, seeds, searches, comparisons):
    """Make the page of a space of these tables, or of others by name."""

    def made(space="nasbench201", **others):
        tables = {"correlations": correlations, "seeds": seeds, "searches": searches}
        tables |= {"comparisons": comparisons} | others
        for path in tmp_path.glob("*.parquet"):
            path.unlink()
        for name, table in tables.items():
            write_parquet(table, tmp_path / f"{name}.parquet")
        shown = [one for one in SECTIONS if all(
            table.name in tables for table in one.tables if table.on_page
        )]  # fmt: skip
        write_page(shown, Inputs(space, folder=tmp_path), tmp_path / "figures", tmp_path / "p.md")
        return (tmp_path / "p.md").read_text()

    return made


def headings(text):
    return re.findall(r"^##+ (.*)$", text, re.MULTILINE)


def test_the_page_holds_the_tables_and_the_figures(page):
    text = page()
    assert text.startswith("# nasbench201: training-free scores against trained accuracies\n")
    held = "Searches compared with REA"
    titles = ["Rank correlations", "Means over seeds", "Searches", held]
    assert headings(text) == ["In short", "Figures", "Tables", *titles]
    for name in ("scores", "kernels", "seeds", "time", "regret"):
        assert f"\n![{name}](figures/{name}.png)\n\n" in text
    assert "0.611 [0.580, 0.640]" in text
    assert "| 300 | 2 | 1 | 0.611 | 0.611 | 0.611 | 0.580 | 0.643 |  |" in text
    assert "81.00 ± 1.00" in text
    assert "| 9 | 0.30 [0.10, 0.40] | 0.60 [0.52, 0.70] | 0.012 | 0.024 |  |" in text
    assert "Published: Table 2(a) of the NASWOT paper." in text
    assert "one of REA, over all pairs" in " ".join(text.split())


def test_the_published_figures_stand_beside_ours(page):
    def cells(text, proxy):
        lines = [one for one in text.splitlines() if one.startswith(f"| {proxy} ")]
        return [cell.strip() for cell in lines[0].split("|")]

    text = page()
    assert "0.574" in cells(text, "naswot")
    assert "0.574" not in cells(text, "parameters")
    assert "0.574" not in cells(page("nasbench101"), "naswot")


def ablated():
    rows = [("variance", "cifar100", 128, 200, 5, 4, 4, "residual", 1.5, 0.002, 0.001, 0.003)]
    return {"ablations": pd.DataFrame(rows, columns=list(VARIANCE_COLUMNS))}


def curves():
    rows = [
        ("cifar10", epochs, "change", 2, 4, 0, 0.5 * epochs, 0.0, 0.9, *(np.nan,) * 3)
        for epochs in (0.0, 1.0)
    ]
    return {"training_curves": pd.DataFrame(rows, columns=list(EVOLUTION_COLUMNS))}


def pruned():
    runs = [PruningRun("tenas", "both", "cifar10", seed) for seed in (0, 1)]
    rounds = pd.DataFrame({"round": [1, 2], "kappa": [200.0, 50.0], "regions": [900.0, 1800.0]})
    found = pruning_table(
        dict(zip(runs, (3, 1), strict=True)),
        fed(lambda *_: [90.0, 91, 92, 93], costs={"parameters": np.arange(4.0)}),
    )
    return {"prunings": found, "trajectory": trajectory_table(dict.fromkeys(runs, rounds))}


@pytest.mark.parametrize(
    ("tables", "titles", "lines"),
    [
        (
            ablated(),
            ["Ablations: variance components of a score"],
            ["| residual | 1.50 | 0.20 [0.10, 0.30] |", "![ablations](figures/ablations.png)"],
        ),
        (
            curves(),
            ["Change of the tangent kernel over training"],
            [
                "| cifar10 | change | 2 | 4 | 0 [0, 0.9] | 0.5 [0, 0.9] |",
                "![score_curves](figures/score_curves.png)\n\nScores of the same cells",
            ],
        ),
        (
            pruned(),
            ["The pruning search of TE-NAS", "Rounds of the pruning search of TE-NAS"],
            [
                "| 92.00 ± 1.41 (published 93.90 ± 0.47, -1.8 se) |",
                "\n- TE-NAS (both, cifar10): cell 3, 1\n",
                "| TE-NAS (both, cifar10) | 2 | 2 | 50.0 ± 0.0 | -75.0 ± 0.0 | 1800 ± 0 | 100.0",
                "![trajectory](figures/trajectory.png)",
            ],
        ),
    ],
    ids=["ablations", "training_curves", "prunings"],
)
def test_sections_that_apply_are_on_the_page(page, tables, titles, lines):
    text = page(**tables)
    assert headings(text)[-len(titles) :] == titles
    assert [line for line in lines if line not in text] == []
    assert not set(titles) & set(headings(page()))


@pytest.mark.parametrize(
    ("space", "options", "words", "others"),
    [
        ("nasbench201", ("none", "skip_connect"), ("operations", "edges", "cells"), "widths"),
        ("natsbench_size", ("8", "16"), ("widths", "layers", "networks"), "operation"),
    ],
)
def test_the_prose_fits_the_space(page, space, options, words, others):
    rows = [("naswot", "cifar10", 0.1, 40, 4, one, 0.5, 0.4, 0.6, np.nan) for one in options]
    text = page(space, preferences=pd.DataFrame(rows, columns=list(PREFERENCE_COLUMNS)))
    counted, places, members = words
    assert f"\n### {counted.capitalize()} that scores prefer\n" in text
    assert f"The {counted} at the {places} of the {members} with the best scores" in text
    assert "The best are 10 % of the scored ones." in text
    assert f"accurate {members} above inaccurate ones" in text
    assert not re.search(r"\{\w+\}", text)
    assert others not in text


def test_where_trainings_have_no_times_the_page_says_what_is_counted(page, searches):
    known = searches.assign(seconds=3.0, evaluations=57.0)
    timed = page("nasbench101", searches=known)
    assert "`time`: the simulated time of a run. " in timed
    assert "Regret over simulated time (" in timed
    assert "a 1080 Ti" in timed
    text = page("nasbench101", searches=known.assign(seconds=np.nan))
    assert "`evaluations`: number of trainings of a run, as their times are unknown" in text
    assert "Regret over evaluations (" in text
    assert "The benchmark has no training times, so evaluations are counted." in text
    assert "1080 Ti" not in text


def test_the_caption_of_times_speaks_of_nothing_that_is_not_drawn(page, searches):
    def caption(space, **spent):
        text = page(space, searches=searches.assign(**spent))
        return text.split("time.png)")[1].split("![")[0]

    edge, left_out = "have a panel of their own.", "Published searches that train are left out"
    untimed = {"seconds": np.nan, "evaluations": 57.0}
    text = caption("nasbench101", **untimed)
    assert edge in text, "NASWOT N=100 is published with its time"
    assert left_out in text
    for space in ("nds_darts", "natsbench_size"):
        text = caption(space, **untimed)
        assert edge not in text
        assert left_out not in text
    timed = {"seconds": 3.0, "evaluations": 0.0}
    assert "1080 Ti" in caption("nasbench201", **timed)
    assert "1080 Ti" not in caption("natsbench_size", **timed)


def test_summed_ranks_are_explained_where_they_are(page, correlations):
    said = "`tenas` is sum(linear_regions,ntk_condition_number). `sum` is the sum of the ranks"
    assert said not in page()
    assert said in page(correlations=correlations.assign(proxy="tenas"))


@pytest.mark.parametrize(("dataset", "title"), [("cifar10", "CIFAR-10"), ("ImageNet", "ImageNet")])
def test_the_main_data_set_of_searches_is_named(page, searches, dataset, title):
    own = searches[searches["dataset"] == "cifar10"].assign(dataset=dataset)
    assert f"data set in their name score on {title}." in page("nds_darts_in", searches=own)


def test_weight_sharing_is_explained_where_it_is_quoted(page, searches):
    said = "Rows `published, not run` are those on weight sharing"
    assert said not in page()
    quoted = searches.copy()
    quoted.loc[0, "note"] = "published, not run"
    assert said in page(searches=quoted)


def test_without_a_search_that_trains_there_is_nothing_to_compare(page, comparisons):
    assert "## Searches compared" not in page(comparisons=comparisons.iloc[:0])


def test_the_algorithm_that_declares_itself_the_reference_is_named(page, comparisons, monkeypatch):
    claim = "The NASWOT paper claims that AREA outperforms REA."
    assert claim in page()
    assert claim not in page(comparisons=comparisons.assign(method="BOHB"))
    section = sys.modules["untrained.report.section"]  # the package has a function of that name
    monkeypatch.setattr(section, "reference_search", lambda: "rs")
    text = page(comparisons=comparisons.assign(reference="RS"))
    assert "Searches compared with RS" in text
    assert "AREA outperforms" not in text
    assert "{" not in "".join(captions().values())


def test_every_table_that_is_read_and_every_figure_has_a_caption():
    known = captions()
    for section in SECTIONS:
        for figure in section.figures:
            assert len(known[f"figure/{figure.name}"]) > 40
        for table in section.tables:
            assert table.layout is None or len(known[f"table/{table.name}"]) > 40
    assert not [text for text in known.values() if "{" in text]


def test_notes_are_a_list_below_the_table(page):
    text = page()
    notes = [line for line in text.splitlines() if line.startswith("- ")]
    assert any("the sample has 300 cells" in note for note in notes)
    assert not re.search(r"^- .*\n\n- ", text, re.MULTILINE)


def test_scores_that_were_read_on_test_labels_are_named(page, correlations):
    said = "lga-released@1: read on test images with their labels, as the released code does"
    leaking = correlations.iloc[:1].assign(proxy="lga-released@1")
    text = page(correlations=pd.concat([correlations, leaking, leaking], ignore_index=True))
    below = text.partition("### Means over seeds")[0].splitlines()
    noted = [line for line in below if "test images" in line]
    assert noted == [f"- {said}; its figures are no prediction"]
    assert below[-4].startswith("| lga-released@1 |")
    assert said not in page(correlations=correlations.iloc[:1].assign(proxy="lga-released"))


def test_tables_are_whole(page):
    for block in page().split("\n\n"):
        if block.startswith("|"):
            bars = {line.replace("\\|", "").count("|") for line in block.splitlines()}
            assert len(bars) == 1


def summary(text):
    return text.partition("## In short\n\n")[2].partition("\n\n## ")[0].splitlines()


def test_the_summary_says_the_main_results_with_their_figures(page, searches, comparisons):
    def row(proxy, subset, seeds, n, *tau):
        head = (proxy, "cifar10", "cifar10", "ori-test", subset, seeds, n, 7, *tau)
        return (*head, 0.8, 0.7, 0.9, np.nan)

    rows = [
        row("naswot", "all sampled", 2, 300, 0.6114, 0.58, 0.64),
        row("flops", "all sampled", 0, 300, 0.5, 0.4, 0.6),
        row("parameters", "all sampled", 0, 300, 0.55, 0.45, 0.65),
        row("naswot", "top 10 %", 2, 30, 0.1, -0.2, 0.3),
    ]
    made = {"correlations": pd.DataFrame(rows, columns=list(COLUMNS))}
    made["searches"] = searches.assign(
        evaluations=57, runs=3, mean=searches["mean"].where(searches["method"] == "Random")
    )
    assert summary(page(**made)) == [
        "- Over all 300 scored cells, `naswot` (mean over 2 seeds) has Kendall's tau 0.611 [0.580, "
        "0.640] with the CIFAR-10 test accuracy (95 % bootstrap intervals).",
        "- The best control there is `parameters`, with 0.550 [0.450, 0.650].",
        "- Among the most accurate tenth, 30 cells, the tau of `naswot` is 0.100 [-0.200, 0.300], "
        "which can't be told from 0.",
        "- Of the 1 searches that spend a budget, Random finds the most accurate cells: 81.00 ± "
        "1.00 % on the test images of CIFAR-10, mean and standard deviation over 3 runs.",
        "- AREA is 0.30 [0.10, 0.40] percent points more accurate than REA there (9 pairs of runs, "
        "95 % bootstrap interval).",
    ]
    worse = comparisons.assign(difference=-0.2, difference_low=-0.3, difference_high=-0.1)
    said = summary(page(**made | {"comparisons": worse}))[-1]
    assert "AREA is 0.20 [0.10, 0.30] percent points less accurate than REA there" in said
    unknown = made["correlations"].assign(
        tau=made["correlations"]["tau"].where([True, True, True, False])
    )
    assert not any("tenth" in one for one in summary(page(**made | {"correlations": unknown})))
    clear = made["correlations"].assign(tau_low=0.05)
    assert "0.100 [0.050, 0.300]." in summary(page(**made | {"correlations": clear}))[2]


def test_tables_of_the_page_leave_columns_to_the_files(page):
    head = next(line for line in page().splitlines() if line.startswith("| proxy | scored on |"))
    assert head.count("|") == 9
    assert "Spearman" not in head


def test_metrics_are_numbers(tmp_path):
    found = {"tau": 0.12345678, "lost": float("nan")}
    section = Section("toy", metrics=lambda _inputs: found)
    write_metrics([section], None, tmp_path / "metrics.json")
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"tau": 0.123457}
