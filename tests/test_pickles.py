"""The unpickler rebuilds what NumPy wrote and nothing else."""

import os
import pickle
import struct

import numpy as np
import pytest

from untrained.errors import DamagedFileError
from untrained.pickles import unpickle


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def arrays():
    return {
        "bytes": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        "big endian": np.arange(4, dtype=">i4"),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "text": np.array(["cat", "dög"]),
        "scalar": np.int64(-3),
        "list": [1, 2.5, "x", None, True, b"\xff"],
        "empty": np.zeros((0, 3), np.float32),
    }


@pytest.mark.parametrize("protocol", range(6))
def test_what_numpy_writes_comes_back(protocol):
    written = arrays()
    read = unpickle(pickle.dumps(written, protocol=protocol), "x")
    assert list(read) == list(written)
    for key, value in written.items():
        if isinstance(value, list):
            assert read[key] == value
        else:
            assert np.asarray(read[key]).dtype == pickle.loads(pickle.dumps(value, protocol)).dtype
            np.testing.assert_array_equal(read[key], value)


@pytest.mark.parametrize("module", ["numpy.core", "numpy._core"])
def test_arrays_of_python_2_come_back_under_both_names_of_the_module(module):
    # As Python 2 wrote it: byte strings by SHORT_BINSTRING, the array's content among them.
    def text(value):
        return b"U" + struct.pack("<B", len(value)) + value

    array = (
        f"c{module}.multiarray\n_reconstruct\n".encode()
        + b"(cnumpy\nndarray\nK\x00\x85" + text(b"b") + b"tR"
        + b"(K\x01K\x02K\x02\x86"
        + b"cnumpy\ndtype\n(" + text(b"u1") + b"K\x00K\x01tR"
        + b"(K\x03" + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89" + text(b"\x00\x7f\x80\xff") + b"tb"
    )  # fmt: skip
    read = unpickle(b"\x80\x02}" + text(b"data") + array + b"s.", "x")
    np.testing.assert_array_equal(read["data"], [[0, 127], [128, 255]])


@pytest.mark.parametrize(
    ("bad", "address"),
    [
        (Call(os.system, "touch hacked"), f"{os.system.__module__}.system"),
        (Call(eval, "open('hacked', 'w')"), "builtins.eval"),
        ({"data": [1, (Call(exec, "open('hacked', 'w')"),)]}, "builtins.exec"),
        (Call(getattr, Call(__import__, "os"), "system"), "builtins."),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_hostile_globals_are_named_and_not_called(bad, address, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps(bad, protocol=protocol).replace(b"__builtin__\n", b"builtins\n")
    with pytest.raises(DamagedFileError, match=r"bad\.pkl names the forbidden global") as caught:
        unpickle(data, "bad.pkl")
    assert address in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


TYPE = b"cnumpy\ndtype\n"
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n)R"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a pickle",
        pickle.dumps(np.array([object]), protocol=4),  # pointers
        pickle.dumps(np.array([None, 1]), protocol=2),
        pickle.dumps(np.zeros(2, "i4,f8"), protocol=2),  # a structure
        TYPE + b"(I1\ntR.",  # a type that is no name
        TYPE + b"(Vmine\ntR.",
        ARRAY + b"(I1\n(I5\ntI0\nI00\nVabc\ntb.",  # a type that is a number
        ARRAY + b"(I1\n(I5\nt" + TYPE + b"(Vu1\ntRI00\nVabc\ntb.",  # 3 bytes for 5 entries
        ARRAY + b"(I1\n(I5\nt" + TYPE + b"(Vu1\ntRI00\nI5\ntb.",  # a number for content
        ARRAY + b"(I1\ntb.",
        TYPE + b"}Va\nI1\nsb.",  # state for a global
        b"cnumpy\nndarray\n(I5\ntR.",  # the bare class can't be called
        b"c_codecs\nencode\n(Vabc\nVrot13\ntR.",
        b"Pperson\n.",
    ],
)
def test_forged_pickles_are_refused(data):
    with pytest.raises(DamagedFileError, match="x"):
        unpickle(data, "x")


def test_every_truncation_is_noticed():
    data = pickle.dumps(arrays(), protocol=2)
    for length in range(0, len(data), 7):
        with pytest.raises(DamagedFileError):
            unpickle(data[:length], "x")
