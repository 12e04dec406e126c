import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from untrained.errors import ParameterError
from untrained.proxies.naswot import activation_kernel
from untrained.proxies.rectifiers import RectifierMode, rectifier_modules, rectifiers_on_path

SEEN = {
    "F.relu": F.relu,
    "F.relu by keyword": lambda x: F.relu(input=x),
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "F.relu_": F.relu_,
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "Tensor.relu": lambda x: x.relu(),
    "Tensor.relu_": lambda x: x.relu_(),
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "F.relu6": F.relu6,
    "nn.ReLU6": nn.ReLU6(),
    "nn.ReLU6 in place": nn.ReLU6(inplace=True),
    "F.leaky_relu": F.leaky_relu,
    "F.leaky_relu_": F.leaky_relu_,
    "nn.LeakyReLU in place": nn.LeakyReLU(inplace=True),
    "nn.PReLU": nn.PReLU(),
    "F.prelu": lambda x: F.prelu(x, torch.tensor([0.1])),
    "torch.prelu": lambda x: torch.prelu(x, torch.tensor([0.1])),
    "Tensor.prelu": lambda x: x.prelu(torch.tensor([0.1])),
    "nn.RReLU": nn.RReLU(),
    "torch.rrelu": torch.rrelu,
    "torch.rrelu_": torch.rrelu_,
    "torch.clamp": lambda x: torch.clamp(x, min=0),
    "torch.clamp both sides": lambda x: torch.clamp(x, 0, 6),
    "Tensor.clamp": lambda x: x.clamp(0),
    "Tensor.clamp_": lambda x: x.clamp_(min=0.0),
    "torch.clip": lambda x: torch.clip(x, min=0),
    "Tensor.clip_": lambda x: x.clip_(0),
    "torch.clamp_min": lambda x: torch.clamp_min(x, 0),
    "Tensor.clamp_min": lambda x: x.clamp_min(0),
    "Tensor.clamp_min_": lambda x: x.clamp_min_(min=0),
    "F.hardtanh": lambda x: F.hardtanh(x, 0, 6),
    "F.hardtanh by keyword": lambda x: F.hardtanh(x, min_val=0.0),
    "F.hardtanh_": lambda x: F.hardtanh_(x, 0, 1),
    "nn.Hardtanh": nn.Hardtanh(0, 1),
    "F.threshold": lambda x: F.threshold(x, 0, 0),
    "torch.threshold_": lambda x: torch.threshold_(x, threshold=0, value=0),
    "nn.Threshold": nn.Threshold(0, -1),
}
UNSEEN = {
    "tanh": torch.tanh,
    "clamp at 1": lambda x: x.clamp(min=1),
    "clamp_min at 1": lambda x: x.clamp_min(1),
    "clamp from above": lambda x: x.clamp(max=0),
    "hardtanh": F.hardtanh,
    "threshold at 1": lambda x: F.threshold(x, 1, 0),
    "elu": F.elu,
    "gelu": F.gelu,
    "sigmoid": torch.sigmoid,
}


class Applies(nn.Module):
    """A network of a layer, a function and a layer that records the input of the function."""

    def __init__(self, function):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)
        self.function = function

    def forward(self, x):
        x = self.first(x)
        self.given = x.detach().clone()
        return self.second(self.function(x))


def hamming_kernel(codes):
    """Return N_A less the Hamming distance of every pair of rows of boolean codes (N, N_A)."""
    return [[float((a == b).sum()) for b in codes] for a in codes]


@pytest.mark.parametrize("name", SEEN)
def test_every_spelling_of_a_rectifier_is_seen_once(name):
    torch.manual_seed(0)
    network = Applies(SEEN[name])
    kernel = activation_kernel(network, torch.randn(5, 3, 8, 8))
    assert kernel.tolist() == hamming_kernel((network.given > 0).flatten(1))
    assert kernel[0, 0] == 4 * 6 * 6


@pytest.mark.parametrize("name", UNSEEN)
@pytest.mark.parametrize("variant", ["corrected", "released"])
def test_what_does_not_switch_at_zero_is_no_rectifier(name, variant):
    with pytest.raises(ParameterError, match=r"^Applies applies no rectifier: naswot scores"):
        activation_kernel(Applies(UNSEEN[name]), torch.randn(5, 3, 8, 8), variant)


def test_the_calls_around_a_rectifier_get_its_input_and_its_output():
    seen = []
    with RectifierMode(lambda x: seen.append(x.clone()), seen.append):
        output = torch.tensor([-1.0, 2.0]).relu_()
    assert [value.tolist() for value in seen] == [[-1, 2], [0, 2]]
    assert seen[1] is output


def test_modules_are_found_by_the_name_of_their_type():
    class MyReLUBlock(nn.Module):
        def forward(self, x):
            return x + 1

    network = nn.Sequential(nn.ReLU(), MyReLUBlock(), nn.PReLU(), nn.Tanh(), nn.Threshold(0, 0))
    seen = []
    with rectifier_modules(network, lambda x: seen.append(x.tolist())):
        network(torch.tensor([[-2.0, 3.0]]))
    assert seen == [[[-2, 3]], [[0, 3]], [[1, 4]]]
    network(torch.zeros(1, 2))
    assert len(seen) == 3


class Branches(nn.Module):
    def __init__(self, forward):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(3, 3, 1) for _ in range(4))
        self.branches = forward

    def forward(self, x):
        return self.branches(x, *self.layers)


def unused_branch(x, a, b, *_):
    F.relu(b(x))
    return F.relu(a(x))


def constant_branch(x, a, b, *_):
    return F.relu(a(x)) + F.relu(b(torch.ones_like(x)))


def detached_branch(x, a, b, *_):
    return F.relu(a(x)) + F.relu(b(x)).detach()


def branch_times_nothing(x, a, b, *_):
    # a multiplication by zero stays part of the graph
    return F.relu(a(x)) + 0 * F.relu(b(x))


def chain_to_nowhere(x, a, b, c, d):
    F.relu(c(F.relu(b(x))))
    return d(F.relu(a(x)))


def shared_first_rectifier(x, a, b, c, _):
    first = F.relu(a(x))
    F.relu(b(first))
    return c(first), {"too": F.relu(c(first))}


@pytest.mark.parametrize(
    ("branches", "expected"),
    [
        (unused_branch, [False, True]),
        (constant_branch, [True, False]),
        (detached_branch, [True, False]),
        (branch_times_nothing, [True, True]),
        (chain_to_nowhere, [False, False, True]),
        (shared_first_rectifier, [True, False, True]),
    ],
)
def test_rectifiers_count_where_they_lie_between_input_and_output(branches, expected):
    network = Branches(branches)
    assert rectifiers_on_path(network, torch.randn(2, 3, 4, 4)) == expected
    kernel = activation_kernel(network, torch.randn(5, 3, 4, 4))
    assert kernel[0, 0] == sum(expected) * 3 * 4 * 4
    released = Branches(lambda x, *layers: branches(x, *layers))
    with pytest.raises(ParameterError, match="Branches applies no rectifier"):
        activation_kernel(released, torch.randn(5, 3, 4, 4), "released")  # functions have no hooks


def test_the_input_itself_may_be_rectified_in_place():
    network = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 2, 1))
    images = torch.randn(4, 3, 5, 5)
    expected = hamming_kernel((images > 0).flatten(1))
    assert activation_kernel(network, images.clone()).tolist() == expected


def test_frozen_parameters_stay_frozen_and_others_do_not():
    network = Branches(unused_branch)
    network.layers[1].weight.requires_grad_(False)
    before = [parameter.requires_grad for parameter in network.parameters()]
    with torch.no_grad():
        assert rectifiers_on_path(network, torch.randn(2, 3, 4, 4)) == [False, True]
    assert [parameter.requires_grad for parameter in network.parameters()] == before
    assert before.count(False) == 1
