"""Kernels of activation codes, for figures."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from untrained.proxies.base import UndefinedScore
from untrained.proxies.naswot import activation_kernel
from untrained.scoring.images import MinibatchSettings
from untrained.seeds import torch_seeded
from untrained.spaces import SearchSpace


def kernels_of(
    space: SearchSpace, indices: Iterable[int], settings: MinibatchSettings, seed: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the kernel K_H (N, N) of each architecture, whose log-determinant is its NASWOT score.

    Weights and minibatch are those of `untrained.scoring.engine.score_work` with the same seed.

    Yields:
        (index, kernel); architectures whose kernel is undefined are left out.
    """
    batch = settings.draw(seed, torch.device("cpu"))
    for index in indices:
        with torch_seeded(seed, "weights", index):
            network = space.network(space[index], batch.num_classes).train()
        try:
            kernel = activation_kernel(network, batch.images)
        except UndefinedScore:
            continue
        yield index, kernel
