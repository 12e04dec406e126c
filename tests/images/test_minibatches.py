"""Minibatches: pure functions of their arguments, with a slow oracle for each step."""

import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from untrained.errors import ParameterError, UnknownNameError
from untrained.images import minibatches
from untrained.images.minibatches import crop_flip, minibatch, normalise, random_crops, rest_of
from untrained.images.sets import image_set
from untrained.images.splits import training_set


@pytest.fixture(autouse=True, scope="module")
def _decoded_once():
    """Hundreds of minibatches are drawn here; each would decode the whole sheet of images."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(minibatches, "training_set", cache(training_set))
        yield


def restore(images, dataset):
    """The stored pixels, NHWC, of normalised images."""
    known = image_set(dataset)
    pixels = images.numpy().transpose(0, 2, 3, 1) * np.array(known.std) + np.array(known.mean)
    assert np.abs(pixels - pixels.round()).max() < 1e-3
    return pixels.round().astype(np.uint8)


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
def test_a_minibatch_has_distinct_images_with_their_labels(dataset):
    batch = minibatch(dataset, "sample", 3, 50)
    assert batch.images.shape == (50, 3, 32, 32)
    assert batch.images.dtype == torch.float32
    assert batch.images.is_contiguous()
    assert batch.labels.dtype == torch.int64
    assert batch.num_classes == image_set(dataset).num_classes
    images, labels = training_set(dataset, "sample")
    places = {image.tobytes(): place for place, image in enumerate(images)}
    found = [places[image.tobytes()] for image in restore(batch.images, dataset)]
    assert len(set(found)) == 50
    assert labels[found].tolist() == batch.labels.tolist()


def test_draws_are_uniform():
    # 20 draws of half of the images: each is expected 10 times, with a variance of 20 / 4.
    images, _ = training_set("cifar10", "sample")
    keys = images[:, 10:14, 16].reshape(2048, -1)
    counts = dict.fromkeys(map(bytes, keys), 0)
    for seed in range(20):
        batch = minibatch("cifar10", "sample", seed, 1024)
        for key in restore(batch.images, "cifar10")[:, 10:14, 16].reshape(1024, -1):
            counts[bytes(key)] += 1
    singles = [counts[bytes(key)] for key in keys if (keys == key).all(1).sum() == 1]
    assert np.mean(singles) == pytest.approx(10, abs=0.1)
    assert np.var(singles) == pytest.approx(20 / 4, rel=0.2)


def test_seeds_data_sets_and_augmentations_differ():
    drawn = [
        minibatch("cifar10", "sample", 0, 8),
        minibatch("cifar10", "sample", 1, 8),
        minibatch("cifar10", "sample", 0, 8, "crop-flip"),
        minibatch("cifar100", "sample", 0, 8),
    ]
    contents = {batch.images.numpy().tobytes() for batch in drawn}
    assert len(contents) == 4
    assert drawn[0].labels.tolist() == drawn[2].labels.tolist()


@pytest.mark.parametrize("dataset", ["cifar10", "noise"])
@pytest.mark.parametrize("augmentation", ["none", "crop-flip"])
@pytest.mark.parametrize("sampling", ["uniform", "balanced"])
def test_smaller_minibatches_begin_larger_ones(dataset, augmentation, sampling):
    small = minibatch(dataset, "sample", 5, 7, augmentation, sampling)
    large = minibatch(dataset, "sample", 5, 12, augmentation, sampling)
    assert torch.equal(small.images, large.images[:7])
    assert torch.equal(small.labels, large.labels[:7])


PROGRAM = """
import hashlib
from untrained.images.minibatches import minibatch
for dataset in ("cifar10", "noise"):
    batch = minibatch(dataset, "sample", 11, 16, "crop-flip")
    content = batch.images.numpy().tobytes() + batch.labels.numpy().tobytes()
    print(hashlib.md5(content).hexdigest())
"""


def test_global_random_state_and_processes_do_not_matter(capsys):
    printed = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - to show that it has no effect
        exec(PROGRAM)
        printed.append(capsys.readouterr().out)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    other = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    exec(PROGRAM)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()  # noqa: NPY002
    assert {*printed, other.stdout, capsys.readouterr().out} == {other.stdout}
    assert len(set(other.stdout.split())) == 2


def test_noise_is_gaussian_with_uniform_labels():
    batch = minibatch("noise", "sample", 0, 2000)
    assert batch.images.shape == (2000, 3, 32, 32)
    entries = batch.images.numpy().ravel()[:600_000]
    assert entries.mean() == pytest.approx(0, abs=5 / np.sqrt(entries.size))
    assert entries.std() == pytest.approx(1, abs=0.01)
    assert (entries**4).mean() == pytest.approx(3, abs=0.05)
    counts = np.bincount(batch.labels.numpy(), minlength=10)
    assert len(counts) == 10
    assert ((counts - 200) ** 2 / 200).sum() < 27.9  # chi-squared with 9 degrees, p = 0.001


def test_normalise_equals_the_formula():
    known = image_set("cifar100")
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), np.uint8)
    found = normalise(images, known)
    assert found.shape == (2, 3, 4, 5)
    for (n, y, x, c), pixel in np.ndenumerate(images):
        expected = (int(pixel) - known.mean[c]) / known.std[c]
        assert found[n, c, y, x] == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(("side", "padding"), [(32, 4), (16, 2)])
def test_crop_flip_equals_the_slow_way(side, padding):
    images = np.random.default_rng(0).integers(1, 256, (300, side, side, 3), np.uint8)
    found = crop_flip(images, padding, np.random.default_rng(9))
    choices = np.random.default_rng(9)
    seen = set()
    for image, crop in zip(images, found, strict=True):
        row, column, flip = choices.integers(0, [2 * padding + 1, 2 * padding + 1, 2]).tolist()
        canvas = np.zeros((side + 2 * padding, side + 2 * padding, 3), np.uint8)
        canvas[padding : padding + side, padding : padding + side] = image
        expected = canvas[row : row + side, column : column + side]
        np.testing.assert_array_equal(crop, expected[:, ::-1] if flip else expected)
        seen.add((row, column, flip))
    offsets = 2 * padding + 1
    assert {row for row, _, _ in seen} == {column for _, column, _ in seen} == set(range(offsets))
    assert {flip for _, _, flip in seen} == {0, 1}


def test_crops_of_images_are_black_where_they_leave_the_image():
    batch = minibatch("cifar10", "sample", 0, 64, "crop-flip")
    plain = restore(minibatch("cifar10", "sample", 0, 64).images, "cifar10")
    crops = restore(batch.images, "cifar10")
    moved = 0
    for image, crop in zip(plain, crops, strict=True):
        canvas = np.pad(image, ((4, 4), (4, 4), (0, 0)))
        windows = [canvas[y : y + 32, x : x + 32] for y in range(9) for x in range(9)]
        windows += [window[:, ::-1] for window in windows]
        assert any(np.array_equal(crop, window) for window in windows)
        moved += not np.array_equal(crop, image)
    assert moved > 50


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"size": 1}, ParameterError, "size 1 is too small: 2 or more"),
        ({"size": 2049}, ParameterError, "size 2049 is too large: cifar10 sample has 2048"),
        ({"seed": -1}, ParameterError, "seed -1 is negative"),
        ({"seed": -1, "dataset": "noise"}, ParameterError, "seed -1 is negative"),
        ({"dataset": "cifar"}, UnknownNameError, "did you mean 'cifar10'"),
        ({"split": "simple"}, UnknownNameError, "did you mean 'sample'"),
        ({"split": "train", "dataset": "noise"}, UnknownNameError, "split of noise 'train'"),
        ({"augmentation": "flip"}, UnknownNameError, "augmentation 'flip'.*crop-flip, none"),
        ({"sampling": "even"}, UnknownNameError, "sampling 'even'.*balanced, uniform"),
    ],
)
def test_wrong_arguments(changes, error, message):
    arguments = {"dataset": "cifar10", "split": "sample", "seed": 0, "size": 8} | changes
    with pytest.raises(error, match=message):
        minibatch(**arguments)


def test_all_images_can_be_drawn():
    batch = minibatch("cifar100", "sample", 0, 1024)
    _, labels = training_set("cifar100", "sample")
    assert sorted(batch.labels.tolist()) == sorted(labels.tolist())


def test_crops_are_pieces_of_the_images():
    drawn = minibatch("cifar10", "sample", 0, 5)
    found = random_crops(drawn, (2, 3, 4), 40, seed=1)
    assert found.images.shape == (40, 2, 3, 4)
    assert found.num_classes == drawn.num_classes
    # every window of every pair of channels of every image
    pairs = np.array([(0, 1), (0, 2), (1, 2)])
    windows = sliding_window_view(drawn.images.numpy()[:, pairs], (3, 4), (3, 4))
    places = set()
    for crop, label in zip(found.images.numpy(), found.labels, strict=True):
        equal = (windows == crop[:, None, None]).all((2, 5, 6))
        hit = tuple(np.argwhere(equal)[0].tolist())
        assert drawn.labels[hit[0]] == label
        places.add(hit)
    assert len(places) > 30
    assert {place[0] for place in places} == set(range(5))
    assert {place[1] for place in places} == {0, 1, 2}
    again = random_crops(drawn, (2, 3, 4), 40, seed=1)
    assert torch.equal(again.images, found.images)
    assert not torch.equal(random_crops(drawn, (2, 3, 4), 40, seed=2).images, found.images)


def test_crops_larger_than_the_images_are_refused():
    drawn = minibatch("cifar10", "sample", 0, 2)
    with pytest.raises(ParameterError, match=r"^crops of 1x33x3 don't fit into images of 3x32x32$"):
        random_crops(drawn, (1, 33, 3), 4, seed=0)
    whole = random_crops(drawn, (3, 32, 32), 4, seed=0)
    assert all(any(torch.equal(crop, image) for image in drawn.images) for crop in whole.images)


@pytest.mark.parametrize("size", [2, 10, 25, 128, 1000])
@pytest.mark.parametrize("dataset", ["cifar10", "cifar100", "noise"])
def test_a_balanced_minibatch_has_the_classes_equally_often(dataset, size):
    batch = minibatch(dataset, "sample", 1, size, sampling="balanced")
    counts = np.bincount(batch.labels.numpy(), minlength=batch.num_classes)
    assert counts.sum() == size
    if dataset != "noise":
        _, labels = training_set(dataset, "sample")
        there = np.bincount(labels, minlength=batch.num_classes)
        assert (counts <= there).all()
        counts = counts[counts < there]  # the others had no image left
    assert counts.max() - counts.min() <= 1


def test_a_balanced_minibatch_is_the_slow_one():
    """Round by round, the next image of each class in the order of the uniform minibatch."""
    _, labels = training_set("cifar100", "sample")
    images, given = minibatch("cifar100", "sample", 4, 1024), np.bincount(labels).max()
    queues = {label: [] for label in range(100)}
    for image, label in zip(images.images, images.labels.tolist(), strict=True):
        queues[label].append(image)
    found = minibatch("cifar100", "sample", 4, 1024, sampling="balanced")
    start = 0
    for turn in range(given):
        expected = {label: queue[turn] for label, queue in queues.items() if len(queue) > turn}
        shown = found.labels[start : start + len(expected)].tolist()
        assert sorted(shown) == sorted(expected)
        for label, image in zip(shown, found.images[start:], strict=False):
            assert torch.equal(image, expected[label])
        start += len(expected)
    assert start == 1024


def test_no_class_comes_first_in_balanced_minibatches():
    # a batch of 5 of 10 classes has each of them in half of 200 draws, with a variance of 200 / 4
    counts = np.zeros(10)
    for seed in range(200):
        counts[minibatch("cifar10", "sample", seed, 5, sampling="balanced").labels.numpy()] += 1
    assert counts.sum() == 1000
    assert (np.abs(counts - 100) < 4 * np.sqrt(50)).all()
    orders = minibatch("cifar10", "sample", 0, 40, sampling="balanced").labels.reshape(4, 10)
    assert len({tuple(order) for order in orders.tolist()}) == 4


@pytest.mark.parametrize("sampling", ["uniform", "balanced"])
def test_the_rest_and_the_minibatch_are_the_split(sampling):
    images, labels = training_set("cifar100", "sample")
    drawn = minibatch("cifar100", "sample", 2, 300, sampling=sampling)
    rest, rest_labels = rest_of("cifar100", "sample", 2, 300, sampling)
    assert rest.dtype == np.uint8
    keys = [image.tobytes() for image in restore(drawn.images, "cifar100")]
    both = list(zip(keys, drawn.labels.tolist(), strict=True))
    both += zip((image.tobytes() for image in rest), rest_labels.tolist(), strict=True)
    assert sorted(both) == sorted(zip(map(bytes, images), labels.tolist(), strict=True))
    places = {image.tobytes(): place for place, image in enumerate(images)}
    found = [places[image.tobytes()] for image in rest]
    assert found == sorted(found)


def test_noise_has_no_rest():
    with pytest.raises(ParameterError, match="'noise' is drawn for each minibatch"):
        rest_of("noise", "sample", 0, 8)
    with pytest.raises(ParameterError, match="size 2049 is too large"):
        rest_of("cifar10", "sample", 0, 2049)
