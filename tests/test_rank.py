"""`untrained.rank`: rows, ranks, and what is a row instead of an error."""

import math
import random
import re
import threading
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

import untrained
from untrained import Score, api, measure, rank, score
from untrained.errors import (
    DamagedFileError,
    MissingDataError,
    ParameterError,
    UnknownNameError,
)
from untrained.proxies import naswot
from untrained.proxies.base import BaseProxy
from untrained.proxies.grad_norm import GradNorm
from untrained.proxies.naswot import activation_kernel
from untrained.scoring.candidates import candidates_of
from untrained.scoring.images import MinibatchSettings
from untrained.scoring.request import parse_reading, state_of
from untrained.spaces.nasbench201 import NasBench201
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


def test_a_factory_may_return_a_network_that_exists():
    network = Net(outputs=lambda logits: {"features": logits, "head": logits}).eval()
    table = ranked(
        {"mine": lambda: network, "again": lambda: network, "self": network},
        ["naswot", "grad_norm"],
        images=(IMAGES, LABELS),
        output=lambda outputs: outputs["head"],
        seeds=3,
    )
    assert table["status"].eq("ok").all()
    assert table.groupby("proxy")["score"].nunique().eq(1).all()
    assert network(IMAGES).keys() == {"features", "head"}
    assert not network.training
    assert not network._forward_hooks
    assert network.norm.num_batches_tracked == 0


@pytest.mark.parametrize("method", ["train", "eval", "to"])
def test_methods_of_modules_may_forget_to_return_the_module(method):
    class Forgets(Net):
        pass

    def forgets(self, *given):
        getattr(nn.Module, method)(self, *given)

    setattr(Forgets, method, forgets)
    proxies = ["naswot", "grad_norm", "synflow", "flops"]
    networks = {}
    for made in (Net, Forgets):
        torch.manual_seed(0)
        networks[made.__name__] = made()
    table = ranked(networks, proxies, images=(IMAGES, LABELS))
    assert table["status"].eq("ok").all(), table
    assert table.groupby("proxy")["score"].nunique().eq(1).all()


def test_all_that_a_forward_pass_leaves_behind_is_taken_away():
    class Leaves(Net):
        def __init__(self):
            super().__init__()
            self.register_buffer("memory", None)
            self.maps, self.lock, self.count = [], threading.Lock(), 0

        def forward(self, x):
            with torch.no_grad():
                self.stem.weight.clamp_(-0.1, 0.1)
            found = super().forward(x)
            self.memory = found.detach()
            self.register_buffer("more", torch.zeros(2))
            self.extra = nn.Parameter(torch.zeros(2))
            self.maps.append(found)
            self.count += 1
            self.norm.eval()
            torch.set_num_threads(threads + 1)
            random.random()
            np.random.rand()  # noqa: NPY002 - as code of others draws
            return found

    network, threads = Leaves(), torch.get_num_threads()
    before = {name: one.tolist() for name, one in network.state_dict().items()}
    states = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    proxies = ["naswot", "grad_norm", "synflow", "jacobian_covariance", "flops"]
    table = ranked([network], proxies, images=(IMAGES, LABELS))
    assert table["status"].eq("ok").all()
    assert {name: one.tolist() for name, one in network.state_dict().items()} == before
    assert (network.memory, network.maps, network.count) == (None, [], 0)
    assert network.norm.training
    assert not hasattr(network, "extra")
    assert torch.get_num_threads() == threads
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states  # noqa: NPY002


@pytest.mark.parametrize("part", [False, True])
def test_weights_are_copied_only_where_they_existed_before(part, monkeypatch):
    cloned, clone = [], torch.Tensor.clone

    def counted(one, **settings):
        cloned.append(one.numel())
        return clone(one, **settings)

    class Shrunk(nn.Sequential):
        def forward(self, x):
            self[0].weight.data.mul_(0.9)
            return super().forward(x)

    def made():
        return Shrunk(old if part else nn.Linear(2 * 8 * 8, 50), nn.ReLU(), nn.Linear(50, 3))

    old = nn.Linear(2 * 8 * 8, 50)
    before = old.weight.tolist()
    monkeypatch.setattr(torch.Tensor, "clone", counted)
    table = ranked([lambda: nn.Sequential(nn.Flatten(), made())], "naswot", seeds=3)
    assert table["status"].eq("ok").all()
    assert cloned.count(old.weight.numel()) == (3 if part else 0)
    assert cloned.count(150) == 0
    assert old.weight.tolist() == before


class Counts(Net):
    def forward(self, x):
        self.count = getattr(self, "count", 0) + 1
        return super().forward(x) * self.count


class Freezes(Net):
    def forward(self, x):
        found = super().forward(x)
        self.norm.eval()
        return found


class Centred(Net):
    """Takes the mean off its images, in a copy or in place."""

    def __init__(self, in_place=False):
        super().__init__()
        self.in_place = in_place

    def forward(self, x):
        return super().forward(x.sub_(0.5) if self.in_place else x - 0.5)


EVERY = [
    *("naswot", "naswot-released", "naswot-signs", "linear_regions", "snip", "grasp", "fisher"),
    *(
        "synflow",
        "jacobian_covariance",
        "epe_nas",
        "zen",
        "zico",
        "swap:4",
        "meco",
        "meco-released",
    ),
    *("az_expressivity", "az_trainability", "lga:4", "ntk_trace-weights_train:4"),
    *(
        "ntk_trace-weights_without_classifier_train:4",
        "ntk_trace-weights_without_classifier_eval:4",
    ),
]


def test_a_network_may_overwrite_its_images():
    found = []
    for in_place, proxies in ((False, EVERY), (True, EVERY), (True, EVERY[::-1])):
        torch.manual_seed(0)
        table = ranked([Centred(in_place)], proxies, images=(IMAGES, LABELS))
        found.append(table.set_index("proxy")[["status", "score"]].sort_index())
    assert (found[0]["status"] == "ok").sum() > 15
    pd.testing.assert_frame_equal(found[0], found[1])
    pd.testing.assert_frame_equal(found[0], found[2])


class Shrinks(Net):
    def forward(self, x):
        self.stem.weight.data.mul_(0.9)
        return super().forward(x)


@pytest.mark.parametrize("kind", [Counts, Freezes, Shrinks])
@pytest.mark.parametrize("given", [True, False])
def test_a_score_does_not_depend_on_the_proxies_before_it(kind, given):
    def made():
        torch.manual_seed(0)
        return kind()

    candidate = made() if given else made
    expected = only(candidate, "grad_norm", images=(IMAGES, LABELS))["score"]
    for before in (["naswot"], ["synflow", "snip", "flops"], ["linear_regions"]):
        table = ranked([candidate], [*before, "grad_norm"], images=(IMAGES, LABELS))
        assert table["status"].eq("ok").all()
        assert table.set_index("proxy")["score"]["grad_norm"] == expected


def test_what_a_factory_sets_and_draws_stays_with_it():
    def made():
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        network = Net().float()
        drawn = np.random.rand() + random.random()  # noqa: NPY002 - as code of others draws
        network.head.bias.fill_(drawn)
        biases.append(drawn)
        random.seed(0)
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        return network

    biases = []
    for _ in range(2):
        table = ranked([made, Net], ["grad_norm", "synflow"], images=(IMAGES, LABELS), seeds=2)
        assert table["status"].eq("ok").all()
        assert torch.is_grad_enabled()
        assert torch.get_default_dtype() == torch.float32
    assert biases[:2] == biases[2:]
    assert biases[0] != biases[1]


def glu(logits):
    return nn.functional.glu(logits, 5)


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
@pytest.mark.parametrize(
    ("outputs", "reason"),
    [
        (lambda logits: logits.mean(7), "IndexError: Dimension out of range"),
        (lambda logits: logits[:, 50], "IndexError: index 50 is out of bounds"),
        (lambda logits: logits["x"], "TypeError: "),
        (glu, "IndexError: Dimension out of range"),
        (lambda logits: nn.functional.relu((logits, logits)), "TypeError: relu(): argument"),
    ],
)
def test_an_error_of_an_operation_is_the_networks(outputs, reason):
    proxies = ["naswot", "naswot-signs", "naswot-released", "synflow", "linear_regions", "zen"]
    proxies += ["grad_norm", "ntk_mean", "lga"]
    given = {"images": (torch.randn(32, *SMALL), torch.arange(32) % 3), "batch_size": 32}
    for asked in ({"candidates": [Net(outputs=outputs)]}, {"candidates": [Net], "output": outputs}):
        table = ranked(proxies=proxies, seeds=1, **given, **asked)
        assert table["status"].eq("failed").all()
        assert table["reason"].str.startswith(reason).all()


@pytest.mark.parametrize(
    "wrong", [lambda maps: torch.cat([maps, maps], 9), lambda maps: maps[:, 50], nn.Flatten(7)]
)
def test_an_error_of_an_operation_on_maps_is_the_networks(wrong):
    class Wrong(Net):
        def forward(self, x):
            return wrong(torch.relu(self.stem(x)))

    given = {"images": torch.randn(32, *SMALL), "batch_size": 32}
    table = ranked([Wrong], ["ntk_mean", "naswot", "linear_regions"], seeds=1, **given)
    assert table["reason"].str.startswith("IndexError: ").all()


def test_images_of_inference_mode_are_shown():
    with torch.inference_mode():
        images = torch.randn(6, *SMALL)
    proxies = ["naswot", "grad_norm", "synflow", "jacobian_covariance", "fisher"]
    table = ranked([Net], proxies, images=(images, LABELS))
    assert table["status"].eq("ok").all()


def needs(width):
    return Net(width)


def base():
    raise BaseException("base")  # noqa: TRY002 - as some code does


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"candidates": [needs]}, "TypeError: needs() missing 1 required positional argument"),
        ({"candidates": [partial(Net, depth=1)]}, "TypeError: Net.__init__() got an unexpected"),
        ({"candidates": [base]}, "BaseException: base"),
        ({"loss": lambda _: 0}, "TypeError: "),
        ({"forward": lambda _: 0}, "TypeError: "),
        ({"output": lambda: 0}, "TypeError: "),
    ],
)
def test_what_is_called_in_a_wrong_way_has_failed(asked, reason):
    table = ranked(**{"candidates": [Net], "images": (IMAGES, LABELS)} | asked, proxies="grad_norm")
    assert table["status"].tolist() == ["failed"]
    assert table["reason"][0].startswith(reason)


class Asks(Net):
    def forward(self, x):
        rank([], "naswot")
        return super().forward(x)


def asks_when_made():
    return Net(width=len(rank([], "naswot")))


@pytest.mark.parametrize(
    ("candidate", "settings"),
    [
        (Asks, {}),
        (asks_when_made, {}),
        (lambda: nn.Sequential(Asks()), {}),
        (Net, {"output": lambda _: rank([], "naswot")}),
        (Net, {"forward": lambda *_: rank([], "naswot")}),
    ],
)
def test_a_wrong_request_of_a_networks_own_is_its_failure(candidate, settings):
    row = only(candidate, **settings)
    assert row["status"] == "failed"
    assert "ParameterError: " in row["reason"]


def test_threads_wait_for_each_other():
    class Slow(Net):
        def forward(self, x):
            time.sleep(0.002)
            return functional.dropout(super().forward(x), 0.5)

    def scores():
        (row,) = ranked([Slow], "grad_norm", images=(IMAGES, LABELS)).to_dict("records")
        (given,) = ranked([network], "grad_norm", images=(IMAGES, LABELS)).to_dict("records")
        return row["score"], given["score"]

    network, state = Slow(), torch.get_rng_state()
    before = {name: one.tolist() for name, one in network.state_dict().items()}
    expected = scores()
    with ThreadPoolExecutor(4) as threads:
        found = [one.result() for one in [threads.submit(scores) for _ in range(12)]]
    assert set(found) == {expected}
    assert torch.equal(torch.get_rng_state(), state)
    assert {name: one.tolist() for name, one in network.state_dict().items()} == before
    assert not network._forward_hooks


def test_a_proxy_that_inherits_is_read_by_its_own_methods():
    """A subclass with another `__call__` or `measure` is no longer what its parent is."""

    @dataclass(frozen=True)
    class Twice(GradNorm):
        name: ClassVar[str] = "twice"

        def __call__(self, network, minibatch, generator):
            return 2 * super().__call__(network, minibatch, generator)

    @dataclass(frozen=True)
    class Tenfold(GradNorm):
        name: ClassVar[str] = "tenfold"

        def measure(self, network, minibatch, generator):
            found = super().measure(network, minibatch, generator)
            weights = {k: replace(one, norm=10 * one.norm) for k, one in found.weights.items()}
            return replace(found, weights=weights)

    @dataclass(frozen=True)
    class Mine(naswot.Naswot):
        name: ClassVar[str] = "mine"

        def __call__(self, network, minibatch, generator):
            return -7.0

    labelled = {"images": (IMAGES, LABELS), "seeds": 1}
    torch.manual_seed(0)
    net = Net()
    for proxies in (["grad_norm", Twice()], [Twice(), "grad_norm"]):
        found = ranked([net], proxies, **labelled).set_index("proxy")["score"]
        assert found.max() == pytest.approx(2 * found["grad_norm"])
    alone = only(net, Tenfold(), **labelled)
    for proxies in (["grad_norm", Tenfold()], [Tenfold(), "grad_norm"]):
        found = ranked([net], proxies, **labelled).set_index("proxy")["score"]
        assert found["grad_norm"] == only(net, "grad_norm", **labelled)["score"]
        assert found.drop("grad_norm").iloc[0] == pytest.approx(alone["score"])
        assert alone["score"] == pytest.approx(10 * found["grad_norm"])
    assert score("nasbench201", 1462, proxy=Mine(), batch_size=4).score == -7.0


def test_two_proxies_of_one_name_are_refused():
    @dataclass(frozen=True)
    class Scaled(Odd):
        factor: float = 1.0

        def __call__(self, network, minibatch, generator):
            return self.factor

    assert len(ranked([Net], [Scaled(factor=2.0), Scaled(factor=2.0)])) == 1
    with pytest.raises(ParameterError, match=r"two proxies are called .*Scaled: give their cl"):
        ranked([Net], [Scaled(), Scaled(factor=2.0)])

    class Mine(naswot.Naswot):
        pass

    for proxies in (["naswot", Mine()], [Mine(), "log(naswot,parameters)"]):
        with pytest.raises(ParameterError, match="two proxies are called naswot: give their"):
            ranked([Net], proxies)


def test_a_constraint_reads_its_proxies_as_a_ranking_does():
    with pytest.raises(ParameterError, match="grad_norm can't be read: it needs labels, and the"):
        ranked([Net], "parameters", images=IMAGES, where="grad_norm > 0")
    with pytest.raises(ParameterError, match="validation_loss@1 is read after training on a data"):
        ranked([Net], "parameters", images=(IMAGES, LABELS), where="validation_loss@1 <= 3")
    with pytest.raises(ParameterError, match="needs 64 images, and there are 6"):
        ranked([Net], "parameters", images=(IMAGES, LABELS), where="naswot:64 > 0")


def test_a_constraint_on_a_score_is_one_on_the_mean_of_the_seeds():
    asked = {"images": (IMAGES, LABELS), "proxies": "grad_norm"}
    one, other = (ranked([Net], seeds=[seed], **asked)["score"].iloc[0] for seed in (0, 1))
    between = (one + other) / 2
    low, high = sorted(f"grad_norm >= {between * (1 - share)}" for share in (1e-6, -1e-6))
    for seeds in ([0, 1], [1, 0]):
        kept = []
        for where in (low, high):
            with suppress(ParameterError):
                kept.append(len(ranked([Net], seeds=seeds, where=where, **asked)))
        assert kept == [1]


def test_a_space_with_networks_of_its_own_is_not_scored_off_its_graphs():
    class Mine(NasBench201):
        name = "mine_with_other_weights"

        def network(self, architecture, num_classes, skeleton=None):
            network = super().network(architecture, num_classes, skeleton)
            nn.init.orthogonal_(network.connections[0][0].weight)
            return network

    space = Mine()
    alone = score(space, 1462, batch_size=4)
    plain = score(space, 1462, batch_size=4, engine="plain")
    other = score("nasbench201", 1462, batch_size=4)
    assert alone.score == pytest.approx(plain.score, rel=1e-6)
    assert alone.score != pytest.approx(other.score, rel=1e-5)


def test_arrays_tell_spaces_apart():
    first, second = NasBench201(), NasBench201()
    first.order, second.order = np.arange(5000), np.arange(5000)
    assert state_of(first) == state_of(second)
    second.order[2500] = 0
    assert state_of(first) != state_of(second)


def test_a_network_that_was_measured_on_images_of_several_shapes(tmp_path):
    out = tmp_path / "mine.parquet"
    for shape in ("3x8x8", "3x9x9"):
        measure({"thin": convolution(2)}, shape, seconds=0.01, name="mine", out=out)
    asked = {"proxies": "parameters", "seeds": 1, "devices": out, "input": (3, 8, 8)}
    with pytest.raises(ParameterError, match=r"on images of 3x8x8, 3x9x9: write which, as in lat"):
        rank({"thin": convolution(2)}, where="latency[mine] > 0", **asked)
    found = rank({"thin": convolution(2)}, where="latency[mine/3x9x9] > 0", **asked)
    assert len(found) == 1


def test_a_score_does_not_depend_on_the_callers_autocast():
    names = ["naswot", "grad_norm", "ntk_trace:4"]
    expected = rank([("nasbench201", 1462)], names, batch_size=4, seeds=1)["score"]
    with torch.autocast("cpu", torch.bfloat16):
        found = rank([("nasbench201", 1462)], names, batch_size=4, seeds=1)["score"]
        assert torch.is_autocast_enabled("cpu")
    assert found.tolist() == expected.tolist()


def test_a_score_does_not_depend_on_the_callers_default_type():
    expected = rank([("nasbench201", 1462)], ["naswot", "l2_norm"], batch_size=4, seeds=1)["score"]
    torch.set_default_dtype(torch.float64)
    try:
        found = rank([("nasbench201", 1462)], ["naswot", "l2_norm"], batch_size=4, seeds=1)["score"]
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.tolist() == expected.tolist()


def test_a_loader_has_as_many_classes_as_all_seeds_show():
    images, labels = torch.randn(40, 3, 32, 32), torch.arange(40) % 10
    asked = {"batch_size": 4, "device": "cpu"}
    found = []
    for seeds in ([0, 3], [3, 0]):
        dataset = torch.utils.data.TensorDataset(images, labels)
        loader = torch.utils.data.DataLoader(dataset, batch_size=4, shuffle=True)
        table = rank([("nasbench201", 0)], "parameters", images=loader, seeds=seeds, **asked)
        found.append(table["score"][0])
    assert found[0] == found[1]


def test_a_parameter_that_a_factory_shares_is_not_trained():
    def fresh():
        return nn.Sequential(nn.Conv2d(3, 2, 3, stride=4), nn.Flatten(), nn.Linear(128, 10))

    shared = fresh()

    def made():
        net = fresh()
        net[0].weight = shared[0].weight
        return net

    before = shared[0].weight.detach().clone()
    asked = {"batch_size": 16, "seeds": 1, "device": "cpu"}
    first, second = (rank([made], "validation_loss@0.1", **asked)["score"][0] for _ in "ab")
    assert torch.equal(shared[0].weight, before)
    assert first == second


def test_two_candidates_of_one_name_are_refused():
    with pytest.raises(ParameterError, match="two candidates are called '1': name each once"):
        ranked({1: Net, "1": Net})


def test_folders_without_a_picture_are_no_classes(tmp_path):
    for name in ("cat", "dog", ".notebook"):
        (tmp_path / name).mkdir()
    for name, shade in (("cat", 50), ("dog", 200)):
        for number in range(3):
            Image.new("RGB", (9, 9), (shade, 9 * number, 0)).save(tmp_path / name / f"{number}.png")
    row = only(lambda: Flat(2), "grad_norm", images=tmp_path, input=(3, 8, 8), seeds=1)
    assert row["status"] == "ok"


class Flat(nn.Sequential):
    def __init__(self, classes):
        super().__init__(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(72, classes))


def test_labels_may_be_of_any_type_of_whole_numbers():
    expected = only(Net(), "parameters", images=(IMAGES, LABELS))["score"]
    for kind in (np.uint16, np.uint8, np.int16, np.uint64):
        row = only(Net(), "parameters", images=(IMAGES, LABELS.numpy().astype(kind)))
        assert row["score"] == expected


def test_a_layer_may_have_no_weight_of_its_own():
    class Bank(nn.Linear):
        def __init__(self):
            super().__init__(4, 3)
            del self.weight
            self.register_parameter("weight", None)
            self.bank = nn.Parameter(torch.ones(2, 3, 4))

        def forward(self, x):
            return nn.functional.linear(x, self.bank.sum(0), self.bias)

    net = Net()
    net.head = Bank()
    table = ranked([net, Net()], "l2_norm")
    assert (table["status"] == "ok").all()


def test_an_interruption_is_no_failure():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ranked([interrupted])


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
        ({"candidates": Net}, ParameterError, "candidates of type type: give a list"),
        ({"candidates": "my:Net"}, ParameterError, "candidates of type str: give a list"),
        ({"candidates": nn.Sequential()}, ParameterError, "candidates of type Sequential: give a"),
        ({"candidates": [3]}, ParameterError, "3 is no candidate: give a module"),
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
        ({"input": "3x32"}, ParameterError, "input '3x32': channels x height x width"),
        ({"input": (3, 0, 8)}, ParameterError, "input '3x0x8': channels x height x width"),
        ({"input": (3, 8)}, ParameterError, "input '3x8': channels x height x width"),
        (
            {"images": "cifar10"},
            ParameterError,
            "input 2x8x8: images of cifar10 have 3 channels, take noise",
        ),
        ({"images": "cifar9"}, UnknownNameError, "did you mean 'cifar10'"),
        ({"input": 32}, ParameterError, "input 32: channels x height x width, as in 3x32x32"),
        ({"input": (2, 8.0, 8)}, ParameterError, "input '2x8.0x8': channels x height x width"),
        *(
            ({"seeds": wrong}, ParameterError, f"seeds {said}: a whole number, 1 or more")
            for wrong, said in ((0, 0), (1.5, 1.5), (None, None), ("3", "'3'"), (True, True))
        ),
        ({"seeds": 10**12}, ParameterError, "1000000000000 seeds: at most 1000000"),
        ({"seeds": range(5, 10**9)}, ParameterError, "999999995 seeds: at most 1000000"),
        ({"seeds": []}, ParameterError, r"seeds \[\]: give 1 or more"),
        ({"seeds": [0.5]}, ParameterError, "seed 0.5: a whole number, 0 or more"),
        ({"seeds": torch.tensor([0.5])}, ParameterError, r"seed tensor\(0.5\d*\): a whole num"),
        ({"seeds": np.ones((2, 2))}, ParameterError, r"seed array\(\[1., 1.\]\): a whole number"),
        ({"seeds": torch.tensor(2.0)}, ParameterError, r"seeds tensor\(2.\): a whole number, 1"),
        ({"seeds": np.array(0)}, ParameterError, r"seeds array\(0\): a whole number, 1 or more"),
        ({"seeds": [True]}, ParameterError, "seed True: a whole number, 0 or more"),
        ({"seeds": [0, 1, 0]}, ParameterError, r"seeds \(0, 1, 0\): give each of them once"),
        ({"seeds": (1, -1)}, ParameterError, "seed -1 is negative"),
        ({"proxies": None}, ParameterError, "proxies None: give a spelling such as 'naswot'"),
        ({"proxies": [5]}, ParameterError, "proxies 5: give a spelling such as 'naswot', or a Pro"),
        (
            {"proxies": [naswot.Naswot]},
            ParameterError,
            "proxies: Naswot is a class, give an object as",
        ),
        ({"proxies": print}, ParameterError, "proxies <built-in function print>: give a spelling"),
        ({"track": 3}, ParameterError, "track 3: give a function"),
        ({"images": "x" * 5000}, UnknownNameError, "unknown data set 'xxxx"),
        ({"loss": "mse"}, ParameterError, "loss 'mse': give a function"),
        ({"forward": 3}, ParameterError, "forward 3: give a function"),
        ({"output": 0}, ParameterError, "output 0: give a function"),
        ({"classes": 0}, ParameterError, "classes 0: a whole number, 1 or more"),
        ({"classes": 2.0}, ParameterError, "classes 2.0: a whole number, 1 or more"),
        *(
            (
                {"batch_size": wrong} | images,
                ParameterError,
                f"batch_size {wrong!r}: a whole number, 2 or more",
            )
            for wrong in (-1, 0, 1, 2.5, "8", None)
            for images in ({}, {"images": IMAGES})
        ),
        ({"bogus": 1}, UnknownNameError, "unknown argument 'bogus': known: "),
        ({"proxy": "naswot"}, UnknownNameError, "unknown argument 'proxy': did you mean 'proxies'"),
        ({"engine": "fast"}, UnknownNameError, "unknown argument 'engine'"),
        ({"sampling": None}, ParameterError, "sampling None: give its name, as text"),
        ({"root": 3}, ParameterError, "root 3: give its name, as text"),
        ({"images": ""}, UnknownNameError, "unknown data set ''"),
        ({"images": {"a": IMAGES}}, ParameterError, r"images are \{'a': .*: give a tensor"),
        (
            {"images": "noise", "input": (2, 10**6, 10**6)},
            ParameterError,
            "6 images of 2x1000000x1000000 don't fit into the memory: take fewer or smaller ones",
        ),
        ({"device": "cuda:99"}, ParameterError, "device 'cuda:99' is not here"),
        ({"precision": "float8"}, UnknownNameError, "unknown precision 'float8'"),
        ({"batch_size": 1}, ParameterError, "batch_size 1: a whole number, 2 or more"),
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
    with pytest.raises(UnknownNameError, match="'batchsize': did you mean 'batch_size'"):
        ranked([Net], batchsize=8)


def test_numbers_of_numpy_and_a_device_of_pytorch_are_as_good_as_others():
    expected = ranked([Net()], "parameters", seeds=2, batch_size=4)
    given = {"batch_size": np.int64(4), "device": torch.device("cpu")}
    several = [np.arange(2), range(2), [np.uint8(0), 1], torch.arange(2)]
    for seeds in (np.int64(2), np.array(2), torch.tensor(2), *several):
        found = ranked([Net()], "parameters", seeds=seeds, **given)
        assert found["score"].tolist() == expected["score"].tolist()
    assert only(Net(), "parameters", input=np.array(SMALL))["status"] == "ok"


class Passes:
    """A loader of which each pass is given."""

    def __init__(self, *passes):
        self.passes = iter(passes)

    def __iter__(self):
        yield from next(self.passes)


def broken_pass():
    yield IMAGES[:2], LABELS[:2]
    raise OSError("a broken file\nand a second line")


@pytest.mark.parametrize("well", [0, 1])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (broken_pass, "the Passes fails in its pass for seed {}: OSError: a broken file$"),
        (lambda: [(IMAGES * math.nan, LABELS)], "images have pixels that are not finite"),
        (
            lambda: [(IMAGES[:2], LABELS[:2]), (IMAGES[:2, :, 1:], LABELS[:2])],
            r"images of the Passes differ in shape, \(2, 7, 8\) and \(2, 8, 8\)",
        ),
        (list, "the Passes yields no batches of images in its pass for seed {}: each seed"),
        (lambda: [(IMAGES[:1], LABELS[:1])], ""),
    ],
)
def test_images_that_fail_with_any_seed_do_so_before_any_network_is_made(wrong, message, well):
    loader = Passes(*[[(IMAGES, LABELS)]] * well, wrong())
    Net.made = 0
    few = "4 images are asked for: the Passes has 1 for seed 1" if well else "1 images of a Passes"
    with pytest.raises(ParameterError, match=message.format(well) or few) as caught:
        ranked([Net], seeds=2, images=loader, batch_size=4)
    assert "\n" not in str(caught.value)
    assert Net.made == 0


def test_a_loader_has_one_pass_for_each_seed():
    """Candidates and numbers of images share it, so that fewer are the beginning of more."""

    class Counts(torch.utils.data.DataLoader):
        passes = 0

        def __iter__(self):
            Counts.passes += 1
            return super().__iter__()

    loader = Counts([*zip(IMAGES, LABELS, strict=True)], 2, shuffle=True)
    proxies = ["naswot", "parameters", "naswot:3"]
    table = ranked([Net(), Net()], proxies, images=loader, seeds=3, batch_size=50)
    assert table["status"].eq("ok").all()
    assert Counts.passes == 3
    given = {"images": Passes([(IMAGES, LABELS)]), "batch_size": 50, "seeds": 1}
    assert only(Net(), **given)["status"] == "ok", "nor is there a second pass where images are few"


def test_noise_is_drawn_beforehand_for_one_seed(monkeypatch):
    drawn = []
    draw = MinibatchSettings.draw

    def counted(self, seed, device):
        drawn.append(seed)
        return draw(self, seed, device)

    monkeypatch.setattr(MinibatchSettings, "draw", counted)
    ranked([Net, "nasbench201/0"], "parameters", seeds=3, images="noise", input=(3, 8, 8))
    beforehand, scoring = drawn[:1], drawn[1:]
    assert (beforehand, scoring) == ([0], [0, 1, 2] * 2)
    drawn.clear()
    ranked([Net, "nasbench201/0"], "parameters", seeds=3, images="cifar10", input=None)
    assert drawn == [0, 1, 2] * 3, "stored images are read, and reading can fail"


def test_a_damaged_picture_of_a_later_seed_is_found_before_any_network_is_made(tmp_path):
    for place in range(6):
        path = tmp_path / f"class{place % 2}/{place}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8), place).save(path)
    given = {"images": tmp_path, "input": (1, 8, 8), "batch_size": 2, "proxies": "parameters"}
    (tmp_path / "class0/4.png").write_bytes(b"no picture")
    well = []
    for seed in range(20):
        with suppress(DamagedFileError):
            ranked([Net], seeds=[seed], **given)
            well.append(seed)
    assert 0 < len(well) < 20
    Net.made = 0
    with pytest.raises(DamagedFileError, match=r"4\.png is no picture"):
        ranked([Net], seeds=[*well, *set(range(20)) - set(well)], **given)
    assert Net.made == 0


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ((IMAGES, LABELS), "it is read off {} images and there are 6: take {}:6"),
        (
            torch.utils.data.DataLoader([*zip(IMAGES, LABELS, strict=True)], 4),
            "it is read off {} images and there are 6: take {}:6",
        ),
    ],
)
def test_a_proxy_of_more_images_than_there_are_is_a_row(images, words):
    table = ranked([Net()], ["naswot:7", "parameters", "ntk_mean"], images=images)
    assert table["status"].tolist() == ["not_applicable", "ok", "not_applicable"]
    whole = [words.format(count, name) for count, name in ((7, "naswot"), (32, "ntk_mean"))]
    assert table["reason"].tolist() == [whole[0], "", whole[1]]
    fewer = ranked([Net()], ["naswot:6", "ntk_mean:6"], images=images)
    assert fewer["status"].tolist() == ["ok", "ok"]


def test_a_proxy_of_more_images_than_a_data_set_has_is_a_row():
    given = {"input": None, "images": "cifar10", "seeds": 1, "batch_size": 4}
    table = ranked([nn.Conv2d(3, 4, 3)], ["naswot:100000", "parameters"], **given)
    assert table["status"].tolist() == ["not_applicable", "ok"]
    assert re.fullmatch(r"it is read off 100000 images .* take naswot:\d+", table["reason"][0])
    with pytest.raises(ParameterError, match="minibatch size 100000 is too large: cifar10 sample"):
        ranked([Net], "naswot", **given | {"batch_size": 100_000})


def test_the_time_is_that_of_the_fastest_seed():
    (candidate,), (reading,) = candidates_of([Net]), [parse_reading("naswot")]
    scores = [Score(1.0, "ok", "", seconds) for seconds in (3.0, 1.0, 2.0)]
    row = api._row(candidate, reading, (0, 1, 2), scores)
    assert (row["seconds"], row["score"]) == (1.0, 1.0)


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


def test_an_ensemble_has_the_reason_of_its_member():
    """Also where the images, and not the network, don't suit the member."""
    images = torch.randn(8, 3, 8, 8)
    table = untrained.rank({"mine": Net}, "log(grad_norm,parameters)", images=images, seeds=2)
    found = table.set_index("proxy")
    why = "it needs labels, and the images have none: give (images, labels)"
    assert found.loc["grad_norm", "reason"] == why
    assert found.loc["log(grad_norm,parameters)", "reason"] == f"grad_norm: {why}"
    assert found.loc["log(grad_norm,parameters)", "status"] == "not_applicable"


def convolution(width):
    return lambda: nn.Sequential(nn.Conv2d(3, width, 3), nn.Flatten(), nn.LazyLinear(2))


def test_candidates_outside_a_constraint_are_left_out_with_the_reason():
    given = {"thin": convolution(2), "wide": convolution(9), "cell": ("nasbench201", 5)}
    given["broken"] = lambda: nn.Linear(3, 2)
    asked = {"input": "3x32x32", "seeds": 1, "batch_size": 4}
    found = rank(given, "l2_norm", where="memory <= 30 KB", **asked)
    assert found["candidate"].tolist() == ["thin"]
    left = found.attrs["left_out"]
    assert left["wide"] == "memory is 44,696 bytes"  # 4 * (3 * 32^2 + 9 * 30^2 + 2)
    assert left["cell"] == "memory is 274,432 bytes"
    assert left["broken"].startswith("memory is not known (failed: RuntimeError")
    free = rank(given, "l2_norm", **asked)
    assert free.attrs["left_out"] == {}
    assert found["score"][0] == free.set_index("candidate").loc["thin", "score"]


def test_latencies_of_a_constraint_are_looked_up(tmp_path):
    table = measure({"thin": convolution(2)}, name="mine", out=tmp_path / "mine.parquet")
    limit = 2 * table["value"][0]
    given = {"thin": convolution(2), "other": convolution(2), "cell": ("nasbench201", 5)}
    asked = {"proxies": "parameters", "seeds": 1, "devices": tmp_path / "mine.parquet"}
    found = rank(given, where=f"latency[mine] <= {limit} ms", **asked)
    assert found["candidate"].tolist() == ["thin"]
    assert found.attrs["left_out"]["other"] == "latency[mine] is not known"
    cells = [("nasbench201", 5), ("nasbench201", 1462)]
    found = rank(cells, "parameters", where="latency[raspi4] <= 30", seeds=1)
    assert found.attrs["left_out"] == {"nasbench201/1462": "latency[raspi4] is 98.89 ms"}
    with pytest.raises(ParameterError, match=r"no candidate .*1462: latency\[raspi4\] is"):
        rank(cells[1:], "parameters", where="latency[raspi4] <= 30", seeds=1)
    with pytest.raises(MissingDataError, match=r"`untrained measure thin --out FILE`"):
        rank({"thin": convolution(2)}, "parameters", where="latency[mine] <= 1")
    with pytest.raises(UnknownNameError, match=r"unknown device of .*'yours'"):
        rank({"thin": convolution(2)}, where="latency[yours] <= 1", devices=asked["devices"])
    with pytest.raises(ParameterError, match="no number"):
        rank(cells, "parameters", where="latency[raspi4] <= fast")
