"""Finds every activation function that a forward pass applies, as a module or as a function."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from untrained.errors import theirs
from untrained.proxies.autograd import nodes_behind, own_functions
from untrained.proxies.base import UndefinedScore
from untrained.seeds import generators_restored

_HOMES = (torch, torch.Tensor, functional, torch.special)


def _called(*names: str) -> dict[object, str]:
    """Return the functions and methods of PyTorch with these names, in place too, by function."""
    return {
        function: name
        for name in names
        for home in _HOMES
        for spelled in (name, f"{name}_")
        if (function := getattr(home, spelled, None)) is not None
    }


_RECTIFIERS = _called("relu", "relu6", "leaky_relu", "prelu", "rrelu")
#: Rectifiers if they cut at zero, with the position and the name of the place where they cut.
_CUTS = {
    **dict.fromkeys(_called("clamp", "clip", "clamp_min"), (1, "min")),
    **dict.fromkeys(_called("hardtanh"), (1, "min_val")),
    **dict.fromkeys(_called("threshold"), (1, "threshold")),
}
#: `erf` and `expit` are parts of GELU and SiLU as they are written by hand.
_OTHERS = {
    **_called("celu", "elu", "erf", "expit", "gelu", "glu", "hardshrink", "hardsigmoid"),
    **_called("hardswish", "hardtanh", "logsigmoid", "mish", "selu", "sigmoid", "silu"),
    **_called("softplus", "softshrink", "softsign", "tanh", "tanhshrink", "threshold"),
}


@dataclass(frozen=True)
class Activation:
    """One call of an activation function.

    Attributes:
        name: the function's name, such as "gelu".
        rectifies: whether it is a rectifier, which switches its units on and off at zero.
        on_path: whether it lies on a path from the input to the output; None if autograd was off.
        axis: the dimension of its input that goes from image to image; None if there is none.
    """

    name: str
    rectifies: bool
    on_path: bool | None = None
    axis: int | None = 0


def activation_of(
    function: object, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Activation | None:
    """Return the activation function that a function call is, if it is one.

    Rectifiers are the ReLU family, and clamp, hardtanh and threshold where they cut at zero. Under
    a function mode `nn.ReLU`, `F.relu` and `torch.relu` each cause one call.
    """
    if function in _RECTIFIERS:
        return Activation(_RECTIFIERS[function], rectifies=True)
    if function in _CUTS:
        position, name = _CUTS[function]
        cut = args[position] if len(args) > position else kwargs.get(name)
        if isinstance(cut, int | float) and cut == 0:
            return Activation("clamp", rectifies=True)
    if function in _OTHERS:
        return Activation(_OTHERS[function], rectifies=False)
    return None


class ActivationMode(TorchFunctionMode):
    """Calls `before(activation, input)` and `after(activation, output)` around activations."""

    def __init__(
        self,
        before: Callable[[Activation, Tensor], None],
        after: Callable[[Activation, Tensor], None] | None = None,
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
        activation = activation_of(func, args, kwargs)
        given = args[0] if args else kwargs.get("input")
        if activation is None or not isinstance(given, Tensor):
            return theirs(func, *args, **kwargs)
        if activation.name == "glu":  # its second half goes through a sigmoid, the first does not
            given = theirs(given.chunk, 2, args[1] if len(args) > 1 else kwargs.get("dim", -1))[-1]
        # before the call, since a function in place overwrites its input
        self.before(activation, given)
        output = theirs(func, *args, **kwargs)
        if self.after is not None:
            self.after(activation, output)
        return output


class RectifierMode(ActivationMode):
    """Calls `before(input)` before every rectifier of a forward pass."""

    def __init__(self, before: Callable[[Tensor], None]) -> None:
        def see(activation: Activation, given: Tensor) -> None:
            if activation.rectifies:
                before(given)

        super().__init__(see)


@contextmanager
def rectifier_modules(network: nn.Module, see: Callable[[Tensor], None]) -> Iterator[None]:
    """Call `see(input)` for every module whose type name contains "ReLU", wrappers included.

    The hooks are removed when the block ends.
    """

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = next(iter((*args, *kwargs.values())), None)
        if not isinstance(given, Tensor):
            raise UndefinedScore("not_applicable", f"{type(module).__name__} is given no tensor")
        see(given)

    handles = [
        module.register_forward_pre_hook(note, with_kwargs=True)
        for module in network.modules()
        if "ReLU" in type(module).__name__
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class Activations:
    """The activation functions that a forward pass applies.

    Attributes:
        calls: one for each call, in order.
        own_functions: names of the functions between input and output that are written in Python
            (`torch.autograd.Function`), inside of which autograd does not record.
    """

    calls: tuple[Activation, ...]
    own_functions: frozenset[str]


def activations_of(network: nn.Module, images: Tensor) -> Activations:
    """Return the activation functions that a network applies, and which of them are on a path.

    The answer comes from the graph that autograd records for `images` (N, C, H, W; two equal images
    are enough). Parameters are frozen while it is recorded, so a function of constants is on no
    path, and so is one that the output depends on in ways that autograd can't see (`detach`,
    integers).

    Raises:
        UndefinedScore: `not_applicable`: the network returns no tensor.
    """
    axes: list[int | None] = []
    calls: list[tuple[Activation, Any]] = []

    def look(_activation: Activation, given: Tensor) -> None:
        axes.append(_image_axis(given.detach(), len(images)))

    def note(activation: Activation, output: Tensor) -> None:
        calls.append((activation, output.grad_fn if torch.is_grad_enabled() else "hidden"))

    parameters = [p for p in network.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        with torch.enable_grad(), ActivationMode(look, note), generators_restored(images.device):
            # a product, since a network that rectifies its input in place can't take a leaf
            outputs = network(images.detach().requires_grad_() * 1)
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
    nodes = nodes_behind(outputs)
    found = (
        replace(
            one,
            on_path=None if node == "hidden" else node is not None and node in nodes,
            axis=axis,
        )
        for (one, node), axis in zip(calls, axes, strict=True)
    )
    return Activations(tuple(found), own_functions(nodes))


def _image_axis(given: Tensor, images: int) -> int | None:
    """Return the dimension of an activation's input that goes from image to image, if any.

    It is the first one, also where parts of each image follow each other there, as windows of
    attention may; else the only one of this size, as where tokens come first. All images are equal,
    which shows which one of several of this size it is, and whether the parts of an image or those
    at one place follow each other.
    """
    fitting = [axis for axis, size in enumerate(given.shape) if size == images]
    if len(fitting) > 1 and given.numel():
        most = float(given.abs().max()) / 10_000
        equal = [axis for axis in fitting if _spread(given.movedim(axis, 0)) <= most]
        fitting = equal[:1] if 0 in equal or len(equal) == 1 else fitting
    if fitting and (fitting[0] == 0 or len(fitting) == 1):
        return fitting[0]
    if fitting or not given.ndim or not given.numel() or len(given) % images:
        return None
    by_image = given.reshape(images, -1)
    by_place = given.reshape(-1, images, given[0].numel()).transpose(0, 1)
    apart = [_spread(rows) for rows in (by_image, by_place)]
    return 0 if apart[0] < apart[1] / 10 else None


def _spread(rows: Tensor) -> float:
    """Return by how much rows differ from the first one."""
    return float((rows - rows[:1]).abs().max())
