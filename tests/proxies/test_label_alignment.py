"""The alignments against their formulas entry by entry, and the proxies that read them."""

import math

import numpy as np
import pytest
import torch
from tests.asking import score_network
from tests.proxies.test_ntk import Counts

from untrained.images.minibatches import Minibatch
from untrained.proxies import UndefinedScore, get_proxy
from untrained.proxies.label_alignment import centred_alignment, entry_correlation, label_matrix
from untrained.proxies.ntk import VARIANTS, LabelledKernel
from untrained.proxies.selections import ParameterSelection
from untrained.proxies.tangent_kernels import tangent_kernel
from untrained.scoring.engine import run_proxies
from untrained.scoring.execution import Execution
from untrained.scoring.request import Reading, parse_reading, shows_test

RNG = np.random.default_rng(0)
FACTOR = RNG.standard_normal((12, 30))
KERNEL = FACTOR @ FACTOR.T
LABELS = RNG.integers(0, 3, 12)
BOTH = {"lga": entry_correlation, "kernel_target_alignment": centred_alignment}


def slow_labels(labels):
    return np.array([[1.0 if a == b else -1.0 for b in labels] for a in labels])


def slow_correlation(first, second):
    """Return Pearson's correlation over the entries of two matrices, written out."""
    pairs = list(zip(first.ravel().tolist(), second.ravel().tolist(), strict=True))
    means = [math.fsum(column) / len(pairs) for column in zip(*pairs, strict=True)]
    off = [(a - means[0], b - means[1]) for a, b in pairs]
    product = math.fsum(a * b for a, b in off)
    squares = [math.fsum(pair[side] ** 2 for pair in off) for side in (0, 1)]
    return product / math.sqrt(squares[0] * squares[1])


def slow_alignment(first, second):
    """Return <HKH, HLH>_F / (||HKH||_F ||HLH||_F) with H = I - 11'/n."""
    centring = np.eye(len(first)) - np.ones_like(first) / len(first)
    left, right = (centring @ matrix @ centring for matrix in (first, second))
    return np.trace(left.T @ right) / math.sqrt(np.trace(left.T @ left) * np.trace(right.T @ right))


def test_the_label_matrix():
    assert label_matrix(np.array([2, 0, 2])).tolist() == [[1, -1, 1], [-1, 1, -1], [1, -1, 1]]


@pytest.mark.parametrize("seed", range(3))
def test_the_correlation_equals_the_formula(seed):
    rng = np.random.default_rng(seed)
    factor, labels = rng.standard_normal((40, 7)), rng.integers(0, 10, 40)
    kernel = factor @ factor.T + 3
    found = entry_correlation(kernel, labels)
    assert abs(found - slow_correlation(kernel, slow_labels(labels))) < 1e-10
    assert abs(found - np.corrcoef(kernel.ravel(), slow_labels(labels).ravel())[0, 1]) < 1e-10


@pytest.mark.parametrize("seed", range(3))
def test_the_centred_alignment_equals_the_formula(seed):
    rng = np.random.default_rng(seed)
    factor, labels = rng.standard_normal((40, 7)), rng.integers(0, 10, 40)
    kernel = factor @ factor.T + 3
    found = centred_alignment(kernel, labels)
    assert abs(found - slow_alignment(kernel, slow_labels(labels))) < 1e-10
    # labels as 0 and 1 give the same matrix once centred
    assert abs(found - slow_alignment(kernel, (slow_labels(labels) + 1) / 2)) < 1e-10


@pytest.mark.parametrize("alignment", BOTH.values())
def test_what_an_alignment_does_not_depend_on(alignment):
    expected = alignment(KERNEL, LABELS)
    for scale in (1e-200, 3.7, 1e150):
        assert alignment(scale * KERNEL, LABELS) == pytest.approx(expected, abs=1e-12)
    assert alignment(-KERNEL, LABELS) == pytest.approx(-expected, abs=1e-12)
    assert alignment(KERNEL + 5, LABELS) == pytest.approx(expected, abs=1e-12)
    order = RNG.permutation(12)
    assert alignment(KERNEL[order][:, order], LABELS[order]) == pytest.approx(expected, abs=1e-12)
    assert alignment(KERNEL, LABELS[order]) != pytest.approx(expected, abs=1e-3)
    renamed = np.array([7, 99, 0])[LABELS]
    assert alignment(KERNEL, renamed) == expected


@pytest.mark.parametrize("alignment", BOTH.values())
def test_a_kernel_that_knows_the_labels_has_1(alignment):
    assert alignment(label_matrix(LABELS), LABELS) == pytest.approx(1, abs=1e-12)


def test_the_two_differ():
    images = RNG.uniform(1, 5, 12)
    kernel = KERNEL + 10 * (images[:, None] + images[None])  # double centring removes this
    assert centred_alignment(kernel, LABELS) == pytest.approx(centred_alignment(KERNEL, LABELS))
    assert abs(entry_correlation(kernel, LABELS) - entry_correlation(KERNEL, LABELS)) > 0.01


@pytest.mark.parametrize("alignment", BOTH.values())
def test_one_class_has_no_alignment(alignment):
    with pytest.raises(UndefinedScore, match=r"^all 12 images of the minibatch have label 4$") as c:
        alignment(KERNEL, np.full(12, 4))
    assert c.value.status == "constant_labels"


@pytest.mark.parametrize("alignment", BOTH.values())
@pytest.mark.parametrize("value", [0.0, 0.1, 1e-300, 1e12])
def test_a_constant_kernel_has_no_alignment(alignment, value):
    with pytest.raises(UndefinedScore, match=r"^the kernel's 144 entries don't differ") as caught:
        alignment(np.full((12, 12), value), LABELS)
    assert caught.value.status == "constant_kernel"


def test_a_kernel_without_contrasts_has_no_centred_alignment():
    images = RNG.uniform(1, 5, 12)
    with pytest.raises(UndefinedScore, match=r"^the kernel's 144 entries don't differ once"):
        centred_alignment(images[:, None] + images[None], LABELS)


IMAGES = torch.from_numpy(RNG.standard_normal((6, 3, 2, 2))).float()
BATCH = Minibatch(IMAGES, torch.tensor([0, 1, 1, 2, 0, 1]), 3)


@pytest.mark.parametrize("name", BOTH)
def test_the_default_is_the_papers(name):
    proxy = get_proxy(name)
    assert proxy.variant == "weights_without_classifier_train"
    assert str(Reading(proxy)) == name
    assert proxy.direction == "higher"
    assert proxy.needs == {"gradients", "labels"}
    assert sorted(proxy.variants) == sorted({*VARIANTS, *proxy.kernels})
    assert proxy.kernels.items() >= {n: k for n, k in VARIANTS.items() if n != "released"}.items()


@pytest.mark.parametrize(("name", "variant"), [(n, v) for n in BOTH for v in get_proxy(n).variants])
def test_a_score_is_the_alignment_of_the_variants_kernel(name, variant):
    found = get_proxy(name, variant)(Counts(), BATCH, torch.Generator())
    settings, network = get_proxy(name).kernels[variant], Counts()
    network.train(settings.mode == "train")
    kernel = tangent_kernel(network, BATCH.images, settings.selection).numpy()
    assert abs(found - BOTH[name](kernel, BATCH.labels.numpy())) < 1e-6
    if variant == "weights_without_classifier_eval":
        other = tangent_kernel(network, BATCH.images, ParameterSelection("weights")).numpy()
        assert abs(found - BOTH[name](other, BATCH.labels.numpy())) > 1e-4


def test_one_kernel_serves_all_proxies_of_a_variant():
    variant, passes = "weights_without_classifier_eval", []
    for names in (["lga"], ["lga", "ntk_mean", "kernel_target_alignment", "ntk_trace"]):
        network = Counts()
        proxies = [get_proxy(name, variant) for name in names]
        found = run_proxies(network, proxies, BATCH, Execution(), 0)
        assert all(np.isfinite(value) for value, _ in found)
        passes.append(network.passes)
    assert passes[0] == passes[1]


def test_a_minibatch_of_one_class_says_so_and_leaves_the_others_their_number():
    alike = Minibatch(IMAGES, torch.full((6,), 2), 3)
    build = lambda _: Counts()  # noqa: E731
    found = score_network(build, get_proxy("lga"), alike, Execution(), 0)
    assert (found.score, found.status) == (None, "constant_labels")
    assert found.reason == "all 6 images of the minibatch have label 2"
    found = score_network(build, get_proxy("ntk_mean"), alike, Execution(), 0)
    assert found.status == "ok"


def test_a_kernel_that_is_not_finite_has_no_alignment():
    kernel = KERNEL.copy()
    kernel[0, 1] = np.nan
    with pytest.raises(UndefinedScore, match=r"^1 of the kernel's 144 entries are not") as caught:
        get_proxy("lga").read(LabelledKernel(kernel, LABELS))
    assert caught.value.status == "non_finite"


@pytest.mark.parametrize(("variant", "mode"), [("released", "train"), ("released_eval", "eval")])
def test_the_released_code_reads_test_images_after_training(variant, mode):
    settings = get_proxy("lga").kernels[variant]
    assert (settings.selection.name, settings.mode) == ("weights_without_classifier", mode)
    before, after = (parse_reading(f"lga-{variant}{at}").setting for at in ("", "@1"))
    assert (before.images, before.skeleton, before.shows_test) == (256, None, False)
    assert (after.images, after.skeleton, after.shows_test) == (256, None, True)
    assert str(after).endswith("; 256 test images after 1 epoch")
    assert shows_test(f"lga-{variant}@0.5")
    for other in (f"lga-{variant}", "lga@1", "kernel_target_alignment-released@1", "tenas"):
        assert not shows_test(other)


@pytest.mark.parametrize("variant", ["released", "released_eval"])
def test_where_there_is_no_correlation_the_released_code_has_a_number(variant):
    proxy = get_proxy("lga", variant)
    nan = np.where(KERNEL[0, 0] == KERNEL, np.nan, KERNEL)
    for kernel, labels in ((np.zeros((12, 12)), LABELS), (nan, LABELS), (KERNEL, LABELS * 0)):
        assert proxy.read(LabelledKernel(kernel, labels)) == 1e-4
        with pytest.raises(UndefinedScore):
            get_proxy("lga").read(LabelledKernel(kernel, labels))
    assert proxy.read(LabelledKernel(KERNEL, LABELS)) == entry_correlation(KERNEL, LABELS)
