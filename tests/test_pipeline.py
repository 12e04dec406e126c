"""dvc.yaml and the Snakemake workflow describe the same pipeline."""

import asyncio
import contextlib
import copy
import io
from collections import defaultdict
from itertools import pairwise
from pathlib import Path, PurePath

import pytest
import yaml
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo
from snakemake.api import SnakemakeApi
from snakemake.caching.hash import ProvenanceHashMap
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    OutputSettings,
    Quietness,
    ResourceSettings,
)

from untrained.analysis.prunings import PRUNED_SPACES
from untrained.scoring.ablations import ABLATED_SPACES, EXPERIMENTS
from untrained.scoring.shards import draw_without_replacement
from untrained.spaces import get_space

ROOT = Path(__file__).parent.parent
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())


#: Stage and dep that the spaces of params.yaml can do without.
READ_OF_OTHER_SPACES = {("scores", "data/benchmarks")}


@contextlib.contextmanager
def workflow(workdir, config=PARAMS):
    """The workflow with its job graph, built but not run."""
    with SnakemakeApi(OutputSettings(dryrun=True, quiet={Quietness.ALL})) as api:
        built = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(config=config),
            snakefile=ROOT / "Snakefile",
            workdir=workdir,
        )
        dag = built.dag(dag_settings=DAGSettings(targets={"all"}))
        with contextlib.redirect_stdout(io.StringIO()):
            dag.summary()
        yield built._workflow


def jobs_by_stage(workdir, stages, config=PARAMS):
    """Jobs as (outputs, inputs, params), under the stage that versions their outputs."""
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


@pytest.fixture
def workdir(tmp_path):
    """An empty working directory that holds the source files only."""
    (tmp_path / "data").mkdir()
    for name in ("params.yaml", "src", "data/bundled"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def test_every_artifact_is_versioned_once(stages, workdir):
    assert set(jobs_by_stage(workdir, stages)) == set(stages)


def test_every_output_of_a_job_belongs_to_its_stage(stages, workdir):
    for name, jobs in jobs_by_stage(workdir, stages).items():
        for outputs, _, _ in jobs:
            assert {owner(output, stages) for output in outputs} == {name}


def test_deps_are_what_the_jobs_read(stages, workdir):
    for name, jobs in jobs_by_stage(workdir, stages).items():
        outs = stages[name]["outs"]
        read = {path for _, inputs, _ in jobs for path in inputs if not within(path, outs)}
        unknown = [path for path in read if not within(path, stages[name]["deps"])]
        assert not unknown, f"dvc.yaml: {name} lacks deps {unknown}"
        idle = [
            dep
            for dep in stages[name]["deps"]
            if not dep.startswith("workflow/rules/")
            and (name, dep) not in READ_OF_OTHER_SPACES
            and not any(within(p, [dep]) for p in read)
        ]
        assert not idle, f"dvc.yaml: {name} has deps that no job reads: {idle}"


def test_deps_that_other_spaces_read(workdir):
    evolutions, prunings = (PARAMS[name] | {"seeds": []} for name in ("evolutions", "prunings"))
    others = {"spaces": ["nasbench101"], "evolutions": evolutions, "prunings": prunings}
    scores = PARAMS["scores"] | {"proxies": ["naswot"]}
    searches = PARAMS["searches"] | {"algorithms": ["naswot-10"]}
    with workflow(workdir, PARAMS | others | {"scores": scores, "searches": searches}) as built:
        read = {
            ("scores", path)
            for job in built.dag.jobs
            if any(within(output, ["results/scores"]) for output in job.output)
            for path in job.input
        }
    for stage, dep in READ_OF_OTHER_SPACES:
        assert any(stage == name and within(path, [dep]) for name, path in read), (stage, dep)


def test_a_stage_depends_on_the_rules_that_it_runs(stages):
    for name, stage in stages.items():
        rules = [dep for dep in stage["deps"] if dep.startswith("workflow/rules/")]
        assert len(rules) == 1, name
        assert (ROOT / rules[0]).is_file()


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
    "searches.proxy": "naswot-released",
    "searches.budget": "100evaluations",
    "ablations.proxy": "naswot-released",
    "ablations.dataset": "cifar10",
    "prunings.variants": ["tenas", "released"],
    "prunings.criteria": ["regions"],
    "prunings.datasets": ["cifar10"],
    "prunings.batch_size": 16,
    "evolutions.dataset": "cifar100",
    "evolutions.kernel": "weights_eval",
    "report.best": 0.2,
}


def changed(leaf, value):
    if leaf in OTHER:
        return OTHER[leaf]
    if isinstance(value, bool):
        return not value
    return value[:-1] if isinstance(value, list) else value + 1


@pytest.mark.parametrize("leaf", [leaf for leaf in leaves(PARAMS) if leaf != "spaces"])
def test_params_are_what_the_jobs_use(leaf, stages, workdir):
    base = copy.deepcopy(PARAMS)
    if leaf == "datasets":
        base["evolutions"]["dataset"] = "cifar100"  # the one that stays
    config = copy.deepcopy(base)
    *path, last = leaf.split(".")
    section = config
    for key in path:
        section = section[key]
    section[last] = changed(leaf, section[last])

    before = jobs_by_stage(workdir, stages, base)
    after = jobs_by_stage(workdir, stages, config)
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


def test_a_new_seed_leaves_the_shards_of_the_others_alone(stages, workdir):
    config = copy.deepcopy(PARAMS)
    config["seeds"] = [*PARAMS["seeds"], 99]
    before = jobs_by_stage(workdir, stages)["scores"]
    after = jobs_by_stage(workdir, stages, config)["scores"]
    shards = [job for job in before if "seed" in job[0][0]]
    new = [job for job in after if "seed" in job[0][0] and job not in shards]
    assert all(job in after for job in shards)
    assert new
    assert all("seed99" in job[0][0] for job in new)


def test_cached_jobs_have_their_own_hash(workdir):
    """Snakemake's output cache ignores wildcards: two shards must differ in their params."""
    with workflow(workdir) as built:
        hashes = ProvenanceHashMap()
        cached = [job for job in built.dag.jobs if job.rule.cache and job.rule.cache.output]
        digests = {asyncio.run(hashes.get_provenance_hash(job)) for job in cached}
        scores = PARAMS["scores"]
        # the proxies of one family share a shard
        expected = len(PARAMS["seeds"]) * len(PARAMS["datasets"])
        assert len(digests) == len(cached) == expected * scores["shards"]


def test_rules_call_the_command_line_and_nothing_else(workdir):
    with workflow(workdir) as built:
        commands = [job.rule.shellcmd for job in built.dag.jobs if job.rule.shellcmd]
    assert commands
    assert all(command.startswith("untrained ") for command in commands)


def test_without_seeds_nothing_is_pruned(stages, workdir):
    config = copy.deepcopy(PARAMS)
    config["prunings"]["seeds"] = []
    before, after = jobs_by_stage(workdir, stages), jobs_by_stage(workdir, stages, config)
    assert set(before) - set(after) == {"prunings"}
    pages = [
        job
        for jobs in after.values()
        for job in jobs
        if job[0] == ["results/report/nasbench201.md"]
    ]
    assert pages
    read = [PurePath(path).stem for path in pages[0][1] if path.startswith("results/")]
    assert "ablations" in read
    assert not {"trajectory", "prunings"} & set(read)


def test_a_new_seed_leaves_the_prunings_of_the_others_alone(stages, workdir):
    config = copy.deepcopy(PARAMS)
    config["prunings"]["seeds"] = [*PARAMS["prunings"]["seeds"], 99]
    before = jobs_by_stage(workdir, stages)["prunings"]
    after = jobs_by_stage(workdir, stages, config)["prunings"]
    assert all(job in after for job in before)
    new = [job for job in after if job not in before]
    assert [job[0] for job in new] == [
        ["results/prunings/tenas/both/nasbench201/cifar100/seed99.parquet"]
    ]


def test_without_seeds_nothing_is_followed_over_a_training(stages, workdir):
    config = copy.deepcopy(PARAMS)
    config["evolutions"]["seeds"] = []
    before, after = jobs_by_stage(workdir, stages), jobs_by_stage(workdir, stages, config)
    assert set(before) - set(after) == {"evolutions"}
    made = [path for jobs in after.values() for job in jobs for path in job[0] + job[1]]
    assert not any("evolution" in PurePath(path).stem for path in made if "results/" in path)


def test_a_new_seed_leaves_the_evolutions_of_the_others_alone(stages, workdir):
    config = copy.deepcopy(PARAMS)
    config["evolutions"] |= {"seeds": [0, 99]}
    before = jobs_by_stage(workdir, stages)["evolutions"]
    after = jobs_by_stage(workdir, stages, config)["evolutions"]
    new = [job[0][0] for job in after if job not in before]
    assert all(job in after for job in before)
    assert [PurePath(path).parent.name for path in new] == ["seed99"] * len(before)


def test_the_shards_follow_the_cells_that_are_drawn(workdir):
    with workflow(workdir) as built:
        commands = [job.shellcmd for job in built.dag.jobs if job.rule.name == "evolve"]
    followed = [command.split(" --epochs")[0].split()[3:] for command in commands]
    assert len(followed) == PARAMS["evolutions"]["shards"]
    drawn = draw_without_replacement(get_space("nasbench201"), PARAMS["evolutions"]["cells"], 0)
    assert sorted(int(cell) for cells in followed for cell in cells) == drawn


def test_the_workflow_knows_every_space_that_is_pruned(workdir):
    with workflow(workdir) as built:
        assert built.globals["PRUNED_SPACES"] == list(PRUNED_SPACES)


def test_the_workflow_knows_every_ablation(workdir):
    with workflow(workdir) as built:
        assert built.globals["EXPERIMENTS"] == list(EXPERIMENTS)
        assert built.globals["ABLATED_SPACES"] == list(ABLATED_SPACES)


def test_one_shard_has_all_that_is_read_after_training(stages, workdir):
    config = copy.deepcopy(PARAMS)
    config["scores"]["proxies"] = ["lga", "naswot", "lga-weights_train@0.5", "lga@1", "naswot@1"]
    with workflow(workdir, config) as built:
        shards = {
            job.output[0].split("/")[4]: job.shellcmd
            for job in built.dag.jobs
            if job.rule.name == "score"
        }
    assert set(shards) == {"ntk", "naswot", "trained"}
    for family, proxies in (
        ("ntk", ["lga"]),
        ("naswot", ["naswot"]),
        ("trained", ["lga-weights_train@0.5", "lga@1", "naswot@1"]),
    ):
        words = shards[family].split()
        named = [after for word, after in pairwise(words) if word == "--proxy"]
        assert named == proxies
