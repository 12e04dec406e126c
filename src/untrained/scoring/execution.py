"""The device, engine and precision with which networks are run."""

import ctypes
import os
import sys
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeGuard, runtime_checkable

import torch
from threadpoolctl import threadpool_limits

from untrained.errors import text_of, unknown_name
from untrained.images.minibatches import Minibatch
from untrained.networks.batched import Batch, Kernels
from untrained.networks.batched_gradients import Networks
from untrained.networks.plans import Reading
from untrained.plugins import address_of, is_foreign
from untrained.proxies.base import SharesMeasurement, UndefinedScore
from untrained.scoring.request import PRECISIONS

ENGINES = ("auto", "plain", "fast", "batched")


@dataclass(frozen=True)
class Execution:
    """The way in which networks are run, which changes a score by rounding only.

    Attributes:
        device: the device of networks and images.
        engine: `plain` runs the module under the proxy's hooks; `fast` runs the network's plan;
            `batched` runs many architectures at once, where many are asked for; `auto` is fast
            where the network has a plan that the proxy can be read off, and batched on a GPU if
            the proxy can be read off kernels or measures many networks, or is read after training.
        precision: `float32`, `bfloat16`, or `auto`, which is bfloat16 for plans and trainings on
            devices with instructions for its matrix products, and float32 otherwise. Weights that
            are trained are float32, unless they have several types. Unless it is `bfloat16`, a
            network of one's own whose weights have another type is read in that type.
    """

    device: torch.device = torch.device("cpu")  # noqa: RUF009 - immutable
    engine: str = "auto"
    precision: str = "auto"

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise unknown_name("engine", self.engine, ENGINES)
        if self.precision not in PRECISIONS:
            raise unknown_name("precision", self.precision, PRECISIONS)

    def dtype(self, *, planned: bool) -> torch.dtype:
        """Return the type of activations.

        Args:
            planned: whether a plan is run or a network is trained, rather than a module read.
        """
        if self.precision == "bfloat16":
            return torch.bfloat16
        if self.precision == "auto" and planned and has_bfloat16_products(self.device):
            return torch.bfloat16
        return torch.float32


@runtime_checkable
class ReadsRectifiers(Protocol):
    """A proxy whose score follows from the inputs of the rectifiers."""

    name: ClassVar[str]

    @property
    def dead_branches(self) -> bool:
        """Return whether branches without influence on the output count."""
        ...

    def score_readings(self, readings: Iterable[Reading]) -> float:
        """Return the score, which is that of the module up to rounding."""
        ...


@runtime_checkable
class ReadsKernels(ReadsRectifiers, Protocol):
    """A proxy whose score follows from the kernel of the rectifiers' codes."""

    def score_kernels(self, found: Kernels) -> list[float | UndefinedScore]:
        """Return the scores of several networks, or why there are none, as `score_readings`."""
        ...


@runtime_checkable
class ReadsCodes(Protocol):
    """A proxy whose score follows from the codes themselves."""

    name: ClassVar[str]

    @property
    def dead_branches(self) -> bool:
        """Return whether branches without influence on the output count."""
        ...

    def score_codes(self, batch: Batch, images: torch.Tensor) -> list[float | UndefinedScore]:
        """Return what `Proxy.__call__` returns of several networks, or why there is nothing."""
        ...


@runtime_checkable
class MeasuresMany(SharesMeasurement, Protocol):
    """A proxy whose measurement can be made of many networks at once."""

    def measure_many(self, networks: Networks, minibatch: Minibatch) -> list[Any]:
        """Return what `measure` returns, or why there is nothing, of each of some networks.

        They are in training mode and have the weights that they were drawn with. The loss is the
        cross-entropy.
        """
        ...


def reads_rectifiers(proxy: object) -> TypeGuard[ReadsRectifiers]:
    """Return whether a proxy reads the inputs of rectifiers as it reads a network."""
    return isinstance(proxy, ReadsRectifiers) and _goes_along(proxy, "score_readings")


def reads_kernels(proxy: object) -> TypeGuard[ReadsKernels]:
    """Return whether a proxy reads kernels as it reads a network."""
    return isinstance(proxy, ReadsKernels) and _goes_along(proxy, "score_kernels")


def reads_codes(proxy: object) -> TypeGuard[ReadsCodes]:
    """Return whether a proxy reads codes as it reads a network."""
    return isinstance(proxy, ReadsCodes) and _goes_along(proxy, "score_codes")


def shares_measurement(proxy: object) -> TypeGuard[SharesMeasurement]:
    """Return whether a proxy's score is read off a measurement that others read as well."""
    return isinstance(proxy, SharesMeasurement) and _place(proxy, "__call__") >= _place(
        proxy, "measure"
    )


def measurement_of(proxy: SharesMeasurement) -> Hashable:
    """Return a key of what a proxy measures; what another package measures is something else."""
    kind = type(proxy).__mro__[_place(proxy, "measure")]
    return kind if is_foreign(address_of(kind)) else None, proxy.measurement


def measures_many(proxy: object) -> TypeGuard[MeasuresMany]:
    """Return whether a proxy measures many networks as it measures one."""
    return (
        shares_measurement(proxy)
        and isinstance(proxy, MeasuresMany)
        and _goes_along(proxy, "measure_many")
    )


def _goes_along(proxy: object, name: str) -> bool:
    """Return whether no class below that of a method has another `measure` or `__call__`.

    A proxy that inherits a method, and has others of these, need not do the same by it.
    """
    return _place(proxy, name) <= min(_place(proxy, "measure"), _place(proxy, "__call__"))


def _place(proxy: object, name: str) -> int:
    """Return which of a proxy's classes has a method, in the order in which they are asked."""
    kinds = type(proxy).__mro__
    return next((place for place, kind in enumerate(kinds) if name in vars(kind)), len(kinds))


#: What errors of PyTorch, oneDNN, Triton and CUDA's libraries contain if there is no memory left.
_OUT_OF_MEMORY = (
    *("DefaultCPUAllocator: ", "could not create a primitive", "std::bad_alloc"),
    *("out of memory", "_STATUS_ALLOC_FAILED", "_ALLOCATION_FAILED"),
    "CUBLAS_STATUS_NOT_INITIALIZED",  # its handle takes memory
    # cuDNN has none that fits into the memory that is left; the second text is that of its newer
    # interface, which PyTorch 2 uses
    *("Unable to find a valid cuDNN algorithm", "unable to find an engine to execute this"),
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error, or one that it was raised from, says that no memory is left."""
    # only PyTorch's allocator of a GPU has an error type of its own for this
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    if any(words in text_of(error) for words in _OUT_OF_MEMORY):
        return True
    return error.__cause__ is not None and is_out_of_memory(error.__cause__)


def has_bfloat16_products(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 matrices faster than float32 ones."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


#: Whether this process does nothing but score, so that it may start others like it.
only_scores = False


def prepare_worker() -> None:
    """Set up a process that does nothing but score.

    It has one thread, since one worker per core is faster than several threads in one worker; the
    eigenvalues of a small kernel take many times longer on two threads of OpenBLAS than on one. On
    Linux glibc is told to reuse large blocks instead of returning them, and PyTorch to take large
    pages, because fresh zeroed pages for each activation take a tenth of the time of a score.
    """
    global only_scores
    only_scores = True
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # read at the first large allocation
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        m_trim_threshold, m_mmap_threshold = -1, -3
        mallopt(m_mmap_threshold, 1 << 30)
        mallopt(m_trim_threshold, (1 << 31) - 1)
