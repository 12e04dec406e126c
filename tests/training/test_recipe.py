import pytest
import torch

from untrained.errors import ParameterError
from untrained.training.recipe import Recipe


def test_the_defaults_are_the_papers():
    assert Recipe() == Recipe(
        epochs=600, batch_size=96, learning_rate=0.025, momentum=0.9, weight_decay=0.0003,
        gradient_clip=5, crop_flip=True, cutout=16, drop_path=0.2, auxiliary_weight=0.4,
    )  # fmt: skip


def test_the_learning_rate_is_pytorchs_cosine():
    recipe = Recipe(epochs=17, learning_rate=0.3)
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=17)
    for epoch in range(17):
        assert recipe.learning_rate_at(epoch) == pytest.approx(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert recipe.learning_rate_at(0) == 0.3


def test_drop_path_rises_linearly():
    recipe = Recipe(epochs=4, drop_path=0.2)
    assert [recipe.drop_path_at(epoch) for epoch in range(4)] == pytest.approx([0, 0.05, 0.1, 0.15])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": 0}, "^epochs is 0: 1 or more$"),
        ({"batch_size": 1}, "^batch_size is 1: 2 or more$"),
        ({"cutout": -1}, "^cutout is -1: 0 or more$"),
        ({"learning_rate": 0.0}, "^learning_rate is 0.0: above 0$"),
        ({"learning_rate": float("inf")}, "^learning_rate is inf"),
        ({"learning_rate": float("nan")}, "^learning_rate is nan"),
        ({"weight_decay": -0.1}, "^weight_decay is -0.1: 0 or more$"),
        ({"gradient_clip": float("nan")}, "^gradient_clip is nan"),
        ({"auxiliary_weight": -1.0}, "^auxiliary_weight is -1.0"),
        ({"momentum": 1.0}, "^momentum is 1.0: 0 or more and below 1$"),
        ({"drop_path": 1.0}, "^drop_path is 1.0"),
        ({"drop_path": -0.1}, "^drop_path is -0.1"),
    ],
)
def test_settings_outside_their_range_are_refused(setting, message):
    with pytest.raises(ParameterError, match=message):
        Recipe(**setting)
