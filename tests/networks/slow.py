"""Slow, obvious forms of what networks compute, and normalisations that are not neutral."""

import torch
from torch import nn
from torch.nn import functional

from untrained.networks.costs import count_flops
from untrained.networks.graph import Builder
from untrained.networks.nasbench201 import cell_of
from untrained.networks.network import GraphNetwork


def shaken(network, seed=None, *, shifts=True):
    """Return a network in double precision, with normalisations that are not neutral."""
    if seed is not None:
        torch.manual_seed(seed)
    network = network.double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.3)
            if shifts:
                nn.init.normal_(module.bias, 0, 0.3)
    return network


def benchmark_flops(network, image):
    """Return multiply-adds as benchmarks count them: the biases of linear layers count too."""
    biases = []
    handles = [
        layer.register_forward_hook(lambda _layer, _given, made: biases.append(made.numel()))
        for layer in network.modules()
        if isinstance(layer, nn.Linear) and layer.bias is not None
    ]
    counted = count_flops(network, image)
    for handle in handles:
        handle.remove()
    return counted + sum(biases)


def normalised(x, norm):
    """Normalise with the statistics of the batch, written out."""
    mean = x.mean((0, 2, 3), keepdim=True)
    variance = ((x - mean) ** 2).mean((0, 2, 3), keepdim=True)
    scaled = (x - mean) / (variance + 1e-5).sqrt()
    return scaled * norm.weight[:, None, None] + norm.bias[:, None, None]


def convolved(x, layer, stride=1):
    """Convolve as sums over windows; only the stride changes the resolution."""
    assert layer.bias is None
    weight, groups = layer.weight, layer.groups
    (rows, columns), (down, right) = layer.kernel_size, layer.dilation
    above, left = down * (rows // 2), right * (columns // 2)
    padded = functional.pad(x, [left, left, above, above])
    total = 0
    for i in range(rows):
        for j in range(columns):
            top, side = i * down, j * right
            window = padded[:, :, top : top + x.shape[2], side : side + x.shape[3]]
            parts = zip(window.chunk(groups, 1), weight[:, :, i, j].chunk(groups), strict=True)
            products = [torch.einsum("nchw,kc->nkhw", part, own) for part, own in parts]
            total = total + torch.cat(products, 1)
    vertical, horizontal = stride if isinstance(stride, tuple) else (stride, stride)
    return total[:, :, ::vertical, ::horizontal]


def pooled(x, kind="avg", stride=1, size=3):
    """Take the mean or the maximum over the pixels of a window that exist."""
    before = (size - 1) // 2
    rows = []
    for row in range(0, x.shape[2], stride):
        top, below = max(row - before, 0), row - before + size
        windows = [
            x[:, :, top:below, max(column - before, 0) : column - before + size].flatten(2)
            for column in range(0, x.shape[3], stride)
        ]
        seen = [one.amax(2) if kind == "max" else one.mean(2) for one in windows]
        rows.append(torch.stack(seen, 2))
    return torch.stack(rows, 2)


def part_of(channels, add, outputs=None):
    """Return what `add(builder, source)` adds to a graph as a network in double precision."""
    builder = Builder(channels)
    logits = builder.classified(add(builder, 0), outputs or channels, 1, rectified=False)
    network = GraphNetwork(builder.graph(logits)).double()
    network.connections[-1] = network.classifier = nn.Identity()
    return network


def cell_alone(operations, channels, outputs=None):
    """Return a cell of NAS-Bench-201 as a network in double precision, without stem and head."""
    add, widths = cell_of(operations), (channels, outputs or channels)
    return part_of(channels, lambda builder, source: add(builder, source, *widths), outputs)


class Layers:
    """The convolutions and normalisations of a network, in the order of their construction.

    Only these layers and the classifier are taken from the network, so what is computed with them
    follows from the definition of a space and not from the network's graph.
    """

    def __init__(self, network):
        kinds = nn.Conv2d | nn.BatchNorm2d
        self.left = [one for one in network.connections.modules() if isinstance(one, kinds)]
        self.classifier = network.classifier

    def convolved(self, x, outputs, kernel, stride=1, groups=1, dilation=1):
        """Convolve with the next layer, which must have these properties."""
        layer = self.left.pop(0)
        assert isinstance(layer, nn.Conv2d)
        kernel, stride = (one if isinstance(one, tuple) else (one, one) for one in (kernel, stride))
        assert (layer.in_channels, layer.out_channels) == (x.shape[1], outputs)
        assert (layer.kernel_size, layer.stride) == (kernel, stride)
        assert (layer.groups, layer.dilation) == (groups, (dilation, dilation))
        return convolved(x, layer, stride)

    def normalised(self, x):
        """Normalise with the next layer."""
        layer = self.left.pop(0)
        assert isinstance(layer, nn.BatchNorm2d)
        assert layer.num_features == x.shape[1]
        return normalised(x, layer)

    def factorised(self, x, outputs):
        """Concatenate 1x1 convolutions of even and of odd pixels, with zeros beyond odd sides."""
        even, odd = self.left.pop(0), self.left.pop(0)
        for layer in (even, odd):
            assert isinstance(layer, nn.Conv2d)
            assert tuple(layer.weight.shape) == (outputs // 2, x.shape[1], 1, 1)
        x = functional.pad(x, [0, x.shape[3] % 2, 0, x.shape[2] % 2])
        pixels = x[:, :, ::2, ::2], x[:, :, 1::2, 1::2]
        return torch.cat([convolved(*both) for both in zip(pixels, (even, odd), strict=True)], 1)

    def classified(self, x):
        """Average over all pixels and classify; no layer may be left."""
        assert not self.left
        return x.mean((2, 3)) @ self.classifier.weight.T + self.classifier.bias
