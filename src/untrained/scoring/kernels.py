"""Kernels of activation codes, to look at."""

from collections.abc import Sequence

import numpy as np
import torch

from untrained.proxies.naswot import activation_kernel
from untrained.scoring.engine import MinibatchSettings
from untrained.seeds import torch_seeded
from untrained.spaces import SearchSpace


def kernels_of(
    space: SearchSpace, indices: Sequence[int], settings: MinibatchSettings, seed: int
) -> list[np.ndarray]:
    """K_H (N, N) of each architecture: the matrices whose log-determinants are its NASWOT scores.

    Weights and minibatch are those that `score_architectures` uses for the same seed.
    """
    batch = settings.draw(seed, torch.device("cpu"))
    kernels = []
    for index in indices:
        with torch_seeded(seed, "weights", index):
            network = space.network(space[index], batch.num_classes).train()
        kernels.append(activation_kernel(network, batch.images))
    return kernels
