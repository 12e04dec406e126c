"""Makes a module of one's own ready for scoring, without changing it.

A module may come inside a wrapper for several devices, without weights yet, with weights that are
computed from other tensors, or in a type other than float32.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, is_lazy
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm
from torch.utils._pytree import tree_leaves

from untrained.errors import theirs
from untrained.networks.modes import modes_restored
from untrained.spaces.base import NotApplicable

#: Hooks that compute a weight from other tensors before each forward pass of their module.
_WEIGHT_HOOKS = (WeightNorm, SpectralNorm, BasePruningMethod)


def prepared(network: nn.Module, images: Tensor) -> nn.Module:
    """Return the network to score in place of a module.

    That is the network inside `DataParallel`, `DistributedDataParallel` and `torch.compile`. Of a
    network with lazy modules it is a copy whose weights are drawn, for images of this shape, from
    PyTorch's generator on the CPU, and of one made in inference mode a copy whose weights can have
    gradients.

    Args:
        network: the module, which does not change.
        images: (N, C, H, W), N at least 1.

    Raises:
        NotApplicable: a part of the network is scripted or traced.
    """
    network = unwrapped(network)
    for name, module in network.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            part = f"its part {name} is" if name else "it is"
            raise NotApplicable(
                f"{part} a scripted or traced module (torch.jit), whose layers cannot be seen: "
                "score the module that it was made from"
            )
    tensors = [*network.parameters(), *network.buffers()]
    if any(is_lazy(one) for one in tensors):
        network = moved(copied(network), torch.device("cpu"))
        with torch.inference_mode(mode=False), torch.no_grad(), modes_restored(network):
            # in evaluation mode no statistics move and no unit is dropped
            in_mode(network, training=False)(images[:1].clone().to("cpu", dtype_of(network)))
    elif any(one.is_inference() for one in tensors):
        network = copied(network)
    return network


def unwrapped(network: nn.Module) -> nn.Module:
    """Return the network inside `DataParallel`, `DistributedDataParallel` and `torch.compile`."""
    while True:
        if isinstance(network, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            network = network.module
        elif isinstance(inner := getattr(network, "_orig_mod", None), nn.Module):
            network = inner  # of torch.compile, whose type takes long to import
        else:
            return network


def moved(network: nn.Module, to: torch.device | torch.dtype) -> nn.Module:
    """Move a network to a device or a type, and return it, also if its own `to` returns nothing."""
    move: Callable[..., object] = network.to
    theirs(move, to)
    return network


def in_mode(network: nn.Module, *, training: bool) -> nn.Module:
    """Set the mode of a network, and return it, also if its own `train` returns nothing."""
    theirs(network.train if training else network.eval)
    return network


def dtype_of(network: nn.Module) -> torch.dtype:
    """Return the floating-point type of the network's first weight; float32 if it has none."""
    own = (one.dtype for one in network.parameters() if one.is_floating_point())
    return next(own, torch.float32)


def has_one_type(network: nn.Module) -> bool:
    """Return whether all weights have the same floating-point type.

    A network whose weights have several converts between them as it runs, so that it can't run in
    another one.
    """
    return len({one.dtype for one in network.parameters() if one.is_floating_point()}) < 2


def copied(network: nn.Module) -> nn.Module:
    """Return a copy, also of a network that keeps what `copy.deepcopy` refuses.

    Those are tensors of autograd that modules keep, such as the weights that `weight_norm`
    computes, and the buffers of lazy modules. Other objects that can't be copied, such as locks,
    the copy shares with the network.
    """
    kept = {id(one): one for module in network.modules() for one in tree_leaves(vars(module))}
    made: dict[int, Any] = {
        key: one.detach().clone()
        for key, one in kept.items()
        if isinstance(one, Tensor) and not one.is_leaf
    }
    for buffer in network.buffers():
        if is_lazy(buffer):
            # the class makes itself from other arguments than PyTorch declares
            empty: Any = UninitializedBuffer
            made[id(buffer)] = empty(device=buffer.device, dtype=buffer.dtype)
    with torch.inference_mode(mode=False):  # whose tensors would have no gradients
        try:
            return copy.deepcopy(network, {**made})
        except Exception:  # noqa: BLE001 - objects fail in their own ways
            modules = {id(one): one for one in network.modules()}
            made |= {
                key: one
                for key, one in kept.items()
                if not isinstance(one, Tensor | nn.Module) and not _copyable(one, modules | made)
            }
            return copy.deepcopy(network, made)


def _copyable(value: object, made: dict[int, Any]) -> bool:
    """Return whether an object can be copied, apart from what is copied already."""
    try:
        copy.deepcopy(value, {**made})
    except Exception:  # noqa: BLE001
        return False
    return True


def with_effective_weights(network: nn.Module) -> nn.Module:
    """Return the network, or a copy with plain weights if it computes some from other tensors.

    Weights are computed by `torch.nn.utils.parametrize`, by `weight_norm` and `spectral_norm` in
    their old and new form, and by `torch.nn.utils.prune`. The copy has them as parameters, with the
    values of the network's next forward pass in the modes of its modules. A weight is trainable if
    any of the tensors that it is computed from is.
    """
    if not any(parametrize.is_parametrized(one) or _hooks_of(one) for one in network.modules()):
        return network
    network = copied(network)
    with torch.inference_mode(mode=False), torch.enable_grad():
        for module in list(network.modules()):
            if parametrize.is_parametrized(module):
                _compute_parametrised(module)
            for key in _hooks_of(module):
                _compute_hooked(module, key)
    return network


def _hooks_of(module: nn.Module) -> list[int]:
    """Return the keys of the hooks that compute weights of a module."""
    hooks = module._forward_pre_hooks.items()
    return [key for key, hook in hooks if isinstance(hook, _WEIGHT_HOOKS)]


def _compute_parametrised(module: nn.Module) -> None:
    """Make parameters of what `parametrize` computes.

    `remove_parametrizations` would remove it from a class that the copied module has too.
    """
    computed = module.parametrizations
    made = {
        name: nn.Parameter(
            getattr(module, name).detach().clone(),
            requires_grad=any(one.requires_grad for one in originals.parameters()),
        )
        for name, originals in computed.items()  # type: ignore[union-attr, operator]
    }
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    for name, parameter in made.items():
        module.register_parameter(name, parameter)


def _compute_hooked(module: nn.Module, key: int) -> None:
    """Make a parameter of the weight that a hook computes."""
    hook: Any = module._forward_pre_hooks.pop(key)
    name = hook._tensor_name if isinstance(hook, BasePruningMethod) else hook.name
    own = dict(module.named_parameters(recurse=False))
    hook(module, ())
    hook.remove(module)
    left = dict(module.named_parameters(recurse=False))
    trainable = any(own[one].requires_grad for one in own.keys() - left.keys())
    left[name].requires_grad_(trainable)
