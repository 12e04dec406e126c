"""Float32 that is float32 on GPUs too."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def exact_float32() -> Iterator[None]:
    """Run a block, or a function that this decorates, without TF32.

    PyTorch's default on GPUs since Ampere is to round the inputs of float32 convolutions to ten
    bits, which moves kernel scores by a percent. The settings are those of the process, and are
    restored afterwards; one thread at a time is in such a block.
    """
    from untrained.seeds import ALONE

    with ALONE, _without_tf32():
        yield


@contextmanager
def _without_tf32() -> Iterator[None]:
    from torch.backends import cuda, cudnn

    owners: list[Any] = [cudnn, cuda.matmul]
    # PyTorch 2.9 has a second name for the same settings. Where the caller has set that, the first
    # can be set but not read.
    newer = [getattr(cudnn, "conv", None), getattr(cudnn, "rnn", None), cuda.matmul]
    precise: list[Any] = [one for one in newer if hasattr(one, "fp32_precision")]
    words = [one.fp32_precision for one in precise]
    try:
        before = [one.allow_tf32 for one in owners]
    except RuntimeError:
        before = []
    for owner in owners:
        owner.allow_tf32 = False
    for one in precise:
        one.fp32_precision = "ieee"
    try:
        yield
    finally:
        for owner, allowed in zip(owners, before, strict=False):
            owner.allow_tf32 = allowed
        for one, word in zip(precise, words, strict=True):
            one.fp32_precision = word
