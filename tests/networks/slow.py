"""Slow, obvious forms of what networks compute, and normalisations that are not neutral."""

import torch
from torch import nn
from torch.nn import functional


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


def factorised(x, module):
    """Concatenate 1x1 convolutions of even and of odd pixels, and normalise."""
    x = x.clamp(min=0)
    halves = convolved(x[:, :, ::2, ::2], module.even), convolved(x[:, :, 1::2, 1::2], module.odd)
    return normalised(torch.cat(halves, 1), module.norm)
