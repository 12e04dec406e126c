"""Which parameters of a network the gradients of a tangent kernel are taken by."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from untrained.errors import theirs, unknown_name
from untrained.proxies.base import UndefinedScore

if TYPE_CHECKING:
    from torch import Tensor, nn

SELECTIONS = ("weights", "weights_without_classifier", "all")


@dataclass(frozen=True)
class ParameterSelection:
    """The trainable parameters that gradients are taken by.

    Attributes:
        name: `weights` selects the parameters with "weight" in their name (as TE-NAS: weights of
            convolutions, of normalisations and of the classifier, no biases); `all` selects all.
            `weights_without_classifier` leaves out the weights with "classifier" in their name,
            as Mok et al. do. Where no name has that, it leaves out those of the layer that
            `get_classifier` returns, a method of timm's models, or else those of the linear layer
            that is run last.
    """

    name: str = "weights"

    def __post_init__(self) -> None:
        if self.name not in SELECTIONS:
            raise unknown_name("parameter selection", self.name, SELECTIONS)

    def of(self, network: "nn.Module", images: "Tensor") -> "dict[str, nn.Parameter]":
        """Return the selected parameters by name; frozen ones are left out.

        Args:
            network: the network, which does not change.
            images: (N, C, H, W) to run it on, where this shows its last layer.

        Raises:
            UndefinedScore: `no_parameters`, or `not_applicable` where the network has no classifier
                to leave out.
        """
        found = {name: p for name, p in network.named_parameters() if p.requires_grad}
        if self.name != "all":
            found = {name: p for name, p in found.items() if "weight" in name}
        if self.name == "weights_without_classifier" and found:
            rest = {name: p for name, p in found.items() if "classifier" not in name}
            if len(rest) == len(found):
                own = {id(p) for layer in _heads(network, images) for p in layer.parameters()}
                rest = {name: p for name, p in found.items() if id(p) not in own}
            found = rest
        if not found:
            raise UndefinedScore(
                "no_parameters", f"{type(network).__name__} has no trainable {self.name}"
            )
        return found

    def takes(self, kind: str, *, classifier: bool) -> bool:
        """Return whether parameters of a graph are selected; see `batched_gradients.Parameters`."""
        weights = kind in ("weight", "scale")  # whose modules name them so
        return {
            "all": True,
            "weights": weights,
            "weights_without_classifier": weights and not classifier,
        }[self.name]


def _heads(network: "nn.Module", images: "Tensor") -> "list[nn.Module]":
    """Return the layers that make the logits."""
    get_classifier = getattr(network, "get_classifier", None)
    if get_classifier is None:
        return [_last_linear(network, images)]
    heads = theirs(get_classifier)
    return [*heads] if isinstance(heads, tuple | list) else [heads]


def _last_linear(network: "nn.Module", images: "Tensor") -> "nn.Module":
    """Return the linear layer that a forward pass runs last.

    Raises:
        UndefinedScore: `not_applicable`: it runs none.
    """
    import torch
    from torch import nn

    from untrained.networks.modes import buffers_restored
    from untrained.seeds import generators_restored

    ran: list[nn.Module] = []
    handles = [
        module.register_forward_pre_hook(lambda layer, _inputs: ran.append(layer))
        for module in network.modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        with torch.no_grad(), buffers_restored(network), generators_restored(images.device):
            network(images.clone())  # which it may overwrite
    finally:
        for handle in handles:
            handle.remove()
    if not ran:
        raise UndefinedScore(
            "not_applicable",
            f"{type(network).__name__} runs no linear layer that could be its classifier: take the "
            "variant weights_train",
        )
    return ran[-1]
