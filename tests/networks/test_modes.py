import pytest
from torch import nn

from untrained.networks.modes import modes_restored


def test_every_part_gets_its_own_mode_back_even_after_a_failure():
    network = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Dropout(), nn.Tanh()))
    network[1][0].eval()
    before = [module.training for module in network.modules()]
    with modes_restored(network):
        network.eval()
        assert not any(module.training for module in network.modules())
    assert [module.training for module in network.modules()] == before

    def fails():
        with modes_restored(network):
            network.eval()
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fails()
    assert [module.training for module in network.modules()] == before
