"""Read the official file of NAS-Bench-201, with one architecture in memory at a time.

The file is one pickle of 2 to 5 GB, which would become some 30 GB of Python objects, and a pickle
may name any code to be run. The unpickler here builds only numbers, text and containers of them,
and frees each architecture as soon as it has been read.
"""

import pickle
import re
import struct
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, cast

import numpy as np

from untrained.errors import DamagedFileError
from untrained.files import reading
from untrained.pickles import ALLOWED as PLAIN_ALLOWED
from untrained.pickles import StandIn, Type

#: Takes the complete {"full": ..., "less": ...} of an architecture, and returns its index.
Consumer = Callable[[dict[str, Any]], int]

_CHUNK = 1 << 20  # bytes that are read at once
_LONGEST = 9  # the most bytes of an opcode of the fast path, without its text
_LONGEST_NAME = 200
_ZIP_START = b"PK\x03\x04"
_PICKLE = re.compile(r"[^/]+/data\.pkl")
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a file in PyTorch's older format
# Opcodes of protocol 2, which PyTorch writes, as far as data needs them: those that build
# constants, numbers, text, tuples, lists and dicts.
_PLAIN = b"\x80(0N\x88\x89JKM\x8a\x8bGX)t\x85\x86\x87]ae}"


class Inert:
    """Replaces tensors, storages, arrays and their classes, whose content is not needed."""


INERT = Inert()
_make_inert = StandIn(lambda *_: INERT)

#: Maps each allowed address to its stand-in; `_codecs.encode` is replaced by each unpickler.
ALLOWED: dict[str, object] = {
    **PLAIN_ALLOWED,
    "numpy.ndarray": INERT,
    "torch._utils._rebuild_tensor_v2": _make_inert,
    "torch._utils._rebuild_parameter": _make_inert,
}
for _core in ("numpy.core", "numpy._core"):
    ALLOWED[f"{_core}.multiarray._reconstruct"] = _make_inert
    ALLOWED[f"{_core}.numeric._frombuffer"] = _make_inert
_KINDS = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
for _kind in _KINDS:
    ALLOWED[f"torch.{_kind}Storage"] = INERT
# Types whose values stay in the memo: they are small and refer to nothing else.
_LIGHT = frozenset({bool, int, float, np.float64, np.int64, StandIn, Type, Inert})


class _Gone:
    """Replaces a freed object in the memo."""


class _Stop(Exception):  # noqa: N818 - it is no error
    """Signals that the pickle is complete."""


_GONE = _Gone()


def stream(path: Path, consume: Consumer, report: Callable[[int], None]) -> object:
    """Read an official file, in either format of PyTorch.

    Args:
        path: the file.
        consume: called with each dict that has both keys "full" and "less", in the order of the
            file.
        report: called with the number of bytes read so far, after each architecture.

    Returns:
        The object in the file, with {"index": what `consume` returned} for each architecture.

    Raises:
        DamagedFileError: the file is truncated, malformed, or names a global that is not allowed.
    """
    with reading(f"{path.name} is not a complete PyTorch file of data"), path.open("rb") as file:
        if file.read(len(_ZIP_START)) != _ZIP_START:
            file.seek(0)
            # the older format: magic number, protocol, system, the object, keys of its storages
            reader = StreamingUnpickler(file, path.name, consume, report)
            if reader.load() != _LEGACY_MAGIC:
                raise pickle.UnpicklingError("no magic number")
            _protocol, _system, result, _keys = (reader.load() for _ in range(4))
            return result
        with zipfile.ZipFile(file) as archive:
            (pickled,) = (one for one in archive.namelist() if _PICKLE.fullmatch(one))
            with archive.open(pickled) as content:
                reader = StreamingUnpickler(cast("BinaryIO", content), path.name, consume, report)
                result = reader.load()
                while content.read(_CHUNK):  # the checksum is compared at the very end
                    pass
                return result


# The unpickler in C is faster, but it has no hook for a complete dict, which is needed to free an
# architecture before the next one is read.
class StreamingUnpickler(pickle._Unpickler):
    """Reads the pickles of a file one after the other; see `stream` for the arguments."""

    def __init__(
        self, file: BinaryIO, name: str, consume: Consumer, report: Callable[[int], None]
    ) -> None:
        super().__init__(file)
        self._file = file
        self._name = name
        self._consume = consume
        self._report = report
        self._data = b""
        self._at = 0  # position in the data
        self._before = 0  # bytes of the file before the data
        # Entries are numbered from 0 on; a dict of 10^8 of them would take 10 GB.
        self.memo: list[object] = []
        self._settled = 0
        self._texts: dict[str, str] = {}
        self._encoded: set[str] = set()
        self._globals = {**ALLOWED, "_codecs.encode": StandIn(self._encode)}

    def read(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        if self._at + count > len(self._data):
            self._refill(count)
        self._at += count
        return self._data[self._at - count : self._at]

    def _refill(self, count: int) -> None:
        """Make at least `count` bytes available, reading a chunk at a time."""
        pieces = [self._data[self._at :]]
        self._before += self._at
        have = len(pieces[0])
        while have < count:
            # A forged length must not reserve memory, so the file is read in pieces.
            piece = self._file.read(_CHUNK)
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

        The six most frequent opcodes are handled here with local variables, which makes reading
        three times as fast.
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
        if not isinstance(call, StandIn) or not isinstance(arguments, tuple):
            raise pickle.UnpicklingError("it calls something that is not a function")
        if self.memo and self.memo[-1] is arguments:
            self.memo[-1] = _GONE  # the tuple was made for this call only
        self.stack[-1] = call(*arguments)

    def _load_build(self) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Type):
            self.stack[-1].__setstate__(cast("tuple[object, ...]", state))

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
        """Free the objects that the last architecture has put into the memo.

        Later architectures refer back to names and types, but not to containers. Texts that encoded
        a number are freed too, since there are as many of them as numbers.
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
        # Python has one object for each single byte, so architectures share these.
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
