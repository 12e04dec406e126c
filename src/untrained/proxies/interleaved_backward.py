"""Backward passes of many outputs through PyTorch's graph, sixteen at a time.

A kernel of gradients needs one backward pass per image through the same forward pass. Where the
layers of images are convolutions, batch normalisations in training mode, rectifiers, average pools
and weighted sums in float32 on a CPU, whatever modules they are in, the passes are run here, by the
loops of `interleaved_loops`. What follows those layers, such as a classifier, is left to PyTorch.
The gradients are exact: the same sums in another order.
"""

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.graph import GradientEdge, Node
from torch.func import vmap
from torch.nn import functional

from untrained.proxies import interleaved_loops
from untrained.proxies.interleaved_loops import LANES

#: Activations whose gradients take more bytes than this are left to PyTorch, to save memory.
_LARGE = 2**30
#: Bytes of gradients that a convolution processes together; they stay in the second-level cache.
_PART = 2**20

Array = NDArray[Any]
_NOTHING = np.empty(0, np.float32)


def gradient_rows(outputs: Tensor, parameters: Sequence[Tensor]) -> list[Tensor] | None:
    """Return gradients of n outputs by parameters; None where an operation has no loop.

    Args:
        outputs: (n,) with their graph, which is kept.
        parameters: leaves of the graph; those that the outputs don't depend on have no gradient.

    Returns:
        One tensor (n, size) for each parameter with a gradient, in no particular order. The order
        of the numbers within a tensor is unspecified, but the same for all outputs.
    """
    root = outputs.grad_fn
    if root is None or outputs.dtype != torch.float32 or outputs.device.type != "cpu":
        return None
    try:
        steps = _Steps(root, parameters)
    except _NoLoopError:
        return None
    return _run(steps, outputs)


class _NoLoopError(Exception):
    """There is no loop for an operation of the graph."""


def _shape(node: Node) -> tuple[int, ...]:
    """Return the shape of a node's result."""
    return tuple(node._input_metadata[0].shape)


def _below(node: Node) -> list[Node]:
    return [one for one, _ in node.next_functions if one is not None]


def _is_leaf(node: Node) -> bool:
    return node.name() == "torch::autograd::AccumulateGrad"


def _flat(tensor: Tensor) -> Array:
    """Return the numbers of a tensor in row order."""
    array: Array = tensor.detach().contiguous().numpy().reshape(-1)
    return array


class _Memory:
    """Memory for gradients: those of nodes in use, and arrays that are free again."""

    def __init__(self, steps: "_Steps") -> None:
        self.givers = steps.givers
        self.readers = Counter(one.source for one in steps.steps)
        self.free: dict[int, list[Array]] = {}
        self.arounds: dict[object, Array] = {}
        self.by_parameter: dict[int, Array] = {}
        self.begin()

    def begin(self) -> None:
        """Forget the gradients of the last backward passes."""
        self.found: dict[Node, tuple[Array, float]] = {}
        self.left = Counter(self.readers)
        self.users: Counter[int] = Counter()
        for array in self.by_parameter.values():
            array[:] = 0

    def target(self, node: Node) -> tuple[Array, bool]:
        """Return the array for a node's gradient (n H W C 16,), and whether to add to it."""
        if node in self.found:
            return self.found[node][0], True
        images, channels, height, width = _shape(node)
        size = images * channels * height * width * LANES
        spare = self.free.get(size)
        array = spare.pop() if spare else np.empty(size, np.float32)
        self.share(node, array, 1.0)
        return array, False

    def share(self, node: Node, array: Array, factor: float) -> None:
        """Set the gradient of a node to a factor times an array that other nodes may share."""
        self.found[node] = array, factor
        self.users[id(array)] += 1

    def read(self, node: Node) -> None:
        """Record that one reader of a node's gradient is done, and free it after the last."""
        self.left[node] -= 1
        if not self.left[node]:
            array, _ = self.found.pop(node)
            self.users[id(array)] -= 1
            if not self.users[id(array)]:
                self.free.setdefault(array.size, []).append(array)

    def parameter(self, parameter: Tensor | None, shape: tuple[int, ...]) -> Array:
        """Return the array to add a parameter's gradient to, (*shape, 16); empty for None."""
        if parameter is None:
            return _NOTHING
        if id(parameter) not in self.by_parameter:
            self.by_parameter[id(parameter)] = np.zeros((*shape, LANES), np.float32)
        return self.by_parameter[id(parameter)]

    def around(self, size: int, key: object) -> Array:
        """Return scratch memory, one array per key, which is zero where nothing was written."""
        if key not in self.arounds:
            self.arounds[key] = np.zeros(size, np.float32)
        return self.arounds[key]


@dataclass(frozen=True)
class _Step:
    """One step of a backward pass: reads the gradient of `source`, adds to that of its target."""

    source: Node

    @abstractmethod
    def run(self, memory: _Memory) -> None:
        """Run the step for sixteen backward passes."""


@dataclass(frozen=True)
class _Scaling(_Step):
    target: Node
    factor: float

    def run(self, memory: _Memory) -> None:
        numbers, factor = memory.found[self.source]
        if memory.givers[self.target] == 1:
            memory.share(self.target, numbers, factor * self.factor)
        else:
            made, adds = memory.target(self.target)
            interleaved_loops.scaled(numbers, factor * self.factor, made, adds)
        memory.read(self.source)


@dataclass(frozen=True)
class _Rectifier(_Step):
    target: Node
    gate: Array

    def run(self, memory: _Memory) -> None:
        numbers, factor = memory.found[self.source]
        made, adds = memory.target(self.target)
        shape = _pixels(self.source)
        interleaved_loops.rectified(numbers, shape, factor, self.gate, made, adds)
        memory.read(self.source)


@dataclass(frozen=True)
class _Pooling(_Step):
    target: Node
    shares: Array
    size: int
    stride: int
    padding: int

    def run(self, memory: _Memory) -> None:
        numbers, factor = memory.found[self.source]
        made, adds = memory.target(self.target)
        images, channels, high, wide = _shape(self.source)
        interleaved_loops.pooling(
            numbers,
            (images, high, wide, channels),
            np.float32(factor) * self.shares,
            (self.size, self.stride, self.padding),
            made,
            _shape(self.target)[2:],
            adds,
        )
        memory.read(self.source)


@dataclass(frozen=True)
class _Normalised:
    """The input, statistics and parameters of a batch normalisation."""

    x: Array
    mean: Array
    deviation: Array
    scale: Array
    weight: Tensor | None
    bias: Tensor | None

    def affine(
        self, numbers: Array, factor: float, shape: tuple[int, int, int], memory: _Memory
    ) -> tuple[Array, Array, Array]:
        """Return the gradient by x as an affine map: factor (C,), offset (C 16,), slope (C 16,).

        The gradient is factor * gradient + offset + slope * x; shape is (n, H W, C).
        """
        images, pixels, channels = shape
        first, second = np.empty((2, channels, LANES))
        interleaved_loops.moments(numbers, self.x, shape, self.mean, self.deviation, first, second)
        for parameter, sums in ((self.weight, second), (self.bias, first)):
            if parameter is not None:
                memory.parameter(parameter, (channels,))[:] += factor * sums
        deviation = self.deviation.astype(np.float64)
        times = factor * deviation * self.scale
        slope = -(times * deviation)[:, None] * second / (images * pixels)
        offset = -times[:, None] * first / (images * pixels) - slope * self.mean[:, None]
        flat = (offset.astype(np.float32).reshape(-1), slope.astype(np.float32).reshape(-1))
        return times.astype(np.float32), *flat


@dataclass(frozen=True)
class _Normalisation(_Step):
    target: Node | None
    normalised: _Normalised

    def run(self, memory: _Memory) -> None:
        numbers, factor = memory.found[self.source]
        shape = _pixels(self.source)
        affine = self.normalised.affine(numbers, factor, shape, memory)
        if self.target is not None:
            made, adds = memory.target(self.target)
            interleaved_loops.normalisation(numbers, shape, *affine, self.normalised.x, made, adds)
        memory.read(self.source)


@dataclass(frozen=True)
class _Convolution(_Step):
    """The step of a convolution and of the batch normalisation of its output, if there is one."""

    target: Node | None
    normalised: _Normalised | None
    x: Array
    x_shape: tuple[int, ...]
    parameter: Tensor | None
    weight: Tensor
    stride: int
    padding: int
    gate: Array

    def run(self, memory: _Memory) -> None:
        numbers, factor = memory.found[self.source]
        images, outputs, high, wide = _shape(self.source)
        _, inputs, size, _ = self.weight.shape
        times, offset, slope = np.full(outputs, factor, np.float32), _NOTHING, _NOTHING
        x = _NOTHING
        if self.normalised is not None:
            shape = (images, high * wide, outputs)
            times, offset, slope = self.normalised.affine(numbers, factor, shape, memory)
            x = self.normalised.x
        phases, packed, margin = np.zeros((1, 3), np.int64), _NOTHING, (0, 0)
        made, adds, input_shape = _NOTHING, False, (0, 0, 0)
        blocks = interleaved_loops.block_of(inputs), interleaved_loops.block_of(outputs)
        if self.target is not None:
            made, adds = memory.target(self.target)
            _, *sides = _shape(self.target)
            input_shape = sides[0], sides[1], sides[2]
            phases, packed = packed_weight(self.weight, self.stride, self.padding, blocks)
            margin = _margin(phases, self.stride, input_shape[1:], (high, wide))
        channels = -(-outputs // blocks[1]) * blocks[1]
        image_size = (high + sum(margin)) * (wide + sum(margin)) * channels * LANES
        together = max(1, min(images, _PART // (4 * image_size)))
        around = memory.around(together * image_size, (outputs, high, wide, margin))
        interleaved_loops.convolution(
            numbers,
            (images, high, wide, outputs),
            times,
            offset,
            slope,
            x,
            self.x,
            self.x_shape,
            (size, self.stride),
            memory.parameter(self.parameter, (outputs, size, size, inputs)).reshape(-1),
            phases,
            packed,
            blocks,
            margin,
            around,
            made,
            input_shape,
            adds,
            self.gate,
        )
        memory.read(self.source)


def _pixels(node: Node) -> tuple[int, int, int]:
    """Return (n, H W, C) of a node's result."""
    images, channels, height, width = _shape(node)
    return images, height * width, channels


def packed_weight(
    weight: Tensor, stride: int, padding: int, blocks: tuple[int, int]
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
        found = [r for r in reversed(range(size)) if (r - padding - phase) % stride == 0]
        taps.append(found)
        phases[phase, :2] = (phase + padding - found[0]) // stride if found else 0, len(found)
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
    phases: Array, stride: int, shape: tuple[int, ...], output: tuple[int, int]
) -> tuple[int, int]:
    """Return how many zeros before and after an image of the output the input's gradient reads."""
    before = after = 0
    for phase in range(stride):
        first, taps = phases[phase, :2]
        for length, made in zip(shape, output, strict=True):
            last = -(-(length - phase) // stride) - 1 + first + taps - 1
            before, after = max(before, -int(first)), max(after, int(last) - (made - 1))
    return before, after


class _Steps:
    """The steps of a backward pass, in order.

    Args:
        root: root of the graph.
        parameters: parameters whose gradients are requested.

    Attributes:
        boundary: nodes with images as results whose readers have other results.
        head: requested parameters that those readers use.
        steps: steps of the nodes with images as results.
        givers: number of steps that add to the gradient of a node.

    Raises:
        _NoLoopError: an operation has no loop.
    """

    def __init__(self, root: Node, parameters: Sequence[Tensor]) -> None:
        self.wanted = {id(one) for one in parameters}
        self.boundary: list[Node] = []
        self.head: list[Tensor] = []
        self.steps: list[_Step] = []
        self.kept: dict[object, Array] = {}
        self._find_boundary(root)
        self.givers = Counter(self.boundary)
        order, self.consumers = self._order()
        for node in order:
            if self.givers[node]:  # otherwise the step of another node includes this one
                self._add_steps(node)

    def _find_boundary(self, root: Node) -> None:
        seen: set[Node] = set()
        waiting = [root]
        while waiting:
            node = waiting.pop()
            if node in seen:
                continue
            seen.add(node)
            if node.name() in _KNOWN and len(_shape(node)) == 4:
                self.boundary.append(node)
            elif not _is_leaf(node):
                waiting += _below(node)
            elif id(node.variable) in self.wanted:  # type: ignore[attr-defined]
                self.head.append(node.variable)  # type: ignore[attr-defined]

    def _order(self) -> tuple[list[Node], Counter[Node]]:
        """Order the nodes of images, readers first, and count the readers of each."""
        body: set[Node] = set()
        waiting = list(self.boundary)
        while waiting:
            node = waiting.pop()
            if node not in body:
                if node.name() not in _KNOWN or _size(node) > _LARGE:
                    raise _NoLoopError
                body.add(node)
                waiting += [one for one in _below(node) if not _is_leaf(one)]
        consumers = Counter(below for node in body for below in _below(node))
        left = Counter(consumers)
        ready = [node for node in self.boundary if not left[node]]
        ordered: list[Node] = []
        while ready:
            node = ready.pop()
            ordered.append(node)
            for below in _below(node):
                left[below] -= 1
                if not left[below] and below in body:
                    ready.append(below)
        return ordered, consumers + Counter(self.boundary)

    def _add_steps(self, node: Node) -> None:
        saved: Any = node
        inputs = [one for one, _ in node.next_functions]
        match node.name():
            case "AddBackward0":
                self._add_scaling(node, inputs[0], 1.0)
                self._add_scaling(node, inputs[1], float(saved._saved_alpha))
            case "SubBackward0":
                self._add_scaling(node, inputs[0], 1.0)
                self._add_scaling(node, inputs[1], -float(saved._saved_alpha))
            case "DivBackward0":
                self._add_scaling(node, inputs[0], 1 / _number(saved._saved_other))
            case "MulBackward0":
                self._add_scaling(node, inputs[0], _number(saved._saved_other))
            case "ReluBackward0":
                if inputs[0] is not None:
                    self._add(
                        _Rectifier(node, inputs[0], self._kept(saved._saved_result)), inputs[0]
                    )
            case "AvgPool2DBackward0":
                self._add_pooling(node, inputs[0])
            case "NativeBatchNormBackward0":
                self._add_normalisation(node, inputs)
            case _:
                self._add_convolution(node, node, None)

    def _add(self, step: _Step, target: Node | None) -> None:
        if target is not None:
            if _is_leaf(target):
                raise _NoLoopError  # a parameter is itself an image
            self.givers[target] += 1
        self.steps.append(step)

    def _add_scaling(self, node: Node, below: Node | None, factor: float) -> None:
        if below is not None:
            if _shape(below) != _shape(node):
                raise _NoLoopError
            self._add(_Scaling(node, below, factor), below)

    def _add_pooling(self, node: Node, below: Node | None) -> None:
        saved: Any = node
        size, stride = saved._saved_kernel_size, saved._saved_stride or saved._saved_kernel_size
        padding = saved._saved_padding
        if below is None:
            return
        if any(len(set(one)) > 1 for one in (size, stride, padding)):
            raise _NoLoopError
        _, _, high, wide = _shape(node)
        divisor = saved._saved_divisor_override or size[0] ** 2
        shares = np.full((high, wide), 1 / divisor, np.float32)
        if not saved._saved_count_include_pad and not saved._saved_divisor_override:
            ones = torch.ones(1, 1, *_shape(below)[2:])
            sums = functional.avg_pool2d(
                ones, size, stride, padding, saved._saved_ceil_mode, divisor_override=1
            )
            shares = (1 / sums[0, 0]).numpy()
        elif saved._saved_ceil_mode:
            raise _NoLoopError
        self._add(_Pooling(node, below, shares, size[0], stride[0], padding[0]), below)

    def _add_normalisation(self, node: Node, inputs: list[Node | None]) -> None:
        saved: Any = node
        if not saved._saved_training:
            raise _NoLoopError
        mean, deviation = _flat(saved._saved_result1), _flat(saved._saved_result2)
        weight = saved._saved_weight
        normalised = _Normalised(
            self._kept(saved._saved_input),
            mean,
            deviation,
            np.ones_like(mean) if weight is None else _flat(weight),
            self._parameter(inputs[1]),
            self._parameter(inputs[2]),
        )
        below = inputs[0]
        if (
            below is not None
            and below.name() == "ConvolutionBackward0"
            and self.consumers[below] == 1  # otherwise two steps would do the same work
        ):
            self._add_convolution(node, below, normalised)
        else:
            self._add(_Normalisation(node, below, normalised), below)

    def _add_convolution(self, source: Node, node: Node, normalised: _Normalised | None) -> None:
        saved: Any = node
        weight, stride, padding = saved._saved_weight, saved._saved_stride, saved._saved_padding
        plain = (
            saved._saved_groups == 1
            and not saved._saved_transposed
            and set(saved._saved_dilation) == {1}
            and len(set(stride)) == len(set(padding)) == len(set(weight.shape[2:])) == 1
        )
        target, of_weight, of_bias = (one for one, _ in node.next_functions)
        if not plain or self._parameter(of_bias) is not None:
            raise _NoLoopError
        gate = _NOTHING
        if target is not None and target.name() == "ReluBackward0":
            gate = self._kept(target._saved_result)  # type: ignore[attr-defined]
            target = target.next_functions[0][0]
        x = self._kept(saved._saved_input, padding[0])
        _, inputs, height, width = saved._saved_input.shape
        self._add(
            _Convolution(
                source,
                target,
                normalised,
                x,
                (inputs, height + 2 * padding[0], width + 2 * padding[0]),
                self._parameter(of_weight),
                weight.detach(),
                stride[0],
                padding[0],
                gate,
            ),
            target,
        )

    def _parameter(self, node: Node | None) -> Tensor | None:
        """Return the parameter of a leaf node, or None if its gradient is not requested."""
        if node is None:
            return None
        if not _is_leaf(node):
            raise _NoLoopError
        variable: Tensor = node.variable  # type: ignore[attr-defined]
        if any(variable is one for one in self.head):
            raise _NoLoopError
        return variable if id(variable) in self.wanted else None

    def _kept(self, tensor: Tensor, padding: int = 0) -> Array:
        """Return the numbers of an activation surrounded by zeros; the copy is made once."""
        key = (tensor.data_ptr(), tensor.shape, tensor.stride(), padding)
        if key not in self.kept:
            self.kept[key] = _flat(functional.pad(tensor.detach(), (padding,) * 4))
        return self.kept[key]


#: Names of the nodes that there are loops for.
_KNOWN = frozenset(
    f"{name}Backward0"
    for name in ("Add", "Sub", "Div", "Mul", "Relu", "AvgPool2D", "NativeBatchNorm", "Convolution")
)


def _size(node: Node) -> int:
    """Return the bytes of sixteen gradients of a node's result."""
    if len(_shape(node)) != 4:
        raise _NoLoopError
    return int(np.prod(_shape(node))) * LANES * 4


def _number(other: Tensor | None) -> float:
    """Return the number by which images were multiplied or divided."""
    if other is None or other.ndim or other.requires_grad:
        raise _NoLoopError
    return float(other)


def _run(steps: _Steps, outputs: Tensor) -> list[Tensor]:
    """Return the gradients (n, size) by all parameters."""
    memory = _Memory(steps)
    edges = [GradientEdge(node, 0) for node in steps.boundary]
    edges += [torch.autograd.graph.get_gradient_edge(one) for one in steps.head]

    def pull_back(cotangent: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(
            outputs, edges, cotangent, retain_graph=True, materialize_grads=True
        )

    rows: dict[int, list[Array]] = {}
    identity = torch.eye(len(outputs))
    for cotangents in torch.split(identity, LANES):
        found = vmap(pull_back)(cotangents)
        memory.begin()
        for node, gradient in zip(steps.boundary, found, strict=False):
            images, channels, height, width = _shape(node)
            made, _ = memory.target(node)
            shape = (len(cotangents), images, channels, height * width)
            interleaved_loops.interleaved(_flat(gradient), shape, made)
        for step in steps.steps:
            step.run(memory)
        for key, made in memory.by_parameter.items():
            rows.setdefault(key, []).append(made.reshape(-1, LANES)[:, : len(cotangents)].T.copy())
        for number, gradient in enumerate(found[len(steps.boundary) :]):
            rows.setdefault(-1 - number, []).append(gradient.detach().flatten(1).numpy())
    return [torch.from_numpy(np.concatenate(pieces)) for pieces in rows.values()]
