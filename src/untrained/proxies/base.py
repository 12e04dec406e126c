"""What every proxy is."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from untrained.spaces.base import Skeleton

if TYPE_CHECKING:
    import torch
    from torch import nn

    from untrained.images.minibatches import Minibatch

Direction = Literal["higher", "lower"]
Cost = Literal["arithmetic", "forward", "backward", "per-image gradients"]
Status = Literal[
    "ok",
    "singular",
    "disconnected",
    "no_rectifiers",
    "no_parameters",
    "constant_labels",
    "constant_kernel",
    "non_finite",
    "diverged",
    "out_of_memory",
    "not_applicable",
]


@dataclass(frozen=True)
class Setting:
    """What a proxy is read off, where that is part of its definition.

    Attributes:
        skeleton: around the cells of a space; None for the benchmark's network. A network of
            one's own is taken as it is.
        images: in the minibatch, or how many crops; None for as many as the run says.
        crop: (C, H, W) of random crops that are cut out of the run's minibatch; None for whole
            images. A network of one's own is shown whole images.
        epochs: of training before it is read; 0 for none. See `untrained.training.short`.
        held_out: whether it is shown all images that a training leaves out, not a minibatch.
        test_after_training: whether after training it is read on the first images of the test set
            and their labels, as released code does, which is a leak: see `shows_test`.
    """

    skeleton: Skeleton | None = None
    images: int | None = None
    crop: tuple[int, int, int] | None = None
    epochs: float = 0
    held_out: bool = False
    test_after_training: bool = False

    @property
    def shows_test(self) -> bool:
        """Whether test images and their labels are what it is read on."""
        return self.test_after_training and self.epochs > 0

    def __str__(self) -> str:
        network = "the benchmark's network" if self.skeleton is None else str(self.skeleton)
        if self.crop is not None:
            size = "x".join(map(str, self.crop))
            return f"{network}; {self.images} crops of {size}"
        plural = "" if self.epochs == 1 else "s"
        if self.shows_test:
            return f"{network}; {self.images} test images after {self.epochs:g} epoch{plural}"
        trained = f" after {self.epochs:g} epoch{plural} on the others" if self.epochs else ""
        shown = f"{self.images or 'all'} images of the minibatch"
        return f"{network}; {'all held-out images' if self.held_out else shown}{trained}"


class UndefinedScore(Exception):  # noqa: N818 - an outcome, not an error
    """The proxy has no value for this network; stored with its status, never as a number."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Proxy(Protocol):
    """A score of an untrained network; implementations are frozen dataclasses of their settings.

    `BaseProxy` has defaults of most attributes.

    Attributes:
        name: the registered name: letters, digits and underscores.
        variants: what `variant` may be; the first is the default.
        direction: whether the better network scores higher or lower.
        needs: what the proxy asks for beyond a forward pass, of "labels", "gradients",
            "training".
        summary: what it measures, in one line without a full stop.
        label: what tables and figures call it.
        unit: of its values, such as "nats" or "%"; empty for pure numbers.
        cost: the dearest thing that it does with the minibatch.
        applies_to: the networks that it can score, in words.
        published: what the files of `data/published` call it.
    """

    name: ClassVar[str]
    variants: ClassVar[tuple[str, ...]]
    direction: ClassVar[Direction]
    needs: ClassVar[frozenset[str]]
    summary: ClassVar[str]
    label: ClassVar[str]
    unit: ClassVar[str]
    cost: ClassVar[Cost]
    applies_to: ClassVar[str]
    published: ClassVar[str]

    @property
    def variant(self) -> str:
        """The chosen form."""
        ...

    def __init__(self, *, variant: str) -> None: ...

    def __call__(
        self, network: "nn.Module", minibatch: "Minibatch", generator: "torch.Generator"
    ) -> float:
        """Score `network`, which is left as it was.

        Args:
            network: on the device of the minibatch, in training mode.
            minibatch: images (N, C, H, W) and labels (N,).
            generator: for whatever the proxy draws at random.

        Raises:
            UndefinedScore: the score does not exist for this network.
        """
        ...


@dataclass(frozen=True)
class BaseProxy:
    """Defaults of what a proxy says of itself: one names itself, its direction and its summary.

    A class that names itself is labelled so, and looked up so among published figures, unless it
    says otherwise.
    """

    variants: ClassVar[tuple[str, ...]] = ("default",)
    needs: ClassVar[frozenset[str]] = frozenset()
    label: ClassVar[str]
    unit: ClassVar[str] = ""
    cost: ClassVar[Cost] = "forward"
    applies_to: ClassVar[str] = "any network"
    published: ClassVar[str]

    variant: str = ""

    def __init_subclass__(cls) -> None:
        own = vars(cls)
        if "name" in own:
            cls.label = own.get("label", own["name"])
            cls.published = own.get("published", own["name"])

    def __post_init__(self) -> None:
        if not self.variant:
            object.__setattr__(self, "variant", self.variants[0])


def setting_of(proxy: Proxy) -> Setting:
    """What a proxy is read off: its `setting`, or the benchmark's network and the run's images."""
    found: Setting = getattr(proxy, "setting", Setting())
    return found


@runtime_checkable
class SharesMeasurement(Protocol):
    """A proxy that is read off something which others can be read off too, made once for all."""

    @property
    def measurement(self) -> Hashable:
        """Equal for proxies that share what `measure` returns."""
        ...

    def measure(
        self, network: "nn.Module", minibatch: "Minibatch", generator: "torch.Generator"
    ) -> Any:  # noqa: ANN401 - known to `read`
        """What proxies with this `measurement` read; see `Proxy.__call__`."""
        ...

    def read(self, measured: Any) -> float:  # noqa: ANN401
        """The score. It raises `UndefinedScore` where there is none."""
        ...
