"""Accuracy and loss on held-out images after a short training.

They cost no more than the training, so they are the baselines of every score that is computed after
training.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from untrained.proxies.base import BaseProxy, Direction, Need, Setting, UndefinedScore

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from untrained.images.minibatches import Minibatch


@dataclass(frozen=True, eq=False)
class Predictions:
    """Logits (N, classes) of images with labels (N,)."""

    logits: Tensor
    labels: Tensor


@dataclass(frozen=True)
class _Validation(BaseProxy, ABC):
    """A score of the logits of all held-out images; the proxies of one variant share the logits.

    Attributes:
        variant: `eval` normalises by running statistics, which after a few steps are far from those
            of the data; `train` by the statistics of the held-out images.
    """

    variants: ClassVar[tuple[str, ...]] = ("eval", "train")
    needs: ClassVar[frozenset[Need]] = frozenset({"labels", "training"})

    @property
    def setting(self) -> Setting:
        """See `Setting`."""
        return Setting(held_out=True)

    @property
    def details(self) -> str:
        """The statistics of batch normalisation, in words."""
        return f"{self.variant} mode"

    @property
    def measurement(self) -> tuple[str, str]:
        """A key that is equal for proxies that use the same logits."""
        return "predictions", self.variant

    def __call__(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """Run the network and score its logits; nothing is drawn.

        Raises:
            UndefinedScore: `non_finite`: some logits are not finite; `not_applicable`: the output
                is no tensor of logits.
        """
        return self.read(self.measure(network, minibatch, generator))

    def measure(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> Predictions:
        """Return the logits of the minibatch, with its labels."""
        import torch
        from torch import Tensor

        from untrained.networks.modes import buffers_restored, modes_restored
        from untrained.networks.prepared import in_mode
        from untrained.training.logits import logits_among

        del generator
        with torch.no_grad(), modes_restored(network), buffers_restored(network):
            shown = in_mode(network, training=self.variant == "train")
            logits = logits_among(shown(minibatch.images.clone()))  # which it may overwrite
        if not isinstance(logits, Tensor) or logits.shape[:1] != minibatch.labels.shape:
            found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise UndefinedScore(
                "not_applicable",
                f"{type(network).__name__} maps {len(minibatch.labels)} images to {found}: "
                f"validation needs logits ({len(minibatch.labels)}, classes)",
            )
        if not logits.isfinite().all():
            raise UndefinedScore("non_finite", "some logits of the held-out images are not finite")
        return Predictions(logits, minibatch.labels)

    @abstractmethod
    def read(self, measured: Predictions) -> float:
        """Return the score of predictions."""


@dataclass(frozen=True)
class ValidationAccuracy(_Validation):
    """The share of held-out images that the network classifies correctly, in percent."""

    name: ClassVar[str] = "validation_accuracy"
    summary: ClassVar[str] = "accuracy on held-out images after a short training"
    unit: ClassVar[str] = "%"
    direction: ClassVar[Direction] = "higher"

    def read(self, measured: Predictions) -> float:
        """Return the share of images whose largest logit is at their label."""
        right = measured.logits.argmax(1) == measured.labels
        return 100 * float(right.double().mean())


@dataclass(frozen=True)
class ValidationLoss(_Validation):
    """The mean cross-entropy of the held-out images, in nats."""

    name: ClassVar[str] = "validation_loss"
    summary: ClassVar[str] = "cross-entropy of held-out images after a short training"
    unit: ClassVar[str] = "nats"
    direction: ClassVar[Direction] = "lower"

    def read(self, measured: Predictions) -> float:
        """Return the mean over images."""
        from torch.nn import functional

        return float(functional.cross_entropy(measured.logits.double(), measured.labels))
