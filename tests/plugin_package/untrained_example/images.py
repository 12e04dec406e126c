"""A data set of one's own: stripes, whose direction is the class, drawn for each minibatch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from untrained.images import ImageSet
from untrained.seeds import numpy_generator

STRIPES = ImageSet(
    name="stripes",
    num_classes=2,
    shape=(3, 32, 32),
    mean=(127.5, 127.5, 127.5),
    std=(127.5, 127.5, 127.5),
    splits=("sample",),
    summary="horizontal and vertical stripes",
    stands_for="cifar10",
    draw="untrained_example.images:draw",
)


def draw(
    known: ImageSet, seed: int, size: int, sampling: str
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Images (size, height, width, channels) and labels (size,)."""
    del sampling
    rng = numpy_generator(seed, "stripes")
    labels = np.arange(size) % known.num_classes
    waves = 127.5 * (1 + np.sin(np.arange(32)[None] * rng.uniform(0.2, 2, size)[:, None]))
    images = np.where((labels == 0)[:, None, None], waves[:, :, None], waves[:, None, :])
    return np.repeat(images[..., None], 3, axis=-1), labels
