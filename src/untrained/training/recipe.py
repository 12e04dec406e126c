"""How the DARTS papers train what they found (Liu, Simonyan and Yang, ICLR 2019, section 3.2)."""

import math
from dataclasses import dataclass

from untrained.errors import ParameterError


@dataclass(frozen=True)
class Recipe:
    """Settings of a training; the defaults are the paper's for CIFAR-10.

    Attributes:
        epochs: passes over the training images.
        batch_size: images per step, 2 or more.
        learning_rate: of the first epoch; it falls to 0 along a cosine.
        momentum: of stochastic gradient descent.
        weight_decay: of all parameters.
        gradient_clip: largest norm of the gradient of a step; 0 clips nothing.
        crop_flip: whether training images are shifted and flipped.
        cutout: side of the square that is cut out of each training image (DeVries and Taylor,
            2017), in pixels; 0 cuts nothing.
        drop_path: probability to drop an edge, which would be reached after the last epoch; it
            rises linearly from 0. The paper has 0.2, its successors 0.3.
        auxiliary_weight: of the loss of the auxiliary head; 0 trains without one.

    Raises:
        ParameterError: a setting outside its range.
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
        for name, smallest in (("epochs", 1), ("batch_size", 2), ("cutout", 0)):
            if (value := getattr(self, name)) < smallest:
                raise ParameterError(f"{name} is {value}: {smallest} or more")
        for name in ("weight_decay", "gradient_clip", "auxiliary_weight"):
            if not 0 <= (number := getattr(self, name)) < math.inf:
                raise ParameterError(f"{name} is {number}: 0 or more")
        for name in ("momentum", "drop_path"):
            if not 0 <= (number := getattr(self, name)) < 1:
                raise ParameterError(f"{name} is {number}: 0 or more and below 1")
        if not 0 < self.learning_rate < math.inf:
            raise ParameterError(f"learning_rate is {self.learning_rate}: above 0")

    def learning_rate_at(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0: half a cosine from the first to 0."""
        return self.learning_rate * (1 + math.cos(math.pi * epoch / self.epochs)) / 2

    def drop_path_at(self, epoch: int) -> float:
        """The probability to drop an edge in an epoch, counted from 0."""
        return self.drop_path * epoch / self.epochs
