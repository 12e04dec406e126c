"""The logits among what a network returns."""

from collections.abc import Mapping

from torch import Tensor
from torch.utils._pytree import tree_leaves


def logits_among(outputs: object) -> object:
    """Return the only tensor of `outputs`, or the one that is named `logits`, else `outputs`.

    So do `(logits, None)`, nested lists of one tensor, a dictionary with the key `logits` and
    GoogLeNet's named tuple have logits.
    """
    if isinstance(outputs, Tensor):
        return outputs
    tensors = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)]
    if len(tensors) == 1:
        return tensors[0]
    named = outputs.get("logits") if isinstance(outputs, Mapping) else None
    named = getattr(outputs, "logits", named)
    return named if isinstance(named, Tensor) else outputs
