"""NASWOT: the log-determinant of the kernel of rectifier codes.

Mellor, Turner, Storkey, Crowley: Neural Architecture Search without Training, ICML 2021
(arXiv 2006.04647), equations 1 and 2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from untrained.proxies.base import VARYING, BaseProxy, Direction, Noted, UndefinedScore

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from untrained.images.minibatches import Minibatch
    from untrained.networks.batched import Kernels
    from untrained.networks.plans import Reading
    from untrained.proxies.rectifiers import Activation, Activations


#: Why a network whose activations mix the images has no score.
NO_ROWS = (
    "the input of an activation function has no dimension that goes from image to image, so that "
    "images have no codes of their own"
)


@dataclass(frozen=True)
class Naswot(BaseProxy):
    """s = log |K_H|, where K_H[i, j] = N_A - Hamming distance of the codes of images i and j.

    Each of the N_A rectified units gives one bit per image: 1 iff its pre-activation is positive.

    Attributes:
        variant: `corrected` counts each rectifier once and only if it lies on a path from the
            input to the output. `released` counts, as the authors' code does, every module whose
            type name contains "ReLU", so wrappers such as ReLUConvBN count their rectifier twice,
            and branches that lead nowhere count too. `signs` is not in the paper: it is
            `corrected` with a bit for each unit of every activation function, GELU, SiLU, sigmoid
            and so on, which makes the score exist for networks without rectifiers.
    """

    name: ClassVar[str] = "naswot"
    variants: ClassVar[tuple[str, ...]] = ("corrected", "released", "signs")
    aliases: ClassVar[tuple[str, ...]] = ("nwot",)
    direction: ClassVar[Direction] = "higher"
    summary: ClassVar[str] = "log-determinant of the kernel of activation codes (Mellor et al.)"
    source: ClassVar[str] = "Mellor et al., ICML 2021 (arXiv 2006.04647)"
    applies_to: ClassVar[str] = (
        "networks with rectifiers (ReLU and its relatives); signs: with any activation function"
    )

    def __call__(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """Score by one forward pass in the network's current mode; nothing is drawn.

        The score has a note where activation functions that are no rectifiers are ignored.

        Raises:
            UndefinedScore: `singular`, or see `activation_codes`.
        """
        del generator
        found = activation_codes(network, minibatch.images, self.variant)
        score = log_determinant(found.kernel)
        if not found.ignored:
            return score
        return Noted(score, f"{_spelled(found.ignored)} ignored: naswot-signs reads them too")

    @property
    def dead_branches(self) -> bool:
        """Whether rectifiers on branches that don't reach the output count."""
        return self.variant == "released"

    def score_readings(self, readings: Iterable[Reading]) -> float:
        """Return the same score from a plan of the network; see `untrained.scoring.engine`.

        Raises:
            UndefinedScore: `disconnected`, `singular` or `non_finite`.
        """
        import torch

        from untrained.proxies.agreements import add_agreements

        kernel, finite = None, True
        for reading in readings:
            count = reading.modules if self.dead_branches else reading.rectifiers
            if count:
                if kernel is None:
                    images, where = len(reading.codes), reading.codes.device
                    kernel = torch.zeros(images, images, dtype=torch.int64, device=where)
                add_agreements(reading.codes, count, kernel)
            finite = reading.finite
        if kernel is None:
            raise UndefinedScore("disconnected", "no rectifier connects input and output")
        if not finite:
            raise UndefinedScore("non_finite", "the network's output is not finite")
        return log_determinant(kernel.cpu().numpy().astype(np.float64))

    def score_kernels(self, found: Kernels) -> list[float | UndefinedScore]:
        """Return the scores of several networks from their kernels, or why there are none."""
        import torch

        values, exact = log_determinants(found.kernels)
        # what is computed on a GPU is read back at once
        read = torch.stack([values, exact.double(), found.finite.double()]).cpu().tolist()
        scores: list[float | UndefinedScore] = []
        for number, (value, sure, finite) in enumerate(zip(*read, strict=True)):
            if not found.counted[number]:
                reason = "no rectifier connects input and output"
                scores.append(UndefinedScore("disconnected", reason))
            elif not finite:
                scores.append(UndefinedScore("non_finite", "the network's output is not finite"))
            elif sure:
                scores.append(value)
            else:
                scores.append(_scored(found.kernels[number].cpu().numpy()))
        return scores


def _scored(kernel: np.ndarray) -> float | UndefinedScore:
    try:
        return log_determinant(kernel)
    except UndefinedScore as undefined:
        return undefined


def log_determinants(kernels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the log-determinants (B,) of kernels (B, N, N) float64, and which of them are sure.

    They come from Cholesky factors, which tell as well how far each kernel is from a singular one:
    its trace times that of its inverse is at least the quotient of its largest and its smallest
    eigenvalue. Where that leaves a relative error of 1e-9 or a singular kernel possible, they are
    not sure: `log_determinant` looks at all eigenvalues.
    """
    import torch

    factors, failed = torch.linalg.cholesky_ex(kernels)
    diagonals = factors.diagonal(dim1=1, dim2=2)
    values = 2 * diagonals.log().sum(1)
    one = torch.eye(kernels.shape[1], dtype=kernels.dtype, device=kernels.device)
    inverses = torch.linalg.solve_triangular(factors, one.expand_as(kernels), upper=False)
    spread = kernels.diagonal(dim1=1, dim2=2).sum(1) * inverses.square().sum((1, 2))
    error = kernels.shape[1] * torch.finfo(kernels.dtype).eps * spread
    return values, (failed == 0) & (error < 1e-9 * values.abs().clamp_min(1))


def log_determinant(kernel: np.ndarray) -> float:
    """Return the log-determinant of an (N, N) kernel of codes.

    K_H is positive semi-definite (a Gram matrix of the codes as -1 and 1, plus a constant), so at
    full rank the determinant is positive.

    Raises:
        UndefinedScore: `singular`.
    """
    eigenvalues = np.linalg.eigvalsh(kernel)
    rounding = eigenvalues[-1] * len(kernel) * np.finfo(np.float64).eps
    if eigenvalues[0] <= rounding:
        raise UndefinedScore("singular", "the kernel of activation codes is singular")
    return float(np.log(eigenvalues).sum())


@dataclass(frozen=True, eq=False)
class Codes:
    """The codes of the images of a minibatch.

    Attributes:
        kernel: K_H (N, N), float64 with exact integers.
        ignored: the number of calls of each activation function on a path from the input to the
            output that has no part in the codes; not known for the released variant.
    """

    kernel: np.ndarray
    ignored: Mapping[str, int]


def activation_kernel(network: nn.Module, images: Tensor, variant: str = "corrected") -> np.ndarray:
    """Return K_H of `images` (N, C, H, W) as an (N, N) float64 array; see `activation_codes`."""
    return activation_codes(network, images, variant).kernel


def activation_codes(network: nn.Module, images: Tensor, variant: str = "corrected") -> Codes:
    """Return the kernel of the codes of `images` (N, C, H, W).

    Raises:
        UndefinedScore: `no_rectifiers` (the network applies no function that the variant reads);
            `disconnected` (none of them is between input and output; not for the released
            variant); `non_finite` (some outputs are not finite); `not_applicable` (autograd cannot
            see which functions are between input and output, it is run with other ones each time,
            or the input of one does not go from image to image).
    """
    import torch
    from torch.utils._pytree import tree_leaves

    from untrained.networks.modes import buffers_restored
    from untrained.proxies.rectifiers import ActivationMode, activations_of, rectifier_modules

    ignored = Counter[str]()
    if variant == "released":
        counter = KernelCounter(len(images))
        with buffers_restored(network), torch.no_grad(), rectifier_modules(network, counter.add):
            outputs = network(images.clone())  # which it may overwrite
        if not counter.calls:
            name = type(network).__name__
            raise UndefinedScore("no_rectifiers", f"{name} has no module with ReLU in its name")
    else:

        def read(activation: Activation) -> bool:
            return activation.rectifies or variant == "signs"

        with buffers_restored(network):
            found = activations_of(network, torch.cat([images[:1], images[:1]]))
        calls = [one for one in found.calls if read(one)]
        rest = (one for one in found.calls if not read(one) and one.on_path is not False)
        ignored = Counter(one.name for one in rest)
        _check_calls(network, images[:2], calls, found, ignored, signs=variant == "signs")
        counter = KernelCounter(len(images), [bool(one.on_path) for one in calls])

        def see(activation: Activation, given: Tensor) -> None:
            if read(activation):
                known = calls[counter.calls] if counter.calls < len(calls) else activation
                counter.add(_by_image(given, known, len(images)))

        with buffers_restored(network), torch.no_grad(), ActivationMode(see):
            outputs = network(images.clone())  # which it may overwrite
        if counter.calls < len(calls):
            raise UndefinedScore("not_applicable", VARYING)
    tensors = (leaf for leaf in tree_leaves(outputs) if isinstance(leaf, torch.Tensor))
    if not all(torch.isfinite(leaf).all() for leaf in tensors):
        raise UndefinedScore("non_finite", "the network's output is not finite")
    return Codes(counter.kernel(), ignored)


def _check_calls(
    network: nn.Module,
    images: Tensor,
    calls: list[Activation],
    found: Activations,
    ignored: Counter[str],
    *,
    signs: bool,
) -> None:
    """Refuse a network none of whose `calls` can be read, or one that hides some of them.

    Args:
        network: the network.
        images: some images (n, C, H, W).
        calls: the calls to read.
        found: all calls.
        ignored: calls that are not read, by function.
        signs: whether all activation functions are read.
    """
    from untrained.proxies.autograd import HIDDEN, REENTRANT, REENTRANT_REASON, UNSEEN, unseen

    own, hidden = found.own_functions, any(one.on_path is None for one in calls)
    if hidden and REENTRANT in own:
        raise UndefinedScore("not_applicable", REENTRANT_REASON)
    if own and (hidden or not calls):
        raise UndefinedScore(
            "not_applicable",
            f"{type(network).__name__} may apply a rectifier that cannot be seen, inside of "
            f"{' and '.join(sorted(own))} (torch.autograd.Function): take torch.relu or nn.ReLU",
        )
    if not calls:
        reason = f"{type(network).__name__} applies no rectifier (ReLU or its relatives)"
        if signs:
            reason = (
                f"{type(network).__name__} applies no activation function that can be seen: those "
                "inside of LSTM, GRU and the like cannot"
            )
        elif ignored:
            reason += f" but {_spelled(ignored)}: naswot-signs reads those"
        raise UndefinedScore("no_rectifiers", reason)
    if not any(one.on_path for one in calls):
        if hidden or unseen(network, images):
            raise UndefinedScore("not_applicable", HIDDEN if hidden else UNSEEN)
        raise UndefinedScore("disconnected", "no rectifier connects input and output")
    if any(one.on_path and one.axis is None for one in calls):
        raise UndefinedScore("not_applicable", NO_ROWS)


def _by_image(given: Tensor, activation: Activation, images: int) -> Tensor:
    """Return an activation's input with one row for each image, if it is on a path."""
    if not activation.on_path:
        return given
    rows = given.movedim(activation.axis, 0) if activation.axis else given
    # parts of an image may follow each other
    return rows if len(rows) == images else rows.reshape(images, -1)


def _spelled(calls: Mapping[str, int]) -> str:
    """Spell counts of functions: 4 gelu and 1 sigmoid."""
    return " and ".join(f"{count} {name}" for name, count in Counter(calls).most_common())


class KernelCounter:
    """Sums the agreements of the codes of N images over functions of a forward pass.

    Args:
        images: N, the number of images.
        wanted: whether each call counts, in order; None to count all.
    """

    def __init__(self, images: int, wanted: list[bool] | None = None) -> None:
        import torch
        from torch.utils.weak import WeakTensorKeyDictionary

        self.calls = 0
        self._images = images
        self._wanted = wanted
        self._agreements = torch.zeros(images, images, dtype=torch.int64)
        # several edges may rectify the same tensor: its codes are compared once
        self._seen = WeakTensorKeyDictionary()

    def add(self, pre_activation: Tensor) -> None:
        """Count the codes of one function's input (N, ...)."""
        from untrained.proxies.agreements import agreements_of, bits_of

        position = self.calls
        self.calls += 1
        if self._wanted is not None:
            if position >= len(self._wanted):
                raise UndefinedScore("not_applicable", VARYING)
            if not self._wanted[position]:
                return
        if pre_activation.shape[:1] != (self._images,):
            raise UndefinedScore("not_applicable", NO_ROWS)
        version = pre_activation._version
        seen_version, agreements = self._seen.get(pre_activation, (None, None))  # type: ignore[no-untyped-call]
        if version != seen_version:
            agreements = agreements_of(bits_of(pre_activation)).cpu()
            self._seen[pre_activation] = (version, agreements)
        self._agreements += agreements

    def kernel(self) -> np.ndarray:
        """Return K_H of the codes counted so far, (N, N) float64."""
        return self._agreements.numpy().astype(np.float64)
