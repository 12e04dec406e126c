"""Float32 that is float32 on GPUs too."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any


@contextmanager
def exact_float32() -> Iterator[None]:
    """Run a block, or a function that this decorates, without TF32 and without autocast.

    PyTorch's default on GPUs since Ampere is to round the inputs of float32 convolutions to ten
    bits, which moves kernel scores by a percent. The settings are those of the process, and are
    restored afterwards; one thread at a time is in such a block.
    """
    from untrained.seeds import ALONE

    with ALONE, _without_tf32(), _without_autocast():
        yield


@contextmanager
def float32_by_default() -> Iterator[None]:
    """Run a block, or a function that this decorates, with float32 as PyTorch's default type.

    Networks of spaces have weights of this type, whatever the caller has chosen for others.
    """
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def _without_autocast() -> Iterator[None]:
    import torch

    with ExitStack() as stack:
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextmanager
def _without_tf32() -> Iterator[None]:
    import torch
    from torch.backends import cuda, cudnn, mkldnn

    # PyTorch 2.9 has second names for the same settings. Where the caller has set these, the first
    # can be set but not read.
    newer = [getattr(cudnn, "conv", None), getattr(cudnn, "rnn", None)]
    newer += [cuda.matmul, getattr(mkldnn, "matmul", None), getattr(mkldnn, "conv", None)]
    precise: list[Any] = [one for one in newer if hasattr(one, "fp32_precision")]
    words = [one.fp32_precision for one in precise]
    products, convolutions = None, None
    with suppress(RuntimeError):
        products = torch.get_float32_matmul_precision()
    with suppress(RuntimeError):
        convolutions = cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    cudnn.allow_tf32 = False
    for one in precise:
        one.fp32_precision = "ieee"
    try:
        yield
    finally:
        if products is not None:
            torch.set_float32_matmul_precision(products)
        if convolutions is not None:
            cudnn.allow_tf32 = convolutions
        for one, word in zip(precise, words, strict=True):
            one.fp32_precision = word
