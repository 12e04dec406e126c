"""Correlates the scores that come with NAS-Bench-201 with accuracies, into docs/proxies.md.

Usage: python -m benchmarks.proxy_taus

It reads `untrained.cached_scores`, the bundled accuracies and published figures alone, and draws
docs/figures/proxies.png: tau against the seconds of docs/performance.md.
"""

import re
from collections.abc import Iterator
from functools import reduce
from itertools import count
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.page import PERFORMANCE, write_section
from untrained import Benchmark, cached_scores
from untrained.proxies.ensembles import ENSEMBLES, Ensemble, combined
from untrained.report import plotting
from untrained.report.published import published, published_key
from untrained.report.scores import Floats
from untrained.report.statistics import Correlation, correlation
from untrained.scoring.ensembles import parse_proxy
from untrained.spaces.nasbench201 import NasBench201

PAGE = PERFORMANCE.with_name("proxies.md")
FIGURE = PERFORMANCE.with_name("figures") / "proxies.png"
SPACE = NasBench201()

#: Ensembles that were named before any accuracy was read.
NAMED = ("log(jacobian_covariance,parameters-live)", *ENSEMBLES)

#: Cells below which a row says nothing.
LEAST = 100

#: Data set of the accuracies to its split of test images.
TESTS = {"cifar10": "ori-test", "cifar100": "x-test", "ImageNet16-120": "x-test"}


class Row(NamedTuple):
    """Scores of cells.

    Attributes:
        name: spelling of the proxy or ensemble.
        images: data set of the images that the cells were scored on.
        cells: (n,) indices.
        scores: (n,) the better network higher, -inf where undefined.
    """

    name: str
    images: str
    cells: "np.ndarray[tuple[int], np.dtype[np.int64]]"
    scores: Floats


def rows(table: pd.DataFrame) -> Iterator[Row]:
    """Yield the scores by each proxy on each data set, and by the named ensembles."""
    known = dict[tuple[str, str], Row]()
    for (images, name), own in table.groupby(["dataset", "proxy"]):
        values = own["score"].where(own["status"] == "ok").to_numpy(np.float64)
        higher = values if parse_proxy(name).direction == "higher" else -values
        known[images, name] = Row(name, images, own["arch"].to_numpy(np.int64), higher)
    for name in NAMED:
        ensemble = parse_proxy(name)
        members = [known.get(("cifar10", one)) for one in getattr(ensemble, "members", ())]
        there = [one for one in members if one is not None]
        if isinstance(ensemble, Ensemble) and len(there) == len(members):
            cells = reduce(np.intersect1d, (one.cells for one in there))
            values = [one.scores[np.isin(one.cells, cells)] for one in there]
            known["cifar10", name] = Row(name, "cifar10", cells, combined(ensemble.rule, values))
    for row in known.values():
        yield row._replace(scores=np.where(np.isnan(row.scores), -np.inf, row.scores))


def taus(row: Row, benchmark: Benchmark) -> list[Correlation]:
    """Return the correlations with the test accuracies of each data set."""
    return [
        correlation(row.scores, benchmark.accuracies(*column)[row.cells], resamples=1000, seed=0)
        for column in TESTS.items()
    ]


def line(row: Row, found: list[Correlation], *more: str) -> str:
    """Return a row of a table."""
    undefined = int(np.isneginf(row.scores).sum())
    cells = [f"{one.tau:.3f} [{one.tau_low:.3f}, {one.tau_high:.3f}]" for one in found]
    label = f"`{row.name}`" + ("" if row.images == "cifar10" else f", images of {row.images}")
    return "| " + " | ".join([label, str(len(row.cells)), str(undefined), *cells, *more]) + " |"


def references() -> dict[str, str]:
    """Return published taus on the distinct cells, by proxy."""
    table = published("correlations")
    own = table[(table["space"] == SPACE.name) & (table["subset"] == "unique live edges")]
    wide = own.pivot(index="proxy", columns="dataset", values="tau")
    return {name: "/".join(f"{row[d]:.3f}" for d in TESTS) for name, row in wide.iterrows()}


def seconds() -> dict[str, float]:
    """Return the seconds of each proxy alone, from docs/performance.md."""
    text = PERFORMANCE.read_text().partition("<!-- shared_passes -->")[2]
    found = re.findall(r"^\| `([\w-]+)` \| ([\d.]+) \|$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def draw(taus_of: dict[str, tuple[float, int]]) -> None:
    """Draw tau on CIFAR-10 over so many distinct cells against the seconds of a score."""
    with plotting.style():
        figure, ((axes,),) = plotting.panels(1, 1, (9, 6))
        axes.set(
            xscale="log", xlabel="seconds of a score", ylabel="Kendall's tau", ylim=(-0.3, 0.8)
        )
        axes.set_title("NAS-Bench-201, test accuracy of CIFAR-10", fontsize=14)
        shown = {name: cost for name, cost in seconds().items() if name in taus_of}
        sizes = sorted({taus_of[name][1] for name in shown}, reverse=True)
        for place, size in enumerate(sizes):
            own = [name for name in shown if taus_of[name][1] == size]
            points = [shown[name] for name in own], [taus_of[name][0] for name in own]
            label = f"n = {size:,} {'of them' if place else 'distinct cells'}"
            axes.plot(*points, linestyle="none", label=label, **plotting.look(place, 6))
        axes.legend(loc="lower left")
        axes.set_xticks([0.01, 0.03, 0.1, 0.3], ["0.01", "0.03", "0.1", "0.3"])
        axes.set_xticks([], minor=True)
        axes.set_xmargin(0.15)
        plotting.faint_grid(axes)
        figure.canvas.draw()  # places of the points
        _name(axes, {name: (cost, taus_of[name][0]) for name, cost in shown.items()})
        plotting.save(figure, FIGURE)


def _name(axes: "plotting.Axes", points: dict[str, tuple[float, float]]) -> None:
    """Write the name of each point as near as no other name and no point is."""
    from matplotlib.transforms import Bbox

    places = [axes.transData.transform(point) for point in points.values()]
    taken = [Bbox.from_extents(x - 6, y - 6, x + 6, y + 6) for x, y in places]
    for name, point in points.items():
        for x, y in ((x, 9 * step * up) for step in count() for up in (1, -1) for x in (8, -8)):
            side = "left" if x > 0 else "right"
            text = axes.annotate(
                name, point, (x, y), textcoords="offset points", fontsize=10, ha=side, va="center"
            )
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                break
            text.remove()
        taken.append(box)
        if abs(y) > 9:
            line = {"arrowstyle": "-", "linewidth": 0.6}
            axes.annotate("", point, (x, y), textcoords="offset points", arrowprops=line)


def main() -> None:
    """Write both tables and the figure."""
    benchmark, table = Benchmark.load(SPACE), cached_scores(SPACE)
    head = " | CIFAR-10 | CIFAR-100 | ImageNet16-120 |"
    every = [f"| all cells | cells | undefined{head} rho |", "|---|---:|---:|---|---|---|---|"]
    first = [f"| distinct | cells | undefined{head} published |", every[1]]
    said, drawn = references(), dict[str, tuple[float, int]]()
    for row in rows(table):
        if len(row.cells) == len(SPACE):
            found = taus(row, benchmark)
            every.append(line(row, found, "/".join(f"{one.rho:.3f}" for one in found)))
    distinct = np.unique(SPACE.live_representatives)
    for row in rows(table[table["arch"].isin(distinct)]):
        if len(row.cells) < LEAST:
            continue
        found = taus(row, benchmark)
        first.append(line(row, found, said.get(published_key(row.name), "")))
        if row.images == "cifar10":
            drawn[row.name] = found[0].tau, len(row.cells)
    write_section("proxy_taus", "\n".join([*every, "", *first]) + "\n", PAGE)
    draw(drawn)


if __name__ == "__main__":
    main()
