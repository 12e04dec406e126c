"""Parameters and floating-point operations of a module."""

import torch
from torch import Tensor, nn

from untrained.networks.modes import buffers_restored, modes_restored


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable scalars."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def count_flops(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Return the multiply-accumulate operations for one image of `shape` (C, H, W).

    They are counted as in the NAS-Bench-201 tables: convolutions without their bias, linear layers
    with it, nothing else. The network does not change, buffers included.
    """
    total = 0

    def count(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            positions = output.shape[-2] * output.shape[-1]
            total += module.weight.numel() * positions
        elif isinstance(module, nn.Linear):
            total += module.weight.numel() + module.out_features * (module.bias is not None)

    image = torch.zeros(1, *shape)
    first = next((p for p in network.parameters() if p.is_floating_point()), None)
    image = image if first is None else image.to(first)
    handles = [module.register_forward_hook(count) for module in network.modules()]
    try:
        with modes_restored(network), buffers_restored(network), torch.no_grad():
            network.eval()
            network(image)
    finally:
        for handle in handles:
            handle.remove()
    return total
