"""Checkpoints of trainings: tensors, numbers and strings, read without executing anything."""

import io
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from untrained.errors import DamagedFileError, ParameterError
from untrained.files import atomic
from untrained.training.loop import Epoch, State

_FORMAT = "untrained training 1"

#: The settings of a training on which its result depends, by name.
Settings = Mapping[str, str | int | float | bool]


def write_checkpoint(path: Path, settings: Settings, state: State) -> None:
    """Write the state of a training, in one piece or not at all.

    Raises:
        UntrainedError: the file can't be written.
    """
    content = {
        "format": _FORMAT,
        "settings": dict(settings),
        "epochs": [asdict(epoch) for epoch in state.epochs],
        "network": dict(state.network),
        "optimiser": dict(state.optimiser),
    }
    # through memory, because PyTorch reports a full disk as a RuntimeError
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with atomic(path) as part:
        part.write_bytes(buffer.getbuffer())


def read_checkpoint(path: Path, settings: Settings) -> State | None:
    """Return the state in a file, on the CPU; None if there is no such file.

    Args:
        path: file of the checkpoint.
        settings: settings of the training that continues.

    Raises:
        DamagedFileError: the file is no checkpoint, or not intact.
        ParameterError: it belongs to another training; the message names a setting that differs.
    """
    if not path.is_file():
        return None
    try:
        # PyTorch does not check the checksums of its archive
        with zipfile.ZipFile(path) as archive:
            intact = archive.testzip() is None
        content = torch.load(path, map_location="cpu", weights_only=True) if intact else None
    except (
        *(OSError, RuntimeError, EOFError, KeyError, ValueError),
        *(zipfile.BadZipFile, zlib.error, NotImplementedError, pickle.UnpicklingError),
    ) as error:
        raise damaged(path) from error
    if content is None or not _is_checkpoint(content):
        raise damaged(path)
    saved = content["settings"]
    for name, value in settings.items():
        if name not in saved:
            raise damaged(path)
        if saved[name] != value:
            raise ParameterError(
                f"{path} is of a training with {name} {saved[name]}, not {value}: delete it or "
                "name another --checkpoint"
            )
    try:
        epochs = tuple(Epoch(**epoch) for epoch in content["epochs"])
    except TypeError as error:
        raise damaged(path) from error
    if [epoch.epoch for epoch in epochs] != list(range(1, len(epochs) + 1)):
        raise damaged(path)
    return State(epochs, content["network"], content["optimiser"])


def damaged(path: Path | None) -> DamagedFileError:
    """Return (not raise) the error for a file that is no intact checkpoint."""
    return DamagedFileError(
        f"{path} is no checkpoint of a training or is damaged: delete it to start again"
    )


def _is_checkpoint(content: Any) -> bool:  # noqa: ANN401 - whatever was in the file
    kinds = {
        "format": str, "settings": dict, "epochs": list, "network": dict, "optimiser": dict
    }  # fmt: skip
    return (
        isinstance(content, dict)
        and content.get("format") == _FORMAT
        and all(isinstance(content.get(name), kind) for name, kind in kinds.items())
        and all(isinstance(epoch, dict) for epoch in content["epochs"])
    )
