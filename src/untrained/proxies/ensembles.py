"""Scores that combine several proxies by ranks; reports add them where all members were scored."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Ensemble:
    """The sum of the ranks by several proxies, higher for better.

    Under each seed, the architectures for which all members are defined are ranked from 1, the
    worst, to the best by each member; ties share their mean rank.

    Attributes:
        name: its name in tables; no proxy may have it.
        members: the names of the proxies.
        source: where it was published.
    """

    name: str
    members: tuple[str, ...]
    source: str


#: Ensembles by name.
ENSEMBLES = {
    one.name: one
    for one in (
        Ensemble(
            name="tenas",
            members=("ntk_condition_number", "linear_regions"),
            source="Chen, Gong, Wang: Neural Architecture Search on ImageNet in Four GPU Hours, "
            "ICLR 2021 (arXiv 2102.11535)",
        ),
    )
}
