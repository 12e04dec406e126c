"""How many jobs the workflow has by its parameters, and how long they take by rates of here."""

import json
import math
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from untrained.plan import Plan
from untrained.scoring.ensembles import readings_of
from untrained.scoring.progress import Track, untracked
from untrained.scoring.shards import sample_of, score_space, work_of

#: Where Snakemake keeps when each job began and ended.
RECORDS = Path(".snakemake/metadata")

#: Seconds that a job which scores takes to start; docs/workflow.md.
START = 4.0

#: Seconds from which a job has computed, and was not found among what was finished before.
_COMPUTED = 1.0


@dataclass(frozen=True)
class Jobs:
    """Jobs of one kind.

    Attributes:
        rule: the rule of the workflow.
        of: what tells them from other jobs of the rule.
        number: how many there are.
        seconds: of one of them on one core or GPU, starting it included; None where no rate is
            known.
    """

    rule: str
    of: str
    number: int
    seconds: float | None


def forecast(plan: Plan, measured: int = 3, track: Track = untracked) -> Iterator[Jobs]:
    """Yield the expensive jobs of a run.

    Scores are measured now. Other jobs are said to take as long as those of their rule that
    Snakemake ran in the working directory.

    Args:
        plan: the jobs.
        measured: how many architectures of each space are scored by each family of proxies.
        track: reports progress.

    Raises:
        UntrainedError: the images are missing, for example.
    """
    named, took = plan.parameters, recorded()
    for space in plan.spaces:
        datasets = named.datasets_of(space)
        number = len(datasets) * len(named.seeds) * named.scores.shards
        for family, proxies in plan.families.items() if number else ():
            rate = seconds_per_architecture(plan, space, family, measured, track)
            each = rate * _scored(plan, space, proxies) / named.scores.shards
            yield Jobs("score", f"{space} {family}, {rate:.2g} s each", number, START + each)
    searched = sum(len(named.datasets_of(space)) for space in plan.measured)
    pruned, curves = named.prunings, named.training_curves
    kinds = len(pruned.variants) * len(pruned.criteria) * len(pruned.datasets) * len(pruned.seeds)
    for rule, number in {
        "search": searched * len(named.searches.algorithms) * named.searches.shards,
        "ablate": len(plan.ablated),
        "prune": len(plan.pruned) * kinds,
        "front": len(plan.fitted),
        "training_curve": len(plan.followed) * len(curves.seeds) * curves.shards,
    }.items():
        if number:
            ran = took.get(rule, [])
            yield Jobs(rule, f"{len(ran)} ran here", number, fmean(ran) if ran else None)


def seconds_per_architecture(
    plan: Plan, space: str, family: str, measured: int, track: Track = untracked
) -> float:
    """Return the seconds in which a process scores an architecture by a family of proxies."""
    scores = plan.parameters.scores
    for number in (1, measured):  # the first one compiles code and reads images
        began = time.perf_counter()
        score_space(
            plan.spaces[space],
            plan.families[family],
            architectures=number,
            dataset=plan.parameters.datasets_of(space)[0],
            split=scores.split,
            batch_size=scores.batch_size,
            augmentation=scores.augmentation,
            sampling=scores.sampling,
            precision=scores.precision,
            device="auto",
            track=track,
        )
    return (time.perf_counter() - began) / measured


def _scored(plan: Plan, space: str, proxies: list[str]) -> int:
    """Return how many architectures have to be scored."""
    scores, searched = plan.parameters.scores, plan.spaces[space]
    sample = sample_of(searched, scores.architectures, scores.sample_seed)
    return len(work_of(searched, sample, readings_of(proxies), share=scores.share))


def recorded() -> dict[str, list[float]]:
    """Return the seconds of jobs that have run in the working directory, by rule.

    Records that are damaged, as by a kill, are left out with one warning.
    """
    found, damaged = defaultdict(list), []
    for path in sorted(path for path in RECORDS.glob("*") if path.is_file()):
        try:
            job = json.loads(path.read_bytes())
            seconds = float(job.get("endtime") or 0) - float(job.get("starttime") or 0)
            rule = str(job["rule"])
        except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
            damaged.append(path)
            continue
        if _COMPUTED <= seconds < math.inf:
            found[rule].append(seconds)
    if damaged:
        warnings.warn(
            f"{len(damaged)} damaged records of jobs are left out, such as {damaged[0]}",
            stacklevel=2,
        )
    return dict(found)
