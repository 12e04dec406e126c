"""Choose the device that networks are run on, so that each GPU has one process."""

import os
import re
import socket
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from untrained.errors import ParameterError, quoted

if TYPE_CHECKING:
    import torch


def gpus_here(devices: Path = Path("/dev"), driver: Path = Path("/proc/driver/nvidia/gpus")) -> int:
    """Return how many NVIDIA GPUs this process may use, without PyTorch, which loads slowly.

    These are the device files, as far as `CUDA_VISIBLE_DEVICES` names them; there are none for a
    build of PyTorch without CUDA.
    """
    cards = sum(path.name.removeprefix("nvidia").isdecimal() for path in devices.glob("nvidia*"))
    if not cards or not _built_with_cuda():
        return 0
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    if names is None:
        return cards
    told = "".join(path.read_text() for path in driver.glob("*/information"))
    return _visible(names, cards, re.findall(r"GPU UUID:\s*(\S+)", told))


def _visible(names: str, cards: int, uuids: Sequence[str]) -> int:
    """Return how many GPUs CUDA sees by a value of `CUDA_VISIBLE_DEVICES`, as PyTorch counts them.

    It reads up to the first name that is none of a GPU, and sees nothing where one is named twice.
    All names are of the kind of the first: numbers, beginnings of UUIDs that fit one GPU each, or
    parts of GPUs (MIG), of which it takes one. UUIDs that the driver does not tell are believed.
    """
    kind = next((kind for kind in ("GPU-", "MIG-") if names.startswith(kind)), None)
    if kind is None:
        found = [re.match(r"[-+]?[0-9]+", name.strip()) for name in names.split(",")]
        read = [int(one[0]) if one else -1 for one in found]
        numbers = list(takewhile(lambda number: number >= 0, read))
        return 0 if _twice(numbers) else len(list(takewhile(lambda one: one < cards, numbers)))
    named = list(takewhile(lambda name: name.startswith(kind), names.split(",")))
    if _twice(named):
        return 0
    if kind == "MIG-":
        return 1
    fitting = [[one for one in uuids or [name] if one.startswith(name)] for name in named]
    known = [fits[0] for fits in takewhile(lambda fits: len(fits) == 1, fitting)]
    return 0 if _twice(known) else min(len(known), cards)


def _twice(names: Sequence[object]) -> bool:
    return len(set(names)) < len(names)


def _built_with_cuda() -> bool:
    """Return whether PyTorch is built with CUDA, by its version file."""
    found = find_spec("torch")
    if found is None or found.origin is None:
        return False
    text = Path(found.origin).with_name("version.py").read_text()
    return re.search(r"^cuda\b[^=]*=\s*['\"]", text, re.MULTILINE) is not None


@contextmanager
def leased_device(requested: str = "auto") -> Iterator["torch.device"]:
    """Yield the device to work on: by default the first visible GPU that nobody holds.

    The CPU is taken where there is no GPU.

    Snakemake assigns a number of GPUs, not their names, so each worker takes the first one that
    is free and holds it until it is done. A GPU that is named is held as well, so that no other
    worker takes it for a free one. GPUs are known by their UUIDs, which are the same whatever
    `CUDA_VISIBLE_DEVICES` leaves out.

    Args:
        requested: `auto`, or a device in PyTorch's notation (`cpu`, `cuda:1`; `cuda` is the
            current one), which is taken, with a warning, even if it is held already.

    Raises:
        ParameterError: this machine has no such device.
    """
    import torch

    numbers: Sequence[int] = range(torch.cuda.device_count())
    if requested != "auto":
        device = check_device(requested)
        numbers = [] if device.index is None else [device.index]
    names = [str(torch.cuda.get_device_properties(number).uuid) for number in numbers]
    with lease(names) as name:
        yield torch.device("cpu" if name is None else f"cuda:{numbers[names.index(name)]}")


@contextmanager
def lease(names: Sequence[str]) -> Iterator[str | None]:
    """Yield the first name that nobody holds, or any, with a warning, where all are held.

    A name is held by a socket of Linux's abstract namespace, which all users of a machine share
    (but no containers with network namespaces of their own), and which ends with its process and
    those that it forked. Where there are no names it yields None.
    """
    with ExitStack() as stack:
        for name in names:
            held = stack.enter_context(socket.socket(socket.AF_UNIX))
            try:
                held.bind(f"\0untrained device {name}")
            except OSError:
                continue
            yield name
            return
        if not names:
            yield None
            return
        shared = names[os.getpid() % len(names)]
        which = f"all {len(names)} GPUs are" if len(names) > 1 else "the GPU is"
        warnings.warn(
            f"{which} held by untrained already: sharing {shared}; "
            "run fewer at once (`snakemake --resources gpu=N`)",
            stacklevel=5,  # who wrote `with leased_device()`
        )
        yield shared


def check_device(name: str) -> "torch.device":
    """Return the device with a name in PyTorch's notation; `cuda` is the current GPU.

    Raises:
        ParameterError: this machine has no such device.
    """
    import torch

    available = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    full = name
    if name == "cuda" and len(available) > 1:
        full = f"cuda:{torch.cuda.current_device()}"
    if full not in available:
        raise ParameterError(f"device {quoted(name)} is not here: auto, {', '.join(available)}")
    return torch.device(full)
