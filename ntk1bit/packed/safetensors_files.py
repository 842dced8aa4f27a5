"""Files in the safetensors format: a length, a JSON header, and the bytes of all tensors.

    8 bytes       length N of the header, little-endian
    N bytes       JSON: {"name": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}, "__metadata__": {...}}
    the rest      the tensors, each at its offsets from here, little-endian, without gaps

Nothing of a header is believed: offsets must follow each other without overlap or gap to the end of the file, as the
format asks, and a tensor's bytes must be what its shape and type need.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
from jaxtyping import Shaped

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

SUFFIX = ".safetensors"
_WHAT = "safetensors file"
_LONGEST = 1 << 24  # bytes of a header
_MOST_SIGNS = 16 * MOST_TENSORS  # colons and commas: a tensor has 9 to 11, and each costs memory when it is decoded
_BF16 = "BF16"
_DTYPES = {
    "BOOL": "?",
    "U8": "u1",
    "I8": "i1",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
    _BF16: "<u2",
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
}


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def open_safetensors(path: Path | str) -> MappedTensors:
    """Read the header of a safetensors file and map its tensors.

    Returns
    -------
    MappedTensors
        The tensors in the order of their bytes; `metadata` is the header's `__metadata__`, text by name.

    Raises
    ------
    InputError
        If there is no such file, or it is damaged, cut short, or holds types that are not read here.
    """
    path = Path(path)
    content = map_file(path, _WHAT)
    size = len(content)
    if size < 8:
        refuse(path, _WHAT, f"it has {size} bytes, fewer than the length of a header")
    length = int.from_bytes(content[:8].tobytes(), "little")
    if length > size - 8:
        refuse(path, _WHAT, f"its header would take {length} bytes, and {size - 8} follow")
    if length > _LONGEST:
        refuse(path, _WHAT, f"its header has {length} bytes, more than the {_LONGEST} that are read")
    header, metadata = _header(path, content[8 : 8 + length].tobytes())
    places = sorted(_places(path, header, 8 + length), key=lambda place: (place.start, place.stop))
    at = 8 + length
    for place in places:
        if place.start != at:
            fault = "shares bytes with another" if place.start < at else "leaves a gap before it"
            refuse(path, _WHAT, f"tensor {_short(place.name)} {fault}")
        at = place.stop
    if at != size:
        refuse(path, _WHAT, f"its tensors end at byte {at}, and it has {size}")
    return MappedTensors(path, content, places, metadata)


def read_tensor(file: MappedTensors, name: str) -> Shaped[np.ndarray, ...]:
    """Return a tensor of a safetensors file; BF16 as float32 (exactly), other types as they are.

    It is mapped and read-only where its bytes need no change.

    Raises
    ------
    InputError
        If a truth value is neither 0 nor 1.
    """
    place, raw = file.place(name), file.bytes_of(name)
    if place.kind == _BF16:
        return widened(raw, place.shape)
    if place.kind == "BOOL" and raw.size and raw.max() > 1:
        refuse(file.path, _WHAT, f"tensor {_short(name)} holds bytes that are no truth values")
    return as_numbers(raw, _DTYPES[place.kind], place.shape)


def _header(path: Path, text: bytes) -> tuple[dict[str, _Entry], dict[str, str]]:
    if not text.startswith(b"{"):
        refuse(path, _WHAT, "its header is not JSON that begins with '{'")
    try:
        text.decode("utf-8")  # msgspec looks only at strings that it decodes
        if text.count(b":") + text.count(b",") > _MOST_SIGNS:
            refuse(path, _WHAT, f"its header says more than those of {MOST_TENSORS:,} tensors, the most that are read")
        fields = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        told = fields.pop("__metadata__", None)
        metadata = msgspec.json.decode(told, type=dict[str, str] | None) if told is not None else {}
        if len(fields) > MOST_TENSORS:
            refuse(path, _WHAT, f"it holds more than {MOST_TENSORS:,} tensors")
        return {name: msgspec.json.decode(field, type=_Entry) for name, field in fields.items()}, metadata or {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        refuse(path, _WHAT, f"its header is damaged ({problem})")


def _places(path: Path, header: dict[str, _Entry], base: int) -> Iterator[TensorPlace]:
    for name, entry in header.items():
        if entry.dtype not in _DTYPES:
            refuse(path, _WHAT, f"tensor {_short(name)} is {_short(entry.dtype)}; types read are {', '.join(_DTYPES)}")
        entries, (start, stop) = count_entries(entry.shape), entry.data_offsets
        if entries < 0 or entries * np.dtype(_DTYPES[entry.dtype]).itemsize != stop - start or start < 0:
            refuse(
                path, _WHAT, f"tensor {_short(name)} is {entry.dtype} of shape {str(entry.shape)[:80]} in bytes "
                f"{start} to {stop}"
            )  # fmt: skip
        yield TensorPlace(name, entry.dtype, tuple(entry.shape), base + start, base + stop)


def _short(name: str) -> str:
    return repr(name if len(name) <= 80 else f"{name[:77]}...")
