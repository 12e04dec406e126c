"""1x1 convolutions that skip pixels."""

from torch import Tensor, nn
from torch.nn import functional


class StridedPointwise(nn.Conv2d):
    """A 1x1 convolution without bias of every `stride`-th pixel of lines and columns.

    A strided convolution gives the same result, but in its backward pass PyTorch 2.13 writes past
    the end of the input's gradient: on a CPU, in single precision with channels last, below 16
    channels and from about 50 pixels a side.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, outputs, 1, stride, bias=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - as in the base class
        """Map (N, inputs, H, W) to (N, outputs, H/stride, W/stride), rounded up."""
        down, across = self.stride
        return functional.conv2d(input[:, :, ::down, ::across], self.weight)
