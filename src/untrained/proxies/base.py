"""What a proxy must provide, and the defaults that it can inherit."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Literal,
    Protocol,
    Self,
    get_args,
    runtime_checkable,
)

from untrained.errors import PluginError
from untrained.spaces.base import Skeleton

if TYPE_CHECKING:
    import torch
    from torch import nn

    from untrained.images.minibatches import Minibatch
    from untrained.networks.graph import Graph

Direction = Literal["higher", "lower"]
Cost = Literal["arithmetic", "forward", "backward", "per-image gradients"]
Need = Literal["labels", "loss", "gradients", "training"]
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
    "failed",
]


@dataclass(frozen=True)
class Setting:
    """The network and the images that a proxy needs where its definition prescribes them.

    Attributes:
        skeleton: what surrounds the cells of a space; None for the benchmark's network. A network
            of one's own is scored as it is.
        images: number of images of the minibatch, or of crops; None for the run's number.
        crop: shape (C, H, W) of random crops of the run's minibatch; None for whole images. A
            network of one's own sees whole images.
        epochs: epochs of training before the score; 0 for none. See `untrained.training.short`.
        held_out: whether the proxy sees all images that the training leaves out, instead of a
            minibatch.
        test_after_training: whether, after training, the proxy sees the first images of the test
            set with their labels, as released code does. That is a leak: see `shows_test`.
    """

    skeleton: Skeleton | None = None
    images: int | None = None
    crop: tuple[int, int, int] | None = None
    epochs: float = 0
    held_out: bool = False
    test_after_training: bool = False

    @property
    def shows_test(self) -> bool:
        """Whether the score is computed from test images and their labels."""
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


#: Why a network whose forward passes differ has no score.
VARYING = (
    "the network applies other activation functions each time it is run: make its forward pass the "
    "same for the same images"
)


class UndefinedScore(Exception):  # noqa: N818 - an outcome, not an error
    """The proxy has no value for this network: a status is stored, not a number.

    Raises:
        ValueError: `status` is not one of `Status`, or it is "ok"; or the reason is no text.
    """

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        if status not in get_args(Status) or status == "ok":
            known = ", ".join(one for one in get_args(Status) if one != "ok")
            raise ValueError(f"{status!r} is no status of an undefined score: take {known}")
        if not isinstance(reason, str):
            raise ValueError(f"{reason!r} is no reason: take a text")  # noqa: TRY004
        self.status = status
        self.reason = reason


class Noted(float):
    """A score with a remark, such as what it leaves out.

    Attributes:
        note: one line without a full stop.
    """

    note: str

    def __new__(cls, value: float, note: str) -> Self:
        """Return the value with a note."""
        made = super().__new__(cls, value)
        made.note = note
        return made


class Proxy(Protocol):
    """A score of an untrained network; implementations are frozen dataclasses of their settings.

    `BaseProxy` provides defaults of most attributes.

    Attributes:
        name: the registered name: letters, digits and underscores.
        variants: what `variant` may be; the first is the default.
        direction: whether the better network scores higher or lower.
        needs: what the proxy requires beyond a forward pass: "labels", "gradients", "training";
            "loss" where it takes the loss of the minibatch, if there is one.
        summary: what it measures, in one line without a full stop.
        source: the publication that it is from; empty for none.
        label: its name in tables and figures.
        unit: unit of its values, such as "nats" or "%"; empty for pure numbers.
        cost: the most expensive operation that it applies to the minibatch.
        applies_to: the networks that it can score, in words.
        published: its name in the files of `data/published`.
    """

    name: ClassVar[str]
    variants: ClassVar[tuple[str, ...]]
    direction: ClassVar[Direction]
    needs: ClassVar[frozenset[Need]]
    summary: ClassVar[str]
    source: ClassVar[str]
    label: ClassVar[str]
    unit: ClassVar[str]
    cost: ClassVar[Cost]
    applies_to: ClassVar[str]
    published: ClassVar[str]

    @property
    def variant(self) -> str:
        """The chosen variant."""
        ...

    def __init__(self, *, variant: str) -> None: ...

    def __call__(
        self, network: "nn.Module", minibatch: "Minibatch", generator: "torch.Generator"
    ) -> float:
        """Score `network` without changing it.

        Args:
            network: a network in training mode, on the device of the minibatch.
            minibatch: images (N, C, H, W) and labels (N,).
            generator: source of all random numbers that the proxy draws.

        Returns:
            The score; a `Noted` one carries a remark.

        Raises:
            UndefinedScore: the score does not exist for this network.
        """
        ...


@dataclass(frozen=True)
class BaseProxy:
    """Defaults of a proxy's attributes; a subclass sets its name, direction and summary.

    The label and the name among published figures are the proxy's name unless it sets others.
    `aliases` are names that other tools give it in tables of scores. `shared` tells whether
    architectures that run the same operations, in whatever order, have the same score.
    """

    variants: ClassVar[tuple[str, ...]] = ("default",)
    needs: ClassVar[frozenset[Need]] = frozenset()
    source: ClassVar[str] = ""
    label: ClassVar[str]
    unit: ClassVar[str] = ""
    cost: ClassVar[Cost] = "forward"
    applies_to: ClassVar[str] = "any network"
    published: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    shared: ClassVar[bool] = True

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
    """Return the proxy's `setting`; by default the benchmark's network and the run's images."""
    found = getattr(proxy, "setting", Setting())
    if not isinstance(found, Setting):
        raise PluginError(f"the setting of the proxy {proxy.name} is {found!r}: take a Setting")
    return found


@runtime_checkable
class CountsGraph(Protocol):
    """A proxy that follows from the graph of a network, so that no network needs to be built."""

    def of_graph(self, graph: "Graph", shape: tuple[int, ...]) -> float:
        """Return what `Proxy.__call__` returns of the graph's network on images (C, H, W)."""
        ...


@runtime_checkable
class SharesMeasurement(Protocol):
    """A proxy computed from a measurement that several proxies share, so that it is made once."""

    @property
    def measurement(self) -> Hashable:
        """A key that is equal for proxies that share what `measure` returns."""
        ...

    def measure(
        self, network: "nn.Module", minibatch: "Minibatch", generator: "torch.Generator"
    ) -> Any:  # noqa: ANN401 - known to `read`
        """Return what proxies with this `measurement` read; arguments as in `Proxy.__call__`."""
        ...

    def read(self, measured: Any) -> float:  # noqa: ANN401
        """Return the score of a measurement; raise `UndefinedScore` where there is none."""
        ...
