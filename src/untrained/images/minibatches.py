"""Draw minibatches of data sets, reproducibly by seed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from untrained.errors import ParameterError, unknown_name
from untrained.files import IMAGES
from untrained.images.sets import AUGMENTATIONS, IN_ORDER, NOISE, SAMPLINGS, ImageSet, image_set
from untrained.images.splits import Labels, Pixels, check_training_split, misfit, training_set
from untrained.plugins import blamed, imported
from untrained.seeds import numpy_generator

if TYPE_CHECKING:
    import torch

    #: The loss of a network's outputs for a minibatch and its labels, a tensor of one number.
    Loss = Callable[[Any, torch.Tensor], torch.Tensor]

Images = NDArray[Any]


class TooFewImagesError(ParameterError):
    """A minibatch of more images than there are, which are `there`."""

    def __init__(self, message: str, there: int) -> None:
        super().__init__(message, there)  # both, so that a worker process can hand it over
        self.there = there

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, eq=False)
class Minibatch:
    """Images and labels that a network is evaluated on.

    Attributes:
        images: float32, (images, channels, height, width), normalised per channel.
        labels: int64, (images,).
        num_classes: the number of classes of the data set; the minibatch may have fewer.
        loss: the loss of a network's outputs and the labels, in the place of the cross-entropy.
    """

    images: "torch.Tensor"
    labels: "torch.Tensor"
    num_classes: int
    loss: "Loss | None" = None


def minibatch(
    dataset: str,
    split: str,
    seed: int,
    size: int,
    augmentation: str = "none",
    sampling: str = "uniform",
    *,
    root: Path = IMAGES,
) -> Minibatch:
    """Draw a minibatch without replacement.

    The result depends only on the arguments and the files. With the same seed, a smaller minibatch
    is the beginning of a larger one, and augmentation does not change which images are drawn.

    Args:
        dataset: a name in `IMAGE_SETS`. The images of `noise` have independent N(0, 1) entries
            and uniform labels.
        split: one of the set's splits.
        seed: 0 or larger.
        size: from 2, the fewest that have batch statistics, to the number of images of the split.
        augmentation: `none`, or `crop-flip`: a crop of the original size at a random place of the
            zero-padded image, and a horizontal flip with probability 1/2.
        sampling: `uniform` over all images; `balanced`, which is uniform within each class and
            takes the same number of images of all classes that have enough, up to one;
            or `IN_ORDER`.
        root: the folder of the fetched files.

    Raises:
        UnknownNameError: there is no such set, split, augmentation or sampling.
        ParameterError: the seed or the size is out of range.
        TooFewImagesError: the split has fewer images.
        MissingDataError, DamagedFileError: see `training_set`.
    """
    import torch

    known = image_set(dataset)
    check_drawing(known, split, size, augmentation, sampling)
    if known.draw:
        images, labels = drawn_images(known, seed, size, sampling)
    else:
        all_images, all_labels = training_set(known.name, split, root)
        chosen = _drawn(known, split, all_labels, seed, size, sampling)
        images, labels = all_images[chosen], all_labels[chosen]
    if augmentation == "crop-flip":
        images = crop_flip(
            images, known.padding, numpy_generator(seed, f"crop and flip {dataset} {split}")
        )
    return Minibatch(
        images=torch.from_numpy(normalise(images, known)),
        labels=torch.from_numpy(labels),
        num_classes=known.num_classes,
    )


def check_drawing(known: ImageSet, split: str, size: int, augmentation: str, sampling: str) -> None:
    """Check what `minibatch` is told, without the files.

    Raises:
        UnknownNameError, ParameterError: see there.
    """
    known.check_split(split)
    if augmentation not in AUGMENTATIONS:
        raise unknown_name("augmentation", augmentation, AUGMENTATIONS)
    if sampling not in (*SAMPLINGS, IN_ORDER):
        raise unknown_name("sampling", sampling, SAMPLINGS)
    if size < 2:
        raise ParameterError(f"minibatch size {size} is too small: 2 or more images")


def drawn_images(known: ImageSet, seed: int, size: int, sampling: str) -> tuple[Images, Labels]:
    """Return images (size, height, width, channels) and labels (size,) of a set that draws them.

    Raises:
        PluginError: the function of another package that draws them failed, or drew others.
    """
    with blamed("data set", known.draw):
        drawn = imported(f"images of {known.name}", known.draw)(known, seed, size, sampling)
        images, labels = map(np.asarray, drawn)
        if wrong := misfit(known, images, labels, size):
            raise ValueError(f"it drew {wrong}")
    return images, labels.astype(np.int64)


def random_crops(drawn: Minibatch, shape: tuple[int, int, int], count: int, seed: int) -> Minibatch:
    """Cut random pieces out of the images of a minibatch; each piece has its image's label.

    Image, place and channels of each piece are drawn uniformly; a piece with fewer channels than
    the image has that many different ones, in order.

    Args:
        drawn: images (n, C, H, W), on any device.
        shape: (channels, height, width) of the pieces.
        count: the number of pieces.
        seed: 0 or larger.

    Returns:
        Images (count, *shape).

    Raises:
        ParameterError: the pieces are larger than the images.
    """
    import torch

    if any(mine > its for mine, its in zip(shape, drawn.images.shape[1:], strict=True)):
        size, whole = ("x".join(map(str, s)) for s in (shape, drawn.images.shape[1:]))
        raise ParameterError(f"crops of {size} don't fit into images of {whole}")
    generator = numpy_generator(seed, "random crops")
    images, channels, height, width = drawn.images.shape
    which = generator.integers(images, size=count)
    picked = np.argsort(generator.random((count, channels)), axis=1)[:, : shape[0]]
    top = generator.integers(height - shape[1] + 1, size=count)
    left = generator.integers(width - shape[2] + 1, size=count)
    picked.sort(axis=1)
    index = [
        torch.from_numpy(part).to(drawn.images.device)
        for part in (
            which[:, None, None, None],
            picked[:, :, None, None],
            (top[:, None] + np.arange(shape[1]))[:, None, :, None],
            (left[:, None] + np.arange(shape[2]))[:, None, None, :],
        )
    ]
    labels = drawn.labels[index[0].flatten()]
    return Minibatch(drawn.images[tuple(index)], labels, drawn.num_classes)


def normalise(images: Images, known: ImageSet) -> NDArray[np.float32]:
    """Subtract the mean and divide by the standard deviation of each channel.

    Args:
        images: (images, height, width, channels), in the units of `known.mean`.
        known: the data set.

    Returns:
        (images, channels, height, width).
    """
    mean, std = np.array(known.mean, np.float32), np.array(known.std, np.float32)
    scaled = (images.astype(np.float32) - mean) / std
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def prepare_images(
    images: Images, known: ImageSet, generator: np.random.Generator | None
) -> NDArray[np.float32]:
    """Normalise images, after `crop_flip` where a generator is given; see both."""
    shown = images if generator is None else crop_flip(images, known.padding, generator)
    return normalise(shown, known)


def crop_flip(images: Images, padding: int, generator: np.random.Generator) -> Images:
    """Shift each image by up to `padding` pixels both ways and flip half of them left to right.

    Args:
        images: (images, height, width, channels).
        padding: pixels; what is shifted in is 0.
        generator: gives three numbers to each image in turn.

    Returns:
        A new array of the same shape and type.
    """
    count, height, width, _ = images.shape
    choices = generator.integers(0, [2 * padding + 1, 2 * padding + 1, 2], size=(count, 3))
    rows = choices[:, :1] + np.arange(height)
    columns = choices[:, 1:2] + np.arange(width)
    columns = np.where(choices[:, 2:] == 1, columns[:, ::-1], columns)
    padded = np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    cropped: Images = padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return cropped


#: The most images that are held out of training for measurements, and the split divided by them.
HELD_OUT, HELD_OUT_SHARE = 1000, 8


def held_out_count(dataset: str, split: str, size: int, *, root: Path = IMAGES) -> int:
    """Return how many images of a split are held out where minibatches have `size` images.

    There are 1,000, or an eighth of a smaller split, or as many as in a larger minibatch. The
    minibatch is the first of them.

    Raises:
        UntrainedError: see `rest_of`.
    """
    check_training_split(dataset, split)
    _, labels = training_set(dataset, split, root)
    return max(size, min(HELD_OUT, len(labels) // HELD_OUT_SHARE))


def rest_of(
    dataset: str,
    split: str,
    seed: int,
    size: int,
    sampling: str = "uniform",
    *,
    root: Path = IMAGES,
) -> tuple[Pixels, Labels]:
    """Return the images of a split that are not in the minibatch of the same arguments.

    Returns:
        Images, uint8 of shape (images, height, width, channels), and labels, int64 (images,), in
        the order of the split.

    Raises:
        UnknownNameError, ParameterError, MissingDataError, DamagedFileError: see `minibatch`; a set
            of drawn images has no others, and test images are not for training.
    """
    check_training_split(dataset, split)
    images, labels = training_set(dataset, split, root)
    taken = _drawn(image_set(dataset), split, labels, seed, size, sampling)
    left = np.setdiff1d(np.arange(len(labels)), taken)
    return images[left], labels[left]


def _drawn(
    known: ImageSet, split: str, labels: Labels, seed: int, size: int, sampling: str
) -> NDArray[np.int64]:
    """Return the positions (size,) of the images of a minibatch in their split."""
    if size > len(labels):
        raise TooFewImagesError(
            f"minibatch size {size} is too large: {known.name} {split} has {len(labels)} images",
            len(labels),
        )
    if sampling == IN_ORDER:
        return np.arange(size)
    return chosen_places(labels, seed, size, sampling, f"minibatch {known.name} {split}")


def chosen_places(
    labels: Labels, seed: int, size: int, sampling: str, purpose: str
) -> NDArray[np.int64]:
    """Draw the positions (size,) of images of a minibatch among those with labels (n,).

    Args:
        labels: the labels of all images, which uniform sampling only counts.
        seed: 0 or larger.
        size: the number of images, at most n.
        sampling: `uniform` or `balanced`; see `minibatch`.
        purpose: names the stream of random numbers.

    Raises:
        UnknownNameError: there is no such sampling.
    """
    if sampling not in SAMPLINGS:
        raise unknown_name("sampling", sampling, SAMPLINGS)
    # the first entries of a permutation, so that draws of different sizes are nested
    order = numpy_generator(seed, purpose).permutation(len(labels))
    if sampling == "balanced":
        order = order[_rounds(labels[order], numpy_generator(seed, "classes of a minibatch"))]
    chosen: NDArray[np.int64] = order[:size]
    return chosen


def _rounds(labels: Labels, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return an order (n,) of images: round by round one of each class that has any left.

    Images of a class keep their order. The order of the classes is drawn in every round, so that
    minibatches that end within a round favour no class.
    """
    turn = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        mine = labels == label
        turn[mine] = np.arange(np.count_nonzero(mine))
    return np.lexsort((generator.random(len(labels)), turn))


def draw_noise(known: ImageSet, seed: int, size: int, sampling: str) -> tuple[Images, Labels]:
    """Draw images (size, height, width, channels) of Gaussian noise, and labels (size,)."""
    channels, height, width = known.shape
    if known.shape == NOISE.shape:
        pixels = numpy_generator(seed, "noise images").standard_normal(
            (size, height, width, channels), np.float32
        )
    else:
        drawn = numpy_generator(seed, "noise of any shape").standard_normal((size, *known.shape))
        pixels = np.moveaxis(drawn.astype(np.float32), 1, -1)
    generator = numpy_generator(seed, "noise labels")
    if sampling == "balanced":
        rounds = -(-size // known.num_classes)
        labels = [generator.permutation(known.num_classes) for _ in range(rounds)]
        return pixels, np.concatenate(labels)[:size]
    return pixels, generator.integers(0, known.num_classes, size)
