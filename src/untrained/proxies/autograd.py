"""What the graph that autograd records says about a forward pass."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction
from torch.utils._pytree import tree_leaves

from untrained.networks.modes import buffers_restored
from untrained.proxies.base import UndefinedScore
from untrained.seeds import generators_restored

#: The function that checkpoints activations if `use_reentrant=True`, and hides what it runs.
REENTRANT = "CheckpointFunction"


def tensors_of(outputs: object) -> list[Tensor]:
    """Return the tensors among outputs, nested in any way.

    Raises:
        UndefinedScore: `not_applicable`: there are none.
    """
    found = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)]
    if not found:
        kind = type(outputs).__name__
        raise UndefinedScore("not_applicable", f"the output is a {kind}: a tensor is needed")
    return found


def nodes_behind(outputs: object) -> set[Any]:
    """Return the nodes of autograd's graph that tensors, nested in any way, depend on.

    Raises:
        UndefinedScore: `not_applicable`: there are no tensors.
    """
    found: set[Any] = set()
    frontier = [one.grad_fn for one in tensors_of(outputs) if one.grad_fn]
    while frontier:
        node = frontier.pop()
        if node not in found:
            found.add(node)
            frontier += [parent for parent, _ in node.next_functions if parent is not None]
    return found


def own_functions(nodes: set[Any]) -> frozenset[str]:
    """Return the names of the functions among nodes that are written in Python."""
    names = (type(node).__name__ for node in nodes if isinstance(node, BackwardCFunction))
    return frozenset(name.removesuffix("Backward") for name in names)


def refuse_reentrant(outputs: object) -> None:
    """Refuse outputs whose gradients can be taken by `backward` only.

    Raises:
        UndefinedScore: `not_applicable`: they are no tensors, or activations are checkpointed with
            `use_reentrant=True`.
    """
    if REENTRANT in own_functions(nodes_behind(outputs)):
        raise UndefinedScore("not_applicable", REENTRANT_REASON)


def unseen(network: nn.Module, images: Tensor) -> bool:
    """Return whether a network's output moves with the images in ways that autograd cannot see.

    It is to be asked where no gradient was found: there the network is run on other images, too.

    Raises:
        UndefinedScore: `not_applicable`: the output has no tensors.
    """
    found = []
    for shown in (images, 1 - images):
        with (
            torch.inference_mode(mode=False),
            torch.enable_grad(),
            generators_restored(images.device),
            buffers_restored(network),
        ):
            found.append(tensors_of(network(shown.detach().clone().requires_grad_() * 1)))
    if any(one.requires_grad for outputs in found for one in outputs):
        return False
    return any(not torch.equal(one, other) for one, other in zip(*found, strict=False))


#: Why such a network has no score.
UNSEEN = (
    "the output moves with the images, but autograd cannot see how: it is off where the output is "
    "computed (torch.no_grad), or the output is detached or of whole numbers"
)
#: Why a network has no codes whose activation functions are called while autograd is off.
HIDDEN = (
    "autograd is off (torch.no_grad) where the network applies its activation functions, so that "
    "their paths to the output cannot be seen"
)
#: Why a network with such checkpoints has no score.
REENTRANT_REASON = (
    "its checkpoints of activations hide what they run from autograd: call "
    "torch.utils.checkpoint with use_reentrant=False"
)
