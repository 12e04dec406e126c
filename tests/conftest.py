"""What tests of several folders share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Small networks run faster on one thread, and sums keep their order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
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


@pytest.fixture(scope="session")
def real_benchmarks():
    """The folder of independent benchmark tables; skips where there is none."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("UNTRAINED_SHARED_DATA", beside)) / "benchmarks"
    if not folder.is_dir():
        pytest.skip("needs the independent benchmark tables: set UNTRAINED_SHARED_DATA")
    return folder
