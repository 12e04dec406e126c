import subprocess
import sys
from contextlib import ExitStack

import pytest
import torch

from untrained.errors import ParameterError
from untrained.scoring.devices import check_device, lease, leased_device

NAMES = ["invented:0", "invented:1"]
HOLDER = """
import sys
from pathlib import Path
from untrained.scoring.devices import lease
with lease(["invented:0", "invented:1"], Path(sys.argv[1])) as name:
    print(name, flush=True)
    sys.stdin.read()
"""


def holder(locks):
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(locks)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_two_processes_get_different_devices_and_death_sets_them_free(tmp_path):
    locks = tmp_path / "locks"
    with ExitStack() as stack:
        workers = [stack.enter_context(holder(locks)) for _ in range(2)]
        try:
            held = [worker.stdout.readline().strip() for worker in workers]
            assert sorted(held) == NAMES
            with lease(NAMES, locks) as name:
                assert name in NAMES  # all are taken: share one
            workers[0].kill()
            workers[0].wait(10)
            with lease(NAMES, locks) as name:
                assert name == held[0]
            with lease(NAMES, locks) as name:  # and again, once given back
                assert name == held[0]
        finally:
            for worker in workers:
                worker.kill()


def test_without_devices_there_is_nothing_to_lease(tmp_path):
    with lease([], tmp_path / "locks") as name:
        assert name is None
    assert not (tmp_path / "locks").exists()


def test_a_lease_ends_with_its_block_even_after_a_failure(tmp_path):
    def fails():
        with lease(NAMES, tmp_path):
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fails()
    with lease(NAMES, tmp_path) as first, lease(NAMES, tmp_path) as second:
        assert [first, second] == NAMES


def test_automatic_is_the_cpu_where_there_is_no_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with leased_device(locks=tmp_path / "locks") as device:
        assert device == torch.device("cpu")


def test_automatic_leases_gpus_and_a_named_one_is_taken_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with leased_device(locks=tmp_path) as first, leased_device("auto", tmp_path) as second:
        assert [first, second] == [torch.device("cuda:0"), torch.device("cuda:1")]
        with leased_device("cuda:1", tmp_path) as third, leased_device("cpu", tmp_path) as fourth:
            assert [third, fourth] == [torch.device("cuda:1"), torch.device("cpu")]
    assert check_device("cuda") == torch.device("cuda:0")


@pytest.mark.parametrize("name", ["cuda:2", "gpu", "", "cuda:-1", "meta"])
def test_a_device_that_is_not_here_is_refused(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    message = f"^device {name!r} is not here: auto, cpu, cuda:0, cuda:1$"
    with pytest.raises(ParameterError, match=message), leased_device(name):
        pass


def test_gpus_here_counts_device_files_or_what_is_visible(tmp_path, monkeypatch):
    from untrained.scoring.devices import gpus_here

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus_here(tmp_path) == 0
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert gpus_here(tmp_path) == 2
    for visible, count in (("", 0), ("-1", 0), ("3", 1), ("0,2", 2)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert gpus_here(tmp_path) == count
