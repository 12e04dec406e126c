"""A plain implementation of NASWOT as published, which the engine is timed against.

Forward, backward and a second forward pass of the module in float32, channels first; hooks on all
modules named after ReLU; two float32 products per hook, summed in float64.
"""

import numpy as np
import torch
from torch import Tensor, nn


def plain_score(network: nn.Module, images: Tensor) -> float:
    """Return the log-determinant of K_H for images (N, C, H, W), by the released procedure."""
    visited: set[nn.Module] = set()
    kernel = np.zeros((len(images), len(images)))
    counting = False

    def flag(module: nn.Module, *_gradients: object) -> None:
        visited.add(module)

    def count(module: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        if counting and module in visited:
            codes = (inputs[0].flatten(1) > 0).float()
            agreements = codes @ codes.T + (1 - codes) @ (1 - codes).T
            kernel.__iadd__(agreements.cpu().numpy())

    handles = []
    for module in network.modules():
        if "ReLU" in type(module).__name__:
            handles.append(module.register_forward_hook(count))
            handles.append(module.register_full_backward_hook(flag))
    try:
        shown = images.clone().requires_grad_()
        outputs = network(shown)
        outputs.backward(torch.ones_like(outputs))
        counting = True
        network(images.clone())
    finally:
        for handle in handles:
            handle.remove()
    return float(np.linalg.slogdet(kernel).logabsdet)
