import doctest
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import untrained
from untrained import api
from untrained.errors import ArchitectureError, ParameterError, UnknownNameError
from untrained.images.minibatches import minibatch
from untrained.proxies.naswot import Naswot, activation_kernel
from untrained.scoring.images import MinibatchSettings
from untrained.scoring.own import kept

CPU = torch.device("cpu")


def test_the_example_in_the_documentation_holds():
    result = doctest.testmod(api, raise_on_error=False)
    assert result.attempted == 7
    assert result.failed == 0


def test_the_package_offers_score_and_nothing_that_is_not_there():
    assert untrained.score is api.score
    assert untrained.Score is api.Score
    with pytest.raises(AttributeError, match="no attribute 'scores'"):
        untrained.scores  # noqa: B018 - the look-up is what fails


def test_index_digits_and_spelling_are_one_architecture(space):
    settings = {"batch_size": 4, "dataset": "cifar100", "seed": 3}
    first = untrained.score("nasbench201", 45, **settings)
    assert untrained.score("nasbench201", "45", **settings).score == first.score
    spelled = untrained.score("nasbench201", space[45].spelling, **settings)
    assert spelled.score == first.score
    assert untrained.score("nasbench201", 45, **(settings | {"seed": 4})).score != first.score
    by_value = untrained.score("nasbench201", 45, proxy=Naswot("released"), **settings)
    by_name = untrained.score("nasbench201", 45, variant="released", **settings)
    assert by_value.score == by_name.score != first.score


@pytest.mark.parametrize(
    ("arguments", "settings", "error", "message"),
    [
        (("nasbench102", 1), {}, UnknownNameError, "unknown space 'nasbench102'"),
        (("nasbench201", -1), {}, ArchitectureError, "index -1 is not in"),
        (("nasbench201", 1), {"proxy": "nasw0t"}, UnknownNameError, "unknown proxy 'nasw0t'"),
        (("nasbench201", 1), {"variant": "old"}, UnknownNameError, "variant of naswot 'old'"),
        (("nasbench201", 1), {"dataset": "mnist"}, UnknownNameError, "unknown data set 'mnist'"),
        (
            ("nasbench201", 1),
            {"batch_size": 1},
            ParameterError,
            "batch_size 1: a whole number, 2 or more",
        ),
        (("nasbench201", 1), {"seed": -1}, ParameterError, "seed -1 is negative"),
        (("nasbench201", 1), {"device": "cuda:99"}, ParameterError, "device 'cuda:99' is not"),
        (("nasbench201", 1), {"variant": 3}, ParameterError, "variant 3: give its name, as text"),
        ((nn.ReLU(), 5), {}, ParameterError, "ReLU is one network: drop 5"),
        (("nasbench201", 1), {"seed": 1.5}, ParameterError, "seed 1.5: a whole number, 0 or more"),
        (("nasbench201", 1), {"seed": None}, ParameterError, "seed None: a whole number, 0 or"),
        (("nasbench201", 1), {"input": 32}, ParameterError, "input 32: channels x height x width"),
        (("nasbench201", 1), {"proxy": Naswot}, ParameterError, "proxy: Naswot is a class, give"),
        (("nasbench201", 1), {"proxy": None}, ParameterError, "proxy None: give a spelling"),
        (("nasbench201", 1), {"batch_size": "8"}, ParameterError, "batch_size '8': a whole number"),
        (("nasbench201", 1), {"dataset": 5}, ParameterError, "dataset 5: give its name, as text"),
    ],
)
def test_mistakes_are_one_line(arguments, settings, error, message):
    with pytest.raises(error, match=message) as caught:
        untrained.score(*arguments, **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("architectures", "settings", "error", "message"),
    [
        (5, {}, ParameterError, "architectures 5: give a list of them"),
        ("5", {}, ParameterError, "architectures '5': give a list of them"),
        ([5], {"proxies": []}, ParameterError, "no proxies are given"),
        ([5], {"proxies": [3]}, ParameterError, "proxies 3: give a spelling"),
        ([5], {"seeds": [1, 1]}, ParameterError, r"seeds \(1, 1\): give each of them once"),
        ([5], {"bogus": 3}, UnknownNameError, "unknown argument 'bogus'"),
    ],
)
def test_mistakes_in_several_scores_are_one_line(architectures, settings, error, message):
    with pytest.raises(error, match=message):
        untrained.score_seeds("nasbench201", architectures, **settings)


def test_a_network_returns_to_the_device_that_it_was_on():
    network = nn.Linear(2, 2, device="meta")
    with kept(network, trained=False) as own:
        own.build(2)
        network.to_empty(device=CPU)  # as where it is scored
    assert network.weight.device.type == "meta"


def test_an_unknown_setting_is_not_ignored():
    with pytest.raises(UnknownNameError, match="'batchsize': did you mean 'batch_size'"):
        untrained.score("nasbench201", 1, batchsize=8)


def test_a_space_alone_is_no_architecture():
    with pytest.raises(ParameterError, match=r"which architecture of nasbench201\?"):
        untrained.score("nasbench201")


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.more = nn.Conv2d(8, 4, 3)

    def forward(self, x):
        return self.more(torch.relu(self.norm(self.layer(x))))


def test_a_network_is_scored_with_its_weights_and_left_as_it_was():
    torch.manual_seed(0)
    network = Own().eval()
    network.layer.train()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    found = untrained.score(network, batch_size=5)
    assert not network.training
    assert [network.layer.training, network.norm.training] == [True, False]
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in state.items())
    assert untrained.score(network, batch_size=5).score == found.score
    # in training mode, whatever it was in
    images = minibatch("cifar10", "sample", 0, 5).images
    kernel = activation_kernel(network.train(), images)
    assert found.score == pytest.approx(np.linalg.slogdet(kernel)[1], rel=1e-12)
    nn.init.normal_(network.layer.weight)
    assert untrained.score(network, batch_size=5).score != found.score


def test_the_mode_is_restored_after_a_failure():
    network = Own().eval()
    network.more = nn.Conv2d(9, 4, 3)
    with pytest.raises(RuntimeError, match="channels"):
        untrained.score(network, batch_size=5)
    assert not any(module.training for module in [network, network.layer, network.norm])


def test_a_network_without_parameters_can_be_scored():
    found = untrained.score(nn.ReLU(), dataset="noise", batch_size=5)
    assert found.status == "ok"


def test_images_are_resized_to_what_a_network_takes():
    settings = MinibatchSettings(batch_size=4)
    plain = replace(settings, shape=(3, 32, 32)).draw(0, CPU)
    assert torch.equal(plain.images, minibatch("cifar10", "sample", 0, 4).images)
    resized = replace(settings, shape=(3, 16, 48)).draw(0, CPU)
    assert resized.images.shape == (4, 3, 16, 48)
    assert torch.equal(resized.labels, plain.labels)
    assert resized.num_classes == 10
    expected = plain.images.mean((2, 3))
    assert torch.allclose(resized.images.mean((2, 3)), expected, atol=0.05)


def test_noise_is_drawn_in_any_shape():
    settings = MinibatchSettings("noise", batch_size=64, shape=(1, 20, 12))
    batch = settings.draw(0, CPU)
    assert batch.images.shape == (64, 1, 20, 12)
    assert batch.images.dtype == torch.float32
    assert abs(batch.images.mean()) < 0.05
    assert abs(batch.images.std() - 1) < 0.05
    assert torch.equal(settings.draw(0, CPU).images, batch.images)
    assert not torch.equal(settings.draw(1, CPU).images, batch.images)


def test_images_of_another_number_of_channels_are_refused():
    message = "^input 1x32x32: images of cifar10 have 3 channels, take noise"
    with pytest.raises(ParameterError, match=message):
        MinibatchSettings(batch_size=4, shape=(1, 32, 32)).draw(0, CPU)


def test_the_fast_engine_takes_learned_shifts(space):
    network = space.network(space[10525], 10)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias)
    plain, fast = (
        api.score(network, batch_size=4, engine=engine, precision="float32")
        for engine in ("plain", "fast")
    )
    assert fast.score == pytest.approx(plain.score, abs=1e-2)
