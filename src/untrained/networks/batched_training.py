"""Trains many networks at once: their parameters as those of one module.

The networks run as in `untrained.networks.batched_gradients`. They are prepared with numbers in the
place of weights, which say where each weight of the batch is among those of all networks.
"""

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from untrained.networks.batched import Shape, prepared
from untrained.networks.batched_gradients import Networks, Running
from untrained.networks.network import GraphModule
from untrained.networks.plans import PlannedNetwork, Weights, weights_of


class _Kept(NamedTuple):
    """A tensor of a module, and where its numbers begin among those of all networks."""

    tensor: Tensor
    start: int


class Together(nn.Module):
    """Networks that are trained together; see `untrained.training.short.TrainsTogether`.

    What leads nowhere, or to zeros only, is no part of a batch: its parameters and running
    statistics stay as they are.

    Args:
        modules: the networks, on the CPU and of one type.
        images: the shape (C, H, W) of the images.
        device: where they are trained.

    Raises:
        ValueError: they weight a batch differently in their running statistics.
    """

    def __init__(self, modules: Sequence[GraphModule], images: Shape, device: torch.device) -> None:
        super().__init__()
        (momentum,) = {one.graph.momentum for one in modules}
        self._length = 0
        # of parameters, running means and running variances; the last two are where the scales are
        self._kept: tuple[list[_Kept], ...] = [], [], []
        numbered = [PlannedNetwork(one.graph, self._numbered(one)) for one in modules]
        batch = prepared(numbered, images, [False] * len(modules), logits=True)
        # exact up to 2^53, and a type of which there are leaves of autograd's graph
        found = Networks(batch, torch.device("cpu")).parameters(torch.float64)
        places = [one.values.detach().long() for one in found]
        scales = [
            own.flatten() for one, own in zip(found, places, strict=True) if one.kind == "scale"
        ]
        self._places = places, scales, scales
        values, means, variances = (
            [numbers[own].to(device) for own in where]
            for numbers, where in zip(map(_joined, self._kept), self._places, strict=True)
        )
        parameters = [nn.Parameter(own) for own in values]
        self._values: tuple[Sequence[Tensor], ...] = parameters, means, variances
        self.learned = nn.ParameterList(parameters)
        self._running = [Running(*own, momentum) for own in zip(means, variances, strict=True)]
        self._owned = [one._replace(values=own) for one, own in zip(found, parameters, strict=True)]
        none = torch.empty(0)
        self._networks = Networks(batch._replace(weights=none, learned=none), device)

    def _numbered(self, module: GraphModule) -> list[Weights]:
        """Return the places of a module's parameters, edge by edge."""
        found = list[Weights]()
        count = len(module.graph.executed)  # edges after them are of a second output
        edges = zip(module.connections, weights_of(module, whole=True), strict=True)
        for connection, own in islice(edges, count):
            places = list[Tensor]()
            learned = [one for one in (own.scale, own.shift) if one is not None]
            for tensor in (*own.kernels, *learned):
                self._kept[0].append(_Kept(tensor, self._length))
                places.append(self._length + torch.arange(tensor.numel()).view(tensor.shape))
                self._length += tensor.numel()
            found.append(Weights(tuple(places[: len(own.kernels)]), *places[len(own.kernels) :]))
            for norm in (one for one in connection.modules() if isinstance(one, nn.BatchNorm2d)):
                start = int(places[len(own.kernels)][0])
                for kept, name in zip(self._kept[1:], ("running_mean", "running_var"), strict=True):
                    kept.append(_Kept(cast("Tensor", getattr(norm, name)), start))
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (networks, N, classes)."""
        return self._networks.logits(self._owned, images, running=self._running)

    def finite(self) -> list[bool]:
        """Return for each network whether all of its weights are finite."""
        wrong = torch.zeros(self._networks.count, device=self._owned[0].values.device)
        for one in self._owned:
            lost = one.values.detach().flatten(1).isfinite().logical_not().any(1)
            wrong.index_add_(0, self._networks.at(one.owners), lost.to(wrong.dtype))
        return [not one for one in wrong.tolist()]

    @torch.no_grad()
    def store(self) -> None:
        """Write parameters and running statistics into the modules."""
        for kept, places, values in zip(self._kept, self._places, self._values, strict=True):
            numbers = _joined(kept)
            for own, where in zip(values, places, strict=True):
                numbers[where] = own.detach().cpu()
            for tensor, start in kept:
                tensor.copy_(numbers[start : start + tensor.numel()].view(tensor.shape))


def _joined(kept: Sequence[_Kept]) -> Tensor:
    """Return a tensor of all numbers, each in its place."""
    if not kept:  # networks without normalisations
        return torch.zeros(0)
    last = max(kept, key=lambda one: one.start)
    numbers = last.tensor.new_zeros(last.start + last.tensor.numel())
    for tensor, start in kept:
        numbers[start : start + tensor.numel()] = tensor.detach().flatten()
    return numbers
