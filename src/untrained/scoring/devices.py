"""Choose the device that networks are run on, so that each GPU has one process."""

import fcntl
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from untrained.errors import ParameterError

if TYPE_CHECKING:
    import torch

LOCKS = Path(tempfile.gettempdir()) / f"untrained-devices-{os.getuid()}"


def gpus_here(devices: Path = Path("/dev")) -> int:
    """Return how many NVIDIA GPUs this process may use, without PyTorch, which loads slowly."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    return sum(path.name.removeprefix("nvidia").isdecimal() for path in devices.glob("nvidia*"))


@contextmanager
def leased_device(requested: str = "auto", locks: Path = LOCKS) -> Iterator["torch.device"]:
    """Yield the device to work on: by default the first visible GPU that no process holds.

    The CPU is taken where there is no GPU.

    Snakemake assigns a number of GPUs, not their names, so each worker takes the first one whose
    lock file is free and keeps it until it is done.

    Args:
        requested: `auto`, or a device in PyTorch's notation (`cpu`, `cuda:1`), which is taken
            even if another process holds it.
        locks: the folder of the lock files.

    Raises:
        ParameterError: this machine has no such device.
    """
    if requested != "auto":
        yield check_device(requested)
        return
    import torch

    names = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    with lease(names, locks) as name:
        yield torch.device(name or "cpu")


@contextmanager
def lease(names: Sequence[str], locks: Path) -> Iterator[str | None]:
    """Yield the first name that no other process holds, or any where all are held.

    Where there are no names it yields None.
    """
    with ExitStack() as stack:
        for name in names:
            locks.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context((locks / name.replace(":", "")).open("w"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield name
            return
        yield names[os.getpid() % len(names)] if names else None


def check_device(name: str) -> "torch.device":
    """Return the device with a name in PyTorch's notation.

    Raises:
        ParameterError: this machine has no such device.
    """
    import torch

    available = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    full = "cuda:0" if name == "cuda" else name
    if full not in available:
        raise ParameterError(f"device {name!r} is not here: auto, {', '.join(available)}")
    return torch.device(full)
