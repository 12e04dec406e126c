"""Scores of networks as users have them: a right number, or one reason why there is none."""

import math
from dataclasses import dataclass

import pytest
import torch
from tests.asking import score_module
from tests.networks.own_networks import (
    Of,
    OwnMask,
    OwnRectifier,
    checkpointed,
    convolutional,
    lazy,
    own_function,
    unnormalised,
)
from torch import nn
from torch.nn.utils import parametrizations, prune

from untrained import rank, score
from untrained.images.minibatches import Minibatch
from untrained.proxies import get_proxy
from untrained.proxies.base import BaseProxy
from untrained.scoring.engine import score_work
from untrained.scoring.execution import Execution
from untrained.scoring.request import OwnNetwork, Reading, requested

GRADIENTS = ("grad_norm", "synflow", "synflow-logsynflow", "jacobian_covariance", "lga")
EVERY = ("flops", "parameters", "naswot", "naswot-signs", "linear_regions", *GRADIENTS)


NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def scored(network, proxy, **settings):
    return score(network, proxy=proxy, **({"batch_size": 6, "dataset": "noise"} | settings))


def seeded(make, seed=0):
    torch.manual_seed(seed)
    return make()


def same_value(one, other, tolerance=1e-5):
    assert one.status == other.status == "ok", (one, other)
    assert one.score == pytest.approx(other.score, rel=tolerance)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("proxy", [*EVERY, "naswot@1", "validation_loss@1"])
@pytest.mark.parametrize(
    "make", [torch.jit.script, lambda one: torch.jit.trace(one, torch.randn(2, 3, 32, 32))]
)
def test_scripted_and_traced_modules_have_one_refusal(make, proxy):
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    settings = {"dataset": "cifar10"} if "@" in proxy else {}
    found = scored(make(plain), proxy, **settings)
    assert (found.status, found.reason[:34]) == (
        "not_applicable", "it is a scripted or traced module ",
    )  # fmt: skip


@pytest.mark.parametrize("proxy", EVERY)
def test_wrapped_networks_are_scored_as_what_they_wrap(proxy):
    network = convolutional()
    expected = scored(network, proxy)
    same_value(scored(nn.DataParallel(network), proxy), expected, 0)
    same_value(scored(torch.compile(network, backend="eager"), proxy), expected, 0)


@pytest.mark.parametrize("proxy", ["flops", "naswot", "grad_norm"])
def test_parts_that_are_compiled_are_seen(proxy):
    network = convolutional()
    expected = scored(network, proxy)
    network.body = torch.compile(network.body, backend="eager")
    same_value(scored(network, proxy), expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("proxy", EVERY)
def test_images_are_cast_to_the_type_of_the_weights(proxy, dtype):
    network = seeded(convolutional)
    tolerance = 1e-4 if dtype == torch.float64 else 0.05
    same_value(scored(network.to(dtype), proxy), scored(seeded(convolutional), proxy), tolerance)
    assert network.fc.weight.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_networks_of_another_type_are_trained_in_float32(dtype):
    network = seeded(convolutional).to(dtype)
    found = scored(network, "naswot@0.1", dataset="cifar10")
    assert found.status == "ok"
    assert network.fc.weight.dtype == dtype
    if dtype == torch.float64:
        plain = scored(seeded(convolutional), "naswot@0.1", dataset="cifar10")
        assert found.score == pytest.approx(plain.score, rel=1e-6)


def of_types(body, head):
    """Return a network that converts between the types of its parts as it runs."""
    made = seeded(convolutional)
    parts = {"body": made.body.to(body), "fc": made.fc.to(head)}
    return Of(lambda self, x: self.fc(self.body(x.to(body)).to(head)), **parts)


@pytest.mark.parametrize("types", [(torch.bfloat16, torch.float32), (torch.float32, torch.float64)])
@pytest.mark.parametrize("proxy", [*EVERY, "naswot@0.1"])
def test_networks_of_several_types_run_in_them(proxy, types):
    network = of_types(*types)
    shown = {"dataset": "cifar10"} if "@" in proxy else {}
    tolerance = 0.05 if torch.bfloat16 in types else 1e-4
    expected = scored(seeded(convolutional), proxy, **shown)
    same_value(scored(network, proxy, **shown), expected, tolerance)
    assert (network.body[0].weight.dtype, network.fc.weight.dtype) == types


@pytest.mark.parametrize("proxy", EVERY)
def test_lazy_networks_are_scored_as_copies(proxy):
    network = lazy()
    found = scored(network, proxy)
    assert found.status == "ok"
    assert scored(network, proxy).score == found.score
    assert all(nn.parameter.is_lazy(one) for one in network.parameters())
    if proxy not in ("flops", "parameters", "linear_regions"):
        assert scored(network, proxy, seed=1).score != found.score


@pytest.mark.parametrize("proxy", EVERY)
def test_checkpoints_change_nothing(proxy):
    plain, saved = (seeded(lambda r=r: checkpointed(reentrant=r)) for r in (None, False))
    same_value(scored(saved, proxy), scored(plain, proxy))


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("proxy", EVERY)
def test_reentrant_checkpoints_change_nothing_or_are_refused(proxy):
    plain, saved = (seeded(lambda r=r: checkpointed(reentrant=r)) for r in (None, True))
    found = scored(saved, proxy)
    if proxy in ("flops", "parameters", "linear_regions"):
        same_value(found, scored(plain, proxy), 0)
    else:
        assert found.status == "not_applicable"
        assert found.reason.endswith("with use_reentrant=False")


@pytest.mark.parametrize("proxy", ["naswot", "naswot-signs"])
@pytest.mark.parametrize("function", [OwnRectifier, OwnMask])
def test_a_rectifier_of_ones_own_cannot_be_seen(function, proxy):
    found = scored(own_function(function), proxy)
    assert found.status == "not_applicable"
    assert f"a rectifier that cannot be seen, inside of {function.__name__}" in found.reason


def head(self, x):
    return self.fc(self.body(x))


@pytest.mark.parametrize(
    "proxy", ["naswot", "naswot-signs", "parameters-live", "snip", "grasp", "zico", *GRADIENTS]
)
@pytest.mark.parametrize("forward", [torch.no_grad()(head), lambda self, x: head(self, x).detach()])
def test_what_autograd_does_not_record_cannot_be_seen(forward, proxy):
    layers = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = scored(Of(forward, body=layers, fc=nn.Linear(2, 10)), proxy)
    assert found.status == "not_applicable"
    assert "torch.no_grad" in found.reason


def test_rectifiers_below_a_head_that_is_seen_cannot_be_seen():
    def forward(self, x):
        with torch.no_grad():
            features = self.body(x)
        return self.fc(features)

    network = convolutional()
    network.function = forward
    found = scored(network, "naswot")
    assert found.status == "not_applicable"
    assert "where the network applies its activation functions" in found.reason


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda x: x.detach().numpy(), "ndarray"),
        (lambda _: None, "NoneType"),
        (lambda _: "text", "str"),
    ],
)
@pytest.mark.parametrize("proxy", ["naswot", "naswot-signs", "parameters-live"])
def test_an_output_that_is_no_tensor_is_said(proxy, make, kind):
    network = Of(lambda self, x: make(torch.relu(self.layer(x))), layer=nn.Conv2d(3, 2, 3))
    found = scored(network, proxy)
    reason = f"the output is a {kind}: a tensor is needed"
    assert (found.status, found.reason) == ("not_applicable", reason)


def test_activations_inside_of_one_operation_cannot_be_seen():
    def forward(self, x):
        return self.fc(self.cells(x.mean(1))[0][:, -1])

    network = Of(forward, cells=nn.LSTM(32, 4, batch_first=True), fc=nn.Linear(4, 10))
    found = scored(network, "naswot-signs")
    assert found.status == "no_rectifiers"
    assert "no activation function that can be seen: those inside of LSTM" in found.reason


@pytest.mark.parametrize("proxy", [*EVERY, "ntk_mean"])
def test_inference_mode_changes_no_score(proxy):
    expected = scored(seeded(unnormalised), proxy, batch_size=32)
    with torch.inference_mode():
        network = seeded(unnormalised)
        inside = scored(seeded(unnormalised), proxy, batch_size=32)
    same_value(inside, expected, 0)
    same_value(scored(network, proxy, batch_size=32), expected, 0)
    assert all(one.requires_grad and one.is_inference() for one in network.parameters())


@dataclass(frozen=True)
class Snip(BaseProxy):
    """The sum of |W dL/dW| (Lee et al., ICLR 2019), as another package would add it."""

    name = "snip"
    direction = "higher"
    summary = "sensitivity of the loss to the weights"
    needs = frozenset({"gradients", "labels"})

    def __call__(self, network, minibatch, generator):
        chosen = [one for name, one in network.named_parameters() if name.endswith("weight")]
        loss = nn.functional.cross_entropy(network(minibatch.images), minibatch.labels)
        gradients = torch.autograd.grad(loss, chosen)
        return float(
            sum((w * g).detach().abs().sum() for w, g in zip(chosen, gradients, strict=True))
        )


WRAPPERS = {
    "weight_norm": parametrizations.weight_norm,
    "old weight_norm": nn.utils.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "old spectral_norm": nn.utils.spectral_norm,
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", 0.3),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
@pytest.mark.parametrize(
    "proxy", [*GRADIENTS, "ntk_mean-weights_train", "grad_norm-naswot", Snip()]
)
@pytest.mark.parametrize("name", WRAPPERS)
def test_the_same_function_has_the_same_score(name, proxy):
    network, twin = (seeded(lambda: unnormalised(WRAPPERS[name])).double() for _ in "ab")
    plain = unnormalised().double()
    with torch.no_grad():
        for one in ("a", "b"):
            layer = getattr(twin, one)
            for hook in layer._forward_pre_hooks.values():
                hook(layer, ())
            getattr(plain, one).weight.copy_(layer.weight)
            getattr(plain, one).bias.copy_(layer.bias)
    plain.c.load_state_dict(network.c.state_dict())
    expected = scored(plain, proxy)
    same_value(scored(network, proxy), expected, 1e-9)
    same_value(scored(network, proxy), expected, 1e-9)


def test_weights_are_trained_in_the_form_that_they_have():
    found = scored(unnormalised(nn.utils.parametrizations.weight_norm), "naswot@0.1",
                   dataset="cifar10")  # fmt: skip
    assert found.status == "ok"


@pytest.mark.parametrize("activation", [nn.GELU, nn.SiLU, nn.Hardswish, nn.Tanh])
def test_networks_without_rectifiers(activation):
    network, name = convolutional(activation), activation.__name__.lower()
    for proxy in ("naswot", "linear_regions"):
        assert scored(network, proxy).status == "no_rectifiers"
    assert scored(network, "naswot").reason.endswith(f"but 2 {name}: naswot-signs reads those")
    assert scored(network, "naswot-signs").status == "ok"


def test_mixed_activations_are_noted():
    body = nn.Sequential(
        *(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.GELU(), nn.Conv2d(6, 6, 3)),
        *(nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 10), nn.Sigmoid()),
    )
    found = scored(body, "naswot")
    assert found.status == "ok"
    assert found.reason == "2 gelu and 1 sigmoid ignored: naswot-signs reads them too"
    assert type(found.score) is float
    assert scored(body, "naswot-signs").reason == ""


def test_a_logarithm_that_does_not_exist_is_said():
    network = nn.Sequential(
        *(nn.Flatten(), nn.Linear(3072, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 10))
    )
    found = scored(network, "synflow-logsynflow")
    assert found.status == "non_finite"
    assert "gradients are -1 or below, where log(1 + gradient) does not exist" in found.reason
    assert scored(network, "synflow").status == "ok"


@pytest.mark.parametrize("proxy", ["synflow", "synflow-logsynflow", "jacobian_covariance", "lga"])
def test_layers_of_zeros_are_named(proxy):
    network = convolutional()
    nn.init.zeros_(network.fc.weight)
    found = scored(network, proxy)
    assert (found.status, found.reason.partition(": ")[2]) == (
        "disconnected", "all weights of fc are 0",
    )  # fmt: skip
    nn.init.zeros_(network.body[3].weight)
    assert scored(network, proxy).reason.endswith("all weights of body.3 and fc are 0")


@pytest.mark.parametrize("outputs", [lambda x: (x, None), lambda x: {"logits": x}, lambda x: [x]])
@pytest.mark.parametrize("proxy", [*EVERY, "naswot@0.1", "validation_loss@0.1"])
def test_the_only_tensor_of_an_output_has_the_logits(outputs, proxy):
    plain, nested = seeded(convolutional), seeded(convolutional)
    inner, nested.function = nested.function, lambda self, x: outputs(inner(self, x))
    settings = {"dataset": "cifar10"} if "@" in proxy else {}
    same_value(scored(nested, proxy, **settings), scored(plain, proxy, **settings), 0)


@pytest.mark.parametrize("proxy", GRADIENTS)
def test_outputs_of_several_tensors_have_no_gradient_scores(proxy):
    network = convolutional()
    inner, network.function = network.function, lambda self, x: (inner(self, x), x)
    found = scored(network, proxy)
    assert found.status == "not_applicable"
    assert found.reason.startswith("Of returned tuple")


@pytest.mark.parametrize("proxy", EVERY)
def test_modes_are_set_for_scoring_and_restored(proxy):
    network = convolutional()
    expected = scored(network, proxy)
    same_value(scored(network.eval(), proxy), expected, 0)
    assert not any(module.training for module in network.modules())


def dropping():
    layers = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(6, 6, 3),
                           nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())  # fmt: skip
    return Of(lambda self, x: self.fc(self.body(x)), body=layers, fc=nn.Linear(6, 10))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_GPU)])
@pytest.mark.parametrize("proxy", [*EVERY, "naswot@0.1"])
def test_what_dropout_draws_depends_on_the_seed_alone(proxy, device):
    network = dropping()
    settings = {"dataset": "cifar10"} if "@" in proxy else {}
    torch.manual_seed(1)  # of all devices
    first = scored(network, proxy, device=device, **settings)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    same_value(scored(network, proxy, device=device, **settings), first, 0)
    assert torch.equal(torch.get_rng_state(), state)


@NEEDS_GPU
def test_the_state_of_a_gpu_is_restored():
    torch.cuda.manual_seed(3)
    state = torch.cuda.get_rng_state()
    for proxy in EVERY:
        scored(dropping(), proxy, device="cuda")
    assert torch.equal(torch.cuda.get_rng_state(), state)


@pytest.mark.parametrize("proxy", EVERY)
@pytest.mark.parametrize(("channels", "side", "stride"), [(1, 16, 1), (3, 224, 16)])
def test_images_of_any_size_and_number_of_channels(proxy, channels, side, stride):
    network = convolutional(channels=channels)
    network.body[0].stride = (stride, stride)
    shown = Minibatch(torch.randn(4, channels, side, side), torch.arange(4), 10)
    assert score_module(network, get_proxy(proxy), shown, Execution(), 0).status == "ok"


def test_what_dropout_draws_does_not_depend_on_other_proxies():
    network = dropping()
    readings = [Reading(get_proxy(name)) for name in ("naswot", "naswot-signs", "lga", "grad_norm")]
    own = OwnNetwork("dropping", lambda _classes: network)
    with requested(own, readings, [0], {"batch_size": 6, "dataset": "noise"}) as request:
        together = next(score_work(request, [(0, 0, readings)]))
    for reading, found in zip(readings, together, strict=True):
        same_value(scored(network, str(reading)), found, 0)


@pytest.mark.parametrize("proxy", ["grad_norm", "lga", "synflow", "jacobian_covariance"])
def test_all_kinds_of_convolutions_have_weights(proxy):
    """In one and three dimensions, and transposed."""
    network = Of(
        lambda self, x: self.a(self.b(self.c(x)[:, None]).flatten(3).flatten(1, 2)).mean(2),
        a=nn.Conv1d(8, 10, 3),
        b=nn.Conv3d(1, 2, 3),
        c=nn.ConvTranspose2d(3, 6, 2, 2),
    )
    if proxy == "lga":
        assert scored(network, proxy).reason.startswith("Of runs no linear layer")
        proxy = "lga-weights_train"
    found = scored(network, proxy)
    assert found.status == "ok"
    assert math.isfinite(found.score)


def test_rectifiers_may_be_called_by_keyword():
    class NamedReLU(nn.Module):
        def forward(self, x):
            return torch.relu(x)

    def network(call):
        return Of(
            lambda self, x: self.fc(call(self.act, self.a(x)).mean((2, 3))),
            a=nn.Conv2d(3, 6, 3),
            act=NamedReLU(),
            fc=nn.Linear(6, 10),
        )

    plain, named = (
        scored(seeded(lambda call=call: network(call)), "naswot-released")
        for call in (lambda act, x: act(x), lambda act, x: act(x=x))
    )
    same_value(named, plain, 0)


def test_layers_that_are_derived_may_return_more():
    class Pair(nn.Linear):
        def forward(self, x):
            return super().forward(x), None

    network = Of(
        lambda self, x: self.fc(torch.relu(self.a(x)).mean((2, 3)))[0],
        a=nn.Conv2d(3, 6, 3),
        fc=Pair(6, 10),
    )
    assert scored(network, "grad_norm").status == "ok"


def test_a_classifier_that_needs_arguments_is_the_networks_failure():
    network = convolutional()
    network.get_classifier = lambda kind: kind
    (row,) = rank([network], "lga:4", images="noise", input=(3, 8, 8), seeds=1).to_dict("records")
    assert row["status"] == "failed"
    assert row["reason"].startswith("TypeError: ")
