"""Training by the fused loops against the module's own, in double precision."""

import pytest
import torch
from tests.benchmarks.nds_files import network_of, some_entries
from tests.networks.random_graphs import random_graph
from torch import nn
from torch.nn import functional

from untrained.networks.fused_training import Term, pool, read_sum
from untrained.networks.nasbench201 import around_cells, cell_of, size_network
from untrained.networks.nds import scored_network
from untrained.networks.network import GraphNetwork
from untrained.spaces import get_space
from untrained.spaces.base import Skeleton

SPELLED = {
    "n": "none",
    "s": "skip_connect",
    "1": "nor_conv_1x1",
    "3": "nor_conv_3x3",
    "p": "avg_pool_3x3",
}
#: Convolutions of one source, sums of three, edges that lead nowhere, copies, nodes without input
#: that a convolution reads, and cells without any path.
CELLS = ["333333", "31p3sp", "s3n1np", "snpsns", "nn3n3n", "n3np1s", "ppp1s3", "3nnnnn", "n1nns3"]


def built(cell, *skeleton, **more):
    cell = cell_of([SPELLED[one] for one in cell])
    return GraphNetwork(around_cells(Skeleton(*skeleton, **more), 10, cell))


def network(cell, channels=16, cells=1):
    torch.manual_seed(0)
    return after_some_training(built(cell, channels, cells))


def after_some_training(made):
    with torch.no_grad():
        for module in made.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(std=0.3)
    return made.to(memory_format=torch.channels_last)


STEM = "connections.0.0.weight"


def batch(images=8, size=32):
    torch.manual_seed(1)
    made = torch.randn(images, 3, size, size).to(memory_format=torch.channels_last)
    return made, torch.arange(images) % 10


def learned(net, logits, labels):
    """Return the loss, its gradients, and the buffers after the pass."""
    loss = functional.cross_entropy(logits, labels)
    loss.backward()
    gradients = {n: p.grad for n, p in net.named_parameters() if p.grad is not None}
    return loss.item(), gradients, dict(net.named_buffers())


def away(found, right):
    return float((found.double() - right).norm() / right.norm().clamp_min(1e-9))


def both(cell, dtype=torch.float32, size=32, **shape):
    images, labels = batch(size=size)
    ours, theirs = network(cell, **shape), network(cell, **shape).double()
    fused = ours.fused_logits(images.to(dtype))
    return learned(ours, fused, labels), learned(theirs, theirs(images.double()), labels)


@pytest.mark.parametrize("cell", CELLS)
def test_loss_gradients_and_statistics_are_the_modules(cell):
    (loss, gradients, buffers), (right_loss, right, right_buffers) = both(cell)
    assert loss == pytest.approx(right_loss, rel=1e-5)
    assert gradients.keys() == right.keys()
    largest = max(float(one.norm()) for one in right.values())
    for name, gradient in right.items():
        # the gradient of a shift before another normalisation is zero up to rounding
        if float(gradient.norm()) > 1e-6 * largest:
            assert away(gradients[name], gradient) < 1e-3, name
    on_paths = {name.rpartition(".")[0] for name in right}
    for name, buffer in right_buffers.items():
        if name.rpartition(".")[0] in on_paths:
            assert torch.allclose(buffers[name].double(), buffer.double(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_random_graphs_are_trained_as_the_module_trains_them(seed):
    graph = random_graph(seed, (16, 32), (16, 16), nodes=6, most_terms=3, plain=True)
    images, labels = batch(size=16)
    torch.manual_seed(seed)
    ours, theirs = GraphNetwork(graph), GraphNetwork(graph)
    theirs.load_state_dict(after_some_training(ours).state_dict())
    theirs.double()
    loss, gradients, _ = learned(ours, ours.fused_logits(images), labels % 2)
    right_loss, right, _ = learned(theirs, theirs(images.double()), labels % 2)
    assert loss == pytest.approx(right_loss, rel=1e-4)
    # constants have no gradient in one of the two
    assert gradients.keys() <= right.keys()
    largest = max(float(one.norm()) for one in right.values())
    for name, gradient in right.items():
        if float(gradient.norm()) > 1e-4 * largest:
            assert away(gradients[name], gradient) < 1e-2, name


def test_small_images_and_other_widths():
    (loss, gradients, _), (right_loss, right, _) = both("31p3sp", size=16, channels=32, cells=2)
    assert loss == pytest.approx(right_loss, rel=1e-5)
    assert away(gradients["classifier.weight"], right["classifier.weight"]) < 1e-3
    assert away(gradients[STEM], right[STEM]) < 1e-2


def test_the_size_space_is_trained_too():
    images, labels = batch()
    ours, theirs = (network_of_widths() for _ in range(2))
    loss, gradients, _ = learned(ours, ours.fused_logits(images), labels)
    theirs.double()
    right_loss, right, _ = learned(theirs, theirs(images.double()), labels)
    assert loss == pytest.approx(right_loss, rel=1e-5)
    assert away(gradients["classifier.weight"], right["classifier.weight"]) < 1e-3
    assert away(gradients[STEM], right[STEM]) < 1e-2


def network_of_widths():
    torch.manual_seed(0)
    return after_some_training(GraphNetwork(size_network((16, 32, 32, 64, 64), 10)))


@pytest.mark.parametrize(
    "graph",
    [
        get_space("nasbench101").graph(get_space("nasbench101")[9], 10),
        get_space("darts").graph(get_space("darts").parse("DARTS_V2"), 10),
        # the input of the reduction cells goes through strided 1x1 convolutions
        *(scored_network(network_of(entry["net"]), 10, imagenet=False) for entry in some_entries()),
    ],
)
def test_networks_with_other_nodes_are_left_to_the_module(graph):
    made = GraphNetwork(graph).to(memory_format=torch.channels_last)
    assert made.fused_logits(batch(2)[0]) is None


def test_bfloat16_is_no_further_away_than_autocast():
    cell, (images, labels) = "31p3sp", batch(32)
    exact, cast = network(cell).double(), network(cell)
    _, right, _ = learned(exact, exact(images.double()), labels)
    with torch.autocast("cpu", torch.bfloat16):
        logits = cast(images)
    _, theirs, _ = learned(cast, logits.float(), labels)
    ours = network(cell)
    _, found, _ = learned(ours, ours.fused_logits(images.bfloat16()), labels)
    # the first convolution of the first reduction follows the stem and the six edges of a cell
    for name in (STEM, "connections.7.1.weight", "classifier.weight"):
        assert away(found[name], right[name]) < 1.2 * away(theirs[name], right[name]) + 1e-3


def test_values_that_later_readers_share_are_not_written_over():
    torch.manual_seed(0)
    values = torch.randn(4, 16, 8, 8).to(memory_format=torch.channels_last).requires_grad_()
    norm, before = nn.BatchNorm2d(16), values.detach().clone()
    read_sum([Term(values, norm)], rectified=True).rectified.square().sum().backward()
    assert torch.equal(values.detach(), before)
    exact = before.double().requires_grad_()
    nn.BatchNorm2d(16).double()(exact).relu().square().sum().backward()
    assert away(values.grad, exact.grad) < 1e-4


def test_the_gradient_of_pooling():
    torch.manual_seed(0)
    x = torch.randn(3, 16, 8, 8).to(memory_format=torch.channels_last).requires_grad_()
    weights, exact = torch.randn(3, 16, 8, 8), x.detach().double().requires_grad_()
    (pool(x) * weights).sum().backward()
    right = functional.avg_pool2d(exact, 3, stride=1, padding=1, count_include_pad=False)
    (right * weights).sum().backward()
    assert away(x.grad, exact.grad) < 1e-6


def changed(change):
    net = network("333333")
    change(net)
    return net


def head(net):
    """Return the last normalisation."""
    return net.connections[-2][0]


@pytest.mark.parametrize(
    "net",
    [
        changed(lambda net: net.eval()),
        changed(lambda net: net.connections[1][2].eval()),
        changed(lambda net: setattr(head(net), "momentum", None)),
        changed(lambda net: setattr(head(net), "eps", 1e-3)),
        changed(lambda net: setattr(net.connections[0], "1", nn.BatchNorm2d(16, affine=False))),
        changed(
            lambda net: setattr(
                net.connections[0], "1", nn.BatchNorm2d(16, track_running_stats=False)
            )
        ),
        built("333333", 5, 1),
        built("333333", 3, 1, stem=False),
    ],
)
def test_what_does_not_fit_is_left_to_the_module(net):
    assert net.fused_logits(batch()[0]) is None


def test_other_types_and_sizes_are_left_to_the_module():
    images, _ = batch()
    net = network("333333")
    assert net.fused_logits(images.double()) is None
    assert net.fused_logits(images[:, :, :20, :20]) is None
    assert net.fused_logits(images) is not None


def test_a_stage_that_does_not_fit_is_left_to_the_module():
    images = torch.randn(4, 3, 8, 16).to(memory_format=torch.channels_last)
    # 64 channels of 2 x 4 pixels are less than eight rows of the loops; 32 of 4 x 8 are enough
    assert network("333333").fused_logits(images) is None
    wider = torch.randn(4, 3, 16, 16).to(memory_format=torch.channels_last)
    assert network("333333").fused_logits(wider) is not None


def test_edges_that_lead_nowhere_are_left_out():
    net, (images, labels) = network("3n3snn"), batch()  # only 2 reads node 1, nothing reads 2
    _, gradients, _ = learned(net, net.fused_logits(images), labels)
    assert not any(name.startswith("connections.1.") for name in gradients)
    assert int(net.connections[1][2].num_batches_tracked) == 0


def test_a_sum_of_values_that_are_not_finite_is_no_number():
    torch.manual_seed(0)
    values = torch.randn(4, 16, 8, 8).to(memory_format=torch.channels_last)
    values[1, 2, 3, 4] = torch.inf
    read = read_sum([Term(values, nn.BatchNorm2d(16))], value=True, rectified=True)
    assert read.value.isnan().all()
    assert read.rectified.isnan().all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_not_finite_comes_through(bad):
    net = network("s3n1np")
    with torch.no_grad():
        net.connections[0][0].weight[0, 0, 0, 0] = bad
    assert not net.fused_logits(batch()[0]).isfinite().any()
