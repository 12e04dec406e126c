"""Kernels against one backward pass per image, PyTorch's Jacobians and another package."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev, vmap
from torch.nn import functional

from untrained.errors import ParameterError, UnknownNameError
from untrained.images.minibatches import Minibatch, minibatch
from untrained.proxies import UndefinedScore, get_proxy, tangent_kernels
from untrained.proxies.selections import SELECTIONS, ParameterSelection
from untrained.proxies.tangent_kernels import tangent_kernel
from untrained.spaces.base import Skeleton

# all 3x3; dead branches; skips and pools; few edges; a node without input
CELLS = [1462, 10525, 7777, 13714, 45]


@pytest.fixture(scope="module")
def images():
    return minibatch("cifar10", "sample", 0, 6).images[:, :, ::2, ::2].contiguous()


def made(space, index, channels=3, cells=1):
    torch.manual_seed(index)
    return space.network(space[index], 10, Skeleton(channels, cells))


def chosen(network, name):
    return {
        key: parameter
        for key, parameter in network.named_parameters()
        if name == "all"
        or ("weight" in key and not ("classifier" in key and name.endswith("without_classifier")))
    }


def slow_kernel(network, images, name):
    """Return Theta by backward passes into `.grad`, and inner products pair by pair."""
    network = network.double()
    sums = network(images.double()).sum(1)
    gradients = []
    for one in sums:
        network.zero_grad()
        one.backward(retain_graph=True)
        gradients.append(
            [np.zeros(0) if p.grad is None else p.grad.numpy().copy().ravel()
             for p in chosen(network, name).values()]
        )  # fmt: skip
    return np.array(
        [[sum(a @ b for a, b in zip(g, h, strict=True)) for h in gradients] for g in gradients]
    )


def contracted_jacobian(network, images, name):
    """Return J J' summed over pairs of logits, J (n, classes, parameters) by `torch.func`."""
    network = network.double()

    def logits(parameters, image):
        return functional_call(network, parameters, (image[None],))[0]

    parameters = {key: p.detach() for key, p in chosen(network, name).items()}
    found = vmap(jacrev(logits), (None, 0))(parameters, images.double())
    return sum(
        torch.einsum("icp,jdp->ij", j.flatten(2), j.flatten(2)).detach() for j in found.values()
    ).numpy()


@pytest.mark.parametrize("name", SELECTIONS)
@pytest.mark.parametrize("index", CELLS)
def test_training_mode_is_one_backward_pass_per_image(space, images, index, name):
    kernel = tangent_kernel(made(space, index).double(), images.double(),
                            ParameterSelection(name)).numpy()  # fmt: skip
    assert kernel.dtype == np.float64
    expected = slow_kernel(made(space, index), images, name)
    np.testing.assert_allclose(kernel, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())


def test_what_is_drawn_is_the_same_without_loops(space, images):
    """The forward pass that is recorded draws first; then the network is run again."""
    shown = images.double()

    def network():
        torch.manual_seed(0)
        return nn.Sequential(made(space, 7777), nn.Dropout(0.3)).double()

    torch.manual_seed(1)
    found = tangent_kernel(network(), shown)
    torch.manual_seed(1)
    expected = slow_kernel(network(), shown, "weights")
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("name", SELECTIONS)
@pytest.mark.parametrize("index", CELLS)
def test_evaluation_mode_is_the_contraction_of_jacobians(space, images, index, name):
    network = made(space, index).eval().double()
    kernel = tangent_kernel(network, images.double(), ParameterSelection(name)).numpy()
    expected = contracted_jacobian(made(space, index).eval(), images, name)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(kernel, expected, rtol=1e-9, atol=1e-12 * scale)
    slow = slow_kernel(made(space, index).eval(), images, name)
    np.testing.assert_allclose(kernel, slow, rtol=1e-9, atol=1e-12 * scale)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("channels", "cells"), [(3, 1), (16, 1)])
def test_eigenvalues_in_float32(space, images, channels, cells, layout):
    def network():
        return made(space, 7777, channels, cells).to(memory_format=layout)

    shown = images.to(memory_format=layout)
    plain = network()
    sums, rows = plain(shown).sum(1), []
    weights = list(chosen(plain, "weights").values())
    for one in sums:
        found = torch.autograd.grad(one, weights, retain_graph=True)
        rows.append(torch.cat([g.flatten() for g in found]).double())
    expected = torch.linalg.eigvalsh(torch.stack(rows) @ torch.stack(rows).T)
    found = torch.linalg.eigvalsh(tangent_kernel(network(), shown))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("training", [False, True])
def test_products_of_float32_gradients_are_summed_in_float64(training):
    """The gradient of a linear network is its image: the determinant of one kernel is 2^-26."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 1, bias=False)).train(training)
    images = torch.tensor([[1, 0], [1, 2**-13]]).reshape(2, 1, 1, 2)
    kernel = tangent_kernel(network, images)
    # in float32 1 + 2^-26 is 1, so the kernel would be singular
    assert kernel.tolist() == [[1, 1], [1, 1 + 2**-26]]
    assert torch.linalg.eigvalsh(kernel)[0].item() == pytest.approx(2**-27, rel=1e-6)


class Plain(nn.Module):
    """A network of convolutions with biases and without normalisations."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(2), nn.Flatten()),
        )
        self.classifier = nn.Linear(16, 10)

    def forward(self, x):
        return self.classifier(self.features(x))


def judged(network, images, name):
    """Return Theta by nngeometry, which selects layers where we select parameters.

    For all parameters it is the package's Gram matrix (classes, n, classes, n), summed over both
    classes. For a selection it is computed from the columns of the package's Jacobian (classes, n,
    parameters), in which the weight of a layer comes before its bias.
    """
    reason = "needs nngeometry: make install"
    gram = pytest.importorskip("nngeometry.gram", reason=reason)
    jacobian = pytest.importorskip("nngeometry.jacobian", reason=reason)
    layers = pytest.importorskip("nngeometry.layercollection", reason=reason)
    data = torch.utils.data.TensorDataset(images, torch.zeros(len(images)))
    collected = layers.LayerCollection.from_model(network)
    asked = {
        "loader": torch.utils.data.DataLoader(data, batch_size=len(images)),
        "function": lambda x, _labels: network(x),
        "layer_collection": collected,
    }
    if name == "all":
        return gram.GramMatrix(network, **asked).data.sum((0, 2)).detach()
    kept = torch.zeros(collected.numel(), dtype=torch.bool)
    for layer, start in collected.p_pos.items():
        if not (layer == "classifier" and name.endswith("without_classifier")):
            kept[start : start + dict(network.named_modules())[layer].weight.numel()] = True
    rows = jacobian.Jacobian(network, **asked).data.sum(0)[:, kept].detach()
    return rows @ rows.T


@pytest.mark.parametrize("name", SELECTIONS)
@pytest.mark.parametrize("index", [1462, 7777, None])
def test_another_package_agrees(space, images, index, name):
    """nngeometry gives the same kernels on cells, and on convolutions with biases."""
    torch.manual_seed(1)
    network = (Plain() if index is None else made(space, index)).eval().double()
    expected = judged(network, images.double(), name)
    kernel = tangent_kernel(network, images.double(), ParameterSelection(name))
    # the package accumulates sums in float32
    torch.testing.assert_close(kernel, expected.double(), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("index", [7777, None])
@pytest.mark.parametrize("selection", ["weights", "weights_without_classifier"])
def test_another_package_agrees_with_the_variants(space, images, index, selection):
    """A variant in evaluation mode sets that mode, whatever mode the network is in."""
    torch.manual_seed(1)
    network = (Plain() if index is None else made(space, index)).double().train()
    batch = Minibatch(images.double(), torch.tensor([0, 1, 1, 2, 0, 1]), 10)
    found = get_proxy("lga", f"{selection}_eval").measure(network, batch, torch.Generator())
    expected = judged(network.eval(), images.double(), selection).double()
    torch.testing.assert_close(torch.from_numpy(found.kernel), expected, rtol=1e-6, atol=1e-12)


class Centred(nn.Module):
    """A network that couples the images of a batch in every mode."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(12, 3)

    def forward(self, x):
        value = self.layer(x.flatten(1))
        return value**2 - (value**2).mean(0)


def test_images_that_are_coupled_in_evaluation_mode_are_found():
    torch.manual_seed(0)
    network, images = Centred().eval().double(), torch.randn(5, 3, 2, 2).double()
    kernel = tangent_kernel(network, images)
    np.testing.assert_allclose(kernel, slow_kernel(network, images, "weights"), rtol=1e-9)


def test_a_selection_names_its_parameters(space):
    network = made(space, 7777)
    found = {name: set(ParameterSelection(name).of(network, None)) for name in SELECTIONS}
    everything = {name for name, _ in network.named_parameters()}
    assert found["all"] == everything
    assert everything - found["weights"] == {n for n in everything if n.endswith("bias")}
    assert found["weights"] - found["weights_without_classifier"] == {"classifier.weight"}
    network.connections[0][0].weight.requires_grad_(False)
    assert "connections.0.0.weight" not in ParameterSelection().of(network, None)
    with pytest.raises(UnknownNameError, match=r"^unknown parameter selection 'weight'"):
        ParameterSelection("weight")


def test_what_can_not_be_selected_is_said():
    images = torch.randn(2, 3, 4, 4)
    with pytest.raises(UndefinedScore, match=r"has no trainable weights$") as caught:
        ParameterSelection().of(nn.Sequential(nn.ReLU()), images)
    assert caught.value.status == "no_parameters"
    selection, convolution = ParameterSelection("weights_without_classifier"), nn.Conv2d(3, 2, 4)
    with pytest.raises(UndefinedScore, match=r"^Conv2d runs no linear layer that") as caught:
        selection.of(convolution, images)
    assert caught.value.status == "not_applicable"


class Headed(nn.Module):
    """A network whose head is registered first and run last, with another one that is not run."""

    def __init__(self):
        super().__init__()
        self.top, self.body, self.unused = nn.Linear(4, 5), nn.Linear(48, 4), nn.Linear(2, 2)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x):
        return self.top(self.norm(self.body(x.flatten(1))))


class Answers(Headed):
    """A network with a method of timm's models, which may name several heads."""

    def get_classifier(self):
        return self.body, self.top


@pytest.mark.parametrize(
    ("kind", "left_out"), [(Headed, {"top.weight"}), (Answers, {"top.weight", "body.weight"})]
)
def test_the_classifier_is_found(kind, left_out):
    network, images = kind(), torch.randn(2, 3, 4, 4)
    before = {name: one.clone() for name, one in network.state_dict().items()}
    found = ParameterSelection("weights_without_classifier").of(network, images)
    weights = {"top.weight", "body.weight", "unused.weight", "norm.weight"}
    assert set(found) == weights - left_out
    assert all(torch.equal(one, network.state_dict()[name]) for name, one in before.items())
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_bad_input_is_said_in_one_line(space, images):
    network = made(space, 7777)
    with pytest.raises(ParameterError, match=r"^1 image: a tangent kernel needs 2 or more$"):
        tangent_kernel(network, images[:1])

    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(16, 2)

        def forward(self, x):
            return self.layer(x), x

    with pytest.raises(UndefinedScore, match=r"^Pair returned tuple: a tangent kernel needs one"):
        tangent_kernel(Pair(), images)


@pytest.mark.parametrize("coupled", [False, True])
def test_gradients_are_taken_in_inference_mode_too(space, images, coupled):
    network, shown = made(space, 7777), images
    if coupled:  # without a mode: without gradients they would pass for uncoupled images
        network, shown = Centred().eval(), images[:, :, :2, :2]
    expected = tangent_kernel(network, shown)
    assert expected.trace() > 0
    with torch.inference_mode():
        found = tangent_kernel(network, shown)
        of_inference_tensors = tangent_kernel(network, shown.clone())
        assert torch.is_inference_mode_enabled()
    assert torch.equal(found, expected)
    assert torch.equal(of_inference_tensors, expected)


@pytest.mark.parametrize("training", [False, True])
def test_the_network_is_left_as_it_was(space, images, training):
    network = made(space, 1462).train(training)
    network(images).sum().backward()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    gradients = [parameter.grad.clone() for parameter in network.parameters()]
    random_state = torch.get_rng_state()
    with torch.no_grad():
        first = tangent_kernel(network, images)
    assert torch.equal(first, tangent_kernel(network, images))
    assert all(torch.equal(v, network.state_dict()[name]) for name, v in state.items())
    pairs = zip(network.parameters(), gradients, strict=True)
    assert all(torch.equal(p.grad, gradient) for p, gradient in pairs)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.overrides._get_current_function_mode_stack() == []


class Branches(nn.Module):
    """A network whose forward pass branches on its data."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(12, 3)

    def forward(self, x):
        made = self.layer(x.flatten(1))
        return made * 2 if made.sum().item() > -1e9 else made


class Constant(nn.Module):
    """A network whose output depends on none of its parameters."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x.flatten(1)


@pytest.mark.parametrize("training", [True, False])
def test_what_can_not_be_batched_is_run_image_by_image(training):
    small = torch.randn(5, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    network = Branches().train(training)
    found = tangent_kernel(network, small, ParameterSelection("all")).numpy()
    np.testing.assert_allclose(found, slow_kernel(network, small, "all"), rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_outputs_that_need_no_parameter_have_no_gradient(training):
    found = tangent_kernel(Constant().train(training), torch.randn(4, 3, 2, 2))
    assert found.shape == (4, 4)
    assert (found == 0).all()


class Hooked(nn.Module):
    """A network that changes the sign of a gradient by a hook."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (nn.Conv2d(3, 4, 3, bias=False) for _ in range(2))
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x):
        turned = self.first(x)
        if turned.requires_grad:
            turned.register_hook(lambda gradient: -3 * gradient)
        return functional.relu(self.norm(turned + self.second(x))).mean((2, 3))


def test_hooks_on_tensors_are_run(images):
    small = images[:, :, :8, :8]
    network = Hooked()
    found = tangent_kernel(network, small, ParameterSelection("all")).numpy()
    np.testing.assert_allclose(found, slow_kernel(network, small, "all"), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_gradients_that_are_converted_in_pieces_give_the_same_kernel(training, images, monkeypatch):
    network = nn.Sequential(nn.Flatten(), nn.Linear(768, 9), nn.Tanh(), nn.Linear(9, 4))
    expected = tangent_kernel(network.train(training), images)
    monkeypatch.setattr(tangent_kernels, "_PIECE", 100)
    assert torch.allclose(tangent_kernel(network, images), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("index", CELLS)
def test_several_gradients_of_one_backward_pass_are_those_of_a_pass_each(
    space, images, index, monkeypatch
):
    """A GPU takes several at once; there it is checked by imitation (tests/scoring/test_gpu.py)."""
    monkeypatch.setattr(tangent_kernels, "_TOGETHER", 2)
    network = made(space, index).double()
    unused = nn.Parameter(torch.ones(3, 2, dtype=torch.float64))
    outputs, parameters = network(images.double()).sum(1), [unused, *network.parameters()]
    found = tangent_kernels._rows_together(outputs, parameters)
    assert {len(rows) for rows in found} == {len(images)}
    for number, output in enumerate(outputs):
        expected = torch.autograd.grad(
            output, parameters, retain_graph=True, materialize_grads=True
        )
        for rows, gradient in zip(found, expected, strict=True):
            assert torch.allclose(rows[number], gradient, rtol=1e-9, atol=1e-12)


class Own(torch.autograd.Function):
    """A function whose gradient only exists for one direction at a time."""

    @staticmethod
    def forward(_context, x):
        return x * 2

    @staticmethod
    def backward(_context, gradient):
        return torch.from_numpy(gradient.numpy() * 2)


def test_what_has_no_several_gradients_at_once_is_left_to_the_loop():
    layer = nn.Linear(3, 2)
    outputs = Own.apply(layer(torch.randn(4, 3))).sum(1)
    assert tangent_kernels._rows_together(outputs, list(layer.parameters())) is None
