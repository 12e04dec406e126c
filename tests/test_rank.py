"""`untrained.rank`: rows, ranks, and what is a row instead of an error."""

import math
from collections import namedtuple
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import untrained
from untrained import rank
from untrained.errors import MissingDataError, ParameterError, UnknownNameError
from untrained.proxies import naswot
from untrained.proxies.base import BaseProxy
from untrained.proxies.naswot import activation_kernel
from untrained.training.logits import logits_among

SMALL = (2, 8, 8)
IMAGES, LABELS = torch.randn(6, *SMALL), torch.tensor([0, 1, 2, 0, 1, 2])
Named = namedtuple("Named", ("logits", "auxiliary"))


class Net(nn.Module):
    """A tiny network; `outputs` wraps its logits."""

    made = 0

    def __init__(self, width=4, outputs=None):
        super().__init__()
        Net.made += 1
        self.stem, self.norm = nn.Conv2d(2, width, 3), nn.BatchNorm2d(width)
        self.head, self.outputs = nn.Linear(width, 3), outputs

    def forward(self, x):
        logits = self.head(torch.relu(self.norm(self.stem(x))).mean((2, 3)))
        return logits if self.outputs is None else self.outputs(logits)


class Fails(Net):
    def forward(self, x):
        raise LookupError("no such layer\nand a second line")


class Sometimes(Net):
    made = 0

    def __init__(self):
        super().__init__()
        Sometimes.made += 1
        if Sometimes.made % 2 == 0:
            nn.init.constant_(self.head.weight, math.nan)


def broken():
    raise ValueError("no weights here")


def exits():
    raise SystemExit(3)


def ranked(candidates, proxies="naswot", **settings):
    given = {"input": SMALL, "batch_size": 6, "seeds": 2, "device": "cpu"} | settings
    return rank(candidates, proxies, **given)


def only(candidate, proxies="naswot", **settings):
    (row,) = ranked([candidate], proxies, **settings).to_dict("records")
    return row


def test_every_pair_has_a_row_and_the_best_comes_first():
    widths = {"thin": partial(Net, 3), "wide": partial(Net, 9), "middle": partial(Net, 6)}
    proxies = ["parameters", "ntk_condition_number-all_eval", "naswot"]
    table = ranked(widths, [*proxies, "naswot"])
    columns = ["candidate", "proxy", "score", "std", "rank", "direction", "status", "reason"]
    assert list(table.columns) == [*columns, "seconds"]
    assert table["rank"].tolist() == [1, 2, 3] * 3
    assert list(table["proxy"].unique()) == proxies
    assert table["candidate"][:3].tolist() == ["wide", "middle", "thin"]
    for proxy, rows in table.groupby("proxy"):
        lower = proxy.startswith("ntk")
        assert set(rows["direction"]) == {"lower" if lower else "higher"}
        assert rows["score"].is_monotonic_increasing == lower
    assert (table["seconds"] > 0).all()
    assert table["status"].eq("ok").all()
    assert table.attrs["images"] == "6 images of noise, 2x8x8"


def test_score_and_spread_are_over_the_scores_of_the_seeds():
    network = Net()
    row = only(network, seeds=(4, 7))
    given = {"dataset": "noise", "batch_size": 6, "input": "2x8x8"}
    scores = [untrained.score(network, seed=seed, **given).score for seed in (4, 7)]
    assert (row["score"], row["std"]) == (np.mean(scores), np.std(scores, ddof=1))
    assert math.isnan(only(network, seeds=1)["std"])


def test_an_architecture_is_ranked_by_its_score(space):
    row = only(("nasbench201", 45), input=None, batch_size=4, seeds=(3,))
    assert row["candidate"] == "nasbench201/45"
    assert row["score"] == untrained.score("nasbench201", 45, batch_size=4, seed=3).score
    assert only((space, space[45]), input=None, batch_size=4, seeds=(3,))["score"] == row["score"]


def test_equal_scores_share_a_rank_and_undefined_ones_have_none():
    table = ranked({"a": Net, "b": partial(Net, 5), "c": Net, "d": broken}, "parameters")
    assert table["candidate"].tolist() == ["b", "a", "c", "d"]
    assert table["rank"].tolist() == [1, 2, 2, pd.NA]
    assert math.isnan(table["score"][3])


def test_a_function_makes_fresh_weights_for_each_seed():
    assert only(Net, images=IMAGES)["std"] > 0


def test_a_module_is_scored_with_its_weights_and_left_as_it_was():
    network = Net().eval()
    network.stem.train()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    generator = torch.get_rng_state()
    table = ranked([network], ["naswot", "grad_norm", "synflow", "lga"], images=(IMAGES, LABELS))
    assert table["status"].eq("ok").all()
    assert table["std"].to_numpy() == pytest.approx(np.zeros(4), abs=1e-6)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in state.items())
    assert torch.equal(torch.get_rng_state(), generator)
    assert [network.training, network.stem.training, network.norm.training] == [False, True, False]
    assert not any(module._forward_hooks for module in network.modules())
    assert all(one.grad is None and one.requires_grad for one in network.parameters())
    kernel = activation_kernel(network.train(), IMAGES)
    assert table["score"][0] == pytest.approx(np.linalg.slogdet(kernel)[1], rel=1e-12)


@pytest.mark.parametrize(
    ("candidate", "status", "reason"),
    [
        (broken, "failed", "ValueError: no weights here"),
        (Fails, "failed", "LookupError: no such layer"),
        (exits, "failed", "SystemExit: it calls exit(3)"),
        (Fails(), "failed", "LookupError: no such layer"),
        (lambda: "text", "failed", "<lambda> returned a str: it must return a torch.nn.Module"),
        (nn.Conv2d(5, 2, 3), "failed", "RuntimeError: Given groups=1, weight of size [2, 5, 3, 3]"),
        (partial(Net, outputs=lambda x: (x, x)), "not_applicable", "Net returned tuple: one"),
        (partial(Net, outputs=lambda x: x[:, :2]), "not_applicable", "Net has 2 classes and"),
        (Sometimes, "non_finite", "seed 1: loss nan with a sum over gradients of nan"),
    ],
)
def test_what_fails_is_a_row_and_others_are_scored(candidate, status, reason):
    Sometimes.made = 0
    table = ranked([candidate, Net()], "grad_norm", images=(IMAGES, LABELS)).set_index("status")
    assert table.loc[status, "reason"].startswith(reason)
    assert "\n" not in table.loc[status, "reason"]
    assert table.loc["ok", "candidate"].startswith("Net")


def test_a_module_is_left_as_it_was_after_a_failure():
    network = Fails().eval()
    assert only(network)["status"] == "failed"
    assert not network.training
    assert not network._forward_hooks


def test_the_error_of_a_failure_can_be_seen():
    with pytest.raises(LookupError, match="second line"):
        only(Fails, debug=True)


@pytest.mark.parametrize("proxies", ["naswot", ["parameters", "naswot"]])
def test_a_bug_of_this_package_is_no_failure_of_a_candidate(proxies, monkeypatch):
    monkeypatch.setattr(naswot, "log_determinant", None)
    with pytest.raises(TypeError, match="'NoneType' object is not callable"):
        ranked([Net], proxies)


@dataclass(frozen=True)
class Odd(BaseProxy):
    """A proxy of another package that fails in the way of its variant."""

    name: ClassVar[str] = "odd"
    direction: ClassVar[str] = "higher"
    summary: ClassVar[str] = "nothing"
    variants: ClassVar[tuple[str, ...]] = ("index", "text", "refuse")

    def __call__(self, network, minibatch, generator):
        if self.variant == "refuse":
            raise ParameterError("not of this kind: take another")
        return [][1] if self.variant == "index" else "text"


@pytest.mark.parametrize(
    ("variant", "status", "reason"),
    [
        ("index", "failed", f"the proxy {__name__}:Odd failed: IndexError: list index out"),
        ("text", "failed", f"the proxy {__name__}:Odd failed: TypeError: it returned 'text'"),
        ("refuse", "not_applicable", "not of this kind: take another"),
    ],
)
def test_a_proxy_of_another_package_that_fails_loses_its_own_row(variant, status, reason):
    table = ranked([Net], [Odd(variant), "parameters"])
    assert table["status"].tolist() == [status, "ok"]
    assert table["reason"][0].startswith(reason)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"candidates": []}, ParameterError, "no candidates are given"),
        ({"candidates": Net}, ParameterError, "candidates are a type: give a list"),
        ({"candidates": "my:Net"}, ParameterError, "candidates are a str: give a list"),
        ({"candidates": nn.Sequential()}, ParameterError, "candidates are a Sequential: give a"),
        ({"candidates": [3]}, ParameterError, "3 is a int and no candidate: give a module"),
        ({"proxies": []}, ParameterError, "no proxies are given"),
        ({"proxies": "nasw0t"}, UnknownNameError, "did you mean 'naswot'"),
        ({"proxies": "validation_loss"}, ParameterError, "write validation_loss@1"),
        ({"proxies": "lga@1"}, ParameterError, "'noise' is drawn for each minibatch and has no"),
        (
            {"proxies": "lga@1", "input": "3x8x8"},
            ParameterError,
            "input 3x8x8: training shows images as they are, 3x32x32",
        ),
        ({"proxies": "lga@1", "images": (IMAGES, LABELS)}, ParameterError, "images='cifar10'"),
        ({"proxies": "naswot:7", "images": IMAGES}, ParameterError, "7 images are asked for: 6"),
        ({"input": "3x32"}, ParameterError, "input '3x32': channels x height x width"),
        ({"input": (3, 0, 8)}, ParameterError, "input '3x0x8': channels x height x width"),
        ({"input": (3, 8)}, ParameterError, "input '3x8': channels x height x width"),
        ({"images": "cifar10"}, ParameterError, "2 channels and the images of cifar10 have 3"),
        ({"images": "cifar9"}, UnknownNameError, "did you mean 'cifar10'"),
        ({"seeds": 0}, ParameterError, "seeds 0: 1 or more"),
        ({"seeds": (1, -1)}, ParameterError, "seed -1 is negative"),
        ({"device": "cuda:99"}, ParameterError, "device 'cuda:99' is not here"),
        ({"precision": "float8"}, UnknownNameError, "unknown precision 'float8'"),
        ({"batch_size": 1}, ParameterError, "minibatch size 1 is too small"),
        ({"sampling": "even"}, UnknownNameError, "unknown sampling 'even'"),
        (
            {"images": "cifar10", "input": None, "split": "train"},
            MissingDataError,
            "untrained fetch cifar10",
        ),
    ],
)
def test_a_wrong_request_is_one_line_before_any_network_is_made(
    settings, error, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Net.made = 0
    with pytest.raises(error, match=message) as caught:
        ranked(**{"candidates": [Net]} | settings)
    assert "\n" not in str(caught.value)
    assert Net.made == 0


def test_an_unknown_setting_is_not_ignored():
    with pytest.raises(TypeError, match="unexpected keyword argument 'batchsize'"):
        ranked([Net], batchsize=8)


@pytest.mark.filterwarnings("error")
def test_who_reads_test_labels_is_warned():
    with pytest.raises(UserWarning, match="lga reads the labels of test images"):
        ranked([Net], "lga-released@1")


def test_a_proxy_after_training(monkeypatch):
    from tests.cli.conftest import train_on_few

    train_on_few(monkeypatch)

    class Colour(Net):
        def __init__(self):
            super().__init__()
            self.stem, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 10)

    network = Colour()
    before = network.head.weight.clone()
    given = {"input": None, "batch_size": 8, "seeds": 1}
    table = ranked([network], ["validation_loss@1", "naswot", "naswot@1"], **given)
    assert table["status"].eq("ok").all()
    assert table["score"][1] != table["score"][2]
    assert torch.equal(network.head.weight, before)


@pytest.mark.parametrize(
    "outputs",
    [
        lambda logits: (logits, None),
        lambda logits: [logits],
        lambda logits: {"head": logits},
        lambda logits: {"features": logits * 2, "logits": logits},
        lambda logits: Named(logits, logits * 2),
    ],
)
def test_the_logits_in_a_container_are_found(outputs):
    torch.manual_seed(0)
    inside = Net(outputs=outputs)
    plain = Net()
    plain.load_state_dict(inside.state_dict())
    proxies = ["grad_norm", "lga", "naswot", "synflow"]
    found, expected = (
        ranked([one], proxies, images=(IMAGES, LABELS))["score"].tolist() for one in (inside, plain)
    )
    assert found == expected


def test_outputs_without_logits_are_left_as_they_are():
    two = (torch.ones(1), torch.ones(1))
    assert logits_among(two) is two
    assert logits_among("text") == "text"
    assert logits_among({"logits": two}) == {"logits": two}


def test_a_function_picks_the_output():
    network = Net(outputs=lambda logits: (logits * 0, logits))
    plain = Net()
    plain.load_state_dict(network.state_dict())
    given = {"images": (IMAGES, LABELS), "proxies": "grad_norm"}
    picked = only(network, output=lambda outputs: outputs[1], **given)
    assert picked["score"] == only(plain, **given)["score"]
    nothing = only(network, output=lambda _: None, **given)
    assert (nothing["status"], nothing["reason"][:38]) == (
        "failed",
        "the function that picks the output ret",
    )
    wrong = only(network, output=lambda outputs: outputs["logits"], **given)
    assert wrong["reason"] == "TypeError: tuple indices must be integers or slices, not str"


def test_a_function_runs_the_network():
    class Scaled(Net):
        def forward(self, x, scale):
            return super().forward(x * scale)

    network = Scaled()
    plain = Net()
    plain.load_state_dict(network.state_dict())
    given = {
        "images": (IMAGES, LABELS),
        "proxies": ["naswot", "grad_norm", "lga", "flops"],
    }
    found = ranked([network], forward=lambda one, images: one(images, 1.0), **given)
    assert found["score"].tolist() == ranked([plain], **given)["score"].tolist()
    assert found["candidate"].tolist() == ["Scaled"] * 4
    assert "Scaled.forward() missing 1 required positional argument" in only(network)["reason"]
    refused = only(network, "grad_norm", forward=lambda *_: "text", images=(IMAGES, LABELS))
    assert refused["reason"].startswith("Scaled returned str")


def test_a_loss_of_ones_own():
    network = Net(outputs=lambda logits: (logits, logits * 2))
    targets = torch.randn(6, 3)
    given = {"images": (IMAGES, targets), "proxies": ["grad_norm", "lga"]}

    def loss(outputs, wanted):
        return ((outputs[0] + outputs[1] - wanted) ** 2).mean()

    found = ranked([network], loss=loss, seeds=1, **given)
    network.train()
    weights = [network.stem.weight, network.head.weight]
    gradients = torch.autograd.grad(loss(network(IMAGES), targets), weights)
    expected = sum(float(one.double().norm()) for one in gradients)
    assert found["score"][0] == pytest.approx(expected, rel=1e-5)
    why = "it needs labels that are numbers of classes"
    assert (found["status"][1], found["reason"][1][: len(why)]) == ("not_applicable", why)
    without = ranked([network], **given)
    assert without["status"].tolist() == ["not_applicable"] * 2
    vector = only(network, "grad_norm", loss=lambda outputs, _: outputs[0], images=given["images"])
    assert vector["reason"] == "the loss returned (6, 3): return a tensor of one number"


def test_a_proxy_of_labels_needs_labels():
    table = ranked([Net], ["lga", "naswot", "grad_norm"], images=IMAGES)
    why = "it needs labels, and the images have none: give (images, labels)"
    assert table["status"].tolist() == ["not_applicable", "ok", "not_applicable"]
    assert table["reason"].tolist() == [why, "", why]


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("settings", [{}, {"forward": lambda network, images: network(images)}])
def test_networks_that_are_scripted_have_a_reason(settings):
    table = ranked([torch.jit.script(Net()), Net()], **settings)
    assert table["status"].tolist() == ["ok", "not_applicable"]
    assert "scripted or traced module" in table["reason"][1]


def test_a_network_in_a_wrapper_of_several_devices_is_ranked():
    network = Net(outputs=lambda logits: (logits * 0, logits))
    given = {"proxies": "grad_norm", "images": (IMAGES, LABELS), "output": lambda pair: pair[1]}
    found = ranked([nn.DataParallel(network), network], **given)
    assert found["score"][0] == found["score"][1] > 0
    assert not network._forward_hooks


def test_a_remark_of_a_score_is_in_its_row():
    class Both(Net):
        def forward(self, x):
            return super().forward(nn.functional.gelu(x))

    row = only(Both)
    assert row["status"] == "ok"
    assert "gelu" in row["reason"]


def test_an_ensemble_ranks_the_candidates_under_each_seed():
    """Beside its members; a candidate for which one is undefined has a reason and no rank."""
    candidates = [f"nasbench201/{index}" for index in (0, 6111, 1462, 13714)]
    named = "log(flops,naswot)"
    table = untrained.rank(candidates, [named, "parameters"], seeds=2, batch_size=8)
    assert list(table["proxy"].unique()) == ["flops", "naswot", "parameters", named]
    found = table[table["proxy"] == named].set_index("candidate")
    one = [untrained.rank(candidates, "naswot", seeds=[seed], batch_size=8) for seed in (0, 1)]
    flops = table[table["proxy"] == "flops"].set_index("candidate")["score"]
    scores = []
    for own in one:
        naswot = own.set_index("candidate")["score"].reindex(flops.index)
        defined = naswot.notna()
        ranks = [each[defined].rank() / defined.sum() for each in (flops, naswot)]
        scores.append(sum(np.log(each) for each in ranks).reindex(flops.index))
    mean = (scores[0] + scores[1]) / 2
    assert found["score"].reindex(mean.index).tolist() == pytest.approx(mean.tolist(), nan_ok=True)
    undefined = found[found["score"].isna()]
    assert undefined["reason"].str.startswith("naswot: ").all()
    assert found["direction"].unique().tolist() == ["higher"]
    assert found.loc[found["score"].idxmax(), "rank"] == 1
