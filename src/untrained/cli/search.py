"""`untrained search`: run a search on cached scores and benchmarked trainings."""

import json
import math
import shlex
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from untrained.cli.shards import SCORE_COLUMNS, warn_of_test_labels
from untrained.errors import DamagedFileError, MissingDataError, ParameterError
from untrained.files import SCORES

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from untrained.benchmarks.benchmark import Values
    from untrained.search import Search
    from untrained.search.base import BudgetedSearch, Searchable
    from untrained.search.clock import AnswersRuns, Budget, Trainings
    from untrained.search.guided import Guide
    from untrained.search.pool import Pool
    from untrained.spaces import SearchSpace

_LIVE = "With --live"


def search(
    algorithm: Annotated[
        str,
        typer.Argument(
            help="`name`, `name-samples` or `name+setting=value`: rea, naswot-1000, rea+mutants=4."
        ),
    ],
    space: Annotated[str, typer.Argument(help="Search space.")],
    dataset: Annotated[
        str, typer.Option(help="Whose trainings and scores guide the search.")
    ] = "cifar10",
    budget: Annotated[
        str, typer.Option(help="Of a run that spends one: 12000s or 100evaluations.")
    ] = "12000s",
    proxy: Annotated[str, typer.Option(help="`name`, `name-variant` or `name@epochs`.")] = "naswot",
    epochs: Annotated[
        int | None,
        typer.Option(help="Of the trainings that a search sees; default 12, or what there is."),
    ] = None,
    training_seed: Annotated[
        str | None, typer.Option(help="Of those trainings; default 777, or what there is.")
    ] = None,
    runs: Annotated[
        int | None, typer.Option(help="Independent repetitions; default 500, or 1 with --live.")
    ] = None,
    shard: Annotated[int, typer.Option(help="Which piece of the runs, from 0.")] = 0,
    shards: Annotated[int, typer.Option(help="Into how many pieces the runs are cut.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    seconds_per_score: Annotated[
        str,
        typer.Option(
            help="Simulated cost of a score, to which that of any training is added; or measured: "
            "what the scores say they took."
        ),
    ] = "0.3",
    benchmark: Annotated[Path | None, typer.Option(help="Benchmark table.")] = None,
    scores: Annotated[Path | None, typer.Option(help="Merged scores.")] = None,
    out: Annotated[Path | None, typer.Option(help="Trace to write (parquet).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="Score what is proposed, when it is proposed, and charge what it took."
        ),
    ] = False,
    remember: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=_LIVE,
            help="File of finished scores, to go on from; default OUT.scores.",
        ),
    ] = None,
    score_seeds: Annotated[
        int, typer.Option(rich_help_panel=_LIVE, help="Run r scores with seed r modulo so many.")
    ] = 1,
    split: Annotated[str, typer.Option(rich_help_panel=_LIVE, help="Of the data set.")] = "sample",
    batch_size: Annotated[
        int, typer.Option(rich_help_panel=_LIVE, help="Images per minibatch.")
    ] = 128,
    augmentation: Annotated[
        str, typer.Option(rich_help_panel=_LIVE, help="none or crop-flip.")
    ] = "none",
    sampling: Annotated[
        str,
        typer.Option(rich_help_panel=_LIVE, help="Of images: uniform, or balanced by class."),
    ] = "uniform",
    device: Annotated[
        str, typer.Option(rich_help_panel=_LIVE, help="auto, cpu, cuda:0, ...")
    ] = "auto",
    engine: Annotated[
        str, typer.Option(rich_help_panel=_LIVE, help="auto, plain or fast.")
    ] = "auto",
    precision: Annotated[
        str, typer.Option(rich_help_panel=_LIVE, help="auto, float32 or bfloat16.")
    ] = "auto",
) -> None:
    """Run a search on cached scores and benchmarked trainings, and write its trace.

    Searches that spend a budget take settings of their own, and init=PROXY (or random), scored=20,
    kept=10: start from the best kept of so many scored; mutants=4: draw four, train the
    best-scored; fitness=PROXY (lga@1): the score is what they climb, among what is scored;
    pool=PROXY: they move among what is scored. With --live nothing need be scored before.

    Where too few architectures are scored for what a run draws, the trace stays empty. The best
    architecture at the end is the one whose search saw the highest fitness.
    """
    from untrained.files import check_target, write_parquet
    from untrained.images.sets import image_set
    from untrained.proxies import get_proxy
    from untrained.search import parse_algorithm
    from untrained.search.clock import parse_budget
    from untrained.search.runs import shard_of_runs
    from untrained.spaces import get_space

    asked = parse_algorithm(algorithm)
    known = image_set(dataset)
    own_runs = shard_of_runs(runs if runs is not None else 1 if live else 500, shard, shards)
    per_score = _seconds_per_score(seconds_per_score)
    allowed = parse_budget(budget)
    searched = get_space(space)
    get_proxy(proxy)
    warn_of_test_labels(asked.decisive(proxy))
    task = _Task(algorithm, searched, dataset, allowed, own_runs, seed)
    counts: dict[str, int] = {}
    timed = True
    if live:
        if out is not None:
            check_target(out)
        shown = {
            "split": known.split(split),
            "batch_size": batch_size,
            "augmentation": augmentation,
            "sampling": sampling,
        }
        how = {"device": device, "engine": engine, "precision": precision}
        trace, accuracies, counts = _live(
            task, asked, shown, how, score_seeds, _remembered(remember, out), benchmark
        )
    else:
        if remember is not None:
            raise ParameterError(f"--remember {remember}: only --live makes scores")
        tables = _tables(searched, dataset, epochs, training_seed, benchmark, scores, per_score)
        accuracies = tables.accuracies
        trace = _cached(task, asked, tables, proxy)
        timed = not asked.sees_trainings or tables.trainings().timed
    if out is not None:
        write_parquet(trace, out)
    answer = {"algorithm": algorithm, "space": space, "dataset": dataset, "seed": seed}
    if asked.spends_budget:
        answer["budget"] = str(allowed)
    answer["runs"] = len(own_runs)
    if asked.spends_budget and len(trace):
        final = trace[trace["is_final"]]
        answer["evaluations"] = float(final["step"].mean())
        # a training of unknown length counts as one
        answer["seconds"] = float(final["simulated_seconds"].mean()) if timed else None
    answer |= counts
    answer["accuracy"] = _reached(trace, accuracies)
    answer["best"] = _best(trace, searched)
    if as_json:
        typer.echo(json.dumps(answer))
    else:
        _say(answer)


@dataclass(frozen=True)
class _Task:
    """What is asked of any search."""

    algorithm: str
    space: "SearchSpace"
    dataset: str
    budget: "Budget"
    runs: range
    seed: int

    @property
    def title(self) -> str:
        return f"{self.algorithm}/{self.space.name}/{self.dataset}"


@dataclass(frozen=True, eq=False)
class _Tables:
    """What is known of the space.

    Attributes:
        size: architectures of the space.
        accuracies: column to percent by index.
        known: the architectures that have them.
        trainings: makes what a training says and costs.
        epoch: makes the seconds of one epoch by index.
        scores: the file of the cached scores.
        dataset: of them.
        seconds_per_score: simulated; None for those that they took.
    """

    size: int
    accuracies: "dict[str, Values]"
    known: "NDArray[np.int64]"
    trainings: "Callable[[], Trainings]"
    epoch: "Callable[[], Values]"
    scores: Path
    dataset: str
    seconds_per_score: float | None

    def scored(self, proxy: str) -> "Pool":
        """What is scored, the better network higher."""
        from untrained.files import read_parquet
        from untrained.proxies import get_proxy, setting_of
        from untrained.search.fitness import seconds_of_scores
        from untrained.search.pool import Pool, measured_seconds, scores_of

        by = get_proxy(proxy)
        if not self.scores.is_file():
            raise MissingDataError(
                f"{self.scores} does not exist: `make run` or `snakemake scores` makes it"
            )
        table = read_parquet(self.scores, SCORE_COLUMNS)
        try:
            architectures, matrix = scores_of(table, proxy, self.dataset, self.size)
        except DamagedFileError as error:
            raise DamagedFileError(f"{self.scores}: {error}") from error
        known = {name: values[architectures] for name, values in self.accuracies.items()}
        seconds: float | Values
        if self.seconds_per_score is None:
            seconds = measured_seconds(read_parquet(self.scores), proxy, self.dataset)
        elif epochs := setting_of(by).epochs:
            own = self.epoch()[architectures]
            seconds = seconds_of_scores(epochs, own, self.seconds_per_score)
        else:
            seconds = self.seconds_per_score
        return Pool(architectures, matrix if by.direction == "higher" else -matrix, known, seconds)


def _tables(
    space: "SearchSpace",
    dataset: str,
    epochs: int | None,
    training_seed: str | None,
    benchmark: Path | None,
    scores: Path | None,
    seconds_per_score: float | None,
) -> _Tables:
    """What is known of a space that has a benchmark."""
    from untrained.benchmarks.benchmark import Benchmark
    from untrained.images.sets import image_set
    from untrained.search.clock import epoch_seconds, trainings_of
    from untrained.spaces.base import LISTED

    if len(space) > LISTED:
        raise ParameterError(
            f"{space.name} has {len(space):.2e} architectures and no benchmark: searches look "
            "trainings up, unless they have a proxy for fitness and --live"
        )
    table = Benchmark.load(space.name, path=benchmark)
    table.check_within(len(space))
    trained = (table, image_set(dataset).measured_as, epochs, training_seed)
    return _Tables(
        len(space),
        {"/".join(column): table.accuracies(*column) for column in table.finals},
        table.known,
        lambda: trainings_of(*trained),
        lambda: epoch_seconds(*trained),
        scores or SCORES / f"{space.name}.parquet",
        dataset,
        seconds_per_score,
    )


def _cached(task: _Task, asked: "Search", tables: _Tables, proxy: str) -> "pd.DataFrame":
    """The trace of a search on cached scores and benchmarked trainings."""
    from functools import reduce

    import numpy as np

    from untrained.search.base import SampledSearch
    from untrained.search.fitness import scores_as_fitness
    from untrained.search.members import part_of
    from untrained.search.pool import empty_trace
    from untrained.spaces.nds_networks import FILES

    pools = {name: tables.scored(name) for name in asked.reads(proxy)}
    space: Searchable = task.space
    if asked.moves_among_scored:
        members = reduce(np.intersect1d, (pool.architectures for pool in pools.values()))
        pools = {name: pool.within(members) for name, pool in pools.items()}
        space = part_of(task.space, members)
    read = asked.proxy_of(proxy)
    size = len(task.space)
    pool = pools[read] if read else _everything(tables)
    if not _can_answer(pool, task.space, asked.drawn):
        return empty_trace()
    if isinstance(asked.algorithm, SampledSearch):
        trace = asked.algorithm(pool, asked.drawn, task.runs.stop, task.seed)
        return trace[trace["run"] >= task.runs.start].reset_index(drop=True)
    if name := asked.guidance.fitness:
        if not np.isfinite(pools[name].scores).any():
            raise MissingDataError(
                f"nothing has a fitness: all scores of {name} on {task.dataset} are undefined for "
                f"the {len(pools[name].architectures)} architectures that are searched, name "
                "another proxy"
            )
        answers: AnswersRuns = scores_as_fitness(task.space.name, size, pools[name])
    else:
        answers = trainings = tables.trainings()
        if not trainings.timed and task.budget.seconds < np.inf:
            raise ParameterError(
                f"budget {task.budget}: the benchmark of {task.space.name} has no training times, "
                "give one in evaluations, as in 100evaluations"
            )
        lacking = int(np.isnan(trainings.accuracy).sum())
        if lacking and task.space.name in FILES:  # trainings that failed, which no table has
            space = part_of(task.space, np.flatnonzero(~np.isnan(trainings.accuracy)))
        elif lacking and space is task.space:
            raise MissingDataError(
                f"the table of {task.space.name} lacks {lacking} of {size} trainings, and "
                f"{task.algorithm!r} moves in the whole space: fetch the whole table, or search "
                "by naswot-100"
            )
    return _spend(task, asked.algorithm, space, answers, asked.guide(pool))


def _spend(
    task: _Task,
    algorithm: "BudgetedSearch",
    space: "Searchable",
    answers: "AnswersRuns",
    guide: "Guide",
) -> "pd.DataFrame":
    from untrained.cli.progress import track
    from untrained.search.runs import search_runs, trace_of

    found = search_runs(algorithm, space, answers, task.budget, task.runs, task.seed, guide)
    return trace_of(track(found, len(task.runs), task.title, "runs"))


def _live(
    task: _Task,
    asked: "Search",
    shown: dict[str, Any],
    how: dict[str, str],
    seeds: int,
    remembered: Path | None,
    benchmark: Path | None,
) -> "tuple[pd.DataFrame, dict[str, Values], dict[str, int]]":
    """The trace of a search that scores what it proposes, accuracies and numbers of scores."""
    from untrained.benchmarks.benchmark import Benchmark
    from untrained.proxies import get_proxy, spelling_of
    from untrained.search.base import SampledSearch

    if isinstance(asked.algorithm, SampledSearch) or not asked.guidance.fitness:
        raise ParameterError(
            f"{task.algorithm!r} --live: name what to score, as in rs+fitness=lga@1"
        )
    if asked.guidance.pool or asked.starts_scored or asked.guidance.mutants > 1:
        raise ParameterError(
            f"{task.algorithm!r} --live: only the fitness is scored there, drop pool, init and "
            "mutants"
        )
    by = get_proxy(asked.guidance.fitness)

    from untrained.scoring.devices import leased_device
    from untrained.scoring.engine import MinibatchSettings
    from untrained.scoring.execution import Execution, prepare_worker
    from untrained.scoring.journal import journal_settings
    from untrained.search.live import LiveScores
    from untrained.search.remembered import recalled
    from untrained.search.runs import search_runs, trace_of

    accuracies = {}
    if benchmark is not None or Benchmark.find(task.space.name):
        table = Benchmark.load(task.space.name, path=benchmark)
        table.check_within(len(task.space))
        accuracies = {"/".join(column): table.accuracies(*column) for column in table.finals}
    prepare_worker()
    minibatches = MinibatchSettings(task.dataset, **shown)
    with leased_device(how["device"]) as where, ExitStack() as stack:
        execution = Execution(where, how["engine"], how["precision"])
        run = {
            "space": task.space.name,
            "engine": execution.engine,
            "precision": execution.precision,
            "device": where.type,
            "type": str(execution.dtype(planned=True)),
        }
        settings = journal_settings([spelling_of(by)], minibatches, run)
        known = stack.enter_context(recalled(remembered, settings))
        if known.scores:
            typer.echo(f"continuing with {len(known.scores)} scores of {remembered}", err=True)
        at_first = len(known.scores)
        progress = _Progress(task.budget, len(task.runs), task.title)
        scores = LiveScores(task.space, by, minibatches, execution, known, seeds, progress.advance)
        found = search_runs(asked.algorithm, task.space, scores, task.budget, task.runs, task.seed)
        trace = trace_of(found)
    return trace, accuracies, {"scored": scores.made, "remembered": at_first}


class _Progress:
    """Of a live search: evaluations, or seconds where those are what is spent."""

    def __init__(self, budget: "Budget", runs: int, title: str) -> None:
        from untrained.cli.progress import track

        self.counts = budget.evaluations < math.inf
        total = runs * int(budget.evaluations if self.counts else math.ceil(budget.seconds))
        unit = "evaluations" if self.counts else "seconds"
        self.steps = track(range(total), total, title, unit)
        self.owed = 0.0
        next(self.steps)

    def advance(self, seconds: float) -> None:
        """Report one more answer, which took so long."""
        self.owed += 1 if self.counts else seconds
        while self.owed >= 1:
            self.owed -= 1
            next(self.steps, None)


def _remembered(remember: Path | None, out: Path | None) -> Path | None:
    """The file of finished scores, if there is one."""
    from untrained.search.remembered import remembered_beside

    return remembered_beside(out) if remember is None and out is not None else remember


def _seconds_per_score(text: str) -> float | None:
    """The seconds that a score costs; None for those that it took."""
    if text == "measured":
        return None
    try:
        seconds = float(text)
    except ValueError as error:
        raise ParameterError(
            f"--seconds-per-score {text!r}: seconds, 0 or more, or measured"
        ) from error
    if not 0 <= seconds < math.inf:
        raise ParameterError(f"--seconds-per-score {seconds}: 0 or more, or measured")
    return seconds


def _say(answer: dict[str, Any]) -> None:
    """What the runs reached and the command that scores the best, for people."""
    runs = answer["runs"]
    for column, value in answer["accuracy"].items():
        mean = "unknown in places" if value["mean"] is None else f"{value['mean']:.2f}"
        spread = " %" if value["std"] is None else f" ± {value['std']:.2f} % over {runs} runs"
        typer.echo(f"{answer['algorithm']}: {column} {mean}{spread}")
    if "scored" in answer:
        typer.echo(
            f"{answer['algorithm']}: {answer['scored']} architectures scored, "
            f"{answer['evaluations']:g} evaluations and {answer['seconds']:.1f} s in a run"
        )
    if (best := answer["best"]) is not None:
        line = ["untrained", "score", answer["space"], best["spelling"]]
        typer.echo(f"best: {shlex.join([*line, '--dataset', answer['dataset']])}")


def _can_answer(pool: "Pool", space: "SearchSpace", samples: int) -> bool:
    """Whether enough is scored; says so where it is not."""
    from untrained.search.pool import can_answer

    known = len(pool.architectures)
    if can_answer(known, len(space), samples):
        return True
    typer.echo(
        f"{known} architectures have scores, a search over {samples} needs {3 * samples}: raise "
        "scores.architectures of params.yaml and run `snakemake scores`",
        err=True,
    )
    return False


def _everything(tables: _Tables) -> "Pool":
    """All that the benchmark knows, for searches that read no score."""
    from untrained.search.pool import Pool

    found = tables.known
    known = {name: values[found] for name, values in tables.accuracies.items()}
    return Pool(found, None, known, 0.0)


def _reached(
    trace: "pd.DataFrame", accuracies: dict[str, "Values"]
) -> dict[str, dict[str, float | None]]:
    """Mean and standard deviation (ddof 1) over the runs of each column, in percent.

    None is what can't be said: the spread of one run, or a mean that lacks an accuracy.
    """
    final = trace[trace["is_final"]]
    found: dict[str, dict[str, float | None]] = {}
    for column, accuracy in accuracies.items():
        own = accuracy[final.loc[final["target"].isin(["", column]), "arch"].to_numpy()]
        if len(own) == 0:
            continue
        mean, std = own.mean(), own.std(ddof=1) if len(own) > 1 else math.nan
        known = {"mean": float(mean), "std": float(std)}
        found[column] = {
            name: None if math.isnan(value) else value for name, value in known.items()
        }
    return found


def _best(trace: "pd.DataFrame", space: "SearchSpace") -> dict[str, object] | None:
    """The answer with the highest fitness; None where runs have none, or one for each column."""
    import numpy as np

    final = trace[trace["is_final"] & (trace["target"] == "")]
    fitness = final["fitness"].to_numpy()
    if np.isnan(fitness).all():
        return None
    position = int(np.nanargmax(fitness))
    architecture = space[int(final["arch"].to_numpy()[position])]
    return {
        "architecture": architecture.index,
        "spelling": architecture.spelling,
        "fitness": float(fitness[position]),
    }
