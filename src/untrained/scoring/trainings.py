"""Trains architectures many at a time before proxies are read off each of them."""

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from untrained.errors import summary
from untrained.float32 import float32_by_default
from untrained.networks.batched_training import Together
from untrained.networks.network import GraphModule
from untrained.proxies.base import Setting
from untrained.scoring.execution import Execution, is_out_of_memory
from untrained.scoring.images import TrainingImages
from untrained.seeds import torch_seeded
from untrained.spaces.base import GraphSpace
from untrained.training.short import Diverged, Stop

#: Architectures that are trained together; they are halved where memory runs out.
SIZE = 32


class Trainee(NamedTuple):
    """An architecture to train.

    Attributes:
        place: the position of its work.
        architecture: the index of the architecture.
        seed: the seed of its weights and steps.
        setting: the network and the images.
        stops: the numbers of epochs at which it is read, ascending.
    """

    place: int
    architecture: int
    seed: int
    setting: Setting
    stops: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Trained:
    """A training that is done, in the place of `TrainingImages`.

    Attributes:
        stops: what it has come to at each of its stops.
        states: the state of the network at each of them.
    """

    stops: Sequence[Stop | Diverged]
    states: Sequence[dict[str, Tensor]]

    def train(
        self, network: nn.Module, _stops: Sequence[float], _seed: int, _how: Execution
    ) -> Iterator[Stop]:
        """Bring a network to each stop."""
        for stop, state in zip(self.stops, self.states, strict=True):
            if isinstance(stop, Diverged):
                raise Diverged(str(stop))
            network.load_state_dict(state)
            yield stop


class Trainings:
    """Trains architectures in batches, each when the first of its members is asked for.

    Args:
        space: the space of the members, which has graphs if there are any.
        members: the members, in the order in which they are asked for.
        how: how networks are run.
    """

    def __init__(self, space: object, members: Sequence[Trainee], how: Execution) -> None:
        self.space, self.how, self.size = cast("GraphSpace", space), how, SIZE
        self._left: dict[tuple[Any, ...], list[Trainee]] = defaultdict(list)
        for member in members:
            self._left[member.setting, member.seed, member.stops].append(member)
        self._found: dict[tuple[int, Setting], Trained] = {}

    def take(self, place: int, setting: Setting, training: TrainingImages) -> Trained | None:
        """Return the training of a member, or None where it has to be trained alone."""
        for alike in self._left.values():
            if alike and (alike[0].place, alike[0].setting) == (place, setting):
                while not self._train(alike[: self.size], training):
                    self.size = max(1, min(self.size, len(alike)) // 2)
                    if self.how.device.type == "cuda":
                        torch.cuda.empty_cache()
                del alike[: self.size]
                break
        return self._found.pop((place, setting), None)

    def _train(self, members: Sequence[Trainee], training: TrainingImages) -> bool:
        """Train members, if there are several; return False where memory ran out."""
        positions, networks = self._drawn(members, training.known.num_classes)
        if len(networks) < 2:
            return True
        try:
            together = Together(networks, training.known.shape, self.how.device)
            stops = list[list[Stop | Diverged]]()
            states = list[list[dict[str, Tensor]]]()
            for found in training.train_together(
                together, members[0].stops, members[0].seed, self.how
            ):
                together.store()
                stops.append(found)
                states.append([_copied(one.state_dict()) for one in networks])
        except (RuntimeError, MemoryError, ValueError) as error:
            if is_out_of_memory(error):
                return False
            if self.how.engine != "auto":
                raise
            why = f"since many at once failed: {summary(error)}"
            warnings.warn(f"training architectures one at a time, {why}", stacklevel=2)
            self._left.clear()
            return True
        for number, position in enumerate(positions):
            member = members[position]
            self._found[member.place, member.setting] = Trained(
                [one[number] for one in stops], [one[number] for one in states]
            )
        return True

    def _drawn(
        self, members: Sequence[Trainee], classes: int
    ) -> tuple[list[int], list[GraphModule]]:
        """Return the networks that can be drawn, and their positions among the members."""
        positions, networks = [], []
        for position, (_, index, seed, setting, _) in enumerate(members):
            try:
                with torch_seeded(seed, "weights", index), float32_by_default():
                    network = self.space.network(self.space[index], classes, setting.skeleton)
            except Exception:  # noqa: BLE001, S112 - raised once more when it is trained alone
                continue
            positions.append(position)
            networks.append(cast("GraphModule", network))
        return positions, networks


def _copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: one.clone() for name, one in state.items()}
