"""What tests of several folders share."""

import gc
import os
import pkgutil
from importlib import import_module
from pathlib import Path

import pytest
from tests import durations

import untrained


def pytest_addoption(parser):
    parser.addoption(
        "--every-row",
        action="store_true",
        help="compare every row of independent tables, not each sixteenth, and 200 random networks",
    )


@pytest.fixture(scope="session")
def part(request):
    """The rows of an independent benchmark table that a slow test compares."""
    return slice(None, None, 1 if request.config.getoption("every_row") else 16)


@pytest.fixture(scope="session")
def guard(tmp_path_factory):
    """What lets autograd see an imitated GPU; see tests/imitation.py."""
    from tests.imitation import guard_library  # which imports PyTorch

    return guard_library(tmp_path_factory.mktemp("guard"))


def pytest_collection_modifyitems(items):
    durations.mark(items, pytest.mark.slow)


def coverage_of(config):
    """Return what measures coverage, if anything does."""
    plugin = config.pluginmanager.get_plugin("_cov")
    return plugin and plugin.cov_controller


def pytest_collection_finish(session):
    """Import every module while coverage is measured: a slow test might be the first to do so.

    What is imported by then stays to the end, and need not be looked at each time that garbage is
    collected; with that being done less often, tests take a tenth less time.
    """
    if coverage_of(session.config):
        for module in pkgutil.walk_packages(untrained.__path__, "untrained."):
            try:
                import_module(module.name)
            except ModuleNotFoundError as error:
                if error.name != "triton":  # which a CPU does without
                    raise
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Measure no coverage of slow tests, which take two fifths more time with it on Python 3.11."""
    coverage = coverage_of(item.config)
    if not coverage or item.get_closest_marker("slow") is None:
        return (yield)
    coverage.pause()
    try:
        return (yield)
    finally:
        coverage.resume()


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Small networks run faster on one thread, and sums keep their order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("OMP_NUM_THREADS", "1")  # of processes that tests start
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def space():
    from untrained.spaces import get_space

    return get_space("nasbench201")


@pytest.fixture(scope="session")
def all_operations(space):
    """The six operations of every cell, by index."""
    from untrained.spaces.nasbench201 import operations_of

    return [operations_of(space[index].spelling) for index in range(len(space))]


@pytest.fixture(scope="session")
def benchmark_table(tmp_path_factory):
    """The bundled benchmark."""
    from untrained.benchmarks.benchmark import Benchmark

    return Benchmark.load(folder=tmp_path_factory.mktemp("none fetched"))


@pytest.fixture(scope="session", autouse=True)
def sample_read_once():
    """The bundled images are decoded once a file, and not for each minibatch."""
    from untrained.images import splits

    read, known = splits._read_sample, {}

    def once(images):
        path = images.bundled
        parts = [] if path is None else [path, path.with_suffix(".json")]
        key = images, *(part.stat().st_mtime_ns if part.is_file() else 0 for part in parts)
        if key not in known:
            known[key] = read(images)
            for array in known[key]:
                array.setflags(write=False)
        return known[key]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(splits, "_read_sample", once)
        yield


@pytest.fixture(scope="module")
def short_networks():
    """Networks of NAS-Bench-201 are small, which is enough for what is around them."""
    from tests.short import shorten

    with pytest.MonkeyPatch.context() as patched:
        shorten(patched)
        yield


@pytest.fixture(scope="session")
def real_benchmarks():
    """The folder of independent benchmark tables; skips where there is none."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("UNTRAINED_SHARED_DATA", beside)) / "benchmarks"
    if not folder.is_dir():
        pytest.skip("needs the independent benchmark tables: set UNTRAINED_SHARED_DATA")
    return folder
