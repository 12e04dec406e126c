"""A package of one's own in the workflow: a whole run, its tables, and what its changes rerun."""

import os
import re
import shutil

import pytest

import test_plugin_package
from test_workflow import ONE_CORE, new_checkout, set_parameters, snakemake

site = test_plugin_package.site
HELPER = "untrained_example/measures.py"
SETTINGS = {
    "spaces": ["triples"],
    "datasets": ["stripes"],
    "seeds": [0],
    "scores.proxies": ["logit_spread", "naswot"],
    "scores.architectures": "all",
    "searches.proxy": "logit_spread",
    "searches.algorithms": ["second-5", "sweep"],
    "searches.budget": "400s",
    "training_curves.dataset": "stripes",
    "training_curves.cells": 2,
    "training_curves.epochs": [0, 1],
    "training_curves.proxies": ["logit_spread"],
}


@pytest.fixture(scope="module")
def project(site, tmp_path_factory):
    """A whole run; the package may be changed, and is changed back."""
    folder = new_checkout(tmp_path_factory.mktemp("project"))
    set_parameters(folder, **SETTINGS)
    with pytest.MonkeyPatch.context() as patched:
        path = os.environ.get("PYTHONPATH", "")
        patched.setenv("PYTHONPATH", os.pathsep.join([str(site), *filter(None, [path])]))
        snakemake(folder, *ONE_CORE)
        yield folder


def jobs(folder):
    """What the program would do, which finds the package: rule to number of jobs."""
    said = snakemake(folder, "-n")
    stats = said.partition("Job stats:")[2].partition("\ntotal")[0]
    assert stats or "Nothing to be done" in said
    found = re.findall(r"^(\w+) +(\d+)$", stats, re.MULTILINE)
    return {rule: int(count) for rule, count in found}


#: What tables and figures call its proxy, its searches, its space and its images.
PROXY, SPACE, IMAGES = "Spread of logits", "Triples of layers", "Stripes"


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("correlations", [PROXY, "accuracy after 5 epochs"]),
        ("preferences", [PROXY]),
        ("seeds", [PROXY]),
        ("proxies", [PROXY, SPACE]),
        ("training_curves", [PROXY]),
        ("searches", ["Sweep", "Second best", IMAGES]),
    ],
)
def test_it_is_in_the_tables_by_its_label(project, name, labels):
    text = (project / f"results/tables/triples/{name}.md").read_text()
    assert all(label in text for label in labels)
    assert "logit_spread" not in text


def test_it_is_on_the_page_by_its_label(project):
    page = (project / "results/report/triples.md").read_text()
    assert page.startswith(f"# {SPACE}: ")
    assert PROXY in page


@pytest.mark.parametrize(
    ("name", "label"),
    [
        *[(name, PROXY) for name in ("preferences", "proxies", "seeds", "score_curves")],
        *[(name, "Sweep") for name in ("time", "regret")],
        ("scores", "naswot score"),  # the one that was published
        ("kernels", ""),
        ("kernel_curves", ""),
    ],
)
def test_it_is_in_the_figures_by_its_label(project, name, label):
    assert label in (project / f"results/figures/triples/{name}.svg").read_text()


def test_its_helper_module_makes_its_family_stale_and_no_other(project, site):
    helper = site / HELPER
    before = helper.read_text()
    helper.write_text(before.replace(".mean()", ".max()"))
    try:
        planned = jobs(project)
        assert planned["score"] == 1  # naswot is up to date
        assert planned["merge"] == 1
        assert "fetch_benchmark" not in planned
        helper.write_text(before.replace('"""The mean', '"""Return the mean'))
        assert jobs(project) == {}  # all was current, and prose changes nothing
    finally:
        helper.write_text(before)


def test_scores_that_are_missing_stop_a_run(project, tmp_path):
    """A search that reads scores is refused while the parameters are read."""
    folder = shutil.copytree(project, tmp_path / "copy", symlinks=True)
    set_parameters(folder, **{"searches.proxy": "synflow"})
    said = snakemake(folder, "-n", succeeds=False)
    assert "synflow" in said
    assert "scores.proxies" in said
    assert "Traceback" not in said
