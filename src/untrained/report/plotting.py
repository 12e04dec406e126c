"""What the figures of a report share: colours, axes, legends, and files with stable bytes.

Figures are built without pyplot, so they work without a display and leave no state behind.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from untrained.errors import ParameterError
from untrained.files import atomic

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes as Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure as Figure
    from matplotlib.lines import Line2D

Floats = npt.NDArray[np.float64]

# Okabe and Ito, "Color Universal Design", 2008: told apart with any colour vision. Yellow is left
# out: it is too faint on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "<", ">", "p", "h")

# Everything that a user's matplotlibrc might change and that the bytes of a figure depend on.
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 14,
    "axes.titlesize": 14,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "savefig.dpi": 150,
    "savefig.facecolor": "white",
    "svg.hashsalt": "untrained",
    "svg.fonttype": "path",
}

_METADATA: dict[str, dict[str, None]] = {
    ".svg": {"Date": None, "Creator": None},
    ".png": {"Software": None},
}

#: Inches that a line of a legend takes.
LEGEND_LINE = 0.3


def colour(place: int) -> str:
    """Return the colour of what stands at this place; they repeat where there are no more."""
    return COLOURS[place % len(COLOURS)]


def look(place: int, size: float) -> dict[str, Any]:
    """Return colour and marker of what stands at this place; the two together repeat late."""
    marker = _MARKERS[place % len(_MARKERS)]
    return {"color": colour(place), "marker": marker, "markersize": size}


def keys(names: Iterable[Any], size: float, **settings: Any) -> "list[Artist]":  # noqa: ANN401
    """Return the entries of a legend that name what stands at each place."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], label=str(name), **(look(place, size) | settings))
        for place, name in enumerate(names)
    ]


def source_key(label: str, fill: Any) -> "Line2D":  # noqa: ANN401
    """Return the entry of a legend that says what filled or hollow markers are."""
    from matplotlib.lines import Line2D

    return Line2D(
        [], [], linestyle="none", marker="o", markersize=9, color="0.4", fillstyle=fill, label=label
    )


def panels(
    rows: int,
    columns: int,
    size: tuple[float, float],
    **shared: Any,  # noqa: ANN401 - what Figure.subplots takes
) -> "tuple[Figure, Any]":
    """Return a figure of so many inches and its axes (rows, columns)."""
    from matplotlib.figure import Figure as Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **shared)


def error_bars(values: Floats, low: Floats, high: Floats) -> Floats:
    """Return (2, n) how far bars reach below and above values (n,) to the ends of intervals.

    An estimate may lie outside its percentile interval, or be undefined: no bar reaches there.
    """
    return np.nan_to_num(np.maximum([values - low, high - values], 0))


def faint_grid(axes: "Axes", **settings: Any) -> None:  # noqa: ANN401
    """Draw lines to read values off by."""
    axes.grid(visible=True, alpha=0.25, linewidth=0.8, **settings)


def plain_steps(axis: "Axis", steps: Sequence[float] = (1, 2, 5)) -> None:
    """Name steps within the decades of a logarithmic axis as plain numbers, as there are few."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def legend_below(figure: "Figure", keys: Sequence["Artist"], columns: int) -> None:
    """Put a legend below all panels, in so many columns or as many as fit.

    Where fewer fit, the figure grows by the lines that this takes, and by its width where not even
    one does.
    """
    asked = min(len(keys), columns)
    for count in range(asked, 0, -1):
        legend = figure.legend(handles=list(keys), loc="outside lower center", ncols=count)
        width = legend.get_window_extent().width / figure.dpi
        if width <= figure.get_figwidth() or count == 1:
            break
        legend.remove()
    lines, planned = -(-len(keys) // count), -(-len(keys) // asked)
    figure.set_figheight(figure.get_figheight() + LEGEND_LINE * (lines - planned))
    figure.set_figwidth(max(width, figure.get_figwidth()))


def save(figure: "Figure", path: Path) -> None:
    """Write a figure; the same figure gives the same bytes.

    Args:
        figure: any figure of this package.
        path: its suffix, `.svg` or `.png`, chooses the format.

    Raises:
        ParameterError: another suffix.
        UntrainedError: the file can't be written.
    """
    if path.suffix not in _METADATA:
        raise ParameterError(f"{path}: figures are written as .svg or .png")
    with style(), atomic(path) as part:
        figure.savefig(part, format=path.suffix[1:], metadata=_METADATA[path.suffix])


@contextmanager
def style() -> Iterator[None]:
    """Draw as figures of a report are drawn, whatever the user's own settings are.

    It decorates the functions that draw a figure.
    """
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


@style()
def nothing_drawn(why: str) -> "Figure":
    """Return the figure that says why it is empty."""
    figure, ((axes,),) = panels(1, 1, (5.4, 2))
    axes.set_axis_off()
    axes.text(0.5, 0.5, why, ha="center", va="center")
    return figure


#: Where on the axis of what is spent, in parts of it, the first of those stands that spend nothing,
#: and how far from each other they stand.
FREE, FREE_STEP = 0.02, 0.03


def spent_axis(axes: "Axes", unit: str, time: str) -> None:
    """Name what is spent: evaluations, or seconds of `time`."""
    axes.set(xscale="log", xlabel=f"{time} (s)" if unit == "seconds" else unit)
    if unit == "evaluations":
        plain_steps(axes.xaxis)
        axes.xaxis.set_major_formatter(lambda count, _: f"{count:g}" if count >= 1 else "")
