"""Differentiates many networks at once: autograd through the steps of a batch.

The steps are those of `untrained.networks.batched`, of networks that end at their logits. Every
operation is PyTorch's, so gradients by parameters, images and outputs of layers are those of
`torch.autograd.grad`. Activations are (N, slots, C, H, W): as images of slots * C channels they
take one grouped convolution or one normalisation, and as N * slots images one pooling, without a
copy.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from math import prod
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from untrained.compiled import EPSILON
from untrained.networks.batched import Batch, Gathered, Made, Span, Step, kernels_of, sent
from untrained.networks.graph import Linear, Operation, Pooling
from untrained.networks.network import module_of
from untrained.networks.plans import convolutions_of, function_of, without_first_pixels

Kind = Literal["weight", "bias", "scale", "shift"]


class Parameters(NamedTuple):
    """Parameters of one shape, of one network each.

    Attributes:
        kind: what they are: weights and biases of layers, or scales and shifts of normalisations.
        classifier: whether they belong to the layer of the logits.
        values: (slots, ...).
        owners: the network of each.
    """

    kind: Kind
    classifier: bool
    values: Tensor
    owners: Span

    @property
    def layer(self) -> bool:
        """Whether they are the weights of convolutions or linear layers."""
        return self.kind == "weight"


class Running(NamedTuple):
    """Statistics of normalisations that a forward pass updates.

    Attributes:
        mean: (slots * C,), as wide as the scales.
        variance: (slots * C,), likewise.
        momentum: the weight of a batch.
    """

    mean: Tensor
    variance: Tensor
    momentum: float


#: Is called with outputs (N, slots, C, ...) of convolutions or linear layers, and their weights.
Watch = Callable[[Tensor, Parameters], None]


class Networks:
    """The networks of a batch on a device, to be run as functions of their parameters.

    Args:
        batch: networks that were prepared to end at their logits.
        device: where they run.
    """

    def __init__(self, batch: Batch, device: torch.device) -> None:
        self.batch, self.count = batch, batch.networks
        self._weights, self._learned, self._indices = (
            sent(one, device) for one in (batch.weights, batch.learned, batch.indices)
        )

    def at(self, span: Span) -> Tensor:
        """Return a part of the indices of the batch, on the device."""
        return self._indices[span.start : span.stop]

    def listed(self, span: Span) -> list[int]:
        """Return the same in a list."""
        found: list[int] = self.batch.indices[span.start : span.stop].tolist()
        return found

    def parameters(
        self, dtype: torch.dtype, change: Callable[[Tensor], Tensor] = torch.clone
    ) -> list[Parameters]:
        """Return all parameters in the order in which they are read, as leaves of autograd's graph.

        Args:
            dtype: their type.
            change: what is made of their numbers.
        """
        found = []
        for made in (made for step in self.batch.steps for made in step.made):
            of_layers = len(made.kernels)
            # the last layer before the logits
            last = of_layers - sum(map(kernels_of, made.operations[-1:]))
            stored: list[tuple[Kind, Tensor, int | None, tuple[int, ...]]] = [
                ("bias" if len(shape) == 1 else "weight", self._weights, start, shape)
                for start, shape in made.kernels
            ]
            if made.normalised:
                kinds: tuple[Kind, Kind] = ("scale", "shift")
                stored += [
                    (kind, self._learned, start, (made.channels,))
                    for kind, start in zip(kinds, made.learned, strict=True)
                ]
            slots = made.owners.stop - made.owners.start
            for place, (kind, numbers, start, shape) in enumerate(stored):
                if start is None:
                    raise ValueError(made)  # the networks were not drawn as a whole
                values = numbers[start : start + slots * prod(shape)].view(slots, *shape)
                own = change(values.detach().to(dtype)).requires_grad_()
                classifier = made.classify and last <= place < of_layers
                found.append(Parameters(kind, classifier, own, made.owners))
        return found

    def logits(
        self,
        parameters: list[Parameters],
        images: Tensor,
        statistics: Literal["batch", "initial", "none"] = "batch",
        watch: Watch | None = None,
        running: Iterable[Running] = (),
    ) -> Tensor:
        """Run all networks.

        Args:
            parameters: what `parameters` has returned.
            images: (N, C, H, W), or (N, networks, C, H, W).
            statistics: what normalisations take: the moments of the batch, those before any
                training, which are 0 and 1, or nothing, where they are left out.
            watch: sees the outputs of layers.
            running: what is updated by the moments of the batch, in the order of the scales; if
                there are any, for all normalisations.

        Returns:
            (networks, N, classes).
        """
        if images.ndim == 4:
            images = images.unsqueeze(1).expand(-1, self.count, -1, -1, -1)
        buffers, left, updated = {0: images}, iter(parameters), iter(running)
        found, owners = [], []
        for step in self.batch.steps:
            value = self._gathered(step, buffers)
            if step.codes is not None:
                found.append(_chosen(value, step.codes.slots and self.at(step.codes.slots)))
                owners.append(self.at(step.codes.owners))
            sources = value, value.relu() if step.reads[1] else value
            for made in step.made:
                x = _chosen(sources[made.rectified], made.slots and self.at(made.slots))
                buffers[made.buffer] = self._made(made, x, left, statistics, watch, updated)
            buffers |= {step.value: sources[0], step.rectified: sources[1]}
            for buffer in step.last:
                buffers.pop(buffer, None)
        logits = torch.cat(found, 1).flatten(2)
        return logits.index_select(1, torch.cat(owners).argsort()).transpose(0, 1)

    def _gathered(self, step: Step, buffers: dict[int, Tensor]) -> Tensor:
        """Return the nodes of a step, (N, nodes, C, H, W)."""
        nodes = len(step.terms)
        sums = [self._sum(pieces, nodes, buffers) for pieces in step.gathered]
        return torch.cat(sums, 2) if step.concatenated else sums[0]

    def _sum(self, pieces: tuple[Gathered, ...], nodes: int, buffers: dict[int, Tensor]) -> Tensor:
        """Add the slots of some buffers, each to its node."""
        total: Tensor | None = None
        # what covers all nodes first, so that the others are added to it
        for piece in sorted(pieces, key=lambda one: one.rows is not None):
            read = _chosen(buffers[piece.buffer], piece.slots and self.at(piece.slots))
            if piece.rows is None:
                total = read if total is None else total + read
                continue
            if total is None:
                total = read.new_zeros(len(read), nodes, *read.shape[2:])
            # under autocast only some of the terms are narrow
            wide = torch.promote_types(total.dtype, read.dtype)
            # nodes differ within a piece, so nothing depends on the order of additions
            total = total.to(wide).index_add(1, self.at(piece.rows), read.to(wide))
        if total is None:
            raise ValueError(pieces)  # no node is without terms
        return total

    def _made(
        self,
        made: Made,
        x: Tensor,
        left: Iterator[Parameters],
        statistics: str,
        watch: Watch | None,
        updated: Iterator[Running],
    ) -> Tensor:
        """Make terms of (N, slots, C, H, W), with the next parameters."""
        for operation in made.operations:
            x = _applied(operation, x, list(islice(left, kernels_of(operation))), watch)
        if not made.normalised:
            return x
        scale, shift = (next(left).values.flatten() for _ in range(2))
        if statistics == "none":
            return x
        mean, variance, momentum = next(updated, (None, None, 0.0))
        if statistics == "initial":
            mean, variance = torch.zeros_like(scale), torch.ones_like(scale)
        made_of = x.flatten(1, 2), mean, variance, scale, shift, statistics == "batch"
        return functional.batch_norm(*made_of, momentum, EPSILON).reshape(x.shape)


def gradients_of(total: Tensor, by: Sequence[Tensor], *, twice: bool = False) -> tuple[Tensor, ...]:
    """Return the gradients of a number, zeros by what it does not depend on.

    Args:
        total: the number.
        by: what it is differentiated by.
        twice: whether the gradients are to be differentiated.
    """
    return torch.autograd.grad(
        total, by, create_graph=twice, allow_unused=True, materialize_grads=True
    )


def _chosen(x: Tensor, slots: Tensor | None) -> Tensor:
    return x if slots is None else x.index_select(1, slots)


def _applied(
    operation: Operation, x: Tensor, kernels: list[Parameters], watch: Watch | None
) -> Tensor:
    """Apply an operation to (N, slots, C, H, W), each slot with its own kernels."""
    images, slots = x.shape[:2]
    if isinstance(operation, Linear):
        weight, bias = kernels
        inputs = x.flatten(2).transpose(0, 1)
        made = torch.baddbmm(bias.values.unsqueeze(1), inputs, weight.values.mT).transpose(0, 1)
        if watch is not None:
            watch(made, weight)
        return made[..., None, None]
    if forms := convolutions_of(operation):
        joined = x.flatten(1, 2)
        parts: list[Tensor] = []
        for form, kernel in zip(forms, kernels, strict=True):
            source = without_first_pixels(joined) if parts else joined
            how = form.stride, form.padding, form.dilation, slots * form.groups
            part = functional.conv2d(source, kernel.values.flatten(0, 1), None, *how)
            parts.append(part.reshape(images, slots, -1, *part.shape[2:]))
            if watch is not None:
                watch(parts[-1], kernel)
        return torch.cat(parts, 2) if len(parts) > 1 else parts[0]
    # the loops of `function_of` can't be differentiated
    pool = isinstance(operation, Pooling)
    function = module_of(operation) if pool else function_of(operation)
    found: Tensor = function(x.flatten(0, 1))
    return found.reshape(images, slots, *found.shape[1:])
