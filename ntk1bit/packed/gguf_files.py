"""Files in the GGUF format, versions 2 and 3, little-endian: a header, key-values, and tensors, ternary ones too.

    "GGUF", version (uint32), number of tensors, number of key-values (uint64)
    key-values      key, type (uint32), value; a string is length (uint64) and UTF-8, a list type, length and entries
    tensor infos    name, number of axes (uint32), axes (uint64, fastest first), type (uint32), offset (uint64)
    the tensors     from the next multiple of `general.alignment` (32 if not there) on

Ternary types, by ggml's `ggml-quants.c` and, for I2_S, bitnet.cpp's `ggml-bitnet-mad.cpp`:

    TQ1_0    blocks of 256 in 54 bytes: 48 bytes of five digits to the base 3 and 4 of four, and a float16 scale
    TQ2_0    blocks of 256 in 66 bytes: entries 128 i + 32 j + k in bits 2j of byte 32 i + k, and a float16 scale
    I2_S     blocks of 128 in 32 bytes: entries 32 j + k in bits 6 - 2j of byte k; behind all blocks, one float32 scale
             in 32 bytes. bitnet.cpp writes this order on x86, with `ACT_PARALLEL` (its default)

A digit or code of 0, 1, 2 means -1, 0, +1. Nothing of a header is believed: lengths, counts and offsets are held
against the file's size before anything is made for them; lists, such as a vocabulary, are stepped over.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Shaped, UInt8

from ntk1bit.packed.mapped_tensors import (
    MOST_TENSORS,
    MappedTensors,
    TensorPlace,
    as_numbers,
    count_entries,
    map_file,
    refuse,
    widened,
)
from ntk1bit.packed.ternary_weights import TernaryTensor

SUFFIX = ".gguf"
TERNARY = ("TQ1_0", "TQ2_0", "I2_S")
_WHAT = "GGUF file"
_MOST_PAIRS = 10_000
_MOST_METADATA = 1 << 20  # bytes of text that are kept of all key-values; chat templates have some thousand
_STRING, _ARRAY, _BOOL = 8, 9, 7
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
_KINDS = {  # number of a type: its name, entries of a block, bytes of a block
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    36: ("I2_S", 128, 32),
}
_I2_S_TAIL = 32  # bytes behind the blocks of I2_S; a float32 and padding
_DTYPES = {"F32": "<f4", "F16": "<f2", "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8", "F64": "<f8"}
_POWERS = np.array([1, 3, 9, 27, 81], np.uint8)[:, None]


def open_gguf(path: Path | str) -> MappedTensors:
    """Read the header of a GGUF file and map its tensors.

    Returns
    -------
    MappedTensors
        The tensors in the order of their bytes; `metadata` has the key-values that are no lists.

    Raises
    ------
    InputError
        If there is no such file, or it is damaged, cut short, of another version or byte order, or holds tensors of
        types that are not read here.
    """
    path = Path(path)
    content = map_file(path, _WHAT)
    reader = _Reader(path, content)
    if reader.raw(4) != b"GGUF":
        refuse(path, _WHAT, "it does not begin with 'GGUF'")
    version = reader.number("I")
    if version not in (2, 3):
        other = "it is big-endian" if version in (2 << 24, 3 << 24) else f"its version is {version}"
        refuse(path, _WHAT, f"{other}; little-endian files of versions 2 and 3 are read")
    tensors, pairs = reader.number("Q"), reader.number("Q")
    if tensors > min(MOST_TENSORS, reader.left // 24) or pairs > min(_MOST_PAIRS, reader.left // 13):
        refuse(path, _WHAT, f"{tensors} tensors and {pairs} key-values do not fit in it, or are more than are read")
    metadata = _metadata(reader, pairs)
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or not 8 <= alignment <= 1 << 20 or alignment % 8:
        refuse(path, _WHAT, f"its alignment is {alignment!r}, no multiple of 8")
    infos = [_info(reader) for _ in range(tensors)]
    base = -(-reader.at // alignment) * alignment
    places = sorted(_places(path, infos, base, alignment, len(content)), key=lambda place: (place.start, place.stop))
    at = base
    for place in places:
        if place.start < at:
            refuse(path, _WHAT, f"tensor {_short(place.name)} shares bytes with another")
        at = place.stop
    if len({place.name for place in places}) < tensors:
        refuse(path, _WHAT, "two of its tensors have the same name")
    return MappedTensors(path, content, places, metadata)


def read_tensor(file: MappedTensors, name: str) -> Shaped[np.ndarray, ...]:
    """Return a tensor of a GGUF file; BF16 and ternary types as float32, other types as they are.

    Values are those of the library `gguf`, bit for bit (which has no I2_S).

    Raises
    ------
    InputError
        As `read_ternary`.
    """
    place = file.place(name)
    if place.kind in TERNARY:
        return read_ternary(file, name).dequantised().reshape(place.shape)
    if place.kind == "BF16":
        return widened(file.bytes_of(name), place.shape)
    return as_numbers(file.bytes_of(name), _DTYPES[place.kind], place.shape)


def read_ternary(file: MappedTensors, name: str) -> TernaryTensor:
    """Return a tensor of type TQ1_0, TQ2_0 or I2_S as codes and scales; axes before the last become rows.

    Raises
    ------
    InputError
        If it holds the code 3, which means no weight, or a scale is NaN or infinite.
    """
    place, raw = file.place(name), file.bytes_of(name)
    columns = place.shape[-1]
    if place.kind == "I2_S":
        blocks, tail = raw[:-_I2_S_TAIL].reshape(-1, 32), raw[-_I2_S_TAIL:]
        scale = np.frombuffer(tail[:4].tobytes(), "<f4")[0]
        digits = _bits(blocks, [6, 4, 2, 0])
        scales: Float32[np.ndarray, ...] = np.array(scale, np.float32)
    else:
        blocks = raw.reshape(-1, 54 if place.kind == "TQ1_0" else 66)
        digits = _base_3(blocks[:, :52]) if place.kind == "TQ1_0" else _bits(blocks[:, :64].reshape(-1, 32))
        scales = blocks[:, -2:].copy().view("<f2").astype(np.float32).reshape(-1, columns // 256)
    if digits.size and digits.max() > 2:
        refuse(file.path, _WHAT, f"tensor {_short(name)} holds the code 3, which means no weight")
    if not np.isfinite(scales).all():
        refuse(file.path, _WHAT, f"a scale of tensor {_short(name)} is not finite")
    digits -= 1
    return TernaryTensor(digits.view(np.int8).reshape(-1, columns), scales)


def _bits(rows: UInt8[np.ndarray, "n 32"], places: list[int] | None = None) -> UInt8[np.ndarray, "n 128"]:
    """Return the four codes of each byte: 32 of the first place, then 32 of the next."""
    shifts = np.array(places or [0, 2, 4, 6], np.uint8)[:, None]
    codes = rows[:, None, :] >> shifts
    codes &= 3
    return codes.reshape(len(rows), 128)


def _base_3(rows: UInt8[np.ndarray, "n 52"]) -> UInt8[np.ndarray, "n 256"]:
    """Return the digits of TQ1_0: byte b stands for b/256 in the base 3, so 3^k b mod 256 begins with digit k."""
    parts = [
        ((rows[:, None, start:stop] * _POWERS[:digits]).astype(np.uint16) * 3 >> 8).astype(np.uint8)
        for start, stop, digits in ((0, 32, 5), (32, 48, 5), (48, 52, 4))
    ]
    return np.concatenate([part.reshape(len(rows), -1) for part in parts], axis=1)


class _Reader:
    """Reads a header in order; what it does not hold ends in `InputError` before memory is taken."""

    def __init__(self, path: Path, content: UInt8[np.ndarray, " n"]) -> None:
        self.path, self.at = path, 0
        self._content = content

    @property
    def left(self) -> int:
        return len(self._content) - self.at

    def skip(self, size: int) -> None:
        if size > self.left:
            refuse(self.path, _WHAT, f"it ends inside its header, where {size} bytes should follow byte {self.at}")
        self.at += size

    def raw(self, size: int) -> bytes:
        self.skip(size)
        return self._content[self.at - size : self.at].tobytes()

    def number(self, code: str) -> int:
        return struct.unpack(f"<{code}", self.raw(struct.calcsize(code)))[0]

    def text(self, most: int) -> str:
        size = self.number("Q")
        if size > most:
            refuse(self.path, _WHAT, f"a name or text of {size} bytes is longer than the {most} that are read")
        try:
            return self.raw(size).decode("utf-8")
        except UnicodeDecodeError:
            refuse(self.path, _WHAT, f"the text before byte {self.at} is not UTF-8")


def _metadata(reader: _Reader, pairs: int) -> dict[str, object]:
    """Read all key-values; lists are stepped over."""
    found = dict[str, object]()
    kept = 0
    for _ in range(pairs):
        key = reader.text(1000)
        kind = reader.number("I")
        if key in found:
            refuse(reader.path, _WHAT, f"it holds the key {_short(key)} twice")
        if kind in _SCALARS:
            value: object = reader.number(_SCALARS[kind])
            found[key] = bool(value) if kind == _BOOL else value
        elif kind == _STRING:
            found[key] = text = reader.text(_MOST_METADATA - kept)
            kept += len(text)
        elif kind == _ARRAY:
            _skip_list(reader, key)
        else:
            refuse(reader.path, _WHAT, f"the key {_short(key)} has a value of the unknown type {kind}")
    return found


def _skip_list(reader: _Reader, key: str) -> None:
    kind, entries = reader.number("I"), reader.number("Q")
    if kind in _SCALARS:
        reader.skip(entries * struct.calcsize(_SCALARS[kind]))
    elif kind == _STRING:
        if entries > reader.left // 8:
            refuse(reader.path, _WHAT, f"the list {_short(key)} of {entries} texts does not fit in it")
        for _ in range(entries):
            reader.skip(reader.number("Q"))
    else:
        refuse(reader.path, _WHAT, f"the list {_short(key)} has entries of the type {kind}; numbers and texts are read")


def _info(reader: _Reader) -> tuple[str, tuple[int, ...], int, int]:
    """Read name, shape (slowest axis first), type and offset of a tensor."""
    name, axes = reader.text(1000), reader.number("I")
    if axes > 4:
        refuse(reader.path, _WHAT, f"tensor {_short(name)} has {axes} axes, more than 4")
    extents = [reader.number("Q") for _ in range(axes)]
    return name, tuple(reversed(extents)), reader.number("I"), reader.number("Q")


def _places(
    path: Path, infos: list[tuple[str, tuple[int, ...], int, int]], base: int, alignment: int, size: int
) -> Iterator[TensorPlace]:
    for name, shape, number, offset in infos:
        if number not in _KINDS:
            known = ", ".join(kind for kind, *_ in _KINDS.values())
            refuse(path, _WHAT, f"tensor {_short(name)} has the type of number {number}; types read are {known}")
        kind, block, block_bytes = _KINDS[number]
        entries = count_entries(shape)
        in_blocks = entries if kind == "I2_S" or not shape else shape[-1]  # I2_S counts blocks through all rows
        if entries < 0 or in_blocks % block or (kind in TERNARY and not entries):
            refuse(path, _WHAT, f"tensor {_short(name)} of type {kind} cannot have the shape {str(shape)[:80]}")
        length = entries // block * block_bytes + (_I2_S_TAIL if kind == "I2_S" else 0)
        if offset % alignment or base + offset + length > size:
            refuse(
                path, _WHAT, f"tensor {_short(name)} asks for bytes {base + offset} to {base + offset + length} of "
                f"{size}, from a multiple of {alignment}"
            )  # fmt: skip
        yield TensorPlace(name, kind, shape, base + offset, base + offset + length)


def _short(name: str) -> str:
    return repr(name if len(name) <= 80 else f"{name[:77]}...")
