"""`untrained fetch`: what arrives, where, and that nothing does when it fails."""

import hashlib
import json

import numpy as np
import pytest
from tests.benchmarks.official_files import few_cells as few_cells
from tests.benchmarks.official_files import official_content, save

from images.conftest import Official
from untrained.benchmarks import Benchmark
from untrained.files import BUNDLED

BUNDLED_TABLE = BUNDLED / "nasbench201.parquet"


def test_a_space_is_bundled(untrained, tmp_path):
    code, out, err = untrained("fetch", "nasbench201")
    assert (code, out) == (0, "")
    assert err == "data/benchmarks/nasbench201.parquet\n"
    assert (tmp_path / err.strip()).read_bytes() == BUNDLED_TABLE.read_bytes()


def test_a_table_and_where_it_goes(untrained, tmp_path):
    untrained("fetch", "nasbench201", "--from", BUNDLED_TABLE, "--out", "there/table.parquet")
    assert (tmp_path / "there/table.parquet").read_bytes() == BUNDLED_TABLE.read_bytes()
    assert not (tmp_path / "data").exists()


@pytest.mark.usefixtures("few_cells")
def test_an_official_file(untrained, tmp_path):
    official = save(official_content((1, 2)), tmp_path)
    assert untrained("fetch", "nasbench201", "--from", official)[0] == 0
    found = Benchmark.load(folder=tmp_path / "data/benchmarks")
    assert found.accuracies("cifar10", "ori-test")[2] > 0


def test_an_official_file_with_the_cells_of_another_space(refused, tmp_path):
    official = save(official_content((1, 2)), tmp_path)
    refused(["fetch", "nasbench201", "--from", official], "architecture")


@pytest.mark.parametrize("name", ["nasbench201", "cifar10"])
def test_a_mirror_that_no_file_can_be_read_from_is_refused_first(refused, name):
    said = "'ftp://x': a URL begins with https://, http:// or file://"
    assert refused(["fetch", name, "--mirror", "ftp://x"], said) == f"untrained: {said}\n"


def test_the_mirror_of_params_yaml(untrained, refused, tmp_path):
    (tmp_path / "params.yaml").write_text("fetch: {mirror: mirror}\n")
    refused(["fetch", "nasbench201"], "mirror/nasbench201.parquet does not exist")
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/nasbench201.parquet").write_bytes(BUNDLED_TABLE.read_bytes())
    assert untrained("fetch", "nasbench201")[0] == 0
    # what is asked for comes before what is written down
    refused(["fetch", "nasbench201", "--mirror", "other"], "other/nasbench201.parquet")
    (tmp_path / "mirror/nasbench201.parquet").unlink()
    assert untrained("fetch", "nasbench201", "--from", BUNDLED_TABLE)[0] == 0


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
def test_the_note_of_a_bundled_sample(untrained, tmp_path, dataset):
    code, _, err = untrained("fetch", dataset, "--split", "sample", "--note", "notes/n.json")
    assert code == 0
    assert err == f"{dataset}: the sample is bundled, nothing to fetch\n"
    content = (BUNDLED / f"{dataset}.webp").read_bytes()
    assert json.loads((tmp_path / "notes/n.json").read_text()) == {
        "dataset": dataset,
        "split": "sample",
        "file": f"{dataset}.webp",
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def test_noise_is_nowhere(untrained, tmp_path):
    """Whatever split the other data sets are asked for."""
    for split in ("sample", "train"):
        code, _, err = untrained("fetch", "noise", "--split", split, "--note", f"{split}.json")
        assert code == 0
        assert "drawn for each minibatch" in err
    notes = [json.loads((tmp_path / name).read_text()) for name in ("sample.json", "train.json")]
    assert notes[0] == notes[1]
    assert notes[0] == {"dataset": "noise", "split": "sample", "file": None, "sha256": None}


@pytest.fixture
def small(monkeypatch):
    """Imitated CIFAR-100 files that pass for the official ones."""
    return Official("cifar100").pass_for_official(monkeypatch)


def test_official_images(untrained, tmp_path, small):
    source = small.write_folder(tmp_path / "mirror" / "cifar-100-python")
    code, _, err = untrained("fetch", "cifar100", "--from", source, "--note", "note.json")
    assert code == 0
    assert err.splitlines() == [
        "cifar100: read train",
        "cifar100: read test",
        "data/images/cifar100.npz: 20 train, 20 test images",
    ]
    target = tmp_path / "data/images/cifar100.npz"
    with np.load(target) as arrays:
        np.testing.assert_array_equal(arrays["train_x"], small.images["train"])
    note = json.loads((tmp_path / "note.json").read_text())
    assert note["file"] == "cifar100.npz"
    assert note["sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()
    first = target.read_bytes()
    untrained("fetch", "cifar100", "--mirror", tmp_path / "mirror")
    assert target.read_bytes() == first


def test_an_incomplete_folder(untrained, refused, tmp_path, small):
    source = small.write_folder(tmp_path / "folder", without=["train"])
    said = "lacks train: give the complete files of cifar100"
    refused(["fetch", "cifar100", "--from", source, "--note", "note.json"], said, after=1)
    code, _, err = untrained("fetch", "cifar100", "--from", source, "--allow-missing")
    assert code == 0
    assert err.endswith("data/images/cifar100.npz: 20 test images\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nasbench20"], "did you mean 'nasbench201'"),
        (["cifar1"], "did you mean 'cifar10'"),
        (["cifar10", "--split", "tset", "--note", "n.json"], "did you mean 'test'"),
        (["ImageNet16-120", "--split", "sample"], "known: train, valid"),
        (["ImageNet16-120", "--note", "n.json"], "untrained fetch ImageNet16-120 --from FOLDER"),
        (["cifar10", "--from", "nowhere", "--note", "n.json"], "nowhere does not exist"),
        (["nasbench201", "--from", "nowhere.pth"], "nowhere.pth does not exist"),
        (["nasbench201", "--from", "nowhere.parquet"], "nowhere.parquet does not exist"),
        (["nasbench201", "--from", "/dev/null"], "/dev/null is no plain file"),
        (["nasbench201", "--out", "/proc/nowhere/x.parquet"], "cannot write /proc/nowhere"),
    ],
)
def test_mistakes_write_nothing(refused, arguments, said):
    refused(["fetch", *arguments], said)


def test_the_bar_is_for_terminals(untrained, monkeypatch):
    """A log file gets the path and no empty line; a terminal shows the conversion."""
    shown = []

    class Recorded:
        def __init__(self, **settings):
            shown.append(settings["disable"])

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

        def add_task(self, *arguments, **settings):
            return 0

    monkeypatch.setattr("rich.progress.Progress", Recorded)
    untrained("fetch", "nasbench201")
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes any stream for a terminal then
    untrained("fetch", "nasbench201")
    assert shown == [True, False]
