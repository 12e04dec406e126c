"""Random streams that are derived from (seed, purpose, ...), never from global state."""

import random
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from untrained.errors import ParameterError

if TYPE_CHECKING:
    import torch

#: Tables hold seeds as signed integers of 64 bits.
LARGEST = 2**63 - 1

#: Held by the thread that uses what all threads share: global generators, settings of PyTorch, and
#: networks that callers give.
ALONE = threading.RLock()


def check_seed(seed: int) -> None:
    """Refuse what is no seed.

    Raises:
        ParameterError: the seed is negative or larger than `LARGEST`.
    """
    if seed < 0:
        raise ParameterError(f"seed {seed} is negative: seeds are 0 or larger")
    if seed > LARGEST:
        raise ParameterError(f"seed {seed} is too large: seeds are below 2^63")


def seed_sequence(seed: int, purpose: str, *keys: int) -> np.random.SeedSequence:
    """Return the stream of one purpose, for example `seed_sequence(0, "weights", 1462)`.

    Streams of different purposes or keys are independent, so that results do not depend on the
    order of evaluation, on shards or on workers.

    Raises:
        ParameterError: see `check_seed`.
    """
    check_seed(seed)
    # keys are not part of the entropy, where a trailing 0 would not change the stream
    return np.random.SeedSequence([seed, zlib.crc32(purpose.encode())], spawn_key=keys)


def numpy_generator(seed: int, purpose: str, *keys: int) -> np.random.Generator:
    """Return a NumPy generator on the stream of `seed_sequence`."""
    return np.random.default_rng(seed_sequence(seed, purpose, *keys))


@contextmanager
def generators_restored(device: "torch.device | None" = None) -> Iterator[None]:
    """Restore the global generators of PyTorch, NumPy and `random` when the block ends.

    One thread at a time is in such a block.

    Args:
        device: a GPU whose generator is restored as well.
    """
    import torch

    gpus = [device] if device is not None and device.type == "cuda" else []
    with ALONE:
        state, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - others draw
        try:
            with torch.random.fork_rng(gpus):
                yield
        finally:
            random.setstate(state)
            np.random.set_state(of_numpy)  # noqa: NPY002


@contextmanager
def torch_seeded(
    seed: int, purpose: str, *keys: int, device: "torch.device | None" = None
) -> Iterator[None]:
    """Run a block with all global generators on streams of their own, and restore them afterwards.

    Constructors of modules draw weights from the global generator of PyTorch, and some networks
    from that of NumPy or `random`; they are set nowhere else. Weights are drawn on the CPU, so that
    they are the same for every device. Dropout draws on the device of its input.

    Args:
        seed: the seed.
        purpose: the purpose of the stream.
        keys: further parts of the stream's name.
        device: a GPU whose generator is set as well.
    """
    import torch

    stream = seed_sequence(seed, purpose, *keys)
    state = int(stream.generate_state(1, np.uint64)[0])
    others = stream.generate_state(4)[2:]  # the words after those of `state`
    gpus = [device] if device is not None and device.type == "cuda" else []
    with generators_restored(device):
        torch.default_generator.manual_seed(state)
        for gpu in gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(state)
        random.seed(others.tobytes())
        np.random.seed(others)  # noqa: NPY002
        yield
