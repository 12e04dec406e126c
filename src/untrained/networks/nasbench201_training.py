"""Trains a NAS-Bench-201 network with few passes over memory; sums and gradients are the same.

Edges that lead nowhere are left out, so their normalisations keep their initial running statistics;
no score depends on those.
"""

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from untrained.networks.fused import fits
from untrained.networks.fused_training import Term, convolve, is_fused, pool, read_sum

if TYPE_CHECKING:
    from untrained.networks.nasbench201 import Cell, NasBench201Network, Reduction, ReLUConvBN


def can_train(network: "NasBench201Network", images: Tensor) -> bool:
    """Whether `logits_of` can take images (N, 3, H, W) of this type."""
    if not (images.is_cpu and len(network.stem)):
        return False
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    channels, (height, width) = len(_stem(network)[0].weight), images.shape[2:]
    shapes = []
    while channels <= network.classifier.in_features:
        shapes.append((channels, height, width))
        channels, height, width = 2 * channels, height // 2, width // 2
    return all(map(is_fused, norms)) and all(fits(images.dtype, shape) for shape in shapes)


def logits_of(network: "NasBench201Network", images: Tensor) -> Tensor:
    """Return logits (N, num_classes) in float32 of images (N, 3, H, W) that `can_train` accepts.

    Products and stored activations have the type of the images, bfloat16 or float32.
    """
    from untrained.networks.nasbench201 import Cell, Reduction

    stem, norm = _stem(network)
    terms = [Term(convolve(images, stem), norm, own=True)]
    for block in network.blocks:
        if isinstance(block, Reduction):
            terms = _reduction(block, terms)
        elif isinstance(block, Cell):
            terms = _cell(block, terms)
    total = cast("Tensor", read_sum(terms, value=True).value)
    norm = cast("nn.BatchNorm2d", network.head[0])
    rectified = read_sum([Term(total, norm)], rectified=True).rectified
    features = network.head[2:](cast("Tensor", rectified).float())
    logits: Tensor = network.classifier(features)
    return logits


def _stem(network: "NasBench201Network") -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    return cast("tuple[nn.Conv2d, nn.BatchNorm2d]", tuple(network.stem))


def _cell(cell: "Cell", terms: list[Term]) -> list[Term]:
    """Return the terms of a cell's output, given the terms of its input."""
    reached = {3}
    for source, target in reversed(cell.edges):  # all edges into a node come before those out of it
        reached |= {source} if target in reached else set()
    nodes: list[list[Term]] = [terms, [], [], []]
    for source in (0, 1, 2):
        read = [
            (target, operation)
            for (start, target), operation in zip(cell.edges, cell.operations, strict=True)
            if start == source and target in reached
        ]
        if not read:
            continue
        rectified = any(isinstance(operation, nn.Sequential) for _, operation in read)
        value = not all(isinstance(operation, nn.Sequential) for _, operation in read)
        # a node without incoming edges is zero, and a later normalisation may shift it
        total = read_sum(nodes[source] or [_zeros(terms)], value=value, rectified=rectified)
        for target, operation in read:
            match operation:
                case nn.Sequential():
                    term = _convolution(cast("ReLUConvBN", operation), total.rectified)
                case nn.AvgPool2d():
                    term = Term(pool(cast("Tensor", total.value)))
                case _:
                    term = Term(cast("Tensor", total.value))
            nodes[target].append(term)
    return nodes[3] or [_zeros(terms)]


def _reduction(block: "Reduction", terms: list[Term]) -> list[Term]:
    total = read_sum(terms, value=True, rectified=True)
    inner = read_sum([_convolution(block.first, total.rectified)], rectified=True)
    halved = functional.avg_pool2d(cast("Tensor", total.value), 2, stride=2)
    shortcut = convolve(halved, cast("nn.Conv2d", block.shortcut[1]))
    return [_convolution(block.second, inner.rectified), Term(shortcut)]


def _convolution(block: "ReLUConvBN", rectified: Tensor | None) -> Term:
    """Return the block's term for an input that is rectified already."""
    convolution, norm = cast("tuple[nn.Conv2d, nn.BatchNorm2d]", (block[1], block[2]))
    return Term(convolve(cast("Tensor", rectified), convolution), norm, own=True)


def _zeros(like: list[Term]) -> Term:
    return Term(torch.zeros_like(like[0].value))
