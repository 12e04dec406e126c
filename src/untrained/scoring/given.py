"""Images of one's own in the place of a data set: tensors, loaders and folders of pictures."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from untrained.errors import (
    MissingDataError,
    ParameterError,
    UnknownNameError,
    UntrainedError,
    quoted,
    stops,
    summary,
)
from untrained.files import reading
from untrained.images.minibatches import Minibatch, TooFewImagesError, chosen_places, normalise
from untrained.images.sets import IMAGENETTE, ImageSet, image_set
from untrained.images.splits import Labels
from untrained.scoring.images import MinibatchSettings, Shape, spell_shape
from untrained.seeds import torch_seeded

#: The files of a class folder that are pictures.
SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})

Kind = Literal["classes", "other", "none"]


@dataclass(frozen=True)
class Shown:
    """The images of a ranking.

    Attributes:
        settings: the settings of the minibatches.
        labels: `classes` are numbers from 0, `other` are what only a loss of one's own reads, and
            `none` are none at all.
        words: what the images are.
    """

    settings: MinibatchSettings
    labels: Kind
    words: str


@dataclass(frozen=True, eq=False)
class Pool:
    """Images of one's own that minibatches are drawn from.

    Attributes:
        draw: draws the minibatch of a seed and a size; a smaller one is the beginning of a larger.
        count: the number of images that a minibatch can have.
        labels: see `Shown`.
        words: what the images are, after their number.
    """

    draw: Callable[[int, int], Minibatch]
    count: int
    labels: Kind
    words: str


def shown_images(
    images: object,
    settings: MinibatchSettings,
    seeds: Sequence[int],
    classes: int | None = None,
) -> Shown:
    """Return the images of a ranking.

    Args:
        images: see `untrained.rank`.
        settings: number and shape of the images and, for data sets that have a name, split,
            augmentation, sampling and folder. Their data set is shown where `images` is None.
        seeds: the seeds.
        classes: the number of classes of labels that are given; None for one more than the largest.

    Raises:
        UntrainedError: there are no such images, or a loader failed.
    """
    if images is None:
        known, shape = image_set(settings.dataset), settings.shape
        images = settings.dataset if shape is None or shape[0] == known.shape[0] else "noise"
    if isinstance(images, str | Path) and (named := _named(images)):
        made = replace(settings, dataset=str(images), split=named.split(settings.split))
        size = spell_shape(settings.shape or named.shape)
        return Shown(made, "classes", f"{made.batch_size} images of {images}, {size}")
    for name in ("split", "augmentation", "root"):
        if getattr(settings, name) != getattr(MinibatchSettings, name):
            raise ParameterError(f"{name} is of data sets that have a name: drop it")
    pool = _pool(images, settings, seeds, classes)
    if pool.count < 2:
        raise ParameterError(f"{pool.count} {pool.words}: 2 or more are needed")
    count = min(settings.batch_size, pool.count)
    made = replace(settings, dataset=pool.words, batch_size=count, given=pool.draw)
    size = spell_shape(made.draw(seeds[0], torch.device("cpu")).images.shape[1:])
    return Shown(made, pool.labels, f"{count} {pool.words}, {size}")


def _named(images: str | Path) -> ImageSet | None:
    """Return the data set of a name; None for a folder that is there."""
    try:
        return image_set(str(images))
    except UnknownNameError as error:
        with suppress(OSError):  # too long a name
            if str(images) and Path(images).is_dir():  # the path of no text is this folder
                return None
        raise UnknownNameError(f"{error}; or a folder that has a folder for each class") from error


def _pool(
    images: object, settings: MinibatchSettings, seeds: Sequence[int], classes: int | None
) -> Pool:
    match images:
        case str() | Path():
            return _folder(Path(images), settings)
        case Tensor() | np.ndarray():
            return _tensors(images, None, settings.sampling, classes)
        case (Tensor() | np.ndarray() as pixels, labels):
            return _tensors(pixels, labels, settings.sampling, classes)
        case tuple() | list() | Iterator() | Mapping() | set():
            pass
        case Iterable():
            return _loader(images, settings, seeds, classes)
    raise ParameterError(
        f"images are {quoted(images)}: give a tensor (N, C, H, W), (images, labels), a "
        "DataLoader, a folder, or the name of a data set"
    )


def _tensors(images: Any, labels: Any, sampling: str, classes: int | None) -> Pool:  # noqa: ANN401
    pixels = _checked(images)
    kind, targets = _labels(labels, len(pixels), classes)
    known = targets.numpy() if kind == "classes" else None
    _check_sampling(sampling, known)
    total = _classes(targets, kind, classes)

    def draw(seed: int, size: int) -> Minibatch:
        places = _places(seed, size, len(pixels), known, sampling)
        return Minibatch(pixels[places], targets[places], total)

    return Pool(draw, len(pixels), kind, "images given")


def _loader(
    batches: Iterable[Any], settings: MinibatchSettings, seeds: Sequence[int], classes: int | None
) -> Pool:
    """Return the pool of a loader: a seed has the first images of a new pass over it."""
    if settings.sampling != "uniform":
        raise ParameterError("a loader itself chooses its images: drop sampling")
    kind_of = type(batches).__name__

    # one pass for all candidates and sizes, also where the loader augments its images
    passes: dict[int, _Pass] = {}

    def gathered(seed: int, size: int) -> tuple[Tensor, Tensor | None]:
        known = passes.get(seed)
        if known is None or (len(known.images) < size and not known.whole):
            most = max(size, settings.batch_size)
            known = passes[seed] = _passed(batches, seed, most, kind_of)
        return known.images[:size], None if known.labels is None else known.labels[:size]

    first, labels = gathered(seeds[0], settings.batch_size)
    kind, targets = _labels(labels, len(first), classes)
    listed = getattr(getattr(batches, "dataset", None), "classes", None)
    total = classes or len(listed or ()) or _classes(targets, kind, None)
    # as many as the passes of all seeds show
    if not classes and not listed and kind == "classes" and len(first) > 1:
        shown = [gathered(seed, settings.batch_size)[1] for seed in seeds]
        total = max(int(torch.as_tensor(own).max()) + 1 for own in shown if own is not None)

    def draw(seed: int, size: int) -> Minibatch:
        pixels, labels = gathered(seed, size)
        if len(pixels) < size:
            raise TooFewImagesError(
                f"{size} images are asked for: the {kind_of} has {len(pixels)} for seed {seed}",
                len(pixels),
            )
        return Minibatch(pixels, _labels(labels, size, classes)[1], total)

    return Pool(draw, len(first), kind, f"images of a {kind_of}")


class _Pass(NamedTuple):
    """Images and labels of the first batches of a loader, and whether there were no more."""

    images: Tensor
    labels: Tensor | None
    whole: bool


def _passed(batches: Iterable[Any], seed: int, size: int, kind_of: str) -> _Pass:
    """Pass over a loader until it has given so many images."""
    parts: list[tuple[Tensor, Tensor | None]] = []
    count, whole = 0, True
    with torch_seeded(seed, "batches of a loader"), _passing(kind_of, seed):
        for batch in batches:
            images, labels = _parts(batch, kind_of)
            targets = None if labels is None else _tensor("labels", labels)
            parts.append((_checked(images), targets))
            count += len(images)
            if count >= size:
                whole = False
                break
    if not parts:
        raise ParameterError(
            f"the {kind_of} yields no batches of images in its pass for seed {seed}: each seed has "
            "a new pass"
        )
    pixels = _joined("images", kind_of, [images for images, _ in parts])
    known = [targets for _, targets in parts if targets is not None]
    return _Pass(pixels, _joined("labels", kind_of, known) if known else None, whole)


@contextmanager
def _passing(kind_of: str, seed: int) -> Iterator[None]:
    """Turn any failure of a loader into one line."""
    try:
        yield
    except UntrainedError:
        raise
    except BaseException as error:
        if stops(error):
            raise
        raise ParameterError(
            f"the {kind_of} fails in its pass for seed {seed}: {summary(error)}"
        ) from error


def _joined(what: str, kind_of: str, parts: list[Tensor]) -> Tensor:
    shapes = {tuple(one.shape[1:]) for one in parts}
    if len(shapes) > 1:
        first, second = sorted(shapes)[:2]
        raise ParameterError(
            f"{what} of the {kind_of} differ in shape, {first} and {second}: give them one"
        )
    return torch.cat(parts)


def _parts(batch: Any, kind_of: str) -> tuple[Any, Any]:  # noqa: ANN401
    """Return images and labels of what a loader yields; None where it yields images only."""
    match batch:
        case Tensor() | np.ndarray():
            return batch, None
        case [Tensor() | np.ndarray() as images]:
            return images, None
        case [Tensor() | np.ndarray() as images, Tensor() | np.ndarray() as labels, *_]:
            return images, labels
    kind = type(batch).__name__
    if isinstance(batch, list | tuple):
        kind = f"({', '.join(type(one).__name__ for one in batch)})"
    raise ParameterError(
        f"a batch of the {kind_of} is {kind}: let it be a tensor of images, or (images, labels) of "
        "two tensors"
    )


def _folder(folder: Path, settings: MinibatchSettings) -> Pool:
    """Return the pool of the pictures in `folder/CLASS/`, in `settings.shape`."""
    try:
        kinds = sorted(path for path in folder.iterdir() if path.is_dir())
        files = [
            [path for path in sorted(kind.rglob("*")) if path.suffix.lower() in SUFFIXES]
            for kind in kinds
        ]
    except OSError as error:
        raise ParameterError(f"{folder} can't be read: {summary(error)}") from error
    files = [mine for mine in files if mine]  # folders without a picture are no classes
    pictures = [path for mine in files for path in mine]
    if not pictures:
        raise MissingDataError(
            f"{folder} has no pictures: put them into a folder for each class, as in "
            f"{folder}/CLASS/PICTURE.jpg"
        )
    if settings.shape is None or settings.shape[0] not in (1, 3):
        raise ParameterError(
            f"pictures in {folder} are cut to one size: give input of 3 channels or 1, as in "
            "3x224x224"
        )
    shape, sampling = settings.shape, settings.sampling
    labels = np.repeat(np.arange(len(files)), [len(mine) for mine in files])
    _check_sampling(sampling, labels)
    read = cache(lambda path: _picture(path, shape))

    def draw(seed: int, size: int) -> Minibatch:
        places = _places(seed, size, len(pictures), labels, sampling)
        pixels = torch.stack([read(pictures[place]) for place in places])
        return Minibatch(pixels, torch.from_numpy(labels[places]), len(files))

    return Pool(draw, len(pictures), "classes", f"pictures in {folder}")


def _picture(path: Path, shape: Shape) -> Tensor:
    """Read the centre of a picture (C, H, W), scaled to just cover it and normalised as usual."""
    from PIL import Image, ImageOps

    channels, height, width = shape
    with reading(f"{path} is no picture", "remove it"), Image.open(path) as picture:
        colours = picture.convert("RGB" if channels == 3 else "L")
        fitted = ImageOps.fit(colours, (width, height), Image.Resampling.BILINEAR)
        pixels = np.asarray(fitted).reshape(1, height, width, channels)
    known = IMAGENETTE
    if channels == 1:
        mean, std = (sum(values) / 3 for values in (known.mean, known.std))
        known = replace(known, mean=(mean,), std=(std,))
    return torch.from_numpy(normalise(pixels, known)[0])


def _checked(images: Any) -> Tensor:  # noqa: ANN401
    """Return images (N, C, H, W) in float32 on the CPU.

    Raises:
        ParameterError: they have another shape, whole numbers, or something that is no number.
    """
    pixels = _tensor("images", images)
    if pixels.ndim != 4 or not pixels.numel():
        raise ParameterError(f"images of shape {tuple(pixels.shape)}: give (N, C, H, W)")
    if not pixels.is_floating_point():
        raise ParameterError(
            f"images are {str(pixels.dtype).removeprefix('torch.')}: convert them to floating "
            "point, and normalise them as the networks expect"
        )
    if not pixels.isfinite().all():
        raise ParameterError("images have pixels that are not finite: remove them")
    return pixels.float()


def _tensor(what: str, given: Any) -> Tensor:  # noqa: ANN401 - what a user gives
    """Return a tensor on the CPU of what is one, or an array, or nested lists of numbers.

    Raises:
        ParameterError: it is none of these.
    """
    try:
        # a tensor has no negative strides, which arrays that are turned round have
        found = np.ascontiguousarray(given) if isinstance(given, np.ndarray) else given
        return torch.as_tensor(found).detach().cpu().to_dense()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ParameterError(f"{what} can't be made a tensor: {summary(error)}") from error


def _labels(labels: Any, count: int, classes: int | None) -> tuple[Kind, Tensor]:  # noqa: ANN401
    """Return the labels (N, ...) of images and their kind; 0 where there are none."""
    if labels is None:
        return "none", torch.zeros(count, dtype=torch.int64)
    targets = _tensor("labels", labels)
    if targets.ndim == 0 or len(targets) != count:
        raise ParameterError(f"labels of shape {tuple(targets.shape)} for {count} images")
    whole = not (targets.is_floating_point() or targets.is_complex()) and targets.ndim == 1
    numbers = targets.long() if whole else targets  # unsigned types have no least one
    if not whole or targets.dtype == torch.bool or numbers.min() < 0:
        return "other", targets
    targets = numbers
    if classes is not None and targets.max() >= classes:
        raise ParameterError(f"label {int(targets.max())} of {classes} classes: labels are from 0")
    return "classes", targets


def _classes(targets: Tensor, kind: Kind, classes: int | None) -> int:
    """Return the number of classes; 10, as in noise, where there are none."""
    return classes or (int(targets.max()) + 1 if kind == "classes" else 10)


def _check_sampling(sampling: str, labels: Labels | None) -> None:
    if sampling == "balanced" and labels is None:
        raise ParameterError("sampling 'balanced' is by classes: give (images, labels)")


def _places(
    seed: int, size: int, count: int, labels: Labels | None, sampling: str
) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Return the positions (size,) of the images of a minibatch.

    Raises:
        TooFewImagesError: there are fewer images.
    """
    if size > count:
        raise TooFewImagesError(f"{size} images are asked for: {count} are given", count)
    known = np.zeros(count, np.int64) if labels is None else labels
    return chosen_places(known, seed, size, sampling, "minibatch of given images")
