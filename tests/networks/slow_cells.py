"""Cells of DARTS and NDS and their networks by definition, from layers in construction order."""

import torch
from tests.networks.slow import pooled

#: Kernels of each rectified and normalised unit of an operation; a number is the side of a kernel
#: with one filter per channel.
UNITS = {
    "conv_1x1": [[(1, 1)]],
    "conv_3x3": [[(3, 3)]],
    "conv_3x1_1x3": [[(1, 3), (3, 1)]],
    "conv_7x1_1x7": [[(1, 7), (7, 1)]],
    "sep_conv_3x3": [[3, (1, 1)]] * 2,
    "sep_conv_5x5": [[5, (1, 1)]] * 2,
    "sep_conv_7x7": [[7, (1, 1)]] * 2,
    "dil_conv_3x3": [[3, (1, 1)]],
    "dil_conv_5x5": [[5, (1, 1)]],
    "dil_sep_conv_3x3": [[3, (1, 1)]] * 2,
}


def slow_operation(layers, x, operation, stride):
    channels, dilation = x.shape[1], 2 if operation.startswith("dil") else 1
    if operation == "none":
        return torch.zeros_like(x[:, :, ::stride, ::stride])
    if "pool" in operation:
        return pooled(x, operation[:3], stride, int(operation[-1]))
    if operation == "skip_connect" and stride == 1:
        return x
    if operation == "skip_connect":
        return layers.normalised(layers.factorised(x.clamp(min=0), channels))
    for unit in UNITS[operation]:
        x = x.clamp(min=0)
        for place, kernel in enumerate(unit):
            if isinstance(kernel, int):
                x = layers.convolved(x, channels, kernel, stride, channels, dilation)
            elif kernel == (1, 1):
                x = layers.convolved(x, channels, 1, 1 if place else stride)
            elif 1 in kernel:  # halves one direction each
                steps = tuple(1 if size == 1 else stride for size in kernel)
                x = layers.convolved(x, channels, kernel, steps)
            else:
                x = layers.convolved(x, channels, kernel, stride)
        x, stride = layers.normalised(x), 1
    return x


def slow_cell(layers, earlier, last, genotype, channels, *, reduces, kept=None):
    """Concatenate sums of two edges; `kept` multiplies edges, (edges, N, 1, 1, 1)."""
    edges = genotype.reduce if reduces else genotype.normal
    concat = genotype.reduce_concat if reduces else genotype.normal_concat
    first, second = earlier.clamp(min=0), last.clamp(min=0)
    halves = earlier.shape[-1] != last.shape[-1]
    first = layers.factorised(first, channels) if halves else layers.convolved(first, channels, 1)
    nodes = [layers.normalised(first), layers.normalised(layers.convolved(second, channels, 1))]
    for at, (operation, source) in enumerate(edges):
        stride = 2 if reduces and source < 2 else 1
        term = slow_operation(layers, nodes[source], operation, stride)
        if kept is not None and not (operation == "skip_connect" and stride == 1):
            term = term * kept[at]
        if at % 2:
            nodes[-1] = nodes[-1] + term
        else:
            nodes.append(term)
    return torch.cat([nodes[node] for node in concat], 1)


def slow_features(layers, x, genotype, skeleton, kept=None):
    """Return the outputs of the last cell and of the second reduction cell."""

    def stem(x, outputs, stride):
        return layers.normalised(layers.convolved(x, outputs, 3, stride))

    channels = skeleton.channels
    if skeleton.stem == "cifar":
        earlier = last = stem(x, 3 * channels, 1)
    else:
        earlier = stem(stem(x, channels // 2, 2).clamp(min=0), channels, 2)
        last = stem(earlier.clamp(min=0), channels, 2)
    for position in range(skeleton.cells):
        reduces = position in (skeleton.cells // 3, 2 * skeleton.cells // 3)
        channels *= 2 if reduces else 1
        own = None if kept is None else kept[position]
        made = slow_cell(layers, earlier, last, genotype, channels, reduces=reduces, kept=own)
        earlier, last = last, made
        if position == 2 * skeleton.cells // 3:
            middle = made
    return last, middle
