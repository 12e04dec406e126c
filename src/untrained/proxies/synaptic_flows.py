"""The backward pass of SynFlow: what each weight carries from the input to the output."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from untrained.errors import theirs
from untrained.images.minibatches import Minibatch
from untrained.networks.batched_gradients import Networks, gradients_of
from untrained.networks.prepared import copied, dtype_of, has_one_type, in_mode
from untrained.proxies.base import UndefinedScore
from untrained.proxies.gradients import differentiable, disconnected, layer_weights, logits_of

#: Why a network has no flow.
_UNMOVED = "no weight moves the output"
_BATCH_NORMS = {functional.batch_norm, torch.batch_norm}


def synaptic_flows(network: nn.Module, minibatch: Minibatch) -> list[tuple[Tensor, Tensor]]:
    """Return |W| and dR/d|W| for every weight, in float64 and of its shape.

    A network whose weights have several types runs in these, where a flow may overflow.

    Raises:
        UndefinedScore: `no_parameters`; `disconnected` where no weight moves the output;
            `not_applicable` where the output is no tensor of logits.
    """
    chosen = layer_weights(network)
    if not chosen:
        raise UndefinedScore("no_parameters", "no convolution or linear layer is trainable")
    with differentiable(network, minibatch) as images:
        absolute = in_mode(copied(network), training=False)
        if has_one_type(network):
            theirs(absolute.double)
        own = dict(absolute.named_parameters())
        for name, parameter in own.items():
            parameter.requires_grad_(False).abs_().requires_grad_(name in chosen)
        weights = [own[name] for name in chosen]
        # so that all that is run has a place in the graph
        shown = _image_of_ones(images, dtype_of(absolute)).requires_grad_() * 1
        # gradients too, since checkpoints run parts of the network again
        with _WithoutBatchNorm():
            logits = logits_of(network, absolute(shown), 1)
            found = [torch.zeros_like(weight) for weight in weights]
            if logits.requires_grad:
                found = list(
                    torch.autograd.grad(
                        logits.sum(), weights, materialize_grads=True, allow_unused=True
                    )
                )
    flows = [
        (weight.detach().double(), flow.double())
        for weight, flow in zip(weights, found, strict=True)
    ]
    if not _flowing(flows):
        raise disconnected(network, _UNMOVED, minibatch.images)
    return flows


def synaptic_flows_of_many(
    networks: Networks, minibatch: Minibatch
) -> list[list[tuple[Tensor, Tensor]] | UndefinedScore]:
    """Return |W| and dR/d|W| of each of many networks, of all its weights in one row.

    Weights that no path leads to the logits from are left out: nothing flows there.
    """
    with torch.inference_mode(mode=False), torch.enable_grad():
        parameters = networks.parameters(torch.float64, torch.abs)
        weights = [one for one in parameters if one.layer]
        ones = _image_of_ones(minibatch.images, torch.float64)
        logits = networks.logits(parameters, ones, "none")
        flows = gradients_of(logits.sum(), [one.values for one in weights])
    rows: list[tuple[list[Tensor], list[Tensor]]] = [([], []) for _ in range(networks.count)]
    for one, flow in zip(weights, flows, strict=True):
        own = zip(networks.listed(one.owners), one.values.detach(), flow, strict=True)
        for owner, *pair in own:
            for row, values in zip(rows[owner], pair, strict=True):
                row.append(values.flatten())
    pairs = [[(torch.cat(own), torch.cat(flow))] for own, flow in rows]
    return [one if _flowing(one) else UndefinedScore("disconnected", _UNMOVED) for one in pairs]


def _image_of_ones(images: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.ones(1, *images.shape[1:], dtype=dtype, device=images.device)


def _flowing(flows: list[tuple[Tensor, Tensor]]) -> bool:
    """Return whether any weight moves the output."""
    return any(bool(((weight != 0) & (flow != 0)).any()) for weight, flow in flows)


class _WithoutBatchNorm(TorchFunctionMode):
    """Makes batch normalisations, as modules and as functions, return their input."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        if func in _BATCH_NORMS:
            return args[0] if args else kwargs["input"]
        return theirs(func, *args, **kwargs)
