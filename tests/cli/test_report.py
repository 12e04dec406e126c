"""`untrained report` on a small run that the commands themselves made."""

import base64
import gzip
import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from untrained.files import BUNDLED
from untrained.search import parse_algorithm

from .conftest import command, contents

pytestmark = pytest.mark.usefixtures("short_networks")

SPACE = "nasbench201"
FORMATS = "csv", "md", "parquet", "tex"
TABLES = "correlations", "seeds", "searches", "comparisons", "preferences", "proxies"
FIGURES = "scores", "kernels", "time", "regret", "seeds", "preferences", "proxies"

ALGORITHMS = "naswot-4", "optimal-10", "random", "rea", "rs"


def run(*arguments):
    code, out, err = command(*arguments)
    assert code == 0, err
    return out


def make_scores(datasets, proxies=("naswot",), seeds=(0, 1), architectures=12, ensembles=()):
    shards = []
    for dataset in datasets:
        for proxy in proxies:
            for seed in seeds:
                shards.append(f"shards/{dataset}-{proxy}-{seed}.parquet")
                settings = ["--architectures", architectures, "--batch-size", 8]
                chosen = ["--proxy", proxy, "--dataset", dataset, "--seed", seed]
                run("shard", SPACE, *chosen, *settings, "--out", shards[-1])
    named = [word for one in ensembles for word in ("--ensemble", one)]
    run("merge", *shards, *named, "--out", f"results/scores/{SPACE}.parquet")


def make_searches(datasets, algorithms=ALGORITHMS, proxy="naswot"):
    traces = []
    for algorithm in algorithms:
        for dataset in datasets:
            traces.append(f"results/searches/{algorithm}/{SPACE}/{dataset}/0of1.parquet")
            options = ["--dataset", dataset, "--runs", 20, "--out", traces[-1]]
            options += ["--proxy", proxy] if parse_algorithm(algorithm).uses("proxy") else []
            run("search", algorithm, SPACE, *options)
    return traces


SCORED = "correlations,seeds,proxies,preferences"
SEARCHED = "searches,comparisons,regret"
SECTIONS = [*SCORED.split(","), "kernels", *SEARCHED.split(",")]


def make_tables(traces):
    run("report", "section", SCORED, SPACE, "--only", "tables", "--resamples", 100)
    run("report", "section", SEARCHED, SPACE, "--only", "tables", *traces, "--resamples", 100)


def make_figures(sections=(SCORED, "kernels", "searches,regret"), *options):
    for names in sections:
        own = ["--kernels", 2, "--batch-size", 8] if names == "kernels" else []
        run("report", "section", names, SPACE, "--only", "figures", *own, *options)


def make_page(*sections):
    metrics = f"results/metrics/{SPACE}.json"
    run("report", "page", SPACE, *(sections or SECTIONS), "--metrics", metrics)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, short_networks):
    """Two data sets and two seeds, from scores to page; nothing may change in it."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        make_scores(["cifar10", "cifar100"], ["naswot", "naswot-released"])
        make_tables(make_searches(["cifar10", "cifar100"]))
        make_figures()
        make_page()
    return folder


@pytest.fixture
def project(finished, tmp_path, monkeypatch):
    """A copy of it to work in."""
    shutil.copytree(finished / "results", tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def traces_of(project):
    return sorted(path.relative_to(project) for path in project.glob("results/searches/*/*/*/*"))


def test_every_file_is_there(finished):
    results = finished / "results"
    made = {str(path.relative_to(results)) for path in contents(results)}
    tables = {f"tables/{SPACE}/{name}.{suffix}" for name in TABLES for suffix in FORMATS}
    figures = {f"figures/{SPACE}/{name}.{suffix}" for name in FIGURES for suffix in ("svg", "png")}
    tables |= {f"tables/{SPACE}/regret.{suffix}" for suffix in ("csv", "parquet")}
    rest = {f"metrics/{SPACE}.json", f"report/{SPACE}.md", f"scores/{SPACE}.parquet"}
    searches = {name for name in made if name.startswith("searches/")}
    assert made == tables | figures | rest | searches
    assert len(searches) == 10
    assert all((results / name).stat().st_size > 0 for name in made)


def test_figures_are_figures(finished):
    for name in FIGURES:
        stem = finished / "results/figures" / SPACE / name
        assert stem.with_suffix(".png").read_bytes().startswith(b"\x89PNG\r\n")
        assert stem.with_suffix(".svg").read_text().rstrip().endswith("</svg>")


def test_the_same_bytes_when_repeated(finished, project):
    """Of figures those that a network is run for; tests/report/test_figures.py has all others."""
    shutil.rmtree(project / "results/tables")
    for drawn in (project / "results/figures" / SPACE).glob("kernels.*"):
        drawn.unlink()
    (project / f"results/report/{SPACE}.md").unlink()
    make_tables(traces_of(project))
    make_figures(["kernels"])
    make_page()
    before, after = (contents(folder / "results") for folder in (finished, project))
    relative = {path.relative_to(finished): data for path, data in before.items()}
    assert {path.relative_to(project): data for path, data in after.items()} == relative


def test_shards_of_the_runs_are_one_search(project):
    before = (project / f"results/tables/{SPACE}/searches.csv").read_bytes()
    traces = traces_of(project)
    for shard in (0, 1):
        cut = Path(f"results/searches/random/{SPACE}/cifar10/{shard}of2.parquet")
        run("search", "random", SPACE, "--runs", 20, "--shard", shard, "--shards", 2, "--out", cut)
        traces.append(cut)
    traces.remove(Path(f"results/searches/random/{SPACE}/cifar10/0of1.parquet"))
    make_tables(traces)
    assert (project / f"results/tables/{SPACE}/searches.csv").read_bytes() == before


def test_metrics_are_finite_and_those_of_the_tables(finished):
    metrics = json.loads((finished / f"results/metrics/{SPACE}.json").read_text())
    assert all(math.isfinite(value) for value in metrics.values())
    table = pd.read_parquet(finished / f"results/tables/{SPACE}/correlations.parquet")
    rows = table[(table["subset"] == "all sampled") & (table["proxy"] == "naswot")]
    assert len(rows) == 4  # validation and test of two data sets
    for row in rows.itertuples():
        assert metrics[f"tau/naswot/{row.images}/{row.split}"] == pytest.approx(row.tau, abs=1e-6)
        assert row.tau_low <= row.tau <= row.tau_high
    searches = pd.read_parquet(finished / f"results/tables/{SPACE}/searches.parquet")
    ran = searches.dropna(subset=["mean"])
    assert {"Random", "NASWOT N=4", "Optimal N=10"} <= set(ran["method"])
    means = pd.read_parquet(finished / f"results/scores/{SPACE}.parquet")
    means = means.groupby(["proxy", "dataset"])["score"].mean()
    for (proxy, images), mean in means.items():
        assert metrics[f"score/{proxy}/{images}"] == pytest.approx(mean, abs=1e-6)
    taus = table[table["subset"] == "all sampled"].dropna(subset=["tau"])
    assert len(metrics) == len(ran) + len(taus) + len(means)


def test_correlations_agree_with_scipy(finished, benchmark_table):
    """From the merged scores by the plainest way there is."""
    scores = pd.read_parquet(finished / f"results/scores/{SPACE}.parquet")
    table = pd.read_parquet(finished / f"results/tables/{SPACE}/correlations.parquet")
    for proxy in ("naswot", "naswot-released"):
        own = scores[(scores["proxy"] == proxy) & (scores["dataset"] == "cifar100")]
        # skipna=False: undefined under any seed ranks below every other
        mean = own.groupby("arch")["score"].agg(lambda values: values.mean(skipna=False))
        ranked = mean.fillna(mean.min() - 1)
        accuracy = benchmark_table.accuracies("cifar100", "x-test")[ranked.index]
        row = table[
            (table["proxy"] == proxy)
            & (table["images"] == "cifar100")
            & (table["split"] == "x-test")
            & (table["subset"] == "all sampled")
        ]
        assert row["tau"].item() == pytest.approx(kendalltau(ranked, accuracy).statistic)


def test_the_page_shows_every_figure(finished):
    page = (finished / f"results/report/{SPACE}.md").read_text()
    for name in FIGURES:
        assert f"![{name}](../figures/{SPACE}/{name}.png)" in page
    assert "| naswot-released |" in page


@pytest.mark.usefixtures("quick_numbers")
def test_the_page_has_the_sections_that_are_asked_for(project):
    sizes = ["--batch-size", 4, "--batch-sizes", 4, "--repeats", 2, "--cells", 4]
    crossed = ["--minibatches", 2, "--initialisations", 2]
    run("ablate", SPACE, *sizes, *crossed, "--out", "ablations.parquet")
    run(
        "report",
        "section",
        "ablations",
        SPACE,
        "--only",
        "tables",
        "ablations.parquet",
        "--resamples",
        20,
    )
    pruning = ["--dataset", "noise", "--criterion", "regions", "--repeats", 1, "--workers", 1]
    trace = f"results/prunings/tenas/regions/{SPACE}/noise/seed0.parquet"
    assert "TE-NAS" not in run("report", "show", SPACE)
    run("prune", SPACE, *pruning, "--out", trace)
    run("report", "section", "prunings", SPACE, "--only", "tables", trace)
    out = run("report", "show", SPACE)
    assert max(map(len, out.splitlines())) <= 100
    assert "The pruning search of TE-NAS" in out
    assert "Random cell" in out
    make_page()
    path = project / f"results/report/{SPACE}.md"
    assert not {"Ablations", "pruning search of"} & set(re.findall(r"^## (.*)$", path.read_text()))
    run("report", "section", "ablations", SPACE, "ablations.parquet", "--resamples", 20)
    run("report", "section", "prunings", SPACE, trace)
    run("report", "page", SPACE)  # all that have tables
    text = path.read_text()
    for name in ("ablations", "trajectory"):
        assert f"![{name}](../figures/{SPACE}/{name}.png)" in text
        assert (project / f"results/figures/{SPACE}/{name}.svg").is_file()
    for name in ("ablations", "prunings", "trajectory"):
        assert (project / f"results/tables/{SPACE}/{name}.md").read_text() in text


def test_summed_ranks_are_in_the_tables_where_both_are_scored(untrained, benchmark_table):
    """From the scores by the plainest way there is."""
    proxies = ["naswot", "ntk_condition_number", "linear_regions"]
    make_scores(["cifar100"], proxies, seeds=[0], ensembles=["tenas"])
    make_tables(make_searches(["cifar100"], ["naswot-4"]))
    scores = pd.read_parquet(f"results/scores/{SPACE}.parquet")
    wide = scores[scores["status"] == "ok"].pivot(index="arch", columns="proxy", values="score")
    both = wide[["ntk_condition_number", "linear_regions"]].dropna()
    summed = both["linear_regions"].rank() - both["ntk_condition_number"].rank()
    accuracy = benchmark_table.accuracies("cifar100", "x-test")[summed.index]
    table = pd.read_parquet(f"results/tables/{SPACE}/correlations.parquet")
    rows = table[(table["split"] == "x-test") & (table["subset"] == "finite only")]
    row = rows.set_index("proxy").loc["tenas"]
    assert row["n"] == len(both)
    assert row["tau"] == pytest.approx(kendalltau(summed, accuracy).statistic)
    alone = rows.set_index("proxy").loc["ntk_condition_number", "tau"]
    kappa = both["ntk_condition_number"]
    assert alone == pytest.approx(kendalltau(kappa, accuracy).statistic)
    text = Path(f"results/tables/{SPACE}/correlations.md").read_text()
    (line,) = [one for one in text.splitlines() if "| tenas |" in one and "x-test | finite" in one]
    assert "| 0.640 |" in line
    assert "tenas" in Path(f"results/tables/{SPACE}/seeds.md").read_text()


def final_accuracies(folder, benchmark_table, algorithm, dataset, columns):
    trace = pd.read_parquet(folder / f"results/searches/{algorithm}/{SPACE}/{dataset}/0of1.parquet")
    final = trace[trace["is_final"]].sort_values("run")
    return benchmark_table.accuracies(*columns)[final["arch"]]


def test_searches_that_train_are_compared_with_rea(finished, benchmark_table):
    """From the traces by the plainest way there is."""
    table = pd.read_parquet(finished / f"results/tables/{SPACE}/comparisons.parquet")
    other = ("RS (searched on cifar100)", "REA (searched on cifar100)")
    known = [("RS", "REA")] * 6 + [other] * 2
    assert list(zip(table["method"], table["reference"], strict=True)) == known
    row = table.set_index(["method", "dataset", "split"]).loc[other[0], "cifar100", "test"]
    columns = ("cifar100", "x-test")
    ours, theirs = (
        final_accuracies(finished, benchmark_table, name, "cifar100", columns)
        for name in ("rs", "rea")
    )
    assert row["runs"] == 20
    assert row["difference"] == pytest.approx((ours - theirs).mean())
    better = [(x > y) + 0.5 * (x == y) for x in ours for y in theirs]
    assert row["improvement"] == pytest.approx(sum(better) / 400)
    page = (finished / f"results/report/{SPACE}.md").read_text()
    assert (finished / f"results/tables/{SPACE}/comparisons.md").read_text() in page


def test_regret_ends_where_the_searches_do(finished, benchmark_table):
    table = pd.read_parquet(finished / f"results/tables/{SPACE}/regret.parquet")
    columns = ("cifar10", "ori-test")
    for method, algorithm in (("REA", "rea"), ("Random", "random"), ("RS", "rs")):
        own = table[(table["method"] == method) & (table["searched_on"] == "cifar10")]
        last = own[own["dataset"] == "cifar10"].iloc[-1]
        reached = final_accuracies(finished, benchmark_table, algorithm, "cifar10", columns)
        best = benchmark_table.accuracies(*columns).max()
        assert last["regret"] == pytest.approx(best - reached.mean())
        assert last["regret_low"] <= last["regret"] <= last["regret_high"]


def test_weight_sharing_is_quoted(finished):
    table = pd.read_parquet(finished / f"results/tables/{SPACE}/searches.parquet")
    quoted = table[table["note"] == "published, not run"]
    assert len(quoted) == 36
    assert quoted["mean"].isna().all()
    text = (finished / f"results/tables/{SPACE}/searches.md").read_text()
    assert "| GDAS | 90.00 ± 0.21 (published, not run) |" in text


def test_settings_in_a_spelling_are_read(project):
    """A folder of traces is spelled as its search is."""
    trace = Path(f"results/searches/rea/{SPACE}/cifar10/0of1.parquet")
    other = Path(f"results/searches/rea+sample=5/{SPACE}/cifar10/0of1.parquet")
    other.parent.mkdir(parents=True)
    shutil.copy(trace, other)
    make_tables([trace, other])
    table = pd.read_parquet(project / f"results/tables/{SPACE}/comparisons.parquet")
    assert set(table["method"]) == {"REA (sample=5)"}
    assert (table["p"] == 1).all()


def test_without_rea_the_comparisons_say_so(project):
    make_tables([f"results/searches/rs/{SPACE}/cifar10/0of1.parquet"])
    table = pd.read_parquet(project / f"results/tables/{SPACE}/comparisons.parquet")
    assert table["note"].tolist() == ["no runs of REA"] * 6
    assert "- RS: no runs of REA\n" in run("report", "show", SPACE)


def test_show_fits_a_terminal(project):
    out = run("report", "show", SPACE)
    assert "Score against accuracy" in out
    assert "Table 2(a)" in out
    assert "Searches compared with REA" in out
    assert "searched on" not in out
    assert "\nse: standard error of the mean over runs. Neither it nor ±" in out
    assert out.endswith(f"\nReport: results/report/{SPACE}.md\n")
    assert max(map(len, out.splitlines())) <= 100
    elsewhere = shutil.move(f"results/tables/{SPACE}", "elsewhere")
    assert run("report", "show", SPACE, "--tables", elsewhere) == out


def test_scores_that_were_read_on_test_labels_are_named(project):
    """Below the table wherever it stands; `make run` prints the same."""
    path = Path(f"results/scores/{SPACE}.parquet")
    note = "lga-released@1: read on test images with their labels"
    assert note not in run("report", "show", SPACE)
    table = pd.read_parquet(path)
    table[table["proxy"] == "naswot"].assign(proxy="lga-released@1").to_parquet(path)
    make_tables(traces_of(project)[:2])
    assert f"- {note}" in run("report", "show", SPACE)
    stem = Path(f"results/tables/{SPACE}/correlations")
    assert f" |\n\n- {note}" in stem.with_suffix(".md").read_text()
    assert f"Rank correlations. {note}" in stem.with_suffix(".tex").read_text()
    assert "test images" not in Path(f"results/tables/{SPACE}/seeds.md").read_text()


def test_neither_cifar10_nor_naswot_is_needed(untrained):
    """One data set and one proxy are enough, whichever; kernels are drawn of what was scored."""
    make_scores(["noise"], ["naswot-released"], seeds=[0])
    make_tables(make_searches(["noise"], ["naswot-4"], proxy="naswot-released"))
    make_figures((SCORED, "searches,regret"))
    make_figures(["kernels"], "--split", "train")  # noise has one split, whatever is asked
    make_page()
    run("report", "show", SPACE)
    metrics = json.loads(Path(f"results/metrics/{SPACE}.json").read_text())
    assert any(name.startswith("tau/naswot-released/noise/") for name in metrics)


def test_kernels_are_of_the_images_that_were_scored(monkeypatch, project):
    from untrained.scoring import kernels as drawings

    seen = []
    known = drawings.kernels_of

    def recorded(space, indices, settings, seed):
        seen.append(settings.dataset)
        return known(space, indices, settings, seed=seed)

    monkeypatch.setattr(drawings, "kernels_of", recorded)
    make_figures(["kernels"])
    assert seen == ["cifar10", "cifar10"]
    path = project / f"results/scores/{SPACE}.parquet"
    table = pd.read_parquet(path)
    table[table["dataset"] == "cifar100"].to_parquet(path)
    make_figures(["kernels"])
    assert seen[2:] == ["cifar100", "cifar100"]


def test_kernels_pass_over_cells_that_have_none(project, monkeypatch, space):
    """A disconnected cell has parameters as every other, and is the least accurate."""
    from untrained.scoring import kernels as drawings

    read = []
    known = drawings.kernels_of

    def recorded(*arguments, **settings):
        for index, kernel in known(*arguments, **settings):
            read.append(index)
            yield index, kernel

    monkeypatch.setattr(drawings, "kernels_of", recorded)
    none = space.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|").index
    path = project / f"results/scores/{SPACE}.parquet"
    table = pd.read_parquet(path)
    own = table[(table["proxy"] == "naswot") & (table["seed"] == 0)]
    cells = [none, *own["arch"].unique()[:3].tolist()]
    rows = own.iloc[[0] * 4].assign(arch=cells, proxy="parameters", score=1.0, status="ok")
    rows.to_parquet(path)
    make_figures(["kernels"])
    assert none not in read
    assert len(read) == len(set(read)) == 3  # none is a good one and a bad one


@pytest.mark.parametrize(
    ("remove", "arguments", "said"),
    [
        ("tables", ["show", SPACE], "correlations.parquet does not exist: `make run`"),
        (
            "tables",
            ["page", SPACE, "correlations", "--out", "page.md"],
            "`snakemake report` makes it",
        ),
        (
            "tables",
            ["section", "searches", SPACE, "--only", "figures"],
            "searches.parquet does not exist",
        ),
        (
            "tables",
            ["section", "regret", SPACE, "--only", "figures"],
            "regret.parquet does not exist",
        ),
        (
            "tables",
            ["section", "correlations", SPACE, "--only", "figures"],
            "correlations.parquet does not",
        ),
        (
            "scores",
            ["section", "searches", SPACE, "a/b/c/d.parquet"],
            "a/b/c/d.parquet does not exist",
        ),
        (
            "scores",
            ["section", "correlations", SPACE, "--only", "figures"],
            "`snakemake scores` makes it",
        ),
        ("scores", ["section", "kernels", SPACE], "`snakemake scores` makes it"),
        (
            "",
            ["section", "searches", SPACE, "c.parquet"],
            "traces lie at ALGORITHM/SPACE/DATASET/SHARD.parquet",
        ),
        (
            "",
            ["section", "searches", SPACE, f"results/scores/../scores/{SPACE}.parquet"],
            "is damaged",
        ),
        ("", ["section", "searches", SPACE], "no files of searches: name them"),
        ("", ["show", "nasbench20"], "did you mean 'nasbench201'"),
        (
            "",
            ["section", "searches", "nasbench20", "a/b/c/d.parquet"],
            "did you mean 'nasbench201'",
        ),
        ("", ["section", "seeds", "nasbench20"], "did you mean 'nasbench201'"),
        ("", ["section", "nothing", SPACE], "unknown section 'nothing'"),
        (
            "",
            ["section", "correlations", SPACE, "--only", "figures", "--proxy", "nawsot"],
            "of nawsot on",
        ),
        ("", ["section", "kernels", SPACE, "--batch-size", 1], "minibatch size 1"),
        ("", ["section", "kernels", SPACE, "--kernels", 0], "should be greater than or equal to 1"),
        ("", ["section", "kernels", SPACE, "--split", "tset"], "mean 'test'"),
        (
            "",
            ["section", "searches", SPACE, "--only", "figures", "--figures", "/proc/nowhere"],
            "cannot write /proc/nowhere",
        ),
    ],
)
def test_mistakes_write_nothing(project, refused, remove, arguments, said):
    if remove:
        shutil.rmtree(project / "results" / remove)
    refused(["report", *arguments], said)


def test_scores_newer_than_the_tables(project, refused):
    path = project / f"results/tables/{SPACE}/correlations.parquet"
    table = pd.read_parquet(path)
    table[table["proxy"] != "naswot-released"].to_parquet(path)
    asked = ["section", "correlations", SPACE, "--only", "figures", "--proxy", "naswot-released"]
    refused(["report", *asked], "the table of correlations lacks naswot-released on cifar10")


def test_score_tables_of_something_else(project, refused):
    path = project / f"results/scores/{SPACE}.parquet"
    pd.DataFrame({"arch": [1]}).to_parquet(path)
    for asked in (
        ["section", "correlations", SPACE],
        ["section", "correlations", SPACE, "--only", "figures"],
    ):
        refused(["report", *asked], f"{SPACE}.parquet is damaged")


def test_a_row_says_that_a_sample_was_small_and_not_how_unlikely_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    traces = make_searches(["cifar10"], ["naswot-10", "optimal-10", "random"])
    note, published = (
        "drawn from a sample of 300 of 15,625",
        {"NASWOT N=10", "Optimal N=10", "Random"},
    )
    small = "--architectures", "300"
    for options in ([], small, [*small, "--searched", "shipped"], ["--architectures", "15625"]):
        asked = ["report", "section", "searches", SPACE, *traces, "--only", "tables"]
        run(*asked, "--tables", "made", *options)
        table = pd.read_parquet("made/searches.parquet")
        own = table[(table["dataset"] == "cifar10") & (table["split"] == "test")]
        own = own.set_index("method").loc[sorted(published)]
        said = {name for name in own.index if note in own.loc[name, "note"]}
        assert said == ({"NASWOT N=10"} if options == small else set())
        assert own["published_mean"].notna().all()
        assert set(own.index[own["difference_in_se"].notna()]) == published - said
        layout = Path("made/searches.md").read_text()
        assert (f", {note})" in layout) is bool(said)


def test_the_seeds_of_the_table_are_those_of_the_scores(finished):
    folder = finished / f"results/tables/{SPACE}"
    seeds = pd.read_parquet(folder / "seeds.parquet")
    assert seeds["seeds"].tolist() == [1, 2] * 8  # two data sets, two columns, two proxies
    table = pd.read_parquet(folder / "correlations.parquet")
    every = table[(table["subset"] == "all sampled") & (table["seeds"] == 2)]
    assert seeds[seeds["seeds"] == 2]["tau"].tolist() == every["tau"].tolist()
    page = (finished / f"results/report/{SPACE}.md").read_text()
    assert (folder / "seeds.md").read_text() in page


def test_images_that_stand_for_others_are_drawn(project):
    """Their accuracies are those of the data set that they stand for."""
    path = project / f"results/scores/{SPACE}.parquet"
    table = pd.read_parquet(path)
    names = {"cifar10": "cifar10", "cifar100": "TinyImageNet16-120"}
    table.assign(dataset=table["dataset"].map(names)).to_parquet(path)
    make_tables(traces_of(project))
    make_figures(["correlations", "seeds"])
    seeds = pd.read_parquet(project / f"results/tables/{SPACE}/seeds.parquet")
    assert set(seeds["dataset"]) == {"cifar10-valid", "cifar10", "ImageNet16-120"}


def test_traces_of_an_unknown_algorithm(project, refused):
    trace = Path(f"results/searches/reas/{SPACE}/cifar10/0of1.parquet")
    trace.parent.mkdir(parents=True)
    shutil.copy(f"results/searches/rea/{SPACE}/cifar10/0of1.parquet", trace)
    refused(
        ["report", "section", "searches", SPACE, trace],
        "unknown search algorithm 'reas': did you mean",
    )


def test_the_operations_of_the_truly_best_are_counted(project, all_operations, benchmark_table):
    table = pd.read_parquet(project / f"results/tables/{SPACE}/preferences.parquet")
    own = table[(table["proxy"] == "accuracy") & (table["images"] == "cifar100")]
    scored = pd.read_parquet(project / f"results/scores/{SPACE}.parquet")["arch"].unique()
    accuracy = benchmark_table.accuracies("cifar100", "x-test")
    best = sorted(scored, key=lambda arch: -accuracy[arch])[:2]  # a tenth of 12, and what is left
    used = [operation for arch in best for operation in all_operations[arch]]
    shares = dict(zip(own["option"], own["share"], strict=True))
    assert shares == pytest.approx({name: used.count(name) / len(used) for name in shares})
    every = table[table["proxy"] == "all sampled"]
    assert set(every["best"]) == {12}
    page = (project / f"results/report/{SPACE}.md").read_text()
    assert (project / f"results/tables/{SPACE}/preferences.md").read_text() in page


def test_scores_stand_beside_their_controls(finished):
    tables = finished / "results/tables" / SPACE
    found = pd.read_parquet(tables / "proxies.parquet")
    assert set(found["space"]) == {SPACE}
    names = ["naswot", "naswot-released", "parameters", "flops", "accuracy after 12 epochs"]
    assert found["proxy"].tolist() == names * 2
    assert found["split"].tolist() == ["ori-test"] * 5 + ["x-test"] * 5
    correlations = pd.read_parquet(tables / "correlations.parquet").query(
        "subset == 'all sampled' and split != 'x-valid'"
    )
    keys = ["images", "proxy"]
    ours = found.set_index(keys)["tau"].sort_index()
    assert ours.tolist() == (
        correlations[correlations["proxy"].isin(names)].set_index(keys)["tau"].sort_index().tolist()
    )
    (published,) = found.query("proxy == 'naswot' and images == 'cifar100'")["published_tau"]
    assert published == 0.611


def test_several_spaces_are_one_figure(project):
    path = Path(f"results/tables/{SPACE}/proxies.parquet")
    table = pd.read_parquet(path)
    other = Path("results/tables/nasbench101/proxies.parquet")
    other.parent.mkdir()
    table.assign(space="nasbench101").query("images == 'cifar10'").to_parquet(other)
    run("report", "section", "proxies", SPACE, "--beside", "nasbench101")
    for suffix, head in ((".png", b"\x89PNG"), (".svg", b"<?xml")):
        written = Path("results/figures/proxies").with_suffix(suffix).read_bytes()
        assert written.startswith(head)


def test_a_space_without_tables_beside(project, refused):
    asked = ["section", "proxies", SPACE, "--beside", "nasbench101"]
    refused(["report", *asked], "results/tables/nasbench101/proxies.parquet does not exist")


def test_bad_fraction(project, refused):
    asked = ["section", "preferences", SPACE, "--tables", "other"]
    refused(["report", *asked, "--best", 0], "fraction 0.0 of the best: give more than 0")


def test_bad_resamples(project, refused):
    asked = ["section", "comparisons", SPACE, *traces_of(project), "--tables", "other"]
    refused(["report", *asked, "--resamples", 0], "should be greater than or equal to 1")


def test_where_trainings_have_no_times_evaluations_are_what_is_spent(untrained):
    """The bundled table of NAS-Bench-101 has accuracies alone."""
    space, scores = "nasbench101", "results/scores/nasbench101.parquet"
    settings = ["--architectures", 8, "--batch-size", 4, "--proxy", "naswot", "--seed", 0]
    settings += ["--among", BUNDLED / f"{space}.parquet"]
    run("shard", space, *settings, "--dataset", "cifar10", "--out", "shard.parquet")
    run("merge", "shard.parquet", "--out", scores)
    traces = []
    for algorithm in ("naswot-2", "rs+pool=naswot", "rs+fitness=naswot"):
        traces.append(f"results/searches/{algorithm}/{space}/cifar10/0of1.parquet")
        options = ["--runs", 6, "--out", traces[-1]]
        options += ["--budget", "3evaluations"] if algorithm.startswith("rs") else []
        run("search", algorithm, space, *options)
    run("report", "section", SEARCHED, space, *traces, "--resamples", 10)
    folder = Path(f"results/tables/{space}")
    table = pd.read_parquet(folder / "searches.parquet").set_index("method")
    spent = table[["seconds", "evaluations"]]
    assert spent.loc["RS (pool=naswot)", "evaluations"] == 3
    assert math.isnan(spent.loc["RS (pool=naswot)", "seconds"])
    assert spent.loc["RS (fitness=naswot)"].tolist() == pytest.approx([0.9, 3])
    assert spent.loc["NASWOT N=2"].tolist() == pytest.approx([0.6, 0])
    notes = table["note"].str.contains("sees test accuracies")
    assert notes[notes].index.tolist() == ["RS (pool=naswot)"]
    head = (folder / "searches.md").read_text().splitlines()[0]
    assert head.endswith("| evaluations | time (s) |")
    regret = pd.read_parquet(folder / "regret.parquet")
    assert set(regret["unit"]) == {"evaluations"}
    assert set(regret.loc[regret["trains"], "spent"]) == {1, 2, 3}


def test_searches_that_see_what_they_are_judged_by_are_named():
    from untrained.benchmarks.benchmark import Benchmark
    from untrained.report.inputs import Inputs
    from untrained.report.sections.searches import with_leaks

    group = ("cifar10", "ori-test", 108, "mean")
    known = {"accuracy": np.array([90.0, 91.0]), "train_seconds": np.full(2, np.nan)}
    truth = Benchmark("nasbench101", {group: known}, {})
    methods = ["AREA", "AREA (first 50 runs)", "NASWOT N=10", "REA (fitness=naswot)"]
    summary = pd.DataFrame({"method": methods, "note": ["", "x", "", ""]})
    names = ("area", "naswot-10", "rea+fitness=naswot")
    traces = {(name, "cifar10"): pd.DataFrame() for name in names}
    said = "sees test accuracies: the table has no others"
    inputs = Inputs("nasbench101")
    vars(inputs).update(benchmark=truth, traces=traces)  # as if they had been read
    assert with_leaks(inputs, summary) == [said, f"x; {said}", "", ""]


def test_the_interactive_page_has_the_same_bytes_when_repeated(project):
    run("report", "explorer", SPACE)
    page = project / "results/report/index.html"
    first = page.read_bytes()
    assert b'<script type="text/plain" id="data">' in first
    run("report", "explorer", SPACE, "--tables", f"results/tables/{SPACE}", "--out", "other.html")
    assert (project / "other.html").read_bytes() == first
    run("report", "explorer", SPACE, "--batch-size", "64", "--out", "other.html")
    packed = re.search('id="data">(.*?)<', (project / "other.html").read_text())
    assert packed is not None
    assert b"--batch-size 64 --seed" in gzip.decompress(base64.b64decode(packed[1]))
    assert "Page:   results/report/index.html" in run("report", "show", SPACE)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--split", "nowhere", "split of cifar10 'nowhere'"),
        ("--batch-size", "1", "minibatch size 1 is too small"),
        ("--augmentation", "x", "augmentation 'x'"),
        ("--sampling", "x", "sampling 'x'"),
        ("--precision", "x", "precision 'x'"),
    ],
)
def test_a_command_on_the_page_can_be_run(project, refused, option, value, said):
    refused(["report", "explorer", SPACE, option, value], said)


def test_files_are_named_for_one_space(refused):
    said = "--benchmark, --scores and --tables: name one space"
    refused(["report", "explorer", SPACE, "natsbench_size", "--scores", "x.parquet"], said)


@pytest.mark.parametrize("opened", [True, False])
def test_the_page_is_opened(untrained, refused, tmp_path, monkeypatch, opened):
    asked = []
    monkeypatch.setattr("webbrowser.open", lambda address: asked.append(address) or opened)
    refused(["report", "open"], "results/report/index.html does not exist: `make run`")
    refused(["report", "page", SPACE], "correlations.parquet does not exist: `make run`")
    refused(["report", "open", "mine.html"], "mine.html does not exist: name a page")
    refused(["report", "open", "notes.txt"], "notes.txt is no page of a report: name an .html")
    (tmp_path / "mine.html").touch()
    code, out, _ = untrained("report", "open", "mine.html")
    assert (code, asked) == (0, [(tmp_path / "mine.html").as_uri()])
    assert out == ("" if opened else "no browser found: open ") + f"{asked[0]}\n"
