"""`untrained rank`: what a user types, and what comes back."""

import base64
import csv
import gzip
import io
import json
import re
import shlex
import sys

import pytest

from untrained import rank

NETWORKS = """
import sys
import torch
from torch import nn

def thin():
    print("a line of a factory")
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 10))

def wide():
    return nn.Sequential(nn.Conv2d(2, 9, 3), nn.ReLU(), nn.Flatten(), nn.Linear(324, 10))

def exits():
    sys.exit()

def broken():
    raise ValueError("no weights here")

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = wide()
    def forward(self, x, scale=0):
        logits = self.inner(x)
        return logits * scale, logits

def second(outputs):
    return outputs[1]

def first(outputs):
    return outputs[0]

def scaled(network, images):
    return network(images, 1)

def total(outputs, labels):
    return outputs.sum()
"""


@pytest.fixture(autouse=True)
def networks(tmp_path, monkeypatch):
    (tmp_path / "ranked_networks.py").write_text(NETWORKS)
    monkeypatch.delitem(sys.modules, "ranked_networks", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.fixture
def ask(untrained):
    """Rank networks on small noise; the common options come last."""

    def run(*names, also=()):
        given = ["--input", "2x8x8", "--batch-size", 4, "--seeds", 2, "--device", "cpu", "--quiet"]
        return untrained("rank", *(f"ranked_networks:{name}" for name in names), *also, *given)

    return run


def test_the_command_prints_what_the_function_returns(ask):
    proxies = ["naswot", "parameters"]
    options = [word for name in proxies for word in ("--proxy", name)]
    table = rank(
        ["ranked_networks:thin", "ranked_networks:wide"],
        proxies,
        "2x8x8",
        seeds=2,
        batch_size=4,
        device="cpu",
    )
    expected = table.drop(columns="seconds").to_dict("records")
    code, out, err = ask("thin", "wide", also=[*options, "--json"])
    assert code == 0
    assert err.splitlines() == ["a line of a factory"] * 2, "not among the results"
    rows = json.loads(out)
    assert all(row.pop("seconds") > 0 for row in rows)
    assert rows == expected
    code, out, _ = ask("thin", "wide", also=[*options, "--csv"])
    found = list(csv.DictReader(io.StringIO(out)))
    assert [float(row["score"]) for row in found] == [row["score"] for row in expected]
    assert list(found[0]) == list(table.columns)


def test_the_table_has_a_part_for_each_proxy(ask):
    code, out, _ = ask("wide", "thin", also=["--proxy", "parameters", "--proxy", "lga@0"])
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "4 images of noise, 2x8x8; mean ± standard deviation over 2 seeds"
    assert lines[1] == "parameters (higher is better)"
    assert lines[2].startswith("   1  ranked_networks:wide  3421 ± 0  ")
    assert lines[3].startswith("   2  ranked_networks:thin  1147 ± 0  ")
    assert lines[4] == "lga (higher is better)"


def test_a_network_that_fails_is_a_row_and_the_exit_code_is_1(ask):
    code, out, err = ask("exits", "wide", "broken")
    assert code == 1
    assert err == "untrained: failed: ranked_networks:exits, ranked_networks:broken\n"
    _, _, ranked, first, second = out.splitlines()
    assert ranked.startswith("   1  ranked_networks:wide    ")
    assert first == "      ranked_networks:exits   failed: SystemExit: it calls exit(None)"
    assert second == "      ranked_networks:broken  failed: ValueError: no weights here"


def test_debug_shows_the_traceback_of_a_failure(ask):
    with pytest.raises(ValueError, match="no weights here"):
        ask("wide", "broken", also=["--debug"])


def test_functions_of_ones_own(ask):
    def score(network, *also):
        code, out, err = ask(network, also=["--proxy", "grad_norm", "--json", *also])
        assert code == 0, err
        return json.loads(out)[0]["score"]

    def own(name):
        return f"ranked_networks:{name}"

    plain, output = score("wide"), ("--output", own("second"))
    assert score("Two", *output) == plain
    assert score("Two", "--output", own("first")) == 0
    assert score("Two", "--output", own("first"), "--forward", own("scaled")) == plain
    assert score("Two", *output, "--loss", own("total")) != plain


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ranked_networks:wyde"], "did you mean 'wide'"),
        (["ranked_networks:wide", "--proxy", "nawsot"], "did you mean 'naswot'"),
        (["ranked_networks:wide", "--input", "2x8"], "input '2x8': channels x height x width"),
        (["ranked_networks:wide", "--seeds", "0"], "--seeds 0: 1 to 1000000"),
        (["ranked_networks:wide", "--json", "--csv"], "--json and --csv: take one"),
        (["ranked_networks:wide", "--images", "cifar"], "or a folder that has a folder for each"),
        (["ranked_networks:wide", "--output", "ranked_networks:NETWORKS"], "unknown attribute"),
        (["ranked_networks:wide", "--loss", "math:pi"], "math:pi is no function or class"),
        (["timm:no_such_network"], "timm"),
    ],
)
def test_bad_input_is_one_clear_line(refused, arguments, said):
    refused(["rank", *arguments], said)


def test_a_network_that_ends_the_process_is_one_line_of_score(untrained):
    code, out, err = untrained("score", "ranked_networks:exits")
    said = "ranked_networks:exits failed on images of 3x32x32: SystemExit: it calls exit(None)"
    assert (code, out, err) == (2, "", f"untrained: {said} (--debug shows where)\n")


def test_score_prints_nothing_but_its_result(untrained):
    given = ["--input", "2x8x8", "--dataset", "noise", "--batch-size", 4, "--json"]
    code, out, err = untrained("score", "ranked_networks:thin", *given)
    assert (code, json.loads(out)[0]["status"]) == (0, "ok")
    assert err.splitlines() == ["a line of a factory"] * 3


def test_a_page_is_written_besides(ask, tmp_path):
    code, out, _ = ask("thin", "broken", also=["--html", "p.html"])
    assert code == 1
    assert "thin" in out
    assert "<title>Scores of networks</title>" in (tmp_path / "p.html").read_text()


def test_the_page_has_the_command_that_was_run(ask, tmp_path):
    ask("thin", also=["--html", "p.html"])
    packed = re.search('id="data">(.*?)<', (tmp_path / "p.html").read_text())
    (space,) = json.loads(gzip.decompress(base64.b64decode(packed[1])))["spaces"]
    words = shlex.split(space["columns"][0]["command"])
    assert words[:3] == ["untrained", "rank", "{name}"]
    given = ["proxy", "naswot", "input", "2x8x8", "seeds", "2", "batch-size", "4", "device", "cpu"]
    assert sorted(words[3:]) == sorted(
        word if place % 2 else f"--{word}" for place, word in enumerate(given)
    )
