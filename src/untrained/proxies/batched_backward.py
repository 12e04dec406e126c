"""Backward passes of many outputs at once, for operations on which PyTorch's `vmap` is slow.

A kernel of gradients needs one backward pass per image through the same forward pass. Under
`BatchedBackward` convolutions, batch normalisations and average pools record operations whose
backward passes take k output gradients (k, N, ...) at once; everything else is left to PyTorch.
They are exact: the same sums in another order.
"""

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from untrained.proxies import gradient_loops

#: Bytes of an activation's gradients that are processed together, so that they stay cached.
_CACHED = 8 * 2**20
#: Activations of more bytes than this gain nothing from several backward passes at once.
_LARGE = 2**20
#: Up to this number of channels the compiled loops are faster than PyTorch's convolutions.
_FEW = 6


class BatchedBackward(TorchFunctionMode):
    """Record a forward pass whose backward passes can be batched.

    Attributes:
        largest: bytes of the largest tensor that a replaced operation returned.
    """

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    @property
    def rows(self) -> int:
        """The number of backward passes to run together."""
        return 1 if self.largest > _LARGE else max(1, _CACHED // max(self.largest, 1))

    def __enter__(self) -> Self:
        self.largest = 0
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        replace = _REPLACED.get(func)
        output = replace(*args, **kwargs) if replace is not None else None
        if output is None:
            return func(*args, **kwargs)
        self.largest = max(self.largest, output.numel() * output.element_size())
        return output


def _convolution(
    input: Tensor,  # noqa: A002 - PyTorch's name for it
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    if input.ndim != 4 or isinstance(padding, str):
        return None
    settings = (_pair(stride), _pair(padding), _pair(dilation), groups)
    output: Tensor = _Convolution.apply(input, weight, *settings)  # type: ignore[no-untyped-call]
    return output if bias is None else output + bias[:, None, None]


def _batch_norm(
    input: Tensor,  # noqa: A002
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:
    if not training or input.ndim != 4:
        return None
    statistics = (running_mean, running_var, momentum, eps)
    output: Tensor = _BatchNorm.apply(input, weight, bias, *statistics)  # type: ignore[no-untyped-call]
    return output


def _average_pool(
    input: Tensor,  # noqa: A002
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor | None:
    size, around = _pair(kernel_size), _pair(padding)
    same = all(length == 2 * more + 1 for length, more in zip(size, around, strict=True))
    if not same or stride is None or _pair(stride) != (1, 1) or divisor_override is not None:
        return None
    del ceil_mode  # at stride 1 the windows cover every pixel
    output: Tensor = _AveragePool.apply(input, size, around, count_include_pad)  # type: ignore[no-untyped-call]
    return output


_REPLACED: dict[object, Callable[..., Tensor | None]] = {
    functional.conv2d: _convolution,
    functional.batch_norm: _batch_norm,
    functional.avg_pool2d: _average_pool,
}


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    first, *more = value
    return int(first), int(more[0] if more else first)


class _Convolution(torch.autograd.Function):
    """F.conv2d without bias."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, *settings: Any) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.settings = settings
        return torch.conv2d(x, weight, None, *settings)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:2]
        found = _ConvolutionBackward.apply(gradients[0], x, weight, wanted, ctx.settings)  # type: ignore[no-untyped-call]
        return *found, None, None, None, None


class _ConvolutionBackward(torch.autograd.Function):
    """Gradients of a convolution by its input and its weight; None for those not requested."""

    @staticmethod
    def forward(
        gradient: Tensor,
        x: Tensor,
        weight: Tensor,
        wanted: tuple[bool, bool],
        settings: Any,
    ) -> tuple[Tensor | None, Tensor | None]:
        # PyTorch's own backward pass is the fastest for one gradient alone
        stride, padding, dilation, groups = settings
        by_input, by_weight, _ = torch.ops.aten.convolution_backward(
            gradient, x, weight, None, stride, padding, dilation, False, (0, 0), groups,
            [*wanted, False],
        )  # fmt: skip
        return by_input if wanted[0] else None, by_weight if wanted[1] else None

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep nothing: there are no second derivatives."""

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[Any, ...],
        gradient: Tensor,
        x: Tensor,
        weight: Tensor,
        wanted: tuple[bool, bool],
        settings: Any,
    ) -> Any:
        rows, gradient = info.batch_size, gradient.movedim(in_dims[0], 0)
        dims = (0 if wanted[0] else None, 0 if wanted[1] else None)
        if _is_thin(gradient, x, weight, settings):
            return _by_loops(gradient, x, weight, wanted, settings), dims
        by_input = by_weight = None
        if wanted[0]:
            by_input = _by_input(gradient.flatten(0, 1), x, weight, settings)
            by_input = by_input.reshape(rows, -1, *by_input.shape[1:])
        if wanted[1] and settings[3] == 1:
            # all rows as channels of one gradient (N, k C, H, W) make one larger product
            stacked = gradient.transpose(0, 1).flatten(1, 2)
            stacked = stacked.contiguous(memory_format=torch.channels_last)
            shape = torch.empty_like(weight[:1]).expand(rows * len(weight), *weight.shape[1:])
            by_weight = _by_weight(stacked, x, shape, settings).reshape(rows, *weight.shape)
        elif wanted[1]:
            by_weight = torch.stack([_by_weight(one, x, weight, settings) for one in gradient])
        return (by_input, by_weight), dims


def _is_thin(gradient: Tensor, x: Tensor, weight: Tensor, settings: Any) -> bool:
    """Whether the loops for convolutions of few channels apply and are faster."""
    (stride, *more), padding, (dilation, *other), groups = settings
    outputs, inputs, size, width = weight.shape
    square = more == [stride] and other == [dilation] and size == width
    same = size % 2 == 1 and padding == (dilation * (size // 2),) * 2
    numbers = all(t.dtype == torch.float32 and t.device.type == "cpu" for t in (gradient, x))
    return square and same and numbers and max(outputs // groups, inputs) <= _FEW


def _by_loops(
    gradient: Tensor, x: Tensor, weight: Tensor, wanted: tuple[bool, bool], settings: Any
) -> tuple[Tensor | None, Tensor | None]:
    rows, images = gradient.shape[:2]
    by_input = gradient.new_empty((rows * wanted[0], images, *x.shape[1:]))
    by_weight = gradient.new_empty((rows * wanted[1], *weight.shape))
    given = [t.detach().contiguous().numpy() for t in (gradient, x, weight)]
    (stride, _), _, (dilation, _), _ = settings
    gradient_loops.convolution(*given, stride, dilation, by_input.numpy(), by_weight.numpy())
    return by_input if wanted[0] else None, by_weight if wanted[1] else None


def _by_input(gradient: Tensor, x: Tensor, weight: Tensor, settings: Any) -> Tensor:
    """Return (n, C, H, W) for `gradient` (n, D, H', W'), whatever the number of images of x."""
    stride, padding, dilation, groups = settings
    around = [
        spread * (size - 1) - more
        for size, more, spread in zip(weight.shape[2:], padding, dilation, strict=True)
    ]
    if stride == (1, 1) and groups == 1 and min(around) >= 0:
        # the transposed convolution at stride 1 is a convolution, several times as fast on CPUs
        turned = weight.flip(2, 3).transpose(0, 1)
        return torch.conv2d(gradient, turned, None, 1, around, dilation)
    shape = x[:1].expand(len(gradient), *x.shape[1:])
    return _convolution_backward(gradient, shape, weight, settings, 0)


def _by_weight(gradient: Tensor, x: Tensor, weight: Tensor, settings: Any) -> Tensor:
    return _convolution_backward(gradient, x, weight, settings, 1)


def _convolution_backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    settings: Any,
    which: int,
) -> Tensor:
    stride, padding, dilation, groups = settings
    wanted = [which == 0, which == 1, False]
    found: Tensor = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, stride, padding, dilation, False, (0, 0), groups, wanted
    )[which]
    return found


class _BatchNorm(torch.autograd.Function):
    """Batch normalisation in training mode, as `F.batch_norm`."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        momentum: float,
        eps: float,
    ) -> Tensor:
        output, mean, deviation = torch.native_batch_norm(
            x, weight, bias, running_mean, running_var, True, momentum, eps
        )
        ctx.save_for_backward(x, weight, mean, deviation)
        ctx.eps = eps
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        wanted = ctx.needs_input_grad[:3]
        saved = ctx.saved_tensors
        found = _BatchNormBackward.apply(gradients[0], *saved, wanted, ctx.eps)  # type: ignore[no-untyped-call]
        return *found, None, None, None, None


class _BatchNormBackward(torch.autograd.Function):
    """Gradients of a batch normalisation by input, weight and bias; None where not requested."""

    @staticmethod
    def forward(
        gradient: Tensor,
        x: Tensor,
        weight: Tensor | None,
        mean: Tensor,
        deviation: Tensor,
        wanted: tuple[bool, bool, bool],
        eps: float,
    ) -> tuple[Tensor | None, ...]:
        found = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, None, None, mean, deviation, True, eps, wanted
        )
        return tuple(one if want else None for one, want in zip(found, wanted, strict=True))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep nothing: there are no second derivatives."""

    @staticmethod
    def vmap(_info: Any, in_dims: tuple[Any, ...], gradient: Tensor, *more: Any) -> Any:
        gradient = gradient.movedim(in_dims[0], 0)
        wanted = more[4]
        dims = tuple(0 if want else None for want in wanted)
        made = _normalised_by_loops(gradient, *more[:4])
        if made is not None:
            return tuple(t if want else None for t, want in zip(made, wanted, strict=True)), dims
        rows = [_BatchNormBackward.forward(one, *more) for one in gradient]
        return tuple(
            torch.stack([row[i] for row in rows]) if want else None  # type: ignore[misc]
            for i, want in enumerate(wanted)
        ), dims


def _normalised_by_loops(
    gradient: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, deviation: Tensor
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Normalise gradients (k, n, C, H, W) by the compiled loops; None where they don't apply."""
    if x.dtype != torch.float32 or x.device.type != "cpu":
        return None
    shape = (*x.shape[:2], -1)
    scale = torch.ones_like(mean) if weight is None else weight
    by_input = torch.empty(gradient.shape)
    by_weight, by_bias = (torch.empty(len(gradient), len(mean)) for _ in range(2))
    gradient_loops.batch_norm(
        gradient.detach().contiguous().view(len(gradient), *shape).numpy(),
        x.detach().contiguous().view(shape).numpy(),
        *(t.detach().contiguous().numpy() for t in (scale, mean, deviation)),
        by_input.view(len(gradient), *shape).numpy(),
        by_weight.numpy(),
        by_bias.numpy(),
    )
    return by_input, by_weight, by_bias


class _AveragePool(torch.autograd.Function):
    """Average pooling at stride 1 that keeps the size, as `F.avg_pool2d`."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        size: tuple[int, int],
        padding: tuple[int, int],
        count_padding: bool,
    ) -> Tensor:
        ctx.size, ctx.padding = size, padding
        ctx.shares = None
        if not count_padding:
            ones = torch.ones_like(x[:1, :1])
            ctx.shares = torch.nn.functional.avg_pool2d(ones, size, 1, padding)
        return torch.nn.functional.avg_pool2d(x, size, 1, padding, count_include_pad=count_padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # with padding counted, pooling is its own transpose; without, gradients are first divided
        # by the share of the window that lies inside the image
        gradient = gradients[0] if ctx.shares is None else gradients[0] / ctx.shares
        found = _WindowMeans.apply(gradient, ctx.size, ctx.padding)  # type: ignore[no-untyped-call]
        return found, None, None, None


class _WindowMeans(torch.autograd.Function):
    """Average pooling at stride 1 that keeps the size and counts padding, as `F.avg_pool2d`."""

    @staticmethod
    def forward(x: Tensor, size: tuple[int, int], padding: tuple[int, int]) -> Tensor:
        return torch.nn.functional.avg_pool2d(x, size, 1, padding)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep nothing: there are no second derivatives."""

    @staticmethod
    def vmap(
        _info: Any,
        in_dims: tuple[Any, ...],
        x: Tensor,
        size: tuple[int, int],
        padding: tuple[int, int],
    ) -> Any:
        x = x.movedim(in_dims[0], 0)
        if x.dtype == torch.float32 and x.device.type == "cpu" and x.is_contiguous():
            found = torch.empty_like(x)
            flat = (x.detach().flatten(0, 2), found.flatten(0, 2))
            gradient_loops.window_sums(flat[0].numpy(), *size, flat[1].numpy())
            return found.div_(size[0] * size[1]), 0
        made = _WindowMeans.forward(x.flatten(0, 1), size, padding)
        return made.reshape(x.shape), 0
