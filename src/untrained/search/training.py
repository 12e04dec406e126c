"""Training of a DARTS genotype, as found by a search, by the recipe of the DARTS papers."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from untrained.errors import ParameterError, quoted
from untrained.files import IMAGES, check_target
from untrained.images.minibatches import prepare_images
from untrained.images.sets import ImageSet, stored_image_set
from untrained.images.splits import training_set
from untrained.limits import COUNT, at_most
from untrained.networks.darts import Skeleton, network_graph
from untrained.networks.network import GraphNetwork
from untrained.scoring.devices import leased_device
from untrained.scoring.progress import quiet
from untrained.seeds import torch_seeded
from untrained.spaces import get_space
from untrained.spaces.genotypes import parse_genotype
from untrained.training import checkpoints, loop
from untrained.training.cutout import cut_out
from untrained.training.recipe import Recipe

#: Training split to the splits that share no image with it, the usual one first; "" is none. The
#: bundled sample is a part of the training images and has no images to evaluate on.
HELD_OUT = {
    "sample": ("", "test"),
    "train": ("test", "valid", ""),
    "train-half": ("valid-half", "test", ""),
    "valid-half": ("train-half", "test", ""),
}


@dataclass(frozen=True)
class TrainingImages:
    """The images to learn, and others to evaluate on.

    Attributes:
        dataset: name of a data set whose images are stored.
        split: the split that is learned; `sample` is bundled.
        held_out: the split to evaluate on, "" for none; by default one that shares no image.
        root: folder of the fetched images.

    Raises:
        UnknownNameError: the data set or a split does not exist.
        ParameterError: the two splits share images, or the images are not stored.
    """

    dataset: str = "cifar10"
    split: str = "train"
    held_out: str | None = None
    root: Path = IMAGES

    def __post_init__(self) -> None:
        self.known.check_split(self.split)
        if self.held_out:
            self.known.check_split(self.held_out)
        if self.held_out is not None and self.held_out not in self._possible:
            names = ", ".join(name or "''" for name in self._possible)
            raise ParameterError(
                f"held-out split {quoted(self.held_out)} of {self.dataset} shares images with "
                f"{self.split}: take {names}"
            )

    @property
    def known(self) -> ImageSet:
        """The data set."""
        return stored_image_set(self.dataset)

    @property
    def evaluated_on(self) -> str:
        """The split to evaluate on; empty for none."""
        return self._possible[0] if self.held_out is None else self.held_out

    @property
    def _possible(self) -> list[str]:
        apart = HELD_OUT.get(self.split, ("",))
        return [split for split in apart if not split or split in self.known.splits]

    def examples(self, split: str, recipe: Recipe) -> loop.Examples:
        """Return the images of a split, normalised, and augmented by the recipe while training."""

        def prepare(
            images: NDArray[np.uint8], generator: np.random.Generator | None
        ) -> NDArray[np.float32]:
            shown = prepare_images(images, self.known, generator if recipe.crop_flip else None)
            if generator is None or not recipe.cutout:
                return shown
            return cut_out(shown, recipe.cutout, generator)

        return loop.Examples(*training_set(self.dataset, split, self.root), prepare)


@dataclass(frozen=True, eq=False)
class Training:
    """A training up to some epoch.

    Attributes:
        network: the network with its current weights.
        settings: everything on which the result depends, by name.
        parameters: number of parameters without the auxiliary head.
        flops: multiply-adds of the network.
        evaluated_images: number of images that the network is evaluated on.
        device: the device on which it is trained.
        epochs: the results of each epoch so far.
    """

    network: GraphNetwork
    settings: checkpoints.Settings
    parameters: int
    flops: int
    evaluated_images: int
    device: str
    epochs: tuple[loop.Epoch, ...]


def train(
    genotype: str | int,
    recipe: Recipe | None = None,
    images: TrainingImages | None = None,
    *,
    cells: int = 20,
    channels: int = 36,
    evaluate_every: int = 10,
    seed: int = 0,
    checkpoint: Path | None = None,
    device: str = "auto",
    report: Callable[[Training], None] = lambda _: None,
    watch: loop.Watch = loop.unwatched,
    tell: Callable[[str], None] = quiet,
) -> Training:
    """Train the network of a DARTS genotype.

    Args:
        genotype: `Genotype(...)`, the name of a published one, or an index in the space `darts`.
        recipe: the settings of the training; those of the DARTS paper by default.
        images: the images to learn and to evaluate on; by default those of CIFAR-10.
        cells: number of cells, of both kinds.
        channels: number of channels of the first cell.
        evaluate_every: number of epochs between evaluations, 0 for one after the last epoch only.
        seed: seed of the weights, and of the order and augmentation of the images.
        checkpoint: file that is written after every epoch, from which a later call continues; None
            for none.
        device: `auto`, a GPU that is free or else the CPU, or a device in PyTorch's notation.
        report: takes the training after every epoch.
        watch: wraps the steps of an epoch, to report them.
        tell: takes messages for people.

    Raises:
        UntrainedError: a name or a setting is wrong, images are missing, or the checkpoint is
            damaged or of another training.
    """
    recipe, images = recipe or Recipe(), images or TrainingImages()
    if evaluate_every < 0:
        raise ParameterError(f"evaluate_every is {evaluate_every}: 0 or more")
    at_most(COUNT, evaluate_every=evaluate_every)
    examples, on = images.examples(images.split, recipe), images.evaluated_on
    held_out = images.examples(on, recipe) if on else None
    skeleton = Skeleton(cells, channels)
    training = _untrained(genotype, recipe, images, skeleton, seed, len(examples.labels))
    begun = None
    if checkpoint is not None:
        check_target(checkpoint)
        begun = checkpoints.read_checkpoint(checkpoint, training.settings)
    if begun is not None:
        training = replace(training, epochs=begun.epochs)
        tell(f"continuing {checkpoint} after epoch {len(begun.epochs)} of {recipe.epochs}")
    with leased_device(device) as where:
        training = replace(training, network=training.network.to(where), device=str(where))
        if held_out is not None:
            training = replace(training, evaluated_images=len(held_out.labels))
        also = held_out, evaluate_every, begun, watch
        try:
            for state in loop.train(training.network, examples, recipe, seed, where, *also):
                if checkpoint is not None:
                    checkpoints.write_checkpoint(checkpoint, training.settings, state)
                training = replace(training, epochs=state.epochs)
                report(training)
        except loop.OtherNetwork as error:
            raise checkpoints.damaged(checkpoint) from error
    return training


def _untrained(
    genotype: str | int,
    recipe: Recipe,
    images: TrainingImages,
    skeleton: Skeleton,
    seed: int,
    count: int,
) -> Training:
    """Return a training before its first epoch."""
    architecture, known = get_space("darts").parse(genotype), images.known
    shape = parse_genotype(architecture.spelling), known.num_classes, skeleton
    with torch_seeded(seed, "weights", architecture.index):
        network = GraphNetwork(network_graph(*shape, auxiliary=recipe.auxiliary_weight > 0))
    settings: checkpoints.Settings = {
        "genotype": architecture.spelling,
        "cells": skeleton.cells,
        "channels": skeleton.channels,
        "dataset": images.dataset,
        "split": images.split,
        "images": count,
        **asdict(recipe),
        "seed": seed,
        "held_out": images.evaluated_on,
    }
    plain = network_graph(*shape)
    costs = plain.parameters, plain.flops(known.shape)
    return Training(network, settings, *costs, 0, "cpu", ())
