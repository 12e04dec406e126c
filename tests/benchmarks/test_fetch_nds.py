"""Where the tables of NDS come from, and that lists come with them."""

import zipfile

import pytest

from untrained.benchmarks import fetch_benchmark, nds
from untrained.benchmarks.benchmark import Benchmark
from untrained.benchmarks.nds import convert_nds
from untrained.errors import DamagedFileError, DownloadError, MissingDataError
from untrained.spaces.nds import read_architectures, write_architectures

from .nds_files import cell_entry, read, staged_entry, write


@pytest.fixture
def target(tmp_path):
    return tmp_path / "benchmarks" / "nds_darts.parquet"


@pytest.fixture
def official(tmp_path):
    """The official archive with two spaces, at an address of its own."""
    archive = tmp_path / "official" / "data.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as packed:
        for name, width in (("DARTS.json", 8), ("ENAS.json", 12)):
            path = write(tmp_path / "official" / name, [cell_entry(width=width)])
            packed.write(path, f"nds_data/{name}")
    return archive


def arrived(target, width=8):
    (spelling,) = read_architectures(target.stem, target.with_suffix(".json"))
    assert spelling.startswith(f"width={width} ")
    assert Benchmark.read(target, target.stem).accuracies("cifar10", "ori-test")[0] == 93.5


def test_one_download_serves_all_spaces(target, official, monkeypatch):
    monkeypatch.setattr(nds, "ADDRESS", official.as_uri())
    fetch_benchmark("nds_darts", target)
    arrived(target)
    monkeypatch.setattr(nds, "ADDRESS", (official.parent / "gone.zip").as_uri())
    fetch_benchmark("nds_enas", target.with_stem("nds_enas"))
    arrived(target.with_stem("nds_enas"), 12)
    assert {path.name for path in target.parent.iterdir()} == {
        *("nds_darts.json", "nds_darts.parquet", "nds_enas.json", "nds_enas.parquet"),
        "nds_data.zip",
    }


def test_an_address_that_does_not_answer_is_said(target, tmp_path, monkeypatch):
    monkeypatch.setattr(nds, "ADDRESS", str(tmp_path / "a.zip"))
    said = r"a\.zip does not exist.*; get the data as github.com/facebookresearch/nds describes"
    with pytest.raises(DownloadError, match=said):
        fetch_benchmark("nds_darts", target)
    assert not target.exists()


@pytest.mark.parametrize("as_url", [False, True])
def test_a_mirror_has_the_official_file_or_a_table(tmp_path, target, official, as_url):
    folder = official.parent
    mirror = folder.as_uri() if as_url else str(folder)
    with pytest.raises(MissingDataError, match=r"has no PNAS\.json"):
        fetch_benchmark("nds_pnas", target.with_stem("nds_pnas"), mirror=mirror)
    fetch_benchmark("nds_darts", target, mirror=mirror)
    arrived(target)
    first = target.read_bytes()
    convert_nds("nds_darts", folder / "ENAS.json", folder / "nds_darts.parquet")
    fetch_benchmark("nds_darts", target, mirror=mirror)
    arrived(target, 12)
    assert first == (folder / "nds_darts.parquet").read_bytes()  # the accuracies are the same


def test_a_mirror_on_the_network_has_the_official_file(target, official, monkeypatch):
    asked = []

    def download(url, to, progress):
        asked.append(url)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes((official.parent / "DARTS.json").read_bytes())

    monkeypatch.setattr(nds, "download", download)
    fetch_benchmark("nds_darts", target, mirror="https://mirror.example/nds")
    assert asked == ["https://mirror.example/nds/DARTS.json"]
    arrived(target)
    assert len(list(target.parent.iterdir())) == 2


def test_a_table_comes_with_its_list_or_not_at_all(tmp_path, target, official):
    table = tmp_path / "mine" / "nds_darts.parquet"
    convert_nds("nds_darts", official, table)
    fetch_benchmark("nds_darts", target, source=table)
    arrived(target)
    other = target.with_name("other.parquet")
    table.with_suffix(".json").unlink()
    said = r"nds_darts\.parquet has no list of its architectures: put nds_darts\.json beside it"
    with pytest.raises(MissingDataError, match=said):
        fetch_benchmark("nds_darts", other, source=table)
    garbage = table.with_name("garbage.parquet")
    garbage.write_text("garbage")
    with pytest.raises(DamagedFileError, match=r"garbage\.parquet is damaged"):
        fetch_benchmark("nds_darts", other, source=garbage)
    convert_nds("nds_darts", official, table)
    table.write_bytes(table.read_bytes()[:500])
    with pytest.raises(DamagedFileError, match="damaged"):
        fetch_benchmark("nds_darts", other, source=table)
    assert not other.exists()
    assert not other.with_suffix(".json").exists()


def spelled(*entries):
    return [str(entry.network) for entry in read(*entries)]


THREE = spelled(cell_entry(width=8), cell_entry(width=10), cell_entry(width=12))


@pytest.mark.parametrize(
    ("spellings", "message"),
    [
        (THREE[:1], r"nds_darts\.parquet is not.*: architecture 1 is beyond the last, 0$"),
        ([*THREE, *spelled(staged_entry())],
         r"nds_darts\.json, entry 3 is a network of stages of blocks, those of nds_darts have two"),
        ([*THREE, "width=8"], r"nds_darts\.json, entry 3: 'width=8' lacks depth, .*: fetch"),
    ],
)  # fmt: skip
def test_a_table_and_its_list_belong_together(tmp_path, target, spellings, message):
    entries = [cell_entry(width=8), cell_entry(width=10)]
    table = tmp_path / "mine" / "nds_darts.parquet"
    convert_nds("nds_darts", write(tmp_path / "DARTS.json", entries), table)
    write_architectures("nds_darts", spellings, table.with_suffix(".json"))
    with pytest.raises(DamagedFileError, match=message) as caught:
        fetch_benchmark("nds_darts", target, source=table)
    assert "\n" not in str(caught.value)
    assert not target.parent.exists()
    # the last runs of a list may have no accuracy
    write_architectures("nds_darts", THREE, table.with_suffix(".json"))
    fetch_benchmark("nds_darts", target, source=table)
    assert read_architectures("nds_darts", target.with_suffix(".json")) == THREE
