"""Codes of rectified units, and on how many of them two images agree."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from untrained import compiled

_SAME_SIZE = {torch.bfloat16: torch.int16, torch.float16: torch.int16, torch.float32: torch.int32}


def bits_of(pre_activation: Tensor) -> Tensor:
    """Return codes (N, f) int8 of pre-activations (N, ...): 1 where a unit is positive, else 0."""
    if pre_activation.ndim == 4:  # channels-last activations are flattened without a copy
        pre_activation = pre_activation.permute(0, 2, 3, 1)
    units = pre_activation.reshape(len(pre_activation), -1)
    if units.dtype not in _SAME_SIZE:
        return (units > 0).to(torch.int8)
    # A positive float is a positive integer when its bits are read as one (NaN apart); clamping
    # integers runs four times as fast as comparing floats.
    return units.contiguous().view(_SAME_SIZE[units.dtype]).clamp(0, 1).to(torch.int8)


def agreements_of(codes: Tensor) -> Tensor:
    """Count for each two images the units whose bits are equal: (N, N) int64.

    Args:
        codes: (N, f) int8 with one bit in each number, or (N, f / 8) uint8 with eight.
    """
    total = torch.zeros(len(codes), len(codes), dtype=torch.int64, device=codes.device)
    add_agreements(codes, 1, total)
    return total


def add_agreements(codes: Tensor, times: int, total: Tensor) -> None:
    """Add `times` times the agreements of `codes` to `total` (N, N); see `agreements_of`."""
    if codes.device.type == "cpu":
        packed = codes.numpy() if codes.dtype == torch.uint8 else np.packbits(codes.numpy(), axis=1)
        units = codes.shape[1] * (8 if codes.dtype == torch.uint8 else 1)
        compiled.add_agreements(_words(packed), units, times, total.numpy())
        return
    # With bits Z (N, f) and row sums r this is 2 Z Z' - r 1' - 1 r' + f: one product, whose
    # diagonal is r. All counts are exact.
    both = torch.zeros_like(total)
    for start in range(0, codes.shape[1], 2**24):  # float32 counts exactly up to 2**24
        piece = codes[:, start : start + 2**24].float()
        both += (piece @ piece.T).to(torch.int64)
    ones = both.diagonal()
    total += times * (2 * both - ones[:, None] - ones[None, :] + codes.shape[1])


def _words(packed: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Read eight bytes as one number; zeros fill each row up, and the rows up to a multiple of 4.

    The added bits are equal in all images and are not counted as units.
    """
    images, width = packed.shape
    if images % 4 == 0 and width % 8 == 0:
        return packed.view(np.uint64)
    filled = np.zeros((-(-images // 4) * 4, -(-width // 8) * 8), np.uint8)
    filled[:images, :width] = packed
    return filled.view(np.uint64)
