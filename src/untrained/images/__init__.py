"""Minibatches and training sets: the bundled sample, fetched official files, Gaussian noise."""

from untrained.images.fetch import fetch_images
from untrained.images.minibatches import Minibatch, minibatch
from untrained.images.official import convert
from untrained.images.sets import AUGMENTATIONS, IMAGE_SETS, ImageSet, image_set
from untrained.images.splits import training_set

__all__ = [
    "AUGMENTATIONS",
    "IMAGE_SETS",
    "ImageSet",
    "Minibatch",
    "convert",
    "fetch_images",
    "image_set",
    "minibatch",
    "training_set",
]
