"""Read pickled arrays without running what a pickle may ask to run.

Official image archives are pickles. An ordinary unpickler imports and calls whatever the file
names; this one knows a handful of names, and gives each a stand-in of its own that builds nothing
but numbers, text and arrays of them.
"""

import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from untrained.errors import DamagedFileError
from untrained.files import reading

# Booleans, integers, floats, complex numbers, byte strings and text. Objects and structures are
# out: their memory holds pointers, and a forged state could point anywhere.
_PLAIN_KINDS = "biufcSU"


def unpickle(data: bytes, name: str) -> object:
    """Rebuild the plain data in a pickle: containers, numbers, text, arrays of numbers or text.

    Strings of Python 2 become text by Latin-1, which keeps every byte.

    Args:
        data: the pickle, protocols 0 to 5.
        name: what to call it in error messages, usually its file name.

    Returns:
        The object. Its arrays belong to a private subclass: `numpy.asarray` gives plain ones.

    Raises:
        DamagedFileError: truncated or malformed, or it names a global outside the allowed ones.
    """
    with reading(f"{name} is not a complete pickle"):
        return _PlainUnpickler(io.BytesIO(data), name).load()


class _ForgedError(pickle.UnpicklingError):
    """The pickle is well-formed, but NumPy would not have written it."""


class _StandIn:
    """A callable whose attributes no pickle can set (a function's it could)."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def __call__(self, *arguments: object) -> object:
        return self._function(*arguments)

    def __setstate__(self, state: object) -> None:
        raise _ForgedError("state for a global")


class _Type:
    """Takes the place of `numpy.dtype`, so that no file reaches NumPy's own state setter."""

    def __init__(self, code: object, *_flags: object) -> None:
        if not isinstance(code, str) or np.dtype(code).kind not in _PLAIN_KINDS:
            raise _ForgedError(f"array type {code!r}")
        self.dtype: np.dtype[Any] = np.dtype(code)

    def __setstate__(self, state: tuple[object, ...]) -> None:
        order = state[1]
        if order == "<" or order == ">":
            self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray[Any, np.dtype[Any]]):
    """An array that checks the state it is rebuilt from."""

    def __setstate__(self, state: Any) -> None:  # noqa: ANN401 - whatever the file holds
        _, shape, kind, fortran, content = state
        known: Any = (1, shape, _plain(kind), bool(fortran), _bytes(content))
        super().__setstate__(known)


def _plain(kind: object) -> np.dtype[Any]:
    if not isinstance(kind, _Type):
        raise _ForgedError("an array without a type")
    return kind.dtype


def _bytes(content: object) -> bytes:
    if isinstance(content, str):
        return content.encode("latin1")
    if isinstance(content, bytes | bytearray):
        return bytes(content)
    raise _ForgedError("an array without content")


def _reconstruct(*_arguments: object) -> _Array:
    return _Array((0,), np.uint8)


def _from_buffer(content: object, kind: object, shape: Any, order: Any) -> NDArray[Any]:  # noqa: ANN401
    return np.frombuffer(_bytes(content), _plain(kind)).reshape(shape, order=order)


def _scalar(kind: object, content: object) -> object:
    return np.frombuffer(_bytes(content), _plain(kind), count=1)[0]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise _ForgedError(f"encoding {encoding!r}")
    return text.encode("latin1")


def _empty() -> bytes:
    return b""


_ALLOWED: dict[str, object] = {
    # How Python 3 spells b"" in the protocols of Python 2.
    "__builtin__.bytes": _StandIn(_empty),
    "numpy.dtype": _StandIn(_Type),
    # One that keeps its order, as every dict does.
    "collections.OrderedDict": _StandIn(dict),
    # Only ever an argument of `_reconstruct`, which does not look at it.
    "numpy.ndarray": "numpy.ndarray",
    "_codecs.encode": _StandIn(_encode),
}
# NumPy 2 renamed `numpy.core`; there are files of both.
for _core in ("numpy.core", "numpy._core"):
    _ALLOWED[f"{_core}.multiarray._reconstruct"] = _StandIn(_reconstruct)
    _ALLOWED[f"{_core}.multiarray.scalar"] = _StandIn(_scalar)
    _ALLOWED[f"{_core}.numeric._frombuffer"] = _StandIn(_from_buffer)


class _PlainUnpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, name: str) -> None:
        super().__init__(file, encoding="latin1")
        self._name = name

    def find_class(self, module: str, attribute: str) -> object:
        address = f"{module}.{attribute}"
        if address not in _ALLOWED:
            raise DamagedFileError(
                f"{self._name} names the forbidden global {address!r}: "
                "it is more than data, get it from a source that you trust"
            )
        return _ALLOWED[address]
