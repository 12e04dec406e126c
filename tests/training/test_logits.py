from collections import namedtuple

import pytest
import torch

from untrained.training.logits import logits_among

LOGITS, MORE = torch.randn(2, 5), torch.randn(2, 5)
Outputs = namedtuple("Outputs", ["extra", "logits"])


@pytest.mark.parametrize(
    "outputs",
    [
        LOGITS,
        (LOGITS, None),
        [[LOGITS]],
        {"loss": 0.5, "any": LOGITS},
        {"logits": LOGITS, "features": MORE},
        Outputs(MORE, LOGITS),
        Outputs(LOGITS, None),
    ],
)
def test_the_only_tensor_or_the_one_of_that_name(outputs):
    assert logits_among(outputs) is LOGITS


@pytest.mark.parametrize(
    "outputs", [(LOGITS, MORE), {"a": LOGITS, "b": MORE}, {"logits": (LOGITS, MORE)}, None, 3, []]
)
def test_anything_else_is_returned_as_it_is(outputs):
    assert logits_among(outputs) is outputs
