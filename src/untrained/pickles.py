"""Read pickled data without running any code that the pickle names.

An ordinary unpickler imports and calls whatever a file names. This one accepts a few names only
and replaces each of them with a stand-in that builds numbers, text, and arrays of them.
"""

import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from untrained.errors import DamagedFileError
from untrained.files import reading

# Booleans, integers, floats, complex numbers, byte strings and text. Arrays of objects and of
# structures are refused, since their memory holds pointers, which a forged file could set.
_PLAIN_KINDS = "biufcSU"


def unpickle(data: bytes, name: str) -> object:
    """Rebuild the data in a pickle: containers, numbers, text, and arrays of numbers or text.

    Strings of Python 2 are decoded as Latin-1, which keeps every byte.

    Args:
        data: the pickle, in one of the protocols 0 to 5.
        name: the name of the file, for errors.

    Returns:
        The object. Its arrays have a private subclass; `numpy.asarray` makes plain ones of them.

    Raises:
        DamagedFileError: the pickle is truncated, malformed, or names a global that is not allowed.
    """
    with reading(f"{name} is not a complete pickle"):
        return _PlainUnpickler(io.BytesIO(data), name).load()


class _ForgedError(pickle.UnpicklingError):
    """Signals a well-formed pickle that NumPy would not have written."""


class StandIn:
    """Wraps a function that a pickle may call, so that the pickle cannot set its attributes."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def __call__(self, *arguments: object) -> object:
        """Call the function."""
        return self._function(*arguments)

    def __setstate__(self, state: object) -> None:
        raise _ForgedError("state for a global")


class Type:
    """Replaces `numpy.dtype`, so that no file reaches NumPy's own method that restores a state."""

    def __init__(self, code: object, *_flags: object) -> None:
        if not isinstance(code, str) or np.dtype(code).kind not in _PLAIN_KINDS:
            raise _ForgedError(f"array type {code!r}")
        self.dtype: np.dtype[Any] = np.dtype(code)

    def __setstate__(self, state: tuple[object, ...]) -> None:
        order = state[1]
        if order == "<" or order == ">":
            self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray[Any, np.dtype[Any]]):
    """An array that checks the state from which it is rebuilt."""

    def __setstate__(self, state: Any) -> None:  # noqa: ANN401 - whatever the file holds
        _, shape, kind, fortran, content = state
        known: Any = (1, shape, _plain(kind), bool(fortran), _bytes(content))
        super().__setstate__(known)


def _plain(kind: object) -> np.dtype[Any]:
    if not isinstance(kind, Type):
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


#: Maps each allowed address to its stand-in.
ALLOWED: dict[str, object] = {
    # Python 3 writes b"" as a call of this in the protocols of Python 2.
    "__builtin__.bytes": StandIn(_empty),
    "numpy.dtype": StandIn(Type),
    "collections.OrderedDict": StandIn(dict),
    # It is only an argument of `_reconstruct`, which ignores it.
    "numpy.ndarray": "numpy.ndarray",
    "_codecs.encode": StandIn(_encode),
}
# NumPy 2 renamed `numpy.core`, and files have either name.
for _core in ("numpy.core", "numpy._core"):
    ALLOWED[f"{_core}.multiarray._reconstruct"] = StandIn(_reconstruct)
    ALLOWED[f"{_core}.multiarray.scalar"] = StandIn(_scalar)
    ALLOWED[f"{_core}.numeric._frombuffer"] = StandIn(_from_buffer)


class _PlainUnpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, name: str) -> None:
        super().__init__(file, encoding="latin1")
        self._name = name

    def find_class(self, module: str, attribute: str) -> object:
        address = f"{module}.{attribute}"
        if address not in ALLOWED:
            raise DamagedFileError(
                f"{self._name} names the forbidden global {address!r}: "
                "it is more than data, get it from a source that you trust"
            )
        return ALLOWED[address]
