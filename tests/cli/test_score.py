"""`untrained score`: what a user types, and what comes back."""

import json
import sys

import pytest

from untrained.errors import ParameterError, PluginError, UntrainedError
from untrained.scoring.own import load_factory, parse_shape
from untrained.scoring.request import parse_reading


def scored(untrained, *arguments):
    code, out, _ = untrained("score", *arguments, "--batch-size", 8, "--json")
    assert code == 0
    return json.loads(out)


def test_index_and_spelling_give_the_same_score(untrained):
    conv = "nor_conv_3x3"
    spelling = f"|{conv}~0|+|{conv}~0|{conv}~1|+|{conv}~0|{conv}~1|{conv}~2|"
    by_index, by_spelling = (scored(untrained, "nasbench201", name)[0] for name in (1462, spelling))
    assert by_index["score"] == by_spelling["score"]
    assert by_index["spelling"] == spelling
    assert by_index["accuracy"]["cifar10/ori-test"] == pytest.approx(93.76, abs=0.005)
    assert by_index["percentile"] is None


def test_the_command_agrees_with_the_notebook(untrained):
    from untrained import score

    printed = scored(untrained, "nasbench201", 1462, "--seed", 3, "--seeds", 2)[0]
    values = [score("nasbench201", 1462, seed=seed, batch_size=8).score for seed in (3, 4)]
    assert printed["score"] == values[0]
    assert printed["mean"] == pytest.approx(sum(values) / 2)
    assert printed["std"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)


def test_each_proxy_that_is_named_scores(untrained):
    few = ["--batch-size", 4, "--seeds", 1]
    alone = [
        json.loads(untrained("score", "nasbench201", 45, 5, "--proxy", name, *few, "--json")[1])
        for name in ("naswot", "lga")
    ]
    both = ["score", "nasbench201", 45, 5, "--proxy", "naswot", "--proxy", "lga", *few]
    together = json.loads(untrained(*both, "--json")[1])
    assert [one["proxy"] for one in together] == ["naswot", "naswot", "lga", "lga"]
    assert [one["score"] for one in together] == [one["score"] for part in alone for one in part]
    said = untrained(*both)[1]
    assert said.count("  proxy       naswot\n") == said.count("  proxy       lga\n") == 2
    assert "proxy" not in untrained("score", "nasbench201", 5, *few)[1]


def test_a_disconnected_cell_is_said_to_be_so(untrained):
    none = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    code, out, _ = untrained("score", "nasbench201", none, "--batch-size", 8)
    assert code == 0
    assert "undefined: disconnected" in out


def test_proxies_that_take_gradients(untrained):
    found = scored(untrained, "nasbench201", 1462, "--proxy", "synflow")[0]
    assert (found["proxy"], found["status"]) == ("synflow", "ok")
    assert found["setting"].startswith("log of |W dR/dW|, an image of ones whatever the minibatch")
    size = scored(untrained, "nasbench201", 1462, "--proxy", "parameters", "--seeds", 2)[0]
    assert (size["score"], size["std"]) == (1531546, 0)


def test_the_time_of_a_score_is_that_without_first_calls(untrained, monkeypatch):
    """The first call compiles, and its time is part of the start-up."""
    from untrained import api

    def slow_at_first(*_, seeds, **given):
        clock[0] += 6
        (reading,) = map(parse_reading, given["proxies"])
        scores = tuple(api.Score(7.0, "ok", "", seconds) for seconds in (3.0, 0.25, 0.5))
        return [api.Scores(None, reading, tuple(seeds), scores)]

    clock = [100.0]
    monkeypatch.setattr(api, "score_seeds", slow_at_first)
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    said = untrained("score", "nothing:real")[1].splitlines()
    assert said[-2:] == ["  time        0.250 s per score", "start-up 5.2 s"]
    (found,) = json.loads(untrained("score", "nothing:real", "--json")[1])
    assert (found["seconds"], found["start_up_seconds"]) == (0.25, 6 - 3 * 0.25)


def test_percentile_among_cached_scores(untrained, tmp_path):
    import pandas as pd

    score = scored(untrained, "nasbench201", 1462)[0]["mean"]
    table = pd.DataFrame(
        {
            "arch": range(4),
            "proxy": "naswot",
            "dataset": "cifar10",
            "seed": 0,
            "score": [score - 2, score - 1, score + 1, None],
            "status": ["ok", "ok", "ok", "disconnected"],
        }
    )
    (tmp_path / "results/scores").mkdir(parents=True)
    table.to_parquet(tmp_path / "results/scores/nasbench201.parquet")
    settings = "scores: {split: sample, batch_size: %d, augmentation: none, sampling: uniform}\n"
    (tmp_path / "params.yaml").write_text(settings % 8)
    assert scored(untrained, "nasbench201", 1462)[0]["percentile"] == pytest.approx(200 / 3)
    (tmp_path / "params.yaml").write_text(settings % 128)  # scored with other minibatches
    assert scored(untrained, "nasbench201", 1462)[0]["percentile"] is None


def test_who_reads_test_labels_is_warned_once(untrained, test_images):
    asked = ("score", "nasbench201", 45, "--batch-size", 8, "--seeds", 2, "--split", "train")
    code, out, err = untrained(*asked, "--proxy", "lga", "--variant", "released", "--json")
    assert (code, "warning" in err) == (0, False)
    code, out, err = untrained(*asked, "--proxy", "lga-released@1", "--json")
    assert code == 0, err
    assert err.count("warning: lga-released@1 reads the labels of test images\n") == 1
    (found,) = json.loads(out)
    assert (found["proxy"], found["status"]) == ("lga-released@1", "ok")
    assert "6 test images after 1 epoch" in found["setting"]


def test_a_score_after_training(untrained, few_steps):
    asked = ("score", "nasbench201", 45, "--batch-size", 8, "--seeds", 1, "--dataset", "cifar10")
    code, out, err = untrained(*asked, "--proxy", "lga@1", "--json")
    assert code == 0
    (found,) = json.loads(out)
    assert found["proxy"] == "lga@1"
    assert found["status"] == "ok"
    assert found["setting"].startswith("weights_without_classifier, train mode; ")
    assert found["setting"].endswith("minibatch after 1 epoch on the others")
    assert "training: 2/2 steps" in err
    code, out, err = untrained(*asked, "--proxy", "lga@0", "--json")
    (fresh,) = json.loads(out)
    assert (fresh["proxy"], err) == ("lga", "")
    assert fresh["score"] != found["score"]


NETWORK = """
from torch import nn
import torch.nn.functional as F

class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.out = nn.Conv2d(3, 8, 3), nn.Linear(8, 10)
    def forward(self, x):
        return self.out(F.relu(self.stem(x)).mean((2, 3)))

class Grey(Small):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3)

class Wrong(Small):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(5, 8, 3)

class Fails(Small):
    def forward(self, x):
        return {}["logits"]

class Sometimes(Small):
    made = 0
    def __init__(self):
        super().__init__()
        Sometimes.made += 1
        if Sometimes.made > 1:
            self.out.weight.data.fill_(float("nan"))

def mixed():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.GELU())

def text():
    return "a network"

def broken():
    raise ValueError("no weights here")

number = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "my_networks.py").write_text(NETWORK)
    (tmp_path / "broken_module.py").write_text("class Net(:")
    monkeypatch.delitem(sys.modules, "my_networks", raising=False)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("own", "few_steps")
def test_a_network_of_ones_own(untrained):
    found = scored(untrained, "my_networks:Small")[0]
    assert found["status"] == "ok"
    assert found["spelling"] == "my_networks:Small"
    assert found["architecture"] is None
    larger = scored(untrained, "my_networks:Small", "--input", "3x48x40")[0]
    assert larger["score"] != found["score"]
    assert len(scored(untrained, "my_networks:Small", "--proxy", "ntk_mean-all_eval@1")) == 1
    grey = scored(untrained, "my_networks:Grey", "--input", "1x28x28", "--dataset", "noise")[0]
    assert grey["status"] == "ok"


@pytest.mark.usefixtures("own")
def test_what_a_score_leaves_out_is_printed(untrained):
    code, out, _ = untrained("score", "my_networks:mixed", "--batch-size", 8, "--seeds", 1)
    assert code == 0
    assert "\n              1 gelu ignored: naswot-signs reads them too\n" in out


@pytest.mark.usefixtures("own")
def test_seeds_without_a_score_are_named(untrained):
    asked = ("score", "my_networks:Sometimes", "--proxy", "ntk_mean-weights_eval", "--seeds", 3)
    code, out, _ = untrained(*asked, "--batch-size", 8, "--seed", 5)
    assert code == 0
    first, *others = [line.strip() for line in out.splitlines() if "seed" in line]
    assert first.endswith("(seed 5)")
    assert [line.partition(" (")[0] for line in others] == [
        f"undefined with seed {seed}: non_finite" for seed in (6, 7)
    ]


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["my_networks:Grey", "--input", "1x28x28"], "take noise, which has any shape"),
        (["my_networks:text"], "returned a str"),
        (["my_networks:Wrong"], "Wrong failed on images of 3x32x32: RuntimeError: Given groups=1"),
        (
            ["my_networks:broken"],
            "broken failed on images of 3x32x32: ValueError: no weights here ",
        ),
        (["my_networks:Fails"], "Fails failed on images of 3x32x32: KeyError: 'logits' (--debug"),
        (["broken_module:Net"], "'broken_module:Net' can't be imported: SyntaxError: "),
        (["my_networks:number"], "number is no function or class"),
        (["my_networks:Smal"], "unknown attribute of my_networks 'Smal': did you mean 'Small'"),
        (["no_such_module:Net"], "there is no module no_such_module"),
        (["my_networks:Small", "1462"], "is one network"),
        (["my_networks:Small", "--input", "3x32"], "channels x height x width"),
        (["nasbench201"], "which architecture"),
        (["nasbench20", "1"], "did you mean 'nasbench201'"),
        (["nasbench201", "15625"], "0 to 15624"),
        (["nasbench201", "-1"], "-1"),
        (["nasbench201", "|conv~0|"], "nodes"),
        (["nasbench201", "1", "--proxy", "nawsot"], "did you mean 'naswot'"),
        (["nasbench201", "1", "--proxy", "lag@1"], "did you mean 'lga'"),
        (["nasbench201", "1", "--proxy", "lga@-1"], "'-1' is no number of epochs"),
        (["nasbench201", "1", "--proxy", "lga@1", "--split", "test"], "test is not for training"),
        (
            ["my_networks:Small", "--input", "3x48x40", "--proxy", "naswot@1"],
            "as they are, 3x32x32",
        ),
        (["nasbench201", "1", "--variant", "realeased"], "did you mean 'released'"),
        (["nasbench201", "1", "--dataset", "cifar"], "did you mean"),
        (["nasbench201", "1", "--split", "tset"], "did you mean 'test'"),
        (["nasbench201", "1", "--seed", "-2"], "negative"),
        (["nasbench201", "1", "--seeds", "0"], "--seeds 0"),
        (["nasbench201", "1", "--batch-size", "1"], "batch_size 1: a whole number, 2 or more"),
        (["nasbench201", "1", "--device", "cuda:77"], "cuda:77"),
        (["nasbench201", "1", "--engine", "fats"], "did you mean 'fast'"),
        (["nasbench201", "1", "--precision", "float16"], "did you mean"),
        (["nasbench201", "1", "--split", "test"], "untrained fetch cifar10"),
    ],
)
def test_bad_input_is_one_clear_line(untrained, arguments, said):
    code, out, err = untrained("score", *arguments)
    assert code == 2
    assert out == ""
    assert said in err
    if err.startswith("untrained:"):  # otherwise the option parser's own message
        assert err.count("\n") == 1


def test_debug_shows_the_traceback(untrained):
    """The error is left to Python, which writes it."""
    with pytest.raises(UntrainedError):
        untrained("score", "x", 1, "--debug")


def test_parse_shape():
    assert parse_shape("3x32X40") == (3, 32, 40)
    for text in ("3x32", "0x3x3", "axbxc", "3x32x32x1"):
        with pytest.raises(ParameterError, match="channels"):
            parse_shape(text)


def test_load_factory_keeps_errors_inside_the_users_module(tmp_path, monkeypatch):
    (tmp_path / "broken_networks.py").write_text("import not_installed_here\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match="not_installed_here"):
        load_factory("broken_networks:Net")
