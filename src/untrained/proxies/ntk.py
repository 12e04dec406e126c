"""Scores computed from the neural tangent kernel.

Chen, Gong, Wang: Neural Architecture Search on ImageNet in Four GPU Hours (TE-NAS), ICLR 2021
(arXiv 2102.11535), section 3.1.1. The mean is from Xu et al., KNAS, ICML 2021; the Frobenius norm
and the label-gradient alignment are from Mok et al., CVPR 2022 (arXiv 2203.14577).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from untrained.errors import theirs
from untrained.proxies.base import BaseProxy, Cost, Direction, Need, Setting, UndefinedScore
from untrained.proxies.label_alignment import centred_alignment, entry_correlation
from untrained.proxies.selections import SELECTIONS, ParameterSelection
from untrained.spaces.base import Skeleton

if TYPE_CHECKING:
    import torch
    from torch import nn

    from untrained.images.minibatches import Minibatch
    from untrained.networks.batched_gradients import Networks

#: Three channels in the first stage, one cell in each stage.
TENAS_SKELETON = Skeleton(channels=3, cells=1)


@dataclass(frozen=True)
class KernelSettings:
    """The parameters, mode, network and images that define a kernel.

    Attributes:
        selection: parameters that gradients are taken by.
        mode: `train` or `eval`, set in all modules: whether batch normalisation uses the statistics
            of the minibatch (which couple its images) or the running ones.
        setting: network and minibatch.
    """

    selection: ParameterSelection = ParameterSelection("weights")  # noqa: RUF009 - immutable
    mode: str = "train"
    setting: Setting = Setting()  # noqa: RUF009


#: Settings of each variant. `tenas` is that of the TE-NAS paper, `released` that of its code; all
#: others take the benchmark's network and the run's minibatch.
VARIANTS = {
    "tenas": KernelSettings(setting=Setting(TENAS_SKELETON, images=32)),
    "released": KernelSettings(setting=Setting(TENAS_SKELETON, images=72)),
} | {
    f"{name}_{mode}": KernelSettings(ParameterSelection(name), mode)
    for name in SELECTIONS
    for mode in ("train", "eval")
}


#: Variant that follows the paper on label-gradient alignment.
_WITHOUT_CLASSIFIER = "weights_without_classifier_train"

#: Settings of the variants that follow that paper's code: see `LabelGradientAlignment`.
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
    """A tangent kernel with the labels of its images.

    Attributes:
        kernel: (n, n).
        labels: (n,).
    """

    kernel: NDArray[np.float64]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class _KernelProxy(BaseProxy, ABC):
    """A score computed from a tangent kernel; the proxies of one variant share the kernel.

    Attributes:
        variant: a key of `VARIANTS`.
    """

    kernels: ClassVar[Mapping[str, KernelSettings]] = VARIANTS
    variants: ClassVar[tuple[str, ...]] = tuple(VARIANTS)
    needs: ClassVar[frozenset[Need]] = frozenset({"gradients"})
    cost: ClassVar[Cost] = "per-image gradients"

    @property
    def setting(self) -> Setting:
        """See `Setting`."""
        return self.kernels[self.variant].setting

    @property
    def details(self) -> str:
        """The kernel's parameters and its mode of batch normalisation, in words."""
        settings = self.kernels[self.variant]
        return f"{settings.selection.name}, {settings.mode} mode"

    @property
    def measurement(self) -> tuple[str, KernelSettings]:
        """A key that is equal for proxies that use the same kernel."""
        return "tangent kernel", self.kernels[self.variant]

    def __call__(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """Compute the kernel and score it; nothing is drawn.

        Raises:
            UndefinedScore: a status that `measure`, `tangent_kernel` or `read` lists.
            ParameterError: fewer than 2 images.
        """
        return self.read(self.measure(network, minibatch, generator))

    def measure(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> LabelledKernel:
        """Return the kernel (n, n) of a minibatch of n images, with their labels.

        Raises:
            UndefinedScore: `disconnected` where the kernel is zero because a layer's weights are;
                `not_applicable` where autograd can't see what the output depends on.
        """
        from untrained.networks.modes import modes_restored
        from untrained.proxies.autograd import UNSEEN, unseen
        from untrained.proxies.gradients import zero_layers
        from untrained.proxies.tangent_kernels import tangent_kernel

        del generator
        settings = self.kernels[self.variant]
        with modes_restored(network):
            theirs(network.train, settings.mode == "train")
            kernel = tangent_kernel(network, minibatch.images, settings.selection)
        if not kernel.any() and (zero := zero_layers(network)):
            raise UndefinedScore("disconnected", f"no selected weight moves the output: {zero}")
        if not kernel.any() and unseen(network, minibatch.images):
            raise UndefinedScore("not_applicable", UNSEEN)
        return LabelledKernel(kernel.numpy(), minibatch.labels.cpu().numpy())

    def measure_many(self, networks: Networks, minibatch: Minibatch) -> list[LabelledKernel]:
        """Return the kernels of many networks."""
        from untrained.proxies.tangent_kernels import tangent_kernels_of_many

        settings, labels = self.kernels[self.variant], minibatch.labels.cpu().numpy()
        training = settings.mode == "train"
        found = tangent_kernels_of_many(
            networks, minibatch.images, settings.selection, training=training
        )
        return [LabelledKernel(kernel.numpy(), labels) for kernel in found]

    def read(self, measured: LabelledKernel) -> float:
        """Return the score of a kernel (n, n).

        Raises:
            UndefinedScore: `non_finite`; `singular` for scores that need the smallest eigenvalue;
                `constant_labels` or `constant_kernel` for scores that need the labels.
        """
        check_finite(measured.kernel)
        return self._of(measured)

    @abstractmethod
    def _of(self, measured: LabelledKernel) -> float: ...


@dataclass(frozen=True)
class _LabelProxy(_KernelProxy):
    """A score of kernel and labels; by default the classifier's weights are left out."""

    variants: ClassVar[tuple[str, ...]] = tuple(dict.fromkeys((_WITHOUT_CLASSIFIER, *VARIANTS)))
    direction: ClassVar[Direction] = "higher"
    needs: ClassVar[frozenset[Need]] = frozenset({"gradients", "labels"})


@dataclass(frozen=True)
class LabelGradientAlignment(_LabelProxy):
    """The correlation of the kernel's entries with whether two images have the same label.

    The variant `released` is what the code of Mok et al. computes; `released_eval` is the same
    with batch normalisation in evaluation mode, which that code runs too. As in that code, the
    network is trained on all images of the split, the kernel is that of the first 256 images of
    the test set, neither cropped nor flipped, with their labels, gradients are taken by the weights
    without the classifier, and an undefined correlation counts as 1e-4. Unlike in that code: the
    network is the benchmark's (theirs has no scales in its normalisations, but biases in its
    convolutions); each architecture and seed has its own weights (theirs come from one state of
    the generator); ImageNet16-120 has as many images as the other data sets (theirs 512); before
    training the 256 images are those of the run's minibatch, with its augmentation (theirs are
    cropped and flipped); a training that diverges has a status of its own.
    """

    name: ClassVar[str] = "lga"
    summary: ClassVar[str] = (
        "correlation of the tangent kernel with equality of labels (Mok et al.)"
    )
    source: ClassVar[str] = "Mok et al., CVPR 2022 (arXiv 2203.14577)"
    kernels: ClassVar[Mapping[str, KernelSettings]] = VARIANTS | _RELEASED_ALIGNMENT
    variants: ClassVar[tuple[str, ...]] = tuple(
        dict.fromkeys((*_LabelProxy.variants, *_RELEASED_ALIGNMENT))
    )

    def read(self, measured: LabelledKernel) -> float:
        """Return the correlation; in the released variants an undefined one is a number."""
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
    """The alignment with the labels after centring rows and columns of both matrices."""

    name: ClassVar[str] = "kernel_target_alignment"
    summary: ClassVar[str] = "centred alignment of the tangent kernel with equality of labels"
    source: ClassVar[str] = "Cortes et al., JMLR 2012"

    def _of(self, measured: LabelledKernel) -> float:
        return centred_alignment(measured.kernel, measured.labels)


@dataclass(frozen=True)
class NtkConditionNumber(_KernelProxy):
    """kappa, the largest eigenvalue over the smallest; a low one trains fast."""

    name: ClassVar[str] = "ntk_condition_number"
    summary: ClassVar[str] = "largest over smallest eigenvalue of the tangent kernel (TE-NAS)"
    source: ClassVar[str] = "Chen et al. (TE-NAS), ICLR 2021 (arXiv 2102.11535)"
    direction: ClassVar[Direction] = "lower"

    def _of(self, measured: LabelledKernel) -> float:
        return condition_number(measured.kernel)


@dataclass(frozen=True)
class NtkMinEigenvalue(_KernelProxy):
    """The smallest eigenvalue, which bounds how fast the slowest mode is learned."""

    name: ClassVar[str] = "ntk_min_eigenvalue"
    summary: ClassVar[str] = "smallest eigenvalue of the tangent kernel"
    direction: ClassVar[Direction] = "higher"

    def _of(self, measured: LabelledKernel) -> float:
        return float(positive_eigenvalues(measured.kernel)[0])


@dataclass(frozen=True)
class NtkFrobeniusNorm(_KernelProxy):
    """The Frobenius norm: the root of the sum of squared entries."""

    name: ClassVar[str] = "ntk_frobenius_norm"
    summary: ClassVar[str] = "Frobenius norm of the tangent kernel (Mok et al.)"
    source: ClassVar[str] = "Mok et al., CVPR 2022 (arXiv 2203.14577)"
    direction: ClassVar[Direction] = "higher"

    def _of(self, measured: LabelledKernel) -> float:
        return float(np.linalg.norm(measured.kernel))


@dataclass(frozen=True)
class NtkMean(_KernelProxy):
    """The mean entry, the metric of KNAS."""

    name: ClassVar[str] = "ntk_mean"
    summary: ClassVar[str] = "mean entry of the tangent kernel (KNAS)"
    source: ClassVar[str] = "Xu et al. (KNAS), ICML 2021"
    direction: ClassVar[Direction] = "higher"

    def _of(self, measured: LabelledKernel) -> float:
        return float(measured.kernel.mean())


@dataclass(frozen=True)
class NtkTrace(_KernelProxy):
    """The trace: the sum of the squared norms of the images' gradients."""

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
    """Return the largest eigenvalue of a kernel (n, n) over the smallest.

    Raises:
        UndefinedScore: `non_finite` or `singular`.
    """
    check_finite(kernel)
    eigenvalues = positive_eigenvalues(kernel)
    return float(eigenvalues[-1] / eigenvalues[0])


def positive_eigenvalues(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the eigenvalues (n,) of a kernel (n, n), ascending.

    Raises:
        UndefinedScore: `singular`: some eigenvalues are not positive up to rounding in float64.
    """
    eigenvalues = np.linalg.eigvalsh(kernel)
    rounding = eigenvalues[-1] * len(kernel) * np.finfo(np.float64).eps
    bad = np.count_nonzero(eigenvalues <= max(rounding, 0))
    if bad:
        raise UndefinedScore(
            "singular", f"{bad} of the kernel's {len(kernel)} eigenvalues are not positive"
        )
    return eigenvalues.astype(np.float64)
