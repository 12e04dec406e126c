import os
import subprocess
import sys
import uuid
from contextlib import ExitStack
from itertools import takewhile
from types import SimpleNamespace

import pytest
import torch

from untrained.errors import ParameterError
from untrained.scoring import devices
from untrained.scoring.devices import check_device, gpus_here, lease, leased_device

UUIDS = ["GPU-1bcd-0", "GPU-1bef-1", "GPU-2c00-2", "GPU-3d00-3"]
HOLDER = """
import sys
from untrained.scoring.devices import lease
with lease(sys.argv[1:]) as name:
    print(name, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def names():
    """Two names that no other process knows."""
    return [f"GPU-{uuid.uuid4()}" for _ in range(2)]


@pytest.fixture
def two_gpus(monkeypatch, names):
    """PyTorch with two GPUs, whose names are `names`."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    cards = [SimpleNamespace(uuid=name) for name in names]
    monkeypatch.setattr(torch.cuda, "get_device_properties", cards.__getitem__)
    return cards


def holder(names, environment=None):
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, *names],
        env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_two_processes_get_different_devices_and_death_sets_them_free(names):
    with ExitStack() as stack:
        workers = [stack.enter_context(holder(names)) for _ in range(2)]
        try:
            held = [worker.stdout.readline().strip() for worker in workers]
            assert sorted(held) == sorted(names)
            with pytest.warns(UserWarning, match="all 2 GPUs are held"), lease(names) as name:
                assert name in names  # share one
            workers[0].kill()
            workers[0].wait(10)
            with lease(names) as name:
                assert name == held[0]
            with lease(names) as name:  # and again, once given back
                assert name == held[0]
        finally:
            for worker in workers:
                worker.kill()


def test_processes_that_see_other_gpus_never_share_one(names):
    """As runs with `CUDA_VISIBLE_DEVICES` 0,1 and 1,2 and 2,3 do, whoever starts them."""
    cards = [*names, *(f"GPU-{uuid.uuid4()}" for _ in range(2))]
    seen = ({}, "0,1"), ({"USER": "other"}, "1,2"), ({"HOME": "/"}, "2,3"), ({}, "0,3")
    with ExitStack() as stack:
        workers = []
        for changed, visible in seen:
            own = [cards[int(number)] for number in visible.split(",")]
            environment = {**os.environ, **changed, "CUDA_VISIBLE_DEVICES": visible}
            workers.append(stack.enter_context(holder(own, environment)))
            workers[-1].name = workers[-1].stdout.readline().strip()
        assert sorted(worker.name for worker in workers) == sorted(cards)
        for worker in workers:
            worker.kill()


def test_the_name_of_a_lease_is_that_of_no_user(two_gpus, monkeypatch):
    with leased_device("cuda:0"):
        monkeypatch.setattr(os, "getuid", lambda: 12345)
        with pytest.warns(UserWarning, match="held") as caught, leased_device("cuda:0"):
            assert caught[0].filename == __file__


def test_those_that_share_do_not_all_take_the_same_one(names, monkeypatch):
    taken = set()
    with lease(names), lease(names):
        for process in range(2):
            monkeypatch.setattr(os, "getpid", lambda process=process: process)
            with pytest.warns(UserWarning, match="held"), lease(names) as name:
                taken.add(name)
    assert taken == set(names)


def test_without_devices_there_is_nothing_to_lease():
    with lease([]) as name:
        assert name is None


def test_a_lease_ends_with_its_block_even_after_a_failure(names):
    def fails():
        with lease(names):
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fails()
    with lease(names) as first, lease(names) as second:
        assert [first, second] == names


def test_automatic_is_the_cpu_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with leased_device() as device:
        assert device == torch.device("cpu")


@pytest.mark.filterwarnings("error")
def test_automatic_and_named_gpus_are_held_alike(two_gpus, names, monkeypatch):
    with leased_device() as first, leased_device("auto") as second:
        assert [first, second] == [torch.device("cuda:0"), torch.device("cuda:1")]
        shared = f"the GPU is held by untrained already: sharing {names[1]}"
        with pytest.warns(UserWarning, match=shared), leased_device("cuda:1") as third:
            assert third == torch.device("cuda:1")
        with leased_device("cpu") as fourth:
            assert fourth == torch.device("cpu")
    for named, current in (("cuda:0", 0), ("cuda:1", 1), ("cuda", 0), ("cuda", 1)):
        monkeypatch.setattr(torch.cuda, "current_device", lambda current=current: current)
        with leased_device(named) as own, leased_device() as other:
            assert [own.index, other.index] == [current, 1 - current]


def test_without_a_gpu_cuda_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ParameterError, match=r"^device 'cuda' is not here: auto, cpu$"):
        check_device("cuda")


def test_a_gpu_is_held_under_whatever_number_a_process_knows_it(two_gpus, names):
    with leased_device() as first:
        assert first == torch.device("cuda:0")
        two_gpus.reverse()  # as CUDA_VISIBLE_DEVICES=1,0 would
        with leased_device() as second:
            assert second == torch.device("cuda:0")
            assert two_gpus[second.index].uuid == names[1]


@pytest.mark.parametrize("name", ["cuda:2", "gpu", "", "cuda:-1", "meta"])
def test_a_device_that_is_not_here_is_refused(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    message = f"^device {name!r} is not here: auto, cpu, cuda:0, cuda:1$"
    with pytest.raises(ParameterError, match=message), leased_device(name):
        pass


@pytest.fixture
def cards(tmp_path, monkeypatch):
    """The device files of four GPUs, and a build of PyTorch with CUDA."""
    monkeypatch.setattr(devices, "_built_with_cuda", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidia7", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    for place, name in enumerate(UUIDS):
        (tmp_path / f"driver/0000:0{place}:00.0").mkdir(parents=True)
        (tmp_path / f"driver/0000:0{place}:00.0/information").write_text(
            f"Model: \t\t NVIDIA H100\nIRQ:   \t\t 18\nGPU UUID: \t {name}\nVideo BIOS: \t ?\n"
        )
    return tmp_path


@pytest.mark.parametrize(
    ("visible", "count"),
    [
        (None, 4),
        ("", 0),
        ("-1", 0),
        ("NoDevFiles", 0),
        ("none", 0),
        ("void", 0),
        ("3", 1),
        ("0,2", 2),
        (" 0, 2", 2),
        ("0,-1,1", 1),
        ("0,4,1", 1),
        ("0,1,0", 0),
        ("0,00", 0),
        ("0,5,5", 0),
        ("+1,2", 2),
        ("1gpu,2", 2),
        ("-0", 1),
        ("0,GPU-1b", 1),
        ("0,1,MIG-1b", 2),
        ("GPU-1bc", 1),
        ("GPU-1bc,GPU-2c", 2),
        ("GPU-1bc,GPU-1bc", 0),
        ("GPU-1bc,GPU-1bcd", 0),
        ("GPU-1b", 0),
        ("GPU-2c,GPU-dead,GPU-3d", 1),
        ("GPU-2c, GPU-3d", 1),
        (" GPU-2c", 0),
        ("GPU-2c,0", 1),
        ("MIG-1b", 1),
        ("MIG-1b,MIG-2c", 1),
        ("MIG-1b,MIG-1b", 0),
    ],
)
def test_gpus_here_reads_what_is_visible_as_pytorch_does(cards, monkeypatch, visible, count):
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus_here(cards, cards / "driver") == count
    named = torch.cuda._parse_visible_devices()
    if named and str(named[0]).startswith("GPU-"):
        named = torch.cuda._transform_uuid_to_ordinals(named, UUIDS)
    elif named and str(named[0]).startswith("MIG-"):
        named = named[:1]  # PyTorch asks CUDA, which takes one
    else:
        named = list(takewhile(lambda number: number < 4, named))
    assert len(named) == count


def test_uuids_that_the_driver_does_not_tell_are_believed(cards, monkeypatch):
    for visible, count in (("GPU-1b,GPU-2c", 2), ("GPU-1b,GPU-1b", 0), ("GPU-1,GPU-2,GPU-3", 3)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert gpus_here(cards, cards / "nowhere") == count


def test_without_device_files_or_cuda_there_are_no_gpus(cards, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert gpus_here(cards) == 2
    assert gpus_here(tmp_path / "empty") == 0
    monkeypatch.setattr(devices, "_built_with_cuda", lambda: False)
    assert gpus_here(cards) == 0


@pytest.mark.parametrize(
    ("line", "built"),
    [
        ("cuda: Optional[str] = None", False),
        ("cuda = None", False),
        ("cuda: Optional[str] = '13.0'", True),
        ("cuda = '12.8'", True),
    ],
)
def test_the_build_is_known_by_the_version_file(monkeypatch, tmp_path, line, built):
    assert devices._built_with_cuda() == (torch.version.cuda is not None)
    (tmp_path / "version.py").write_text(f"__version__ = '2.13.0'\n{line}\nhip = None\n")
    found = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(devices, "find_spec", lambda _name: found)
    assert devices._built_with_cuda() == built
    monkeypatch.setattr(devices, "find_spec", lambda _name: None)
    assert not devices._built_with_cuda()
