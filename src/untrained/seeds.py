"""Random streams, each derived from (seed, purpose, ...) and never from global state."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from untrained.errors import ParameterError


def seed_sequence(seed: int, purpose: str, *keys: int) -> np.random.SeedSequence:
    """The stream of one purpose, for example `seed_sequence(0, "weights", 1462)`.

    Streams of different purposes or keys are independent, so a result depends on no order of
    evaluation, shard size or number of workers.

    Raises:
        ParameterError: a negative seed.
    """
    if seed < 0:
        raise ParameterError(f"seed {seed} is negative: seeds are 0 or larger")
    # keys are no part of the entropy, because there a trailing 0 would make no difference
    return np.random.SeedSequence([seed, zlib.crc32(purpose.encode())], spawn_key=keys)


def numpy_generator(seed: int, purpose: str, *keys: int) -> np.random.Generator:
    """A NumPy generator on the stream of `seed_sequence`."""
    return np.random.default_rng(seed_sequence(seed, purpose, *keys))


@contextmanager
def torch_seeded(seed: int, purpose: str, *keys: int) -> Iterator[None]:
    """Run a block with PyTorch's global generator on the stream, and restore it afterwards.

    Module constructors draw their weights from the global generator; this is the only place that
    touches it. Weights are drawn on the CPU, so every device starts from the same ones.
    """
    import torch

    state = int(seed_sequence(seed, purpose, *keys).generate_state(1, np.uint64)[0])
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(state)
        yield
