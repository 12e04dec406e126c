"""Data sets of one's own: stripes, whose direction is the class, stored and drawn."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from untrained.files import atomic
from untrained.images.fetch import Wanted
from untrained.images.sets import ImageSet
from untrained.seeds import numpy_generator

STRIPES = ImageSet(
    name="stripes",
    label="Stripes",
    num_classes=2,
    shape=(3, 12, 12),
    mean=(127.5, 127.5, 127.5),
    std=(127.5, 127.5, 127.5),
    splits=("train",),
    summary="horizontal and vertical stripes",
    fetch="untrained_example.images:make_stripes",
)
WAVES = ImageSet(
    name="waves",
    num_classes=2,
    shape=(3, 12, 12),
    mean=STRIPES.mean,
    std=STRIPES.std,
    splits=("sample",),
    summary="stripes that are drawn for each minibatch",
    stands_for="stripes",
    draw="untrained_example.images:draw",
)


def make_stripes(wanted: Wanted) -> dict[str, int]:
    """Write 64 images."""
    images, labels = draw(wanted.known, 0, 64, "uniform")
    with atomic(wanted.target) as part, part.open("wb") as file:
        np.savez(file, train_x=images.astype(np.uint8), train_y=labels)
    return {"train": len(labels)}


def draw(
    known: ImageSet, seed: int, size: int, sampling: str
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Images (size, height, width, channels) and labels (size,)."""
    del sampling
    rng, side = numpy_generator(seed, "stripes"), known.shape[1]
    labels = np.arange(size) % known.num_classes
    waves = 127.5 * (1 + np.sin(np.arange(side)[None] * rng.uniform(0.2, 2, size)[:, None]))
    crossed = np.broadcast_to(waves[:, :, None], (size, side, side))
    images = np.where((labels == 0)[:, None, None], crossed, crossed.swapaxes(1, 2))
    return np.repeat(images[..., None], 3, axis=-1), labels
