"""1x1 convolutions that skip pixels."""

from torch import Tensor, nn
from torch.nn import functional


class StridedPointwise(nn.Conv2d):
    """A 1x1 convolution of every `stride`-th pixel both ways, without bias.

    A strided convolution would give the same, but PyTorch 2.13 writes its gradient with respect to
    the input beyond the memory of that: on a CPU, in single precision with channels last, below 16
    channels and from some 50 pixels a side on.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, outputs, 1, stride, bias=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - as in the base class
        """Map (N, inputs, H, W) to (N, outputs, H/stride, W/stride), rounded up."""
        down, across = self.stride
        return functional.conv2d(input[:, :, ::down, ::across], self.weight)
