"""Parameters and floating-point operations of a module."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from untrained.networks.modes import buffers_restored, modes_restored
from untrained.networks.prepared import dtype_of


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable scalars."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def count_flops(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Return the multiply-adds of the forward pass of one image (C, H, W) in evaluation mode.

    Those of convolutions and of products of matrices count, whether modules or functions apply
    them, in attention and in recurrent layers too; biases, normalisations and activations do not.
    Half of what PyTorch's `FlopCounterMode` finds, since it counts a multiply-add as two
    operations. The network does not change, buffers included.
    """
    device = next((one.device for one in network.parameters()), None)
    image = torch.zeros(1, *shape, dtype=dtype_of(network), device=device)
    with (
        modes_restored(network),
        buffers_restored(network),
        torch.no_grad(),
        _without_fused_attention(),
        FlopCounterMode(display=False, custom_mapping=_RECURRENT) as counter,
    ):
        network.eval()(image)
    return int(counter.get_total_flops()) // 2


@contextmanager
def _without_fused_attention() -> Iterator[None]:
    """Run attention as products of matrices; as one operation of PyTorch it would count nothing."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _layer_of_one_dnn(steps: Sequence[int], *weights: Sequence[int], **_: object) -> int:
    """Return the operations of a layer of an LSTM, given the shapes of inputs and weights."""
    return 2 * prod(steps[:-1]) * (prod(weights[0]) + prod(weights[1]))


def _layers_of_cudnn(
    steps: Sequence[int], weights: Sequence[Sequence[int]], *_args: object, **_: object
) -> int:
    """Return the operations of all layers of a recurrent network, given shapes; biases are 1-d."""
    return 2 * prod(steps[:-1]) * sum(prod(shape) for shape in weights if len(shape) == 2)


#: What PyTorch does not count: recurrent layers that oneDNN or cuDNN run as one operation.
_RECURRENT = {
    torch.ops.aten.mkldnn_rnn_layer: _layer_of_one_dnn,
    torch.ops.aten._cudnn_rnn: _layers_of_cudnn,
}
