"""Kernels of activation codes of accurate and of inaccurate architectures."""

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from untrained.errors import ParameterError
from untrained.report import plotting
from untrained.report.inputs import Inputs
from untrained.report.section import Figure, Options, Section
from untrained.report.sections.correlations import image_sets, proxy_drawn
from untrained.report.targets import by_accuracy, main_of, target_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawn

    from untrained.scoring.images import MinibatchSettings

Floats = np.typing.NDArray[np.float64]
_Titled = list[tuple[str, Floats]]


def kernel_matrices(
    good: Sequence[tuple[str, Floats]],
    bad: Sequence[tuple[str, Floats]],
    *,
    members: str = "cells",
) -> "Drawn":
    """Draw the kernels of good architectures above those of bad ones (Mellor et al. 2021, Fig. 1).

    Each kernel is divided by sqrt(K_ii K_jj), so that its diagonal is 1 and all share one colour
    bar: the nearer to the identity, the better the network tells its images apart.

    Args:
        good: (title, kernel of shape (N, N)) of each architecture with a high accuracy.
        bad: the same for a low accuracy.
        members: what architectures are called.

    Returns:
        The figure; without any kernel it says so.

    Raises:
        ParameterError: a matrix that is not square or has no positive diagonal.
    """
    if not good and not bad:
        return plotting.nothing_drawn(f"none of the scored {members} has a kernel")
    rows = [
        (name, [(title, _unit_diagonal(title, kernel)) for title, kernel in cells])
        for name, cells in (("good", good), ("bad", bad))
        if cells
    ]
    columns = max(len(cells) for _, cells in rows)
    low = min(float(kernel.min()) for _, cells in rows for _, kernel in cells)
    with plotting.style():
        figure = plotting.Figure(
            figsize=(2.9 * columns + 1.2, 3.4 * len(rows) + 0.1), layout="constrained"
        )
        grid = figure.subplots(len(rows), columns, squeeze=False)
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
        figure.colorbar(image, ax=grid, shrink=0.8, label="normalised kernel $K_H$")
    return figure


def _unit_diagonal(title: str, kernel: Floats) -> Floats:
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or not kernel.size:
        raise ParameterError(f"{title}: kernel of shape {kernel.shape}, give a square matrix")
    diagonal = np.diagonal(kernel)
    if not (diagonal > 0).all():
        raise ParameterError(f"{title}: {diagonal.min()} on the diagonal, all have to be positive")
    root = np.sqrt(diagonal)
    unit: Floats = kernel / np.outer(root, root)
    return unit


def draw(inputs: Inputs, options: Options) -> "Drawn":
    """Compute the kernels anew and draw them, on CIFAR-10 where it is scored, else on the first."""
    from untrained.images.sets import image_set
    from untrained.scoring.images import MinibatchSettings

    images = main_of(image_sets(inputs.scores))
    settings = MinibatchSettings(
        images,
        image_set(images).split(options["split"]),
        options["batch_size"],
        options["augmentation"],
        options["sampling"],
    )
    proxy = proxy_drawn(inputs.scores, options.get("proxy"))
    good, bad = kernels(inputs, settings, proxy, options["kernels"])
    return kernel_matrices(good, bad, members=inputs.space.words.members)


def kernels(
    inputs: Inputs, settings: "MinibatchSettings", proxy: str, count: int
) -> tuple[_Titled, _Titled]:
    """The kernels of the most and the least accurate, titled with accuracy and score.

    The networks see the images of `settings`, on which there must be scores. Architectures without
    a kernel are passed over, as costs and some other scores exist without one; there may be fewer
    than `count`, or none.

    Raises:
        ParameterError: a `count` below 1.
    """
    from untrained.scoring.kernels import kernels_of
    from untrained.search.pool import scores_of

    if count < 1:
        raise ParameterError(f"{count} kernels: give at least 1")
    sampled, values = scores_of(inputs.scores, proxy, settings.dataset)
    mean = dict(zip(sampled.tolist(), values.mean(axis=0), strict=True))
    _, trained, split = target_of(settings.dataset, "test", inputs.splits)
    accuracy = inputs.benchmark.accuracies(trained, split)
    worst_first = by_accuracy(sampled, values.mean(axis=0), accuracy).tolist()
    good, bad = (
        [
            (f"{accuracy[index]:.1f} %, score {mean[index]:.0f}", kernel)
            for index, kernel in islice(kernels_of(inputs.space, order, settings, seed=0), count)
        ]
        for order in (worst_first[::-1], worst_first)
    )
    return good, bad


SECTION = Section(
    name="kernels",
    title="Kernels of activation codes",
    reads=("benchmark", "scores"),
    figures=(
        Figure(
            "kernels",
            draw,
            "Kernels of activation codes, accurate {members} above inaccurate ones (the NASWOT "
            "paper's Fig. 1), divided so that the diagonal is 1: the nearer to the identity, the "
            "better a network tells its images apart.",
            options=("proxy", "kernels", "split", "batch_size", "augmentation", "sampling"),
        ),
    ),
    draws_files=True,
)
