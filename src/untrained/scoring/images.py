"""The images that networks are shown, and those that they are trained on before."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from untrained.errors import ParameterError
from untrained.files import IMAGES, digest
from untrained.images.minibatches import (
    Minibatch,
    held_out_count,
    minibatch,
    normalise,
    prepare_images,
    random_crops,
    rest_of,
)
from untrained.images.sets import IN_ORDER, ImageSet, image_set
from untrained.images.splits import Labels, Pixels
from untrained.plugins import imported
from untrained.proxies.base import Setting
from untrained.scoring.execution import Execution
from untrained.training.loop import Examples
from untrained.training.recipe import ShortRecipe
from untrained.training.short import Stop, WatchSteps, train_shortly, unwatched


@dataclass(frozen=True, eq=False)
class TrainingImages:
    """The images that a network is trained on, and how.

    Attributes:
        images: those of a split, except the held-out ones.
        labels: (images,).
        known: the data set.
        recipe: how the network is trained.
        watch: wraps the steps of each training.
    """

    images: Pixels
    labels: Labels
    known: ImageSet
    recipe: ShortRecipe = ShortRecipe()  # noqa: RUF009 - immutable
    watch: WatchSteps = unwatched

    def train(
        self, network: nn.Module, stops: Sequence[float], seed: int, execution: Execution
    ) -> Iterator[Stop]:
        """Train a network in place and stop after each number of epochs; see `train_shortly`."""
        # networks whose weights have channels last are fast on such images; others may fail
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
            dtype=execution.dtype(planned=True),
            memory_format=torch.channels_last if last else torch.contiguous_format,
            fused=last and execution.engine != "plain",
            watch=self.watch,
        )

    def _prepare(
        self, images: NDArray[np.uint8], generator: np.random.Generator | None
    ) -> NDArray[np.float32]:
        return prepare_images(images, self.known, generator if self.recipe.crop_flip else None)


@dataclass(frozen=True)
class MinibatchSettings:
    """Which images the networks are shown, up to the seed; see `untrained.images.minibatches`."""

    dataset: str = "cifar10"
    split: str = "sample"
    batch_size: int = 128
    augmentation: str = "none"
    sampling: str = "uniform"
    root: Path = IMAGES

    def draw(self, seed: int, device: torch.device) -> Minibatch:
        """Draw the minibatch of `seed`, on `device`."""
        given = asdict(self)
        return _moved(minibatch(seed=seed, size=given.pop("batch_size"), **given), device)

    def draw_for_space(self, seed: int, device: torch.device) -> Minibatch:
        """Draw the same with channels last, twice as fast on CPUs for the networks of spaces.

        A network of one's own may fail on that.
        """
        drawn = self.draw(seed, device)
        return replace(drawn, images=drawn.images.to(memory_format=torch.channels_last))

    def draw_for(self, setting: Setting, seed: int, device: torch.device) -> Minibatch:
        """Draw the minibatch that a proxy with this setting is shown by a network of a space."""
        if setting.crop is not None:
            drawn = self.draw(seed, device)
            return random_crops(drawn, setting.crop, setting.images or self.batch_size, seed)
        sized = self.sized_for(setting)
        # blocks of channels are what makes channels last fast; thin networks don't fill one
        draw = sized.draw_for_space if setting.skeleton is None else sized.draw
        return draw(seed, device)

    def draw_shaped(
        self, shape: tuple[int, int, int] | None, seed: int, device: torch.device
    ) -> Minibatch:
        """Draw the minibatch of `seed` with images of another shape, on `device`.

        Images that are stored are resized bilinearly; others are drawn in any shape.

        Args:
            shape: (C, H, W); None for that of the data set.
            seed: of the minibatch.
            device: for the images.

        Raises:
            ParameterError: the data set's images have another number of channels.
        """
        drawn = self.draw(seed, torch.device("cpu"))
        known = image_set(self.dataset)
        images, channels = drawn.images, drawn.images.shape[1]
        if shape is None or tuple(images.shape[1:]) == shape:
            return _moved(drawn, device)
        if known.draw:
            mean, std = known.mean[:1] * shape[0], known.std[:1] * shape[0]
            asked = replace(known, shape=shape, mean=mean, std=std)
            draw = imported(f"images of {self.dataset}", known.draw)
            pixels, _ = draw(asked, seed, self.batch_size, self.sampling)
            images = torch.from_numpy(normalise(pixels, asked))
        elif channels != shape[0]:
            raise ParameterError(
                f"--input has {shape[0]} channels and the images of {self.dataset} have "
                f"{channels}: take --dataset noise, which has any shape"
            )
        else:
            images = functional.interpolate(images, shape[1:], mode="bilinear", antialias=True)
        return _moved(replace(drawn, images=images), device)

    def training_images(
        self,
        seed: int,
        recipe: ShortRecipe | None = None,
        watch: WatchSteps = unwatched,
        *,
        whole: bool = False,
    ) -> TrainingImages:
        """Return the images of the split that no proxy is shown; see `held_out_count`.

        Args:
            seed: of the minibatch.
            recipe: of the training; the paper's by default.
            watch: wraps the steps of each training.
            whole: whether none are held out, for proxies that are shown the test set.

        Raises:
            UntrainedError: see `rest_of`.
        """
        size = 0 if whole else self._held_out()
        rest = rest_of(self.dataset, self.split, seed, size, self.sampling, root=self.root)
        if len(rest[1]) < 2:
            raise ParameterError(
                f"minibatch size {self.batch_size} leaves {len(rest[1])} images of {self.dataset} "
                f"{self.split} to train on: 2 or more"
            )
        return TrainingImages(*rest, image_set(self.dataset), recipe or ShortRecipe(), watch)

    def sized_for(self, setting: Setting) -> "MinibatchSettings":
        """Return the settings of the whole images that a proxy with this setting is shown."""
        if setting.crop is not None:  # a network of one's own takes whole images
            return self
        size = setting.images or self.batch_size
        if not setting.epochs:
            return replace(self, batch_size=size)
        if setting.shows_test:
            split = image_set(self.dataset).test_split
            return MinibatchSettings(self.dataset, split, size, "none", IN_ORDER, self.root)
        held_out = self._held_out()
        if size > held_out:
            raise ParameterError(
                f"{size} images per minibatch: a training holds out {held_out} of "
                f"{self.dataset} {self.split}, raise the batch size"
            )
        return replace(self, batch_size=held_out if setting.held_out else size)

    def digest(self) -> str:
        """Return a digest of the files of the data set that are here, bundled or fetched."""
        known = image_set(self.dataset)
        bundled = [known.bundled, known.bundled.with_suffix(".json")] if known.bundled else []
        files = [*bundled, known.file(self.root)]
        here = [digest(path, "sha256") for path in files if path.is_file()]
        return hashlib.sha256("\n".join(here).encode()).hexdigest()

    def _held_out(self) -> int:
        return held_out_count(self.dataset, self.split, self.batch_size, root=self.root)


def _moved(drawn: Minibatch, device: torch.device) -> Minibatch:
    return Minibatch(drawn.images.to(device), drawn.labels.to(device), drawn.num_classes)
