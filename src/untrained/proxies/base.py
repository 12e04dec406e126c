"""What every proxy is."""

from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    import torch
    from torch import nn

    from untrained.images.minibatches import Minibatch

Direction = Literal["higher", "lower"]
Status = Literal["ok", "singular", "disconnected", "non_finite", "out_of_memory"]


class UndefinedScore(Exception):  # noqa: N818 - an outcome, not an error
    """The proxy has no value for this network; stored with its status, never as a number."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Proxy(Protocol):
    """A score of an untrained network; implementations are frozen dataclasses of their settings.

    Attributes:
        name: the registered name.
        variants: what `variant` may be; the first is the default.
        direction: whether the better network scores higher or lower.
        needs: what the proxy asks for beyond a forward pass, of "labels", "gradients",
            "training".
    """

    name: ClassVar[str]
    variants: ClassVar[tuple[str, ...]]
    direction: ClassVar[Direction]
    needs: ClassVar[frozenset[str]]

    @property
    def variant(self) -> str:
        """The chosen form."""
        ...

    def __init__(self, *, variant: str) -> None: ...

    def __call__(
        self, network: "nn.Module", minibatch: "Minibatch", generator: "torch.Generator"
    ) -> float:
        """Score `network`, which is left as it was.

        Args:
            network: on the device of the minibatch, in training mode.
            minibatch: images (N, C, H, W) and labels (N,).
            generator: for whatever the proxy draws at random.

        Raises:
            UndefinedScore: the score does not exist for this network.
        """
        ...
