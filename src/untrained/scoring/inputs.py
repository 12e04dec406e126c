"""Fits a minibatch to what a network of one's own takes."""

import torch
from torch.nn import functional

from untrained.errors import ParameterError
from untrained.images.minibatches import Minibatch
from untrained.scoring.engine import MinibatchSettings
from untrained.seeds import numpy_generator


def fitted(settings: MinibatchSettings, shape: tuple[int, int, int], seed: int) -> Minibatch:
    """The minibatch of `seed` with images of `shape` (C, H, W), on the CPU.

    Images are resized bilinearly; noise is drawn in any shape.

    Raises:
        ParameterError: the data set's images have another number of channels.
    """
    drawn = settings.draw(seed, torch.device("cpu"))
    channels = drawn.images.shape[1]
    if tuple(drawn.images.shape[1:]) == shape:
        return drawn
    if settings.dataset == "noise":
        size = (settings.batch_size, *shape)
        values = numpy_generator(seed, "noise of any shape").standard_normal(size)
        return Minibatch(torch.from_numpy(values).float(), drawn.labels, drawn.num_classes)
    if channels != shape[0]:
        raise ParameterError(
            f"--input has {shape[0]} channels and the images of {settings.dataset} have "
            f"{channels}: take --dataset noise, which has any shape"
        )
    images = functional.interpolate(drawn.images, shape[1:], mode="bilinear", antialias=True)
    return Minibatch(images, drawn.labels, drawn.num_classes)
