"""Numbers read off the neural tangent kernel.

Chen, Gong, Wang: Neural Architecture Search on ImageNet in Four GPU Hours (TE-NAS), ICLR 2021
(arXiv 2102.11535), section 3.1.1; the mean is that of Xu et al., KNAS, ICML 2021, the Frobenius
norm and the label-gradient alignment those of Mok et al., CVPR 2022 (arXiv 2203.14577).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from untrained.images.minibatches import Minibatch
from untrained.networks.modes import modes_restored
from untrained.proxies.base import BaseProxy, Cost, Direction, Setting, UndefinedScore
from untrained.proxies.label_alignment import centred_alignment, entry_correlation
from untrained.proxies.tangent_kernels import SELECTIONS, ParameterSelection, tangent_kernel
from untrained.spaces.base import Skeleton

#: Three channels in the first stage, one cell per stage.
TENAS_SKELETON = Skeleton(channels=3, cells=1)


@dataclass(frozen=True)
class KernelSettings:
    """What a kernel is of.

    Attributes:
        selection: of the parameters.
        mode: `train` or `eval`: of all modules, so whether batch normalisation uses the statistics
            of the minibatch (which couple its images) or the running ones.
        setting: of network and minibatch.
    """

    selection: ParameterSelection = ParameterSelection("weights")  # noqa: RUF009 - immutable
    mode: str = "train"
    setting: Setting = Setting()  # noqa: RUF009


#: What each variant reads. `tenas` is the paper's, `released` that of its code; all others take the
#: benchmark's network and the run's minibatch.
VARIANTS = {
    "tenas": KernelSettings(setting=Setting(TENAS_SKELETON, images=32)),
    "released": KernelSettings(setting=Setting(TENAS_SKELETON, images=72)),
} | {
    f"{name}_{mode}": KernelSettings(ParameterSelection(name), mode)
    for name in SELECTIONS
    for mode in ("train", "eval")
}


#: That of the paper on label-gradient alignment.
_WITHOUT_CLASSIFIER = "weights_without_classifier_train"

#: The kernel in whose place the code of that paper has its own: see `LabelGradientAlignment`.
_RELEASED_ALIGNMENT = {
    f"released{suffix}": KernelSettings(
        ParameterSelection("weights_without_classifier"),
        mode,
        Setting(images=256, test_after_training=True),
    )
    for suffix, mode in (("", "train"), ("_eval", "eval"))
}


@dataclass(frozen=True, eq=False)
class LabelledKernel:
    """A kernel with what its images are.

    Attributes:
        kernel: (n, n).
        labels: (n,).
    """

    kernel: NDArray[np.float64]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class _KernelProxy(BaseProxy, ABC):
    """A number read off the kernel; those of one variant share the kernel.

    Attributes:
        variant: a key of `VARIANTS`.
    """

    kernels: ClassVar[Mapping[str, KernelSettings]] = VARIANTS
    variants: ClassVar[tuple[str, ...]] = tuple(VARIANTS)
    needs: ClassVar[frozenset[str]] = frozenset({"gradients"})
    cost: ClassVar[Cost] = "per-image gradients"

    @property
    def setting(self) -> Setting:
        """See `Setting`."""
        return self.kernels[self.variant].setting

    @property
    def details(self) -> str:
        """Of the kernel: parameters, and mode of batch normalisation."""
        settings = self.kernels[self.variant]
        return f"{settings.selection.name}, {settings.mode} mode"

    @property
    def measurement(self) -> tuple[str, KernelSettings]:
        """Equal for proxies that are read off the same kernel."""
        return "tangent kernel", self.kernels[self.variant]

    def __call__(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """See `Proxy.__call__`; nothing is drawn.

        Raises:
            UndefinedScore: see `read`; `no_parameters`.
            ParameterError: fewer than 2 images, or an output that is no tensor of logits.
        """
        return self.read(self.measure(network, minibatch, generator))

    def measure(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> LabelledKernel:
        """The kernel (n, n) of a minibatch of n images, with their labels."""
        del generator
        settings = self.kernels[self.variant]
        with modes_restored(network):
            network.train(settings.mode == "train")
            kernel = tangent_kernel(network, minibatch.images, settings.selection)
        return LabelledKernel(kernel.numpy(), minibatch.labels.cpu().numpy())

    def read(self, measured: LabelledKernel) -> float:
        """The number of a kernel (n, n).

        Raises:
            UndefinedScore: `non_finite`, `singular` where the smallest eigenvalue is needed, or
                `constant_labels` or `constant_kernel` where the labels are.
        """
        check_finite(measured.kernel)
        return self._of(measured)

    @abstractmethod
    def _of(self, measured: LabelledKernel) -> float: ...


@dataclass(frozen=True)
class _LabelProxy(_KernelProxy):
    """A number of the kernel and its labels, by default of the weights without the classifier."""

    variants: ClassVar[tuple[str, ...]] = tuple(dict.fromkeys((_WITHOUT_CLASSIFIER, *VARIANTS)))
    direction: ClassVar[Direction] = "higher"
    needs: ClassVar[frozenset[str]] = frozenset({"gradients", "labels"})


@dataclass(frozen=True)
class LabelGradientAlignment(_LabelProxy):
    """The correlation of the kernel's entries with whether two images have the same label.

    The variant `released` is what the code of Mok et al. computes, and `released_eval` the same
    with batch normalisation in evaluation mode, which it runs too. As there, the kernel is read
    after training on the first 256 images of the test set, as they are and with their labels, and
    all images of the split are learned; the gradients are those of the weights without the
    classifier; where there is no correlation, it is 1e-4. Not as there: the network is the
    benchmark's (theirs has no scales in its normalisations, but biases in its convolutions); each
    architecture and seed has its own weights (theirs come from one state of the generator);
    ImageNet16-120 has as many images as the others (theirs 512); before training the 256 images
    are of the run's minibatch, with its augmentation (theirs are cropped and flipped); a training
    that diverges has its status.
    """

    name: ClassVar[str] = "lga"
    summary: ClassVar[str] = (
        "correlation of the tangent kernel with equality of labels (Mok et al.)"
    )
    kernels: ClassVar[Mapping[str, KernelSettings]] = VARIANTS | _RELEASED_ALIGNMENT
    variants: ClassVar[tuple[str, ...]] = tuple(
        dict.fromkeys((*_LabelProxy.variants, *_RELEASED_ALIGNMENT))
    )

    def read(self, measured: LabelledKernel) -> float:
        """See `_KernelProxy.read`; what is undefined is a number in the released variants."""
        try:
            return super().read(measured)
        except UndefinedScore:
            if self.variant not in _RELEASED_ALIGNMENT:
                raise
            return 1e-4

    def _of(self, measured: LabelledKernel) -> float:
        return entry_correlation(measured.kernel, measured.labels)


@dataclass(frozen=True)
class KernelTargetAlignment(_LabelProxy):
    """The same with the means of rows and columns taken off both matrices."""

    name: ClassVar[str] = "kernel_target_alignment"
    summary: ClassVar[str] = "centred alignment of the tangent kernel with equality of labels"

    def _of(self, measured: LabelledKernel) -> float:
        return centred_alignment(measured.kernel, measured.labels)


@dataclass(frozen=True)
class NtkConditionNumber(_KernelProxy):
    """kappa: the largest eigenvalue over the smallest; a well-conditioned kernel trains fast."""

    name: ClassVar[str] = "ntk_condition_number"
    summary: ClassVar[str] = "largest over smallest eigenvalue of the tangent kernel (TE-NAS)"
    direction: ClassVar[Direction] = "lower"

    def _of(self, measured: LabelledKernel) -> float:
        return condition_number(measured.kernel)


@dataclass(frozen=True)
class NtkMinEigenvalue(_KernelProxy):
    """The smallest eigenvalue, which bounds how fast the slowest mode is learnt."""

    name: ClassVar[str] = "ntk_min_eigenvalue"
    summary: ClassVar[str] = "smallest eigenvalue of the tangent kernel"
    direction: ClassVar[Direction] = "higher"

    def _of(self, measured: LabelledKernel) -> float:
        return float(positive_eigenvalues(measured.kernel)[0])


@dataclass(frozen=True)
class NtkFrobeniusNorm(_KernelProxy):
    """The root of the sum of squared entries."""

    name: ClassVar[str] = "ntk_frobenius_norm"
    summary: ClassVar[str] = "Frobenius norm of the tangent kernel (Mok et al.)"
    direction: ClassVar[Direction] = "higher"

    def _of(self, measured: LabelledKernel) -> float:
        return float(np.linalg.norm(measured.kernel))


@dataclass(frozen=True)
class NtkMean(_KernelProxy):
    """The mean entry, the metric of KNAS."""

    name: ClassVar[str] = "ntk_mean"
    summary: ClassVar[str] = "mean entry of the tangent kernel (KNAS)"
    direction: ClassVar[Direction] = "higher"

    def _of(self, measured: LabelledKernel) -> float:
        return float(measured.kernel.mean())


@dataclass(frozen=True)
class NtkTrace(_KernelProxy):
    """The sum of the eigenvalues: of the squared norms of the images' gradients."""

    name: ClassVar[str] = "ntk_trace"
    summary: ClassVar[str] = "trace of the tangent kernel"
    direction: ClassVar[Direction] = "higher"

    def _of(self, measured: LabelledKernel) -> float:
        return float(np.trace(measured.kernel))


def check_finite(kernel: NDArray[np.float64]) -> None:
    """Refuse a kernel (n, n) with an entry that is not finite.

    Raises:
        UndefinedScore: `non_finite`.
    """
    if bad := np.count_nonzero(~np.isfinite(kernel)):
        raise UndefinedScore(
            "non_finite", f"{bad} of the kernel's {kernel.size} entries are not finite"
        )


def condition_number(kernel: NDArray[np.float64]) -> float:
    """The largest eigenvalue of a kernel (n, n) over the smallest.

    Raises:
        UndefinedScore: `non_finite` or `singular`.
    """
    check_finite(kernel)
    eigenvalues = positive_eigenvalues(kernel)
    return float(eigenvalues[-1] / eigenvalues[0])


def positive_eigenvalues(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """The eigenvalues (n,) of a kernel (n, n), ascending.

    Raises:
        UndefinedScore: `singular`: some of them are not positive, up to the rounding of float64.
    """
    eigenvalues = np.linalg.eigvalsh(kernel)
    rounding = eigenvalues[-1] * len(kernel) * np.finfo(np.float64).eps
    bad = np.count_nonzero(eigenvalues <= max(rounding, 0))
    if bad:
        raise UndefinedScore(
            "singular", f"{bad} of the kernel's {len(kernel)} eigenvalues are not positive"
        )
    return eigenvalues.astype(np.float64)
