import os
import re
import shlex
import sys
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

from untrained.errors import UntrainedError
from untrained.parameters import parse_parameters
from untrained.plan import Plan
from untrained.scoring.devices import gpus_here

# Without its records Snakemake takes files for current, whatever the parameters say.
if (
    workflow.is_main_process
    and Path("dvc.lock").exists()
    and "DVC_STAGE" not in os.environ
    and not {"--touch", "-t"} & set(sys.argv)
    and any(path.parent.name not in {"code", "metrics"} for path in Path("results").glob("*/*"))
    and not any(Path(".snakemake/metadata").glob("*"))
):
    raise WorkflowError(
        "results/ came from DVC and Snakemake has no record of how it was made: " "run `make sync`."
    )

try:
    PARAMETERS = parse_parameters(config)
    PLAN = Plan(PARAMETERS)
    CODE = PLAN.write_code(Path(str(workflow.current_basedir)))
except UntrainedError as error:
    sys.exit(f"untrained: {error}")  # one line, without the traceback of a WorkflowError

SPACES = list(PLAN.spaces)

# A job asks for a GPU where this machine has any; a cluster's profile sets it for its nodes.
CARDS = gpus_here()
GPUS = int(CARDS > 0)

# What interrupted jobs have finished: not in results/, of which Snakemake deletes what a failed
# job made, and DVC everything before a stage.
LEDGER = ".snakemake/ledger.sqlite"

# Finished score shards are kept by provenance, so that DVC may clear results/ before a stage.
output_cache = os.environ.setdefault(
    "SNAKEMAKE_OUTPUT_CACHE", str(Path(".snakemake/outputs").absolute())
)
Path(output_cache).mkdir(parents=True, exist_ok=True)


wildcard_constraints:
    space="|".join(map(re.escape, SPACES)),
    dataset="|".join(map(re.escape, [*config["datasets"], config["devices"]["dataset"]])),
    family="|".join(map(re.escape, PLAN.families)),
    algorithm="|".join(map(re.escape, config["searches"]["algorithms"])),
    variant="|".join(config["prunings"]["variants"]),
    criterion="|".join(config["prunings"]["criteria"]),
    seed=r"\d+",
    shard=r"\d+",
    shards=r"\d+",


def settings(section, *names, but=()):
    """Some keys of a section, or all but some, as one value.

    Snakemake compares params as a set of values, blind to a swap of two.
    """
    return {key: config[section][key] for key in names or config[section] if key not in but}


def option(name, value):
    """An option of a shell command; nothing where it has no value."""
    return "" if value is None else f"{name} {shlex.quote(str(value))}"


def recorded(section):
    """The number of shards of a section's results; None where dvc.lock has others of them.

    A record of a machine with more or fewer GPUs may have another number than would be planned.
    """
    lock = Path("dvc.lock")
    numbers = {
        int(path.stem.partition("of")[2]) for path in Path("results", section).rglob("*of*.parquet")
    }
    if len(numbers) != 1 or not lock.is_file():
        return None
    stage = yaml.safe_load(lock.read_text()).get("stages", {}).get(section, {})
    for key, value in stage.get("params", {}).get("params.yaml", {}).items():
        here = config
        for name in key.split("."):  # which an older version may have had
            here = here.get(name, {})
        if here != value:
            return None
    return numbers.pop() if stage else None


def numbered(section, jobs=None, most=None):
    """The shards of a section, as wildcards.

    Of a section whose jobs take a GPU each, there are so many that none of this machine stays idle,
    unless they were recorded with these parameters: then there are as many as were recorded.

    Args:
        section: the name of the section.
        jobs: the number of its jobs in each shard, over all spaces; None where they take no GPU.
        most: the number of shards above which some would be empty, where a job needs something.
    """
    shards = config[section]["shards"]
    if jobs:
        busy = -(-CARDS // jobs)
        shards = recorded(section) or max(shards, min(busy, most or busy))
    return {"shard": range(shards), "shards": shards}


def listed(paths, name):
    """A file that holds paths, one a line."""
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text("".join(f"{path}\n" for path in paths))
    return name


def only(spaces, path):
    """An input that some of the spaces have; the others do without."""
    return lambda wildcards: expand(path, space={wildcards.space} & set(spaces))
