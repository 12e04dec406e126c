"""The logits among what a network returns."""

from torch import Tensor
from torch.utils._pytree import tree_leaves


def logits_among(outputs: object) -> object:
    """Return the only tensor of `outputs`, such as that of `(logits, None)`, else `outputs`.

    Tensors are found in tuples, lists and dictionaries, nested in any way.
    """
    tensors = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)]
    return tensors[0] if len(tensors) == 1 else outputs
