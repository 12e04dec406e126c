"""The report as one Markdown page."""

from collections.abc import Mapping

import pandas as pd

from untrained.analysis.preferences import Words, words_of
from untrained.analysis.published import (
    TRAINING_FREE,
    WEIGHT_SHARING,
    published,
    search_title,
    with_published,
)
from untrained.analysis.search_tables import QUOTED, published_searches
from untrained.analysis.summaries import is_untimed, main_of, times_table
from untrained.analysis.summed_ranks import SUMMED_RANKS
from untrained.analysis.tables import (
    DATASET_TITLES,
    comparison_layout,
    correlation_layout,
    evolution_layout,
    preference_layout,
    score_notes,
    search_layout,
    search_notes,
    seed_layout,
    to_markdown,
    trajectory_layout,
    variance_layout,
)

_CAPTIONS = {
    "scores": "Score against final test accuracy (the NASWOT paper's Fig. 3).",
    "kernels": "Kernels of activation codes, accurate {members} above inaccurate ones (Fig. 1): "
    "the nearer to the identity, the better a network tells its images apart.",
    "regret": "Regret over {spent} (Fig. 7 and beyond): the best final test accuracy that "
    "the benchmark knows, less that of the incumbent, which holds until the next one; not what the "
    "search saw. Mean over the runs with the 95 % bootstrap interval of the mean. Before its first "
    "incumbent a run has no regret, so a line starts where all of its runs have one. Markers: "
    "searches that train nothing, at their end; those without a cost at the left edge. `Optimal` "
    "knows the test accuracies of its sample.",
    "seeds": "Kendall's tau on the test accuracy against the number of seeds: the mean over the "
    "sets of so many seeds. Bands: the smallest and the largest. Bars: 95 % bootstrap intervals "
    "of all seeds.",
    "preferences": "Which {options} the best {members} of each score are made of (TE-NAS's "
    "Fig. 2 D), with 95 % bootstrap intervals. Hollow, where there are any: published.",
    "proxies": "Kendall's tau-b of scores and of their controls with test accuracy (the NASWOT "
    "paper's Fig. 4), with 95 % bootstrap intervals; all are about the same architectures, of "
    "which those with an undefined score are ranked last. Hollow: published, of other samples or "
    "of the whole space; the table `proxies` says by whom.",
    "trajectory": "The pruning search by its two numbers (TE-NAS's Fig. 3 B), a line per seed, "
    "from the unpruned supernet (hollow) over the rounds to what is left. Below each title: by how "
    "much a round changes them, mean over the seeds.",
    "ablations": "Repeated scores of ten cells of different accuracy with one thing varied, and "
    "what the variance of a single score of random cells is made of (Fig. 5 and beyond).",
    "kernel_evolution": "How far the tangent kernel of random {members} moves over a short "
    "training: its relative change and its correlation with the kernel before training. A line for "
    "each, the median over the seeds, coloured by test accuracy.",
    "score_evolution": "Scores of the same {members} over the same training (the NASWOT paper's "
    "Fig. 6, whose cells have more than 90 % and the training 100 epochs).",
}


_SUMMED = (
    f" `{SUMMED_RANKS}` is the sum of the ranks by `ntk_condition_number` and `linear_regions` "
    "under each seed, higher for better, over the architectures for which both are defined."
)


def page(
    space: str,
    correlations: pd.DataFrame,
    seeds: pd.DataFrame,
    searches: pd.DataFrame,
    comparisons: pd.DataFrame,
    figures: Mapping[str, str],
    variances: pd.DataFrame | None = None,
    prunings: tuple[pd.DataFrame, pd.DataFrame] | None = None,
    preferences: pd.DataFrame | None = None,
    evolutions: pd.DataFrame | None = None,
) -> str:
    """The Markdown page of one space.

    Args:
        space: its name.
        correlations: of `correlations.correlation_table`.
        seeds: of `seed_tables.seed_table`.
        searches: of `search_tables.search_table`.
        comparisons: of `comparisons.comparison_table`; empty where no search trains.
        figures: name to address, relative to the page.
        variances: of `variances.variance_table`; None for a space without ablations.
        prunings: of `prunings.pruning_table` and `prunings.trajectory_table`; None for a space
            that was not pruned.
        preferences: of `preferences.preference_table`; None leaves them out.
        evolutions: of `evolutions.evolution_table`; None where nothing was followed.
    """
    beside = with_published(correlations, space=space)
    words = words_of(space)
    main = main_of(searches["dataset"])
    untimed = "seconds" in searches and bool(is_untimed(searches).any())
    captions = _CAPTIONS | {"time": _time_caption(space, searches, main, untimed=untimed)}
    said = vars(words) | {"spent": "evaluations" if untimed else "simulated time"}
    parts = [
        f"# {space}: training-free scores against trained accuracies",
        "## Rank correlations",
        "Kendall's tau-b and Spearman's rho between score and accuracy after the full training, "
        "with 95 % bootstrap intervals over architectures. A score is the mean over the seeds. "
        "`naswot` "
        "counts rectifiers between input and output once; `naswot-released` counts as the "
        "authors' code does. Undefined scores rank last, except in the subset of finite ones. "
        "`canonical`: one architecture of each class that computes the same function. `top 10 %`: "
        "the most accurate tenth of those scored, for each accuracy its own. `recomputed` figures "
        "are those of the whole space. Tau is that of the score as it is: negative where lower "
        "is better." + (_SUMMED if SUMMED_RANKS in set(beside["proxy"]) else ""),
        to_markdown(correlation_layout(beside)),
        *(f"- {note}" for note in score_notes(beside)),
        "## What seeds buy",
        "Kendall's tau-b on all scored architectures when the score is the mean over some of the "
        "seeds: the mean, the smallest and the largest over all sets of so many, and the 95 % "
        "bootstrap interval of all seeds. The last column is Spearman's rho between the mean "
        "scores of two sets without a common seed, averaged over all such pairs: how alike they "
        "rank.",
        to_markdown(seed_layout(seeds)),
        *([] if preferences is None else _preferences(space, preferences)),
        f"## Searches{_as_in_the_paper(space)}",
        "Mean and standard deviation over runs; in brackets the published figures, and the "
        "difference in joint standard errors (se). "
        f"{_UNKNOWN_TIMES if untimed else _KNOWN_TIMES} "
        f"Searches score on {DATASET_TITLES.get(main, main)} and are read off on all data sets, "
        "unless a row says otherwise, whose other columns are empty. `NASWOT` draws from the "
        "scored architectures alone: where they are a sample of the space, its rows differ from "
        "the paper's by what the sample happens to hold, which se leaves out; so do rows with a "
        "`fitness` or a `pool`, which move in a sample. `Random` and `Optimal` draw from all."
        + (_QUOTED if (searches["note"] == QUOTED).any() else ""),
        to_markdown(search_layout(searches)),
        *(f"- {note}" for note in search_notes(searches)),
        *(_comparisons(comparisons) if len(comparisons) else []),
        *([] if prunings is None else _prunings(*prunings)),
        *([] if variances is None else _ablations(variances)),
        *([] if evolutions is None else _evolutions(words, evolutions)),
        "## Figures",
        *(
            f"![{name}]({address})\n\n{captions[name].format_map(said)}"
            for name, address in figures.items()
        ),
    ]
    return "\n\n".join(parts).replace("\n\n- ", "\n- ") + "\n"


_KNOWN_TIMES = "`time`: what a run spends on the simulated clock."
_UNKNOWN_TIMES = (
    "`evaluations`: trainings that a run makes, as nobody knows how long they take; `time`: what a "
    "run spends on the simulated clock where it trains nothing."
)
_QUOTED = (
    " Rows `published, not run` are those on weight sharing, from Dong and Yang 2020 (three runs "
    "each)."
)


def _time_caption(space: str, searches: pd.DataFrame, main: str, *, untimed: bool) -> str:
    """What the figure of accuracy against cost shows, and nothing that it doesn't."""
    drawn = times_table(searches, main, space=space) if "seconds" in searches else None
    published = drawn is None or (drawn["source"] == "published").any()
    if not untimed:
        said = "Accuracy against search time (Fig. 7). Our times are simulated with "
        said += "`searches.seconds_per_score`"
        said += "; the paper's were measured on a 1080 Ti." if published else "."
    else:
        said = "Accuracy against evaluations, as the benchmark has no training times (Fig. 7 has "
        said += "seconds)."
        if drawn is not None and ((drawn["spent"] == 0) & drawn["mean"].notna()).any():
            said += " Searches that train nothing stand at the left edge."
        if {method for method, *_ in published_searches(space)} - {*TRAINING_FREE, *WEIGHT_SHARING}:
            said += " Published searches that train are left out, as nobody knows how many "
            said += "trainings they made."
    return f"{said} Searches of equal cost stand side by side around a dotted line there."


def _as_in_the_paper(space: str) -> str:
    return f": {title} of the NASWOT paper" if (title := search_title(space)) else ""


def _comparisons(comparisons: pd.DataFrame) -> list[str]:
    return [
        "## Searches against regularised evolution (REA)",
        "Every search that spends a budget against REA, in final accuracy; that AREA outperforms "
        "it is the claim of the NASWOT paper. A search whose fitness is a score is held against "
        "the same on accuracies in the same pool, and others in a pool against REA in that pool, "
        "where those were run (`against`). Runs of the same number draw from the same random "
        "stream, so they are pairs. `difference`: mean over the pairs in percent points. "
        "`P(better)`: probability that a run of the search beats one of REA, over all pairs of "
        "runs, ties counted half (Agarwal et al., NeurIPS 2021). Both with 95 % bootstrap "
        "intervals from resampled pairs. `p`: Wilcoxon's signed-rank test, in which differences of "
        "zero take part in the ranking (Pratt's way); `p (Holm)` is adjusted for the searches of "
        "one data set and split. A search is read off on several data sets and splits, which are "
        "not independent of each other.",
        to_markdown(comparison_layout(comparisons)),
    ]


def _preferences(space: str, preferences: pd.DataFrame) -> list[str]:
    fraction, words = float(preferences["fraction"].iloc[0]), words_of(space)
    shares = (
        " Published: TE-NAS's Fig. 2 (D), which does not say of how many architectures; its shares "
        "do not sum to 100 %."
    )
    return [
        f"## {words.options.capitalize()} that scores prefer",
        f"Which {words.options} the {words.places} of the {words.members} with the best "
        f"{100 * fraction:g} % of the scores have, in percent of these {words.places}, with 95 % "
        "bootstrap intervals over what was scored; more are in where several are equal. `accuracy` "
        "takes the truly best by test accuracy, `all sampled` every one that was scored."
        + (shares if space in set(published("preferences")["space"]) else ""),
        to_markdown(preference_layout(preferences)),
    ]


def _prunings(found: pd.DataFrame, trajectory: pd.DataFrame) -> list[str]:
    cells = found[found["cells"] != ""].drop_duplicates("method")
    return [
        "## The pruning search of TE-NAS",
        "Accuracy of the cell that is left of the supernet, mean and standard deviation over the "
        "seeds; in brackets the published figures, and the difference in joint standard errors "
        "(se) where there is more than one seed. A method names its criterion (`both`: the sum of "
        "the ranks by condition number and linear regions) and the data set that it searched on, "
        "and is read off on all; the paper searches each data set on its own. Its ablation is on "
        "CIFAR-100. `Random cell`: mean and standard deviation over every cell of the space, so "
        "the mean of n random cells has that mean, and its standard deviation is smaller by "
        "√n. `Most parameters`: the largest cell, the first of equals.",
        to_markdown(search_layout(found)),
        *(
            f"- {row['method']}: cell {', '.join(row['cells'].split())}"
            for row in cells.to_dict("records")
        ),
        "What the supernet of each round measures before the next operations are pruned, and what "
        "is left after the last: mean and standard deviation over the seeds. Changes are relative "
        "to the round before. The corrected search draws weights and images anew for every round, "
        "so a change is also that of the draw.",
        to_markdown(trajectory_layout(trajectory)),
    ]


def _ablations(variances: pd.DataFrame) -> list[str]:
    return [
        "## Ablations: what moves a score",
        "Components of the variance of a single score by the analysis of variance, as standard "
        "deviations and as shares with 95 % bootstrap intervals over architectures. `variance` has "
        "random architectures and crosses minibatches with initialisations. The other experiments "
        "vary one thing on ten cells, one from each of ten equally wide bins of CIFAR-100 test "
        "accuracy between 50 % and the best, so their shares are not those of the space; with one "
        "initialisation its effect is part of the architecture's, and the residual part of the "
        "interaction. Architectures with an undefined score are dropped.",
        to_markdown(variance_layout(variances)),
    ]


def _evolutions(words: Words, found: pd.DataFrame) -> list[str]:
    return [
        "## How the kernel moves",
        f"What random {words.members} have after some epochs of training, each the median over the "
        f"seeds: median and range over the {words.members}. "
        "`change` and `correlation` hold the tangent kernel of the minibatch against that before "
        "training: ‖Θ − Θ₀‖ / ‖Θ₀‖ (Frobenius norms) and the correlation of all entries. "
        "`accuracy` is the percentage of the minibatch that gets its label, `loss` the "
        "cross-entropy of the last batch. The minibatch is not learned. "
        "Kendall's tau with the test accuracy, positive where the more accurate one has the "
        "better score, stands there with its 95 % bootstrap interval where there are ten "
        f"{words.members} or more.",
        to_markdown(evolution_layout(found)),
    ]
