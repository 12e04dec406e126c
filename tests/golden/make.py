"""Makes the golden values: `python -m tests.golden.make` writes them into tests/golden/values/.

Everything goes through the command line, which changes less often than the code behind it. Scores
are computed; tables read the frozen scores and searches read made-up ones, so that both can be
compared exactly on any processor.

Each proxy in `untrained list proxies` is scored on 40 architectures of each bundled space with two
seeds, with these exceptions:

- The 45 proxies that read tangent kernels of the benchmark's network take 1.8 s of processor time
  for one architecture of NAS-Bench-201 and one seed, and 0.8 s on NAS-Bench-101, where all other
  proxies take 0.2 s. They score two architectures of each space, on four images, although some
  variants have 32, 72 or 256 by default. So do `swap`, which draws 32 networks, and `grasp`, which
  differentiates twice.
- Proxies that are read after training take 8 s per training. They score one small architecture of
  NAS-Bench-201 with one seed; `OWN_TRAINED` also scores the two networks of `networks.py`.
"""

import contextlib
import io
import json
import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch

ROOT = Path(__file__).parents[2]
VALUES = Path(__file__).parent / "values"
SPACES = ("nasbench201", "nasbench101")
OWN = ("plain", "residual")
SEEDS = (0, 1)
EXACT = ("--batch-size", 4, "--device", "cpu", "--precision", "float32")
COUNT = 40
#: The number of these that are scored by tangent kernels of the benchmark's network.
FEW = 2
#: Proxies that are read after training here, besides those that always are.
AFTER_TRAINING = ("naswot@0.02", "lga:4@0.02")
EPOCHS = "@0.02"
#: The one proxy that a user's network is trained for, as each such proxy trains it anew.
OWN_TRAINED = f"validation_loss{EPOCHS}"
#: Spellings of searches, besides every registered algorithm with its defaults.
SEARCHES = {
    "area": ("area+scored=8+kept=4", "area+fitness=synflow"),
    "naswot": ("naswot-10", "naswot-100"),
    "optimal": ("optimal-10",),
    "random": ("random",),
    "rea": (
        *(
            "rea+init=naswot",
            "rea+mutants=4",
            "rea+fitness=naswot",
            "rea+pool=naswot",
        ),
        "rea+init=random+population=5+sample=3",
    ),
    "rs": (
        "rs+init=naswot",
        "rs+fitness=naswot",
        "rs+pool=naswot",
        "rs+fitness=synflow",
    ),
    "local": ("local+fitness=naswot", "local+pool=naswot"),
    "reinforce": ("reinforce+learning_rate=0.04", "reinforce+fitness=naswot"),
    "bohb": ("bohb+eta=2", "bohb+init=naswot"),
}
#: Columns whose words identify a number; the words of other columns may change.
KEYS = ("space", "images", "dataset", "proxy", "split", "option", "unit", "arch", "quantity")
FLAGS = re.compile(r"^(avx|amx|fma|sse|f16c|bmi|asimd|sve)")


def run(*arguments: object) -> str:
    """Run `untrained` in the working directory and return its standard output.

    Raises:
        RuntimeError: it fails.
    """
    from untrained import cli

    out, err = io.StringIO(), io.StringIO()
    before, code = sys.argv, None
    sys.argv = ["untrained", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
    except SystemExit as stopped:
        code = stopped.code
    finally:
        sys.argv = before
    if code:
        raise RuntimeError(f"untrained {' '.join(map(str, arguments))}: {err.getvalue()}")
    return out.getvalue()


@contextlib.contextmanager
def empty_folder() -> Iterator[Path]:
    """An empty working directory, and one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
            yield Path(name)
    finally:
        torch.set_num_threads(threads)


def fingerprint() -> dict[str, object]:
    """Describe what the last digits of a float depend on: processor, instructions, libraries."""
    import llvmlite.binding

    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.is_file() else platform.processor()
    found = {
        key.strip(): value.strip()
        for key, _, value in (line.partition(":") for line in text.splitlines())
    }
    flags = found.get("flags", found.get("Features", "")).split()
    named = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "NUMBA_CPU_NAME", "MKL_CBWR")
    return {
        "model": found.get("model name", platform.machine()),
        "flags": sorted(filter(FLAGS.match, flags)),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "compiled_for": llvmlite.binding.get_host_cpu_name(),
        "limits": {name: os.environ.get(name, "") for name in named},
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def proxies() -> list[str]:
    """Return the spelling of every registered proxy and variant, as it is scored here."""
    names = [
        proxy["name"] if variant == proxy["variants"][0] else f"{proxy['name']}-{variant}"
        for proxy in json.loads(run("list", "proxies", "--json"))
        for variant in proxy["variants"]
    ]
    return [
        f"{name}:4" if is_kernel(name) else f"{name}{EPOCHS}" if is_validation(name) else name
        for name in names
    ]


def is_validation(proxy: str) -> bool:
    """Whether the proxy is only defined after training."""
    return proxy.startswith("validation")


def is_kernel(proxy: str) -> bool:
    """Whether the proxy reads a tangent kernel."""
    return proxy.startswith(("ntk_", "lga", "kernel_"))


def is_dear(proxy: str) -> bool:
    """Whether the proxy takes more time than all others together."""
    slow = proxy.startswith(("swap", "grasp"))
    return slow or (is_kernel(proxy) and not is_tenas(proxy))


def is_tenas(proxy: str) -> bool:
    """Whether the proxy reads the thin network of TE-NAS."""
    name, _, variant = proxy.partition(":")[0].partition("-")
    if name in ("lga", "kernel_target_alignment"):
        return variant == "tenas"
    return name == "linear_regions" or (is_kernel(name) and variant in ("", "released"))


def architectures(space: str) -> "list[int]":
    """Draw forty architectures of the bundled table."""
    known = pd.read_parquet(ROOT / f"data/bundled/{space}.parquet", columns=["arch"])["arch"]
    drawn = np.random.default_rng(0).choice(known.unique(), COUNT, replace=False)
    return [int(index) for index in drawn]


def light(space: str) -> list[int]:
    """Return two of them that train fast and yet change their input."""
    table = pd.read_parquet(ROOT / f"data/bundled/{space}.parquet", columns=["arch", "parameters"])
    sizes = table.drop_duplicates("arch").set_index("arch")["parameters"]
    return sorted(architectures(space), key=lambda index: (sizes[index], index))[8:10]


def make_scores(scored: int = COUNT, seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """Score everything: columns space, arch (0 for `networks.py`), proxy, seed, score, status.

    Args:
        scored: the number of architectures of each space that are scored.
        seeds: the seeds of minibatch and weights, the first of `SEEDS` among them.
    """
    named = proxies()
    dear = [name for name in named if is_dear(name)]
    apart = [name for name in named if name.startswith("naswot")]  # by the plan, as in a workflow
    trained = [*AFTER_TRAINING, *filter(is_validation, named)]
    rest = [name for name in named if name not in {*dear, *apart, *trained}]
    found = []
    for space in SPACES:
        drawn = architectures(space)[:scored]
        for chosen, indices in ((apart, drawn), (rest, drawn), (dear, drawn[:FEW])):
            found += [_scores(space, chosen, indices, seed) for seed in seeds]
    found.append(_scores("nasbench201", trained, light("nasbench201")[:1], SEEDS[0]))
    found += [_own_scores(network, named, seeds) for network in OWN]
    table = pd.concat(found, ignore_index=True)
    return table.sort_values(["space", "arch", "proxy", "seed"], ignore_index=True)


def _scores(space: str, chosen: Iterable[str], indices: list[int], seed: int) -> pd.DataFrame:
    whole = pd.read_parquet(ROOT / f"data/bundled/{space}.parquet")
    whole[whole["arch"].isin(indices)].to_parquet("among.parquet")
    asked = [part for name in chosen for part in ("--proxy", name)]
    given = ["--dataset", "cifar10", "--seed", seed, "--among", "among.parquet"]
    run("shard", space, *asked, *given, *EXACT, "--out", "shard.parquet")
    columns = ["arch", "proxy", "seed", "score", "status"]
    return pd.read_parquet("shard.parquet")[columns].assign(space=space)


def _own_scores(network: str, chosen: Iterable[str], seeds: Iterable[int]) -> pd.DataFrame:
    factory = f"tests.golden.networks:{network.capitalize()}"
    rows = []
    for seed in seeds:
        names = [name for name in chosen if not is_validation(name)]
        names += [OWN_TRAINED] if seed == SEEDS[0] else []
        asked = [part for name in names for part in ("--proxy", name)]
        given = ["--seed", seed, "--seeds", 1, "--json"]
        scored = json.loads(run("score", factory, *asked, *given, *EXACT))
        rows += [(0, by["proxy"], seed, by["score"], by["status"], network) for by in scored]
    columns = ["arch", "proxy", "seed", "score", "status", "space"]
    return pd.DataFrame(rows, columns=columns).astype({"score": float})


def algorithms() -> list[str]:
    """Return every registered search algorithm, in every spelling that is frozen."""
    names = [one["name"] for one in json.loads(run("list", "algorithms", "--json"))]
    plain = [name for name in names if name not in ("naswot", "optimal", "random")]
    return [*plain, *(form for name in names for form in SEARCHES.get(name, ()))]


def write_scores(scores: pd.DataFrame) -> None:
    """Write frozen scores where searches and tables look for them."""
    names = ["naswot", "naswot-released", "synflow", "parameters", "grad_norm"]
    names += ["ntk_condition_number:4"]
    own = scores[(scores["space"] == "nasbench201") & scores["proxy"].isin(names)]
    table = own.assign(dataset="cifar10").sort_values(["proxy", "seed", "arch"], ignore_index=True)
    Path("results/scores").mkdir(parents=True, exist_ok=True)
    columns = ["arch", "proxy", "dataset", "seed", "score", "status"]
    table[columns].to_parquet("results/scores/nasbench201.parquet")


def write_whole_space() -> None:
    """Write made-up scores of a whole space there: accuracies with noise, some undefined.

    Searches read more scores than can be frozen or computed; these are the same everywhere.
    """
    table = pd.read_parquet(ROOT / "data/bundled/nasbench201.parquet")
    own = table[(table["dataset"] == "cifar10") & (table["epochs"] == 200)]
    known = own.drop_duplicates("arch").sort_values("arch")
    rng = np.random.default_rng(0)
    found = []
    for proxy, seed in ((proxy, seed) for proxy in ("naswot", "synflow") for seed in SEEDS):
        values = (known["accuracy"] + rng.integers(-500, 500, len(known)) / 32).to_numpy()
        lost = rng.random(len(known)) < 0.05
        rows = known[["arch"]].assign(proxy=proxy, dataset="cifar10", seed=seed)
        score, status = np.where(lost, np.nan, values), np.where(lost, "singular", "ok")
        found.append(rows.assign(score=score, status=status))
    Path("results/scores").mkdir(parents=True, exist_ok=True)
    pd.concat(found, ignore_index=True).to_parquet("results/scores/nasbench201.parquet")


def make_traces() -> pd.DataFrame:
    """Trace five runs of each search."""
    from untrained.search import parse_algorithm

    write_whole_space()
    found = []
    for algorithm in algorithms():
        budget = "60evaluations" if "fitness=" in algorithm else "12000s"
        given = ["--runs", 5, "--out", "trace.parquet"]
        given += ["--budget", budget] if parse_algorithm(algorithm).spends_budget else []
        run("search", algorithm, "nasbench201", *given)
        found.append(pd.read_parquet("trace.parquet").assign(algorithm=algorithm))
    return pd.concat(found, ignore_index=True)


def make_pruning() -> pd.DataFrame:
    """Trace the rounds of one small pruning search."""
    given = ["--repeats", 1, "--batch-size", 2, "--workers", 1, "--device", "cpu"]
    run("prune", "nasbench201", *given, "--out", "pruning.parquet")
    return pd.read_parquet("pruning.parquet")


def make_evolution() -> pd.DataFrame:
    """Read proxies over a short training of two cells."""
    kernel = "weights_eval"
    given = ["--epochs", "0,0.02", "--kernel", kernel, "--proxy", "naswot", *EXACT]
    run("training-curves", "nasbench201", *light("nasbench201"), *given, "--out", "e.parquet")
    return pd.read_parquet("e.parquet").drop(columns="reason")


def make_ablations() -> pd.DataFrame:
    """Compute the variances of a few scores."""
    given = ["--experiment", "variance", "--dataset", "cifar10", "--cells", "3"]
    run("ablate", "nasbench201", *given, *EXACT, "--out", "ablations.parquet")
    return pd.read_parquet("ablations.parquet")


def make_tables(frozen: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Make all tables, metrics and the page from frozen values; return one value per row."""
    write_scores(frozen["scores"])
    traces = []
    for algorithm, trace in frozen["traces"].groupby("algorithm", sort=False):
        path = Path(f"results/searches/{algorithm}/nasbench201/cifar10/0of1.parquet")
        path.parent.mkdir(parents=True)
        trace.drop(columns="algorithm").reset_index(drop=True).to_parquet(path)
        traces.append(path)
    drawn = ["--resamples", 50]
    read = [*traces, *drawn]
    scored = "correlations,seeds,proxies,preferences"
    run("report", "section", scored, "nasbench201", "--only", "tables", *drawn)
    run(
        "report", "section", "searches,comparisons,regret", "nasbench201", "--only", "tables", *read
    )
    pruned = Path("results/prunings/tenas/both/nasbench201/cifar10/seed0.parquet")
    pruned.parent.mkdir(parents=True)
    frozen["pruning"].to_parquet(pruned)
    run("report", "section", "prunings", "nasbench201", "--only", "tables", pruned)
    frozen["evolution"].assign(reason="").to_parquet("evolution.parquet")
    run(
        "report",
        "section",
        "training_curves",
        "nasbench201",
        "--only",
        "tables",
        "evolution.parquet",
        *drawn,
    )
    frozen["ablations"].to_parquet("ablations.parquet")
    run(
        "report",
        "section",
        "ablations",
        "nasbench201",
        "--only",
        "tables",
        "ablations.parquet",
        *drawn,
    )
    metrics = Path("results/metrics/nasbench201.json")
    run("report", "page", "nasbench201", "--out", "page.md", "--metrics", metrics)
    folder = Path("results/tables/nasbench201")
    found = [
        (f"{path.stem}.parquet", *cell)
        for path in sorted(folder.glob("*.parquet"))
        for cell in _cells(pd.read_parquet(path).iloc[:: 40 if path.stem == "regret" else 1])
    ]
    for suffix in (".csv", ".md"):
        shown = [path.with_suffix(suffix) for path in sorted(folder.glob("*.md"))]
        found += [(path.name, *cell) for path in shown for cell in _numbers(path)]
    found += [("page", *cell) for cell in _numbers(Path("page.md"))]
    values = json.loads(metrics.read_text()).values()
    found += [("metrics", row, "", str(value)) for row, value in enumerate(values)]
    return pd.DataFrame(found, columns=["table", "row", "column", "value"])


def _cells(table: pd.DataFrame) -> Iterator[tuple[int, str, str]]:
    for column in table:
        numeric = pd.api.types.is_numeric_dtype(table[column])
        if numeric or column in KEYS:
            for row, value in enumerate(table[column].tolist()):
                yield row, str(column), repr(float(value)) if numeric else str(value)


def _numbers(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield the decimals of each line of a table, without the words around them."""
    lines = path.read_text().splitlines()
    if path.suffix == ".md":
        lines = [line for line in lines if line.startswith("|")]
    for row, line in enumerate(lines):
        if decimals := re.findall(r"(?<![\w.])-?\d+\.\d+(?:e[-+]?\d+)?(?![\w.])", line):
            yield row, "", " ".join(decimals)


def make(frozen: dict[str, pd.DataFrame] | None = None) -> dict[str, pd.DataFrame]:
    """Make all values, by name.

    Args:
        frozen: the values that tables read; by default those that are made here.
    """
    found: dict[str, pd.DataFrame] = {}
    for name in ("scores", "traces", "pruning", "evolution", "ablations", "tables"):
        found[name] = make_one(name, found if frozen is None else frozen)
    return found


def make_one(name: str, frozen: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Make the values of one name; see `make`."""
    with empty_folder():
        if name == "tables":
            return make_tables(frozen)
        return {
            "scores": make_scores,
            "traces": make_traces,
            "pruning": make_pruning,
            "evolution": make_evolution,
            "ablations": make_ablations,
        }[name]()


def read() -> dict[str, pd.DataFrame]:
    """Read the frozen values, by name."""
    return {path.stem: pd.read_parquet(path) for path in VALUES.glob("*.parquet")}


def main() -> None:
    """Write the golden values of the code at hand."""
    VALUES.mkdir(exist_ok=True)
    for name, table in make().items():
        table.to_parquet(VALUES / f"{name}.parquet", compression="zstd", index=False)
    made_by = json.dumps(fingerprint(), indent=1)
    (VALUES / "fingerprint.json").write_text(f"{made_by}\n")


if __name__ == "__main__":
    main()
