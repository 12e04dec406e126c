"""Parameters, floating-point operations and memory of a module."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any, Self
from weakref import finalize

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.module_tracker import ModuleTracker

from untrained.networks.modes import buffers_restored, modes_restored
from untrained.networks.prepared import dtype_of, in_mode, with_effective_weights
from untrained.spaces.base import NotApplicable


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable scalars."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def count_flops(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Return the multiply-adds of the forward pass of one image (C, H, W) in evaluation mode.

    Those of convolutions and of products of matrices and vectors count, whether modules or
    functions apply them, in attention and in recurrent layers too; of a sparse matrix only the
    entries that it stores, of a bilinear layer both of its products, and of distances between
    points one for each coordinate. Biases, normalisations, activations and other operations on
    single numbers do not count, nor do Fourier transforms, nor what computes weights from other
    tensors, such as `spectral_norm`, since it is needed once for all images. Half of what PyTorch's
    `FlopCounterMode` finds with formulas of what it does not know, since it counts a multiply-add
    as two operations.
    The network does not change, buffers included.

    Raises:
        NotApplicable: it runs products that nobody has a formula for, such as those of quantised
            layers, or it uses its weights but none of its operations counts.
    """
    network = with_effective_weights(network)
    device = next((one.device for one in network.parameters()), None)
    image = torch.zeros(1, *shape, dtype=dtype_of(network), device=device)
    with (
        modes_restored(network),
        buffers_restored(network),
        torch.no_grad(),
        _without_fused_attention(),
        _Uncounted(network.parameters()) as rest,
        _counter() as counter,
    ):
        rest.known = counter.flop_registry
        in_mode(network, training=False)(image)
    name, found = type(network).__name__, int(counter.get_total_flops()) // 2
    if rest.products:
        unknown = ", ".join(sorted(rest.products))
        raise NotApplicable(f"{name} runs {unknown}, whose operations can't be counted")
    if rest.weighs and not found:
        raise NotApplicable(
            f"{name} uses its weights, but in no convolution or product of matrices, and other "
            "operations do not count"
        )
    return found


def peak_memory(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Return the most bytes of activations of one image (C, H, W) in a forward pass.

    The pass is in evaluation mode and without gradients. The image counts, and all that operations
    allocate, from the operation until PyTorch frees it, each storage once, whatever views it has;
    weights and what an operation needs for itself alone do not. Half precision has 2 bytes a
    number. The network does not change, buffers included.
    """
    network = with_effective_weights(network)
    device = next((one.device for one in network.parameters()), None)
    image = torch.zeros(1, *shape, dtype=dtype_of(network), device=device)
    weights = [*network.parameters(), *network.buffers()]
    with (
        modes_restored(network),
        buffers_restored(network),
        torch.no_grad(),
        _Allocated(weights, image) as allocated,
    ):
        in_mode(network, training=False)(image)
    return int(allocated.peak)


class _Allocated(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the storages that operations make and that are still there.

    Attributes:
        peak: the most bytes at once, after an operation.
    """

    def __init__(self, weights: Iterable[Tensor], image: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # kept, so that no new storage has the address of one of them
        self._weights = [one.untyped_storage() for one in weights if _has_storage(one)]
        self._known = {one._cdata for one in self._weights}
        self._now = self.peak = 0
        self._note(image)

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - an operation of PyTorch
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        """Run an operation and note what it made."""
        made = func(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            if isinstance(one, Tensor) and _has_storage(one):
                self._note(one)
        return made

    def _note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        address, size = storage._cdata, storage.nbytes()
        if address not in self._known:
            self._known.add(address)
            self._now += size
            self.peak = max(self.peak, self._now)
            finalize(storage, self._forget, address, size)

    def _forget(self, address: int, size: int) -> None:
        self._known.discard(address)
        self._now -= size


def _has_storage(tensor: Tensor) -> bool:
    """Return whether a tensor has numbers in one piece of memory, unlike a sparse one."""
    return bool(tensor.layout == torch.strided and tensor.device.type != "meta")


class _WholeNetwork(ModuleTracker):
    """Follows no module, since that fails where a module is given a parameter."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def _counter() -> FlopCounterMode:
    counter = FlopCounterMode(display=False, custom_mapping=dict(_FORMULAS))
    counter.mod_tracker = _WholeNetwork()
    return counter


class _Uncounted(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes what runs besides the operations of known formulas.

    Attributes:
        known: the operations that have a formula.
        products: the names of products without one.
        weighs: whether any operation takes a weight.
    """

    def __init__(self, weights: Iterator[nn.Parameter]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.known: Collection[object] = ()
        self.products: set[str] = set()
        self.weighs = False
        self._weights = {id(one) for one in weights}

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - an operation of PyTorch
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        """Note an operation and run it."""
        self.weighs = self.weighs or any(id(one) in self._weights for one in tree_leaves(args))
        if func.overloadpacket not in self.known and _multiplies(func.namespace, func.__name__):
            self.products.add(f"{func.namespace}.{func.overloadpacket.__name__}")
        return func(*args, **(kwargs or {}))


#: Words in the names of PyTorch's products and solvers, and in those of what only looks like one.
_PRODUCTS = frozenset(
    {"attention", "cholesky", "conv", "convolution", "geqrf", "linalg", "linear", "lstm", "lstsq"}
    | {"lu", "matmul", "orgqr", "ormqr", "gru", "rnn", "solve", "transformer", "trilinear"}
)
_OTHERS = frozenset({"cell", "check", "cross", "vector"})
#: Operations of PyTorch itself; what is behind those of other libraries can't be seen.
_LIBRARIES = frozenset({"aten", "prim", "prims", "profiler"})


def _multiplies(library: str, name: str) -> bool:
    """Return whether an operation without a formula may have products."""
    words = set(name.partition(".")[0].split("_"))
    product = words & _PRODUCTS or any(word.endswith(("mm", "mv", "dot")) for word in words)
    return library not in _LIBRARIES or bool(product and not words & _OTHERS)


@contextmanager
def _without_fused_attention() -> Iterator[None]:
    """Run attention as products of matrices; as one operation of PyTorch it would count nothing."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _layer_of_one_dnn(steps: Sequence[int], *weights: Sequence[int], **_: object) -> int:
    """Return the operations of a layer of an LSTM, given the shapes of inputs and weights."""
    return 2 * prod(steps[:-1]) * (prod(weights[0]) + prod(weights[1]))


def _layers_of_cudnn(
    steps: Sequence[int], weights: Sequence[Sequence[int]], *_args: object, **_: object
) -> int:
    """Return the operations of all layers of a recurrent network, given shapes; biases are 1-d."""
    return 2 * prod(steps[:-1]) * sum(prod(shape) for shape in weights if len(shape) == 2)


def _of_tensors(formula: Callable[..., int]) -> Callable[..., int]:
    """Mark a formula of arguments, where others are of their shapes."""
    formula._get_raw = True  # type: ignore[attr-defined]
    return formula


@_of_tensors
def _product(a: Tensor, b: Tensor, *_args: object, **_: object) -> int:
    """Return the operations of a product of matrices or vectors, or of a batch of them."""
    if b.layout != torch.strided:
        return 2 * _stored(b) * (a.shape[-2] if a.ndim > 1 else 1)
    return 2 * _stored(a) * (b.shape[-1] if b.ndim > 1 else 1)


@_of_tensors
def _sum_and_product(_sum: Tensor, a: Tensor, b: Tensor, *_args: object, **_: object) -> int:
    """Return the operations of a product that is added to something."""
    return _product(a, b)


def _stored(matrix: Tensor) -> int:
    """Return the number of entries that a matrix stores."""
    if matrix.layout == torch.strided:
        return matrix.numel()
    values = matrix._values() if matrix.layout == torch.sparse_coo else matrix.values()
    return values.numel()


def _bilinear(first: Sequence[int], weights: Sequence[int], *_args: object, **_: object) -> int:
    """Return the operations of (n, a) by (outputs, a, b), and of the result by (n, b)."""
    outputs, a, b = weights
    return 2 * first[0] * outputs * b * (a + 1)


def _convolution_of_time(
    _steps: Sequence[int],
    weights: Sequence[int],
    *_args: object,
    out_shape: Sequence[int],
    **_: object,
) -> int:
    """Return the operations of a convolution to (steps, n, outputs) by (width, a, outputs)."""
    return 2 * prod(out_shape) * prod(weights[:2])


def _distances(first: Sequence[int], second: Sequence[int], *_args: object, **_: object) -> int:
    """Return the operations of the distances between points (..., n, d) and (..., m, d)."""
    return 2 * prod(first) * second[-2]


def _distances_within(points: Sequence[int], *_args: object, **_: object) -> int:
    """Return the operations of the distances between all pairs of points (n, d)."""
    count, dimensions = points
    return count * (count - 1) * dimensions


_ATEN = torch.ops.aten

#: Of what PyTorch's counter does not know or, for sparse matrices, counts as if they were full; and
#: of recurrent layers that oneDNN or cuDNN run as one operation.
_FORMULAS: Mapping[Any, Callable[..., int]] = {
    **dict.fromkeys(
        (_ATEN.mm, _ATEN.bmm, _ATEN.mv, _ATEN.dot, _ATEN.vdot, _ATEN._int_mm), _product
    ),
    **dict.fromkeys(
        (_ATEN.addmm, _ATEN.baddbmm, _ATEN.addbmm, _ATEN.addmv, _ATEN._sparse_addmm),
        _sum_and_product,
    ),
    _ATEN._trilinear: _bilinear,
    _ATEN.conv_tbc: _convolution_of_time,
    _ATEN._cdist_forward: _distances,
    _ATEN._euclidean_dist: _distances,
    _ATEN._pdist_forward: _distances_within,
    _ATEN.mkldnn_rnn_layer: _layer_of_one_dnn,
    _ATEN._cudnn_rnn: _layers_of_cudnn,
}
