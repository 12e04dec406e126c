"""Context managers that restore what running a network changes, in it and in the process."""

import operator
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.nn.parameter import is_lazy

#: What modules keep things in, themselves as well as their parameters, buffers, parts and hooks.
_Container = dict[Any, Any] | list[Any] | set[Any] | deque[Any]
#: Types of what holds other objects, of which each follows those that are derived from it.
_KINDS: tuple[type[Any], ...] = (OrderedDict, dict, list, set, deque, tuple)
#: Types of most attributes, which hold nothing.
_PLAIN = frozenset({str, int, float, bool, type(None)})

#: Settings of the process: what returns one, and what sets it.
_SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], object]], ...] = (
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.get_default_dtype, torch.set_default_dtype),
    # None takes off what a default device costs each call
    (
        torch.get_default_device,
        lambda device: torch.set_default_device(None if device.type == "cpu" else device),
    ),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    (torch.get_num_threads, torch.set_num_threads),
)


@contextmanager
def modes_restored(network: nn.Module) -> Iterator[None]:
    """Restore the mode of every module of `network` when the block ends, however it ends.

    `network.train(mode)` would not do, since some modules may be in the other mode.
    """
    saved = [(module, module.training) for module in network.modules()]
    try:
        yield
    finally:
        for module, training in saved:
            module.training = training


def buffers_restored(network: nn.Module) -> AbstractContextManager[None]:
    """Restore the buffers of `network`, such as running statistics, when the block ends.

    They have their values again, and are the ones that were registered before.
    """
    containers = [module._buffers for module in network.modules()]
    return _restored(containers, [one for held in containers for one in held.values()])


def unchanged(
    network: nn.Module, *, fresh: Collection[int] = frozenset()
) -> AbstractContextManager[None]:
    """Restore all that running or training a network may change in it, when the block ends.

    That is the attributes of all modules, modes and hooks among them; the elements of lists,
    dictionaries and sets that are attributes; and of all tensors among these, such as weights and
    buffers, the values, the devices, whether they are trainable, and their gradients, which are set
    aside. Containers and modules in containers count, at any depth. What other objects hold is not
    restored.

    Args:
        network: the network.
        fresh: ids of parameters whose values are not restored, so that no copies are kept.
    """
    containers, tensors = _held(network)
    return _restored(containers, tensors, fresh)


@contextmanager
def parameters_registered() -> Iterator[set[int]]:
    """Yield a set that gets the ids of parameters that modules are given while the block runs.

    Parameters of modules that exist before, or that are copied, are not among them. Nor are those
    that were changed in place before, which may belong to others as well.
    """
    registered = set[int]()

    def note(_module: nn.Module, _name: str, parameter: nn.Parameter) -> None:
        if not parameter._version:
            registered.add(id(parameter))

    with register_module_parameter_registration_hook(note):
        yield registered


@contextmanager
def _restored(
    containers: Sequence[_Container], among: Iterable[object], fresh: Collection[int] = frozenset()
) -> Iterator[None]:
    """Restore the elements of containers, and the tensors that are among some objects.

    Of tensors whose ids are in `fresh`, values are not restored.
    """
    saved = [(one, _elements(one)) for one in containers]
    tensors = {
        id(one): one
        for one in among
        # those of inference mode can't change outside of it
        if isinstance(one, Tensor) and not is_lazy(one) and not one.is_inference()
    }
    # copies on the CPU, where there is more memory than on a GPU
    values = [
        (one, one.data, one.data.cpu() if one.is_cuda else one.data.clone())
        for one in tensors.values()
        if id(one) not in fresh
    ]
    leaves = [(one, one.requires_grad, one.grad) for one in tensors.values() if one.is_leaf]
    for one, _, _ in leaves:
        one.grad = None
    try:
        yield
    finally:
        for container, elements in saved:
            _restore(container, elements)
        for tensor, data, value in values:
            if not _equal(data, value):
                data.copy_(value)  # through `data`, or graphs that the tensor is in would break
            tensor.data = data
        for tensor, trainable, gradient in leaves:
            if tensor.requires_grad != trainable:
                tensor.requires_grad_(trainable)
            tensor.grad = gradient


def _held(network: nn.Module) -> tuple[list[_Container], list[Tensor]]:
    """Return all containers that modules hold, directly or in others, and all tensors in them."""
    containers, tensors, seen = list[_Container](), list[Tensor](), set[int]()
    left: list[Any] = [*network.modules()]
    holders: tuple[type[Any], ...] = (nn.Module, *_KINDS)
    while left:
        one = left.pop()
        holder = vars(one) if isinstance(one, nn.Module) else one
        if id(holder) in seen:
            continue
        seen.add(id(holder))
        if not isinstance(holder, tuple):
            containers.append(holder)
        for element in _elements(holder):
            if type(element) in _PLAIN:  # as most are
                continue
            if isinstance(element, Tensor):
                tensors.append(element)
            elif isinstance(element, holders):
                left.append(element)
    return containers, tensors


def _elements(container: _Container | tuple[Any, ...]) -> list[Any]:
    """Return the elements of a container, for a dictionary its keys and then its values."""
    if type(container) in _KINDS and not container:  # as most are
        return []
    kind = _kind(container)
    elements = list(kind.__iter__(container))
    return [*elements, *kind.values(container)] if isinstance(container, dict) else elements


def _restore(container: _Container, elements: list[Any]) -> None:
    now = _elements(container)
    if len(now) == len(elements) and all(map(operator.is_, now, elements)):
        return
    kind = _kind(container)
    kind.clear(container)
    if isinstance(container, dict):
        half = len(elements) // 2
        for key, value in zip(elements[:half], elements[half:], strict=True):
            kind.__setitem__(container, key, value)
    elif isinstance(container, set):
        kind.update(container, elements)
    else:
        kind.extend(container, elements)


def _kind(container: _Container | tuple[Any, ...]) -> type[Any]:
    """Return the type whose methods act on a container; its own may be others, or may fail."""
    return next(kind for kind in _KINDS if isinstance(container, kind))


def _equal(one: Tensor, other: Tensor) -> bool:
    try:
        return torch.equal(one.to(other.device), other)
    except RuntimeError:  # some types and layouts can't be compared
        return False


def uncompiled() -> AbstractContextManager[object]:
    """Run as they are written those parts of networks that `torch.compile` would compile."""
    # nothing is compiled unless this is imported, which takes long
    loaded = "torch._dynamo" in sys.modules
    return torch.compiler.set_stance("force_eager") if loaded else nullcontext()


@contextmanager
def settings_restored() -> Iterator[None]:
    """Restore settings of PyTorch that code of others may set, when the block ends.

    They are whether gradients are recorded, the default type and device, whether algorithms are to
    be deterministic, and the number of threads.
    """
    saved = [(now, restore, now()) for now, restore in _SETTINGS]
    try:
        yield
    finally:
        for now, restore, before in saved:
            if now() != before:
                restore(before)
