"""`untrained training-curves`, and what the report makes of it."""

import contextlib
import json
import shutil
import sqlite3

import pandas as pd
import pyarrow.parquet as pq
import pytest

from untrained import score
from untrained.cli.options import numbers
from untrained.scoring.columns import CURVE_COLUMNS
from untrained.scoring.ledger import Ledger

from .conftest import command, train_on_few

pytestmark = pytest.mark.usefixtures("short_networks")

SPACE = "nasbench201"
CELLS = (45, 12365)
REPORT = ["report", "section", "training_curves", SPACE]
FEW = ["--batch-size", 8, "--epochs", "0,1,2", "--proxy", "naswot", "--proxy", "lga"]


def asked(*changes, cells=CELLS, out="made.parquet"):
    return ["training-curves", SPACE, *cells, *FEW, *changes, "--out", out]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, short_networks):
    """What one command wrote, and its tables and figures; nothing may change in it."""
    folder = tmp_path_factory.mktemp("training_curves")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        train_on_few(patched)
        for arguments in (
            asked("--figure", "own.png", "--seeds", 2),
            [*REPORT, "made.parquet", "--tables", ".", "--figures", "."],
        ):
            code, out, err = command(*arguments)
            assert (code, out) == (0, ""), err
    return folder


def test_the_contract(finished):
    table = pd.read_parquet(finished / "made.parquet")
    types = {field.name: str(field.type) for field in pq.read_schema(finished / "made.parquet")}
    text = "large_string"
    expected = [text, "int64", "int64", "double", text, "double", text, text]
    assert list(types.items()) == list(zip(CURVE_COLUMNS, expected, strict=True))
    assert len(table) == 2 * 2 * (4 + 6 + 6)
    assert table["arch"].drop_duplicates().tolist() == [45, 12365]
    assert set(table["status"]) == {"ok"}
    assert (table[table["quantity"] == "change"].groupby("epochs")["value"].max() > 0).tolist() == [
        *(False, True, True),
    ]


def test_scores_are_those_of_the_notebook(finished, few_steps):
    table = pd.read_parquet(finished / "made.parquet").set_index(
        ["arch", "seed", "epochs", "quantity"]
    )
    for name in ("naswot", "lga"):
        alone = score(SPACE, 45, proxy=f"{name}@1", dataset="cifar10", seed=1, batch_size=8)
        assert table.loc[(45, 1, 1.0, name), "value"] == alone.score
    fresh = score(SPACE, 45, proxy="lga", dataset="cifar10", seed=0, batch_size=8)
    assert table.loc[(45, 0, 0.0, "lga"), "value"] == pytest.approx(fresh.score, rel=1e-6)


def test_one_cell_and_seed_is_what_all_together_are(finished, untrained, few_steps):
    code, out, err = untrained(*asked("--seed", 1, cells=[12365]), "--json")
    assert code == 0
    assert "training 12365, seed 1: 4/4 steps" in err
    whole = pd.read_parquet(finished / "made.parquet")
    own = whole[(whole["arch"] == 12365) & (whole["seed"] == 1)].reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.read_parquet("made.parquet"), own)
    (found,) = json.loads(out)
    assert (found["architecture"], found["seed"], found["dataset"]) == (12365, 1, "cifar10")
    assert [one["value"] for one in found["readings"]] == own["value"].tolist()


def test_what_people_read(untrained, few_steps):
    code, out, _ = untrained("training-curves", SPACE, 45, *FEW)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("45  |")
    assert lines[1].split() == ["epochs", "(seed", "0)", "0", "1", "2"]
    assert lines[2].split()[:2] == ["change", "0"]
    assert {"accuracy", "loss", "naswot"} <= {line.split()[0] for line in lines[2:]}
    assert {len(line) for line in lines[1:]} == {len(lines[1])}


def test_a_status_stands_in_the_place_of_what_has_no_value(untrained, few_steps):
    none = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    code, out, _ = untrained(
        "training-curves", SPACE, none, *FEW[:2], "--epochs", 0, "--proxy", "lga"
    )
    assert code == 0
    (line,) = [line for line in out.splitlines() if "lga" in line]
    assert line.split()[1] == "constant_kernel"
    assert "entries don't differ" in out.splitlines()[-1]


def test_a_figure_may_have_dots_in_its_name(untrained, tmp_path, few_steps):
    given = ("--epochs", 0, "--batch-size", 4, "--proxy", "naswot", "--figure", "lr0.5")
    code, _, err = untrained("training-curves", "nasbench201", 1462, *given)
    assert code == 0, err
    assert sorted(path.name for path in tmp_path.glob("lr0*")) == ["lr0.5.png", "lr0.5.svg"]


def test_tables_and_figures(finished):
    table = pd.read_parquet(finished / "training_curves.parquet")
    assert set(table["seeds"]) == {2}
    assert table["tau"].isna().all()
    shown = (finished / "training_curves.md").read_text()
    assert "| cifar10 | change | 2 | 2 | 0 [0, 0] |" in shown
    for name in ("own", "kernel_curves", "score_curves"):
        for suffix in ("svg", "png"):
            assert (finished / f"{name}.{suffix}").stat().st_size > 5000
    # the same picture, whose names within are those of its file
    own, theirs = ((finished / f"{name}.svg").read_text() for name in ("own", "kernel_curves"))
    assert own == theirs.replace("kernel_curves", "own")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["--epochs", "0;1"], "--epochs '0;1': numbers between commas, as in 0,0.5,2"),
        (["--epochs", "1,2"], "epochs are 1, 2: start with 0"),
        (["--epochs", "0,-1"], "-1 epochs of training: 0 to 1000"),
        (["--proxy", "lga@1"], "'lga@1' has its own epochs"),
        (["--proxy", "nawsot"], "did you mean 'naswot'"),
        (["--kernel", "tenas"], "'tenas' is no kernel to follow"),
        (["--dataset", "cifar1000"], "did you mean 'cifar100'"),
        (["45"], "an architecture is named twice"),
        (["--split", "test"], "cifar10 test is not for training: take sample"),
        (["--dataset", "noise"], "'noise' is drawn for each minibatch"),
        (["--batch-size", 1], "batch_size 1: a whole number, 2 or more"),
        (["--seeds", 0], "--seeds 0: 1 to 1000000"),
        (["--seed", -1], "seed -1 is negative"),
        (["--device", "tpu"], "'tpu' is not here"),
        (["--precision", "float23"], "did you mean 'float32'"),
        (["--figure", "x", "--benchmark", "no.parquet"], "no.parquet does not exist"),
    ],
)
def test_mistakes_write_nothing(refused, changes, said):
    refused(asked(*changes), said)


def test_mistakes_of_the_report(finished, refused, tmp_path):
    refused([*REPORT, "no.parquet"], "no.parquet does not exist")
    for name in ("one.parquet", "other.parquet"):
        shutil.copy(finished / "made.parquet", tmp_path / name)
    said = "cell 45 on cifar10 has two readings of change after 0 epochs with seed 0"
    refused([*REPORT, "one.parquet", "other.parquet"], said)


def test_epochs_are_numbers():
    assert numbers("--epochs", "0, 0.5,2", float, "numbers", "0,1") == (0, 0.5, 2)


# --- interrupted commands


KEPT = ["--ledger", "ledger.sqlite", "--epochs", "0,1", "--seeds", 2]


def rows(statement="SELECT item, value FROM done ORDER BY item", *values):
    with contextlib.closing(sqlite3.connect("ledger.sqlite", isolation_level=None)) as ledger:
        return ledger.execute(statement, values).fetchall()


@pytest.fixture
def interrupted(few_steps, tmp_path, monkeypatch):
    """Stop a command after three of its four trainings, of which only the ledger is left."""
    monkeypatch.chdir(tmp_path)
    add = Ledger.add

    def stopped(self, *given):
        add(self, *given)
        if len(self.done) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "add", stopped)
        code, _, _ = command(*asked(*KEPT))
    assert code != 0
    assert not (tmp_path / "made.parquet").exists()
    assert len(rows()) == 3


@pytest.mark.usefixtures("interrupted")
def test_an_interrupted_command_resumes_without_loss():
    whole = asked(*KEPT[2:], out="whole.parquet")
    assert command(*whole)[0] == 0
    code, _, err = command(*asked(*KEPT))
    assert code == 0, err
    trained = {line.partition(":")[0] for line in err.splitlines() if "steps" in line}
    assert trained == {"training 12365, seed 1"}
    assert "3 of 4 trainings were followed before" in err
    assert pd.read_parquet("made.parquet").equals(pd.read_parquet("whole.parquet"))
    assert rows() == []


@pytest.mark.usefixtures("interrupted")
def test_other_curves_are_not_resumed():
    left = rows()
    code, _, err = command(*asked(*KEPT, "--seeds", 1, cells=[45]))
    assert code == 0
    assert "followed before" not in err
    assert rows() == left


@pytest.mark.usefixtures("interrupted")
def test_what_is_no_curve_is_damage():
    item, value = rows()[0]
    damaged = value.replace('"ok"', '"diverged"', 1)
    rows("UPDATE done SET value = ? WHERE item = ?", damaged, item)
    code, _, err = command(*asked(*KEPT))
    assert code == 2
    assert "ledger ledger.sqlite is damaged: delete it" in err


def test_whole_numbers_have_all_their_digits(capsys):
    from untrained.cli.training_curves import _print

    def reading(quantity, value, status="ok"):
        return {"quantity": quantity, "epochs": 0, "value": value, "status": status, "reason": ""}

    values = [reading("parameters", 73306.0), reading("naswot", 1655.9561), reading("change", 0.0)]
    lost = reading("lga", None, "diverged")
    _print({"architecture": 5, "spelling": "five", "seed": 0, "readings": [*values, lost]})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert lines == [
        ["parameters", "73306"], ["naswot", "1656"], ["change", "0"], ["lga", "diverged"]
    ]  # fmt: skip
