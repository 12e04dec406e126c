"""Finds every rectifier that a forward pass applies, as a module or as a function."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

_RECTIFIERS = {
    functional.relu,
    functional.relu6,
    functional.leaky_relu,
    functional.leaky_relu_,
    functional.prelu,
    functional.rrelu,
    functional.rrelu_,
    torch.relu,
    torch.relu_,
    torch.prelu,
    torch.rrelu,
    torch.rrelu_,
    torch.Tensor.relu,
    torch.Tensor.relu_,
    torch.Tensor.prelu,
}
_CLAMPS = {
    torch.clamp,
    torch.clamp_,
    torch.clip,
    torch.clip_,
    torch.Tensor.clamp,
    torch.Tensor.clamp_,
    torch.Tensor.clip,
    torch.Tensor.clip_,
}
_CLAMPS_BELOW = {
    torch.clamp_min,
    torch.clamp_min_,
    torch.Tensor.clamp_min,
    torch.Tensor.clamp_min_,
}
_HARDTANHS = {functional.hardtanh, functional.hardtanh_}
_THRESHOLDS = {functional.threshold, torch.threshold, torch.threshold_}


def is_rectifier(function: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a function call is a rectifier, which switches its units on and off at zero.

    Rectifiers are the ReLU family, and clamp, hardtanh and threshold where they cut at zero. Under
    a function mode `nn.ReLU`, `F.relu` and `torch.relu` each cause one call.
    """

    def argument(position: int, name: str) -> object:
        return args[position] if len(args) > position else kwargs.get(name)

    if function in _RECTIFIERS:
        return True
    if function in _CLAMPS or function in _CLAMPS_BELOW:
        return _is_zero(argument(1, "min"))
    if function in _HARDTANHS:
        return _is_zero(argument(1, "min_val"))
    return function in _THRESHOLDS and _is_zero(argument(1, "threshold"))


def _is_zero(value: object) -> bool:
    return isinstance(value, int | float) and value == 0


class RectifierMode(TorchFunctionMode):
    """Calls `before(input)` and `after(output)` around every rectifier of a forward pass."""

    def __init__(
        self, before: Callable[[Tensor], None], after: Callable[[Tensor], None] | None = None
    ) -> None:
        super().__init__()
        self.before = before
        self.after = after

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        if not is_rectifier(func, args, kwargs):
            return func(*args, **kwargs)
        # before the call, since a rectifier in place overwrites its input
        self.before(args[0] if args else kwargs["input"])
        output = func(*args, **kwargs)
        if self.after is not None:
            self.after(output)
        return output


@contextmanager
def rectifier_modules(network: nn.Module, see: Callable[[Tensor], None]) -> Iterator[None]:
    """Call `see(input)` for every module whose type name contains "ReLU", wrappers included.

    The hooks are removed when the block ends.
    """
    handles = [
        module.register_forward_pre_hook(lambda _module, inputs: see(inputs[0]))
        for module in network.modules()
        if "ReLU" in type(module).__name__
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def rectifiers_on_path(network: nn.Module, images: Tensor) -> list[bool]:
    """Return for each rectifier call whether it lies on a path from the input to the output.

    The answer comes from the graph that autograd records for `images` (N, C, H, W; two images are
    enough). Parameters are frozen while it is recorded, so a rectifier of constants is on no path,
    and so is one that the output depends on in ways that autograd can't see (`detach`, integers).
    """
    nodes: list[Any] = []
    parameters = [p for p in network.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        with (
            torch.enable_grad(),
            RectifierMode(lambda _: None, lambda output: nodes.append(output.grad_fn)),
        ):
            # a product, since a network that rectifies its input in place can't take a leaf
            outputs = network(images.detach().requires_grad_() * 1)
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
    reached: set[Any] = set()
    frontier = [
        leaf.grad_fn for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor) and leaf.grad_fn
    ]
    while frontier:
        node = frontier.pop()
        if node not in reached:
            reached.add(node)
            frontier += [parent for parent, _ in node.next_functions if parent is not None]
    return [node is not None and node in reached for node in nodes]
