import os
import shlex
import sys
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

from untrained.errors import UntrainedError
from untrained.parameters import check_parameters
from untrained.proxies import PROXIES as PROXY_REGISTRY
from untrained.scoring.devices import gpus_here

SCHEMA = Path(workflow.basedir) / "workflow/schemas/params.schema.yaml"

try:
    check_parameters(config, yaml.safe_load(SCHEMA.read_text()))
except UntrainedError as error:
    sys.exit(f"untrained: {error}")  # one line, without the traceback of a WorkflowError

SPACES = config["spaces"]
DATASETS = config["datasets"]
SEEDS = config["seeds"]
PROXIES = config["scores"]["proxies"]
SHARDS = config["scores"]["shards"]
ALGORITHMS = config["searches"]["algorithms"]


wildcard_constraints:
    space="|".join(SPACES),
    dataset="|".join(DATASETS),
    proxy="|".join(PROXIES),
    algorithm="|".join(ALGORITHMS),
    seed=r"\d+",
    shard=r"\d+",
    shards=r"\d+",


# A shard asks for a GPU where this machine has any; a cluster's profile sets it for its nodes.
GPUS_PER_SHARD = int(gpus_here() > 0)


# The code that makes the outputs of each phase; a change makes them stale. The same folders are
# deps of the phase's stage in dvc.yaml.
CODE = {
    "fetch": ["benchmarks", "images"],
    "scores": ["cli/shards.py", "images", "networks", "scoring", "seeds.py", "spaces"],
    "searches": ["search", "seeds.py"],
    "report": ["analysis"],
}
SOURCE = Path("src/untrained")


def code(phase):
    """The Python modules of a phase."""
    named = [SOURCE / name for name in CODE[phase]]
    files = [path for path in named if path.suffix]
    files += [path for folder in named if not folder.suffix for path in folder.glob("*.py")]
    return sorted(map(str, files))


def proxy_code(wildcards):
    """The modules of one proxy, so that another one leaves its scores alone."""
    name = wildcards.proxy.partition("-")[0]
    own = PROXY_REGISTRY.addresses[name].partition(":")[0].rpartition(".")[2]
    return [str(SOURCE / "proxies" / f"{file}.py") for file in ("base", "rectifiers", own)]


def bundled_images(wildcards):
    """The bundled images of a data set, where they are what is shown."""
    sheet = f"data/bundled/{wildcards.dataset}.webp"
    return [sheet] if config["scores"]["split"] == "sample" and Path(sheet).exists() else []


def option(name, value):
    """An option of a shell command; nothing where it has no value."""
    return "" if value is None else f"{name} {shlex.quote(value)}"


# Finished score shards are kept by provenance, so that DVC may clear results/ before a stage.
output_cache = os.environ.setdefault(
    "SNAKEMAKE_OUTPUT_CACHE", str(Path(".snakemake/outputs").absolute())
)
Path(output_cache).mkdir(parents=True, exist_ok=True)

# Without its records Snakemake takes files for current, whatever the parameters say.
if (
    workflow.is_main_process
    and Path("dvc.lock").exists()
    and "DVC_STAGE" not in os.environ
    and not {"--touch", "-t"} & set(sys.argv)
    and any(Path("results").glob("*/*"))
    and not any(Path(".snakemake/metadata").glob("*"))
):
    raise WorkflowError(
        "results/ came from DVC and Snakemake has no record of how it was made: "
        "run `make sync` (dvc pull, then snakemake --touch --forceall)."
    )
