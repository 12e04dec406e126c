"""An unpickler that runs no code of a file, and frees each architecture when it has been read."""

import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO, ClassVar, cast

import numpy as np

from untrained.errors import DamagedFileError

#: Given the complete {"full": ..., "less": ...} of an architecture, returns its index.
Consumer = Callable[[dict[str, Any]], int]

#: Bytes read at once.
CHUNK = 1 << 20

_LONGEST = 9  # bytes that the opcodes of the fast path have at most, text apart
_LONGEST_NAME = 200
# Protocol 2, which PyTorch writes, and no more of it than data needs: the opcodes that build
# constants, numbers, text, tuples, lists and dicts.
_PLAIN = b"\x80(0N\x88\x89JKM\x8a\x8bGX)t\x85\x86\x87]ae}"


class Inert:
    """Takes the place of a tensor, a storage, an array or a class of them, and holds nothing."""


class Call:
    """A function that a pickle may call; it can call no others."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., object]) -> None:
        self.function = function


class Type:
    """Takes the place of `numpy.dtype`; scalars are made of the types of numbers only."""

    def __init__(self, code: object, *_flags: object) -> None:
        if not isinstance(code, str):
            raise pickle.UnpicklingError("a NumPy type without a name")
        self.dtype = np.dtype(code)

    def restore(self, state: tuple[object, ...]) -> None:
        """Take the byte order from the state that NumPy saved; a number's type has no more."""
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(cast("Any", state[1]))


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
# Kept in the memo: a few bytes each, and unlike containers they hold on to nothing else.
_LIGHT = frozenset({bool, int, float, np.float64, np.int64, Call, Type, Inert})


class _Gone:
    """Takes the place of a freed object in the memo."""


class _Stop(Exception):  # noqa: N818 - ends a pickle, no error
    """The pickle is complete."""


_GONE = _Gone()


# The unpickler in C is faster, but has no hook for a complete dict, which is needed to free an
# architecture before the next one is read.
class StreamingUnpickler(pickle._Unpickler):
    """Reads the pickles of a file one after the other.

    Args:
        file: binary, at the start of the first pickle.
        name: what to call the file in errors.
        consume: called with each dict that has both keys "full" and "less", when it has; the dict
            is then replaced by {"index": what the call returned}.
        report: called with the number of bytes read, after each architecture.
    """

    def __init__(
        self, file: BinaryIO, name: str, consume: Consumer, report: Callable[[int], None]
    ) -> None:
        super().__init__(file)
        self._file = file
        self._name = name
        self._consume = consume
        self._report = report
        self._data = b""
        self._at = 0  # in the data
        self._before = 0  # bytes of the file before the data
        # A list, as entries are numbered from 0 on; with 10^8 of them a dict would take 10 GB.
        self.memo: list[object] = []
        self._settled = 0
        self._texts: dict[str, str] = {}
        self._encoded: set[str] = set()
        self._globals = {**ALLOWED, "_codecs.encode": Call(self._encode)}

    def read(self, count: int) -> bytes:
        """The next `count` bytes."""
        if self._at + count > len(self._data):
            self._refill(count)
        self._at += count
        return self._data[self._at - count : self._at]

    def _refill(self, count: int) -> None:
        """Have at least `count` bytes ahead; reads no more than that and a chunk at once."""
        pieces = [self._data[self._at :]]
        self._before += self._at
        have = len(pieces[0])
        while have < count:
            # In pieces, as a forged length must not reserve memory.
            piece = self._file.read(CHUNK)
            if not piece:
                raise EOFError("it ends in the middle")
            pieces.append(piece)
            have += len(piece)
        self._data = b"".join(pieces)
        self._at = 0

    def load(self) -> object:
        """Read the next pickle."""
        self.memo.clear()
        self.metastack: list[list[object]] = []
        self.stack: list[object] = []
        self.append = self.stack.append
        self._settled = 0
        self.proto = 0
        try:
            while True:
                self._run()
        except _Stop:
            return self.stack.pop()

    def _run(self) -> None:
        """Execute opcodes until little of the data is left.

        The six most frequent opcodes are handled here, with everything in local variables; that
        makes the whole three times as fast.
        """
        if len(self._data) - self._at <= _LONGEST:
            self._step()
            return
        data, at, memo, texts = self._data, self._at, self.memo, self._texts
        stack, append = self.stack, self.append
        end = len(data) - _LONGEST
        double, word = struct.Struct(">d").unpack_from, struct.Struct("<I").unpack_from
        while at < end:
            opcode = data[at]
            if opcode == 0x47:  # BINFLOAT
                append(double(data, at + 1)[0])
                at += 9
            elif opcode == 0x72:  # LONG_BINPUT
                if word(data, at + 1)[0] != len(memo):
                    raise pickle.UnpicklingError("a memo out of order")
                memo.append(stack[-1])
                at += 5
            elif opcode == 0x58:  # BINUNICODE
                stop = at + 5 + word(data, at + 1)[0]
                if stop > end:
                    break
                text = str(data[at + 5 : stop], "utf-8", "surrogatepass")
                append(texts.setdefault(text, text))
                at = stop
            elif opcode == 0x6A:  # LONG_BINGET
                append(self._recall(word(data, at + 1)[0]))
                at += 5
            elif opcode == 0x4B:  # BININT1
                append(data[at + 1])
                at += 2
            elif opcode == 0x68:  # BINGET
                append(self._recall(data[at + 1]))
                at += 2
            else:
                self._at = at
                self._step()
                if self._data is not data:
                    return
                at, stack, append = self._at, self.stack, self.append
        self._at = at
        if at < end:  # a long text
            self._step()

    def _step(self) -> None:
        opcode = self.read(1)[0]
        if opcode not in self._handlers:
            raise pickle.UnpicklingError(f"opcode {opcode:#04x}")
        self._handlers[opcode](self)

    def _recall(self, index: int) -> object:
        entry = self.memo[index]
        if entry is _GONE:
            raise pickle.UnpicklingError("architectures share data")
        return entry

    def _line(self) -> str:
        line = b""
        while (byte := self.read(1)) != b"\n":
            line += byte
            if len(line) > _LONGEST_NAME:
                raise pickle.UnpicklingError("a name without an end")
        return line.decode()

    def _encode(self, text: str, encoding: str) -> bytes:
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"encoding {encoding!r}")
        if len(text) > 1:
            self._encoded.add(text)
        return text.encode("latin1")

    def _load_stop(self) -> None:
        raise _Stop

    def _load_get(self, width: int = 1) -> None:
        self.append(self._recall(int.from_bytes(self.read(width), "little")))

    def _load_put(self, width: int = 1) -> None:
        if int.from_bytes(self.read(width), "little") != len(self.memo):
            raise pickle.UnpicklingError("a memo out of order")
        self.memo.append(self.stack[-1])

    def _load_global(self) -> None:
        address = f"{self._line()}.{self._line()}"
        if address not in self._globals:
            raise DamagedFileError(
                f"{self._name} names the forbidden global {address!r}: it is more than data, "
                "get it from its official source"
            )
        self.append(self._globals[address])

    def _load_reduce(self) -> None:
        arguments = self.stack.pop()
        call = self.stack[-1]
        if not isinstance(call, Call) or not isinstance(arguments, tuple):
            raise pickle.UnpicklingError("a call of something else than a function")
        if self.memo and self.memo[-1] is arguments:
            self.memo[-1] = _GONE  # made for this call only
        self.stack[-1] = call.function(*arguments)

    def _load_build(self) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Type):
            self.stack[-1].restore(cast("tuple[object, ...]", state))

    def _load_persistent(self) -> None:
        self.stack[-1] = INERT

    def _load_item(self) -> None:
        value = self.stack.pop()
        self._fill([self.stack.pop(), value])

    def _load_items(self) -> None:
        self._fill(self.pop_mark())  # type: ignore[attr-defined]

    def _fill(self, items: list[object]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise pickle.UnpicklingError("items outside of a dict")
        target.update(zip(items[::2], items[1::2], strict=True))
        if "full" in target and "less" in target:
            index = self._consume(target)
            target.clear()
            target["index"] = index
            self._forget()
            self._report(self._before + self._at)

    def _forget(self) -> None:
        """Free what the architecture just read has put into the memo.

        Later ones refer back to names and types, but not to containers. Texts and bytes that were
        a number go too: there are as many as numbers.
        """
        self.memo[self._settled :] = [
            entry if self._is_light(entry) else _GONE for entry in self.memo[self._settled :]
        ]
        self._settled = len(self.memo)
        for text in self._encoded:
            self._texts.pop(text, None)
        self._encoded.clear()

    def _is_light(self, entry: object) -> bool:
        kind = type(entry)
        if kind is str:
            return entry not in self._encoded
        if kind is tuple:
            return all(type(part) in _LIGHT or type(part) is str for part in cast("Any", entry))
        # Python has one object for each byte, so architectures do share those.
        return kind in _LIGHT or (kind is bytes and len(cast("bytes", entry)) <= 1)

    _handlers: ClassVar[dict[int, Callable[[Any], None]]] = {
        **{code: pickle._Unpickler.dispatch[code] for code in _PLAIN},
        pickle.STOP[0]: _load_stop,
        pickle.BINGET[0]: _load_get,
        pickle.LONG_BINGET[0]: partial(_load_get, width=4),
        pickle.BINPUT[0]: _load_put,
        pickle.LONG_BINPUT[0]: partial(_load_put, width=4),
        pickle.GLOBAL[0]: _load_global,
        pickle.REDUCE[0]: _load_reduce,
        pickle.BUILD[0]: _load_build,
        pickle.BINPERSID[0]: _load_persistent,
        pickle.SETITEM[0]: _load_item,
        pickle.SETITEMS[0]: _load_items,
    }
