"""Training of a network epoch by epoch.

Every random choice of an epoch is derived from (seed, purpose, epoch). So only the network and the
momentum pass from one epoch to the next, and a training that resumes from them has the result of an
uninterrupted one.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from untrained.errors import ParameterError
from untrained.float32 import exact_float32
from untrained.seeds import numpy_generator, torch_seeded
from untrained.training.recipe import Recipe, ShortRecipe

#: Number of images of one forward pass in an evaluation.
EVALUATED_AT_ONCE = 256


class Trainable(Protocol):
    """A `torch.nn.Module` that can be trained by the recipe."""

    drop_path: float

    def __call__(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, classes)."""
        ...

    def logits_of_both(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the logits of the classifier and of the auxiliary head; None without that head."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """See `torch.nn.Module`."""
        ...

    def train(self, mode: bool = True) -> Any:  # noqa: ANN401 - PyTorch's own
        """See `torch.nn.Module`."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """See `torch.nn.Module`."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:  # noqa: ANN401
        """See `torch.nn.Module`."""
        ...


class HasParameters(Protocol):
    """A `torch.nn.Module`, or several as one."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """See `torch.nn.Module`."""
        ...


class OtherNetwork(Exception):  # noqa: N818 - the caller turns it into an error of its file
    """The state to continue from is of another network."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled images to train or to evaluate on.

    Attributes:
        images: uint8, (images, height, width, channels).
        labels: int64, (images,).
        prepare: converts some of the images to float32 of shape (N, channels, height, width). Its
            second argument is a generator for augmentation while training, otherwise None.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    prepare: Callable[[NDArray[np.uint8], np.random.Generator | None], NDArray[np.float32]]


@dataclass(frozen=True)
class Epoch:
    """The results of one epoch.

    Attributes:
        epoch: number of the epoch, from 1.
        learning_rate: learning rate of its steps.
        drop_path: probability that an edge is dropped.
        loss: cross-entropy of the classifier, mean over the training images as they were learned.
        train_accuracy: accuracy on them in percent; augmentation and dropped edges lower it.
        accuracy: accuracy on the held-out images after the epoch, in percent; None if there are
            none or the epoch is not evaluated.
        seconds: duration of the training in this epoch.
    """

    epoch: int
    learning_rate: float
    drop_path: float
    loss: float
    train_accuracy: float
    accuracy: float | None
    seconds: float


@dataclass(frozen=True, eq=False)
class State:
    """A training after some epochs; the next epoch changes its tensors unless they are copied.

    Attributes:
        epochs: the results of each epoch, in order.
        network: state dictionary of the network.
        optimiser: state dictionary of the optimiser.
    """

    epochs: tuple[Epoch, ...]
    network: Mapping[str, Any]
    optimiser: Mapping[str, Any]


#: Wraps the steps of an epoch, counted from 1, to report them; their number is the last argument.
Watch = Callable[[Iterable[NDArray[np.int64]], int, int], Iterable[NDArray[np.int64]]]


def unwatched(
    steps: Iterable[NDArray[np.int64]], _epoch: int, _count: int
) -> Iterable[NDArray[np.int64]]:
    """Report nothing."""
    return steps


def train(
    network: Trainable,
    examples: Examples,
    recipe: Recipe,
    seed: int,
    device: torch.device,
    held_out: Examples | None = None,
    evaluate_every: int = 0,
    begun: State | None = None,
    watch: Watch = unwatched,
) -> Iterator[State]:
    """Train a network in place and yield the state after every epoch.

    The result depends on the arguments alone, not on interruptions.

    Args:
        network: on `device`, with its initial weights.
        examples: the images to learn.
        recipe: settings of the training.
        seed: seed of everything random but the initial weights.
        device: the device on which to train.
        held_out: the images to evaluate on; None for none.
        evaluate_every: number of epochs between evaluations, 0 for one after the last epoch only.
        begun: the state from which to continue; nothing is yielded for its epochs.
        watch: wraps the steps of each epoch.

    Raises:
        ParameterError: there are fewer than 2 images, or the loss is not finite any more.
        OtherNetwork: `begun` is of another network; `network` may be partly overwritten.
    """
    if len(examples.labels) < 2:
        raise ParameterError(f"{len(examples.labels)} training images: 2 or more")
    optimiser = optimiser_of(network, recipe)
    epochs = () if begun is None else _restored(network, optimiser, begun)
    for number in range(len(epochs), recipe.epochs):
        rate, drop_path = recipe.learning_rate_at(number), recipe.drop_path_at(number)
        for group in optimiser.param_groups:
            group["lr"] = rate
        network.drop_path = drop_path
        start = time.monotonic()
        loss, train_accuracy = _train_epoch(
            network, examples, recipe, seed, number, device, optimiser, watch
        )
        seconds = time.monotonic() - start
        done, accuracy = number + 1, None
        due = done == recipe.epochs or (evaluate_every > 0 and done % evaluate_every == 0)
        if held_out is not None and due:
            accuracy = accuracy_of(network, held_out, device)
        epochs += (Epoch(done, rate, drop_path, loss, train_accuracy, accuracy, seconds),)
        yield State(epochs, network.state_dict(), optimiser.state_dict())


def _restored(
    network: Trainable, optimiser: torch.optim.Optimizer, begun: State
) -> tuple[Epoch, ...]:
    """Load a state and return its epochs."""
    try:
        network.load_state_dict(begun.network)
        optimiser.load_state_dict(dict(begun.optimiser))
    except (ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise OtherNetwork from error
    return begun.epochs


@exact_float32()
def _train_epoch(
    network: Trainable,
    examples: Examples,
    recipe: Recipe,
    seed: int,
    number: int,
    device: torch.device,
    optimiser: torch.optim.Optimizer,
    watch: Watch,
) -> tuple[float, float]:
    """Train for one epoch; return the mean loss, and the accuracy in percent."""
    steps = batches_of(len(examples.labels), recipe.batch_size, seed, number)
    changes = changes_of(seed, number)
    losses, right = torch.zeros((), device=device), torch.zeros((), device=device)
    count = sum(map(len, steps))
    network.train()
    # one algorithm for each convolution, so that a seed always gives the same result on a device
    with (
        torch_seeded(seed, "dropped edges of an epoch", number, device=device),
        torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        ),
    ):
        for done, chosen in enumerate(watch(steps, number + 1, len(steps)), start=1):
            images = on_device(device, examples.prepare(examples.images[chosen], changes))
            labels = torch.from_numpy(examples.labels[chosen]).to(device)
            logits, auxiliary = network.logits_of_both(images)
            loss = functional.cross_entropy(logits, labels)
            total = loss
            if auxiliary is not None:
                weighted = recipe.auxiliary_weight * functional.cross_entropy(auxiliary, labels)
                total = loss + weighted
            optimiser.zero_grad()
            total.backward()  # type: ignore[no-untyped-call]
            if recipe.gradient_clip > 0:
                nn.utils.clip_grad_norm_(network.parameters(), recipe.gradient_clip)
            optimiser.step()
            losses += loss.detach() * len(chosen)
            right += (logits.detach().argmax(1) == labels).sum()
            # reading the loss from a GPU in every step would make it wait
            if done % 50 == 0 or done == len(steps):
                _check_finite(float(losses), number, recipe)
    return float(losses) / count, 100 * float(right) / count


def optimiser_of(network: HasParameters, settings: Recipe | ShortRecipe) -> torch.optim.Optimizer:
    """Return stochastic gradient descent with momentum and weight decay of all parameters."""
    return torch.optim.SGD(
        network.parameters(),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )


def on_device(device: torch.device, images: NDArray[np.float32]) -> Tensor:
    """Return images on a device, in the memory layout of its fast depthwise convolutions."""
    # on a GPU single-precision depthwise convolutions are faster with channels first
    layout = torch.channels_last if device.type == "cpu" else torch.contiguous_format
    return torch.from_numpy(images).to(device).contiguous(memory_format=layout)


def _check_finite(loss: float, number: int, recipe: Recipe) -> None:
    if not math.isfinite(loss):
        raise ParameterError(
            f"the loss became {loss} in epoch {number + 1} at learning_rate "
            f"{recipe.learning_rate}: take a lower one"
        )


def changes_of(seed: int, epoch: int) -> np.random.Generator:
    """Return the generator of the augmentation of an epoch's images, batch by batch."""
    return numpy_generator(seed, "augmentation of an epoch", epoch)


def batches_of(count: int, size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Return the positions of each batch of an epoch: all `count` images in a new order.

    The last batch is smaller if `size` does not divide `count`. A last batch of a single image is
    dropped, because statistics over a batch need two images.
    """
    order = numpy_generator(seed, "order of an epoch", epoch).permutation(count)
    batches = [order[start : start + size] for start in range(0, count, size)]
    return [batch for batch in batches if len(batch) > 1]


@exact_float32()
def accuracy_of(network: Trainable, examples: Examples, device: torch.device) -> float:
    """Return the accuracy of a network in evaluation mode, in percent."""
    network.train(False)
    right = 0
    with torch.no_grad():
        for start in range(0, len(examples.labels), EVALUATED_AT_ONCE):
            piece = slice(start, start + EVALUATED_AT_ONCE)
            images = on_device(device, examples.prepare(examples.images[piece], None))
            found = network(images).argmax(1).cpu().numpy()
            right += int((found == examples.labels[piece]).sum())
    return 100 * right / len(examples.labels)
