"""Backward passes of many outputs through one forward pass, sixteen at a time.

A kernel of gradients needs one backward pass per image through the same forward pass. Where the
layers of images are convolutions, batch normalisations in training mode, rectifiers, average pools
and weighted sums in float32 on a CPU, whatever modules they are in, `Recording` notes them during
the forward pass, and the passes are run here, by the loops of `interleaved_loops`. What follows
those layers, such as a classifier, is left to PyTorch. The gradients are exact: the same sums in
another order.
"""

import ctypes
import math
import sys
from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.graph import Node, get_gradient_edge
from torch.func import vmap
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from untrained.errors import theirs
from untrained.proxies import interleaved_loops
from untrained.proxies.interleaved_loops import LANES

#: Activations whose gradients take more bytes than this are left to PyTorch, to save memory.
_LARGE = 2**30
#: Nor are parameters with more bytes of gradients: sums that leave the caches take PyTorch's time.
_MANY = 2**28
#: An activation of more numbers leaves so much memory behind that it is returned to the system.
_MANY_NUMBERS = 2**20
#: Bytes of gradients that a convolution processes together; they stay in the second-level cache.
_PART = 2**20

Array = NDArray[Any]
#: What PyTorch takes for lines and columns.
Sides = int | Sequence[int]
_NOTHING = np.empty(0, np.float32)


class _NoLoopError(Exception):
    """There is no loop for an operation."""


def _flat(tensor: Tensor) -> Array:
    """Return the numbers of a tensor in row order."""
    array: Array = tensor.detach().contiguous().numpy().reshape(-1)
    return array


class _Memory:
    """Memory for gradients: those of activations in use, and arrays that are free again.

    All arrays have the size of the largest gradient; the system gives the pages that are written.
    """

    def __init__(self, plan: "_Plan") -> None:
        self.plan = plan
        self.free: list[Array] = []
        self.found: dict[Tensor, tuple[Array, float]] = {}
        self.users: Counter[int] = Counter()
        self.by_parameter: dict[Tensor, Array] = {}

    def target(self, activation: Tensor, over: Array = _NOTHING) -> tuple[Array, bool]:
        """Return the array for an activation's gradient (n H W C 16,), and whether to add to it.

        It is `over`, a gradient that is read image by image, if that has this size and nothing else
        reads it.
        """
        if activation in self.found:
            return self.found[activation][0], True
        array, size = over, activation.numel() * LANES
        if over.size != size or self.users[id(over)] > 1:
            spare = (
                self.free.pop() if self.free else np.empty(self.plan.largest * LANES, np.float32)
            )
            array = spare[:size]
        self.share(activation, array, 1.0)
        return array, False

    def filled(self, activation: Tensor) -> Array:
        """Return the array to add an activation's gradient to, with zeros at first."""
        array, adds = self.target(activation)
        if not adds:
            array[:] = 0
        return array

    def share(self, activation: Tensor, array: Array, factor: float) -> None:
        """Set an activation's gradient to a factor times an array that others may share."""
        self.found[activation] = array, factor
        self.users[id(array)] += 1

    def release(self, activation: Tensor) -> None:
        """Free an activation's gradient, which has been read."""
        array, _ = self.found.pop(activation)
        self.users[id(array)] -= 1
        if not self.users[id(array)]:
            self.free.append(cast("Array", array.base))

    def parameter(self, parameter: Tensor | None, shape: tuple[int, ...]) -> Array:
        """Return the array to add a gradient to, (*shape, 16); empty if it is not requested."""
        if parameter is None or parameter not in self.plan.wanted:
            return _NOTHING
        if parameter not in self.by_parameter:
            self.by_parameter[parameter] = np.zeros((*shape, LANES), np.float32)
        return self.by_parameter[parameter]


@dataclass(frozen=True, eq=False)
class _Operation:
    """An operation of the forward pass, with its backward pass.

    Attributes:
        output: stands for the activation that it made, with its shape but without its numbers,
            which are not kept for a backward pass that does not read them.
        inputs: activations that it read, in order; None for what depends on no parameter.
        parameters: parameters that it read, with None for one that it has not.
    """

    output: Tensor
    inputs: tuple[Tensor | None, ...]
    parameters: tuple[Tensor | None, ...]

    @abstractmethod
    def run(self, memory: _Memory) -> None:
        """Add to the gradients of inputs and parameters, for sixteen backward passes."""


@dataclass(frozen=True, eq=False)
class _Sum(_Operation):
    """A sum of inputs, each with a factor."""

    factors: tuple[float, ...]

    def run(self, memory: _Memory) -> None:
        numbers, factor = memory.found[self.output]
        for target, own in zip(self.inputs, self.factors, strict=True):
            if target is not None and memory.plan.givers[target] == 1:
                memory.share(target, numbers, factor * own)
            elif target is not None:
                made, adds = memory.target(target)
                interleaved_loops.scaled(numbers, factor * own, made, adds)


@dataclass(frozen=True, eq=False)
class _Rectifier(_Operation):
    """A rectifier, with the numbers that it made."""

    made: Tensor

    def run(self, memory: _Memory) -> None:
        numbers, factor = memory.found[self.output]
        (target,) = self.inputs
        if target is not None:
            made, adds = memory.target(target, numbers)
            gate = _flat(self.made)
            interleaved_loops.rectified(numbers, _pixels(target), factor, gate, made, adds)


@dataclass(frozen=True, eq=False)
class _Pooling(_Operation):
    """An average pooling; (H', W') factors multiply gradients, of windows (size, stride, zeros)."""

    shares: Array
    window: tuple[int, int, int]

    def run(self, memory: _Memory) -> None:
        numbers, factor = memory.found[self.output]
        (target,) = self.inputs
        if target is None:
            return
        made, adds = memory.target(target)
        images, channels, high, wide = self.output.shape
        shape = (images, high, wide, channels)
        shares, sides = np.float32(factor) * self.shares, tuple(target.shape[2:])
        interleaved_loops.pooling(numbers, shape, shares, self.window, made, sides, adds)


@dataclass(frozen=True, eq=False)
class _MaxPooling(_Operation):
    """A maximum pooling; `chosen` (n, C, H', W') are the pixels that were the largest."""

    chosen: Tensor

    def run(self, memory: _Memory) -> None:
        numbers, factor = memory.found[self.output]
        (target,) = self.inputs
        if target is not None:
            made = memory.filled(target)
            area = target.shape[2] * target.shape[3]
            chosen = _flat(self.chosen)
            interleaved_loops.selected(numbers, _pixels(self.output), factor, chosen, area, made)


@dataclass(frozen=True, eq=False)
class _Part(_Operation):
    """A part of an activation: lines, columns and channels from a place on, and their steps."""

    place: tuple[int, int, int, int, int]

    def run(self, memory: _Memory) -> None:
        numbers, factor = memory.found[self.output]
        (target,) = self.inputs
        if target is not None:
            made, shape = memory.filled(target), _lined(self.output)
            parts = (numbers, shape, (0, 0, 0, 1, 1)), (made, _lined(target), self.place)
            interleaved_loops.copied(*parts[0], factor, *parts[1], shape[1:], True)


@dataclass(frozen=True, eq=False)
class _Concatenation(_Operation):
    """Channels of several tensors side by side; `places` are their first ones."""

    places: tuple[int, ...]

    def run(self, memory: _Memory) -> None:
        numbers, factor = memory.found[self.output]
        for target, place in zip(self.inputs, self.places, strict=True):
            if target is not None:
                made, adds = memory.target(target)
                shape = _lined(target)
                given = numbers, _lined(self.output), (0, 0, place, 1, 1)
                interleaved_loops.copied(
                    *given, factor, made, shape, (0, 0, 0, 1, 1), shape[1:], adds
                )


@dataclass(frozen=True, eq=False)
class _Normalisation(_Operation):
    """A batch normalisation; `parameters` are scale and shift, as far as they need a gradient.

    Attributes:
        x: input (n, C, H, W), in row order.
        shape: (n, H W, C).
    """

    x: Array
    shape: tuple[int, int, int]
    mean: Tensor
    deviation: Tensor
    scale: Tensor | None

    def run(self, memory: _Memory) -> None:
        numbers, factor = memory.found[self.output]
        affine = self.affine(numbers, factor, memory)
        (target,) = self.inputs
        if target is not None:
            made, adds = memory.target(target, numbers)
            interleaved_loops.normalisation(numbers, self.shape, *affine, self.x, made, adds)

    def affine(self, numbers: Array, factor: float, memory: _Memory) -> tuple[Array, Array, Array]:
        """Return the gradient by x as an affine map: factor (C,), offset (C 16,), slope (C 16,).

        The gradient is factor * gradient + offset + slope * x.
        """
        images, pixels, channels = self.shape
        mean, deviation = _flat(self.mean), _flat(self.deviation)
        scale = np.ones_like(mean) if self.scale is None else _flat(self.scale)
        first, second = np.empty((2, channels, LANES))
        interleaved_loops.moments(numbers, self.x, self.shape, mean, deviation, first, second)
        for parameter, sums in zip(self.parameters, (second, first), strict=True):
            made = memory.parameter(parameter, (channels,))
            if made.size:
                made += factor * sums
        deviation = deviation.astype(np.float64)
        times = factor * deviation * scale
        slope = -(times * deviation)[:, None] * second / (images * pixels)
        offset = -times[:, None] * first / (images * pixels) - slope * mean[:, None]
        flat = (offset.astype(np.float32).reshape(-1), slope.astype(np.float32).reshape(-1))
        return times.astype(np.float32), *flat


@dataclass(frozen=True, eq=False)
class _Convolution(_Operation):
    """A convolution; with a rectifier before it, and a batch normalisation after it, one step.

    Attributes:
        x: input (n, C, H, W) surrounded by zeros, in row order.
        shape: (C, H, W) of the input without the zeros.
        normalised: normalisation whose output is this one's too.
        gated: whether `inputs` is that of a rectifier that made x.
    """

    x: Array
    shape: tuple[int, int, int]
    weight: Tensor
    stride: int
    padding: int
    dilation: int
    groups: int
    normalised: _Normalisation | None = None
    gated: bool = False

    def run(self, memory: _Memory) -> None:
        numbers, factor = memory.found[self.output]
        images, outputs, high, wide = self.output.shape
        inputs, height, width = self.shape
        size, own, filters = self.weight.shape[2], inputs // self.groups, outputs // self.groups
        times, offset, slope = np.full(outputs, factor, np.float32), _NOTHING, _NOTHING
        seen = _NOTHING
        if self.normalised is not None:
            times, offset, slope = self.normalised.affine(numbers, factor, memory)
            seen = self.normalised.x
        phases, packed, margin = np.zeros((1, 3), np.int64), _NOTHING, (0, 0)
        made, adds = _NOTHING, False
        blocks = interleaved_loops.block_of(own), interleaved_loops.block_of(filters)
        (target,) = self.inputs
        if target is not None:
            made, adds = memory.target(
                target, numbers if self.shape == (outputs, high, wide) else _NOTHING
            )
            taps = (self.stride, self.padding, self.dilation)
            parts = [packed_weight(one, *taps, blocks) for one in self.weight.chunk(self.groups)]
            phases, packed = parts[0][0], np.concatenate([numbers for _, numbers in parts])
            margin = _margin(phases, self.stride, self.dilation, (height, width), (high, wide))
        channels = -(-filters // blocks[1]) * blocks[1] * self.groups
        image_size = (high + sum(margin)) * (wide + sum(margin)) * channels * LANES
        together = max(1, min(images, _PART // (4 * image_size)))
        interleaved_loops.convolution(
            numbers,
            (images, high, wide, outputs),
            times,
            offset,
            slope,
            seen,
            self.x,
            (inputs, height + 2 * self.padding, width + 2 * self.padding),
            (size, self.stride, self.dilation, self.groups),
            memory.parameter(self.parameters[0], (outputs, size, size, own)).reshape(-1),
            phases,
            packed,
            blocks,
            margin,
            np.zeros(together * image_size, np.float32),
            made,
            self.shape,
            adds,
            self.gated,
        )


def _pixels(activation: Tensor) -> tuple[int, int, int]:
    """Return (n, H W, C) of an activation."""
    images, channels, height, width = activation.shape
    return images, height * width, channels


def _lined(activation: Tensor) -> tuple[int, int, int, int]:
    """Return (n, H, W, C) of an activation."""
    images, channels, height, width = activation.shape
    return images, height, width, channels


def packed_weight(
    weight: Tensor, stride: int, padding: int, dilation: int, blocks: tuple[int, int]
) -> tuple[Array, Array]:
    """Put a weight (D, C, size, size) into the order in which the gradient of the input reads it.

    Which taps read a pixel of the input depends on its line and its column modulo the stride, its
    phases. Each pair of phases has the weights of its own taps, mirrored, in blocks of channels
    of the input and of the output: (C / block, D / block, taps, taps, block, block). The last
    block of input channels may be smaller; that of output channels is padded.

    Returns:
        phases (stride, 2 + stride): for each phase of lines the first line of the output that
        reads it, relative to its own divided by the stride; the number of taps; and for each
        phase of columns the position of the weights. Then the weights, flat.
    """
    outputs, inputs, size, _ = weight.shape
    own = blocks[1]
    count = -(-outputs // own)
    turned = np.zeros((count * own, inputs, size, size), np.float32)
    turned[:outputs] = weight.detach().numpy()
    turned = turned.reshape(count, own, inputs, size, size).transpose(0, 3, 4, 1, 2)
    phases = np.zeros((stride, 2 + stride), np.int64)
    taps = []
    for phase in range(stride):
        found = [r for r in reversed(range(size)) if (r * dilation - padding - phase) % stride == 0]
        taps.append(found)
        first = (phase + padding - found[0] * dilation) // stride if found else 0
        phases[phase, :2] = first, len(found)
    pieces: list[Array] = []
    place = 0
    for row in range(stride):
        for column in range(stride):
            phases[row, 2 + column] = place
            part = turned[:, taps[row]][:, :, taps[column]]
            pieces += [
                part[..., first : first + blocks[0]].reshape(-1)
                for first in range(0, inputs, blocks[0])
            ]
            place += part.size
    return phases, np.concatenate(pieces)


def _margin(
    phases: Array, stride: int, dilation: int, shape: tuple[int, ...], output: tuple[int, int]
) -> tuple[int, int]:
    """Return how many zeros before and after an image of the output the input's gradient reads."""
    before = after = 0
    gap = dilation // math.gcd(dilation, stride)
    for phase in range(stride):
        first, taps = phases[phase, :2]
        for length, made in zip(shape, output, strict=True):
            last = -(-(length - phase) // stride) - 1 + first + max(taps - 1, 0) * gap
            before, after = max(before, -int(first)), max(after, int(last) - (made - 1))
    return before, after


class Recording(TorchFunctionMode):
    """Notes the operations of a forward pass that there are loops for.

    They run without PyTorch's graph and return leaves that require a gradient, from which a graph
    leads to the outputs. A network that changes its activations in other ways than by `relu_` and
    `add_` may fail under this mode: PyTorch raises RuntimeError where a leaf is overwritten.
    """

    def __init__(self) -> None:
        super().__init__()
        self._operations: dict[Tensor, _Operation] = {}
        self._supported = True
        # by activations that the network still has: what stands for them in operations, and copies
        self._made: MutableMapping[Tensor, Tensor] = WeakTensorKeyDictionary()
        self._copies: MutableMapping[Tensor, dict[int, Array]] = WeakTensorKeyDictionary()
        self._rectified: MutableMapping[Tensor, Tensor] = WeakTensorKeyDictionary()
        # what a network has overwritten; here it has its former numbers, and must not be read
        self._stale: MutableMapping[Tensor, bool] = WeakTensorKeyDictionary()
        # activations with views, and these
        self._shared: MutableMapping[Tensor, bool] = WeakTensorKeyDictionary()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        note = _NOTED.get(func)
        among = _of_images(next(iter(args), None)) and torch.is_grad_enabled()
        if note is not None and self._supported and among:
            try:
                with torch.no_grad():
                    operation = note(self, *args, **kwargs)
            except (_NoLoopError, TypeError):  # TypeError: an argument without a loop
                self._supported = False
            else:
                output = operation.output
                if any(one is not None for one in (*operation.inputs, *operation.parameters)):
                    if output not in self._made:
                        made = self._made[output] = torch.empty(()).expand(output.shape)
                        self._operations[made] = replace(operation, output=made)
                    output.requires_grad_()
                return output
        given = [one for arg in (*args, *kwargs.values()) for one in _tensors(arg)]
        changes = func.__name__.endswith("_") and not func.__name__.endswith("__")
        changes = changes or func in (Tensor.__setitem__, Tensor.register_hook)
        if any(one in self._stale or (changes and one in self._made) for one in given):
            self._supported = False
        result = theirs(func, *args, **kwargs)
        self._note_views([one for one in given if one in self._made], result)
        return result

    def gradients(self, outputs: Tensor, parameters: Sequence[Tensor]) -> list[Tensor] | None:
        """Return gradients of n outputs by parameters; None where an operation has no loop.

        Args:
            outputs: (n,) that the recorded forward pass returned.
            parameters: leaves; those that the outputs don't depend on have no gradient.

        Returns:
            One tensor (n, size) for each parameter with a gradient, in no particular order. The
            order of the numbers within a tensor is unspecified, but the same for all outputs.
        """
        if not self._supported or not outputs.requires_grad:
            return None
        try:
            plan = _Plan(self._operations, dict(self._made.items()), outputs, parameters)
        except _NoLoopError:
            return None
        self._operations.clear()  # the steps have what they read
        try:
            return _run(plan, outputs)
        except _NoLoopError:
            return None

    def source(self, x: Tensor) -> Tensor | None:
        """Return what stands for an activation; None for images that depend on no parameter.

        Raises:
            _NoLoopError: it is neither.
        """
        if x.dtype != torch.float32 or x.device.type != "cpu" or x in self._stale:
            raise _NoLoopError
        if not x.requires_grad:
            return None
        if x not in self._made:
            raise _NoLoopError
        return self._made[x]

    def copied(self, x: Tensor, padding: int = 0) -> Array:
        """Return an activation in row order, surrounded by zeros; the copy is made once."""
        # images may be overwritten
        copies = self._copies.setdefault(x, {}) if x in self._made else {}
        if padding not in copies:
            copies[padding] = _flat(functional.pad(x.detach(), (padding,) * 4))
        return copies[padding]

    def _note_views(self, given: Sequence[Tensor], result: object) -> None:
        """Note which activations share their memory with what an operation returned."""
        for made in _tensors(result):
            for one in given:
                if made is not one and _memory_of(made) == _memory_of(one):
                    self._shared[made] = self._shared[one] = True

    def _check_alone(self, x: Tensor) -> None:
        """Check that an activation may be replaced by another one, instead of overwritten.

        Raises:
            _NoLoopError: others share its memory, or may do so, and would change with it.
        """
        if x not in self._made or x in self._shared:
            raise _NoLoopError

    def parameter(self, x: Tensor | None) -> Tensor | None:
        """Return a parameter that requires a gradient; None for other numbers.

        Raises:
            _NoLoopError: it is computed from parameters.
        """
        if x is None or not x.requires_grad:
            return None
        if not x.is_leaf or x in self._made:
            raise _NoLoopError
        return x

    def add(self, x: Tensor, other: Tensor | float, *, alpha: float = 1) -> _Operation:
        """Note x + alpha other."""
        inputs = (self.source(x), self.source(other) if isinstance(other, Tensor) else None)
        output = torch.add(x, other, alpha=alpha)
        if any(one is not None and one.shape != output.shape for one in inputs):
            raise _NoLoopError
        return _Sum(output, inputs, (), (1.0, float(alpha)))

    def subtract(self, x: Tensor, other: Tensor | float, *, alpha: float = 1) -> _Operation:
        """Note x - alpha other."""
        return self.add(x, other, alpha=-alpha)

    def add_in_place(self, x: Tensor, other: Tensor | float, *, alpha: float = 1) -> _Operation:
        """Note x + alpha other, which replaces x."""
        self._check_alone(x)
        operation = self.add(x, other, alpha=alpha)
        if operation.output.shape != x.shape:
            raise _NoLoopError
        self._stale[x] = True
        return operation

    def multiply(self, x: Tensor, other: Tensor | float) -> _Operation:
        """Note x times a number."""
        return _Sum(x * other, (self.source(x),), (), (_number(other),))

    def divide(self, x: Tensor, other: Tensor | float) -> _Operation:
        """Note x over a number."""
        return _Sum(x / other, (self.source(x),), (), (1 / _number(other),))

    def rectify(self, x: Tensor, inplace: bool = False) -> _Operation:
        """Note max(x, 0), which is computed once for all that read it."""
        if inplace:
            self._check_alone(x)
        source = self.source(x)
        output = self._rectified.get(x)
        if output is None:
            output = torch.relu(x)
        if source is not None and not inplace:
            self._rectified[x] = output
        operation = _Rectifier(output, (source,), (), output)
        if inplace:
            self._stale[x] = True
        return operation

    def rectify_in_place(self, x: Tensor) -> _Operation:
        """Note max(x, 0), which replaces x."""
        return self.rectify(x, inplace=True)

    def average(
        self,
        x: Tensor,
        kernel_size: Sides,
        stride: Sides | None = None,
        padding: Sides = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> _Operation:
        """Note F.avg_pool2d."""
        size, around = _side(kernel_size), _side(padding)
        step = size if stride is None else _side(stride)
        settings = (size, step, around, ceil_mode)
        output = functional.avg_pool2d(x, *settings, count_include_pad, divisor_override)
        shares = np.full(output.shape[2:], 1 / (divisor_override or size**2), np.float32)
        if not count_include_pad and not divisor_override:
            ones = torch.ones(1, 1, *x.shape[2:])
            shares = (1 / functional.avg_pool2d(ones, *settings, divisor_override=1)[0, 0]).numpy()
        elif ceil_mode:
            raise _NoLoopError
        return _Pooling(output, (self.source(x),), (), shares, (size, step, around))

    def largest(
        self,
        x: Tensor,
        kernel_size: Sides,
        stride: Sides | None = None,
        padding: Sides = 0,
        dilation: Sides = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> _Operation:
        """Note F.max_pool2d."""
        if return_indices:
            raise _NoLoopError
        inputs = (self.source(x),)
        settings: Any = (kernel_size, stride, padding, dilation, ceil_mode)
        output, chosen = functional.max_pool2d(x, *settings, return_indices=True)
        return _MaxPooling(output, inputs, (), chosen)

    def part(self, x: Tensor, index: object) -> _Operation:
        """Note x[:, channels, lines, columns] of slices."""
        slices = index if isinstance(index, tuple) else (index,)
        if not all(isinstance(one, slice) for one in slices):
            raise _NoLoopError
        output = x[slices]
        self._note_views([x], output)
        slices += (slice(None),) * (4 - len(slices))
        ranges = [one.indices(size)[::2] for one, size in zip(slices, x.shape, strict=True)]
        (first, step), (channel, along), (line, down), (column, across) = ranges
        if len(output) != len(x) or (first, step, along) != (0, 1, 1):
            raise _NoLoopError
        return _Part(output, (self.source(x),), (), (line, column, channel, down, across))

    def concatenate(self, tensors: Sequence[Tensor], dim: int = 0) -> _Operation:
        """Note the concatenation of channels."""
        if dim != 1:
            raise _NoLoopError
        places = np.cumsum([0, *(one.shape[1] for one in tensors[:-1])])
        inputs = tuple(self.source(one) for one in tensors)
        return _Concatenation(torch.cat(list(tensors), 1), inputs, (), tuple(places.tolist()))

    def normalise(
        self,
        x: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> _Operation:
        """Note F.batch_norm in training mode."""
        if not training or x.numel() == x.shape[1]:
            raise _NoLoopError
        inputs, parameters = (self.source(x),), (self.parameter(weight), self.parameter(bias))
        output, mean, deviation = torch.native_batch_norm(
            x, weight, bias, running_mean, running_var, True, momentum, eps
        )
        seen = self.copied(x), _pixels(x)
        return _Normalisation(output, inputs, parameters, *seen, mean, deviation, weight)

    def convolve(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Sides = 1,
        padding: Sides = 0,
        dilation: Sides = 1,
        groups: int = 1,
    ) -> _Operation:
        """Note F.conv2d."""
        step, around = _side(stride), _side(padding)
        spread = _side(dilation)
        if weight.shape[2] != weight.shape[3] or (spread > 1 and len(weight) > groups):
            raise _NoLoopError
        inputs, parameters = (self.source(x),), (self.parameter(weight), self.parameter(bias))
        output = torch.conv2d(x, weight, bias, step, around, spread, groups)
        seen, (_, channels, height, width) = self.copied(x, around), x.shape
        shape, how = (channels, height, width), (step, around, spread, groups)
        return _Convolution(output, inputs, parameters, seen, shape, weight, *how)


#: The functions that there are loops for.
_NOTED: dict[object, Callable[..., _Operation]] = {
    functional.conv2d: Recording.convolve,
    functional.batch_norm: Recording.normalise,
    functional.avg_pool2d: Recording.average,
    functional.max_pool2d: Recording.largest,
    torch.cat: Recording.concatenate,
    Tensor.__getitem__: Recording.part,
    **dict.fromkeys((functional.relu, torch.relu, Tensor.relu), Recording.rectify),
    **dict.fromkeys((torch.relu_, Tensor.relu_), Recording.rectify_in_place),
    **dict.fromkeys((torch.add, Tensor.add), Recording.add),
    Tensor.add_: Recording.add_in_place,
    **dict.fromkeys((torch.sub, Tensor.sub), Recording.subtract),
    **dict.fromkeys((torch.mul, Tensor.mul), Recording.multiply),
    **dict.fromkeys((torch.div, Tensor.div), Recording.divide),
}


def _of_images(value: object) -> bool:
    return any(one.ndim == 4 for one in _tensors(value)[:1])


def _tensors(value: object) -> list[Tensor]:
    """Return the tensors of an argument, which may be one or a sequence of some."""
    among = value if isinstance(value, list | tuple) else [value]
    return [one for one in among if isinstance(one, Tensor)]


def _memory_of(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _side(value: Sides | str) -> int:
    """Return the number that lines and columns have in common."""
    sides = {value} if isinstance(value, int) else set(value)
    if len(sides) > 1 or isinstance(value, str):
        raise _NoLoopError
    return int(*sides)


def _number(other: Tensor | float) -> float:
    """Return the number by which images are multiplied or divided."""
    if isinstance(other, Tensor) and (other.ndim or other.requires_grad):
        raise _NoLoopError
    return float(other)


class _Plan:
    """The steps of a backward pass.

    Args:
        operations: operation that made each activation.
        made: activations that the network or the graph has, with what stands for them.
        outputs: (n,), with a graph that leads to activations and parameters.
        parameters: parameters whose gradients are requested.

    Attributes:
        wanted: those that require a gradient.
        boundary: activations that the graph leads to.
        sources: these with their numbers, and `head`.
        head: parameters in `wanted` that it leads to.
        steps: operations whose backward passes follow, in order.
        givers: number of steps that add to the gradient of an activation, plus one at the boundary.
        largest: numbers in the largest activation.

    Raises:
        _NoLoopError: there is no loop for a requested gradient, or gradients are too large.
    """

    def __init__(
        self,
        operations: dict[Tensor, _Operation],
        made: dict[Tensor, Tensor],
        outputs: Tensor,
        parameters: Sequence[Tensor],
    ) -> None:
        self.operations = operations
        self.wanted = {one for one in parameters if one.requires_grad}
        leaves = {get_gradient_edge(one).node: one for one in (*made, *self.wanted)}
        reached = [leaves[node] for node in _nodes(outputs) if node in leaves]
        self.boundary = [made[one] for one in reached if one in made]
        self.head = [one for one in reached if one in self.wanted]
        self.sources = [*(one for one in reached if one in made), *self.head]
        self.steps: list[_Operation] = []
        self.givers = Counter(self.boundary)
        order, consumers = self._order()
        if LANES * 4 * sum(one.numel() for one in self.wanted - set(self.head)) > _MANY:
            raise _NoLoopError
        for activation in order:
            if self.givers[activation]:  # otherwise another step includes it
                step = self._joined(operations[activation], consumers)
                self.givers.update(one for one in step.inputs if one is not None)
                self.steps.append(step)
        self.largest = max((one.numel() for one in self.givers), default=0)

    def _order(self) -> tuple[list[Tensor], Counter[Tensor]]:
        """Order the activations, readers first, and count the readers of each."""
        body: set[Tensor] = set()
        waiting = list(self.boundary)
        while waiting:
            activation = waiting.pop()
            if activation not in body:
                self._check(self.operations[activation])
                body.add(activation)
                waiting += self._read_by(activation)
        consumers = Counter(below for one in body for below in self._read_by(one))
        left = Counter(consumers)
        ready = [one for one in self.boundary if not left[one]]
        ordered: list[Tensor] = []
        while ready:
            activation = ready.pop()
            ordered.append(activation)
            for below in self._read_by(activation):
                left[below] -= 1
                if not left[below]:
                    ready.append(below)
        return ordered, consumers + Counter(self.boundary)

    def _check(self, operation: _Operation) -> None:
        wanted = {one for one in operation.parameters if one in self.wanted}
        of_bias = isinstance(operation, _Convolution) and operation.parameters[1] in wanted
        too_large = operation.output.numel() * LANES * 4 > _LARGE
        if of_bias or too_large or not wanted.isdisjoint(self.head):
            raise _NoLoopError

    def _read_by(self, activation: Tensor) -> list[Tensor]:
        """Return the activations that an activation was made from."""
        return [one for one in self.operations[activation].inputs if one is not None]

    def _joined(self, operation: _Operation, consumers: Counter[Tensor]) -> _Operation:
        """Join a convolution with the rectifier before it and the normalisation after it."""
        before = self._before(operation)
        if (
            isinstance(operation, _Normalisation)
            and isinstance(before, _Convolution)
            and consumers[before.output] == 1  # otherwise two steps would do the same work
        ):
            operation = replace(before, output=operation.output, normalised=operation)
            before = self._before(operation)
        if isinstance(operation, _Convolution) and isinstance(before, _Rectifier):
            operation = replace(operation, inputs=before.inputs, gated=True)
        return operation

    def _before(self, operation: _Operation) -> _Operation | None:
        first = operation.inputs[0]
        return None if first is None else self.operations[first]


def _nodes(outputs: Tensor) -> list[Node]:
    """Return the nodes of the graph of outputs."""
    found: dict[Node, None] = {}
    waiting: list[Node | None] = [get_gradient_edge(outputs).node]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found[node] = None
            waiting += [below for below, _ in node.next_functions]
    return list(found)


def _run(plan: _Plan, outputs: Tensor) -> list[Tensor]:
    """Return the gradients (n, size) by all parameters."""
    memory = _Memory(plan)
    rows: dict[Tensor, list[Array]] = defaultdict(list)

    def pull_back(cotangent: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(
            outputs, plan.sources, cotangent, retain_graph=True, materialize_grads=True
        )

    identity = torch.eye(len(outputs))
    for first in range(0, len(outputs), LANES):
        cotangents = identity[first : first + LANES]
        try:
            found = list(vmap(pull_back)(cotangents))
        except RuntimeError as error:  # vmap can't run what PyTorch was left with
            raise _NoLoopError from error
        for activation in plan.boundary:
            images, channels, height, width = activation.shape
            made, _ = memory.target(activation)
            lanes = made.reshape(images, height, width, channels, LANES)
            lanes[..., : len(cotangents)] = found.pop(0).detach().permute(1, 3, 4, 2, 0).numpy()
            lanes[..., len(cotangents) :] = 0
        if not first and plan.largest > _MANY_NUMBERS:
            _trim()  # what the forward pass and PyTorch's part of the backward pass leave behind
        steps = plan.steps[::-1]
        if first + LANES >= len(outputs):
            plan.steps.clear()  # the last passes free the activations that they have read
        while steps:
            step = steps.pop()
            step.run(memory)
            memory.release(step.output)
        for parameter in list(memory.by_parameter):
            numbers = memory.by_parameter.pop(parameter).reshape(-1, LANES)
            rows[parameter].append(numbers[:, : len(cotangents)])
        for parameter, gradient in zip(plan.head, found, strict=True):
            rows[parameter].append(gradient.detach().flatten(1).numpy().T)
    memory.free.clear()  # rows are joined in this memory
    return [torch.cat([torch.from_numpy(part.T) for part in rows.pop(one)]) for one in list(rows)]


def _trim() -> None:
    """Return freed memory to the system; glibc keeps it if told to, as workers do."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)
