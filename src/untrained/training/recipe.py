"""Settings of trainings: the recipe of the DARTS papers, and a few epochs before a score."""

import math
from dataclasses import dataclass

from untrained.errors import ParameterError
from untrained.limits import COUNT, at_most

#: Largest number of epochs of a training before a score.
MOST_EPOCHS = 1000


@dataclass(frozen=True)
class Recipe:
    """The settings of a training; the defaults are those of the DARTS paper for CIFAR-10.

    Liu, Simonyan and Yang, ICLR 2019, section 3.2.

    Attributes:
        epochs: passes over the training images.
        batch_size: images per step, 2 or more.
        learning_rate: learning rate of the first epoch; it falls to 0 along a cosine.
        momentum: momentum of stochastic gradient descent.
        weight_decay: weight decay of all parameters.
        gradient_clip: largest norm of the gradient of a step; 0 clips nothing.
        crop_flip: whether training images are shifted and flipped.
        cutout: side of the square that is cut out of each training image (DeVries and Taylor,
            2017), in pixels; 0 cuts nothing.
        drop_path: probability that an edge is dropped. It rises linearly from 0 towards this value
            after the last epoch. The paper has 0.2, its successors 0.3.
        auxiliary_weight: weight of the loss of the auxiliary head; 0 trains without one.

    Raises:
        ParameterError: a setting is out of its range.
    """

    epochs: int = 600
    batch_size: int = 96
    learning_rate: float = 0.025
    momentum: float = 0.9
    weight_decay: float = 3e-4
    gradient_clip: float = 5.0
    crop_flip: bool = True
    cutout: int = 16
    drop_path: float = 0.2
    auxiliary_weight: float = 0.4

    def __post_init__(self) -> None:
        _check_least(self, epochs=1, batch_size=2, cutout=0)
        _check_rates(self, "weight_decay", "gradient_clip", "auxiliary_weight")
        _check_fractions(self, "momentum", "drop_path")

    def learning_rate_at(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0, along half a cosine to 0."""
        return self.learning_rate * (1 + math.cos(math.pi * epoch / self.epochs)) / 2

    def drop_path_at(self, epoch: int) -> float:
        """Return the probability that an edge is dropped in an epoch, counted from 0."""
        return self.drop_path * epoch / self.epochs


@dataclass(frozen=True)
class ShortRecipe:
    """The settings of a training for a few epochs at one learning rate.

    The defaults are those of the code of Mok et al., CVPR 2022 (arXiv 2203.14577).

    Attributes:
        batch_size: images per step, 2 or more; see `batch_size_for`.
        learning_rate: learning rate of every step.
        momentum: momentum of stochastic gradient descent.
        weight_decay: weight decay of all parameters.
        crop_flip: whether images are shifted and flipped.

    Raises:
        ParameterError: a setting is out of its range.
    """

    batch_size: int = 1024
    learning_rate: float = 0.025
    momentum: float = 0.9
    weight_decay: float = 3e-4
    crop_flip: bool = True

    def __post_init__(self) -> None:
        _check_least(self, batch_size=2)
        _check_rates(self, "weight_decay")
        _check_fractions(self, "momentum")

    def batch_size_for(self, images: int) -> int:
        """Return the images per step: `batch_size`, or fewer for a small set of `images`.

        With `batch_size` an epoch of some thousand images would be one or two steps that need
        gigabytes of activations. It has 16 steps instead, each of at least 64 images or half of the
        set.
        """
        return max(2, min(self.batch_size, max(images // 16, min(64, images // 2))))


def _check_least(settings: object, **least: int) -> None:
    for name, smallest in least.items():
        if (value := getattr(settings, name)) < smallest:
            raise ParameterError(f"{name} is {value}: {smallest} or more")
        at_most(COUNT, **{name: value})


def _check_rates(settings: "Recipe | ShortRecipe", *not_negative: str) -> None:
    """Check that the learning rate is above 0, and other numbers are finite and 0 or more."""
    for name in not_negative:
        if not 0 <= (number := getattr(settings, name)) < math.inf:
            raise ParameterError(f"{name} is {number}: 0 or more")
    if not 0 < (rate := settings.learning_rate) < math.inf:
        raise ParameterError(f"learning_rate is {rate}: above 0")


def _check_fractions(settings: object, *names: str) -> None:
    for name in names:
        if not 0 <= (number := getattr(settings, name)) < 1:
            raise ParameterError(f"{name} is {number}: 0 or more and below 1")


def steps_of(epochs: float, per_epoch: int) -> int:
    """Return the number of steps of some epochs, rounded, at least 1 unless `epochs` is 0.

    Raises:
        ParameterError: `epochs` is negative, above `MOST_EPOCHS`, or not a number.
    """
    if not 0 <= epochs <= MOST_EPOCHS:
        raise ParameterError(f"{epochs:g} epochs of training: 0 to {MOST_EPOCHS}")
    return max(1, math.floor(epochs * per_epoch + 0.5)) if epochs else 0
