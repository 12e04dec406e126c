"""The five scores of a kernel, their settings, and kernels without a score."""

import numpy as np
import pytest
import torch
from tests.asking import score_network, score_work
from torch import nn

from untrained.images.minibatches import Minibatch
from untrained.proxies import PROXIES, UndefinedScore, get_proxy, setting_of
from untrained.proxies.ntk import VARIANTS, LabelledKernel, positive_eigenvalues
from untrained.proxies.selections import ParameterSelection
from untrained.proxies.tangent_kernels import tangent_kernel
from untrained.scoring.engine import run_proxies
from untrained.scoring.execution import Execution
from untrained.scoring.images import MinibatchSettings
from untrained.spaces.base import Skeleton

NAMES = PROXIES.names("ntk_*")
MATRIX = np.random.default_rng(0).standard_normal((5, 9))
KERNEL = MATRIX @ MATRIX.T


def unlabelled(kernel):
    """Wrap a kernel for scores that don't use labels."""
    return LabelledKernel(kernel, np.zeros(len(kernel), np.int64))


@pytest.mark.parametrize(
    ("name", "direction", "slow"),
    [
        ("ntk_condition_number", "lower", lambda k: np.linalg.cond(k, 2)),
        ("ntk_min_eigenvalue", "higher", lambda k: np.linalg.svd(MATRIX)[1].min() ** 2),
        ("ntk_frobenius_norm", "higher", lambda k: sum(x * x for r in k for x in r) ** 0.5),
        ("ntk_mean", "higher", lambda k: sum(x for r in k for x in r) / 25),
        ("ntk_trace", "higher", lambda k: sum(k[i][i] for i in range(5))),
    ],
)
def test_the_numbers_of_a_kernel(name, direction, slow):
    proxy = get_proxy(name)
    assert proxy.direction == direction
    assert proxy.read(unlabelled(KERNEL)) == pytest.approx(slow(KERNEL), rel=1e-9)


def test_there_are_five():
    assert len(NAMES) == 5


def test_eigenvalues_that_are_not_positive_are_counted():
    thin = np.random.default_rng(1).standard_normal((5, 3))
    with pytest.raises(UndefinedScore, match=r"^2 of the kernel's 5 eigenvalues are not positive$"):
        positive_eigenvalues(thin @ thin.T)
    with pytest.raises(UndefinedScore, match=r"^1 of the kernel's 2 ") as caught:
        positive_eigenvalues(np.diag([1.0, -1.0]))
    assert caught.value.status == "singular"
    with pytest.raises(UndefinedScore, match=r"^3 of the kernel's 3 "):
        positive_eigenvalues(np.zeros((3, 3)))
    assert positive_eigenvalues(np.diag([2.0, 1e-9])).tolist() == [1e-9, 2.0]
    for name in NAMES:
        if name not in ("ntk_condition_number", "ntk_min_eigenvalue"):
            assert np.isfinite(get_proxy(name).read(unlabelled(np.zeros((3, 3)))))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_kernel_that_is_not_finite_has_no_number(name, value):
    kernel = KERNEL.copy()
    kernel[0, 1] = value
    with pytest.raises(UndefinedScore, match=r"^1 of the kernel's 25 entries are not") as caught:
        get_proxy(name).read(unlabelled(kernel))
    assert caught.value.status == "non_finite"


class Counts(nn.Module):
    """A network of two layers and a normalisation whose forward passes are counted.

    They are counted outside of it, since a network is put back between the proxies that read it.
    """

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.classifier = nn.Linear(8, 3)
        _PASSES[id(self)] = 0

    def forward(self, x):
        _PASSES[id(self)] += 1
        return self.classifier(self.layers(x))

    @property
    def passes(self):
        return _PASSES[id(self)]


#: Forward passes by network.
_PASSES = {}


BATCH = Minibatch(torch.randn(5, 3, 2, 2), torch.zeros(5, dtype=torch.int64), 3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_is_a_selection_and_a_mode(variant):
    network = Counts()
    settings = VARIANTS[variant]
    found = get_proxy("ntk_trace", variant)(network, BATCH, torch.Generator())
    assert network.training
    network.train(settings.mode == "train")
    kernel = tangent_kernel(network, BATCH.images, settings.selection)
    assert found == pytest.approx(float(kernel.trace()), rel=1e-6)
    if "_train" in variant or "_eval" in variant:
        name, _, mode = variant.rpartition("_")
        assert settings.selection == ParameterSelection(name)
        assert settings.mode == mode
        assert setting_of(get_proxy("ntk_mean", variant)) == setting_of(get_proxy("naswot"))


def test_the_paper_and_its_code_have_their_own_network_and_minibatch():
    paper, released = (setting_of(get_proxy(f"ntk_mean{v}")) for v in ("", "-released"))
    assert paper.skeleton == released.skeleton == Skeleton(channels=3, cells=1)
    assert (paper.images, released.images) == (32, 72)
    assert str(paper).endswith("; 32 images of the minibatch")


def test_one_kernel_serves_all_five():
    passes = []
    for names in (NAMES, NAMES[:1]):
        network = Counts()
        found = run_proxies(network, [get_proxy(n) for n in names], BATCH, Execution(), 0)
        assert all(np.isfinite(value) for value, _ in found)
        passes.append(network.passes)
    assert passes[0] == passes[1]
    # another variant has another kernel
    mixed = [get_proxy("ntk_trace"), get_proxy("ntk_trace-all_train")]
    (first, _), (second, _) = run_proxies(Counts(), mixed, BATCH, Execution(), 0)
    assert first < second


def test_a_kernel_that_failed_fails_all_five_alike():
    network = Counts()
    nn.init.constant_(network.classifier.weight, float("nan"))
    for name in NAMES:
        found = score_network(lambda _: network, get_proxy(name), BATCH, Execution(), 0)
        assert (found.score, found.status) == (None, "non_finite")
    bare = nn.Sequential(nn.Flatten(), nn.ReLU())
    found = score_network(lambda _: bare, get_proxy("ntk_mean"), BATCH, Execution(), 0)
    assert (found.status, found.reason) == ("no_parameters", "Sequential has no trainable weights")


def test_each_proxy_gets_the_network_and_the_images_that_it_asks_for(space, monkeypatch):
    seen = []
    original = type(space).network

    def network(self, architecture, num_classes, skeleton=None):
        made = original(self, architecture, num_classes, skeleton)
        made.register_forward_pre_hook(lambda _m, x: seen.append((skeleton, tuple(x[0].shape))))
        return made

    monkeypatch.setattr(type(space), "network", network)
    spellings = ["naswot", "ntk_trace", "linear_regions", "ntk_mean", "ntk_trace-all_eval"]
    proxies = [get_proxy(name) for name in spellings]
    settings = MinibatchSettings(batch_size=4)
    (found,) = score_work(space, [(45, proxies)], settings, 0, Execution(engine="plain"))
    assert [one.status for one in found] == ["ok"] * 5
    thin = Skeleton(channels=1, cells=1, stages=1, stem=False)
    assert (Skeleton(3, 1), (32, 3, 32, 32)) in seen
    assert (None, (4, 3, 32, 32)) in seen
    assert (thin, (1000, 1, 3, 3)) in seen
    alone = [
        next(score_work(space, [(45, [proxy])], settings, 0, Execution(engine="plain")))[0].score
        for proxy in proxies
    ]
    assert [one.score for one in found] == pytest.approx(alone, rel=1e-6)
