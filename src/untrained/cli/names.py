"""`untrained list`: the names that the other commands take."""

from enum import StrEnum
from typing import Annotated

import typer


class Kind(StrEnum):
    """What can be listed."""

    SPACES = "spaces"
    PROXIES = "proxies"
    DATASETS = "datasets"
    ALGORITHMS = "algorithms"


def list_names(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    pattern: Annotated[str, typer.Argument(help="Shell-style pattern, for example 'na*'.")] = "*",
) -> None:
    """List spaces, proxies, data sets or search algorithms: name, what it is, where it comes from.

    Any algorithm that spends a budget takes a proxy for its fitness: rea+fitness=lga@1.
    """
    from untrained.images.sets import IMAGE_SETS
    from untrained.plugins import Registry
    from untrained.proxies import PROXIES
    from untrained.search import ALGORITHMS
    from untrained.spaces import SPACES

    registries: dict[Kind, Registry[object]] = {
        Kind.SPACES: SPACES,
        Kind.PROXIES: PROXIES,
        Kind.DATASETS: IMAGE_SETS,
        Kind.ALGORITHMS: ALGORITHMS,
    }
    found = registries[kind].described(pattern)
    widths = [max((len(line[place]) for line in found), default=0) for place in (0, 1)]
    for name, summary, origin in found:
        typer.echo(f"{name:{widths[0]}}  {summary:{widths[1]}}  {origin}")
