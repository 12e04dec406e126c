"""Batched backward passes against those of PyTorch, one by one and in float64."""

import pytest
import torch
from torch import nn
from torch.func import vmap
from torch.nn import functional

from untrained.proxies import gradient_loops
from untrained.proxies.batched_backward import BatchedBackward


def randn(*shape, dtype=torch.float32):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(len(shape)))


def check(apply, tensors, rows=3, dtype=torch.float32, layout=torch.contiguous_format):
    """Compare all gradients: batched, one by one under the mode, and without the mode."""
    leaves = [t.to(dtype).detach().clone().requires_grad_() for t in tensors]
    shown = [leaves[0].to(memory_format=layout), *leaves[1:]]
    with BatchedBackward() as batched:
        output = apply(*shown)
    exact = [t.to(torch.float64).detach().clone().requires_grad_() for t in tensors]
    expected = apply(*exact)
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-9}
    if dtype != torch.float32:
        tolerance["atol"] = 1e-9
    torch.testing.assert_close(output.double(), expected, **tolerance)
    cotangents = torch.randn(rows, *output.shape, dtype=torch.float64)

    def pull(cotangent, of=output, by=leaves):
        return torch.autograd.grad(of, by, cotangent, retain_graph=True)

    together = vmap(pull)(cotangents.to(dtype))
    for row, cotangent in enumerate(cotangents):
        wanted = pull(cotangent, expected, exact)
        for found in (pull(cotangent.to(dtype)), [one[row] for one in together]):
            for one, other in zip(found, wanted, strict=True):
                torch.testing.assert_close(one.double(), other, **tolerance)
    return batched


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("inputs", "outputs", "size", "stride", "padding", "dilation", "groups"),
    [
        (3, 3, 3, 1, 1, 1, 1),  # compiled loops in float32, also for the next two
        (3, 6, 3, 1, 1, 1, 1),
        (5, 2, 3, 1, 1, 1, 1),
        (7, 4, 3, 1, 1, 1, 1),
        (3, 4, 1, 1, 0, 1, 1),
        (3, 4, 3, 2, 1, 1, 1),
        (6, 3, 3, 2, 1, 1, 1),
        (3, 4, 3, 1, 2, 2, 1),
        (4, 4, 3, 1, 2, 2, 4),
        (4, 6, 5, 2, 2, 1, 2),
        (1, 1, 5, 1, 4, 2, 1),  # loops for the few channels of thin networks of DARTS
        (2, 2, 5, 2, 4, 2, 2),
        (2, 2, 3, 2, 2, 2, 2),
        (2, 2, 5, 1, 2, 1, 2),
        (1, 2, 1, 1, 0, 1, 1),
        (4, 2, 1, 2, 0, 1, 1),
        (6, 6, 3, 3, 1, 1, 3),
        (3, 4, 3, 1, 3, 1, 1),  # more padding than a transposed convolution can undo
        (2, 3, (1, 3), 1, (0, 1), 1, 1),
    ],
)
def test_convolutions(inputs, outputs, size, stride, padding, dilation, groups, dtype, layout):
    height, width = size if isinstance(size, tuple) else (size, size)
    tensors = [
        randn(4, inputs, 7, 6),
        randn(outputs, inputs // groups, height, width) / 3,
        randn(outputs),
    ]

    def apply(x, weight, bias):
        return functional.conv2d(x, weight, bias, stride, padding, dilation, groups)

    assert check(apply, tensors, dtype=dtype, layout=layout).largest > 0


@pytest.mark.parametrize("wanted", [(True, False), (False, True)])
def test_gradient_loops_make_what_is_asked_for(wanted, monkeypatch):
    calls = []
    plain = gradient_loops.convolution

    def counted(*arguments):
        calls.append([one.size > 0 for one in arguments[-2:]])
        return plain(*arguments)

    monkeypatch.setattr(gradient_loops, "convolution", counted)
    x, weight = randn(4, 2, 7, 6), randn(2, 1, 5, 5)
    for tensor, want in zip((x, weight), wanted, strict=True):
        tensor.requires_grad_(want)
    chosen = [tensor for tensor, want in zip((x, weight), wanted, strict=True) if want]
    with BatchedBackward():
        output = functional.conv2d(x, weight, None, 1, 4, 2, 2)
    cotangents = randn(3, *output.shape)
    (found,) = vmap(lambda one: torch.autograd.grad(output, chosen, one, retain_graph=True))(
        cotangents
    )
    assert calls == [list(wanted)]
    output = functional.conv2d(x, weight, None, 1, 4, 2, 2)
    for row, cotangent in zip(found, cotangents, strict=True):
        (expected,) = torch.autograd.grad(output, chosen, cotangent, retain_graph=True)
        torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_batch_normalisation_in_training(dtype, layout):
    def apply(x, weight, bias):
        return functional.batch_norm(x, None, None, weight, bias, training=True)

    check(apply, [2 + 3 * randn(5, 3, 4, 6), randn(3), randn(3)], dtype=dtype, layout=layout)
    check(apply, [2 + 3 * randn(40, 16, 8, 2), randn(16), randn(16)], dtype=dtype, layout=layout)
    check(
        lambda x: functional.batch_norm(x, None, None, training=True),
        [randn(5, 3, 4, 6)],
        dtype=dtype,
    )


@pytest.mark.parametrize("count_include_pad", [False, True])
@pytest.mark.parametrize("size", [1, 3, 5, (3, 1)])
def test_average_pools_of_the_same_size(size, count_include_pad):
    around = tuple(s // 2 for s in size) if isinstance(size, tuple) else size // 2

    def apply(x):
        return functional.avg_pool2d(x, size, 1, around, count_include_pad=count_include_pad)

    check(apply, [randn(3, 2, 6, 7)])


@pytest.mark.parametrize(("size", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (2, None, 1)])
def test_other_pools_are_left_alone(size, stride, padding):
    def apply(x):
        return functional.avg_pool2d(x, size, stride, padding)

    assert check(apply, [randn(3, 2, 6, 8)]).largest == 0


def test_running_statistics_are_kept_as_pytorch_keeps_them():
    plain, batched = (nn.BatchNorm2d(3) for _ in range(2))
    images = 1 + 2 * randn(5, 3, 4, 4)
    plain(images)
    with BatchedBackward():
        batched(images)
    torch.testing.assert_close(plain.running_mean, batched.running_mean)
    torch.testing.assert_close(plain.running_var, batched.running_var)


def test_small_activations_go_together_and_large_ones_alone():
    with BatchedBackward() as batched:
        functional.conv2d(torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 1, 1))
    assert batched.largest == 64 * 64 * 4
    assert batched.rows == 512
    with BatchedBackward() as batched:
        functional.conv2d(torch.zeros(1, 1, 1024, 1024), torch.zeros(2, 1, 1, 1))
    assert batched.rows == 1
