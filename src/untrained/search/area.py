"""AREA: regularised evolution that starts from the best-scored of a sample.

Mellor et al., Neural Architecture Search without Training, ICML 2021, algorithm 2: score 20, start
from the best 10 (the defaults of `Guide`), then evolve. The parents' sample is drawn without
replacement. The paper omits its size, so it is taken from NAS-Bench-201's script.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from untrained.search.regularised_evolution import RegularisedEvolution


@dataclass(frozen=True)
class Area(RegularisedEvolution):
    """Evolve from a scored start, with parents drawn without replacement."""

    name: ClassVar[str] = "area"
    label: ClassVar[str] = "AREA"
    summary: ClassVar[str] = "regularised evolution that starts from the best-scored of a sample"
    starts_scored: ClassVar[bool] = True
    reference: ClassVar[bool] = False
    claims: ClassVar[Mapping[str, str]] = {
        "REA": "The NASWOT paper claims that AREA outperforms REA."
    }

    replacement: bool = False
