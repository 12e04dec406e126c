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
    """List spaces, proxies, data sets or search algorithms.

    Any algorithm that spends a budget takes a proxy for its fitness: rea+fitness=lga@1.
    """
    from fnmatch import fnmatchcase

    from untrained.images.sets import IMAGE_SETS
    from untrained.proxies import PROXIES
    from untrained.search import ALGORITHMS
    from untrained.spaces import SPACES

    found: list[str] = {
        Kind.SPACES: SPACES.names(),
        Kind.ALGORITHMS: ALGORITHMS.names(),
        Kind.DATASETS: sorted(IMAGE_SETS),
        Kind.PROXIES: sorted(
            spelling
            for name in PROXIES.names()
            for number, variant in enumerate(PROXIES.load(name).variants)
            for spelling in [name if number == 0 else f"{name}-{variant}"]
        ) if kind is Kind.PROXIES else [],
    }[kind]  # fmt: skip
    for name in found:
        if fnmatchcase(name, pattern):
            typer.echo(name)
