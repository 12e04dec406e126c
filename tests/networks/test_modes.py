import sys
from collections import Counter, OrderedDict, deque

import pytest
import torch
from torch import nn

from untrained.networks.modes import (
    buffers_restored,
    modes_restored,
    settings_restored,
    unchanged,
    uncompiled,
)


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


def stateful():
    network = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Embedding(4, 2))
    network.register_buffer("memory", None)
    network.kept, network.table, network.count = [torch.ones(2)], {"a": 1}, 0
    network[0].weight.grad = torch.ones(3, 3)
    return network


def state(network):
    found = {
        name: (id(one), one.data_ptr(), one.tolist(), one.dtype, one.requires_grad, one.grad)
        for name, one in (*network.named_parameters(), *network.named_buffers())
    }
    for name, module in network.named_modules():
        kept = {key: value for key, value in vars(module).items() if not key.startswith("_")}
        # dictionaries of hooks among them, by what they hold
        found[name, "attributes"] = repr((sorted(vars(module)), kept, module._forward_hooks))
    return found


def moved(network):
    network.memory = torch.ones(2)
    network.register_buffer("more", torch.ones(2))
    network.count += 1
    network.extra = nn.Parameter(torch.ones(2))
    network.late = nn.Linear(2, 2)
    network.kept.append(torch.ones(1))
    network.kept[0].add_(1)
    network.table["b"] = 2
    network.register_forward_hook(lambda *_: None)
    network.eval()
    network[1].running_mean.add_(1)
    network[1].running_var = torch.zeros(3)
    network[0].weight.data.clamp_(0)
    network[0].weight.requires_grad_(False)
    network[0].bias.grad = torch.ones(3)
    network[0].weight.grad = None
    network[2].double()


def test_a_network_is_as_it_was_whatever_changed_it():
    network = stateful()
    before, gradient = state(network), network[0].weight.grad

    def changes():
        with unchanged(network):
            assert network[0].weight.grad is None
            moved(network)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        changes()
    assert state(network) == before
    assert network[0].weight.grad is gradient


def test_what_containers_in_containers_hold_is_as_it_was():
    network = nn.Linear(2, 2)
    teacher = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))
    network.teacher = [teacher]
    network.cache, network.stack = {"layer0": {"k": []}}, [[]]
    network.pair = (torch.zeros(2), [1])
    network.cache["itself"] = network.cache  # so that there is an end to it
    before = state(teacher)
    with unchanged(network):
        teacher(torch.ones(3, 2))
        teacher[1].weight.data.zero_()
        teacher.eval()
        teacher.more = nn.ReLU()
        network.cache["layer0"]["k"].append(torch.ones(1))
        network.cache["layer0"]["v"] = 1
        network.stack[0].append(1)
        network.pair[0].add_(1)
        network.pair[1].clear()
    assert state(teacher) == before
    assert network.cache == {"layer0": {"k": []}, "itself": network.cache}
    assert network.stack == [[]]
    assert network.pair[0].tolist() == [0, 0]
    assert network.pair[1] == [1]


def test_containers_need_no_methods_of_their_own():
    def refuses(*_):
        raise TypeError("it is frozen")

    methods = ("clear", "update", "extend", "__setitem__", "values", "__iter__", "__len__")
    network = nn.Linear(2, 2)
    for kind in (OrderedDict, dict, list, set, deque):
        frozen = type("Frozen", (kind,), {})
        setattr(network, kind.__name__, frozen([(1, 2)]))
        for method in methods:
            setattr(frozen, method, refuses)
    network.last = [1]
    counted = network.counted = Counter("aab")
    with unchanged(network):
        for kind in (OrderedDict, dict):
            kind.__setitem__(getattr(network, kind.__name__), 3, 4)
        list.append(network.list, 5)
        set.add(network.set, 5)
        deque.append(network.deque, 5)
        network.last.append(2)
        counted["c"] += 1
    for kind in (OrderedDict, dict, list, set, deque):
        assert list(kind.__iter__(getattr(network, kind.__name__))) == (
            [1] if kind in (OrderedDict, dict) else [(1, 2)]
        )
    assert network.last == [1]
    assert counted == Counter("aab")


def test_graphs_that_weights_are_in_can_still_be_run_backward():
    network = nn.Linear(3, 1)
    loss = network(torch.ones(1, 3)) * network.weight.sum()
    with unchanged(network):
        network.weight.data.zero_()
    loss.backward()
    assert network.weight.grad is not None


@pytest.mark.parametrize("made", [torch.inference_mode(), torch.device("meta")])
def test_tensors_that_cannot_change_are_left_alone(made):
    with made:
        network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    with unchanged(network):
        pass
    assert all(one.requires_grad for one in network.parameters())


def test_buffers_are_the_ones_that_were_there():
    network = stateful()
    buffer, value = network[1].running_var, network[1].running_var.tolist()
    with buffers_restored(network):
        moved(network)
    assert network.memory is None
    assert "more" not in dict(network.named_buffers())
    assert network[1].running_var is buffer
    assert buffer.tolist() == value
    assert network[1].running_mean.tolist() == [0, 0, 0]


def test_settings_of_the_process_are_restored():
    threads = torch.get_num_threads()
    with settings_restored():
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        torch.use_deterministic_algorithms(mode=True)
        torch.set_num_threads(threads + 1)
    assert torch.is_grad_enabled()
    assert torch.ones(1).dtype == torch.float32
    assert torch.ones(1).device.type == "cpu"
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == threads


def test_nothing_is_compiled():
    def fails(*_):
        raise AssertionError

    network = torch.compile(nn.Linear(2, 2), backend=fails)
    assert "torch._dynamo" in sys.modules
    with uncompiled():
        network(torch.ones(1, 2))
