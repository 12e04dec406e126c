"""The report as one Markdown page."""

from collections.abc import Mapping

import pandas as pd

from untrained.analysis.published import with_published
from untrained.analysis.tables import (
    correlation_layout,
    search_layout,
    search_notes,
    to_markdown,
)

_CAPTIONS = {
    "scores": "Score against final test accuracy (the NASWOT paper's Fig. 3).",
    "kernels": "Kernels of activation codes, accurate cells above inaccurate ones (Fig. 1): the "
    "nearer to the identity, the better a network tells its images apart.",
    "time": "Accuracy against search time (Fig. 7). Our times are simulated with "
    "`searches.seconds_per_score`; the paper's were measured on a 1080 Ti.",
}


def page(
    space: str, correlations: pd.DataFrame, searches: pd.DataFrame, figures: Mapping[str, str]
) -> str:
    """The Markdown page of one space.

    Args:
        space: its name.
        correlations: of `correlations.correlation_table`.
        searches: of `search_tables.search_table`.
        figures: name to address, relative to the page.
    """
    published = with_published(correlations, space=space)
    parts = [
        f"# {space}: training-free scores against trained accuracies",
        "## Rank correlations",
        "Kendall's tau-b and Spearman's rho between score and accuracy after 200 epochs, with 95 % "
        "bootstrap intervals over architectures. A score is the mean over the seeds. `naswot` "
        "counts rectifiers between input and output once; `naswot-released` counts as the "
        "authors' code does. Undefined scores rank last, except in the subset of finite ones. "
        "`canonical`: one architecture of each class that computes the same function.",
        to_markdown(correlation_layout(published)),
        "## Searches: Table 2(a) of the NASWOT paper",
        "Mean and standard deviation over runs; in brackets the published figures, and the "
        "difference in joint standard errors (se). Searches score on CIFAR-10 and are read off on "
        "all three data sets, unless a row says otherwise. `NASWOT` draws from the scored "
        "architectures alone: where they are a sample of the space, its rows differ from the "
        "paper's by what the sample happens to hold, which se leaves out. `Random` and `Optimal` "
        "draw from all.",
        to_markdown(search_layout(searches)),
        *(f"- {note}" for note in search_notes(searches)),
        "## Figures",
        *(f"![{name}]({address})\n\n{_CAPTIONS[name]}" for name, address in figures.items()),
    ]
    return "\n\n".join(parts).replace("\n\n- ", "\n- ") + "\n"
