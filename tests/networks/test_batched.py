"""Networks that run together against their modules, one by one, in double precision."""

from itertools import groupby, islice

import pytest
import torch
from tests.imitation import imitated_gpu, in_guarded_process
from tests.networks.test_plans import (
    CELLS,
    NETWORKS,
    TWO_CELLS,
    codes_of_module,
    codes_of_plan,
    images_of,
    kernel_of,
    odd_cells,
    random_graphs,
)

from untrained.networks import batched
from untrained.networks.graph import Builder, Convolution
from untrained.networks.nds import scored_network
from untrained.networks.plans import PlannedNetwork, draw, weights_of
from untrained.proxies.agreements import agreements_of
from untrained.spaces import get_space


def planned(network):
    return PlannedNetwork(network.graph, weights_of(network))


def kernels_of(networks, images, dead_branches):
    """Return the kernels of rectifiers and of modules, and what is finite, of a batch."""
    batch = batched.prepared(networks, tuple(images.shape[1:]), dead_branches)
    found = batched.run(batch, images)
    assert torch.equal(found.rectifiers.finite, found.modules.finite)
    return found.rectifiers.kernels, found.modules.kernels, found.rectifiers.finite


def batches(networks, size=6, count=18):
    """Yield networks that take the same images, and the images, which are of every network."""
    some = islice(networks(), count)
    for _, same in groupby(some, key=lambda one: tuple(one[1].shape)):
        while members := list(islice(same, size)):
            yield [network for network, _ in members], members[0][1]


@pytest.mark.parametrize("networks", NETWORKS)
def test_a_mixed_batch_reads_what_the_modules_read(networks):
    read = 0
    for members, images in batches(networks):
        dead = [number % 3 == 0 for number in range(len(members))]
        live, everything, finite = kernels_of(list(map(planned, members)), images, dead)
        assert finite.all()
        for number, network in enumerate(members):
            expected = kernel_of(codes_of_module(network, images, False), images)
            assert torch.equal(live[number].long(), expected), number
            read += int(expected[0, 0]) > 0
            if dead[number]:
                expected = kernel_of(codes_of_module(network, images, True), images)
                assert torch.equal(everything[number].long(), expected), number
    assert read


def test_what_is_read_does_not_depend_on_the_others_of_a_batch():
    members, images = next(batches(random_graphs, 8))
    networks = list(map(planned, members))
    dead = [True] * len(networks)
    together = kernels_of(networks, images, dead)[1]
    for number, network in enumerate(networks):
        alone = kernels_of([network], images, [True])[1]
        assert torch.equal(together[number], alone[0])
    backwards = kernels_of(networks[::-1], images, dead)[1]
    assert torch.equal(backwards.flip(0), together)


def test_every_space_with_its_own_skeleton():
    images = images_of(32, count=3)
    for name, spelled in (
        ("nasbench201", (1462, 45, 0, 15000)),
        ("nasbench101", (132_099, "01|00:input,output")),
        ("natsbench_size", ("24:40:48:56:24", "8:8:8:8:8")),
    ):
        space = get_space(name)
        networks = [draw(space.graph(space.parse(one), 10)) for one in spelled]
        found = kernels_of(networks, images, [True] * len(networks))
        for number, network in enumerate(networks):
            for count, kernels in zip(("rectifiers", "modules"), found, strict=False):
                codes = codes_of_plan(network, images, True, count)
                expected = sum(map(agreements_of, codes), torch.zeros(3, 3, dtype=torch.int64))
                assert torch.equal(kernels[number].long(), expected), (name, number, count)


def test_equal_operations_of_different_networks_are_one_convolution(monkeypatch):
    called = []
    convolve = torch.nn.functional.conv2d
    monkeypatch.setattr(
        torch.nn.functional, "conv2d", lambda *given: called.append(given[-1]) or convolve(*given)
    )
    conv = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_3x3~2|"
    networks = [draw(CELLS.graph(CELLS.parse(conv), 10)) for _ in range(5)]
    batch = batched.prepared(networks, (3, 16, 16), [False] * 5)
    batched.run(batch, images_of(16, count=2).float())
    # the stem, three nodes of 15 cells, and 2 reductions
    assert called == [5] * (1 + 3 * 15 + 3 * 2)


def test_networks_without_rectifiers_have_no_kernel_and_stop_no_other():
    builder = Builder()
    stem = builder.edge(0, None, Convolution(3, 4, (3, 3)), normalised=True)
    bare = draw(builder.graph(builder.classified(stem, 4, 5, rectified=False)))
    other = draw(CELLS.graph(CELLS[45], 5))
    images = images_of()
    batch = batched.prepared([bare, other, bare], (3, 8, 8), [False] * 3)
    assert [counted for counted, _ in batch.counted] == [False, True, False]
    found = batched.run(batch, images).rectifiers
    assert found.counted == (False, True, False)
    assert not found.kernels[0].any()
    assert torch.equal(found.kernels[1], kernels_of([other], images, [False])[0][0])
    empty = batched.run(batched.prepared([bare], (3, 8, 8), [False]), images).rectifiers
    assert not empty.kernels.any()


def test_what_is_not_finite_is_so_for_its_network_alone():
    good, bad = (draw(scored_network(TWO_CELLS[0], 2, imagenet=False)) for _ in range(2))
    next(weights for weights in bad.weights if weights.kernels).kernels[0].fill_(torch.inf)
    finite = kernels_of([good, bad, good], images_of(), [False] * 3)[2]
    assert finite.tolist() == [True, False, True]


def test_many_units_are_counted_in_pieces(monkeypatch):
    members, images = next(batches(odd_cells, 4))
    networks, dead = list(map(planned, members)), [True] * len(members)
    whole = kernels_of(networks, images, dead)
    monkeypatch.setattr(batched, "_COUNTED", 50)
    assert all(map(torch.equal, whole, kernels_of(networks, images, dead)))


def test_moments_are_those_of_all_images_whatever_the_type():
    images = images_of(8, count=5)
    run = batched._Run(batched.prepared([], (3, 8, 8), []), images)
    for shift in (0, 3):
        x = torch.randn(4, 5, 6, 6, 8, dtype=torch.float64) * 2 + shift
        for dtype, within in (
            (torch.float64, 1e-12),
            (torch.float32, 1e-5),
            (torch.bfloat16, 1e-4),
        ):
            run.wide = torch.promote_types(dtype, torch.float32)
            rounded = x.to(dtype)
            factor, summand = run._affine(rounded, None, None)
            numbers = rounded.double().flatten(1, 3)
            middle = numbers.sum(1) / 180
            squares = (numbers - middle.unsqueeze(1)).square().sum(1) / 180
            expected = 1 / (squares + 1e-5).sqrt()
            assert torch.allclose(factor.double(), expected, within, 0)
            assert torch.allclose(summand.double(), -middle * expected, within, within)


def test_codes_in_bfloat16_are_nearly_those_in_double_precision():
    networks = [draw(CELLS.graph(CELLS[index], 10)) for index in (1462, 45, 0, 15000)]
    images, dead = images_of(16, count=4), [False] * 4
    exact, rounded = (
        kernels_of(networks, images.to(one), dead)[0] for one in (torch.float64, torch.bfloat16)
    )
    units = exact.diagonal(dim1=1, dim2=2)
    assert torch.equal(rounded.diagonal(dim1=1, dim2=2), units)
    assert 0 < ((rounded - exact).abs() / units.unsqueeze(2)).max() < 0.02


def test_nothing_stays_in_memory_that_is_not_read_any_more():
    members, images = next(batches(odd_cells, 4))
    batch = batched.prepared(list(map(planned, members)), tuple(images.shape[1:]), [True] * 4)
    run = batched._Run(batch, images)
    for step in batch.steps:
        run._run(step)
    assert not run.buffers
    assert not run.affine


def on_a_gpu():
    """Run a batch on an imitated GPU, and say what that did."""
    networks = [draw(CELLS.graph(CELLS[index], 10)) for index in (1462, 45, 0, 15000)]
    images = images_of(16, count=3)
    expected = kernels_of(networks, images, [True] * 4)
    batch = batched.prepared(networks, (3, 16, 16), [True] * 4)
    with imitated_gpu(pytest.MonkeyPatch()) as gpu, torch.no_grad():
        there = images.to("cuda:0")
        gpu.sent = gpu.waits = 0
        found = batched.run(batch, there)
        said = {"waits": gpu.waits, "sent": gpu.sent, "kernels": gpu.called.total()}
        made = [one.kernels for one in found]
        said["devices"] = [str(one.device) for one in made]
        pairs = zip(made, expected, strict=False)
        said["equal"] = [torch.equal(one.cpu(), own) for one, own in pairs]
    return said


def test_nothing_waits_for_a_gpu_and_all_is_sent_at_once(guard):
    said = in_guarded_process(guard, "tests.networks.test_batched", "on_a_gpu")
    assert said["waits"] == 0
    assert said["sent"] == 3  # the weights, what is learned, and the indices
    assert said["devices"] == ["cuda:0", "cuda:0"]
    assert said["equal"] == [True, True]
