"""`untrained report`: tables, figures and the page that holds them."""

import json
import math
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from untrained.errors import MissingDataError, ParameterError
from untrained.files import SCORES
from untrained.scoring.columns import ABLATION_COLUMNS, CURVE_COLUMNS, SCORE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from untrained.analysis.prunings import PruningRun
    from untrained.analysis.summaries import Indices
    from untrained.benchmarks.benchmark import Benchmark

app = typer.Typer(no_args_is_help=True, help="Tables, figures and the report.")

Space = Annotated[str, typer.Argument(help="Search space.")]
BenchmarkFile = Annotated[Path | None, typer.Option("--benchmark", help="Benchmark table.")]
ScoresFile = Annotated[Path | None, typer.Option("--scores", help="Merged scores.")]
Tables = Annotated[Path | None, typer.Option(help="Folder of the tables.")]


def _read(
    space: str, benchmark: Path | None, scores: Path | None
) -> tuple["Benchmark", "pd.DataFrame"]:
    from untrained.benchmarks.benchmark import Benchmark
    from untrained.files import read_parquet
    from untrained.spaces import get_space

    get_space(space)
    found = Benchmark.load(space, path=benchmark)
    merged = scores or SCORES / f"{space}.parquet"
    if not merged.is_file():
        raise MissingDataError(
            f"{merged} does not exist: `make run` or `snakemake scores` makes it"
        )
    return found, read_parquet(merged, SCORE_COLUMNS)


def _tables_folder(space: str, tables: Path | None) -> Path:
    return tables or Path("results/tables") / space


def _read_table(space: str, tables: Path | None, name: str) -> "pd.DataFrame":
    from untrained.files import read_parquet
    from untrained.spaces import get_space

    get_space(space)
    path = _tables_folder(space, tables) / f"{name}.parquet"
    if not path.is_file():
        raise MissingDataError(f"{path} does not exist: `make run` or `snakemake report` makes it")
    return read_parquet(path)


def _read_traces(searches: list[Path]) -> dict[tuple[str, str], "pd.DataFrame"]:
    """(algorithm, data set) to its trace, of all shards of the runs."""
    import pandas as pd

    from untrained.files import read_parquet
    from untrained.search.pool import TRACE_COLUMNS

    shards: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for path in searches:
        if len(path.parts) < 4:
            raise ParameterError(f"{path}: traces lie at ALGORITHM/SPACE/DATASET/SHARD.parquet")
        trace = read_parquet(path, list(TRACE_COLUMNS))
        shards.setdefault((path.parts[-4], path.parts[-2]), []).append(trace)
    return {key: pd.concat(own, ignore_index=True) for key, own in shards.items()}


def _spends_budget(algorithm: str) -> bool:
    """Whether an algorithm, as its folder of traces spells it, spends a budget of trainings.

    Raises:
        UnknownNameError, ParameterError: no such algorithm, or no such settings.
    """
    from untrained.search import parse_algorithm

    return parse_algorithm(algorithm).spends_budget


def _sees_trainings(algorithm: str) -> bool:
    """Whether an algorithm spends a budget, and on trainings instead of scores."""
    from untrained.search import parse_algorithm

    return parse_algorithm(algorithm).sees_trainings


def _timed(truth: "Benchmark", images: str) -> bool:
    """Whether it is known how long the trainings took that a search on some images sees."""
    import numpy as np

    from untrained.images.sets import image_set
    from untrained.search.clock import seen_in_searches

    seen = seen_in_searches(truth, image_set(images).measured_as)
    return not np.isnan(truth.measures[seen]["train_seconds"]).all()


@app.command()
def tables(
    space: Space,
    searches: Annotated[list[Path], typer.Argument(help="ALGORITHM/SPACE/DATASET/*.parquet.")],
    benchmark: BenchmarkFile = None,
    scores: ScoresFile = None,
    resamples: Annotated[int, typer.Option(help="Of every bootstrap.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the resampling.")] = 0,
    tables: Tables = None,
    metrics: Annotated[Path | None, typer.Option(help="Main figures (JSON).")] = None,
) -> None:
    """Correlate scores with accuracies and summarise searches, as parquet and for reading."""
    from rich.console import Console

    traces = _read_traces(searches)
    trained = {algorithm for algorithm, _ in traces if _spends_budget(algorithm)}
    truth, table = _read(space, benchmark, scores)
    folder = _tables_folder(space, tables)
    drawn = {"resamples": resamples, "seed": seed}
    with Console(stderr=True).status("resampling"):
        correlations = _score_tables(space, truth, table, drawn, folder)
        summary = _search_tables(truth, traces, trained, drawn, folder)
    if metrics is not None:
        _write_json(_metrics(correlations, summary), metrics)


def _score_tables(
    space: str,
    truth: "Benchmark",
    scores: "pd.DataFrame",
    drawn: dict[str, int],
    folder: Path,
) -> "pd.DataFrame":
    """Write what scores say of accuracies; returns the correlations."""
    import numpy as np

    from untrained.analysis.correlations import correlation_table
    from untrained.analysis.proxy_comparisons import proxy_table
    from untrained.analysis.published import splits_of, with_published
    from untrained.analysis.seed_tables import seed_table
    from untrained.analysis.summaries import (
        TWELVE_EPOCHS,
        subsets_of,
        targets_of,
        twelve_epochs,
    )
    from untrained.analysis.summed_ranks import with_summed_ranks
    from untrained.analysis.tables import (
        correlation_layout,
        proxy_layout,
        score_notes,
        seed_layout,
    )
    from untrained.spaces import get_space

    searched = get_space(space)
    splits = splits_of(truth.finals)
    lower = _lower_is_better(scores)
    table = with_summed_ranks(scores)
    sampled = np.unique(table["arch"].to_numpy(dtype=np.int64))
    images = [str(name) for name in table["dataset"].unique()]
    targets = targets_of(images, splits)
    controls = _controls(truth, sampled)
    known = dict[str, "pd.Series[float] | dict[str, pd.Series[float]]"](controls)
    if truth.short_runs:
        known[TWELVE_EPOCHS] = twelve_epochs(images, truth.accuracies, sampled, splits)
    correlations = correlation_table(
        table,
        truth.accuracies,
        subsets_of(sampled, searched.representatives),
        targets,
        controls=known,
        lower=lower,
        **drawn,
    )
    seeds = seed_table(table, truth.accuracies, targets, correlations, lower=lower)
    layout = correlation_layout(with_published(correlations, space=space))
    notes = score_notes(correlations)
    _write_views(correlations, layout, folder / "correlations", "Rank correlations", notes)
    compared = proxy_table(correlations, space=space)
    layout = proxy_layout(compared)
    _write_views(compared, layout, folder / "proxies", "Scores and their controls")
    _write_views(seeds, seed_layout(seeds), folder / "seeds", "What seeds buy")
    return correlations


def _controls(truth: "Benchmark", sampled: "Indices") -> "dict[str, pd.Series[float]]":
    """Parameters and FLOPs of the sampled architectures, where the benchmark has them."""
    from untrained.analysis.summaries import main_of

    costs = truth.costs(main_of(truth.networks)).loc[sampled]
    found = {name: costs[name].astype(float) for name in ("parameters", "flops")}
    return {name: values for name, values in found.items() if not values.isna().any()}


def _search_tables(
    truth: "Benchmark",
    traces: "dict[tuple[str, str], pd.DataFrame]",
    trained: set[str],
    drawn: dict[str, int],
    folder: Path,
) -> "pd.DataFrame":
    """Write what searches found and spent; returns their summary."""
    from untrained.analysis.comparisons import comparison_table
    from untrained.analysis.published import WEIGHT_SHARING, splits_of
    from untrained.analysis.regret import regret_table
    from untrained.analysis.search_tables import published_searches, search_table
    from untrained.analysis.summaries import references_of, search_results, with_first_area_runs
    from untrained.analysis.tables import comparison_layout, search_layout
    from untrained.files import write_parquet

    splits = splits_of(truth.finals)
    untimed = {
        (algorithm, images)
        for algorithm, images in traces
        if _sees_trainings(algorithm) and not _timed(truth, images)
    }
    results, reasons = search_results(
        traces, truth.accuracies, splits, trained=trained, untimed=untimed
    )
    comparisons = comparison_table(results, references_of(traces, trained), splits=splits, **drawn)
    # a panel has one axis for all of its searches
    unit = "evaluations" if untimed else "seconds"
    regret = regret_table(traces, truth.accuracies, trained, splits=splits, unit=unit, **drawn)
    results = with_first_area_runs(results)
    published = published_searches(truth.space)
    spent = ["seconds", "evaluations"]
    shared = [name for name in WEIGHT_SHARING if any(key[0] == name for key in published)]
    summary = search_table(
        results.drop(columns=spent),
        quoted=shared,
        reasons=reasons,
        beside=published,
        splits=splits,
    )
    summary["note"] = _with_leaks(truth, traces, summary)
    key = ["method", "dataset", "split"]
    means = results.groupby(key, as_index=False, sort=False)[spent].mean()
    summary = summary.merge(means, on=key, how="left")
    _write_views(summary, search_layout(summary), folder / "searches", "Searches")
    layout = comparison_layout(comparisons)
    _write_views(comparisons, layout, folder / "comparisons", "Searches against REA")
    write_parquet(regret, folder / "regret.parquet")
    return summary


def _with_leaks(
    truth: "Benchmark",
    traces: "dict[tuple[str, str], pd.DataFrame]",
    summary: "pd.DataFrame",
) -> list[str]:
    """The notes of a summary, with those of searches that see what they are judged by."""
    from untrained.analysis.published import FIRST_AREA
    from untrained.analysis.summaries import main_data_set, method_of
    from untrained.images.sets import image_set
    from untrained.search.clock import seen_in_searches

    main = main_data_set(traces)
    leaking = {
        method_of(algorithm, images, main)
        for algorithm, images in traces
        if _sees_trainings(algorithm)
        and seen_in_searches(truth, image_set(images).measured_as)[1] != "x-valid"
    }
    if "AREA" in leaking:
        leaking.add(FIRST_AREA)
    said = "sees test accuracies: the table has no others"
    return [
        "; ".join(filter(None, [note, said if method in leaking else ""]))
        for method, note in zip(summary["method"], summary["note"], strict=True)
    ]


def _lower_is_better(scores: "pd.DataFrame") -> list[str]:
    """The proxies of a table of scores of which the lower score is better."""
    from untrained.scoring.request import parse_reading

    names = [str(name) for name in scores["proxy"].unique()]
    return [name for name in names if parse_reading(name).direction == "lower"]


def _write_views(
    table: "pd.DataFrame",
    layout: "pd.DataFrame",
    stem: Path,
    caption: str,
    notes: "Sequence[str]" = (),
) -> None:
    from untrained.analysis.tables import to_csv, to_latex, to_markdown
    from untrained.files import atomic, write_parquet

    write_parquet(table, stem.with_suffix(".parquet"))
    views = {
        ".csv": to_csv(table),
        ".md": to_markdown(layout) + "".join(f"\n- {note}\n" for note in notes),
        ".tex": to_latex(layout, caption=". ".join([caption, *notes]), label=f"tab:{stem.name}"),
    }
    for suffix, text in views.items():
        with atomic(stem.with_suffix(suffix)) as part:
            part.write_text(text)


@app.command()
def preferences(
    space: Space,
    benchmark: BenchmarkFile = None,
    scores: ScoresFile = None,
    resamples: Annotated[int, typer.Option(help="Of every bootstrap.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the resampling.")] = 0,
    tables: Tables = None,
    best: Annotated[float, typer.Option(help="Fraction that counts as the best.")] = 0.1,
) -> None:
    """Count what the architectures with the best scores are made of, as parquet and for reading."""
    import numpy as np

    from untrained.analysis.preferences import preference_table, words_of
    from untrained.analysis.published import splits_of
    from untrained.analysis.summaries import target_of
    from untrained.analysis.summed_ranks import with_summed_ranks
    from untrained.analysis.tables import preference_layout
    from untrained.search.choices import Ordered, choices_of
    from untrained.spaces import get_space

    searched = get_space(space)
    if not isinstance(searched, Ordered):
        raise ParameterError(
            f"{space} is not made of the same choices everywhere: there is nothing to count"
        )
    truth, merged = _read(space, benchmark, scores)
    splits = splits_of(truth.finals)
    table = with_summed_ranks(merged)
    sampled = np.unique(table["arch"].to_numpy(dtype=np.int64))
    found = preference_table(
        table,
        truth.accuracies,
        [target_of(str(name), "test", splits) for name in table["dataset"].unique()],
        choices_of(searched).codes,
        searched.option_order,
        space=space,
        controls={"parameters": _controls(truth, sampled)["parameters"]},
        lower=_lower_is_better(merged),
        fraction=best,
        resamples=resamples,
        seed=seed,
    )
    stem = _tables_folder(space, tables) / "preferences"
    caption = f"{words_of(space).options.capitalize()} that scores prefer"
    _write_views(found, preference_layout(found), stem, caption)


@app.command()
def ablations(
    space: Space,
    scores: Annotated[list[Path], typer.Argument(help="Files that `untrained ablate` wrote.")],
    resamples: Annotated[int, typer.Option(help="Of every bootstrap.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the resampling.")] = 0,
    tables: Tables = None,
) -> None:
    """Split the variance of a score, as parquet and for reading."""
    from untrained.analysis.tables import variance_layout
    from untrained.analysis.variances import variance_table
    from untrained.spaces import get_space

    get_space(space)
    found = variance_table(_read_ablations(scores), resamples=resamples, seed=seed)
    stem = _tables_folder(space, tables) / "ablations"
    _write_views(found, variance_layout(found), stem, "Components of the variance of a score")


def _read_ablations(scores: list[Path]) -> "pd.DataFrame":
    import pandas as pd

    from untrained.files import read_parquet

    return pd.concat([read_parquet(path, ABLATION_COLUMNS) for path in scores], ignore_index=True)


@app.command()
def prunings(
    space: Space,
    traces: Annotated[
        list[Path], typer.Argument(help="VARIANT/CRITERION/SPACE/DATASET/seedN.parquet.")
    ],
    benchmark: BenchmarkFile = None,
    tables: Tables = None,
) -> None:
    """Hold what pruning searches found against the published figures, and lay out their rounds."""
    import numpy as np

    from untrained.analysis.prunings import cell_left, pruning_table, trajectory_table
    from untrained.analysis.tables import search_layout, trajectory_layout
    from untrained.benchmarks.benchmark import Benchmark
    from untrained.spaces import get_space

    searched = get_space(space)
    truth = Benchmark.load(space, path=benchmark)
    runs = _read_prunings(space, traces)
    cells = {run: searched.parse(cell_left(trace)).index for run, trace in runs.items()}
    parameters = truth.costs("cifar10")["parameters"].to_numpy(dtype=np.float64)
    found = pruning_table(cells, truth.accuracies, parameters)
    rounds = trajectory_table(runs)
    folder = _tables_folder(space, tables)
    _write_views(found, search_layout(found), folder / "prunings", "The pruning search of TE-NAS")
    layout = trajectory_layout(rounds)
    _write_views(rounds, layout, folder / "trajectory", "Rounds of the pruning search of TE-NAS")


def _read_prunings(space: str, traces: list[Path]) -> "dict[PruningRun, pd.DataFrame]":
    """Search to its trace, as the path of the trace says."""
    from untrained.analysis.prunings import PRUNED_SPACES, TRACE_COLUMNS, PruningRun
    from untrained.files import read_parquet
    from untrained.search.pruning import Pruning

    if space not in PRUNED_SPACES:
        raise ParameterError(
            f"{space} has no table of pruning searches: {', '.join(PRUNED_SPACES)} has"
        )
    found = {}
    for path in traces:
        number = path.stem.removeprefix("seed")
        if len(path.parts) < 5 or path.parts[-3] != space or not number.isdecimal():
            raise ParameterError(
                f"{path}: traces lie at VARIANT/CRITERION/{space}/DATASET/seedN.parquet"
            )
        variant, criterion, _, images = path.parts[-5:-1]
        Pruning(variant, criterion, dataset=images)  # knows what there is
        run = PruningRun(variant, criterion, images, int(number))
        if run in found:
            raise ParameterError(f"{path}: two traces of {run.method} and seed {number}: give one")
        found[run] = read_parquet(path, TRACE_COLUMNS)
    return found


@app.command()
def evolutions(
    space: Space,
    readings: Annotated[list[Path], typer.Argument(help="Files that `untrained evolve` wrote.")],
    benchmark: BenchmarkFile = None,
    resamples: Annotated[int, typer.Option(help="Of every bootstrap.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the resampling.")] = 0,
    tables: Tables = None,
) -> None:
    """Sum up how kernels and scores move over a training, as parquet and for reading."""
    import pandas as pd

    from untrained.analysis.evolutions import MEASURED, curve_table, evolution_table
    from untrained.analysis.tables import evolution_layout
    from untrained.benchmarks.benchmark import Benchmark
    from untrained.files import read_parquet, write_parquet
    from untrained.scoring.request import parse_reading
    from untrained.spaces import get_space

    get_space(space)
    truth = Benchmark.load(space, path=benchmark)
    read = [read_parquet(path, CURVE_COLUMNS) for path in readings]
    curves = curve_table(pd.concat(read, ignore_index=True), truth.accuracies)
    proxies = [str(name) for name in curves["quantity"].unique() if name not in MEASURED]
    lower = [name for name in proxies if parse_reading(name).direction == "lower"]
    found = evolution_table(curves, lower=lower, resamples=resamples, seed=seed)
    folder = _tables_folder(space, tables)
    write_parquet(curves, folder / "evolution_curves.parquet")
    layout = evolution_layout(found)
    _write_views(found, layout, folder / "evolutions", "Kernels and scores over a short training")


def _metrics(correlations: "pd.DataFrame", searches: "pd.DataFrame") -> dict[str, float]:
    """The figures that `dvc metrics diff` compares."""
    from untrained.analysis.correlations import ALL_SAMPLED

    every = correlations[correlations["subset"] == ALL_SAMPLED]
    ran = searches.dropna(subset=["mean"])
    names = [
        *("tau/" + every["proxy"] + "/" + every["images"] + "/" + every["split"]),
        *(ran["method"] + "/" + ran["dataset"] + "/" + ran["split"]),
    ]
    values = [*every["tau"].to_list(), *ran["mean"].to_list()]
    return {
        name: round(value, 6)
        for name, value in zip(names, values, strict=True)
        if not math.isnan(value)
    }


def _write_json(content: dict[str, float], target: Path) -> None:
    from untrained.files import atomic

    with atomic(target) as part:
        part.write_text(json.dumps(content, indent=1) + "\n")


class FigureName(StrEnum):
    """The figures of the report."""

    SCORES = "scores"
    KERNELS = "kernels"
    TIME = "time"
    REGRET = "regret"
    SEEDS = "seeds"
    PREFERENCES = "preferences"
    PROXIES = "proxies"
    TRAJECTORY = "trajectory"
    ABLATIONS = "ablations"
    KERNEL_EVOLUTION = "kernel_evolution"
    SCORE_EVOLUTION = "score_evolution"


@app.command()
def figure(
    name: Annotated[FigureName, typer.Argument(help="Which figure.")],
    space: Space,
    out: Annotated[Path, typer.Option(help="Figure to write, without regard to its suffix.")],
    benchmark: BenchmarkFile = None,
    scores: ScoresFile = None,
    tables: Tables = None,
    ablations: Annotated[
        list[Path] | None, typer.Option(help="A file that `untrained ablate` wrote; repeatable.")
    ] = None,
    proxy: Annotated[
        str | None, typer.Option(help="Whose scores are drawn; default: naswot, or what is scored.")
    ] = None,
    kernels: Annotated[int, typer.Option(help="Good and bad architectures, of each.")] = 4,
    split: Annotated[str, typer.Option(help="Of the images.")] = "sample",
    batch_size: Annotated[int, typer.Option(help="Images per minibatch.")] = 128,
    augmentation: Annotated[str, typer.Option(help="none or crop-flip.")] = "none",
    sampling: Annotated[str, typer.Option(help="Of images: uniform, or balanced by class.")] = (
        "uniform"
    ),
) -> None:
    """Draw one figure as SVG and PNG."""
    from untrained.analysis import score_figures, search_figures
    from untrained.analysis.plotting import save
    from untrained.analysis.preferences import words_of
    from untrained.analysis.summaries import main_of, times_table
    from untrained.analysis.tables import DATASET_TITLES
    from untrained.cli import drawings
    from untrained.images.sets import image_set
    from untrained.scoring.images import MinibatchSettings

    match name:
        case FigureName.SCORES:
            truth, table = _read(space, benchmark, scores)
            correlations = _read_table(space, tables, "correlations")
            drawn = drawings.scores(table, truth, correlations, drawings.proxy_drawn(table, proxy))
        case FigureName.KERNELS:
            truth, table = _read(space, benchmark, scores)
            images = drawings.images_drawn(table)
            known = image_set(images)
            settings = MinibatchSettings(
                images, known.split(split), batch_size, augmentation, sampling
            )
            shown = drawings.proxy_drawn(table, proxy)
            drawn = score_figures.kernel_matrices(
                *drawings.kernels(space, table, truth, settings, shown, kernels),
                members=words_of(space).members,
            )
        case FigureName.TIME:
            summary = _read_table(space, tables, "searches")
            dataset = main_of(summary["dataset"])
            drawn = search_figures.accuracy_against_time(
                times_table(summary, dataset, space=space),
                title=f"{DATASET_TITLES.get(dataset, dataset)} test",
            )
        case FigureName.REGRET:
            drawn = search_figures.regret_against_time(_read_table(space, tables, "regret"))
        case FigureName.SEEDS:
            drawn = drawings.seeds(_read_table(space, tables, "seeds"))
        case FigureName.PREFERENCES:
            drawn = score_figures.preferences(
                _read_table(space, tables, "preferences"), words_of(space)
            )
        case FigureName.PROXIES:
            drawn = score_figures.proxies(_read_table(space, tables, "proxies"))
        case FigureName.TRAJECTORY:
            drawn = search_figures.trajectory(_read_table(space, tables, "trajectory"))
        case FigureName.ABLATIONS:
            variances = _read_table(space, tables, "ablations")
            if not ablations:
                raise ParameterError("no scores to draw: name their files by --ablations")
            drawn = score_figures.ablations(_read_ablations(ablations), variances)
        case FigureName.KERNEL_EVOLUTION:
            drawn = score_figures.kernel_evolution(_read_table(space, tables, "evolution_curves"))
        case FigureName.SCORE_EVOLUTION:
            drawn = drawings.score_evolution(_read_table(space, tables, "evolution_curves"))
    for suffix in (".svg", ".png"):
        save(drawn, out.with_suffix(suffix))


@app.command()
def spaces(
    tables: Annotated[list[Path], typer.Argument(help="The table `proxies` of each space.")],
    out: Annotated[Path, typer.Option(help="Figure to write, without regard to its suffix.")],
) -> None:
    """Draw the scores of several spaces beside each other, as SVG and PNG."""
    import pandas as pd

    from untrained.analysis.plotting import save
    from untrained.analysis.proxy_comparisons import COLUMNS
    from untrained.analysis.score_figures import proxies
    from untrained.files import read_parquet

    read = [read_parquet(path, list(COLUMNS)) for path in tables]
    drawn = proxies(pd.concat(read, ignore_index=True))
    for suffix in (".svg", ".png"):
        save(drawn, out.with_suffix(suffix))


@app.command()
def page(
    space: Space,
    figures: Annotated[list[Path], typer.Argument(help="Figures, in their order.")],
    out: Annotated[Path, typer.Option(help="Markdown file to write.")],
    tables: Tables = None,
) -> None:
    """Write the report as one Markdown page.

    The tables of preferences, ablations, pruning searches and evolutions are part of it where their
    figures are.
    """
    from untrained.analysis.page import page as render
    from untrained.files import atomic

    addresses = {path.stem: os.path.relpath(path, out.parent) for path in figures}
    text = render(
        space,
        _read_table(space, tables, "correlations"),
        _read_table(space, tables, "seeds"),
        _read_table(space, tables, "searches"),
        _read_table(space, tables, "comparisons"),
        addresses,
        _read_table(space, tables, "ablations") if "ablations" in addresses else None,
        (_read_table(space, tables, "prunings"), _read_table(space, tables, "trajectory"))
        if "trajectory" in addresses
        else None,
        _read_table(space, tables, "preferences") if "preferences" in addresses else None,
        _read_table(space, tables, "evolutions") if "kernel_evolution" in addresses else None,
    )
    with atomic(out) as part:
        part.write_text(text)


@app.command()
def show(space: Space, tables: Tables = None) -> None:
    """Print the main tables, and where the report lies."""
    from rich.console import Console

    from untrained.analysis.correlations import FINITE_ONLY
    from untrained.analysis.published import search_title, with_published
    from untrained.analysis.tables import (
        comparison_layout,
        correlation_layout,
        narrow_search_layout,
        score_notes,
        search_notes,
        terminal_table,
    )

    correlations = with_published(_read_table(space, tables, "correlations"), space=space)
    searches = _read_table(space, tables, "searches")
    comparisons = _read_table(space, tables, "comparisons")
    # the page has the rows of searches on other data sets too
    searches, comparisons = (
        table[~table["method"].str.contains(" on ", regex=False)]
        for table in (searches, comparisons)
    )
    console = Console(width=None if Console().is_terminal else 100)
    comparable = correlations[correlations["subset"] == FINITE_ONLY]  # what the paper gives
    console.print(
        terminal_table(
            correlation_layout(comparable, narrow=True),
            title="Score against accuracy, with 95 % intervals",
        )
    )
    for note in score_notes(comparable):
        console.print(f"- {note}", markup=False)
    console.print(
        terminal_table(
            narrow_search_layout(searches),
            title=f"{search_title(space) or 'Searches'}: accuracy in %, ours and the paper's",
        )
    )
    console.print(
        "se: standard error of the runs' mean; it and ± leave out the choice of the sample of "
        "architectures.",
        markup=False,
    )
    for note in search_notes(searches):
        console.print(f"- {note}", markup=False)
    if len(comparisons):
        console.print()
        console.print(
            terminal_table(
                comparison_layout(comparisons, narrow=True),
                title="Searches against REA, with 95 % intervals",
            )
        )
        console.print(
            "Runs of equal number are pairs. P(better): that a run beats one of REA. p: Wilcoxon's "
            "signed-rank test, adjusted for the number of searches.",
            markup=False,
        )
        for note in search_notes(comparisons):
            console.print(f"- {note}", markup=False)
    if (_tables_folder(space, tables) / "prunings.parquet").is_file():
        console.print()
        console.print(
            terminal_table(
                narrow_search_layout(_read_table(space, tables, "prunings")),
                title="The pruning search of TE-NAS: accuracy in %, ours and the paper's",
            )
        )
        console.print(
            "In brackets: criterion and data set searched on. Random cell: over every cell. The "
            "paper searches each data set on its own.",
            markup=False,
        )
    console.print(f"\nReport: results/report/{space}.md", markup=False)
