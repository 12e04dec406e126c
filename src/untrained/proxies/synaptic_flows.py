"""The backward pass of SynFlow: what each weight carries from the input to the output."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from untrained.images.minibatches import Minibatch
from untrained.networks.modes import modes_restored
from untrained.proxies.base import UndefinedScore
from untrained.proxies.gradients import checked_logits, differentiable, layer_weights

_BATCH_NORMS = {functional.batch_norm, torch.batch_norm}


def synaptic_flows(network: nn.Module, minibatch: Minibatch) -> list[tuple[Tensor, Tensor]]:
    """Return |W| and dR/d|W| for every weight, in float64 and of its shape.

    Raises:
        UndefinedScore: `no_parameters`.
        ParameterError: the output is no tensor of logits.
    """
    chosen = layer_weights(network)
    if not chosen:
        raise UndefinedScore("no_parameters", "no convolution or linear layer is trainable")
    with differentiable(network, minibatch) as images, modes_restored(network):
        network.eval()
        # the network is called with copies in place of its own tensors, which don't change
        values = {
            name: _double(parameter.detach()).abs_().requires_grad_(name in chosen)
            for name, parameter in network.named_parameters()
        }
        buffers = {name: _double(buffer) for name, buffer in network.named_buffers()}
        shown = torch.ones(1, *images.shape[1:], dtype=torch.float64, device=images.device)
        with _WithoutBatchNorm():
            logits = functional_call(network, values | buffers, (shown,))
        logits = checked_logits(network, logits, 1)
        weights = [values[name] for name in chosen]
        if not logits.requires_grad:
            return [(weight.detach(), torch.zeros_like(weight)) for weight in weights]
        found = torch.autograd.grad(
            logits.sum(), weights, materialize_grads=True, allow_unused=True
        )
    return [(weight.detach(), flow) for weight, flow in zip(weights, found, strict=True)]


def _double(value: Tensor) -> Tensor:
    """Return a copy; floating-point numbers become float64."""
    return value.to(torch.float64, copy=True) if value.is_floating_point() else value.clone()


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
        return func(*args, **kwargs)
