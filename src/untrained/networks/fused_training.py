"""Trainable sums of normalised terms, with few passes over memory forward and backward.

PyTorch's own operations read and write every activation once for each normalisation, sum and
rectifier, and again in the backward pass; on a CPU that costs more than the convolutions. Here the
loops of `untrained.compiled` do everything between two convolutions in one pass, for tensors that
`fused.has_loops` accepts. Statistics and their gradients are summed in float64.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from untrained import compiled
from untrained.compiled import EPSILON, LANES, Array
from untrained.networks.fused import TERMS, Normalisation, Sum, average_pool, fits, rows_of
from untrained.networks.graph import Edge, Pooling
from untrained.networks.pointwise import StridedPointwise

if TYPE_CHECKING:
    from untrained.networks.network import GraphNetwork


class Term(NamedTuple):
    """One of the terms of a sum.

    Attributes:
        value: (N, C, H, W), channels last.
        normalisation: normalises the term with the statistics of the batch before it is added;
            None for a term that is not normalised.
        own: whether only the sum reads the value, so that its gradient may overwrite it.
    """

    value: Tensor
    normalisation: nn.BatchNorm2d | None = None
    own: bool = False


class ReadSum(NamedTuple):
    """A sum (N, C, H, W) in the forms that its readers need; the others are None."""

    value: Tensor | None
    rectified: Tensor | None


def read_sum(terms: Sequence[Term], *, value: bool = False, rectified: bool = False) -> ReadSum:
    """Add up to three terms and update running statistics as `nn.BatchNorm2d` does.

    A normalised term with a value that is not finite makes the whole sum NaN.

    Args:
        terms: terms of one shape.
        value: whether the sum is requested.
        rectified: whether the rectified sum is requested; at least one of the two is.
    """
    if not rectified and len(terms) == 1 and terms[0].normalisation is None:
        return ReadSum(terms[0].value, None)
    learned = [
        part
        for term in terms
        if term.normalisation is not None
        for part in (term.normalisation.weight, term.normalisation.bias)
    ]
    # values are passed separately, so that autograd sees them as inputs
    about = [term._replace(value=torch.empty(0)) for term in terms]
    made = list(_Sum.apply(about, value, rectified, *(term.value for term in terms), *learned))  # type: ignore[no-untyped-call]
    return ReadSum(made.pop(0) if value else None, made.pop() if rectified else None)


def convolve(x: Tensor, convolution: nn.Conv2d) -> Tensor:
    """Convolve (N, C, H, W) without bias, with the weight converted to the type of x."""
    how = convolution.stride, cast("tuple[int, int]", convolution.padding), convolution.dilation
    made = functional.conv2d(x, convolution.weight.to(x.dtype), None, *how, convolution.groups)
    return made.contiguous(memory_format=torch.channels_last)


def pool(x: Tensor) -> Tensor:
    """Apply 3x3 average pooling at stride 1 to (N, C, H, W), leaving padding out of the mean."""
    pooled: Tensor = _AveragePool.apply(x)  # type: ignore[no-untyped-call]
    return pooled


def is_fused(module: nn.BatchNorm2d) -> bool:
    """Whether `read_sum` takes this normalisation: it needs PyTorch's default settings."""
    return (
        module.training
        and module.affine
        and module.track_running_stats
        and module.momentum is not None
        and module.eps == EPSILON
    )


def logits_of(network: "GraphNetwork", images: Tensor) -> Tensor | None:
    """Return what the network's forward pass returns, in float32 and up to rounding.

    Products and stored activations have the type of the images, bfloat16 or float32. Edges that
    lead nowhere are left out, so their normalisations keep their initial running statistics; no
    score depends on those.

    Args:
        network: a network in training mode.
        images: (N, C, H, W).

    Returns:
        (N, classes), or None where the loops do not take the network or the images.
    """
    if not _fits(network, images):
        return None
    graph = network.graph
    terms: dict[int, list[Term]] = defaultdict(list)
    leaving: dict[int, list[tuple[Edge, nn.Module]]] = defaultdict(list)
    shapes = graph.shapes(tuple(images.shape[1:]))
    brought = {edge.target for edge in graph.executed if edge.normalised or not edge.constant}
    for edge, connection in zip(graph.executed, network.connections, strict=False):
        if edge.target not in graph.leading:
            continue
        if not edge.constant:
            leaving[edge.source].append((edge, connection))
        elif edge.normalised or edge.target not in brought:  # other zeros change no sum
            # its source may lead nowhere, and then it has no value
            zeros = images.new_zeros(len(images), *shapes[edge.target])
            term = Term(zeros.contiguous(memory_format=torch.channels_last), _norm_of(connection))
            terms[edge.target].append(term)
    for node in graph.order[:-1]:
        edges = leaving[node]
        if not edges:
            continue
        flags = [edge.rectified for edge, _ in edges]
        if node:
            read = read_sum(terms.pop(node), value=not all(flags), rectified=any(flags))
        else:
            read = ReadSum(images, functional.relu(images) if any(flags) else None)
        for edge, connection in edges:
            source = cast("Tensor", read.rectified if edge.rectified else read.value)
            if edge.target == graph.output:
                return cast("Tensor", network.classifier(connection(source.float())))
            terms[edge.target].append(_term(edge, connection, source))
    raise AssertionError  # an edge leads to the logits


def _term(edge: Edge, connection: nn.Module, source: Tensor) -> Term:
    """Make the term of an edge from its source, which is rectified already if need be."""
    modules = list(cast("nn.Sequential", connection))[int(edge.rectified) :]
    for module, operation in zip(modules, edge.operations, strict=False):
        if isinstance(module, nn.Conv2d):
            source = convolve(source, module)
        elif operation == Pooling("avg", 3) and fits(source.dtype, tuple(source.shape[1:])):
            source = pool(source)
        else:
            source = module(source).contiguous(memory_format=torch.channels_last)
    own = bool(edge.weighted) and edge.normalised
    return Term(source, _norm_of(connection), own)


def _norm_of(connection: nn.Module) -> nn.BatchNorm2d | None:
    norms = (one for one in connection.modules() if isinstance(one, nn.BatchNorm2d))
    return next(norms, None)


def _fits(network: "GraphNetwork", images: Tensor) -> bool:
    """Return whether the compiled loops take all nodes of the network for images (N, C, H, W)."""
    graph = network.graph
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    if not images.is_cpu or not all(map(is_fused, norms)):
        return False
    if any(node.concatenated or node.rectified for node in graph.nodes):
        return False
    if any(isinstance(module, StridedPointwise) for module in network.modules()):
        return False  # `convolve` has the error that these modules avoid
    shapes = graph.shapes(tuple(images.shape[1:]))
    inner = [shape for node, shape in shapes.items() if node not in (0, graph.output)]
    counts = Counter(edge.target for edge in graph.executed)
    return max(counts.values()) <= TERMS and all(
        len(shape) == 3 and fits(images.dtype, shape) for shape in inner
    )


class _Moments(NamedTuple):
    """Statistics (C,) of a term's channels, in float64.

    Attributes:
        mean: mean over the batch.
        factor: one over the standard deviation.
    """

    mean: Array
    factor: Array


class _Sum(torch.autograd.Function):
    """The sum, the rectified sum, or both; differentiable by terms, scales and shifts."""

    @staticmethod
    def forward(
        ctx: Any, about: Sequence[Term], value: bool, rectified: bool, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        terms = tensors[: len(about)]
        count = terms[0].numel() // terms[0].shape[1]
        normalisations: list[Normalisation | None] = []
        ctx.moments = []
        for (_, module, _), term in zip(about, terms, strict=True):
            if module is None:
                normalisations.append(None)
                continue
            normalisation = Normalisation(module.weight, module.bias)
            normalisation.add(term)
            normalisations.append(normalisation)
            mean, variance = normalisation.moments()
            _update(module, mean, variance * (count / (count - 1)))
            ctx.moments.append(_Moments(mean, 1 / np.sqrt(variance + EPSILON)))
        total = Sum(normalisations, terms[0])
        made = total.of(terms, value, rectified, codes=False)
        kept = [one for one in (made.value, made.rectified) if one is not None]
        if not total.finite:  # the loop of a rectifier may take NaN for 0
            kept = [one.fill_(torch.nan) for one in kept]
        ctx.about, ctx.rectified = about, rectified
        normalised = [term for one, term in zip(about, terms, strict=True) if one.normalisation]
        ctx.save_for_backward(*normalised, *([made.rectified] if rectified else []))
        return tuple(kept)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        given = [one.contiguous(memory_format=torch.channels_last) for one in gradients]
        terms = list(ctx.saved_tensors)
        rectified = terms.pop() if ctx.rectified else None
        sums, total = _reduced(given, rectified, terms, [one.mean for one in ctx.moments])
        count, channels = total.numel() // total.shape[1], total.shape[1]
        normalised = zip(terms, ctx.moments, sums[1:], strict=False)
        of_terms: list[Tensor] = []
        learned: list[Tensor] = []
        for one in ctx.about:
            if one.normalisation is None:
                of_terms.append(total)
                continue
            term, (mean, factor), products = next(normalised)
            scale = one.normalisation.weight.detach().double().numpy()
            of_shift, of_scale = sums[0], products * factor
            slope = -scale * factor**2 * of_scale / count
            plus = -scale * factor * of_shift / count - slope * mean
            parts = np.tile([scale * factor, slope, plus], LANES // channels).astype(np.float32)
            target = term if one.own else torch.empty_like(term)
            compiled.normalisation_gradient(rows_of(total), rows_of(term), parts, rows_of(target))
            of_terms.append(target)
            learned += [torch.from_numpy(part).float() for part in (of_scale, of_shift)]
        return (None, None, None, *of_terms, *learned)


def _reduced(
    gradients: Sequence[Tensor],
    rectified: Tensor | None,
    terms: Sequence[Tensor],
    means: Sequence[Array],
) -> tuple[Array, Tensor]:
    """Return sums (1 + terms, C) of a gradient and of its products with terms, and the gradient."""
    example = gradients[0]
    channels = example.shape[1]
    # without a rectified sum, the gradient is the given one
    total = example if rectified is None else torch.empty_like(example)
    lanes = np.zeros((TERMS, LANES), np.float32)
    for row, mean in zip(lanes, means, strict=False):
        row[:] = np.tile(mean, LANES // channels)
    unused = rows_of(example)
    read = [rows_of(term) for term in terms]
    sums = np.zeros((1 + TERMS, LANES))
    compiled.gradient_moments(
        rows_of(gradients[0]),
        rows_of(gradients[-1]),
        unused if rectified is None else rows_of(rectified),
        rectified is None or len(gradients) == 2, rectified is not None,
        *read, *[unused] * (TERMS - len(read)), len(read),
        lanes, rows_of(total), sums,
    )  # fmt: skip
    return sums.reshape(1 + TERMS, -1, channels).sum(1), total


def _update(module: nn.BatchNorm2d, mean: Array, variance: Array) -> None:
    """Update running statistics as PyTorch does."""
    running = cast("tuple[Tensor, Tensor]", (module.running_mean, module.running_var))
    cast("Tensor", module.num_batches_tracked).add_(1)
    for kept, new in zip(running, (mean, variance), strict=True):
        kept.lerp_(torch.from_numpy(new).to(kept.dtype), cast("float", module.momentum))


class _AveragePool(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        return average_pool(x)

    @staticmethod
    @once_differentiable
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        spread = torch.empty_like(gradient)
        images, channels, height, _ = gradient.shape
        source, target = (rows_of(one).reshape(images, height, -1) for one in (gradient, spread))
        compiled.spread(source, channels, target)
        return spread
