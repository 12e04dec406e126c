import re

import numpy as np
import pandas as pd
import pytest

from untrained.analysis.comparisons import COLUMNS as COMPARISON_COLUMNS
from untrained.analysis.correlations import COLUMNS
from untrained.analysis.evolutions import COLUMNS as EVOLUTION_COLUMNS
from untrained.analysis.page import page
from untrained.analysis.preferences import COLUMNS as PREFERENCE_COLUMNS
from untrained.analysis.prunings import PruningRun, pruning_table, trajectory_table
from untrained.analysis.published import NASBENCH201_SPLITS
from untrained.analysis.search_tables import search_table
from untrained.analysis.seed_tables import COLUMNS as SEED_COLUMNS
from untrained.analysis.variances import COLUMNS as VARIANCE_COLUMNS


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
        ("Random", run, dataset, split, 80.0 + run)
        for run in range(3)
        for dataset, split in NASBENCH201_SPLITS
    ]
    names = ["method", "run", "dataset", "split", "accuracy"]
    return search_table(
        pd.DataFrame(rows, columns=names), reasons={"NASWOT N=1000": "the sample has 300 cells"}
    )


@pytest.fixture
def comparisons():
    row = ("AREA", "REA", "cifar10", "test", 9, 0.3, 0.1, 0.4, 0.012, 0.024, 0.6, 0.52, 0.7, "")
    return pd.DataFrame([row], columns=list(COMPARISON_COLUMNS))


FIGURES = {"scores": "../figures/scores.svg", "time": "../figures/time.svg"}


def test_the_page_holds_the_tables_and_the_figures(correlations, seeds, searches, comparisons):
    text = page("nasbench201", correlations, seeds, searches, comparisons, FIGURES)
    assert text.startswith("# nasbench201: training-free scores against trained accuracies\n")
    searched = "## Searches: Table 2(a) of the NASWOT paper"
    held = "## Searches against regularised evolution (REA)"
    headings = ["## Rank correlations", "## What seeds buy", searched, held, "## Figures"]
    assert re.findall(r"^## .*$", text, re.MULTILINE) == headings
    for name, address in FIGURES.items():
        assert f"\n![{name}]({address})\n\n" in text
    assert "kernels" not in text.split("## Figures")[1]
    assert "0.611 [0.580, 0.640]" in text
    assert "| 300 | 2 | 1 | 0.611 | 0.611 | 0.611 | 0.580 | 0.643 |  |" in text
    assert "81.00 ± 1.00" in text
    assert "| 9 | 0.30 [0.10, 0.40] | 0.60 [0.52, 0.70] | 0.012 | 0.024 |  |" in text
    assert text.endswith(
        "a 1080 Ti. Searches of equal cost stand side by side around a dotted line there.\n"
    )


def test_the_published_figures_stand_beside_ours(correlations, seeds, searches, comparisons):
    text = page("nasbench201", correlations, seeds, searches, comparisons, {})
    (line,) = [
        line for line in text.splitlines() if line.startswith("| naswot ") and "only" in line
    ]
    assert "0.574" in [cell.strip() for cell in line.split("|")]
    (other,) = [line for line in text.splitlines() if line.startswith("| parameters ")]
    assert "0.574" not in other
    elsewhere = page("nasbench101", correlations, seeds, searches, comparisons, {})
    (line,) = [
        line for line in elsewhere.splitlines() if line.startswith("| naswot ") and "only" in line
    ]
    assert "0.574" not in line


def test_ablations_have_their_table_where_there_are_any(correlations, seeds, searches, comparisons):
    figures = FIGURES | {"ablations": "../figures/ablations.svg"}
    rows = [("variance", "cifar100", 128, 200, 5, 4, 4, "residual", 1.5, 0.002, 0.001, 0.003)]
    variances = pd.DataFrame(rows, columns=list(VARIANCE_COLUMNS))
    text = page("nasbench201", correlations, seeds, searches, comparisons, figures, variances)
    (line,) = [line for line in text.splitlines() if line.startswith("| variance ")]
    assert line.endswith("| residual | 1.50 | 0.20 [0.10, 0.30] |")
    headings = re.findall(r"^## .*$", text, re.MULTILINE)
    assert headings[-2:] == ["## Ablations: what moves a score", "## Figures"]
    assert "\n![ablations](../figures/ablations.svg)\n\n" in text
    without = page("nasbench201", correlations, seeds, searches, comparisons, FIGURES)
    assert "Ablations" not in without


def test_evolutions_have_their_table_where_there_are_any(
    correlations, seeds, searches, comparisons
):
    rows = [
        ("cifar10", epochs, "change", 2, 4, 0, 0.5 * epochs, 0.0, 0.9, *(np.nan,) * 3)
        for epochs in (0.0, 1.0)
    ]
    found = pd.DataFrame(rows, columns=list(EVOLUTION_COLUMNS))
    figures = FIGURES | {
        name: f"../figures/{name}.svg" for name in ("kernel_evolution", "score_evolution")
    }
    given = (correlations, seeds, searches, comparisons)
    text = page("nasbench201", *given, figures, evolutions=found)
    assert "\n| cifar10 | change | 2 | 4 | 0 [0, 0.9] | 0.5 [0, 0.9] |\n" in text
    headings = re.findall(r"^## .*$", text, re.MULTILINE)
    assert headings[-2:] == ["## How the kernel moves", "## Figures"]
    assert "\n![score_evolution](../figures/score_evolution.svg)\n\nScores of the same" in text
    assert "kernel moves" not in page("nasbench201", *given, FIGURES)


def test_prunings_have_their_tables_where_there_are_any(correlations, seeds, searches, comparisons):
    run = PruningRun("tenas", "both", "cifar10", 0)
    other = PruningRun("tenas", "both", "cifar10", 1)
    found = pruning_table(
        {run: 3, other: 1}, lambda *_: np.array([90.0, 91, 92, 93]), np.arange(4.0)
    )
    rounds = pd.DataFrame({"round": [1, 2], "kappa": [200.0, 50.0], "regions": [900.0, 1800.0]})
    prunings = found, trajectory_table({run: rounds, other: rounds})
    figures = FIGURES | {"trajectory": "../figures/trajectory.svg"}
    text = page("nasbench201", correlations, seeds, searches, comparisons, figures, None, prunings)
    (line,) = [
        line for line in text.splitlines() if line.startswith("| TE-NAS (both, cifar10) | 9")
    ]
    assert "| 92.00 ± 1.41 (published 93.90 ± 0.47, -1.8 se) |" in line
    assert "\n- TE-NAS (both, cifar10): cell 3, 1\n" in text
    assert "| TE-NAS (both, cifar10) | 2 | 2 | 50.0 ± 0.0 | -75.0 ± 0.0 | 1800 ± 0 | 100.0" in text
    assert "\n![trajectory](../figures/trajectory.svg)\n\n" in text
    headings = re.findall(r"^## .*$", text, re.MULTILINE)
    assert headings[-2:] == ["## The pruning search of TE-NAS", "## Figures"]
    without = page("nasbench201", correlations, seeds, searches, comparisons, FIGURES)
    assert "pruning" not in without


def preferred(options):
    rows = [("naswot", "cifar10", 0.1, 40, 4, option, 0.5, 0.4, 0.6, np.nan) for option in options]
    return pd.DataFrame(rows, columns=list(PREFERENCE_COLUMNS))


@pytest.mark.parametrize(
    ("space", "options", "title", "said"),
    [
        (
            "nasbench201",
            ("none", "skip_connect"),
            "Operations",
            ("Which operations the edges of the cells with the best 10 %", "TE-NAS's Fig. 2 (D),"),
        ),
        (
            "natsbench_size",
            ("8", "16"),
            "Widths",
            ("Which widths the layers of the networks with the best 10 %",),
        ),
    ],
)
def test_the_prose_fits_the_space(
    correlations, seeds, searches, comparisons, space, options, title, said
):
    figures = {name: f"{name}.png" for name in ("preferences", "kernels", "score_evolution")}
    given = (correlations, seeds, searches, comparisons, figures)
    text = page(space, *given, preferences=preferred(options))
    assert f"\n## {title} that scores prefer\n" in text
    assert all(part in text for part in said)
    assert f"\n\nWhich {title.lower()} the best " in text
    assert not re.search(r"\{\w+\}", text)
    other = {"nasbench201": ("widths", "layers"), "natsbench_size": ("operation", "edge", "Chen")}
    assert not [word for word in other[space] if word in text]
    if space == "natsbench_size":
        assert "accurate networks above inaccurate ones" in text
        assert "does not say of how many" not in text


def test_where_trainings_have_no_times_the_page_says_what_is_counted(
    correlations, seeds, searches, comparisons
):
    figures = {"time": "time.png", "regret": "regret.png"}
    known = searches.assign(seconds=3.0, evaluations=57.0)
    timed = page("nasbench101", correlations, seeds, known, comparisons, figures)
    assert "`time`: what a run spends on the simulated clock. " in timed
    assert "Regret over simulated time (" in timed
    assert "a 1080 Ti" in timed
    lost = known.assign(seconds=np.nan)
    text = page("nasbench101", correlations, seeds, lost, comparisons, figures)
    assert "`evaluations`: trainings that a run makes, as nobody knows" in text
    assert "Regret over evaluations (" in text
    assert "Accuracy against evaluations, as the benchmark has no training times" in text
    assert "1080 Ti" not in text


def test_the_caption_of_times_speaks_of_nothing_that_is_not_drawn(
    correlations, seeds, searches, comparisons
):
    figures = {"time": "time.png"}

    def caption(space, **spent):
        known = searches.assign(**spent)
        return page(space, correlations, seeds, known, comparisons, figures).split("time.png)")[1]

    edge, left_out = "stand at the left edge", "Published searches that train are left out"
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
    text = caption("natsbench_size", **timed)
    assert "1080 Ti" not in text
    assert "`searches.seconds_per_score`. Searches of equal cost" in text


def test_summed_ranks_are_explained_where_they_are(correlations, seeds, searches, comparisons):
    said = "`tenas` is the sum of the ranks by"
    assert said not in page("nasbench101", correlations, seeds, searches, comparisons, {})
    summed = correlations.assign(proxy="tenas")
    assert said in page("nasbench101", summed, seeds, searches, comparisons, {})


@pytest.mark.parametrize(("dataset", "title"), [("cifar10", "CIFAR-10"), ("ImageNet", "ImageNet")])
def test_the_main_data_set_of_searches_is_named(
    correlations, seeds, searches, comparisons, dataset, title
):
    own = searches[searches["dataset"] == "cifar10"].assign(dataset=dataset)
    text = page("nds_darts_in", correlations, seeds, own, comparisons, {})
    assert f"Searches score on {title} and are read off" in text


def test_weight_sharing_is_explained_where_it_is_quoted(correlations, seeds, searches, comparisons):
    said = "Rows `published, not run` are those on weight sharing"
    assert said not in page("nasbench201", correlations, seeds, searches, comparisons, {})
    quoted = searches.copy()
    quoted.loc[0, "note"] = "published, not run"
    assert said in page("nasbench201", correlations, seeds, quoted, comparisons, {})


def test_without_a_search_that_trains_there_is_nothing_to_compare(
    correlations, seeds, searches, comparisons
):
    text = page("nasbench201", correlations, seeds, searches, comparisons.iloc[:0], {})
    assert "## Searches against" not in text


def test_every_figure_of_the_report_has_a_caption(correlations, seeds, searches, comparisons):
    from untrained.cli.report import FigureName

    names = {name.value: f"{name}.svg" for name in FigureName}
    text = page("nasbench201", correlations, seeds, searches, comparisons, names)
    assert all(f"![{name}]({address})\n\n" in text for name, address in names.items())


def test_notes_are_a_list_below_the_table(correlations, seeds, searches, comparisons):
    text = page("nasbench201", correlations, seeds, searches, comparisons, FIGURES)
    notes = [line for line in text.splitlines() if line.startswith("- ")]
    assert any("the sample has 300 cells" in note for note in notes)
    assert not re.search(r"^- .*\n\n- ", text, re.MULTILINE)


def test_scores_that_were_read_on_test_labels_are_named(correlations, seeds, searches, comparisons):
    said = "lga-released@1: read on test images with their labels, as the released code does"
    leaking = correlations.iloc[:1].assign(proxy="lga-released@1")
    every = pd.concat([correlations, leaking, leaking], ignore_index=True)
    text = page("nasbench201", every, seeds, searches, comparisons, {})
    below = text.partition("## What seeds buy")[0].splitlines()
    assert [line for line in below if "test images" in line] == [
        f"- {said}; its figures are no prediction"
    ]
    assert below[-4].startswith("| lga-released@1 |")
    fair = correlations.iloc[:1].assign(proxy="lga-released")
    for table in (correlations, fair):
        assert said not in page("nasbench201", table, seeds, searches, comparisons, {})


def test_tables_are_whole(correlations, seeds, searches, comparisons):
    text = page("nasbench201", correlations, seeds, searches, comparisons, FIGURES)
    for block in text.split("\n\n"):
        if block.startswith("|"):
            bars = {line.replace("\\|", "").count("|") for line in block.splitlines()}
            assert len(bars) == 1
