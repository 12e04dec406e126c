"""Which image data sets there are, and their splits."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from untrained.errors import ParameterError, unknown_name

Augmentation = Literal["none", "crop-flip"]
AUGMENTATIONS: tuple[str, ...] = get_args(Augmentation)
Sampling = Literal["uniform", "balanced"]
SAMPLINGS: tuple[str, ...] = get_args(Sampling)

#: Not for choice: the beginning of a split, in its order, which released code is shown.
IN_ORDER = "in order"


@dataclass(frozen=True)
class ImageSet:
    """A data set of colour images.

    Attributes:
        name: as NAS-Bench-201 spells it, where it knows the set.
        num_classes: labels run from 0 to one less.
        shape: channels, height, width.
        mean: per channel, in units of the stored pixels (0 to 255).
        std: likewise. Both are those of NAS-Bench-201's loaders, which NASWOT uses too; those of
            photographs are what networks for ImageNet are usually shown.
        splits: what can be drawn from.
        stands_for: the benchmark's data set in whose place it is taken; empty where it is itself.
        public: whether anyone may fetch it from its official address.
    """

    name: str
    num_classes: int
    shape: tuple[int, int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    splits: tuple[str, ...]
    stands_for: str = ""
    public: bool = True

    @property
    def measured_as(self) -> str:
        """The benchmark's data set whose accuracies scores on these images are held against."""
        return self.stands_for or self.name

    @property
    def padding(self) -> int:
        """Pixels on each side of an image before a random crop: an eighth of its side."""
        return self.shape[1] // 8

    def file(self, root: Path) -> Path:
        """Where the converted official files of this set lie below `root`."""
        return root / f"{self.name}.npz"

    def split(self, asked: str) -> str:
        """The split that is read where `asked` is asked of several sets: some have but one."""
        return self.splits[0] if len(self.splits) == 1 else asked

    @property
    def test_split(self) -> str:
        """The split of the images that the benchmark tests on.

        Raises:
            ParameterError: there is none.
        """
        # of ImageNet16-120 the benchmark tests on validation images
        found = [name for name in self.splits if name in ("test", "valid")]
        if not found:
            names = ", ".join(self.splits)
            raise ParameterError(f"{self.name} has no test images: its splits are {names}")
        return found[0]

    def check_split(self, split: str) -> None:
        """Raise `UnknownNameError` for a split that this set lacks."""
        if split not in self.splits:
            raise unknown_name(f"split of {self.name}", split, self.splits)


_IMAGENET16_MEAN, _IMAGENET16_STD = (122.68, 116.66, 104.01), (63.22, 61.26, 65.09)

IMAGE_SETS: dict[str, ImageSet] = {
    known.name: known
    for known in (
        ImageSet(
            name="cifar10",
            num_classes=10,
            shape=(3, 32, 32),
            mean=(125.3, 123.0, 113.9),
            std=(63.0, 62.1, 66.7),
            splits=("sample", "train", "train-half", "valid-half", "test"),
        ),
        ImageSet(
            name="cifar100",
            num_classes=100,
            shape=(3, 32, 32),
            mean=(129.3, 124.1, 112.4),
            std=(68.2, 65.4, 70.4),
            splits=("sample", "train", "test"),
        ),
        ImageSet(
            name="ImageNet16-120",
            num_classes=120,
            shape=(3, 16, 16),
            mean=_IMAGENET16_MEAN,
            std=_IMAGENET16_STD,
            splits=("train", "valid"),
            public=False,
        ),
        # The first 120 classes of Tiny-ImageNet at 16x16: other images and classes than
        # ImageNet16-120, for those who can't get that.
        ImageSet(
            name="TinyImageNet16-120",
            num_classes=120,
            shape=(3, 16, 16),
            mean=_IMAGENET16_MEAN,
            std=_IMAGENET16_STD,
            splits=("train",),
            stands_for="ImageNet16-120",
            public=False,
        ),
        # Photographs of ten classes of ImageNet, for networks that were trained on that.
        ImageSet(
            name="imagenette",
            num_classes=10,
            shape=(3, 224, 224),
            mean=(123.675, 116.28, 103.53),
            std=(58.395, 57.12, 57.375),
            splits=("train", "valid"),
            stands_for="ImageNet",
        ),
        ImageSet(
            name="noise",
            num_classes=10,
            shape=(3, 32, 32),
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            splits=("sample",),
            stands_for="cifar10",
        ),
    )
}


def image_set(name: str) -> ImageSet:
    """Look up a data set.

    Raises:
        UnknownNameError: no such set; the message suggests the nearest one.
    """
    if name not in IMAGE_SETS:
        raise unknown_name("data set", name, IMAGE_SETS)
    return IMAGE_SETS[name]


def stored_image_set(name: str) -> ImageSet:
    """Look up a data set that has files.

    Raises:
        UnknownNameError: no such set.
        ParameterError: it is drawn anew each time and never stored.
    """
    found = image_set(name)
    if name == "noise":
        raise ParameterError("'noise' is drawn for each minibatch and has no files: name another")
    return found
