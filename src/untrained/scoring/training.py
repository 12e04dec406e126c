"""What networks are trained on before proxies are read off them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from untrained.images.minibatches import Minibatch, prepare_images
from untrained.images.sets import ImageSet
from untrained.images.splits import Labels, Pixels
from untrained.proxies.base import Setting
from untrained.scoring.execution import Execution
from untrained.training.loop import Examples
from untrained.training.recipe import ShortRecipe
from untrained.training.short import Stop, WatchSteps, train_shortly, unwatched


@dataclass(frozen=True, eq=False)
class TrainingImages:
    """Images that no proxy is shown, and how they are learned.

    Attributes:
        images: of a split, but for those that are held out.
        labels: (images,).
        known: the data set.
        recipe: of the training.
        watch: wraps the steps of each training.
        shown: what a proxy with a setting is shown, of what is held out; None where that is known.
    """

    images: Pixels
    labels: Labels
    known: ImageSet
    recipe: ShortRecipe = ShortRecipe()  # noqa: RUF009 - immutable
    watch: WatchSteps = unwatched
    shown: Callable[[Setting], Minibatch] | None = None

    def train(
        self, network: nn.Module, stops: Sequence[float], seed: int, execution: Execution
    ) -> Iterator[Stop]:
        """Train a network in place and stop after each number of epochs; see `train_shortly`."""
        # a network whose weights have channels last is fast on such images; another may fail
        last = any(
            p.ndim == 4
            and p.is_contiguous(memory_format=torch.channels_last)
            and not p.is_contiguous()
            for p in network.parameters()
        )
        return train_shortly(
            network,
            Examples(self.images, self.labels, self._prepare),
            stops,
            seed,
            execution.device,
            self.recipe,
            dtype=execution.training_dtype,
            memory_format=torch.channels_last if last else torch.contiguous_format,
            fused=last and execution.engine != "plain",
            watch=self.watch,
        )

    def _prepare(
        self, images: NDArray[np.uint8], generator: np.random.Generator | None
    ) -> NDArray[np.float32]:
        return prepare_images(images, self.known, generator if self.recipe.crop_flip else None)
