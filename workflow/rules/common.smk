import os
import re
import shlex
import sys
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

from untrained.spaces.nds_networks import FILES as NDS_FILES
from untrained.errors import UntrainedError
from untrained.parameters import check_parameters, datasets_of
from untrained.proxies import PROXIES as PROXY_REGISTRY
from untrained.proxies import get_proxy, name_of
from untrained.scoring.devices import gpus_here
from untrained.search.choices import Ordered
from untrained.spaces import get_space
from untrained.spaces.base import draw_without_replacement

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
SEARCH_SHARDS = config["searches"]["shards"]
# those with accuracies on CIFAR-100, after which the cells are chosen
ABLATED_SPACES = ["nasbench201"]
ABLATED = [space for space in SPACES if space in ABLATED_SPACES]
# those with a supernet and a benchmark
PRUNED_SPACES = ["nasbench201"]
# without seeds nothing is pruned
PRUNED = [space for space in SPACES if space in PRUNED_SPACES and config["prunings"]["seeds"]]

# those whose table may know some of the architectures only: a few of NDS failed to train
SAMPLED_SPACES = ["nasbench101", *NDS_FILES]
# without seeds nothing is followed over a training; the bundled table of nasbench101 would know
# hardly any of the cells that are drawn
EVOLVED_SPACES = [
    space for space in SPACES if space != "nasbench101" and config["evolutions"]["seeds"]
]
# those with operations that scores may prefer
ORDERED_SPACES = [space for space in SPACES if isinstance(get_space(space), Ordered)]


def module_of(proxy):
    """The Python module of a proxy, without its package."""
    address = PROXY_REGISTRY.address(name_of(proxy))
    return address.partition(":")[0].rpartition(".")[2]


def family_of(proxy):
    """What is scored together: the proxies of a module, and all that are read after training."""
    return "trained" if "training" in get_proxy(proxy).needs else module_of(proxy)


# family to its proxies
FAMILIES = {
    family: [proxy for proxy in PROXIES if family_of(proxy) == family]
    for family in dict.fromkeys(map(family_of, PROXIES))
}


wildcard_constraints:
    space="|".join(SPACES),
    dataset="|".join(DATASETS),
    family="|".join(FAMILIES),
    algorithm="|".join(map(re.escape, ALGORITHMS)),
    variant="|".join(config["prunings"]["variants"]),
    criterion="|".join(config["prunings"]["criteria"]),
    seed=r"\d+",
    shard=r"\d+",
    shards=r"\d+",


# A shard asks for a GPU where this machine has any; a cluster's profile sets it for its nodes.
GPUS_PER_SHARD = int(gpus_here() > 0)


# The code that makes the outputs of each phase; a change makes them stale. The same folders are
# deps of the phase's stage in dvc.yaml. A module of a folder that some phase names is left to it.
CODE = {
    "fetch": ["benchmarks", "images"],
    "scores": [
        "cli/shards.py",
        "compiled.py",
        "images",
        "networks",
        "scoring",
        "scoring/journal.py",
        "seeds.py",
        "spaces",
        *["training/loop.py", "training/recipe.py", "training/short.py"],
    ],
    "searches": ["cli/search.py", "search", "seeds.py"],
    "ablations": [
        *["cli/ablations.py", "compiled.py", "images", "networks", "scoring"],
        *["scoring/ablations.py", "seeds.py", "spaces"],
    ],
    "prunings": [
        *["cli/prune.py", "compiled.py", "images", "networks", "search/pruning.py"],
        *["search/rounds.py", "seeds.py", "spaces"],
    ],
    "evolutions": [
        *["cli/evolve.py", "compiled.py", "images", "networks", "scoring"],
        *["scoring/evolution_journal.py", "scoring/evolutions.py", "seeds.py", "spaces"],
        *["training/loop.py", "training/recipe.py", "training/short.py"],
    ],
    "report": ["report"],
}
SOURCE = Path("src/untrained")


def code(phase):
    """The Python modules of a phase."""
    named = {SOURCE / name for names in CODE.values() for name in names if name.endswith(".py")}
    own = {SOURCE / name for name in CODE[phase]}
    files = own & named
    files |= {path for folder in own - named for path in folder.glob("*.py")} - named
    return sorted(map(str, files))


# The modules of src/untrained/proxies that families read besides their own.
READ_BY = {
    "grad_norm": ("gradients",),
    "jacobian_covariance": ("gradients",),
    "linear_regions": ("rectifiers",),
    "naswot": ("agreements", "rectifiers"),
    "ntk": (
        *("batched_backward", "gradient_loops", "interleaved_backward", "interleaved_loops"),
        *("label_alignment", "tangent_kernels"),
    ),
    "synflow": ("gradients",),
}


def modules_of(*modules):
    """The modules of src/untrained/proxies that some of them are made of."""
    own = {name for module in modules for name in (*READ_BY.get(module, ()), module)}
    return [str(SOURCE / "proxies" / f"{name}.py") for name in sorted({*own, "base", "trained"})]


def proxy_code(wildcards):
    """The modules of the family of proxies of a shard; another one leaves its scores alone."""
    return modules_of(*map(module_of, FAMILIES[wildcards.family]))


TRACE = "results/searches/{algorithm}/{space}/{dataset}/{shard}of{shards}.parquet"


def traces(**wildcards):
    """The traces of all shards of the runs, for some values of the wildcards."""
    numbers = {"shard": range(SEARCH_SHARDS), "shards": SEARCH_SHARDS}
    spaces = [wildcards["space"]] if "space" in wildcards else SPACES
    return [
        path
        for space in spaces
        for every in [{"algorithm": ALGORITHMS, "dataset": datasets_of(config, space)}]
        for path in expand(TRACE, **(every | wildcards | {"space": space} | numbers))
    ]


PRUNING = "results/prunings/{variant}/{criterion}/{space}/{dataset}/seed{seed}.parquet"


def pruning_traces(**wildcards):
    """The traces of all pruning searches, for some values of the wildcards."""
    settings = config["prunings"]
    every = {
        "variant": settings["variants"],
        "criterion": settings["criteria"],
        "space": PRUNED,
        "dataset": settings["datasets"],
        "seed": settings["seeds"],
    }
    return expand(PRUNING, **(every | wildcards))


EVOLVED = "results/evolutions/{space}/{dataset}/seed{seed}/{shard}of{shards}.parquet"


def evolutions(**wildcards):
    """What was read over the trainings of all cells, for some values of the wildcards."""
    settings = config["evolutions"]
    numbers = {"shard": range(settings["shards"]), "shards": settings["shards"]}
    every = {"space": EVOLVED_SPACES, "dataset": settings["dataset"], "seed": settings["seeds"]}
    return expand(EVOLVED, **(every | wildcards | numbers))


def evolved_cells(wildcards):
    """The cells of a shard, of those that are followed."""
    settings, space = config["evolutions"], get_space(wildcards.space)
    drawn = draw_without_replacement(space, settings["cells"], settings["seed"])
    return [str(cell) for cell in drawn[int(wildcards.shard) :: int(wildcards.shards)]]


def bundled_table(wildcards):
    """The bundled table of a space; a mirror has those of the others, and whole ones."""
    path = f"data/bundled/{wildcards.space}.parquet"
    partial = wildcards.space in SAMPLED_SPACES and config["fetch"]["mirror"] is not None
    return [path] if Path(path).exists() and not partial else []


def bundled_images(wildcards):
    """The bundled images of a data set, where they are what is shown."""
    sheet = f"data/bundled/{wildcards.dataset}.webp"
    return [sheet] if config["scores"]["split"] == "sample" and Path(sheet).exists() else []


def if_ordered(path):
    """An input of the spaces whose architectures are made of the same choices."""
    return lambda wildcards: [path.format(space=wildcards.space)] * (
        wildcards.space in ORDERED_SPACES
    )


def if_ablated(path):
    """An input of the spaces that have ablations; the others do without."""
    return lambda wildcards: [path.format(space=wildcards.space)] * (wildcards.space in ABLATED)


def if_pruned(path):
    """An input of the spaces that were pruned; the others do without."""
    return lambda wildcards: [path.format(space=wildcards.space)] * (wildcards.space in PRUNED)


def if_evolved(path):
    """An input of the spaces with cells that were followed; the others do without."""
    return lambda wildcards: [path.format(space=wildcards.space)] * (
        wildcards.space in EVOLVED_SPACES
    )


def if_sampled(path):
    """An input of the spaces whose table may know some architectures only."""
    return lambda wildcards: [path.format(space=wildcards.space)] * (
        wildcards.space in SAMPLED_SPACES
    )


def option(name, value):
    """An option of a shell command; nothing where it has no value."""
    return "" if value is None else f"{name} {shlex.quote(str(value))}"


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
