"""Which parameters of a network the gradients of a tangent kernel are taken by."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from untrained.errors import ParameterError, unknown_name
from untrained.proxies.base import UndefinedScore

if TYPE_CHECKING:
    from torch import nn

SELECTIONS = ("weights", "weights_without_classifier", "all")


@dataclass(frozen=True)
class ParameterSelection:
    """The trainable parameters that gradients are taken by.

    Attributes:
        name: `weights` selects the parameters with "weight" in their name (as TE-NAS: weights of
            convolutions, of normalisations and of the classifier, no biases);
            `weights_without_classifier` those without "classifier" in it; `all` selects all.
    """

    name: str = "weights"

    def __post_init__(self) -> None:
        if self.name not in SELECTIONS:
            raise unknown_name("parameter selection", self.name, SELECTIONS)

    def of(self, network: "nn.Module") -> "dict[str, nn.Parameter]":
        """Return the selected parameters by name; frozen ones are left out.

        Raises:
            UndefinedScore: `no_parameters`.
            ParameterError: the network has no classifier to leave out.
        """
        found = {name: p for name, p in network.named_parameters() if p.requires_grad}
        if self.name != "all":
            found = {name: p for name, p in found.items() if "weight" in name}
        if self.name == "weights_without_classifier":
            rest = {name: p for name, p in found.items() if "classifier" not in name}
            if found and len(rest) == len(found):
                raise ParameterError(
                    f"{type(network).__name__} names no weight after a classifier: call its last "
                    "layer `classifier`, or take `weights`"
                )
            found = rest
        if not found:
            raise UndefinedScore(
                "no_parameters", f"{type(network).__name__} has no trainable {self.name}"
            )
        return found
