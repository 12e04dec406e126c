"""The whole workflow as a user runs it, in copies of the checkout with a small params.yaml."""

import collections
import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest
import yaml

from test_pipeline import workflow

ROOT = Path(__file__).parent.parent
PROGRAMS = Path(sys.executable).parent
CHECKOUT = [
    *("Snakefile", "params.yaml", "dvc.yaml", "requirements.txt", "profiles", "workflow", "src"),
    *("data/bundled", "data/published"),
    *(".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore"),
]
SMALL = {
    "datasets": ["cifar10"],
    "seeds": [0, 1],
    "scores.proxies": ["naswot"],
    "scores.architectures": 8,
    "scores.batch_size": 4,
    "searches.algorithms": ["naswot-2", "random"],
    "searches.scores": "live",
    "searches.runs": 5,
    "ablations.dataset": "cifar10",
    "ablations.repeats": 2,
    "ablations.batch_sizes": [4],
    "ablations.cells": 4,
    "prunings.datasets": ["cifar10"],
    "prunings.criteria": ["kappa"],
    "prunings.batch_size": 4,
    "devices.costs": ["latency[raspi4]", "latency[pixel3]"],
    "devices.evaluations": 40,
    "devices.runs": 2,
    "training_curves.cells": 1,
    "training_curves.shards": 1,
    "training_curves.epochs": [0],
    "training_curves.batch_size": 4,
    "report.resamples": 100,
    "report.kernels": 1,
}
#: The processes of a pruning search take longer to start than its few draws.
ONE_CORE = "--cores", "1"
SHARDS = "results/scores/nasbench201/cifar10/naswot"
MERGED = "results/scores/nasbench201.parquet"
PRUNING = "results/prunings/tenas/kappa/nasbench201/cifar10/seed0.parquet"
CURVES = "results/training_curves/nasbench201/cifar10/seed0/0of1.parquet"
SEARCH = "results/searches/{}/nasbench201/cifar10/0of1.parquet"
FRONTS = "results/devices/nasbench201/cifar10.parquet"
SEEDS = "prunings.seeds", "training_curves.seeds"
EVERYTHING = {
    "data/benchmarks/nasbench201.parquet",
    "data/images/cifar10.json",
    f"{SHARDS}/seed0/0of1.parquet",
    f"{SHARDS}/seed1/0of1.parquet",
    MERGED,
    SEARCH.format("naswot-2"),
    SEARCH.format("random"),
    PRUNING,
    CURVES,
    FRONTS,
    "results/metrics/nasbench201.json",
    "results/metrics/cells/nasbench201.json",
    "results/report/nasbench201.md",
    "results/report/index.html",
    *(
        f"results/tables/nasbench201/{name}.{suffix}"
        for name in (
            *("ablations", "comparisons", "correlations", "seeds", "searches"),
            *("training_curves", "preferences", "proxies", "prunings", "trajectory"),
            *("devices", "device_hypervolumes", "device_levels", "device_transfer"),
        )
        for suffix in ("parquet", "csv", "md", "tex")
    ),
    *(
        f"results/tables/nasbench201/{name}.{suffix}"
        for name in ("training_curve_points", "regret", "device_points")
        for suffix in ("parquet", "csv")
    ),
    *(
        f"results/figures/nasbench201/{name}.{suffix}"
        for name in (
            *("ablations", "scores", "kernels", "time", "regret", "seeds"),
            *("kernel_curves", "preferences", "proxies", "score_curves", "trajectory"),
            *("device_fronts", "device_progress"),
        )
        for suffix in ("svg", "png")
    ),
    "results/ablations/nasbench201.parquet",
}
#: Random search reads no scores.
SEARCHES = {"search": 1, "explorer": 1, "page": 1, "all": 1}
SEARCHES |= dict.fromkeys(("section_searches", "section_comparisons", "section_regret"), 1)
SCORED = "correlations", "seeds", "proxies", "preferences", "kernels"
SCORES = {"merge": 1} | {f"section_{name}": 1 for name in SCORED}
AFTER_SCORES = SEARCHES | SCORES
TRAINING_CURVES = {"training_curve": 1, "section_training_curves": 1}
ABLATIONS = {"ablate": 1, "section_ablations": 1}


def environment():
    """Programs of this environment first, and nothing of a workflow that may run these tests."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SNAKEMAKE_", "DVC_", "GIT_", "COV_"))
    }
    path = f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', '')}"
    return kept | {"PATH": path, "OMP_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "1"}


def run(folder, *command, succeeds=True):
    """Run a program in a folder; all that it said."""
    ran = subprocess.run(
        command,
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert (ran.returncode == 0) is succeeds, ran.stdout
    return ran.stdout


def snakemake(folder, *arguments, succeeds=True):
    return run(folder, "snakemake", *arguments, succeeds=succeeds)


def jobs(folder, *targets):
    """What a run in this environment would do: rule to number of jobs."""
    with workflow(folder, {}, folder / "Snakefile", targets or ("all",)) as built:
        return dict(collections.Counter(job.rule.name for job in built.dag.needrun_jobs()))


def set_parameters(folder, **changes):
    """Change params.yaml; a key with dots is one of a section."""
    path = folder / "params.yaml"
    parameters = yaml.safe_load(path.read_text())
    for key, value in changes.items():
        *sections, last = key.split(".")
        section = parameters
        for name in sections:
            section = section[name]
        section[last] = value
    path.write_text(yaml.safe_dump(parameters))


def new_checkout(folder):
    for name in CHECKOUT:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
    set_parameters(folder, **SMALL)
    return folder


def artifacts(folder):
    """Content by path of what a run made; a link to a file that is gone does not count."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for top in ("data/benchmarks", "data/images", "results")
        for path in sorted((folder / top).rglob("*"))
        if path.is_file() and not path.is_relative_to(folder / "results/code")
    }


def copied(source, target):
    """A copy of a run with links into its own output cache."""
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    for link in (target / "results").rglob("*"):
        if link.is_symlink():
            before = link.lstat()
            inside = target / link.readlink().relative_to(source)
            link.unlink()
            link.symlink_to(inside)
            times = before.st_atime_ns, before.st_mtime_ns
            os.utime(link, ns=times, follow_symlinks=False)
    return target


@pytest.fixture
def checkout(tmp_path):
    return new_checkout(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole run from nothing; nothing may change in it."""
    folder = new_checkout(tmp_path_factory.mktemp("finished"))
    snakemake(folder, *ONE_CORE)
    return folder


@pytest.fixture
def project(finished, tmp_path):
    """A copy of the finished run to work in."""
    return copied(finished, tmp_path)


def test_every_artifact_is_made(finished):
    made = artifacts(finished)
    assert set(made) == EVERYTHING
    assert all(made.values())


def test_a_second_run_does_nothing(project):
    before = artifacts(project)
    assert "Nothing to be done" in snakemake(project)
    assert artifacts(project) == before


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"seeds": [0, 1, 2]}, {"score": 1} | AFTER_SCORES),
        ({"scores.batch_size": 9}, {"score": 2} | AFTER_SCORES | ABLATIONS),
        ({"report.kernels": 2}, {"section_kernels": 1, "page": 1, "all": 1}),
        ({"training_curves.seeds": [0, 1]}, TRAINING_CURVES | {"page": 1, "all": 1}),
        ({"prunings.seeds": []}, {"page": 1, "all": 1}),
    ],
    ids=lambda value: next(iter(value)),
)
def test_a_change_runs_what_follows_from_it(project, changes, expected):
    set_parameters(project, **changes)
    assert jobs(project) == expected


def test_deleted_intermediates_are_made_again(project):
    before = artifacts(project)
    trace = SEARCH.format("random")
    view = "results/tables/nasbench201/searches.csv"
    for name in (trace, view):
        (project / name).unlink()
    assert {"search", "section_searches"} <= set(jobs(project))
    snakemake(project, trace)
    del before[view]
    assert artifacts(project) == before


def test_a_search_that_fails_says_why(project):
    set_parameters(project, **{"searches.where": "parameters <= 1"})
    said = snakemake(project, SEARCH.format("random"), succeeds=False)
    assert "untrained: none of 15,625 architectures of nasbench201 satisfies 'parameters" in said


def test_a_damaged_shard_is_named_and_heals(project):
    """Shards are links into Snakemake's output cache, or files where DVC brought them."""
    before = artifacts(project)
    shard = project / SHARDS / "seed1/0of1.parquet"
    cached = shard.resolve()
    assert shard.is_symlink()
    shard.write_bytes(before[f"{SHARDS}/seed1/0of1.parquet"][:-20])
    said = snakemake(project, MERGED, succeeds=False)
    assert f"untrained: {SHARDS}/seed1/0of1.parquet is damaged" in said
    assert "seed0/0of1.parquet is damaged" not in said
    assert "Traceback" not in said
    assert f"it is a link, delete {cached} too" in said
    shard.unlink()
    cached.unlink()
    snakemake(project, MERGED)
    assert artifacts(project) == before


def descendants(pid):
    """Processes below a process of ours: id to command line."""
    children = collections.defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_text()
                children[int(stat.rpartition(")")[2].split()[1])].append(int(entry.name))
    found, waiting = {}, [pid]
    while waiting:
        for child in children[waiting.pop()]:
            with contextlib.suppress(OSError):
                found[child] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ")
            waiting.append(child)
    return found


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return found


@contextlib.contextmanager
def scoring(folder):
    """A run in the middle of its first shard."""
    log = folder / "logs/scores/nasbench201/cifar10/naswot/seed0/0of1.log"
    log.unlink(missing_ok=True)
    with (folder / "said.txt").open("w") as said:
        running = subprocess.Popen(
            ["snakemake", "-j1", f"{SHARDS}/seed0/0of1.parquet"],
            cwd=folder,
            env=environment(),
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: running.poll() is not None or (log.is_file() and log.read_text()))
        assert running.poll() is None, (folder / "said.txt").read_text()
        yield running
    finally:
        if running.poll() is None:
            below = descendants(running.pid)
            running.kill()
            for pid in below:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        running.wait()


def in_ledger(folder):
    """How many finished items interrupted work has left."""
    with contextlib.closing(sqlite3.connect(folder / ".snakemake/ledger.sqlite")) as ledger:
        return ledger.execute("SELECT count(*) FROM done").fetchone()[0]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_killed_in_the_middle_and_two_at_once(checkout):
    set_parameters(checkout, **{"scores.architectures": 40, "scores.batch_size": 32})
    with scoring(checkout) as first:
        shards = [pid for pid, text in descendants(first.pid).items() if b"untrained shard" in text]
        assert shards
        first.kill()
        for pid in shards:
            os.kill(pid, signal.SIGKILL)
        first.wait()
    assert not list((checkout / "results").rglob("*.parquet*"))
    scored = in_ledger(checkout)
    assert 0 < scored < 40

    said = snakemake(checkout, MERGED, succeeds=False)
    assert "LockException" in said
    assert "--unlock" in said
    snakemake(checkout, "--unlock")

    with scoring(checkout) as first:
        first.send_signal(signal.SIGSTOP)  # so that it is still there when the second has started
        said = snakemake(checkout, MERGED, succeeds=False)
        first.send_signal(signal.SIGCONT)
        assert "LockException" in said
        assert "Directory cannot be locked" in said
        assert first.wait(60) == 0
    assert jobs(checkout, MERGED) == {"score": 1, "merge": 1}
    log = (checkout / "logs/scores/nasbench201/cifar10/naswot/seed0/0of1.log").read_text()
    assert f": {scored} of 40 architectures were scored before\n" in log
    assert in_ledger(checkout) == 0
    assert len(pd.read_parquet(checkout / SHARDS / "seed0/0of1.parquet")) == 40


def test_wrong_parameters_are_one_line_and_write_nothing(checkout):
    """`test_parameters.py` has what is said of each mistake."""
    set_parameters(checkout, **{"scores.proxies": ["nawsot"]})
    said = "params: scores.proxies: unknown proxy 'nawsot'"
    lines = snakemake(checkout, succeeds=False).splitlines()
    complaints = [line for line in lines if "params: " in line]
    assert len(complaints) == 1
    assert complaints[0].startswith(f"untrained: {said}")
    assert not any("Traceback" in line or "Error in" in line for line in lines)
    with (checkout / "params.yaml").open("a") as file:
        file.write("seeds: [3]\n")  # which Snakemake would take
    assert "params.yaml is not YAML: the key 'seeds'" in snakemake(checkout, succeeds=False)
    shutil.move(checkout / "params.yaml", checkout / "others.yaml")
    said = snakemake(checkout, "--configfile", "others.yaml", succeeds=False)
    assert "others.yaml is not YAML: the key 'seeds'" in said
    assert not artifacts(checkout)


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk(tiny_disk, finished):
    """The benchmark table is larger than what is left: the job says so and leaves nothing."""
    (tiny_disk / "data").mkdir()
    for name in ("Snakefile", "params.yaml", "profiles", "workflow", "src", "data/bundled"):
        (tiny_disk / name).symlink_to(finished / name)
    size = (ROOT / "data/bundled/nasbench201.parquet").stat().st_size
    assert size > 1 << 20
    said = snakemake(tiny_disk, "fetch", succeeds=False)
    reason = "cannot write data/benchmarks/nasbench201.parquet: No space left on device"
    assert f"untrained: {reason}" in said
    assert "Traceback" not in said
    assert not list(tiny_disk.glob("data/benchmarks/*"))
    assert not list(tiny_disk.glob("data/benchmarks/.*"))


def git(folder, *arguments):
    name = "-c", "user.name=Tester", "-c", "user.email=tester@example.org"
    return run(folder, "git", *name, *arguments)


def recorded(folder):
    """A run in a repository of its own, recorded and pushed to a remote of DVC."""
    git(folder, "init", "--quiet")
    run(folder, "dvc", "commit", "--force", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "Record")
    run(folder, "dvc", "push", "--quiet", "--remote", with_remote(folder))
    return folder


def with_remote(folder):
    """Name the remote that recorded runs are pushed to, which is not part of the repository."""
    config = folder / ".dvc/config.local"
    store = folder.parent / "store"
    config.write_text(f"[core]\n    remote = store\n['remote \"store\"']\n    url = {store}\n")
    return "store"


def computed(said):
    """What jobs of stages made, and did not find among what was finished before."""
    return set(re.findall(r"Moving output file (\S+) to cache", said))


def test_a_clone_restores_what_was_recorded_and_computes_only_what_is_new(
    finished, tmp_path, monkeypatch
):
    """DVC clears each phase that a seed or a search is added to or removed from."""
    project = recorded(copied(finished, tmp_path / "project"))
    assert "up to date" in run(project, "dvc", "status")
    assert jobs(project) == {}

    git(tmp_path, "clone", "--quiet", "project", "clone")
    clone = tmp_path / "clone"
    with_remote(clone)
    run(clone, "dvc", "pull", "--quiet")
    assert "run `make sync`" in snakemake(clone, "-n", succeeds=False)
    run(clone, "python", "workflow/adopt.py")
    assert artifacts(clone) == artifacts(finished)
    assert jobs(clone) == {}
    assert "Nothing to be done" in snakemake(clone, "-n")
    assert "up to date" in run(clone, "dvc", "status")
    assert not git(clone, "status", "--short")

    set_parameters(clone, **{"seeds": [1, 2], **{key: [0, 1] for key in SEEDS}})
    monkeypatch.chdir(clone)
    monkeypatch.syspath_prepend(ROOT / "workflow")
    monkeypatch.setattr(sys, "argv", ["adopt.py", "--touch"])
    others = "prunings, seeds, training_curves"
    with pytest.raises(SystemExit, match=f"dvc.lock belongs to another {others}: `dvc repro`"):
        import_module("adopt").adopt()
    before = artifacts(clone)
    said = run(clone, "dvc", "repro", "scores", "prunings", "training_curves")
    new = {f"{SHARDS}/seed2/0of1.parquet"}
    new |= {path.replace("seed0", "seed1") for path in (PRUNING, CURVES)}
    assert re.search(r"\(Rule: training_curve\)\n\d of \d steps", said)
    assert computed(said) == new
    after = artifacts(clone)
    assert set(after) - set(before) == new
    assert {name for name in after if after[name] != before.get(name)} == {*new, MERGED}
    assert sorted(pd.read_parquet(clone / MERGED)["seed"].unique()) == [1, 2]
    assert {"search": 1}.items() <= jobs(clone).items()  # random search reads no scores
    assert not {"score", "merge", "prune", "training_curve"} & set(jobs(clone))

    traces = {name: SEARCH.format(name) for name in ("naswot-2", "random", "optimal-2")}
    set_parameters(clone, **{"searches.algorithms": list(traces)})
    said = run(clone, "dvc", "repro", "searches")
    assert computed(said) == {traces["naswot-2"], traces["optimal-2"]}
    before = artifacts(clone)
    set_parameters(clone, **{"searches.algorithms": ["random", "optimal-2"]})
    assert not computed(run(clone, "dvc", "repro", "searches"))
    assert set(before) - set(artifacts(clone)) == {traces["naswot-2"]}


def test_revisions_are_compared(finished, tmp_path):
    """By metrics, which Git has, and by plots of tables, which DVC has."""
    project = recorded(copied(finished, tmp_path / "project"))
    page = project / "results/metrics/nasbench201.json"
    known = json.loads(page.read_text())
    score = "score/naswot/cifar10"
    for change, drifts in {0.0: False, 5e-5: False, 2e-4: True}.items():
        page.write_text(json.dumps(known | {score: known[score] * (1 + change)}))
        said = run(project, "python", "workflow/drift.py", succeeds=not drifts)
        assert (f"{page.relative_to(project)}: {score} was {known[score]}, is" in said) is drifts
    assert score in run(project, "dvc", "metrics", "diff")
    page.write_text(json.dumps(known | {"new": 1.5}))
    said = run(project, "python", "workflow/drift.py", succeeds=False)
    assert f"{page.relative_to(project)}: new is new, 1.5: `make record` if it should be" in said
    page.write_text(json.dumps({"new": 1.5}))
    said = run(project, "python", "workflow/drift.py", succeeds=False)
    first = min(known)
    assert f"{first} was {known[first]}, is gone" in said.splitlines()[0]
    other = page.with_name("nasbench101.json")
    other.write_text(json.dumps({"new": 1.5}))
    page.write_text(json.dumps(known))
    said = run(project, "python", "workflow/drift.py", succeeds=False)
    assert len([line for line in said.splitlines() if " is new, 1.5" in line]) == 1
    other.unlink()
    for name in ("correlations", "regret"):
        table = project / f"results/tables/nasbench201/{name}.csv"
        table.write_text(table.read_text().replace("cifar10,", "cifar12,"))
    said = run(project, "dvc", "plots", "diff", "--json")
    for name, y in {"correlations": "tau", "regret": "regret"}.items():
        plot = said.partition(f"tables/nasbench201/{name}.csv")[2]
        assert f'"{y}"' in plot
    assert "cifar10" in said
    assert "cifar12" in said


def test_one_cell_that_has_drifted_is_named(finished, tmp_path):
    """By the tables where DVC has them, and by a sample, which Git has."""
    project = recorded(copied(finished, tmp_path / "project"))
    table, sample = project / MERGED, project / "results/metrics/cells/nasbench201.json"
    scores, known = pd.read_parquet(table), json.loads(sample.read_text())
    row = scores.iloc[3]
    group = f"naswot/cifar10/seed{row.seed}"
    place = known["architectures"].index(row.arch)
    assert known[group][place] == pytest.approx(row.score)
    for change, drifts in {5e-5: False, 1e-3: True}.items():
        table.unlink()
        scores.assign(
            score=scores["score"].where(scores.index != 3, row.score * (1 + change))
        ).to_parquet(table)
        said = run(project, "python", "workflow/drift.py", succeeds=not drifts)
        assert (f"nasbench201 {row.arch}: {group} was {row.score}, is " in said) is drifts
        assert len(said.splitlines()) == drifts
    for store in (".dvc/cache", "../store"):
        shutil.rmtree(project / store)
    assert "DVC lacks" in run(project, "python", "workflow/drift.py")
    known[group][place] = None
    sample.write_text(json.dumps(known))
    said = run(project, "python", "workflow/drift.py", succeeds=False)
    assert f"nasbench201 {row.arch}: {group} was {float(f'{row.score:.7g}')}, is None" in said
    assert "8 cells are compared" in said


def test_searches_of_scores_that_come_along(project):
    """They see the whole space, and the run fails where its own scores are others."""
    changes = {
        "scores.proxies": ["naswot", "parameters"],
        "scores.batch_size": 64,
        "searches.scores": "shipped",
        "searches.proxy": "parameters",
        "searches.algorithms": ["naswot-1000", "random"],
    }
    set_parameters(project, **changes)
    trace = "results/searches/naswot-1000/nasbench201/cifar10/0of1.parquet"
    compared = "results/tables/nasbench201/shipped.parquet"
    wanted = *ONE_CORE, trace, compared
    snakemake(project, *wanted)
    steps = pd.read_parquet(project / trace)
    assert (steps.loc[steps["is_final"], "step"] == 1000).all()
    table = pd.read_parquet(project / compared)
    count = table.set_index("proxy").loc["parameters", "n"].item()
    assert table["agree"].tolist() == table["n"].tolist() == [count]
    assert jobs(project, trace, compared) == {}
    path = project / "data/bundled/nasbench201_scores.parquet"
    there = pd.read_parquet(path)
    there.loc[there["proxy"] == "parameters", "score"] += 1e5
    path.unlink()
    there.to_parquet(path)
    said = snakemake(project, *wanted, succeeds=False)
    assert f"{count} of {count} scores of parameters on cifar10, seed 0, are not those" in said


def test_ensembles_are_ranked_searched_and_reported(project):
    """Their members are scored, and what has blanks and brackets is quoted in every command."""
    search = "rs+fitness=log(parameters, naswot)"
    changes = {
        "scores.proxies": ["naswot", "log(parameters, naswot)"],
        "searches.algorithms": ["naswot-2", "random", search],
        "searches.proxy": "log(naswot,parameters)",
        "searches.budget": "5evaluations",
    }
    set_parameters(project, **changes)
    trace = f"results/searches/{search}/nasbench201/cifar10/0of1.parquet"
    tables = [
        f"results/tables/nasbench201/{name}"
        for name in ("correlations.md", "searches.md", "regret.csv", "comparisons.md")
    ]
    snakemake(project, *ONE_CORE, MERGED, trace, *tables)
    scores = pd.read_parquet(project / MERGED)
    assert set(scores["proxy"]) == {"naswot", "parameters", "log(naswot,parameters)"}
    steps = pd.read_parquet(project / trace)
    assert (steps.loc[steps["is_final"], "step"] == 5).all()
    assert "| log(naswot,parameters) |" in (project / tables[0]).read_text()
    assert jobs(project, MERGED, trace, *tables) == {}
