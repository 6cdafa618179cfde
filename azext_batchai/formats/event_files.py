"""The scalars of TensorBoard event files: records of protocol buffers, of which only what scalars need is read.

Own code, because the Python of az has no tensorboard, and importing one takes longer than the whole command.
https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

NAME = "events.out.tfevents."
_LENGTH, _CHECKSUM = 8, 4  # bytes of a record beside its data
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FLOAT, _DOUBLE = 1, 2  # types of a tensor


def scalars(data: bytes) -> Iterator[tuple[str, int, float]]:
    """Tag, step and value of each scalar, in the order of the file; what is cut off or damaged ends it."""
    for record in _records(data):
        try:
            yield from _of_event(record)
        except (AttributeError, IndexError, TypeError, ValueError, struct.error):  # a field of another kind, or cut off
            return


def whole(data: bytes) -> int:
    """How many bytes of it are whole records: what comes later goes on behind them."""
    return max((end for _, end in _places(data)), default=-_CHECKSUM) + _CHECKSUM


def _records(data: bytes) -> Iterator[bytes]:
    for begin, end in _places(data):
        yield data[begin:end]


def _places(data: bytes) -> Iterator[tuple[int, int]]:
    """Begin and end of each record's data.

    The checksums are not looked at: a file that is being written is cut off, not wrong.
    """
    place = 0
    while place + _LENGTH + _CHECKSUM <= len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        begin = place + _LENGTH + _CHECKSUM
        place = begin + length + _CHECKSUM
        if place > len(data):
            return
        yield begin, begin + length


def _of_event(record: bytes) -> list[tuple[str, int, float]]:
    step, found = 0, []
    for number, value in _fields(record):
        if number == 2:
            step = value - (1 << 64) if value >> 63 else value
        elif number == 5:
            found += [_of_value(entry) for field, entry in _fields(value) if field == 1]
    return [(tag, step, number) for tag, number in found if number is not None]


def _of_value(data: bytes) -> tuple[str, float | None]:
    tag, number = "", None
    for field, value in _fields(data):
        if field == 1:
            tag = value.decode("utf-8")
        elif field == 2:
            (number,) = struct.unpack("<f", value)
        elif field == 8:
            number = _of_tensor(value)
    return tag, number


def _of_tensor(data: bytes) -> float | None:
    """The number of a tensor without dimensions; None for any other."""
    kind, content, numbers = 0, b"", b""
    for field, value in _fields(data):
        if field == 1:
            kind = value
        elif field == 2 and value:  # it has a shape
            return None
        elif field == 4:
            content = value
        elif field in (5, 6):
            numbers = value
    form = {_FLOAT: "<f", _DOUBLE: "<d"}.get(kind)
    data = content or numbers
    if not form or len(data) != struct.calcsize(form):
        return None
    return float(struct.unpack(form, data)[0])


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of each field of a message: a number for a varint, bytes for all else."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, place = _varint(data, place)
            yield number, value
            continue
        if kind == _BYTES:
            length, place = _varint(data, place)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"no kind of field: {kind}")
        if place + length > len(data):
            raise ValueError("cut off")
        yield number, data[place : place + length]  # noqa: E203
        place += length


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, place
        shift += 7
        if shift > 63:
            raise ValueError("no number")
