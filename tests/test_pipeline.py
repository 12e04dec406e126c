"""dvc.yaml and the Snakemake workflow describe the same pipeline; edits rerun what they must."""

import asyncio
import contextlib
import copy
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path, PurePath

import pytest
import yaml
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo
from PIL import Image
from snakemake.api import SnakemakeApi
from snakemake.caching.hash import ProvenanceHashMap
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    OutputSettings,
    Quietness,
    ResourceSettings,
)

from snakemake_logger_plugin_phases import PHASES
from untrained import closure, plan
from untrained.images.splits import SHEET_COLUMNS
from untrained.parameters import parse_parameters
from untrained.proxies.naswot import Naswot
from untrained.proxies.ntk import LabelGradientAlignment
from untrained.scoring import devices
from untrained.scoring.shards import draw_without_replacement
from untrained.search.regularised_evolution import RegularisedEvolution
from untrained.spaces import get_space
from untrained.spaces.base import Words
from untrained.spaces.nasbench201 import NasBench201

ROOT = Path(__file__).parent.parent
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())

#: Stage and dep that the spaces and searches of params.yaml can do without.
READ_OF_OTHER_SPACES = {("scores", "data/benchmarks"), ("searches", "results/scores")}
#: Two of everything that pruning searches differ in.
PRUNED = {
    "variants": ["tenas", "released"],
    "criteria": ["both", "kappa"],
    "datasets": ["cifar10", "cifar100"],
    "seeds": [0, 1],
}
#: The stages of a space without a benchmark.
SCORED = {"scores", "training_curves"}


def with_changes(changes, base=PARAMS):
    """Parameters with other values; a key with dots is one of a section."""
    config = copy.deepcopy(base)
    for path, value in changes.items():
        *parents, last = path.split(".")
        section = config
        for parent in parents:
            section = section[parent]
        section[last] = value
    return config


@contextlib.contextmanager
def workflow(workdir, config=PARAMS, snakefile=ROOT / "Snakefile", targets=("all",)):
    """The workflow with its job graph, built but not run."""
    with SnakemakeApi(OutputSettings(dryrun=True, quiet={Quietness.ALL})) as api:
        built = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(config=config),
            snakefile=snakefile,
            workdir=workdir,
        )
        dag = built.dag(
            dag_settings=DAGSettings(targets=set(targets), max_checksum_file_size=10**8)
        )
        with contextlib.redirect_stdout(io.StringIO()):
            dag.summary()
        yield built._workflow


@pytest.fixture(scope="module")
def stages():
    with Repo(ROOT) as repo:
        return {
            stage.name: {
                "outs": [out.def_path for out in stage.outs],
                "deps": [d.def_path for d in stage.deps if not isinstance(d, ParamsDependency)],
                "params": [
                    key for d in stage.deps if isinstance(d, ParamsDependency) for key in d.params
                ],
                "command": stage.cmd,
            }
            for stage in repo.index.stages
        }


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A working directory that holds the source files only."""
    folder = tmp_path_factory.mktemp("workflow")
    (folder / "data").mkdir()
    for name in ("params.yaml", "src", "data/bundled"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture(scope="module")
def planned(workdir, stages):
    """A function of parameters: jobs as (outputs, inputs, params) under their stage."""
    known = {}

    def plan(**changes):
        if repr(changes) not in known:
            known[repr(changes)] = jobs_by_stage(workdir, stages, with_changes(changes))
        return known[repr(changes)]

    return plan


def jobs_by_stage(workdir, stages, config):
    found = defaultdict(list)
    with workflow(workdir, config) as built:
        for job in built.dag.jobs:
            if job.output:
                params = {key: repr(value) for key, value in job.params.items()}
                inputs = sorted(map(str, job.input))
                stage = owner(job.output[0], stages)
                found[stage].append((sorted(map(str, job.output)), inputs, params))
    return {stage: sorted(jobs, key=lambda job: job[0]) for stage, jobs in found.items()}


def within(path, roots):
    return any(PurePath(path).is_relative_to(root) for root in roots)


def owner(path, stages):
    owners = [name for name, stage in stages.items() if within(path, stage["outs"])]
    assert len(owners) == 1, f"{path} is versioned by {owners or 'no stage'} of dvc.yaml"
    return owners[0]


def test_every_artifact_is_versioned_once(stages, planned):
    # what the code of jobs is is no job: it is written before there are any
    assert set(planned()) | {"code"} == set(stages)
    for name, jobs in planned().items():
        for outputs, _, _ in jobs:
            assert {owner(output, stages) for output in outputs} == {name}


def test_deps_are_what_the_jobs_read(stages, planned):
    for name, jobs in planned().items():
        outs = stages[name]["outs"]
        read = {path for _, inputs, _ in jobs for path in inputs if not within(path, outs)}
        unknown = [path for path in read if not within(path, stages[name]["deps"])]
        assert not unknown, f"dvc.yaml: {name} lacks deps {unknown}"
        idle = [
            dep
            for dep in stages[name]["deps"]
            if not dep.startswith("results/code/rules/")
            and (name, dep) not in READ_OF_OTHER_SPACES
            and not any(within(p, [dep]) for p in read)
        ]
        assert not idle, f"dvc.yaml: {name} has deps that no job reads: {idle}"


def test_deps_that_other_spaces_read(workdir):
    others = {
        "spaces": ["nasbench101"],
        "training_curves.seeds": [],
        "prunings.seeds": [],
        "scores.proxies": ["naswot"],
        "searches.algorithms": ["naswot-10"],
    }
    with workflow(workdir, with_changes(others)) as built:
        read = {(job.rule.name, path) for job in built.dag.jobs for path in job.input}
    assert ("score", "data/benchmarks/nasbench101.parquet") in read


class Unmeasured(NasBench201):
    """A space without a benchmark, whatever else it has."""

    name = "unmeasured"
    benchmark = None


def test_a_space_without_a_benchmark_is_scored_and_followed_alone(planned):
    """Nothing is fetched, searched or reported of it, and the plans of the others stay."""
    spaces = [*PARAMS["spaces"], f"{__name__}:Unmeasured"]
    before, both, alone = planned(), planned(spaces=spaces), planned(spaces=spaces[1:])
    assert {name for name in both for job in both[name] if job not in before[name]} == SCORED
    assert all(job in both[name] for name in before for job in before[name])
    assert set(alone) == {"images@cifar10", "images@cifar100", *SCORED}


def test_without_a_benchmark_every_stage_has_its_deps(stages, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spaces = {"spaces": [f"{__name__}:Unmeasured"]}
    plan.Plan(parse_parameters(with_changes(spaces))).write_code(ROOT / "workflow/rules")
    deps = {dep for stage in stages.values() for dep in stage["deps"]}
    assert all(Path(dep).exists() for dep in deps if dep.startswith("results/code"))


def test_a_stage_depends_on_the_rules_that_it_runs(stages):
    for name, stage in stages.items():
        rules = [PurePath(dep).stem for dep in stage["deps"] if "/rules/" in dep]
        assert len(rules) == (name != "code"), name
        assert all((ROOT / f"workflow/rules/{rule}.smk").is_file() for rule in rules)


def leaves(tree, prefix=""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


#: A different, still valid value of what is neither a number nor a list of several.
OTHER = {
    "datasets": ["cifar100"],  # the ablations and the prunings need it
    "spaces": None,  # there is one space so far, and no job without it
    "fetch.mirror": "https://example.org/mirror",
    "scores.split": "train",
    "scores.augmentation": "crop-flip",
    "scores.sampling": "balanced",
    "scores.precision": "float32",
    "searches.proxy": "synflow",
    "searches.scores": "live",
    "searches.budget": "100evaluations",
    "searches.where": "latency[raspi4] <= 10 ms",
    "ablations.proxy": "naswot-released",
    "ablations.dataset": "cifar10",
    "prunings.variants": ["tenas", "released"],
    "prunings.criteria": ["regions"],
    "prunings.datasets": ["cifar10"],
    "prunings.batch_size": 16,
    "devices.costs": ["latency[raspi4]"],
    "devices.score": "naswot",
    "devices.predictor": "naswot",
    "devices.dataset": "cifar100",
    "training_curves.dataset": "cifar100",
    "training_curves.kernel": "weights_eval",
    "report.best": 0.2,
}


def changed(leaf, value):
    if leaf in OTHER:
        return OTHER[leaf]
    if isinstance(value, bool):
        return not value
    return value[:-1] if isinstance(value, list) else value + 1


@pytest.mark.parametrize("leaf", [leaf for leaf in leaves(PARAMS) if leaf != "spaces"])
def test_params_are_what_the_jobs_use(leaf, stages, planned):
    base = {}
    if leaf == "datasets":
        base["training_curves.dataset"] = "cifar100"  # the one that stays
    if leaf.startswith("fetch."):
        base["scores.split"] = "train"  # nothing is fetched of the sample
    if leaf == "searches.proxy":
        base["searches.scores"] = "live"  # not every proxy has scores that come along
        base["scores.proxies"] = ["naswot", "naswot-released", "synflow"]
    if leaf == "devices.dataset":  # on other images fewer scores come along
        base |= {f"devices.{name}": "naswot" for name in ("score", "predictor")}
        base["devices.controls"] = ["naswot"]
    value = PARAMS
    for key in leaf.split("."):
        value = value[key]
    before, after = planned(**base), planned(**base, **{leaf: changed(leaf, value)})
    stale = {name for name in before if before[name] != after.get(name)}
    declared = {
        name
        for name, stage in stages.items()
        if any(f"{leaf}.".startswith(f"{declared}.") for declared in stage["params"])
    }
    # a data set less is a matrix stage less, and needs no parameter
    stale = {name for name in stale if not (leaf == "datasets" and name.startswith("images@"))}
    assert stale, f"no job uses {leaf}"
    assert stale <= declared, f"dvc.yaml: {stale - declared} lack the parameter {leaf}"


@pytest.mark.parametrize(
    ("stage", "key", "seeds", "count"),
    [
        ("scores", "seeds", [*PARAMS["seeds"], 99], 2),
        ("prunings", "prunings.seeds", [*PARAMS["prunings"]["seeds"], 99], 1),
        ("training_curves", "training_curves.seeds", [0, 99], PARAMS["training_curves"]["shards"]),
    ],
)
def test_a_new_seed_leaves_the_jobs_of_the_others_alone(stage, key, seeds, count, planned):
    before, after = planned()[stage], planned(**{key: seeds})[stage]
    of_seeds = [job for job in before if "seed" in job[0][0]]  # and not of a merged table
    new = [job for job in after if "seed" in job[0][0] and job not in before]
    assert all(job in after for job in of_seeds)
    assert len(new) == count
    assert all("seed99" in job[0][0] for job in new)


@pytest.mark.parametrize(
    ("phase", "left_out"),
    [
        ("prunings.seeds", {"prunings", "trajectory"}),
        ("training_curves.seeds", {"training_curves"}),
        ("devices.costs", {"devices", "device_levels"}),
    ],
)
def test_with_an_empty_list_a_phase_is_left_out(phase, left_out, planned):
    before, after = planned(), planned(**{phase: []})
    phase = phase.partition(".")[0]
    assert set(before) - set(after) == {phase}
    pages = [job for job in after["report"] if "results/report/nasbench201.md" in job[0]]
    assert pages
    read = {PurePath(path).stem for path in pages[0][1] if path.startswith("results/")}
    assert "ablations" in read
    assert not left_out & read


AS_A_MODULE = f"""
configfile: "of_another_workflow.yaml"

module untrained:
    snakefile: "{ROOT / "Snakefile"}"
    config: config

use rule * from untrained as untrained_*

rule all:
    default_target: True
    input: rules.untrained_all.input
"""


@pytest.mark.parametrize("module", [False, True])
def test_the_workflow_runs_in_another_folder_and_as_a_module(module, tmp_path, planned, stages):
    """Without a file of the checkout but those of the package."""
    snakefile = ROOT / "Snakefile"
    if module:
        snakefile = tmp_path / "Snakefile"
        snakefile.write_text(AS_A_MODULE)
        shutil.copy(ROOT / "params.yaml", tmp_path / "of_another_workflow.yaml")
    with workflow(tmp_path, {}, snakefile) as built:
        jobs = [job for job in built.dag.jobs if job.output]
        made = {str(path) for job in jobs for path in job.output}
        read = {str(path) for job in jobs for path in job.input}
        assert all(job.rule.name.startswith("untrained_") is module for job in jobs)
        phases = {PHASES[job.rule.name] for job in jobs}  # of the live view
    assert made == {path for own in planned().values() for job in own for path in job[0]}
    assert all(Path(tmp_path, path).exists() for path in read - made)
    rules = [path.stem for path in (ROOT / "workflow/rules").glob("*.smk")]
    assert {"fetch", "scores", "report"} < phases <= {*rules}
    assert all(Path(tmp_path, f"results/code/rules/{name}.json").exists() for name in rules)


def test_the_container_has_what_its_recipe_names():
    """The recipe itself is not built here."""
    recipe = (ROOT / "untrained.def").read_text()
    copied = dict(re.findall(r"^    (\S+) /opt/untrained/(\S+)$", recipe, re.MULTILINE))
    assert {"Snakefile", "src", "workflow", "profiles", "data/bundled"} <= copied.keys()
    assert all(name == place and (ROOT / name).exists() for name, place in copied.items())


def test_cached_jobs_have_their_own_hash(workdir):
    """Snakemake's output cache ignores wildcards: two shards must differ in their params."""
    more = {
        "searches.shards": 2,
        "training_curves.seeds": [0, 1],
        **{f"prunings.{name}": values for name, values in PRUNED.items()},
    }
    with workflow(workdir, with_changes(more)) as built:
        hashes = ProvenanceHashMap()
        cached = [job for job in built.dag.jobs if job.rule.cache and job.rule.cache.output]
        digests = {asyncio.run(hashes.get_provenance_hash(job)) for job in cached}
        assert len(digests) == len(cached)
        # every job that takes longer than to start it
        expensive = {"score", "search", "ablate", "prune", "front", "training_curve"}
        assert {job.rule.name for job in cached} == expensive


def test_rules_call_the_command_line_and_nothing_else(workdir):
    with workflow(workdir) as built:
        commands = [job.rule.shellcmd for job in built.dag.jobs if job.rule.shellcmd]
        asking = {job.rule.name for job in built.dag.jobs if "gpu" in job.rule.resources}
    assert commands
    assert all(command.startswith("untrained ") for command in commands)
    # the node that submits may have none: the profile says what the others have
    slurm = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())["set-resources"]
    assert {rule for rule, resources in slurm.items() if resources.get("gpu")} == asking


@pytest.mark.parametrize(
    ("cards", "scores", "curves"), [(0, 1, 1), (4, 1, 4), (8, 2, 8), (9, 3, 8)]
)
def test_no_gpu_of_a_machine_stays_idle(workdir, monkeypatch, cards, scores, curves):
    """Of jobs that take a GPU each there are at least as many as GPUs, or as cells to follow."""
    monkeypatch.setattr(devices, "gpus_here", lambda: cards)
    with workflow(workdir, with_changes({"training_curves.cells": 8})) as built:
        jobs = [job for job in built.dag.jobs if "gpu" in job.rule.resources]
        asked = {job.rule.name: int(job.resources.get("gpu", 0)) for job in jobs}
        count = Counter(job.rule.name for job in jobs)
        followed = [job.params.cells for job in jobs if job.rule.name == "training_curve"]
    assert all(followed), "a job without cells ends with an error"
    assert set(asked.values()) == {int(cards > 0)}
    assert asked.keys() >= {"score", "prune", "training_curve"}
    assert count["score"] == scores * len(PARAMS["seeds"]) * len(PARAMS["datasets"]) >= cards
    assert count["training_curve"] == curves


def test_shards_are_fewer_where_seeds_and_proxies_make_jobs_enough(workdir, monkeypatch):
    """Eight GPUs: 2 data sets, seeds and families are 8 jobs; 2 seeds of curves have 4 shards."""
    monkeypatch.setattr(devices, "gpus_here", lambda: 8)
    more = {"scores.proxies": ["naswot", "snip"], "training_curves.seeds": [0, 1]}
    more["training_curves.cells"] = 4
    more |= {"scores.batch_size": 64, "training_curves.seed": 1}  # no record has these
    with workflow(workdir, with_changes(more)) as built:
        count = Counter(job.rule.name for job in built.dag.jobs)
        assert len(PARAMS["seeds"]) * len(PARAMS["datasets"]) == 4
    assert count["score"] == 8
    assert count["training_curve"] == 8


def test_the_profile_gives_every_gpu_of_this_machine_to_jobs(monkeypatch):
    monkeypatch.setattr(devices, "gpus_here", lambda: 8)
    profile = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())
    given = profile["resources"]["gpu"]
    assert given.startswith("?")
    names = {}
    for line in profile["__definitions__"]:
        exec(line, names)
    assert eval(given.removeprefix("?"), names) == 8


@pytest.mark.parametrize("cards", [0, 9])
def test_what_another_machine_recorded_is_not_computed_again(tmp_path, monkeypatch, cards):
    """It may have had more GPUs, or fewer, and other numbers of shards."""
    monkeypatch.setattr(devices, "gpus_here", lambda: cards)
    stages = {"scores": ("scores", "seeds"), "training_curves": ("training_curves", "scores.split")}
    values = PARAMS | {"scores.split": PARAMS["scores"]["split"]}
    params = {name: {key: values[key] for key in keys} for name, keys in stages.items()}
    lock = {"stages": {name: {"params": {"params.yaml": one}} for name, one in params.items()}}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump(lock))
    for name, count in {"scores": 3, "training_curves": 5}.items():
        for shard in range(count):
            path = tmp_path / f"results/{name}/nasbench201/cifar10/0/{shard}of{count}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    (tmp_path / ".snakemake/metadata").mkdir(parents=True)
    (tmp_path / ".snakemake/metadata/known").touch()

    def numbers(**changes):
        with workflow(tmp_path, with_changes(changes)) as built:
            asked = [job for job in built.dag.jobs if job.rule.name in ("score", "training_curve")]
            return {job.rule.name: int(job.wildcards.shards) for job in asked}

    own = PARAMS["training_curves"]
    of_this_machine = {"score": 3, "training_curve": own["cells"]}
    of_this_machine = of_this_machine if cards else {"score": 1, "training_curve": own["shards"]}
    assert numbers() == {"score": 3, "training_curve": 5}
    changed = numbers(**{"scores.batch_size": 64, "training_curves.seed": 1})
    assert changed == of_this_machine


def test_the_shards_follow_the_cells_that_are_drawn(workdir):
    with workflow(workdir) as built:
        commands = [job.shellcmd for job in built.dag.jobs if job.rule.name == "training_curve"]
    followed = [command.split(" --epochs")[0].split()[3:] for command in commands]
    assert len(followed) == PARAMS["training_curves"]["shards"]
    cells = PARAMS["training_curves"]["cells"]
    drawn = draw_without_replacement(get_space("nasbench201"), cells, 0)
    assert sorted(int(cell) for cells in followed for cell in cells) == drawn


def test_one_shard_has_all_that_is_read_after_training(workdir):
    proxies = ["lga", "naswot", "lga-weights_train@0.5", "lga@1", "naswot@1"]
    with workflow(workdir, with_changes({"scores.proxies": proxies})) as built:
        shards = {
            job.output[0].split("/")[4]: job.shellcmd
            for job in built.dag.jobs
            if job.rule.name == "score"
        }
    named = {
        family: [after for word, after in pairwise(command.split()) if word == "--proxy"]
        for family, command in shards.items()
    }
    assert named == {
        "ntk": ["lga"],
        "naswot": ["naswot"],
        "trained": ["lga-weights_train@0.5", "lga@1", "naswot@1"],
    }


#: A module of one's own with an image set, and the images that it brings.
PLUG_IN = """from dataclasses import replace
from pathlib import Path

from untrained.images.sets import CIFAR10

BUNDLED = Path(__file__).with_name("dots.webp")


DOTS = replace(CIFAR10, name="dots", stands_for="cifar10", bundled=BUNDLED)
"""
#: Parameters of the run that edits are made in: two families of proxies, two spaces.
EDITED = {
    "searches.scores": "live",
    "spaces": ["nasbench201", "nasbench101"],
    "datasets": ["cifar10", "cifar100", "dots:DOTS"],
    "seeds": [0],
    "scores.proxies": ["naswot", "ntk_mean"],
    "searches.algorithms": ["naswot-10", "rea", "area"],
}


@pytest.fixture(scope="module")
def adopted(tmp_path_factory):
    """A copy of the checkout in which every artifact is there and, as far as it knows, current."""
    folder = tmp_path_factory.mktemp("edited")
    for name in ("src", "workflow", "data/bundled", "data/published"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copy(ROOT / "Snakefile", folder)
    (folder / "params.yaml").write_text(yaml.safe_dump(with_changes(EDITED)))
    (folder / "dots.py").write_text(PLUG_IN)
    Image.new("RGB", (32 * SHEET_COLUMNS, 4 * 32)).save(folder / "dots.webp", xmp=b"a note")
    (folder / "dots.json").write_text(json.dumps({"labels": [0] * 4 * SHEET_COLUMNS}))
    with of_copied_source(folder), workflow(folder, {}, folder / "Snakefile") as built:
        made = [folder / path for job in built.dag.jobs for path in job.output]
    for path in made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    path = [str(folder / "src"), str(folder), os.environ.get("PYTHONPATH", "")]
    subprocess.run(
        [sys.executable, "-m", "snakemake", "--touch", "--forceall", "--cores", "1", "--quiet"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path)},
        check=True,
        capture_output=True,
    )
    assert not stale(folder)
    return folder


@contextlib.contextmanager
def of_copied_source(folder):
    """The dependency graph of another copy of the package, with a module of one's own."""
    cached = closure._file, closure._folders, closure._origin
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(closure, "__file__", str(folder / "src/untrained/closure.py"))
        patch.syspath_prepend(folder)
        for function in cached:
            function.cache_clear()
        yield
    for function in cached:
        function.cache_clear()


def stale(folder):
    """Jobs that Snakemake would run, and not only since an input of theirs is made again.

    What else has changed for a stage of DVC is among them: rules, and how images are drawn.
    """
    digests = [*folder.glob("results/code/rules/*"), *folder.glob("results/code/minibatches/*")]
    before = {path: path.read_text() for path in digests}
    found = set()
    with of_copied_source(folder), workflow(folder, {}, folder / "Snakefile") as built:
        for job in built.dag.needrun_jobs():
            why = built.dag.reason(job)
            if job.output and (why.updated_input or why.params_changed or why.code_changed):
                told = (job.wildcards.get(name) for name in ("space", "family", "algorithm"))
                found.add(" ".join(filter(None, (job.rule.name, *told))))
    changed = [path for path in digests if path.read_text() != before[path]]
    return found | {f"{path.parent.name}/{path.stem}" for path in changed}


#: An edit (file, old, new) and the jobs that run again for its sake, without those that follow.
PROSE = ("\n\n", "\n\n# a comment\n\n")
CODE = ("\n\n\n", "\n\n\n_EDITED = True\n\n\n")
SCORES = {f"score {space} {family}" for space in EDITED["spaces"] for family in ("naswot", "ntk")}
EDITS = {
    "a comment of the command line": ("src/untrained/cli/shards.py", *PROSE, set()),
    "code of the command line": ("src/untrained/cli/score.py", *CODE, set()),
    "a section of the report": (
        "src/untrained/report/sections/seeds.py",
        *CODE,
        {f"section_seeds {space}" for space in EDITED["spaces"]},
    ),
    "a comment of a section": ("src/untrained/report/sections/seeds.py", *PROSE, set()),
    "what sections of searches share": (
        "src/untrained/report/search_results.py",
        *CODE,
        {
            f"section_{section} {space}"
            for section in ("searches", "comparisons", "regret")
            for space in EDITED["spaces"]
        }
        | {"section_prunings nasbench201"},
    ),
    "a comment of the engine": ("src/untrained/scoring/engine.py", *PROSE, set()),
    "the helper of a proxy": (
        "src/untrained/proxies/agreements.py",
        *CODE,
        # with all that names the proxy
        {job for job in SCORES if job.endswith("naswot")}
        | {"ablate nasbench201", "training_curve nasbench201"},
    ),
    "a network of a space": (
        "src/untrained/networks/nasbench101_channels.py",
        *CODE,
        # and searches that wait for no score: what they import reaches it
        {job for job in SCORES if "nasbench101" in job} | {"search nasbench101 rea"},
    ),
    "an algorithm": (
        "src/untrained/search/area.py",
        *CODE,
        {f"search {space} area" for space in EDITED["spaces"]},
    ),
    "the engine": (
        "src/untrained/scoring/engine.py",
        *CODE,
        # costs that follow from a graph are computed by it
        SCORES
        | {"ablate nasbench201", "front nasbench201", "training_curve nasbench201"}
        | {f"search {space} rea" for space in EDITED["spaces"]},
    ),
    "parameters of one phase": ("params.yaml", "repeats: 1", "repeats: 2", {"prune nasbench201"}),
    "code of another space": ("src/untrained/spaces/nds_networks.py", *CODE, set()),
    "a comment of a rules file": ("workflow/rules/prunings.smk", *PROSE, set()),
    "a rule": (
        "workflow/rules/prunings.smk",
        "untrained prune",
        "untrained  prune",
        {"prune nasbench201", "rules/prunings"},
    ),
    "what several rules files use": (
        "workflow/rules/paths.smk",
        *CODE,
        {f"rules/{name}" for name in ("paths", "sections", "searches", "report")}
        | {f"rules/{name}" for name in ("ablations", "devices", "prunings", "training_curves")},
    ),
    "a comment of a plug-in": ("dots.py", *PROSE, set()),
    "the image set of a plug-in": ("dots.py", *CODE, {"fetch_images", "minibatches/dots:DOTS"}),
    "images that a plug-in brings": ("dots.webp", "a note", "a text", {"fetch_images"}),
}


@pytest.mark.parametrize("command", ["shard", "training-curves", "prune"])
def test_unfinished_work_is_kept_where_nothing_deletes_it(command):
    rules = [file.read_text() for file in (ROOT / "workflow/rules").glob("*.smk")]
    (rule,) = [
        rule for text in rules for rule in text.split("\nrule ") if f'"untrained {command} ' in rule
    ]
    assert "ledger=LEDGER," in rule
    assert "--ledger {params.ledger}" in rule


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_reruns_what_it_must(edit, adopted):
    name, old, new, expected = EDITS[edit]
    path = adopted / name
    before = path.read_bytes()
    assert old.encode() in before
    code = {file: file.read_bytes() for file in (adopted / "results/code").rglob("*.json")}
    times = {file: file.stat() for file in code}
    try:
        path.write_bytes(before.replace(old.encode(), new.encode(), 1))
        found = stale(adopted)
    finally:
        path.write_bytes(before)
        for file, text in code.items():
            file.write_bytes(text)
            os.utime(file, ns=(times[file].st_atime_ns, times[file].st_mtime_ns))
    assert found == expected


@pytest.fixture
def changed_code(tmp_path, monkeypatch):
    """A function that makes an edit and returns the files of digests that follow from it."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(plan.PUBLISHED, "published")
    monkeypatch.setattr(plan, "PUBLISHED", Path("published"))
    made = plan.Plan(parse_parameters(PARAMS))
    before = {path: Path(path).read_text() for path in made.write_code(ROOT / "workflow/rules")}

    def changed(edit):
        edit()
        made.write_code(ROOT / "workflow/rules")
        return {path for path, text in before.items() if Path(path).read_text() != text}

    return changed


@pytest.mark.parametrize(("name", "alone"), [("STYLE_FILE", False), ("EXPLORER_FILES", True)])
def test_files_beside_code_are_an_input_of_what_reads_them(changed_code, monkeypatch, name, alone):
    there = getattr(plan, name)
    path = Path(there[0] if alone else there)
    other = Path(path.name).absolute()
    other.write_text(path.read_text() + "\n")
    changed = changed_code(lambda: monkeypatch.setattr(plan, name, (other,) if alone else other))
    report = {f"results/code/report/{one}.json" for one in (*plan.REPORT_SECTIONS, "page")}
    assert changed == {"results/code/report/explorer.json"} | (set() if alone else report)


def test_how_spaces_draw_their_architectures_is_an_input_of_the_interactive_page():
    jobs = dict(plan.Plan(parse_parameters(with_changes(EDITED))).code())
    drawn = {f"untrained.spaces.{name}" for name in EDITED["spaces"]}
    assert drawn <= set(jobs["report/explorer"])


def test_published_figures_are_an_input_of_the_report_alone(changed_code, stages):
    figures = Path("published/searches.csv")
    changed = changed_code(lambda: figures.write_text(figures.read_text() + "\n"))
    assert "results/code/report/searches.json" in changed
    assert {Path(path).parent.name for path in changed} == {"report"}
    assert "data/published" in stages["code"]["deps"]


def test_other_versions_of_what_computes_are_an_input(changed_code, stages, monkeypatch):
    installed = closure.version
    other = lambda name: "99" if name == "torch" else installed(name)  # noqa: E731
    changed = changed_code(lambda: monkeypatch.setattr(closure, "version", other))
    assert {"results/code/scores/nasbench201/naswot.json"} <= changed
    assert not {path for path in changed if path.startswith("results/code/images")}
    assert "requirements.txt" in stages["code"]["deps"]


@pytest.mark.parametrize(
    ("entry", "attribute", "value"),
    [
        (Naswot, "direction", "lower"),
        (LabelGradientAlignment, "label", "Alignment"),  # of training curves alone
        (RegularisedEvolution, "label", "Evolution"),
        (NasBench201, "words", Words("graphs")),
    ],
)
def test_what_entries_say_is_an_input_of_searches_and_reports(
    changed_code, monkeypatch, entry, attribute, value
):
    changed = changed_code(lambda: monkeypatch.setattr(entry, attribute, value))
    assert {
        "results/code/report/page.json",
        "results/code/searches/nasbench201/rea.json",
    } <= changed
    assert {Path(path).parts[2] for path in changed} == {"report", "searches"}


def test_a_new_algorithm_is_no_input_of_the_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written = []
    for algorithms in (["naswot-10", "rea"], ["rea", "area"]):
        changes = {"searches.algorithms": algorithms}
        plan.Plan(parse_parameters(with_changes(changes))).write_code(ROOT / "workflow/rules")
        written.append(Path("results/code/searches/nasbench201/rea.json").read_text())
    assert written[0] == written[1]


def test_what_entries_say_has_one_digest_in_every_checkout(monkeypatch):
    made = plan.Plan(parse_parameters(PARAMS))
    described, elsewhere = made._described(), Path("/elsewhere/data/bundled")
    facts = replace(NasBench201.benchmark, bundled=elsewhere / "nasbench201.parquet")
    monkeypatch.setattr(NasBench201, "benchmark", facts)
    for name in ("scores", "devices"):
        monkeypatch.setattr(NasBench201, name, elsewhere / getattr(NasBench201, name).name)
    assert made._described() != described
    monkeypatch.setattr(plan, "BUNDLED", elsewhere)
    images = "data set cifar10", "data set cifar100"  # which are bundled as well
    assert {name: one for name, one in made._described().items() if name not in images} == {
        name: one for name, one in described.items() if name not in images
    }
    assert plan._spelled(frozenset("abc")) == repr(["a", "b", "c"])
