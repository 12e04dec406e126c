"""What the figures of a report share: colours, axes, legends, and files with stable bytes.

Figures are built without pyplot, so they need no display and leave no global state behind.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from untrained.errors import ParameterError
from untrained.files import atomic
from untrained.report import STYLE_FILE

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes as Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure as Figure
    from matplotlib.lines import Line2D

Floats = npt.NDArray[np.float64]

# Okabe and Ito, "Color Universal Design", 2008: distinguishable with any colour vision. Yellow is
# left out because it is too faint on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "<", ">", "p", "h")

_METADATA: dict[str, dict[str, None]] = {
    ".svg": {"Date": None, "Creator": None},
    ".png": {"Software": None},
}

#: Height of one line of a legend, in inches.
LEGEND_LINE = 0.3


def colour(place: int) -> str:
    """Return the colour of the series with this number; colours repeat after the last."""
    return COLOURS[place % len(COLOURS)]


def look(place: int, size: float) -> dict[str, Any]:
    """Return colour and marker of the series with this number; pairs repeat after 63 series."""
    marker = _MARKERS[place % len(_MARKERS)]
    return {"color": colour(place), "marker": marker, "markersize": size}


def keys(names: Iterable[Any], size: float, **settings: Any) -> "list[Artist]":  # noqa: ANN401
    """Return the entries of a legend that name the series in their order."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], label=str(name), **(look(place, size) | settings))
        for place, name in enumerate(names)
    ]


def source_key(label: str, fill: Any) -> "Line2D":  # noqa: ANN401
    """Return the entry of a legend that explains filled or hollow markers."""
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
    """Return a figure of this size in inches and its axes (rows, columns)."""
    from matplotlib.figure import Figure as Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **shared)


def error_bars(values: Floats, low: Floats, high: Floats) -> Floats:
    """Return the lengths (2, n) of error bars below and above values (n,).

    Where an estimate is undefined or outside its percentile interval, the length is 0.
    """
    return np.nan_to_num(np.maximum([values - low, high - values], 0))


def faint_grid(axes: "Axes", **settings: Any) -> None:  # noqa: ANN401
    """Draw faint grid lines."""
    axes.grid(visible=True, alpha=0.25, linewidth=0.8, **settings)


def plain_steps(axis: "Axis", steps: Sequence[float] = (1, 2, 5)) -> None:
    """Label these steps of each decade of a logarithmic axis with plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def legend_below(figure: "Figure", keys: Sequence["Artist"], columns: int) -> None:
    """Put a legend below all panels, in this many columns or as many as fit.

    Where fewer fit, the figure grows in height by the additional lines, and in width where even
    one column is too wide.
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


#: Names that Matplotlib hashes of coordinates, whose last bits are not the same in every run.
_HASHED = re.compile(r"(?<=[\"#])[a-z][0-9a-f]{10}(?=[\")])")


def save(figure: "Figure", path: Path) -> None:
    """Write a figure to a file; equal figures give equal bytes.

    Args:
        figure: a figure made by this package.
        path: file whose suffix, `.svg` or `.png`, chooses the format.

    Raises:
        ParameterError: the suffix is another one.
        UntrainedError: the file can't be written.
    """
    if path.suffix not in _METADATA:
        raise ParameterError(f"{path}: figures are written as .svg or .png")
    with style(), atomic(path) as part:
        figure.savefig(part, format=path.suffix[1:], metadata=_METADATA[path.suffix])
        if path.suffix == ".svg":
            text = part.read_text(encoding="utf-8")
            found = dict.fromkeys(_HASHED.findall(text))
            names = {one: f"{path.stem}-{number}" for number, one in enumerate(found)}
            part.write_text(_HASHED.sub(lambda one: names[one[0]], text), encoding="utf-8")


@contextmanager
def style() -> Iterator[None]:
    """Apply the style of the report's figures, whatever the user's own settings are.

    Functions that draw a figure are decorated with it.
    """
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(mpl.rc_params_from_file(STYLE_FILE, use_default_template=False))
        yield


@style()
def nothing_drawn(why: str) -> "Figure":
    """Return an empty figure that gives the reason as its text."""
    figure, ((axes,),) = panels(1, 1, (5.4, 2))
    axes.set_axis_off()
    axes.text(0.5, 0.5, why, ha="center", va="center")
    return figure


def spent_axis(axes: "Axes", unit: str, time: str) -> None:
    """Set up the axis of costs: evaluations, or seconds of `time`."""
    axes.set(xscale="log", xlabel=f"{time} (s)" if unit == "seconds" else unit)
    if unit == "evaluations":
        plain_steps(axes.xaxis)
        axes.xaxis.set_major_formatter(lambda count, _: f"{count:g}" if count >= 1 else "")
