"""Small files in the documented layout of NAS-Bench-101, written byte by byte."""

import base64
import hashlib
import json
import struct

CELLS = 5
#: In no order, as in the official file.
HASHES = [hashlib.md5(str(number).encode()).hexdigest() for number in range(CELLS)]


#: Of the cells, in the order of their hashes.
RANKED = sorted(range(CELLS), key=HASHES.__getitem__)
PARAMETERS = [1_000_000 + cell for cell in RANKED]


def slow_crc32c(data):
    """Bit by bit, by the polynomial of Castagnoli."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = slow_crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def framed(data):
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def text(field, content):
    return varint(field << 3 | 2) + varint(len(content)) + content


def double(field, value):
    return varint(field << 3 | 1) + struct.pack("<d", value)


def metrics(epochs, seconds, valid, test, parameters, points=3, field=1, path=b"checkpoint"):
    message = b""
    for point in range(points):
        share = point / 2
        values = (epochs * share, seconds * share, 0.9 * share, valid * share, test * share)
        evaluation = b"".join(double(number, one) for number, one in enumerate(values, start=1))
        message += text(field, evaluation + (text(6, path) if path else b""))
    return message + varint(2 << 3) + varint(parameters) + double(3, seconds + 1)


def values_of(cell, epochs, trial):
    """Seconds, accuracy on validation and test images, parameters."""
    share = (1 + cell + trial / 8) / 10
    return epochs * 10 + trial, share, share / 2, 1_000_000 + cell


def record(cell, epochs, trial, **changes):
    message = metrics(epochs, *values_of(cell, epochs, trial), **changes)
    row = [HASHES[cell], epochs, "0100", "input,output", base64.b64encode(message).decode()]
    return json.dumps(row).encode()


def every(lengths=(108,)):
    return [
        record(cell, epochs, trial)
        for epochs in lengths
        for trial in range(3)
        for cell in range(CELLS)
    ]


def save(records, tmp_path, name="nasbench_only108.tfrecord"):
    path = tmp_path / name
    path.write_bytes(b"".join(map(framed, records)))
    return path
