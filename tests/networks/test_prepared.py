"""Networks of one's own are made ready as copies that compute the same; they don't change."""

import threading

import pytest
import torch
from tests.networks.own_networks import Of, convolutional, lazy
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from untrained.networks.prepared import copied, dtype_of, prepared, with_effective_weights
from untrained.spaces.base import NotApplicable

IMAGES = torch.randn(4, 3, 8, 8)


def test_a_plain_network_is_itself():
    network = convolutional()
    assert prepared(network, IMAGES) is network
    assert with_effective_weights(network) is network


@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        lambda one: torch.compile(one, backend="eager"),
        lambda one: nn.DataParallel(torch.compile(nn.DataParallel(one), backend="eager")),
    ],
)
def test_wrappers_are_taken_off(wrap):
    network = convolutional()
    assert prepared(wrap(network), IMAGES) is network


def test_distributed_networks_are_taken_out_of_their_wrapper(tmp_path):
    file = (tmp_path / "processes").as_uri()
    torch.distributed.init_process_group("gloo", init_method=file, rank=0, world_size=1)
    try:
        network = convolutional()
        wrapped = nn.parallel.DistributedDataParallel(network)
        assert prepared(wrapped, IMAGES) is network
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("make", [torch.jit.script, lambda one: torch.jit.trace(one, IMAGES[:1])])
def test_scripted_and_traced_parts_are_refused(make):
    whole = make(nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()))
    with pytest.raises(NotApplicable, match=r"^it is a scripted or traced module \(torch.jit\)"):
        prepared(whole, IMAGES)
    part = nn.DataParallel(nn.Sequential(nn.Conv2d(3, 3, 1), whole))
    with pytest.raises(NotApplicable, match=r"^its part 1 is a scripted or traced module"):
        prepared(part, IMAGES)


def weights_of(network):
    return [one.detach().clone() for one in network.parameters()]


def test_a_copy_of_a_lazy_network_gets_weights():
    network = lazy()
    network[2].eval()
    torch.manual_seed(3)
    made = prepared(network, IMAGES.double())
    torch.manual_seed(3)
    same = prepared(network, IMAGES)
    torch.manual_seed(4)
    other = prepared(network, IMAGES)
    assert made[0].weight.shape == (6, 3, 3, 3)
    assert all(map(torch.equal, weights_of(made), weights_of(same)))
    assert not torch.equal(made[0].weight, other[0].weight)
    assert made[1].num_batches_tracked == 0
    assert [module.training for module in made] == [True, True, False, True, True, True]
    # the original has no weights yet, and still takes images of another shape
    assert all(nn.parameter.is_lazy(one) for one in network.parameters())
    assert prepared(network, torch.randn(1, 5, 4, 4))[0].weight.shape == (6, 5, 3, 3)
    assert network(torch.randn(2, 2, 9, 9)).shape == (2, 10)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_type_is_that_of_the_weights(dtype):
    assert dtype_of(convolutional().to(dtype)) == dtype
    assert prepared(lazy().to(dtype), IMAGES)[0].weight.dtype == dtype
    assert dtype_of(nn.ReLU()) == torch.float32


class Twice(nn.Module):
    def forward(self, x):
        return 2 * x


def own(layer):
    parametrize.register_parametrization(layer, "weight", Twice())
    parametrize.register_parametrization(layer, "bias", Twice())
    return layer


COMPUTED = {
    "weight_norm": parametrizations.weight_norm,
    "old weight_norm": nn.utils.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "old spectral_norm": nn.utils.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "one's own": own,
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
    "pruned twice": lambda layer: prune.random_unstructured(
        prune.l1_unstructured(layer, "weight", 0.5), "weight", 0.3
    ),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", COMPUTED)
def test_computed_weights_become_parameters_of_a_copy(name, training):
    torch.manual_seed(0)
    network = nn.Sequential(COMPUTED[name](nn.Conv2d(3, 4, 3)), nn.ReLU(), nn.Conv2d(4, 2, 1))
    network.train(training)
    network(IMAGES).sum().backward()  # leaves tensors of autograd in some modules
    state = {key: one.clone() for key, one in network.state_dict().items()}
    made = with_effective_weights(network)
    assert all(torch.equal(one, network.state_dict()[key]) for key, one in state.items())
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))
    assert made.state_dict().keys() == plain.state_dict().keys()
    assert [type(one) for one in made] == [type(one) for one in plain]
    assert all(one.requires_grad and one.is_leaf for one in made.parameters())
    plain.load_state_dict(made.state_dict())
    expected = network(IMAGES)  # of the original, whose pass moves vectors of a spectral norm
    assert torch.equal(plain(IMAGES), expected)
    assert torch.equal(made.eval()(IMAGES), expected)
    with torch.inference_mode():
        inferred = with_effective_weights(network)
    assert not any(one.is_inference() for one in inferred.parameters())


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
@pytest.mark.parametrize("name", COMPUTED)
def test_a_computed_weight_is_frozen_if_all_that_it_is_computed_from_is(name):
    network = nn.Sequential(COMPUTED[name](nn.Conv2d(3, 4, 3)), nn.Conv2d(4, 2, 1))
    for parameter in network[0].parameters():
        parameter.requires_grad_(False)
    made = with_effective_weights(network)
    frozen = {key for key, one in made.named_parameters() if not one.requires_grad}
    assert frozen == {"0.weight", "0.bias"}


def test_a_copy_has_the_tensors_that_modules_keep():
    def keeps(self, x):
        self.last = self.layer(x)
        return self.last

    network = Of(keeps, layer=nn.Conv2d(3, 2, 1))
    network(IMAGES)
    made = copied(network)
    assert torch.equal(made.last, network.last)
    assert made.last is not network.last
    assert made.layer.weight is not network.layer.weight


def test_a_copy_shares_what_cannot_be_copied():
    network = Of(lambda self, x: self.layer(x), layer=nn.Conv2d(3, 2, 1))
    network.lock, network.held = threading.Lock(), {"a": [threading.Lock()]}
    network.maps = [network(IMAGES), {"b": network(IMAGES)}]
    made = copied(network)
    assert made.lock is network.lock
    assert made.held["a"][0] is network.held["a"][0]
    assert made.layer.weight is not network.layer.weight
    assert made.maps[1]["b"] is not network.maps[1]["b"]
    assert torch.equal(made.maps[1]["b"], network.maps[1]["b"])


def test_weights_of_inference_mode_get_gradients_in_a_copy():
    with torch.inference_mode():
        network = nn.Conv2d(3, 2, 1)
    made = prepared(network, IMAGES)
    made(IMAGES).sum().backward()
    assert made.weight.grad is not None
    assert torch.equal(made.weight, network.weight)
    assert network.weight.is_inference()
