"""Cutout augmentation (DeVries and Taylor, 2017)."""

import numpy as np
from numpy.typing import NDArray


def cut_out(
    images: NDArray[np.float32], side: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Set a square of each image to 0, which is the mean of normalised images.

    The middle of the square is uniform over the pixels, so a part of the square may lie outside.

    Args:
        images: (images, channels, height, width), normalised.
        side: side of the square in pixels: `side // 2` before its middle and as many from there on.
        generator: draws two numbers for each image in turn.

    Returns:
        A new array.
    """
    count, _, height, width = images.shape
    middles = generator.integers(0, [height, width], size=(count, 2))
    half = side // 2
    rows = np.arange(height) - middles[:, :1]
    columns = np.arange(width) - middles[:, 1:]
    inside_rows = (rows >= -half) & (rows < half)
    inside_columns = (columns >= -half) & (columns < half)
    inside = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
    return np.where(inside, np.float32(0), images)
