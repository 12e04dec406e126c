"""Searches within a constraint in tables: the constraint is named, and no paper stands beside."""

import pandas as pd
import pytest
from tests.cli.conftest import command

from untrained import run_search
from untrained.errors import ParameterError
from untrained.report import section
from untrained.report.inputs import Inputs
from untrained.report.sections.searches import SECTION, times_table
from untrained.search import parse_algorithm

WHERE = "latency[raspi4] <= 10 ms"


@pytest.fixture
def traces(tmp_path, monkeypatch):
    """Write the traces of two searches, and return their paths."""
    monkeypatch.chdir(tmp_path)

    def write(*constraints, algorithms=("rea", "naswot-10")):
        paths = []
        for algorithm, where in zip(algorithms, constraints, strict=True):
            budget = {"budget": "9evaluations"} if parse_algorithm(algorithm).spends_budget else {}
            found = run_search(algorithm, "nasbench201", runs=3, where=where, **budget)
            path = tmp_path / "searches" / algorithm / "nasbench201/cifar10/0of1.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            found.trace.to_parquet(path)
            paths.append(path)
        return paths

    return write


def test_tables_name_the_constraint_in_the_place_of_published_results(traces, tmp_path):
    code, _, err = command(
        *("report", "section", "searches", "nasbench201", *traces(WHERE, WHERE)),
        *("--tables", tmp_path / "tables", "--figures", tmp_path / "figures"),
    )
    assert code == 0, err
    table = pd.read_parquet(tmp_path / "tables/searches.parquet")
    assert set(table["where"]) == {WHERE}
    assert set(table["method"]) == {"REA", "NASWOT N=10"}
    assert table["published_mean"].isna().all()
    inputs = Inputs("nasbench201", folder=tmp_path / "tables")
    assert set(times_table(table, "cifar10", "nasbench201")["source"]) == {"ours"}
    (sentence,) = SECTION.sentences(inputs)
    assert f"the most accurate cells within `{WHERE}`: " in sentence
    assert "Published" not in SECTION.tables[0].more(inputs)


def test_every_part_of_a_report_names_the_constraint(traces, tmp_path, monkeypatch):
    """No table or figure of searches can be taken for one of the whole space."""
    monkeypatch.setattr("untrained.report.search_results.published_runs", lambda _: 2)
    folders = "--tables", tmp_path / "tables", "--figures", tmp_path / "figures"
    names = "searches,comparisons,regret"
    paths = traces(WHERE, WHERE, algorithms=("rea", "area"))
    code, _, err = command(
        "report", "section", names, "nasbench201", *paths, "--resamples", 9, *folders
    )
    assert code == 0, err
    inputs = Inputs("nasbench201", folder=tmp_path / "tables")
    for name in ("searches", "comparisons", "regret"):
        assert set(inputs.table(name)["where"]) == {WHERE}
        assert WHERE in (tmp_path / f"tables/{name}.csv").read_text()
    said = f"All searches keep within `{WHERE}`, so no published result stands beside theirs"
    for name in ("searches", "comparisons"):
        assert said in (tmp_path / f"tables/{name}.md").read_text()
        assert "latency[raspi4] $<$= 10 ms" in (tmp_path / f"tables/{name}.tex").read_text()
        assert said in section(name).show(inputs)
    assert set(inputs.table("searches")["method"]) == {"REA", "AREA"}  # and no first runs
    page = tmp_path / "page.md"
    code, _, err = command("report", "page", "nasbench201", "--out", page, *folders)
    assert code == 0, err
    text = page.read_text()
    assert text.count(said) == 2 + 2  # tables, figures
    assert text.count(f"within `{WHERE}`") == 2 + 2 + 2  # sentences
    assert "claims" not in text
    assert "The best is that of all cells, within the constraint or not." in text
    for figure in (one for name in ("searches", "regret") for one in section(name).figures):
        drawn = figure.draw(inputs, {})
        texts = [drawn.get_suptitle(), *(one.get_title() for one in drawn.axes)]
        assert any(f"within {WHERE}" in one for one in texts)


def test_without_a_constraint_tables_are_as_before(traces):
    inputs = Inputs("nasbench201", files={"searches": traces(None, None)})
    table = SECTION.tables[0].make(inputs, {})
    assert "where" not in table
    assert table["published_mean"].notna().any()


def test_searches_within_different_constraints_have_no_common_table(traces):
    inputs = Inputs("nasbench201", files={"searches": traces(WHERE, None)})
    with pytest.raises(ParameterError, match="different constraints, '', 'latency"):
        SECTION.tables[0].make(inputs, {})
