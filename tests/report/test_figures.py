import subprocess
import sys
import warnings
from itertools import pairwise
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.inset import InsetIndicator
from PIL import Image

from untrained.errors import ParameterError, UntrainedError
from untrained.report import SECTIONS
from untrained.report.plotting import save
from untrained.report.sections.ablations import ablations, variance_table
from untrained.report.sections.correlations import ScorePanel, score_against_accuracy
from untrained.report.sections.devices import EVERY, front_figure, progress_figure
from untrained.report.sections.kernels import kernel_matrices
from untrained.report.sections.preferences import COLUMNS as PREFERENCES
from untrained.report.sections.preferences import preferences
from untrained.report.sections.proxies import COLUMNS as PROXIES
from untrained.report.sections.proxies import proxies
from untrained.report.sections.prunings import TRAJECTORY, trajectory
from untrained.report.sections.regret import COLUMNS as REGRET
from untrained.report.sections.regret import regret_against_time
from untrained.report.sections.searches import accuracy_against_time
from untrained.report.sections.seeds import tau_against_seeds
from untrained.report.sections.training_curves import CURVE_COLUMNS as CURVES
from untrained.report.sections.training_curves import kernel_curves, score_curves
from untrained.spaces import SPACES
from untrained.spaces.base import Words

CELLS = Words("cells", "operations", "edges")
WIDTHS = Words("networks", "widths", "layers")
TAU, TOP = "0.57 [0.55, 0.60]", "0.03 [-0.10, 0.16]"


def panel(n=50, undefined=3, tau=TAU):
    scores = np.linspace(1500, 1800, n)
    scores[:undefined] = [np.nan, -np.inf, np.nan][:undefined]
    label = "CIFAR-10 test accuracy, 200 epochs (%)"
    return ScorePanel("images of CIFAR-10", label, scores, np.linspace(10, 94, n), tau, TOP)


def kernel(n=6, shared=0.5, scale=40.0):
    return scale * (np.full((n, n), shared) + (1 - shared) * np.eye(n))


def times():
    return pd.DataFrame(
        [
            ("NASWOT N=10", 1.5, 92.4, 1.1, "ours"),
            ("NASWOT N=10", 3.05, 92.44, 1.13, "published"),
            ("Random", np.nan, 86.6, 13.5, "published"),
            ("REA", 12000.0, 93.92, np.nan, "published"),
            ("RS", 12000.0, 93.70, 0.36, "published"),
        ],
        columns=["method", "spent", "mean", "std", "source"],
    ).assign(unit="seconds")


def seeds(images=("cifar10",), proxies=("naswot",), most=3):
    rows = [
        (proxy, name, 12, k, 0.5 + k / 50, 0.5, 0.6, *((0.4, 0.7) if k == most else (np.nan,) * 2))
        for name in images
        for proxy in proxies
        for k in range(1, most + 1)
    ]
    names = ["proxy", "images", "n", "seeds", "tau", "tau_min", "tau_max", "tau_low", "tau_high"]
    return pd.DataFrame(rows, columns=names)


def regrets(elsewhere=False):
    """Two curves of three points on two data sets, and two points."""
    rows = [
        (method, "cifar10", dataset, seconds, "seconds", 9,
         *(base / seconds * np.array([1, 0.9, 1.2])), True)
        for dataset in ("cifar10", "cifar100")
        for method, base in (("AREA", 100.0), ("REA", 300.0))
        for seconds in (50.0, 100.0, 400.0)
    ]  # fmt: skip
    rows += [
        (method, "cifar10", dataset, seconds, "seconds", 9, 5.0, 4.0, 5.5, False)
        for dataset in ("cifar10", "cifar100")
        for method, seconds in (("NASWOT N=10", 3.0), ("Random", 0.0))
    ]
    if elsewhere:
        head = ("REA", "cifar100", "cifar100")
        rows += [(*head, time, "seconds", 9, 2.0, 1, 3, True) for time in (60.0, 90.0)]
    return pd.DataFrame(rows, columns=list(REGRET))


def test_scores_show_their_points_their_rug_and_tau():
    figure = score_against_accuracy([panel(), panel(undefined=0)], members="cells")
    left, right, top, _ = figure.axes
    assert left.get_title() == "images of CIFAR-10\nall 50 cells\nτ = 0.57 [0.55, 0.60]"
    assert left.get_ylabel() == "CIFAR-10 test accuracy, 200 epochs (%)"
    assert left.collections[0].get_offsets().shape == (47, 2)
    (rug,) = left.lines
    np.testing.assert_allclose(rug.get_ydata(), np.linspace(10, 94, 50)[:3])
    assert left.get_legend().get_texts()[0].get_text() == "undefined (3)"
    assert not right.lines
    assert top.get_title() == "top 10 %, n = 5\nτ = 0.03 [-0.10, 0.16]"
    np.testing.assert_allclose(top.collections[0].get_offsets()[:, 1], np.linspace(10, 94, 50)[-5:])


def test_the_top_tenth_is_marked_where_it_is_and_shows_what_is_undefined_there():
    best = panel()
    best.scores[-2] = np.nan
    whole, top = score_against_accuracy([best]).axes
    (rug,) = top.lines
    np.testing.assert_allclose(rug.get_ydata(), best.accuracy[-2:-1])
    (low, high) = top.get_ylim()
    (marked,) = whole.findobj(InsetIndicator)
    box = marked.rectangle
    assert (box.get_y(), box.get_height()) == pytest.approx((low, high - low))


@pytest.mark.parametrize(("n", "images"), [(1900, 0), (2500, 1)])
def test_many_points_are_rasterised_in_svg(tmp_path, n, images):
    path = tmp_path / "points.svg"
    save(score_against_accuracy([panel(n, undefined=0)]), path)
    assert path.read_text().count("<image") == images


def test_kernels_get_a_unit_diagonal_and_one_scale():
    factor = np.diag([1.0, 2, 3, 4, 5, 6])
    figure = kernel_matrices(
        [("92 %", kernel(shared=0.5)), ("91 %", factor @ kernel(shared=0.6) @ factor)],
        [("20 %", kernel(shared=0.9))],
    )
    images = [axes.images[0] for axes in figure.axes if axes.images]
    np.testing.assert_allclose(images[0].get_array(), kernel(shared=0.5, scale=1))
    np.testing.assert_allclose(images[1].get_array(), kernel(shared=0.6, scale=1))
    assert len({image.get_clim() for image in images}) == 1
    assert images[0].get_clim() == pytest.approx((0.5, 1))
    assert [axes.get_ylabel() for axes in figure.axes if axes.images] == [
        "good cells",
        "",
        "bad cells",
    ]
    assert not figure.axes[3].axison, "the place that the shorter row leaves free stays white"


def test_a_kernel_of_identical_codes_can_be_drawn():
    figure = kernel_matrices([], [("10 %", np.full((4, 4), 7.0))])
    low, high = figure.axes[0].images[0].get_clim()
    assert low < high == 1


def test_without_any_kernel_the_figure_says_so():
    figure = kernel_matrices([], [], members="networks")
    assert figure.axes[0].texts[0].get_text() == "none of the scored networks has a kernel"


def points_of(axes):
    """(x, y) of the point of each error bar."""
    return [tuple(map(float, bar.lines[0].get_xydata()[0])) for bar in axes.containers]


def test_searches_of_one_cost_stand_side_by_side_and_the_others_at_their_own_cost():
    figure = accuracy_against_time(times(), title="CIFAR-10 test")
    own, shared = figure.axes
    assert figure.get_suptitle() == "CIFAR-10 test"
    assert (own.get_xscale(), shared.get_xscale()) == ("log", "linear")
    assert (own.get_title(), shared.get_title()) == ("each at its own cost", "about 12,000 s each")
    assert points_of(own) == [(1.5, 92.4), (3.05, 92.44)]
    assert [label.get_text() for label in shared.get_xticklabels()] == ["REA", "RS"]
    assert points_of(shared) == [(0.16, 93.92), (1.16, 93.7)], "published ones on the right"
    filled = [bar.lines[0].get_fillstyle() for bar in (*own.containers, *shared.containers)]
    assert filled == ["full", "none", "none", "none"]
    assert shared.containers[0].has_yerr is False
    assert own.get_ylim() == shared.get_ylim()
    assert own.get_ylim()[0] < 92.4 - 1.13
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["NASWOT N=10", "ours", "published"], "the others are named on the axis"


def test_costs_are_equal_up_to_two_percent():
    rows = [(f"REA (sample={k})", 12000 + 10.0 * k, 93.0, 0.2, "ours") for k in range(10)]
    rows += [("NASWOT", 3.0, 93.0, 0.2, "ours"), ("RS", 12500.0, 93.0, 0.2, "ours")]
    columns = ["method", "spent", "mean", "std", "source"]
    figure = accuracy_against_time(pd.DataFrame(rows, columns=columns).assign(unit="seconds"))
    own, shared = figure.axes
    assert [x for x, _ in points_of(own)] == [3, 12500]
    labels = [label.get_text() for label in shared.get_xticklabels()]
    assert labels == [f"REA\n(sample={k})" for k in range(10)]


def test_what_spends_no_evaluation_has_a_panel_of_its_own(tmp_path):
    rows = [("NASWOT N=10", 0.0, 92.4, 1.1, "ours"), ("NASWOT N=10", 0.0, 92.5, 1.1, "published")]
    rows += [(name, 57.0, 93.0, 0.2, "ours") for name in ("REA", "RS")]
    table = pd.DataFrame(rows, columns=["method", "spent", "mean", "std", "source"])
    table["unit"] = "evaluations"
    with warnings.catch_warnings(action="error"):
        figure = accuracy_against_time(table)
        save(figure, tmp_path / "a.png")
        save(accuracy_against_time(table[:2]), tmp_path / "free.png")
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["spend nothing", "about 57 evaluations each"]
    assert points_of(figure.axes[0]) == [(-0.16, 92.4), (0.16, 92.5)]
    assert accuracy_against_time(times()).axes[0].get_xlabel() == "search time (s)"
    more = pd.concat([table, table.iloc[2:3].assign(method="BOHB", spent=200.0)])
    axes = accuracy_against_time(more).axes[1]
    assert (axes.get_xlabel(), axes.get_xscale()) == ("evaluations", "log")
    assert "200" in [label.get_text() for label in axes.get_xticklabels()]


def test_without_any_search_the_figure_says_so(tmp_path):
    for table in (times().iloc[:0], times().assign(spent=np.nan), times().assign(mean=np.nan)):
        figure = accuracy_against_time(table)
        assert figure.axes[0].texts[0].get_text() == "no search has a cost and an accuracy"


def test_a_panel_names_its_own_unit():
    table = regrets()
    table["unit"] = table["unit"].where(table["dataset"] == "cifar10", "evaluations")
    _, left, _, right = regret_against_time(table).axes
    assert left.get_xlabel() == "simulated search time (s)"
    assert right.get_xlabel() == "evaluations"
    assert "200" in [label.get_text() for label in right.get_xticklabels()]


def test_the_legend_names_only_sources_that_are_there():
    table = times().query("source == 'published'")
    legend = accuracy_against_time(table).legends[0]
    assert [text.get_text() for text in legend.get_texts()][-1] == "published"
    assert "ours" not in [text.get_text() for text in legend.get_texts()]


def test_regret_is_a_step_function_with_a_band_per_search_in_the_panel_of_its_data_set():
    figure = regret_against_time(regrets())
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["", "CIFAR-10, 9 runs each", "", "CIFAR-100, 9 runs each"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["AREA", "REA", "NASWOT N=10", "Random"]
    for axes in figure.axes[1::2]:
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        curves = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
        assert [line.get_ydata().tolist() for line in curves] == [[2, 1, 0.25], [6, 3, 0.75]]
        assert all(line.get_xdata().tolist() == [50, 100, 400] for line in curves)
        assert all(line.get_linestyle() == "-" for line in curves)
        bands = [band for band in axes.collections if hasattr(band, "get_facecolor")][:2]
        corners = {tuple(corner) for corner in bands[0].get_paths()[0].vertices.round(6)}
        assert {(50, 1.8), (50, 2.4), (100, 2.4), (100, 1.2), (400, 0.3)} <= corners, "post steps"


def test_searches_without_a_cost_stand_on_a_strip_of_their_own():
    free = regrets().query("method == 'Random'")
    names = ("Optimal N=10", "Optimal N=100")
    table = pd.concat([regrets(), *(free.assign(method=name) for name in names)])
    figure = regret_against_time(table)
    for strip, axes in (figure.axes[:2], figure.axes[2:]):
        assert strip.get_xlabel() == "no cost"
        assert points_of(strip) == [(0, 5), (1, 5), (2, 5)]
        assert points_of(axes) == [(3, 5)]
        assert (strip.get_ylim(), strip.get_yscale()) == (axes.get_ylim(), "log")
        (segment,) = axes.containers[0].lines[2][0].get_segments()
        assert segment[:, 1].tolist() == [4, 5.5]
    assert len(regret_against_time(table[table["spent"] > 0]).axes) == 2


def test_searches_on_the_panels_own_data_set_are_dashed():
    figure = regret_against_time(regrets(elsewhere=True))
    panels = figure.axes[1::2]
    left, right = ([line.get_linestyle() for line in axes.lines] for axes in panels)
    assert left.count("--") == 0
    assert right.count("--") == 1
    (dashed,) = (line for line in panels[1].lines if line.get_linestyle() == "--")
    assert dashed.get_xdata().tolist() == [60, 90]
    solid = panels[1].lines[1]
    assert dashed.get_color() == solid.get_color(), "both are REA"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[2] == "searched on the panel's data set"


def test_more_searches_than_colours_are_told_apart_by_their_lines():
    many = [regrets().query("method == 'REA'").assign(method=str(k)) for k in range(16)]
    axes = regret_against_time(pd.concat(many)).axes[0]
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 16


def test_without_any_regret_the_figure_says_so(tmp_path):
    for table in (regrets().iloc[:0], regrets().assign(regret=np.nan)):
        figure = regret_against_time(table)
        assert figure.axes[0].texts[0].get_text() == "no search has a regret"
        save(figure, tmp_path / "regret.svg")


def test_a_regret_of_nothing_can_be_drawn(tmp_path):
    zero = regrets().assign(regret=0.0, regret_low=0.0, regret_high=0.0)
    with warnings.catch_warnings(action="error"):
        flat = regret_against_time(zero)
        assert flat.axes[0].get_yscale() == "linear"
        save(flat, tmp_path / "regret.png")
        partly = zero.assign(regret=zero["regret"].where(zero["spent"] > 90, 1.0))
        figure = regret_against_time(partly)
        assert figure.axes[0].get_yscale() == "log"
        save(figure, tmp_path / "regret.png")


def test_seeds_have_a_line_a_band_and_a_bar_per_proxy_in_the_panel_of_their_images():
    table = seeds(["cifar10", "cifar100"], ["naswot", "naswot-released"])
    figure = tau_against_seeds(table)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["CIFAR-10, n = 12", "CIFAR-100, n = 12"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["naswot", "naswot-released"]
    for axes in figure.axes:
        assert len(axes.lines) == 2
        for line in axes.lines:
            np.testing.assert_allclose(line.get_ydata(), [0.52, 0.54, 0.56])
            np.testing.assert_allclose(line.get_xdata(), [1, 2, 3], atol=0.1)
        band, bar, *_ = axes.collections
        heights = band.get_paths()[0].vertices[:, 1]
        assert (heights.min(), heights.max()) == (0.5, 0.6)
        np.testing.assert_allclose(bar.get_segments()[-1][:, 1], [0.4, 0.7])


def test_one_seed_is_a_point_with_its_bar(tmp_path):
    figure = tau_against_seeds(seeds(most=1))
    (axes,) = figure.axes
    assert axes.lines[0].get_xydata().tolist() == [[1, 0.52]]
    save(figure, tmp_path / "seeds.png")
    assert [tick for tick in axes.get_xticks() if 0.5 < tick < 1.5] == [1]


def test_proxies_stand_close_to_their_number_of_seeds():
    proxies = [f"naswot-{k}" for k in range(8)]
    for most in (1, 2, 5):
        (axes,) = tau_against_seeds(seeds(proxies=proxies, most=most)).axes
        shifts = [line.get_xdata()[0] - 1 for line in axes.lines]
        assert max(shifts) == pytest.approx(-min(shifts))
        assert max(shifts) < (0.1 if most == 1 else 0.2)
        assert len({round(shift, 6) for shift in shifts}) == 8
        assert all(tick == round(tick) for tick in axes.get_xticks())


SEEDS = {  # of minibatches and of initialisations
    **dict.fromkeys(("minibatch", "noise", "batch-size"), (3, 1)),
    "initialisation": (1, 3),
    "variance": (2, 2),
}


def ablated():
    rows = [
        (
            *(experiment, "cifar100", size, arch),
            *((np.nan, np.nan) if experiment == "variance" else (50.0 + 2 * arch, 52.0 + 2 * arch)),
            *(minibatch, weights, size * (10 + arch) + minibatch + 2 * weights, "ok"),
        )
        for experiment, (minibatches, initialisations) in SEEDS.items()
        for size in ((32, 64) if experiment == "batch-size" else (128,))
        for arch in range(10)
        for minibatch in range(minibatches)
        for weights in range(initialisations)
    ]
    names = ["experiment", "dataset", "batch_size", "arch", "bin_low", "bin_high"]
    return pd.DataFrame(rows, columns=[*names, "minibatch_seed", "weight_seed", "score", "status"])


def test_ablations_show_every_repeat_and_the_shares():
    scores = ablated()
    table = variance_table(scores, resamples=20)
    figure = ablations(scores, table, ablated_by="CIFAR-100")
    a, b, c, sizes, shares = figure.axes
    for axes, experiment in ((a, "minibatch"), (b, "noise"), (c, "initialisation")):
        own = scores[scores["experiment"] == experiment]
        (points,) = axes.lines
        np.testing.assert_array_equal(points.get_ydata(), own["score"])
        np.testing.assert_array_equal(points.get_xdata(), 51.0 + 2 * own["arch"])
    assert [line.get_label() for line in sizes.lines] == ["32", "64"]
    for line, size in zip(sizes.lines, (32, 64), strict=True):
        own = scores[(scores["experiment"] == "batch-size") & (scores["batch_size"] == size)]
        # the least accurate cell on the first minibatch scores least: size times ten
        np.testing.assert_allclose(line.get_ydata(), own["score"] / (10 * size))
    percent = 100 * table[table["experiment"] == "variance"]["share"]
    widths = [bar.get_width() for bar in shares.patches]
    np.testing.assert_allclose(widths[::-1], percent)
    assert shares.get_title() == "(e) 10 random architectures"


def rounds(methods=("TE-NAS (both, cifar10)",), seeds=(0, 1)):
    rows = [
        (method, "tenas", "both", "cifar10", seed, number, 100.0 * number, 50.0 * number + seed)
        for method in methods
        for seed in seeds
        for number in (1, 2, 4)
    ]
    table = pd.DataFrame(rows, columns=list(TRAJECTORY[:-2]))
    return table.assign(kappa_change=[np.nan, -0.25, 0.5] * (len(table) // 3), regions_change=0.1)


def preferred(images=("cifar10", "cifar100")):
    rows = [
        (proxy, name, 0.1, 40, 4, operation, share, share - 0.1, share + 0.05, paper)
        for name in images
        for proxy, paper in (("linear_regions", 0.3), ("accuracy", np.nan))
        for operation, share in (("none", 0.2), ("skip_connect", 0.8))
    ]
    return pd.DataFrame(rows, columns=list(PREFERENCES))


def test_preferences_are_points_with_bars_and_hollow_published_ones():
    figure = preferences(preferred(), CELLS)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["CIFAR-10: the best 4 of 40", "CIFAR-100: the best 4 of 40"]
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["none", "skip_connect"]
    first, second = axes.containers
    points, _, (bars,) = first.lines
    assert points.get_ydata().tolist() == [20, 80]
    assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [
        pytest.approx([10, 25]),
        pytest.approx([70, 85]),
    ]
    assert (points.get_xdata() < second.lines[0].get_xdata()).all()
    hollow = [line for line in axes.lines if line.get_fillstyle() == "none"]
    assert hollow[0].get_ydata().tolist() == [30, 30]
    assert np.isnan(hollow[1].get_ydata()).all()
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["linear_regions", "accuracy", "published"]


def test_preferences_have_the_words_of_their_space():
    operations = preferences(preferred(), CELLS).axes[0]
    assert (operations.get_ylabel(), operations.get_xlabel()) == ("share of edges (%)", "")
    table = preferred().replace({"option": {"none": "8", "skip_connect": "16"}})
    widths = preferences(table, WIDTHS).axes[0]
    assert (widths.get_ylabel(), widths.get_xlabel()) == ("share of layers (%)", "widths")
    assert preferences(table, Words()).axes[0].get_ylabel() == "share of decisions (%)"
    kernels = kernel_matrices([("a", kernel())], [], members=WIDTHS.members)
    assert kernels.axes[0].get_ylabel() == "good networks"


def test_a_preference_that_is_undefined_can_be_drawn(tmp_path):
    lost = preferred().assign(share=np.nan, share_low=np.nan, share_high=np.nan)
    save(preferences(lost, CELLS), tmp_path / "lost.svg")


def compared(spaces=("nasbench201",), names=("synflow", "naswot", "flops")):
    rows = [
        (space, images, images, "test", name, 0.1 * place - 0.1, 0.1 * place - 0.15, 0.1 * place,
         300, 5, 0.4 if name == "naswot" else np.nan, "someone" if name == "naswot" else "")
        for space in spaces
        for images in ("cifar10", "cifar100")
        for place, name in enumerate(names)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(PROXIES))


def test_proxies_are_groups_of_bars_with_hollow_published_ones():
    figure = proxies(compared())
    (axes,) = figure.axes
    groups = [label.get_text() for label in axes.get_xticklabels()]
    assert groups == ["nasbench201\nCIFAR-10, n = 300", "nasbench201\nCIFAR-100, n = 300"]
    bars = [patch for patch in axes.patches if patch.get_facecolor()[3]]
    assert [bar.get_height() for bar in bars] == pytest.approx([-0.1, 0.0, 0.1] * 2)
    lefts = [bar.get_x() for bar in bars]
    assert lefts == sorted(lefts)
    assert [round(left) for left in lefts] == [0, 0, 0, 1, 1, 1]
    assert bars[0].get_facecolor() == bars[3].get_facecolor() != bars[1].get_facecolor()
    hollow = [patch for patch in axes.patches if not patch.get_facecolor()[3]]
    assert [bar.get_height() for bar in hollow if np.isfinite(bar.get_height())] == [0.4, 0.4]
    known = next(bar for bar in hollow if np.isfinite(bar.get_height()))
    assert bars[1].get_x() < known.get_x() < bars[2].get_x()
    segments = [line.get_segments()[0][:, 1] for line in axes.collections]
    assert segments[0].tolist() == pytest.approx([-0.15, 0.0])
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["synflow", "naswot", "flops", "published"]


def test_many_spaces_take_several_rows(tmp_path):
    many = compared(SPACES.names("nds_*")[:4], [*"abcdefgh", "naswot"])
    figure = proxies(many)
    assert [len(axes.get_xticks()) for axes in figure.axes] == [6, 2]
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    lost = many.assign(published_tau=np.nan)
    lost.loc[lost["proxy"] == "a", ["tau", "low", "high"]] = np.nan
    figure = proxies(lost)
    assert "published" not in [text.get_text() for text in figure.legends[0].get_texts()]
    save(figure, tmp_path / "many.svg")
    (text,) = proxies(compared().assign(tau=np.nan)).axes[0].texts
    assert text.get_text() == "no score has a correlation"


def test_a_trajectory_has_a_panel_per_method_and_seed_and_a_hollow_start():
    methods = [f"TE-NAS ({name}, cifar10)" for name in ("both", "kappa")]
    table = rounds(methods)
    table.loc[4, "kappa"] = np.nan  # seed 1 of the first, second round
    table = table[(table["method"] == methods[0]) | (table["seed"] == 0)]
    figure = trajectory(table)
    panels = [axes for axes in figure.axes if axes.axison]
    heads = [axes.get_title() for axes in panels]
    assert heads == [f"TE-NAS\n({name}, cifar10), seed {seed}"
                     for name, seed in (("both", 0), ("both", 1), ("kappa", 0))]  # fmt: skip
    assert len({(axes.get_xlim(), axes.get_ylim(), axes.get_yscale()) for axes in panels}) == 1
    line, start = panels[0].lines
    assert line.get_xydata().tolist() == [[50, 100], [100, 200], [200, 400]]
    assert start.get_xydata().tolist() == [[50, 100]]
    assert (line.get_markerfacecolor(), start.get_markerfacecolor()) == (line.get_color(), "white")
    assert [text.get_text() for text in panels[0].texts] == ["1", "2", "4"]
    assert np.isnan(panels[1].lines[0].get_ydata()[1])
    assert [text.get_text() for text in panels[1].texts] == ["1", "4"]
    assert figure.get_suptitle() == "n = 3 pruning searches, one per panel; images of CIFAR-10"
    (legend,) = figure.legends
    hollow, _ = (text.get_text() for text in legend.get_texts())
    assert hollow == "unpruned supernet"
    assert "eigenvalue" in panels[0].get_ylabel()


def test_without_a_pruning_search_the_figure_says_so():
    (text,) = trajectory(rounds().iloc[:0]).axes[0].texts
    assert text.get_text() == "no pruning search was run"


def test_ablations_leave_out_what_is_undefined():
    scores = ablated()
    lost = (scores["arch"] == 3) & scores["experiment"].isin(["noise", "variance"])
    scores.loc[lost, ["score", "status"]] = [np.nan, "singular"]
    axes = ablations(scores, variance_table(scores, resamples=20), ablated_by="CIFAR-100").axes
    assert len(axes[1].lines[0].get_xdata()) == 27
    assert axes[-1].get_title() == "(e) 9 random architectures"


def test_shares_that_do_not_exist_can_be_drawn(tmp_path):
    scores = ablated()
    own = scores["experiment"] == "variance"
    scores.loc[own, "score"] = 7.0
    table = variance_table(scores, resamples=20)
    assert table.loc[table["experiment"] == "variance", "share"].isna().all()
    save(ablations(scores, table, ablated_by="CIFAR-100"), tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text().count("nan") == 0


@pytest.mark.parametrize("experiment", SEEDS)
def test_an_ablation_that_does_not_apply_has_no_panel(experiment, tmp_path):
    scores = ablated()
    kept = scores[scores["experiment"] != experiment]
    figure = ablations(kept, variance_table(kept, resamples=20), ablated_by="CIFAR-100")
    save(figure, tmp_path / "ablations.svg")
    assert sum(axes.get_visible() for axes in figure.axes) == 4


@pytest.mark.parametrize("experiment", SEEDS)
def test_an_ablation_without_scores_is_named(experiment):
    scores = ablated()
    table = variance_table(scores, resamples=20)
    with pytest.raises(ParameterError, match=f"no scores of the experiment '{experiment}'"):
        ablations(scores[scores["experiment"] != experiment], table, ablated_by="CIFAR-100")


def curves(datasets=("cifar10",)):
    rows = [
        (dataset, arch, accuracy, epochs, quantity, 1, 0, arch + 10 * epochs + len(quantity))
        for dataset in datasets
        for arch, accuracy in ((3, 60.0), (8, 90.0))
        for epochs in (0.0, 0.5, 2.0)
        for quantity in ("change", "correlation", "naswot", "ntk_mean-all_eval")
    ]
    return pd.DataFrame(rows, columns=list(CURVES))


def test_an_evolution_is_a_line_per_cell_coloured_by_accuracy():
    table = curves()
    lost = (table["arch"] == 8) & (table["epochs"] == 2) & (table["quantity"] == "change")
    table.loc[lost, "median"] = np.nan
    figure = kernel_curves(table)
    change, correlation, bar = figure.axes
    assert change.get_title() == "relative change of the kernel"
    assert correlation.get_title() == "correlation with the initial kernel"
    assert bar.get_ylabel() == "test accuracy (%)"
    low, high = change.lines
    assert low.get_xydata().tolist() == [[0, 9], [0.5, 14], [2, 29]]
    assert np.isnan(high.get_ydata()[2])
    assert correlation.lines[1].get_xydata().tolist() == [[0, 19], [0.5, 24], [2, 39]]
    viridis = mpl.colormaps["viridis"]
    assert (low.get_color(), high.get_color()) == (viridis(0.0), viridis(1.0))


def test_scores_have_a_panel_per_proxy_and_a_row_per_data_set():
    figure = score_curves(curves(), ["naswot", "ntk_mean-all_eval"])
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["naswot", "ntk_mean\nall_eval", ""]
    figure = score_curves(curves(("cifar10", "cifar100")), ["naswot"])
    assert [axes.get_title() for axes in figure.axes[:2]] == ["cifar10: naswot", "cifar100: naswot"]
    assert all(len(axes.lines) == 2 for axes in figure.axes[:2])


def test_values_of_several_decades_have_a_logarithmic_axis():
    wide = curves()
    wide.loc[wide["quantity"] == "naswot", "median"] **= 3
    wide.loc[wide["quantity"] == "change", "median"] -= 20  # as many, but not all above 0
    names = ["naswot", "correlation", "change"]
    scales = [axes.get_yscale() for axes in score_curves(wide, names).axes[:3]]
    assert scales == ["log", "linear", "linear"]


def test_without_an_evolution_the_figure_says_so(tmp_path):
    (text,) = kernel_curves(curves().assign(median=np.nan)).axes[0].texts
    assert text.get_text() == "there are no training curves"
    save(kernel_curves(curves().assign(accuracy=np.nan)), tmp_path / "a.svg")


def fronts():
    """Points and results of a search for a latency, by a score and by a control of equal ranks."""
    rows = [
        ("cifar10", "latency[fpga]", name, "nsga2", limit, "ms", 90.0 + limit, 85.0, 84.0, 86.0)
        for name in ("naswot", "flops")
        for limit in (2.0, 4.0)
    ]
    names = ["dataset", "cost", "score", "algorithm", "limit", "unit", "best"]
    points = pd.DataFrame(rows, columns=[*names, "accuracy", "accuracy_low", "accuracy_high"])
    results = [
        ("cifar10", cost, name, "nsga2", by, evaluations, 7, 9, 3.0, 2.0, 4.0, 0.9, 0.8, 0.95)
        for cost, by in (("latency[fpga]", "latency[fpga]"), (EVERY, ""))
        for name in ("naswot", "flops")
        for evaluations in (50, 100)
    ]
    names = ["dataset", "cost", "score", "algorithm", "by", "evaluations", "runs", "front"]
    ends = [f"{name}{end}" for name in ("lost", "hypervolume") for end in ("", "_low", "_high")]
    return points, pd.DataFrame(results, columns=[*names, *ends])


def test_fronts_that_coincide_can_be_told_apart():
    axes = front_figure(*fronts(), "naswot").axes[0]
    best, *found = axes.lines
    assert best.get_ydata().tolist() == [92, 94]
    assert [line.get_ydata().tolist() for line in found] == [[85, 85]] * 2
    assert len({(line.get_color(), line.get_linestyle()) for line in found}) == 2
    assert axes.get_title() == "latency[fpga]: 3.00 points lost"


@pytest.mark.parametrize(("least", "fewest"), [(0.003, 2), (1.0, 3)])
def test_labels_of_a_front_over_many_decades_do_not_touch(least, fewest):
    points, results = fronts()
    points["limit"] = points["limit"].replace(2.0, least)
    figure = front_figure(points, results, "naswot")
    figure.canvas.draw()
    labels = [label for label in figure.axes[0].get_xticklabels() if label.get_text()]
    boxes = [label.get_window_extent() for label in labels]
    assert len(boxes) >= fewest
    assert all(one.x1 < other.x0 for one, other in pairwise(boxes))


def every_figure():
    """Figure to how it says of how many things, and of which images or accuracies, it is."""
    scores = ablated()
    taus = compared()
    return {
        score_against_accuracy([panel()], members="cells"): ("all 50 cells", "CIFAR-10"),
        kernel_matrices([("92 %", kernel())], [], images="CIFAR-10"): ("6 images", "CIFAR-10"),
        accuracy_against_time(times(), title="CIFAR-10 test: 9 runs"): ("9 runs", "CIFAR-10"),
        regret_against_time(regrets(elsewhere=True)): ("9 runs each", "CIFAR-100"),
        tau_against_seeds(seeds()): ("n = 12", "CIFAR-10"),
        trajectory(rounds()): ("n = 2 pruning searches", "CIFAR-10"),
        preferences(preferred(), CELLS): ("the best 4 of 40", "CIFAR-10"),
        proxies(taus): ("n = 300", "CIFAR-10"),
        ablations(scores, variance_table(scores, resamples=20), ablated_by="CIFAR-100"): (
            "10 architectures", "images of CIFAR-100"
        ),
        kernel_curves(curves()): ("2 random architectures", "CIFAR-10"),
        score_curves(curves(), ["naswot"]): ("2 random architectures", "CIFAR-10"),
        front_figure(*fronts(), "naswot"): ("7 runs of 100 evaluations", "CIFAR-10"),
        progress_figure(fronts()[1]): ("mean of 9 latencies, 7 runs", "CIFAR-10"),
    }  # fmt: skip


def test_every_figure_says_how_many_and_of_what_in_text_that_stays_text(tmp_path):
    every = every_figure()
    assert len(every) == sum(len(section.figures) for section in SECTIONS)
    for figure, said in every.items():
        save(figure, tmp_path / "a.svg")
        tree = ElementTree.parse(tmp_path / "a.svg")
        texts = ["".join(one.itertext()) for one in tree.iter("{http://www.w3.org/2000/svg}text")]
        for words in said:
            assert any(words in " ".join(text.split()) for text in texts), (words, texts)


def test_the_same_figure_gives_the_same_bytes_whatever_the_users_style(tmp_path):
    def saved(folder):
        figures = [*every_figure()]
        for place, figure in enumerate(figures):
            save(figure, folder / f"{place}.svg")
        save(figures[-1], folder / "last.png")
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    folders = [tmp_path / name for name in ("plain", "styled")]
    for folder in folders:
        folder.mkdir()
    first = saved(folders[0])
    with mpl.rc_context({"font.size": 30, "savefig.dpi": 40, "axes.facecolor": "black"}):
        assert saved(folders[1]) == first
        assert mpl.rcParams["font.size"] == 30


def test_files_hold_neither_date_nor_version(tmp_path):
    figure = accuracy_against_time(times())
    save(figure, tmp_path / "a.svg")
    save(figure, tmp_path / "a.png")
    text = (tmp_path / "a.svg").read_text()
    assert "dc:date" not in text
    assert mpl.__version__ not in text
    with Image.open(tmp_path / "a.png") as image:
        assert set(image.info) <= {"dpi"}
        assert image.getpixel((0, 0))[:3] == (255, 255, 255)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.svg"]


def test_only_svg_and_png_are_written_and_a_bad_folder_is_named(tmp_path):
    figure = accuracy_against_time(times())
    with pytest.raises(ParameterError, match=r"a\.pdf: figures are written as \.svg or \.png"):
        save(figure, tmp_path / "a.pdf")
    (tmp_path / "file").write_text("")
    with pytest.raises(UntrainedError, match="cannot write"):
        save(figure, tmp_path / "file" / "a.png")


def test_importing_the_package_stays_cheap():
    code = (
        "import sys, untrained.report; "
        "sys.exit(bool({'pandas', 'matplotlib', 'scipy', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_legend_of_many_searches_fits_below_the_times():
    rows = [(f"REA (sample={n})", 10.0 * n, 93.0, 0.2, "ours") for n in range(1, 24)]
    rows.append(("REA (sample=1)", 12.0, 93.0, 0.2, "published"))
    columns = ["method", "spent", "mean", "std", "source"]
    drawn = accuracy_against_time(pd.DataFrame(rows, columns=columns).assign(unit="seconds"))
    drawn.canvas.draw()
    (legend,) = drawn.legends
    box = legend.get_window_extent()
    assert drawn.bbox.y0 <= box.y0 < box.y1 <= drawn.bbox.y1


LONG = ("REA (fitness=validation_accuracy-train@1)", "REINFORCE (learning_rate=0.04)")


def of_one_panel():
    """Figures of one data set each with more names than fit side by side."""
    methods = [*LONG, "AREA", "RS", "REA", "BOHB", "Local search", "TPE"]
    regret = regrets().query("method == 'REA' and dataset == 'cifar10'")
    proxies_of = [f"ntk_condition_number-weights_without_classifier_{k}" for k in range(4)]
    chosen = preferred(["cifar10"]).query("proxy == 'accuracy'")
    return {
        "regret": regret_against_time(pd.concat([regret.assign(method=name) for name in methods])),
        "short": regret_against_time(
            pd.concat([regret.assign(method=name) for name in ("RS", "REA", "AREA")])
        ),
        "seeds": tau_against_seeds(seeds(proxies=proxies_of)),
        "preferences": preferences(
            pd.concat([chosen.assign(proxy=name) for name in proxies_of]), CELLS
        ),
        "proxies": proxies(compared(names=proxies_of).query("images == 'cifar10'")),
        "trajectory": trajectory(rounds(seeds=range(6))),
    }


@pytest.mark.parametrize(
    "name", ["regret", "short", "seeds", "preferences", "proxies", "trajectory"]
)
def test_a_legend_below_a_single_panel_is_not_cut_off(tmp_path, name):
    figure = of_one_panel()[name]
    save(figure, tmp_path / "a.png")
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width
    assert 0 <= box.y0 < box.y1 <= figure.bbox.height
    # the panel has not paid for it
    assert figure.axes[0].get_window_extent().height > 2.5 * figure.dpi
    if name == "short":
        assert legend._ncols == 3
