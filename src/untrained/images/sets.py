"""The image data sets, described without reading any images."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from untrained.errors import ParameterError, PluginError, quoted, unknown_name
from untrained.files import BUNDLED
from untrained.plugins import Registry

Augmentation = Literal["none", "crop-flip"]
AUGMENTATIONS: tuple[str, ...] = get_args(Augmentation)
Sampling = Literal["uniform", "balanced"]
SAMPLINGS: tuple[str, ...] = get_args(Sampling)

#: The split that is bundled with the package.
SAMPLE = "sample"

#: An internal sampling: the first images of a split, which variants of released code read.
IN_ORDER = "in order"


@dataclass(frozen=True)
class ImageSet:
    """A data set of colour images.

    Attributes:
        name: the name, which is that of NAS-Bench-201 for the sets that it has.
        num_classes: the number of classes; labels run from 0 to one less.
        shape: channels, height, width.
        mean: the mean of each channel, in units of the stored pixels (0 to 255).
        std: the standard deviation of each channel. Mean and deviation are those of NAS-Bench-201's
            loaders, which NASWOT uses too, and for photographs the usual ones for ImageNet.
        splits: the names of the splits.
        summary: a description in one line without a full stop.
        label: the name in headings of tables and in figures where several data sets of a benchmark
            are compared; `name` by default.
        stands_for: the benchmark's data set that this one replaces; empty if it replaces none.
        public: whether it can be downloaded without a registration.
        bundled: the images of the split `sample` that come with the package: a contact sheet
            (.webp) with notes beside it, or an .npz of `sample_x` and `sample_y`.
        fetch: address of the function that writes the file of the set; it takes an
            `untrained.images.fetch.Wanted` and returns the number of images of each split.
        draw: address of a function that generates the images of each minibatch, as
            `untrained.images.minibatches.draw_noise` does; empty where images are stored.
        halves: the file of packed bits that marks the training images of the split `train-half`;
            the others are in `valid-half`. None for a set without these splits.
    """

    name: str
    num_classes: int
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    splits: tuple[str, ...]
    summary: str = ""
    label: str = ""
    stands_for: str = ""
    public: bool = True
    bundled: Path | None = None
    fetch: str = "untrained.images.fetch:fetch_arrays"
    draw: str = ""
    halves: Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.label or self.name)

    @property
    def stored(self) -> bool:
        """Whether the images are in files, instead of generated for each minibatch in any shape."""
        return not self.draw

    @property
    def measured_as(self) -> str:
        """The data set of the benchmark whose accuracies scores on these images predict."""
        return self.stands_for or self.name

    @property
    def padding(self) -> int:
        """The pixels that are added on each side before a random crop: an eighth of the height."""
        return self.shape[1] // 8

    def file(self, root: Path) -> Path:
        """Return the path of the converted official files of this set below `root`."""
        return root / f"{self.name}.npz"

    def split(self, asked: str) -> str:
        """Return the only split of a set that has one, and `asked` for any other set."""
        return self.splits[0] if len(self.splits) == 1 else asked

    @property
    def test_split(self) -> str:
        """The split of the images that the benchmark tests on.

        Raises:
            ParameterError: there is none.
        """
        # NAS-Bench-201 tests on the validation images of ImageNet16-120
        found = [name for name in self.splits if name in ("test", "valid")]
        if not found:
            names = ", ".join(self.splits)
            raise ParameterError(f"{self.name} has no test images: its splits are {names}")
        return found[0]

    def check_split(self, split: str) -> None:
        """Raise `UnknownNameError` for a split that this set lacks."""
        if split not in self.splits:
            raise unknown_name(f"split of {self.name}", split, self.splits)


CIFAR10 = ImageSet(
    name="cifar10",
    label="CIFAR-10",
    num_classes=10,
    shape=(3, 32, 32),
    mean=(125.3, 123.0, 113.9),
    std=(63.0, 62.1, 66.7),
    splits=("sample", "train", "train-half", "valid-half", "test"),
    summary="ten classes of small photographs (Krizhevsky)",
    bundled=BUNDLED / "cifar10.webp",
    fetch="untrained.images.fetch:fetch_official",
    halves=BUNDLED / "cifar10_halves.npy",
)
CIFAR100 = ImageSet(
    name="cifar100",
    label="CIFAR-100",
    num_classes=100,
    shape=(3, 32, 32),
    mean=(129.3, 124.1, 112.4),
    std=(68.2, 65.4, 70.4),
    splits=("sample", "train", "test"),
    summary="a hundred classes of small photographs (Krizhevsky)",
    bundled=BUNDLED / "cifar100.webp",
    fetch="untrained.images.fetch:fetch_official",
)
IMAGENET16_120 = ImageSet(
    name="ImageNet16-120",
    num_classes=120,
    shape=(3, 16, 16),
    mean=(122.68, 116.66, 104.01),
    std=(63.22, 61.26, 65.09),
    splits=("train", "valid"),
    summary="the first 120 classes of ImageNet at 16x16 pixels (needs a registration)",
    public=False,
    fetch="untrained.images.fetch:fetch_official",
)
TINY_IMAGENET16_120 = ImageSet(
    name="TinyImageNet16-120",
    num_classes=120,
    shape=(3, 16, 16),
    mean=IMAGENET16_120.mean,
    std=IMAGENET16_120.std,
    splits=("train",),
    summary="120 classes of Tiny-ImageNet, other images and classes than ImageNet16-120",
    stands_for="ImageNet16-120",
    public=False,
)
IMAGENETTE = ImageSet(
    name="imagenette",
    num_classes=10,
    shape=(3, 224, 224),
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
    splits=("train", "valid"),
    summary="photographs of ten classes of ImageNet, for networks that were trained on that",
    stands_for="ImageNet",
    fetch="untrained.images.fetch:fetch_photographs",
)
NOISE = ImageSet(
    name="noise",
    num_classes=10,
    shape=(3, 32, 32),
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    splits=("sample",),
    summary="independent N(0, 1) pixels and uniform labels, drawn for each minibatch",
    stands_for="cifar10",
    draw="untrained.images.minibatches:draw_noise",
)

IMAGE_SETS: Registry[ImageSet] = Registry(
    "data set",
    "untrained.image_sets",
    {
        "ImageNet16-120": f"{__name__}:IMAGENET16_120",
        "TinyImageNet16-120": f"{__name__}:TINY_IMAGENET16_120",
        "cifar10": f"{__name__}:CIFAR10",
        "cifar100": f"{__name__}:CIFAR100",
        "imagenette": f"{__name__}:IMAGENETTE",
        "noise": f"{__name__}:NOISE",
    },
    tuple(field.name for field in fields(ImageSet)),
    like=ImageSet,
    of_classes=False,
    letters=r"[^\W\d][\w-]*",
)


def image_set(name: str) -> ImageSet:
    """Look up a data set.

    Raises:
        UnknownNameError: no such set; the message suggests the nearest one.
        PluginError: a set of another package that makes no sense.
    """
    found = IMAGE_SETS.load(name)
    channels = found.shape[0]
    for holds, field, right in (
        (found.num_classes >= 1, "num_classes", "1 or more"),
        (min(found.shape) >= 1, "shape", "three numbers of 1 or more"),
        (len(found.mean) == channels, "mean", f"a number for each of the {channels} channels"),
        (
            len(found.std) == channels and min(found.std) > 0,
            "std",
            f"a number above 0 for each of the {channels} channels",
        ),
        (found.splits, "splits", "one or more"),
    ):
        if not holds:
            value = getattr(found, field)
            raise PluginError(
                f"the {field} of the data set {name} is {quoted(value)}: take {right}"
            )
    return found


def modules_of(name: str) -> tuple[str, ...]:
    """Return the modules that define the images of a data set and generate them.

    Raises:
        UnknownNameError: no such set.
    """
    drawn = image_set(name).draw.partition(":")[0]
    return (IMAGE_SETS.module_of(name), *([drawn] if drawn else []))


def stored_image_set(name: str) -> ImageSet:
    """Look up a data set that has files.

    Raises:
        UnknownNameError: no such set.
        ParameterError: its images are generated for each minibatch and not stored.
    """
    found = image_set(name)
    if not found.stored:
        raise ParameterError(
            f"{quoted(name)} is drawn for each minibatch and has no files: name another"
        )
    return found
