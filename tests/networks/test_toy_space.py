"""The space of docs/networks.md has a module, a plan, costs and a supernet."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.networks.slow import benchmark_flops
from typer.testing import CliRunner

from untrained.cli.app import app
from untrained.networks.costs import count_parameters
from untrained.networks.plans import draw
from untrained.spaces.base import Skeleton

PAGE = (Path(__file__).parents[2] / "docs" / "networks.md").read_text()
(TEXT,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def toy():
    names = {}
    exec(compile(TEXT, "docs/networks.md", "exec"), names)
    return names


def test_it_is_short():
    assert len(TEXT.splitlines()) < 80


def test_costs_are_those_of_the_module(toy):
    space = toy["Triangles"]()
    for index in range(len(space)):
        graph = space.graph(space[index], 10)
        network = space.network(space[index], 10)
        convolutions = 3 * space.spelling(index).count("conv")
        assert graph.parameters == count_parameters(network)
        assert graph.parameters == 27 * 16 + 32 + convolutions * (9 * 256 + 32) + 32 + 170
        assert graph.flops((3, 8, 8)) == benchmark_flops(network, (3, 8, 8))


def test_the_plan_draws_and_reads_what_the_module_does(toy):
    space, images = toy["Triangles"](), torch.randn(4, 3, 8, 8, dtype=torch.float64)
    for index in range(len(space)):
        torch.manual_seed(0)
        network = space.network(space[index], 10).double()
        torch.manual_seed(0)
        plan = draw(space.graph(space[index], 10))
        for one, other in zip(
            plan.rectifier_inputs(images, dead_branches=True),
            network.rectifier_inputs(images, dead_branches=True),
            strict=True,
        ):
            assert torch.equal(one.codes, other.codes)


def test_one_live_operation_for_each_edge_is_the_single_network(toy):
    space, skeleton = toy["Triangles"](), Skeleton(4, 2)
    images = torch.randn(3, 3, 8, 8)
    for index in range(len(space)):
        supernet = toy["supernet"](5, skeleton)
        operations = space.spelling(index).split("-")
        mask = np.zeros((3, 4), bool)
        mask[range(3), [toy["OPERATIONS"].index(one) for one in operations]] = True
        supernet.mask = mask
        graph = supernet.graph
        live = [place for place, e in enumerate(graph.edges) if not e.choice or mask[e.choice]]
        single = space.network(space[index], 5, skeleton)
        for mine, place in zip(single.connections, live, strict=True):
            for to, own in zip(
                mine.parameters(), supernet.connections[place].parameters(), strict=True
            ):
                to.data.copy_(own.data)
        single.classifier.load_state_dict(supernet.classifier.state_dict())
        torch.testing.assert_close(single(images), supernet(images))


def test_it_is_scored_from_the_shell(tmp_path, monkeypatch):
    (tmp_path / "triangles.py").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (line,) = re.findall(r"`untrained (score triangles:[^`]*)`", PAGE)
    found = CliRunner().invoke(app, [*line.split(), "--batch-size", "8", "--json"])
    assert found.exit_code == 0, found.output
    rows = json.loads(found.stdout)
    assert rows
