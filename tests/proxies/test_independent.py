"""Proxies against implementations of their own, on networks of every kind.

Nothing here is shared with the package: rectifiers and flows are found by hooks on the modules,
gradients by `backward`, multiply-adds by the shapes that layers see. Models of torchvision and of
timm are among the networks where these packages are installed.
"""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from untrained.images.minibatches import Minibatch
from untrained.proxies import get_proxy


def residual():
    class Block(nn.Module):
        def __init__(self, given, made, stride):
            super().__init__()
            self.one = nn.Conv2d(given, made, 3, stride, 1, bias=False)
            self.two = nn.Conv2d(made, made, 3, 1, 1, bias=False)
            self.norms = nn.ModuleList([nn.BatchNorm2d(made), nn.BatchNorm2d(made)])
            self.short = nn.Conv2d(given, made, 1, stride) if given != made else nn.Identity()
            self.relus = nn.ModuleList([nn.ReLU(), nn.ReLU(inplace=True)])

        def forward(self, x):
            inner = self.relus[0](self.norms[0](self.one(x)))
            return self.relus[1](self.norms[1](self.two(inner)) + self.short(x))

    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3), nn.ReLU(), Block(6, 6, 1), Block(6, 8, 2)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)),
    )


def mobile():
    """Inverted bottlenecks of depthwise convolutions, with squeezes and clipped rectifiers."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide, self.deep = nn.Conv2d(4, 12, 1), nn.Conv2d(12, 12, 3, 1, 1, groups=12)
            self.thin, self.relus = nn.Conv2d(12, 4, 1), nn.ModuleList([nn.ReLU6(), nn.ReLU6()])
            self.norm, self.gate = nn.BatchNorm2d(12), nn.Linear(12, 12)

        def forward(self, x):
            inner = self.relus[1](self.norm(self.deep(self.relus[0](self.wide(x)))))
            gate = functional.softmax(self.gate(inner.mean((2, 3))), 1)
            return x + self.thin(inner * gate[:, :, None, None])

    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3, 2), Block(), Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(4, 5),
    )


def dense():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(
                nn.Sequential(nn.BatchNorm2d(given), nn.ReLU(), nn.Conv2d(given, 3, 3, 1, 1))
                for given in (3, 6, 9)
            )

        def forward(self, x):
            for layer in self.layers:
                x = torch.cat([x, layer(x)], 1)
            return x

    return nn.Sequential(
        *(Block(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12 * 16, 8), nn.LeakyReLU()),
        nn.Linear(8, 5),
    )


def attentive():
    """A block of attention that is written out, with rectifiers between its linear layers."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.three, self.out = nn.Linear(8, 24, bias=False), nn.Linear(8, 8)
            self.norm = nn.LayerNorm(8)
            self.inner = nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 8))

        def forward(self, x):
            q, k, v = self.three(self.norm(x)).chunk(3, -1)
            x = x + self.out(functional.scaled_dot_product_attention(q, k, v))
            return x + self.inner(x)

    class Tokens(nn.Module):
        def forward(self, x):
            return x.flatten(2).mT

    class Mean(nn.Module):
        def forward(self, x):
            return x.mean(1)

    return nn.Sequential(
        *(nn.Conv2d(3, 8, 2, 2), Tokens(), Block(), Block(), Mean(), nn.Linear(8, 5))
    )


def plain():
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3), nn.PReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(6 * 9, 10, bias=False), nn.Threshold(0, 0), nn.Dropout(0.0)),
        nn.Linear(10, 5),
    )


def of_torchvision():
    models = pytest.importorskip(
        "torchvision.models", reason="needs torchvision", exc_type=ImportError
    )
    return models.resnet18(num_classes=5)


def of_timm():
    timm = pytest.importorskip("timm", reason="needs timm", exc_type=ImportError)
    return timm.create_model("mobilenetv2_035", num_classes=5)


OWN = {make.__name__: (make, 8) for make in (residual, mobile, dense, attentive, plain)}
NETWORKS = OWN | {"torchvision": (of_torchvision, 32), "timm": (of_timm, 32)}
RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.Threshold)


@pytest.fixture(params=NETWORKS)
def case(request):
    make, side = NETWORKS[request.param]
    torch.manual_seed(0)
    network = make().double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.2)
    images = torch.randn(6, 3, side, side, dtype=torch.float64)
    return network, Minibatch(images, torch.tensor([0, 1, 2, 3, 4, 0]), 5)


def value(spelling, case):
    return get_proxy(spelling)(*case, torch.Generator())


def slow_naswot(network, images):
    """Compare the codes of every two images, bit by bit."""
    codes = []
    for module in network.modules():
        if isinstance(module, RECTIFIERS):
            module.register_forward_pre_hook(
                lambda _m, given: codes.append(given[0].detach().clone().flatten(1) > 0)
            )
    network(images)
    bits = torch.cat(codes, 1).numpy()
    kernel = np.array([[np.count_nonzero(a == b) for b in bits] for a in bits], float)
    return np.linalg.slogdet(kernel)[1]


def slow_grad_norm(network, batch):
    logits = network(batch.images)
    chosen = logits.exp().gather(1, batch.labels[:, None])[:, 0] / logits.exp().sum(1)
    (-chosen.log().sum() / len(batch.labels)).backward()
    layers = [m for m in network.modules() if type(m).__name__ in ("Conv2d", "Linear")]
    return sum(float((m.weight.grad**2).sum()) ** 0.5 for m in layers)


def slow_synflow(network, shape):
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                # timm's normalisations apply their rectifier themselves
                setattr(module, name, getattr(child, "act", nn.Identity()))
    network.eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.abs())
    network(torch.ones(1, *shape, dtype=torch.float64)).sum().backward()
    layers = [m for m in network.modules() if type(m).__name__ in ("Conv2d", "Linear")]
    return math.log(sum(float((m.weight * m.weight.grad).detach().abs().sum()) for m in layers))


def slow_flops(network, shape):
    """Multiply for each element of an output the inputs that it reads."""
    found = [0]

    def see(layer, given, made):
        if isinstance(layer, nn.Conv2d):
            found[0] += made.numel() * layer.weight[0].numel()
        else:
            found[0] += made.numel() * layer.in_features

    def attend(layer, given, made):
        tokens = made.shape[1]
        found[0] += 2 * tokens * tokens * made.shape[2]

    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(see)
        if hasattr(module, "three"):
            module.register_forward_hook(attend)
    network.eval()(torch.zeros(1, *shape, dtype=torch.float64))
    return found[0]


def test_naswot(case):
    network, batch = copy.deepcopy(case)
    assert value("naswot", case) == pytest.approx(slow_naswot(network, batch.images), rel=1e-12)


def test_grad_norm(case):
    network, batch = copy.deepcopy(case)
    assert value("grad_norm", case) == pytest.approx(slow_grad_norm(network, batch), rel=1e-9)


def test_synflow(case):
    network, batch = copy.deepcopy(case)
    expected = slow_synflow(network, batch.images.shape[1:])
    assert value("synflow", case) == pytest.approx(expected, rel=1e-9)


def test_flops(case):
    network, batch = copy.deepcopy(case)
    assert value("flops", case) == slow_flops(network, batch.images.shape[1:])
