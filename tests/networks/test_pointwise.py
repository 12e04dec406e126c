"""1x1 convolutions that skip pixels: their values, and gradients of networks that use them."""

import os
import subprocess
import sys

import pytest
import torch
from tests.benchmarks.nds_files import cell_entry, network_of, staged_entry
from torch import nn

from untrained.networks.pointwise import StridedPointwise


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 10), (1, 5)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_it_is_a_strided_convolution(height, width, stride):
    torch.manual_seed(0)
    made = StridedPointwise(5, 3, stride).double()
    torch.manual_seed(0)
    known = nn.Conv2d(5, 3, 1, stride, bias=False).double()
    assert torch.equal(made.weight, known.weight)
    x = torch.randn(2, 5, height, width, dtype=torch.double, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    torch.testing.assert_close(made(x), known(y))
    weights = torch.randn_like(made(x))
    (made(x) * weights).sum().backward()
    (known(y) * weights).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)
    torch.testing.assert_close(made.weight.grad, known.weight.grad)


_CELLS = cell_entry("Amoeba", width=8, depth=4)["net"]
_CELLS["genotype"] = _CELLS["genotype"] | {
    "reduce": [["conv_1x1", 0], ["conv_1x1", 1], ["skip_connect", 0], ["max_pool_2x2", 2]]
}
_STAGES = staged_entry(ds=[1, 1], ws=[16, 16], ss=[2, 2])["net"]

_PROGRAM = f"""
import torch
from untrained.networks.nds import scored_network
from untrained.networks.network import GraphNetwork
from untrained.spaces.nds_networks import parse_network
for text in {[str(network_of(net)) for net in (_CELLS, _STAGES)]}:
    network = GraphNetwork(scored_network(parse_network(text), 10, imagenet=True))
    network = network.to(memory_format=torch.channels_last).train()
    images = torch.randn(2, 3, 224, 224).to(memory_format=torch.channels_last)
    network(images).sum().backward()
    print(all(bool(p.grad.isfinite().all()) for p in network.parameters() if p.grad is not None))
"""


def test_gradients_of_narrow_networks_stay_within_their_memory():
    """A gradient written past its memory ends the process, where the allocator checks."""
    run = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env=os.environ | {"MALLOC_CHECK_": "3", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout) == (0, "True\nTrue\n"), run.stderr
