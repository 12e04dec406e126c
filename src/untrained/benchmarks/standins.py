"""What the names in an official NAS-Bench-201 file become when it is read: numbers or nothing."""

import pickle
from collections import OrderedDict
from collections.abc import Callable

import numpy as np


class Inert:
    """A tensor, a storage, an array or a class of them: stands in the place, holds nothing."""


class Call:
    """A function that the pickle may call; no other can be."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., object]) -> None:
        self.function = function


class Type:
    """A NumPy type: of a number, or useless."""

    def __init__(self, code: object, *_flags: object) -> None:
        if not isinstance(code, str):
            raise pickle.UnpicklingError("a NumPy type without a name")
        self.dtype = np.dtype(code)

    def restore(self, state: tuple[object, ...]) -> None:
        """Take the byte order from the state that NumPy saved; a number's type has no more."""
        order = state[1]
        if order == "<" or order == ">":
            self.dtype = self.dtype.newbyteorder(order)


INERT = Inert()


def _inert(*_arguments: object) -> Inert:
    return INERT


def _no_bytes() -> bytes:
    return b""


def _scalar(kind: Type, content: bytes) -> object:
    if kind.dtype.kind not in "biuf":
        raise pickle.UnpicklingError(f"a scalar of type {kind.dtype}")
    return np.frombuffer(content, kind.dtype, count=1)[0]


def _allowed() -> dict[str, object]:
    names: dict[str, object] = {
        "collections.OrderedDict": Call(OrderedDict),
        "numpy.dtype": Call(Type),
        "numpy.ndarray": INERT,
        "torch._utils._rebuild_tensor_v2": Call(_inert),
        "torch._utils._rebuild_parameter": Call(_inert),
        # How Python 3 spells b"" for Python 2.
        "__builtin__.bytes": Call(_no_bytes),
    }
    for core in ("numpy.core", "numpy._core"):  # NumPy 2 renamed it
        names[f"{core}.multiarray.scalar"] = Call(_scalar)
        names[f"{core}.multiarray._reconstruct"] = Call(_inert)
    for kind in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte"):
        names[f"torch.{kind}Storage"] = INERT
    names["torch.BoolStorage"] = INERT
    return names


#: Address to stand-in; `_codecs.encode` is missing, as the unpickler has its own.
ALLOWED = _allowed()
