import pytest
import torch
from tests.networks.own_networks import Of, transformer
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from untrained.proxies.base import UndefinedScore
from untrained.proxies.naswot import activation_kernel
from untrained.proxies.rectifiers import ActivationMode, activations_of, rectifier_modules

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


OTHERS = {
    **{
        f"nn.{kind.__name__}": kind()
        for kind in (
            *(nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh),
            *(nn.LogSigmoid, nn.Mish, nn.SELU, nn.Sigmoid, nn.SiLU, nn.Softplus, nn.Softshrink),
            *(nn.Softsign, nn.Tanh, nn.Tanhshrink),
        )
    },
    **{
        f"nn.{kind.__name__} in place": kind(inplace=True)
        for kind in (nn.CELU, nn.ELU, nn.Hardsigmoid, nn.Hardswish, nn.Mish, nn.SELU, nn.SiLU)
    },
    "nn.GELU by tanh": nn.GELU("tanh"),
    "nn.Threshold": nn.Threshold(1, 0),
    "F.silu by keyword": lambda x: F.silu(input=x),
    "F.elu_": F.elu_,
    "F.selu_": F.selu_,
    "F.sigmoid": F.sigmoid,
    "F.tanh": F.tanh,
    "torch.selu_": torch.selu_,
    "torch.celu": torch.celu,
    "torch.tanh_": torch.tanh_,
    "torch.special.expit": torch.special.expit,
    "Tensor.sigmoid": lambda x: x.sigmoid(),
    "Tensor.tanh_": lambda x: x.tanh_(),
    "Tensor.hardshrink": lambda x: x.hardshrink(),
    "SiLU by hand": lambda x: x * torch.sigmoid(x),
    "GELU by hand": lambda x: x * (1 + torch.erf(x / 2**0.5)) / 2,
    "GELU by tanh by hand": lambda x: x * (1 + torch.tanh(0.8 * (x + 0.04 * x**3))) / 2,
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


@pytest.mark.parametrize("name", OTHERS)
def test_signs_are_read_off_every_activation_function_once(name):
    torch.manual_seed(0)
    network, images = Applies(OTHERS[name]), torch.randn(5, 3, 8, 8)
    kernel = activation_kernel(network, images, "signs")
    assert kernel.tolist() == hamming_kernel((network.given > 0).flatten(1))
    with pytest.raises(UndefinedScore, match=r"but 1 \w+: naswot-signs reads those$"):
        activation_kernel(network, images)


@pytest.mark.parametrize("name", SEEN)
def test_rectifiers_have_the_same_codes_by_sign(name):
    network, images = Applies(SEEN[name]), torch.randn(5, 3, 8, 8)
    signs, codes = (activation_kernel(network, images, one) for one in ("signs", "corrected"))
    assert signs.tolist() == codes.tolist()


@pytest.mark.parametrize("glu", [nn.GLU(1), lambda x: F.glu(x, 1), lambda x: F.glu(x, dim=1)])
def test_the_gate_of_a_gated_unit_has_the_signs(glu):
    network = Applies(glu)
    network.second = nn.Conv2d(2, 2, 3)
    kernel = activation_kernel(network, torch.randn(5, 3, 8, 8), "signs")
    assert kernel.tolist() == hamming_kernel((network.given[:, 2:] > 0).flatten(1))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("activation", ["gelu", "relu", lambda x: F.silu(x, inplace=True)])
def test_activations_in_blocks_of_attention_are_read(activation, training):
    torch.manual_seed(0)
    network, images = transformer(activation).train(training), torch.randn(5, 3, 8, 8)
    codes = []

    def see(_layer, _given, made):
        codes.append((made > 0).flatten(1))

    handles = [block.linear1.register_forward_hook(see) for block in network.blocks.layers]
    with torch.enable_grad():  # without gradients they would run as one operation
        network(images)
    for handle in handles:
        handle.remove()
    kernel = activation_kernel(network, images, "signs")
    assert kernel.tolist() == hamming_kernel(torch.cat(codes, 1))
    assert kernel[0, 0] == 2 * 4 * 12


def test_signs_count_on_paths_alone():
    def forward(self, x):
        F.gelu(self.b(x))
        return F.silu(self.a(x)) + torch.sigmoid(self.b(torch.ones_like(x)))

    network = Of(forward, a=nn.Conv2d(3, 3, 1), b=nn.Conv2d(3, 3, 1))
    images = torch.randn(5, 3, 4, 4)
    assert activation_kernel(network, images, "signs")[0, 0] == 3 * 4 * 4
    with pytest.raises(UndefinedScore, match=r"but 1 silu: naswot-signs"):
        activation_kernel(network, images)


def windows(self, x):
    """Rectify the quarters of images, which follow each other image by image."""
    x = self.a(x)
    x = x.unflatten(3, (2, 4)).unflatten(2, (2, 4)).permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
    return F.relu(x).mean((2, 3))


def tokens_first(self, x):
    return F.relu(self.a(x).flatten(2).permute(2, 0, 1)).mean(0)


def one_after_the_other(self, x):
    """Rectify two versions of all images, one version after the other."""
    return F.relu(torch.cat([self.a(x), self.a(-x)])).mean((2, 3))


def over_images(self, x):
    return F.relu(self.a(x).mean((0, 2, 3))) * x.mean((1, 2, 3))[:, None]


@pytest.mark.parametrize("forward", [windows, tokens_first])
@pytest.mark.parametrize("images", [2, 5])
def test_codes_are_those_of_images_wherever_their_dimension_is(forward, images):
    network, shown = Of(forward, a=nn.Conv2d(3, 4, 1)), torch.randn(images, 3, 8, 8)
    kernel = activation_kernel(network, shown)
    assert kernel.tolist() == hamming_kernel((network.a(shown) > 0).flatten(1))


@pytest.mark.parametrize("images", [2, 5])
def test_two_parts_of_an_image_are_no_images(images):
    """Which dimension goes from image to image is asked of two images: both have their length."""

    def parts_first(self, x):
        return F.relu(torch.stack([self.a(x), self.a(-x)])).sum(0).mean((2, 3))

    network, shown = Of(parts_first, a=nn.Conv2d(3, 4, 1)), torch.randn(images, 3, 8, 8)
    codes = [(network.a(sign * shown) > 0).flatten(1) for sign in (1, -1)]
    assert activation_kernel(network, shown).tolist() == hamming_kernel(torch.cat(codes, 1))


@pytest.mark.parametrize("forward", [one_after_the_other, over_images])
def test_activations_without_a_row_for_each_image_are_refused(forward):
    network, shown = Of(forward, a=nn.Conv2d(3, 4, 1)), torch.randn(5, 3, 8, 8)
    for variant in ("corrected", "signs"):
        with pytest.raises(UndefinedScore, match="has no dimension that goes from") as caught:
            activation_kernel(network, shown, variant)
        assert caught.value.status == "not_applicable"
    named = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(0, 1), nn.ReLU())
    with pytest.raises(UndefinedScore, match="has no dimension that goes from"):
        activation_kernel(named, shown, "released")


class Changes(nn.Module):
    """A network that applies more rectifiers, or fewer, each time."""

    def __init__(self, calls):
        super().__init__()
        self.calls = list(calls)

    def forward(self, x):
        for _ in range(self.calls.pop(0)):
            x = torch.relu(x)
        return x


@pytest.mark.parametrize("calls", [(1, 2), (2, 1)])
def test_networks_that_change_are_refused(calls):
    with pytest.raises(UndefinedScore, match=r"^the network applies other activation") as caught:
        activation_kernel(Changes(calls), torch.randn(5, 3, 8, 8))
    assert caught.value.status == "not_applicable"


@pytest.mark.parametrize("name", UNSEEN)
@pytest.mark.parametrize("variant", ["corrected", "released"])
def test_what_does_not_switch_at_zero_is_no_rectifier(name, variant):
    with pytest.raises(UndefinedScore) as caught:
        activation_kernel(Applies(UNSEEN[name]), torch.randn(5, 3, 8, 8), variant)
    assert caught.value.status == "no_rectifiers"


def test_the_calls_around_a_function_get_its_input_and_its_output():
    seen = []
    with ActivationMode(
        lambda one, x: seen.append((one.name, x.clone())), lambda one, x: seen.append((one.name, x))
    ):
        output = torch.tensor([-1.0, 2.0]).relu_()
        torch.tensor([1.0]).clamp(min=1)
    assert [(name, value.tolist()) for name, value in seen] == [
        ("relu", [-1, 2]), ("relu", [0, 2]),
    ]  # fmt: skip
    assert seen[1][1] is output


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


def on_path(network):
    return [one.on_path for one in activations_of(network, torch.randn(2, 3, 4, 4)).calls]


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
    assert on_path(network) == expected
    kernel = activation_kernel(network, torch.randn(5, 3, 4, 4))
    assert kernel[0, 0] == sum(expected) * 3 * 4 * 4
    released = Branches(lambda x, *layers: branches(x, *layers))
    with pytest.raises(UndefinedScore, match="Branches has no module with ReLU in its name"):
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
        assert on_path(network) == [False, True]
    assert [parameter.requires_grad for parameter in network.parameters()] == before
    assert before.count(False) == 1
