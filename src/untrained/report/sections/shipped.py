"""The scores of a run held to those that come with the project."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from untrained.errors import UntrainedError
from untrained.report.inputs import Inputs
from untrained.report.scores import image_label, proxy_label
from untrained.report.section import Options, Section, Table
from untrained.report.tables import laid_out, named, numbers, terminal_table
from untrained.scoring.request import parse_reading
from untrained.scoring.shards import scored_for
from untrained.spaces import SearchSpace

#: Scores agree that differ by at most so much of the distance between the quartiles of all scores
#: that come along, and of the score's own distance from their median. Neither a shift nor a scale
#: of a proxy changes this; rounding on other machines stays below, another seed does not.
TOLERANCE = 0.01

#: The columns of `shipped_table`, in order.
COLUMNS = ("proxy", "images", "seed", "n", "agree", "largest", "quartiles", "allowed")

#: The settings of the scores that come along, besides those that their table has.
_SETTINGS = {"split": "sample", "augmentation": "none", "sampling": "uniform"}


def shipped_table(inputs: Inputs, options: Options) -> pd.DataFrame:
    """Hold the scores of a run to those that come along, where both have one of an architecture.

    Compared are scores of the same proxy, images, size of the minibatch and seed, of architectures
    that are the first of their class: the others of a class have its score in what comes along,
    and weights of their own in a run.

    Returns:
        One row per proxy, images and seed with `COLUMNS`: `n` architectures, of which `agree` have
        scores within the tolerance or are both undefined, the `largest` difference, the distance of
        the `quartiles` of the scores that come along, and the largest part that a difference is of
        what is `allowed`.

    Raises:
        UntrainedError: scores disagree.
    """
    there = inputs.joined("shipped")
    own = there[there["batch_size"] == options["batch_size"]]
    keys = ["proxy", "dataset", "seed"]
    both = inputs.scores.merge(own, on=[*keys, "arch"], suffixes=("", "_shipped"))
    rows, wrong = list[dict[str, Any]](), list[str]()
    for (proxy, images, seed), found in both.groupby(keys):
        owners = scored_for(inputs.space, parse_reading(str(proxy)).proxy, share=True)
        found = found[owners[found["arch"]] == found["arch"]]
        if found.empty:
            continue
        every = own.loc[(own[keys] == [proxy, images, seed]).all(axis=1), "score"]
        low, median, high = np.nanquantile(every[np.isfinite(every)], [0.25, 0.5, 0.75])
        size = (found["score"] - found["score_shipped"]).abs()
        allowed = TOLERANCE * (high - low + (found["score_shipped"] - median).abs())
        same = (size <= allowed) | ((found["status"] != "ok") & (found["status_shipped"] != "ok"))
        part = (size / allowed).where(size > 0, 0.0).max()
        row = (proxy, images, seed, len(found), int(same.sum()), size.max(), high - low, part)
        rows.append(dict(zip(COLUMNS, row, strict=True)))
        if not same.all():
            first = found[~same].iloc[0]
            wrong.append(
                f"{(~same).sum()} of {len(found)} scores of {proxy} on {images}, seed {seed}, are "
                f"not those that come with {inputs.space.name}: architecture {first['arch']} has "
                f"{first['score']:.6g}, not {first['score_shipped']:.6g}"
            )
    if wrong:
        raise UntrainedError("; ".join(wrong) + ": make searches.scores live, and tell us")
    return pd.DataFrame(rows, columns=list(COLUMNS))


def applies(space: SearchSpace, parameters: Mapping[str, Any]) -> bool:
    """Return whether searches read scores that come along, and the run's can be held to them."""
    scores, shipped = parameters["scores"], parameters["searches"]["scores"] == "shipped"
    alike = all(scores[name] == value for name, value in _SETTINGS.items())
    return bool(shipped and space.scores and alike)


#: A row per proxy, images and seed.
layout = laid_out(
    {
        "score": named("proxy", proxy_label),
        "images": named("images", image_label),
        "seed": "seed",
        "compared": "n",
        "agree": "agree",
        "largest difference": numbers("largest", 4),
        "between quartiles": numbers("quartiles", 1),
        "of what is allowed": numbers("allowed", 3),
    }
)


def _show(inputs: Inputs) -> list[Any]:
    table = inputs.table("shipped")
    if table.empty:
        return []
    title = "Scores of this run, held to those of the whole space that the searches read"
    return [terminal_table(layout(table), title=title)]


SECTION = Section(
    name="shipped",
    reads=("scores", "shipped"),
    options=("batch_size",),
    applies=applies,
    tables=(
        Table(
            "shipped",
            shipped_table,
            "Scores that the searches read",
            "The searches read scores of the whole space that come with the project. The scores of "
            "this run agree with them if they differ by at most 1 % of the distance between the "
            "quartiles of all {members}, plus 1 % of the score's distance from their median, or if "
            "both are undefined; otherwise the run fails. Compared are the first {members} of each "
            "class that runs the same operations, as others come along with its score, at the same "
            "seed and size of the minibatch.",
            layout,
        ),
    ),
    show=_show,
)
