"""What the graph that autograd records says about a forward pass."""

from typing import Any

from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.utils._pytree import tree_leaves

from untrained.proxies.base import UndefinedScore

#: The function that checkpoints activations if `use_reentrant=True`, and hides what it runs.
REENTRANT = "CheckpointFunction"


def nodes_behind(outputs: object) -> set[Any]:
    """Return the nodes of autograd's graph that tensors, nested in any way, depend on."""
    found: set[Any] = set()
    frontier = [
        leaf.grad_fn for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor) and leaf.grad_fn
    ]
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
        UndefinedScore: `not_applicable`: activations are checkpointed with `use_reentrant=True`.
    """
    if REENTRANT in own_functions(nodes_behind(outputs)):
        raise UndefinedScore("not_applicable", REENTRANT_REASON)


#: Why a network with such checkpoints has no score.
REENTRANT_REASON = (
    "its checkpoints of activations hide what they run from autograd: call "
    "torch.utils.checkpoint with use_reentrant=False"
)
