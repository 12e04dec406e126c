"""Context managers that restore what running a network changes, in it and in the process."""

import operator
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

#: What modules keep things in, themselves as well as their parameters, buffers, parts and hooks.
_Container = dict[Any, Any] | list[Any] | set[Any] | deque[Any]

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
    return _restored([module._buffers for module in network.modules()])


def unchanged(network: nn.Module) -> AbstractContextManager[None]:
    """Restore all that running or training a network may change in it, when the block ends.

    That is the attributes of all modules, modes and hooks among them; the elements of lists and
    dictionaries that are attributes; and of all tensors among these, such as weights and buffers,
    the values, the devices, whether they are trainable, and their gradients, which are set aside.
    What other objects hold is not restored.
    """
    return _restored([one for module in network.modules() for one in _containers(module)])


@contextmanager
def _restored(containers: Sequence[_Container]) -> Iterator[None]:
    """Restore the elements of containers, and the tensors that are among them."""
    saved = [(one, _elements(one)) for one in containers]
    tensors = {
        id(one): one
        for _, elements in saved
        for one in elements
        # those of inference mode can't change outside of it
        if isinstance(one, Tensor) and not is_lazy(one) and not one.is_inference()
    }
    # copies on the CPU, where there is more memory than on a GPU
    values = [
        (one, one.data, one.data.cpu() if one.is_cuda else one.data.clone())
        for one in tensors.values()
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


def _containers(module: nn.Module) -> Iterator[_Container]:
    yield vars(module)
    for value in vars(module).values():
        if isinstance(value, dict | list | set | deque):
            yield value


def _elements(container: _Container) -> list[Any]:
    """Return the elements of a container, for a dictionary its keys and then its values."""
    if not container:  # as most are
        return []
    return [*container, *(container.values() if isinstance(container, dict) else ())]


def _restore(container: _Container, elements: list[Any]) -> None:
    if not container and not elements:
        return
    now = _elements(container)
    if len(now) == len(elements) and all(map(operator.is_, now, elements)):
        return
    container.clear()
    if isinstance(container, dict):
        half = len(elements) // 2
        container.update(zip(elements[:half], elements[half:], strict=True))
    elif isinstance(container, set):
        container.update(elements)
    else:
        container.extend(elements)


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
