"""What a training curve follows, known without PyTorch: see `untrained.scoring.training_curves`."""

from dataclasses import dataclass

from untrained.errors import ParameterError
from untrained.proxies import Setting
from untrained.proxies.ntk import VARIANTS
from untrained.scoring.request import Reading, spell_epochs
from untrained.training.recipe import steps_of

#: Variants of the kernels of the benchmark's network and the run's minibatch.
KERNELS = tuple(name for name, known in VARIANTS.items() if known.setting == Setting())

#: Proxies of the papers; all but the first share the kernel that is followed by default.
PROXIES = (
    "naswot",
    "lga",
    "kernel_target_alignment",
    *(
        f"{name}-weights_without_classifier_train"
        for name in ("ntk_condition_number", "ntk_frobenius_norm", "ntk_mean")
    ),
)


@dataclass(frozen=True)
class CurveSettings:
    """What is followed, and when it is read.

    Attributes:
        epochs: numbers of epochs, ascending; the first is 0.
        proxies: whose scores are read, without epochs of their own.
        kernel: one of `KERNELS`.

    Raises:
        ParameterError: epochs without 0 or out of order, a kernel or a proxy of another network or
            minibatch, or a proxy named twice.
    """

    epochs: tuple[float, ...]
    proxies: tuple[Reading, ...]
    kernel: str = "weights_without_classifier_train"

    def __post_init__(self) -> None:
        spelled = ", ".join(map(spell_epochs, self.epochs)) or "empty"
        for epochs in self.epochs:
            steps_of(epochs, 1)  # knows what a number of epochs is
        if self.epochs[:1] != (0,) or list(self.epochs) != sorted(set(self.epochs)):
            raise ParameterError(
                f"epochs are {spelled}: start with 0, which the kernel is held against, and ascend"
            )
        if self.kernel not in KERNELS:
            raise ParameterError(
                f"{self.kernel!r} is no kernel to follow: take {', '.join(KERNELS)}"
            )
        names = list(map(str, self.proxies))
        for name, reading in zip(names, self.proxies, strict=True):
            if reading.epochs:
                raise ParameterError(f"{name!r} has its own epochs: drop @, the others are given")
            if reading.setting != Setting():
                raise ParameterError(
                    f"{name!r} is read off {reading.setting}, and one training serves all: take a "
                    "variant of the benchmark's network, as in ntk_mean-weights_train"
                )
            if names.count(name) > 1:
                raise ParameterError(f"{name!r} is named twice: name a proxy once")
