"""Kernels of activation codes of accurate and of inaccurate architectures."""

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from untrained.report import plotting
from untrained.report.inputs import Inputs
from untrained.report.scores import (
    Floats,
    image_label,
    image_sets,
    mean_scores,
    proxy_drawn,
    target_of,
)
from untrained.report.section import Figure, Options, Section

if TYPE_CHECKING:
    import pandas as pd

    from untrained.scoring.images import MinibatchSettings

_Titled = Sequence[tuple[str, Floats]]


@plotting.style()
def kernel_matrices(
    good: _Titled, bad: _Titled, *, members: str = "cells", images: str = "the images"
) -> "plotting.Figure":
    """Draw the kernels of good architectures above those of bad ones (Mellor et al. 2021, Fig. 1).

    Kernels (N, N), each with a title, are divided by sqrt(K_ii K_jj), so that their diagonal is 1
    and all share one colour bar. The closer a kernel is to the identity, the better the network
    distinguishes its images.
    """
    if not good and not bad:
        return plotting.nothing_drawn(f"none of the scored {members} has a kernel")
    rows = [
        (name, [(title, _unit_diagonal(kernel)) for title, kernel in cells])
        for name, cells in (("good", good), ("bad", bad))
        if cells
    ]
    columns = max(len(cells) for _, cells in rows)
    low = min(float(kernel.min()) for _, cells in rows for _, kernel in cells)
    size = (2.9 * columns + 1.2, 3.4 * len(rows) + 0.1)
    figure, grid = plotting.panels(len(rows), columns, size)
    for axes in grid.flat:
        axes.set_axis_off()
    for line, (name, cells) in zip(grid, rows, strict=True):
        for axes, (title, kernel) in zip(line, cells, strict=False):
            axes.set_axis_on()
            image = axes.imshow(
                kernel, vmin=min(low, 1 - 1e-6), vmax=1, cmap="viridis", interpolation="nearest"
            )
            axes.set(xticks=[], yticks=[])
            axes.set_title(title, fontsize=13)
            axes.spines[:].set_visible(False)
        line[0].set_ylabel(f"{name} {members}")
    count = len(rows[0][1][0][1])
    figure.suptitle(f"kernels of {count} images of {images}", fontsize=14)
    figure.colorbar(image, ax=grid, shrink=0.8, label="normalised kernel $K_H$")
    return figure


def _unit_diagonal(kernel: Floats) -> Floats:
    root = np.sqrt(np.diagonal(kernel))
    unit: Floats = kernel / np.outer(root, root)
    return unit


def draw(inputs: Inputs, options: Options) -> "plotting.Figure":
    """Compute and draw the kernels on the main data set of the space, or the first one scored."""
    from untrained.images.sets import image_set
    from untrained.scoring.images import MinibatchSettings

    images = inputs.main(image_sets(inputs.scores))
    settings = MinibatchSettings(
        images,
        image_set(images).split(options["split"]),
        options["batch_size"],
        options["augmentation"],
        options["sampling"],
    )
    scores = mean_scores(inputs.scores, proxy_drawn(inputs.scores, options.get("proxy")), images)
    good, bad = kernels(inputs, settings, scores, options["kernels"])
    members = inputs.space.words.members
    return kernel_matrices(good, bad, members=members, images=image_label(images))


def kernels(
    inputs: Inputs, settings: "MinibatchSettings", scores: "pd.Series[float]", count: int
) -> tuple[_Titled, _Titled]:
    """Compute the kernels of the most and of the least accurate architectures with a score.

    The titles give accuracy and score. Architectures without a kernel are skipped, so there may be
    fewer than `count` of each.
    """
    from untrained.scoring.kernels import kernels_of

    _, trained, split = target_of(settings.dataset, "test", inputs.splits)
    accuracy = inputs.benchmark.accuracies(trained, split)
    known = scores[np.isfinite(scores) & np.isfinite(accuracy[scores.index])]
    order = known.index[np.argsort(accuracy[known.index], kind="stable")].tolist()
    halves = order[len(order) // 2 :][::-1], order[: len(order) // 2]  # none is in both
    good, bad = (
        [
            (f"{accuracy[index]:.1f} %, score {scores[index]:.0f}", kernel)
            for index, kernel in islice(kernels_of(inputs.space, half, settings, seed=0), count)
        ]
        for half in halves
    )
    return good, bad


SECTION = Section(
    name="kernels",
    reads=("benchmark", "scores"),
    options=("proxy", "kernels", "split", "batch_size", "augmentation", "sampling"),
    figures=(
        Figure(
            "kernels",
            draw,
            "Kernels of activation codes, accurate {members} above inaccurate ones (the NASWOT "
            "paper's Fig. 1), normalised to a diagonal of 1. The closer a kernel is to the "
            "identity, the better the network distinguishes its images.",
        ),
    ),
)
