"""The images that networks are scored on, and those that they are trained on before."""

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from untrained.errors import ParameterError
from untrained.files import IMAGES, digest
from untrained.images.minibatches import (
    Minibatch,
    TooFewImagesError,
    drawn_images,
    held_out_count,
    minibatch,
    normalise,
    prepare_images,
    random_crops,
    rest_of,
)
from untrained.images.sets import IN_ORDER, ImageSet, image_set
from untrained.images.splits import Labels, Pixels
from untrained.proxies.base import Setting
from untrained.scoring.execution import Execution
from untrained.training.loop import Examples
from untrained.training.recipe import ShortRecipe
from untrained.training.short import (
    Diverged,
    Stop,
    TrainsTogether,
    WatchSteps,
    train_shortly,
    train_together,
    unwatched,
)

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class TrainingImages:
    """The images that a network is trained on, and the recipe of the training.

    Attributes:
        images: the images of a split that are not held out.
        labels: (images,).
        known: the data set.
        recipe: the settings of the training.
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
        train = partial(
            train_shortly,
            network,
            memory_format=torch.channels_last if last else torch.contiguous_format,
            fused=last and execution.engine != "plain",
        )
        return self._taken(train, stops, seed, execution)

    def train_together(
        self, networks: TrainsTogether, stops: Sequence[float], seed: int, execution: Execution
    ) -> Iterator[list[Stop | Diverged]]:
        """Train many networks in place by the same steps; see `untrained.training.short`."""
        return self._taken(partial(train_together, networks), stops, seed, execution)

    def _taken(
        self,
        train: Callable[..., Iterator[T]],
        stops: Sequence[float],
        seed: int,
        execution: Execution,
    ) -> Iterator[T]:
        """Take a training on these images."""
        return train(
            Examples(self.images, self.labels, self._prepare),
            stops,
            seed,
            execution.device,
            self.recipe,
            dtype=execution.dtype(planned=True),
            watch=self.watch,
        )

    def _prepare(
        self, images: NDArray[np.uint8], generator: np.random.Generator | None
    ) -> NDArray[np.float32]:
        return prepare_images(images, self.known, generator if self.recipe.crop_flip else None)


Shape = tuple[int, int, int]


def spell_shape(shape: Sequence[int]) -> str:
    """Spell a shape: 3x32x32."""
    return "x".join(map(str, shape))


def check_memory(count: int, shape: Shape) -> None:
    """Refuse images of more than all memory; to begin with them could end the process.

    Raises:
        ParameterError: they would not fit.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if 8 * count * math.prod(shape) > memory:
        raise _too_large(count, spell_shape(shape))


def _too_large(count: int, size: str) -> ParameterError:
    return ParameterError(
        f"{count} images of {size} don't fit into the memory: take fewer or smaller ones"
    )


@dataclass(frozen=True)
class MinibatchSettings:
    """The settings of a minibatch without its seed; see `untrained.images.minibatches`.

    Attributes:
        dataset: the data set; in messages only, where images are given.
        split: the split of the data set.
        batch_size: the number of images.
        augmentation: `none` or `crop-flip`.
        sampling: `uniform` or `balanced`.
        root: the folder of the fetched files.
        shape: (C, H, W) of the images; None for that of the data set. Stored images are resized
            bilinearly; those of a data set that is drawn have any shape.
        given: draws a minibatch of a seed and a size from images of one's own, in place of the
            data set; see `untrained.scoring.given`.
    """

    dataset: str = "cifar10"
    split: str = "sample"
    batch_size: int = 128
    augmentation: str = "none"
    sampling: str = "uniform"
    root: Path = IMAGES
    shape: Shape | None = None
    given: Callable[[int, int], Minibatch] | None = None

    def draw(self, seed: int, device: torch.device) -> Minibatch:
        """Draw the minibatch of a seed.

        Raises:
            UntrainedError: see `minibatch`, or stored images have another number of channels than
                `shape`, or the images don't fit into the memory.
        """
        if self.shape:
            check_memory(self.batch_size, self.shape)
        try:
            return self._drawn(seed, device)
        except MemoryError as error:
            size = spell_shape(self.shape) if self.shape else self.dataset
            raise _too_large(self.batch_size, size) from error

    def _drawn(self, seed: int, device: torch.device) -> Minibatch:
        if self.given is not None:
            drawn = self.given(seed, self.batch_size)
        else:
            drawn = minibatch(
                *(self.dataset, self.split, seed, self.batch_size),
                *(self.augmentation, self.sampling),
                root=self.root,
            )
        images = self._shaped(drawn.images, seed)
        return Minibatch(images.to(device), drawn.labels.to(device), drawn.num_classes)

    def draw_for(
        self, setting: Setting, seed: int, device: torch.device, *, own: bool = False
    ) -> Minibatch:
        """Draw the minibatch that a network is shown for a proxy with a setting.

        Args:
            setting: the setting of the proxy.
            seed: the seed of the minibatch.
            device: the device of the images.
            own: whether the network belongs to no space: then it is shown whole images in the
                place of crops.
        """
        if setting.crop is not None and not own:
            drawn = self.draw(seed, device)
            return random_crops(drawn, setting.crop, setting.images or self.batch_size, seed)
        drawn = self.sized_for(setting).draw(seed, device)
        if own or setting.skeleton is not None:
            return drawn
        # twice as fast on CPUs for the benchmarks' networks; others are too thin to gain from it
        return replace(drawn, images=drawn.images.to(memory_format=torch.channels_last))

    def _shaped(self, images: torch.Tensor, seed: int) -> torch.Tensor:
        """Return images (N, *shape) in the place of images of a data set, (N, C, H, W)."""
        if self.shape is None or tuple(images.shape[1:]) == self.shape:
            return images
        known = None if self.given else image_set(self.dataset)
        if known is not None and known.draw:
            channels = self.shape[0]
            mean, std = known.mean[:1] * channels, known.std[:1] * channels
            asked = replace(known, shape=self.shape, mean=mean, std=std)
            pixels, _ = drawn_images(asked, seed, self.batch_size, self.sampling)
            return torch.from_numpy(normalise(pixels, asked))
        if images.shape[1] != self.shape[0]:
            remedy = "give input of as many" if self.given else "take noise, which has any shape"
            whose = self.dataset if self.given else f"images of {self.dataset}"
            given = f"input {spell_shape(self.shape)}"
            raise ParameterError(f"{given}: {whose} have {images.shape[1]} channels, {remedy}")
        return functional.interpolate(images, self.shape[1:], mode="bilinear", antialias=True)

    def training_images(
        self,
        seed: int,
        recipe: ShortRecipe | None = None,
        watch: WatchSteps = unwatched,
        *,
        whole: bool = False,
    ) -> TrainingImages:
        """Return the images of the split that are not held out; see `held_out_count`.

        Args:
            seed: the seed of the minibatch.
            recipe: the settings of the training; the paper's by default.
            watch: wraps the steps of each training.
            whole: whether no images are held out, for proxies that are shown the test set.

        Raises:
            UntrainedError: see `rest_of`, or images of another shape than the data set's are asked
                for.
        """
        known = image_set(self.dataset)
        if self.shape not in (None, known.shape):
            asked, shown = spell_shape(self.shape or ()), spell_shape(known.shape)
            raise ParameterError(f"input {asked}: training shows images as they are, {shown}")
        size = 0 if whole else self._held_out()
        rest = rest_of(self.dataset, self.split, seed, size, self.sampling, root=self.root)
        if len(rest[1]) < 2:
            raise ParameterError(
                f"minibatch size {self.batch_size} leaves {len(rest[1])} images of {self.dataset} "
                f"{self.split} to train on: 2 or more"
            )
        return TrainingImages(*rest, known, recipe or ShortRecipe(), watch)

    def sized_for(self, setting: Setting) -> "MinibatchSettings":
        """Return the settings of the whole images that a proxy with a setting is shown."""
        if setting.crop is not None:
            return self
        size = setting.images or self.batch_size
        if not setting.epochs:
            return replace(self, batch_size=size)
        if setting.shows_test:
            split = image_set(self.dataset).test_split
            return replace(
                self, split=split, batch_size=size, augmentation="none", sampling=IN_ORDER
            )
        held_out = self._held_out()
        if size > held_out:
            raise TooFewImagesError(
                f"{size} images per minibatch: a training holds out {held_out} of "
                f"{self.dataset} {self.split}, raise the batch size",
                held_out,
            )
        return replace(self, batch_size=held_out if setting.held_out else size)

    def digest(self) -> str:
        """Return a digest of the files of the data set that exist, bundled or fetched."""
        known = image_set(self.dataset)
        bundled = [known.bundled, known.bundled.with_suffix(".json")] if known.bundled else []
        files = [*bundled, known.file(self.root)]
        here = [digest(path, "sha256") for path in files if path.is_file()]
        return hashlib.sha256("\n".join(here).encode()).hexdigest()

    def _held_out(self) -> int:
        return held_out_count(self.dataset, self.split, self.batch_size, root=self.root)
