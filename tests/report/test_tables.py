import io
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from tests.report import SPLITS, table_of_searches

from untrained.report import tables
from untrained.report.published import TRAINING_FREE, WEIGHT_SHARING
from untrained.report.search_tables import (
    narrow_search_layout,
    search_layout,
    search_notes,
)
from untrained.report.sections.ablations import COLUMNS as VARIANCES
from untrained.report.sections.ablations import variance_layout
from untrained.report.sections.comparisons import COLUMNS as COMPARISONS
from untrained.report.sections.comparisons import comparison_layout
from untrained.report.sections.correlations import correlation_layout
from untrained.report.sections.seeds import seed_layout


def results():
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        [
            (method, run, dataset, split, 80 + generator.normal() * 12)
            for method in TRAINING_FREE
            for run in range(20)
            for dataset, split in SPLITS
            if (method, dataset) != ("Random", "cifar100")
        ],
        columns=["method", "run", "dataset", "split", "accuracy"],
    )


def correlations():
    return pd.DataFrame(
        {
            "proxy": ["naswot-released", "parameters"],
            "images": "ImageNet16-120",
            "dataset": "ImageNet16-120",
            "split": "x-valid",
            "subset": "all sampled",
            "seeds": [3, 0],
            "n": 15625,
            "excluded": [201, 0],
            "tau": [0.6114, np.nan],
            "tau_low": [0.5701, np.nan],
            "tau_high": [-0.6549, np.nan],
            "rho": [0.8, np.nan],
            "rho_low": 0.79,
            "rho_high": 0.81,
            "tau_seed_std": [0.0123, np.nan],
            "paper_tau": [0.549, np.nan],
            "recomputed_tau": [0.598, np.nan],
        }
    )


def printed(table, width=100):
    console = Console(width=width, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


def variances():
    rows = [
        ("variance", "cifar100", 128, 200, 5, 4, 4, "architecture", 71.4, 0.9966, 0.992, 0.998),
        ("noise", "noise", 128, 1, 0, 20, 1, "architecture × minibatch", *(np.nan,) * 4),
    ]
    return pd.DataFrame(rows, columns=list(VARIANCES))


def test_components_of_variance_are_standard_deviations_and_percentages():
    layout = variance_layout(variances())
    assert layout.columns[-3:].to_list() == ["component", "std", "share (%)"]
    assert layout.iloc[0, -3:].to_list() == ["architecture", "71.40", "99.66 [99.20, 99.80]"]
    assert layout.iloc[1, -3:].to_list() == ["architecture × minibatch", "", ""]
    assert layout.loc[0, ["architectures", "undefined"]].to_list() == ["200", "5"]
    latex = tables.to_latex(layout, caption="c", label="l")
    assert r"architecture $\times$ minibatch" in latex


def test_numbers_carry_their_interval_or_spread():
    assert tables.with_interval(0.6111, 0.57, 0.6499) == "0.61 [0.57, 0.65]"
    assert tables.with_interval(0.6111, np.nan, np.nan, 3) == "0.611"
    assert tables.with_interval(np.nan, np.nan, np.nan) == ""
    assert tables.with_spread(93.06, 0.354) == "93.06 ± 0.35"
    assert tables.with_spread(93.06, np.nan) == "93.06"
    assert tables.with_spread(np.nan, 1) == ""


def test_the_correlation_layout_reads_well_and_narrows():
    wide = correlation_layout(correlations())
    first, second = wide.to_dict("records")
    assert first["Kendall's τ"] == "0.611 [0.570, -0.655]"
    assert first["Spearman's ρ"] == "0.800 [0.790, 0.810]"
    assert first["accuracy"] == "ImageNet16-120 x-valid"
    assert (first["std of τ over seeds"], first["paper"]) == ("0.012", "0.549")
    assert (second["seeds"], second["Kendall's τ"], second["recomputed"]) == ("", "", "")
    narrow = correlation_layout(correlations(), narrow=True)
    assert "Spearman's ρ" not in narrow
    assert "recomputed" not in narrow
    lines = printed(tables.terminal_table(narrow)).splitlines()
    assert sum("naswot-released" in line and "0.611 [0.570, -0.655]" in line for line in lines) == 1
    assert max(map(len, lines)) <= 100


def test_seeds_are_laid_out_with_what_is_undefined_left_empty():
    table = pd.DataFrame(
        {
            "proxy": "naswot",
            "images": "noise",
            "dataset": "cifar10",
            "split": "ori-test",
            "n": 300,
            "seeds": [1, 2],
            "sets": [2, 1],
            "tau": [0.5, 0.6],
            "tau_min": [0.45, 0.6],
            "tau_max": [0.55, 0.6],
            "tau_low": [np.nan, 0.52],
            "tau_high": [np.nan, 0.68],
            "rho_disjoint": [0.9, np.nan],
        }
    )
    layout = seed_layout(table)
    names = ["naswot", "noise", "cifar10 ori-test", "300"]
    assert layout.to_numpy().tolist() == [
        [*names, "1", "2", "0.500", "0.450", "0.550", "", "", "0.900"],
        [*names, "2", "1", "0.600", "0.600", "0.600", "0.520", "0.680", ""],
    ]


def test_the_search_layout_says_what_a_run_spends():
    table = table_of_searches(results())
    assert "time (s)" not in search_layout(table)
    spent = {method: 100.4 * place for place, method in enumerate(TRAINING_FREE)}
    spent["Random"] = np.nan
    table["seconds"] = table["method"].map(spent)
    table["evaluations"] = 0
    layout = search_layout(table).set_index("method")
    expected = {one: "" if np.isnan(many) else f"{many:.0f}" for one, many in spent.items()}
    assert layout["time (s)"].to_dict() == expected
    assert "evaluations" not in layout
    table["evaluations"] = table["method"].map(dict.fromkeys(TRAINING_FREE, 0) | {"Random": 57.0})
    layout = search_layout(table).set_index("method")
    assert layout.columns[-2:].tolist() == ["evaluations", "time (s)"]
    assert layout["time (s)"].to_dict() == expected
    assert layout["evaluations"].to_dict() == dict.fromkeys(TRAINING_FREE, "0") | {"Random": "57"}


def test_the_search_layout_is_table_2a():
    table = table_of_searches(results())
    layout = search_layout(table)
    assert list(layout["method"]) == list(TRAINING_FREE)
    assert list(layout.columns[1:3]) == ["CIFAR-10 val", "CIFAR-10 test"]
    row = table.iloc[0]
    assert layout["CIFAR-10 val"][0] == (
        f"{row['mean']:.2f} ± {row['std']:.2f} (published 89.14 ± 1.14, "
        f"{row['difference_in_se']:+.1f} se)"
    )
    missing = layout.set_index("method").loc["Random", "CIFAR-100 test"]
    assert missing == "none (published 60.83 ± 12.58, not run)"


def test_table_2a_fits_a_terminal_of_100_columns_unbroken():
    table = table_of_searches(results())
    layout = narrow_search_layout(table)
    lines = printed(tables.terminal_table(layout, title="Table 2(a)")).splitlines()
    assert max(map(len, lines)) <= 100
    body = [line for line in lines if "CIFAR" in line or "ImageNet" in line]
    assert len(body) == 18
    assert not any("…" in line for line in lines)
    random = next(line for line in body if "Random" in line)
    row = table.set_index(["method", "dataset", "split"]).loc["Random", "cifar10", "test"]
    assert f"{row['mean']:.2f}±{row['std']:.2f}" in random
    assert "86.61±13.46" in random
    assert f"{row['difference_in_se']:+.1f}" in random
    assert search_notes(table) == ["Random: not run"]


def test_quoted_rows_show_what_was_published_and_that_it_was_not_run():
    table = table_of_searches(results(), quoted=WEIGHT_SHARING)
    layout = search_layout(table).set_index("method")
    assert layout.loc["GDAS", "CIFAR-10 test"] == "93.51 ± 0.13 (published, not run)"
    notes = search_notes(table)
    assert notes[-1] == f"{', '.join(WEIGHT_SHARING)}: published, not run"
    narrow = narrow_search_layout(table)
    gdas = narrow.iloc[narrow["method"].to_list().index("GDAS")]
    assert gdas.tolist()[2:] == ["", "90.00±0.21", "", "", "93.51±0.13", ""]


def test_brackets_of_a_method_go_into_the_second_line_of_a_terminal():
    own = results()
    own.loc[own["method"] == "Random", "method"] = "AREA (first 50 runs)"
    table = table_of_searches(own, methods=[])
    narrow = narrow_search_layout(table)
    assert narrow["method"].to_list()[9:13] == ["AREA", "(first 50 runs)", "", "Optimal N=10"]
    lines = printed(tables.terminal_table(narrow)).splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) == 3 + 18 + 1, "no line is broken"


def test_methods_with_one_line_keep_their_brackets():
    own = results()
    own = own[own["dataset"] == "cifar10"]
    own.loc[own["method"] == "Random", "method"] = "REA (sample=5)"
    own.loc[own["method"] == "NASWOT N=10", "method"] = "REA"
    table = table_of_searches(own, methods=[])
    table = table[table["dataset"] == "cifar10"]
    names = set(narrow_search_layout(table)["method"])
    assert {"REA", "REA (sample=5)"} <= names
    both = pd.DataFrame({"method": ["REA", "REA (sample=5)"]}).merge(
        comparisons().drop(columns="method").head(1), how="cross"
    )
    layout = comparison_layout(both, narrow=True)
    assert layout["method"].to_list() == ["REA", "REA (sample=5)"]


def comparisons():
    numbers = (0.067, 0.021, 0.112, 0.0123, 4.6e-12, 0.55, 0.5, 0.6, "")
    nothing = (*(np.nan,) * 8, "no runs of REA")
    rows = [
        ("REINFORCE (rate=0.1)", "REA", "cifar10", "test", 500, *numbers),
        ("REINFORCE (rate=0.1)", "REA", "ImageNet16-120", "test", 500, *numbers),
        ("RS", "REA", "cifar10", "val", 0, *nothing),
    ]
    return pd.DataFrame(rows, columns=list(COMPARISONS))


def test_comparisons_are_laid_out_with_their_intervals():
    layout = comparison_layout(comparisons())
    assert layout.iloc[0].to_list() == [
        *("REINFORCE (rate=0.1)", "REA", "CIFAR-10 test", "500"),
        *("0.07 [0.02, 0.11]", "0.55 [0.50, 0.60]", "0.012", "4.6e-12", ""),
    ]
    assert layout.iloc[2].to_list()[3:] == ["0", "", "", "", "", "no runs of REA"]
    latex = tables.to_latex(layout, caption="c", label="l")
    assert "4.6e-12" in latex


def test_comparisons_fit_a_terminal():
    layout = comparison_layout(comparisons(), narrow=True)
    assert layout["method"].to_list() == ["REINFORCE", "(rate=0.1)", "RS"]
    lines = printed(tables.terminal_table(layout, title="Searches")).splitlines()
    assert max(map(len, lines)) <= 100
    assert sum("0.07 [0.02, 0.11] 0.55 [0.50, 0.60]" in line for line in lines) == 2
    assert search_notes(comparisons()) == ["RS: no runs of REA"]
    nothing = comparisons().iloc[:0]
    assert tables.to_markdown(comparison_layout(nothing)).count("\n") == 2
    assert len(comparison_layout(nothing, narrow=True)) == 0


def test_a_cell_of_ours_without_a_published_one_shows_its_note():
    own = results().assign(method="Optimal N=1000").drop_duplicates(["run", "dataset", "split"])
    layout = search_layout(table_of_searches(own, methods=[]))
    assert layout["CIFAR-10 val"][0].endswith("(not published)")


def test_markdown_aligns_numbers_and_escapes():
    table = pd.DataFrame(
        {"cell": ["|nor~0|", "a_b _c_ <x>\ny"], "n": [1, 22], "tau": [0.5, np.nan], "empty": None}
    )
    assert tables.to_markdown(table, digits=2).splitlines() == [
        "| cell | n | tau | empty |",
        "| --- | ---: | ---: | --- |",
        r"| \|nor\~0\| | 1 | 0.50 |  |",
        r"| a_b \_c\_ \<x\><br>y | 22 |  |  |",
    ]


def latex_table():
    hard = r"50 % & $x_1$ #{a} ~b^c \d <e> |f|"
    return pd.DataFrame({"name": [hard, "[g]"], "value": ["-0.40 ± 0.1", "3"], "τ ρ": [1.5, 2.0]})


def test_latex_is_escaped_and_uses_booktabs():
    text = tables.to_latex(latex_table(), caption="95 % of a_b", label="tab:a_b", digits=1)
    lines = text.splitlines()
    assert r"\caption{95 \% of a\_b}" in lines
    assert r"\label{tab:a_b}" in lines
    assert r"\begin{tabular}{lrr}" in lines
    assert r"name & value & $\tau$ $\rho$ \\" in lines
    assert (
        r"50 \% \& \$x\_1\$ \#\{a\} \textasciitilde{}b\textasciicircum{}c \textbackslash{}d "
        r"$<$e$>$ \textbar{}f\textbar{} & $-$0.40 $\pm$ 0.1 & 1.5 \\"
    ) in lines
    assert r"{}[g] & 3 & 2.0 \\" in lines, "a bracket after \\\\ would be read as its argument"
    assert text.count("{") == text.count("}")
    assert [line for line in lines if "rule" in line] == [r"\toprule", r"\midrule", r"\bottomrule"]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path):
    body = tables.to_latex(latex_table(), caption="95 %", label="tab:x")
    body += tables.to_latex(
        correlation_layout(correlations()), caption="Kendall's τ", label="tab:y"
    )
    start = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n"
    (tmp_path / "t.tex").write_text(start + body + "\\end{document}\n")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]


def test_csv_keeps_every_digit_and_comes_back():
    table = correlations()
    text = tables.to_csv(table)
    assert "\r" not in text
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(text)), table, check_dtype=False)


def test_markup_is_not_read_into_terminal_cells():
    table = pd.DataFrame({"interval": ["[bold]", "0.61 [0.57, 0.65]"]})
    assert "[bold]" in printed(tables.terminal_table(table))


def test_terminal_numbers_are_formatted():
    assert "0.12 " in printed(tables.terminal_table(pd.DataFrame({"x": [0.1234]}), digits=2)) + " "
