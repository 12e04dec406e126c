"""Training of any network for a few epochs, with stops at which it can be scored.

Mok, Na, Kim, Han, Yoon: Demystifying the Neural Tangent Kernel from a Practical Perspective, CVPR
2022 (arXiv 2203.14577) score networks after one epoch. Stops do not change the steps of a training:
half an epoch consists of the first steps of a whole one.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional

from untrained.errors import ParameterError
from untrained.float32 import exact_float32
from untrained.seeds import torch_seeded
from untrained.training.logits import logits_among
from untrained.training.loop import Examples, batches_of, changes_of, optimiser_of
from untrained.training.recipe import ShortRecipe, steps_of


class Diverged(Exception):  # noqa: N818 - an outcome, not an error
    """The loss, or a weight, is not finite any more."""


@runtime_checkable
class TrainsFused(Protocol):
    """A network that can be trained in fewer passes over memory than as a module."""

    def fused_logits(self, images: Tensor) -> Tensor | None:
        """Return logits (N, classes) with the module's gradients, up to rounding.

        Args:
            images: (N, C, H, W), in the type of the products.

        Returns:
            None if this is impossible for such images, or on their device.
        """
        ...


class TrainsTogether(Protocol):
    """Many networks as one `torch.nn.Module`, with parameters that no two of them share."""

    def __call__(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (networks, N, classes)."""
        ...

    def finite(self) -> list[bool]:
        """Return for each network whether all of its weights are finite."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """See `torch.nn.Module`."""
        ...

    def train(self, mode: bool = True) -> object:
        """See `torch.nn.Module`."""
        ...


@dataclass(frozen=True)
class Stop:
    """The state of a training at a stop.

    Attributes:
        epochs: the number of epochs of the stop, as given.
        steps: the number of steps until then.
        losses: (steps,) cross-entropy of the batch of every step, before the step.
        seconds: duration of the steps, without the time at earlier stops.
    """

    epochs: float
    steps: int
    losses: tuple[float, ...]
    seconds: float


#: Wraps the steps of a training, to report them; their number is the last argument.
WatchSteps = Callable[[Iterable[int], int], Iterable[int]]


def unwatched(steps: Iterable[int], _count: int) -> Iterable[int]:
    """Report nothing."""
    return steps


def train_shortly(
    network: nn.Module,
    examples: Examples,
    stops: Sequence[float],
    seed: int,
    device: torch.device,
    recipe: ShortRecipe | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    memory_format: torch.memory_format = torch.contiguous_format,
    fused: bool = False,
    watch: WatchSteps = unwatched,
) -> Iterator[Stop]:
    """Train a network in place, and stop after each of some numbers of epochs.

    Args:
        network: on `device`, maps images (N, C, H, W) to logits (N, classes).
        examples: the images to learn; every epoch has all of them in a new order.
        stops: numbers of epochs, ascending; fractions are rounded to steps.
        seed: seed of everything random but the initial weights.
        device: the device on which to train.
        recipe: settings of the training; the paper's by default.
        dtype: type of products: float32, or bfloat16 in the operations that autocast converts.
            A network with weights that are not float32 keeps the types that it has.
        memory_format: layout of the images; channels last is faster if the network has it too.
        fused: whether a network with `TrainsFused` is trained by it, without calling hooks.
        watch: wraps the steps, to report them.

    Yields:
        The state at each stop, with the network in training mode.

    Raises:
        ParameterError: there are fewer than 2 images, stops are not ascending, or the network
            has no logits for the labels.
        Diverged: the loss or a weight is not finite; the message names the epoch.
    """
    logits_of = _logits_of(network, dtype, fused)
    classes = int(examples.labels.max(initial=0)) + 1

    def loss_of(images: Tensor, labels: Tensor) -> Tensor:
        logits = _checked_logits(network, logits_of(images), len(labels), classes)
        return functional.cross_entropy(_precise(logits), labels)

    how = recipe or ShortRecipe(), memory_format, watch, _check_finite
    for at in _stops(network, loss_of, examples, stops, seed, device, *how):
        if at.losses:
            _check_weights(network, _epoch(len(at.losses) - 1, at.per_epoch))
        yield Stop(at.epochs, len(at.losses), tuple(map(float, at.losses)), at.seconds)


def train_together(
    networks: TrainsTogether,
    examples: Examples,
    stops: Sequence[float],
    seed: int,
    device: torch.device,
    recipe: ShortRecipe | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    watch: WatchSteps = unwatched,
) -> Iterator[list[Stop | Diverged]]:
    """Train many networks in place by the same steps, each as `train_shortly` trains it.

    The sum of their losses is differentiated: no loss depends on another network's weights. The
    arguments are those of `train_shortly`.

    Yields:
        At each stop the state of each network, or why it has none; the seconds are its share.
    """

    def loss_of(images: Tensor, labels: Tensor) -> Tensor:
        own = next(networks.parameters()).dtype
        with torch.autocast(images.device.type, dtype, enabled=dtype != torch.float32):
            logits = networks(images.to(own))
        flat, of_all = _precise(logits).flatten(0, 1), labels.repeat(len(logits))
        each = functional.cross_entropy(flat, of_all, reduction="none")
        return each.view(len(logits), -1).mean(1)

    how = recipe or ShortRecipe(), torch.contiguous_format, watch, _wait
    for at in _stops(networks, loss_of, examples, stops, seed, device, *how):
        sound = networks.finite()
        of_each = torch.stack(at.losses, 1).tolist() if at.losses else [[] for _ in sound]
        states = list[Stop | Diverged]()
        for losses, whole in zip(of_each, sound, strict=True):
            try:
                _check_finite(losses, 0, at.per_epoch)
                if losses and not whole:
                    raise _not_finite(_epoch(len(losses) - 1, at.per_epoch))
                states.append(Stop(at.epochs, len(losses), tuple(losses), at.seconds / len(sound)))
            except Diverged as diverged:
                states.append(diverged)
        yield states


class _Taken(NamedTuple):
    """The state of a training at a stop; see `Stop`."""

    epochs: float
    losses: list[Tensor]
    per_epoch: int
    seconds: float


def _stops(
    network: nn.Module | TrainsTogether,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    examples: Examples,
    stops: Sequence[float],
    seed: int,
    device: torch.device,
    recipe: ShortRecipe,
    memory_format: torch.memory_format,
    watch: WatchSteps,
    check: Callable[[Sequence[Tensor], int, int], int],
) -> Iterator[_Taken]:
    """Take the steps of a training and stop.

    Args:
        network: what is trained.
        loss_of: returns the loss of images and labels, or those of several networks.
        examples: see `train_shortly`, as all that is not said here.
        stops: numbers of epochs.
        seed: the seed.
        device: the device.
        recipe: the settings of the training.
        memory_format: the layout of the images.
        watch: wraps the steps.
        check: looks at the losses after some, given the steps of an epoch; returns their number.
    """
    size = recipe.batch_size_for(len(examples.labels))
    ends, per_epoch = _ends(stops, examples, size, seed)
    optimiser, losses, seconds, checked = optimiser_of(network, recipe), list[Tensor](), 0.0, 0
    batches = _batches(examples, size, seed, device, memory_format)
    steps = iter(watch(range(ends[-1]), ends[-1]))
    for epochs, end in zip(stops, ends, strict=True):
        network.train()
        start = time.perf_counter()
        while len(losses) < end:
            images, labels = next(batches)
            with torch_seeded(seed, "dropped units of a step", next(steps), device=device):
                losses.append(_take_step(partial(loss_of, images, labels), optimiser))
            # reading the loss from a GPU in every step would make it wait
            if device.type == "cpu" or len(losses) % 50 == 0:
                checked = check(losses, checked, per_epoch)
        # no gradients are left for proxies at the stop
        optimiser.zero_grad()
        checked = check(losses, checked, per_epoch)
        seconds += time.perf_counter() - start
        yield _Taken(epochs, losses, per_epoch, seconds)
    next(steps, None)  # so that a progress bar sees the end of the steps


def _ends(
    stops: Sequence[float], examples: Examples, size: int, seed: int
) -> tuple[list[int], int]:
    """Return the number of steps until each stop, and the number of steps of an epoch."""
    images = len(examples.labels)
    if images < 2:
        raise ParameterError(f"{images} training images: 2 or more")
    per_epoch = len(batches_of(images, size, seed, 0))
    ends = [steps_of(epochs, per_epoch) for epochs in stops]
    if ends != sorted(ends):
        raise ParameterError(f"stops after {', '.join(map(str, stops))} epochs: not ascending")
    return ends, per_epoch


def _batches(
    examples: Examples,
    size: int,
    seed: int,
    device: torch.device,
    memory_format: torch.memory_format,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the images (N, C, H, W) and labels (N,) of each step, epoch after epoch."""
    for epoch in count():
        changes = changes_of(seed, epoch)
        for chosen in batches_of(len(examples.labels), size, seed, epoch):
            images = torch.from_numpy(examples.prepare(examples.images[chosen], changes))
            labels = torch.from_numpy(examples.labels[chosen]).to(device)
            yield images.to(device).contiguous(memory_format=memory_format), labels


def _logits_of(network: nn.Module, dtype: torch.dtype, fused: bool) -> Callable[[Tensor], object]:
    """Return the forward pass of a step."""
    types = [one.dtype for one in network.parameters() if one.is_floating_point()]
    own = types[0] if types else torch.float32
    # a network that has chosen its own types converts between them, at which autocast would fail
    converts = dtype != torch.float32 and set(types) <= {torch.float32}

    def as_module(images: Tensor) -> object:
        with torch.autocast(images.device.type, dtype, enabled=converts):
            return network(images.to(own))

    if not (fused and isinstance(network, TrainsFused)):
        return as_module
    as_sums = network.fused_logits

    def as_sums_or_module(images: Tensor) -> object:
        logits = as_sums(images.to(dtype))
        return as_module(images) if logits is None else logits

    return as_sums_or_module


@exact_float32()
def _take_step(loss_of: Callable[[], Tensor], optimiser: torch.optim.Optimizer) -> Tensor:
    """Take a step of stochastic gradient descent, and return the loss before it."""
    with (
        torch.inference_mode(mode=False),  # gradients are needed even if the caller disabled them
        # one algorithm for each convolution, so that a seed gives one result on a device
        torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        ),
    ):
        optimiser.zero_grad()
        loss = loss_of()
        loss.sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return loss.detach()


def _precise(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _checked_logits(network: nn.Module, outputs: object, images: int, classes: int) -> Tensor:
    logits = logits_among(outputs)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != images:
        found = tuple(logits.shape) if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise ParameterError(
            f"{type(network).__name__} maps {images} images to {found}: training needs logits "
            f"({images}, classes)"
        )
    if logits.shape[1] < classes:
        raise ParameterError(
            f"{type(network).__name__} has {logits.shape[1]} logits: the labels need {classes}"
        )
    return logits


def _check_finite(losses: Sequence[Tensor | float], checked: int, per_epoch: int) -> int:
    """Check the losses after the first `checked`, and return the number of losses."""
    for step in range(checked, len(losses)):
        if not math.isfinite(loss := float(losses[step])):
            raise Diverged(f"the loss became {loss} in epoch {_epoch(step, per_epoch)}")
    return len(losses)


def _wait(losses: Sequence[Tensor], _checked: int, _per_epoch: int) -> int:
    """Wait until the losses are there: one network that diverges does not stop the others."""
    if losses:
        losses[-1].tolist()
    return len(losses)


def _check_weights(network: nn.Module, epoch: int) -> None:
    if not all(bool(p.isfinite().all()) for p in network.parameters()):
        raise _not_finite(epoch)


def _not_finite(epoch: int) -> Diverged:
    return Diverged(f"a weight is not finite after epoch {epoch}")


def _epoch(step: int, per_epoch: int) -> int:
    """Return the epoch, from 1, of a step, from 0."""
    return step // per_epoch + 1
