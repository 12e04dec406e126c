"""Where a benchmark table comes from, and that only a valid one arrives."""

import pytest

from untrained.benchmarks import Benchmark, fetch_benchmark
from untrained.errors import (
    DamagedFileError,
    DownloadError,
    MissingDataError,
    ParameterError,
    UnknownNameError,
)
from untrained.files import BUNDLED

from .official_files import official_content, save

BUNDLED_BYTES = (BUNDLED / "nasbench201.parquet").read_bytes()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "benchmarks" / "nasbench201.parquet"


def test_bundled_table_is_copied_byte_by_byte(target):
    fetch_benchmark("nasbench201", target)
    assert target.read_bytes() == BUNDLED_BYTES
    assert len(Benchmark.load(folder=target.parent).measures) == 21


def test_table_is_copied(tmp_path, target):
    (tmp_path / "mine.parquet").write_bytes(BUNDLED_BYTES)
    fetch_benchmark("nasbench201", target, source=tmp_path / "mine.parquet")
    assert target.read_bytes() == BUNDLED_BYTES


@pytest.mark.usefixtures("few_cells")
def test_official_file_is_converted(tmp_path, target):
    calls = []
    fetch_benchmark(
        "nasbench201",
        target,
        source=save(official_content((1, 2)), tmp_path),
        progress=lambda *numbers: calls.append(numbers),
    )
    assert len(calls) == 3
    assert Benchmark.load(folder=target.parent).accuracies("cifar10", "ori-test")[2] > 0


@pytest.mark.parametrize("as_url", [False, True])
def test_mirror(tmp_path, target, as_url):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "nasbench201.parquet").write_bytes(BUNDLED_BYTES)
    fetch_benchmark("nasbench201", target, mirror=mirror.as_uri() if as_url else str(mirror))
    assert target.read_bytes() == BUNDLED_BYTES
    assert list(target.parent.iterdir()) == [target]


def test_mirror_without_the_table(tmp_path, target):
    with pytest.raises(DownloadError, match="does not exist"):
        fetch_benchmark("nasbench201", target, mirror=str(tmp_path))
    assert not target.exists()


def test_a_mirror_that_answers_something_else_is_named(tmp_path, target):
    (tmp_path / "nasbench201.parquet").write_text("<html>sign in</html>")
    with pytest.raises(DamagedFileError) as caught:
        fetch_benchmark("nasbench201", target, mirror=tmp_path.as_uri())
    said = (
        f"{tmp_path.as_uri()}/nasbench201.parquet is no table of nasbench201 (nasbench201.parquet"
    )
    assert str(caught.value).startswith(said)
    assert ".fetched" not in str(caught.value)


def test_invalid_tables_leave_the_target_alone(tmp_path, target):
    fetch_benchmark("nasbench201", target)
    damaged = tmp_path / "nasbench201.parquet"
    damaged.write_bytes(BUNDLED_BYTES[:1000])
    with pytest.raises(DamagedFileError, match="damaged"):
        fetch_benchmark("nasbench201", target, source=damaged)
    with pytest.raises(DamagedFileError, match="damaged"):
        fetch_benchmark("nasbench201", target, mirror=str(tmp_path))
    assert target.read_bytes() == BUNDLED_BYTES
    assert list(target.parent.iterdir()) == [target]


def test_wrong_arguments(tmp_path, target):
    with pytest.raises(UnknownNameError, match="did you mean 'nasbench201'"):
        fetch_benchmark("nasbench-201", target)
    (tmp_path / "table.csv").touch()
    with pytest.raises(ParameterError, match=r"neither an official \.pth file nor a \.parquet"):
        fetch_benchmark("nasbench201", target, source=tmp_path / "table.csv")
    with pytest.raises(MissingDataError, match="does not exist"):
        fetch_benchmark("nasbench201", target, source=tmp_path / "table.parquet")
