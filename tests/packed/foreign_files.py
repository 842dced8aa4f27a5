"""Files in other people's formats, written plainly, so that tests can also write them wrongly."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ntk1bit.errors import InputError

KINDS = {"F32": 0, "F16": 1, "BF16": 30, "TQ1_0": 34, "TQ2_0": 35, "I2_S": 36}
LENGTHS = (0, 1, 2**31, 2**32, 2**62, 2**64 - 1)
SAFE = {"<f4": "F32", "<f2": "F16", "|u1": "U8", "|i1": "I8", "<i8": "I64"}


def safetensors_bytes(tensors: Mapping[str, tuple[str, np.ndarray]], **metadata: str) -> bytes:
    """Write tensors, each its dtype in the format's words and its bytes as an array of its shape."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    data = b""
    for name, (dtype, array) in tensors.items():
        raw = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": dtype,
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    return with_header(header, data)


def with_header(header: object, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def bfloat16(values: np.ndarray) -> np.ndarray:
    """Return the upper halves of float32 (values that are bfloat16 already)."""
    return (np.ascontiguousarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def pair(key: str, value: object) -> bytes:
    if isinstance(value, bool):
        return text(key) + struct.pack("<IB", 7, value)
    if isinstance(value, int):
        return text(key) + struct.pack("<II", 4, value)
    if isinstance(value, float):
        return text(key) + struct.pack("<If", 6, value)
    if isinstance(value, list):
        return text(key) + struct.pack("<IIQ", 9, 8, len(value)) + b"".join(text(str(one)) for one in value)
    return text(key) + struct.pack("<I", 8) + text(str(value))


def gguf_bytes(
    tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]], pairs: Mapping[str, object], *, alignment: int = 32
) -> bytes:
    """Write tensors, each its type, its shape (slowest axis first) and its bytes."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs))
    head += b"".join(pair(key, value) for key, value in pairs.items())
    data = b""
    for name, (kind, shape, raw) in tensors.items():
        head += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *reversed(shape))
        head += struct.pack("<IQ", KINDS[kind], len(data))
        data += raw + b"\0" * (-len(raw) % alignment)
    return head + b"\0" * (-len(head) % alignment) + data


def i2_s_bytes(codes: np.ndarray, scale: float) -> bytes:
    """Pack as bitnet.cpp's `quantize_i2_s` does, entry by entry."""
    flat, out = codes.reshape(-1) + 1, bytearray(codes.size // 4)
    for entry, digit in enumerate(flat):
        block, inside = divmod(entry, 128)
        out[32 * block + inside % 32] |= int(digit) << (6 - 2 * (inside // 32))
    return bytes(out) + struct.pack("<f", scale) + b"\0" * 28


def tq2_0_bytes(codes: np.ndarray, scale: float) -> bytes:
    """Pack as ggml's `quantize_row_tq2_0` does, entry by entry."""
    out = b""
    for block in (codes.reshape(-1, 256) + 1).tolist():
        packed = bytearray(64)
        for entry, digit in enumerate(block):
            half, inside = divmod(entry, 128)
            packed[32 * half + inside % 32] |= digit << (2 * (inside // 32))
        out += bytes(packed) + np.array(scale, "<f2").tobytes()
    return out


def tq1_0_bytes(codes: np.ndarray, scale: float) -> bytes:
    """Pack as `quantize_row_tq1_0` of ggml does: 160 entries in 32 bytes, 80 in 16, 16 in 4, first digits high."""
    out = b""
    for block in (codes.reshape(-1, 256) + 1).tolist():
        for start, size, digits in ((0, 32, 5), (160, 16, 5), (240, 4, 4)):
            for place in range(size):
                value = sum(block[start + size * k + place] * 3 ** (4 - k) for k in range(digits))
                out += bytes([-(-value * 256 // 243)])
        out += np.array(scale, "<f2").tobytes()
    return out


def packed_rows(codes: np.ndarray) -> np.ndarray:
    """Pack as `pack_weights` of transformers does, row by row: rows i, i + R, i + 2R and i + 3R share a byte."""
    rows = -(-len(codes) // 4)
    out = np.zeros((rows, *codes.shape[1:]), np.uint8)
    for row, values in enumerate(codes):
        out[row % rows] |= (values + 1).astype(np.uint8) << (2 * (row // rows))
    return out


def damaged(whole: bytes, number: int, *, head: int, seed: int = 0) -> Iterator[bytes]:
    """Yield files of which bytes were changed, cut out, repeated or put in; most damage hits the first `head` bytes."""
    rng = np.random.default_rng(seed)
    for at in range(number):
        content = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            size = max(len(content), 1)
            place = int(rng.integers(0, min(head, size) if rng.random() < 0.9 else size))
            kind = (at + int(rng.integers(0, 2))) % 6
            if kind == 0 and content:
                content[place] = int(rng.integers(0, 256))
            elif kind == 1 and content:
                content[place] ^= 1 << int(rng.integers(0, 8))
            elif kind == 2:
                del content[place : place + int(rng.integers(1, 40))]
            elif kind == 3:
                content[place:place] = content[place : place + int(rng.integers(1, 40))]
            elif kind == 4:
                content[place : place + 8] = struct.pack("<Q", LENGTHS[rng.integers(0, len(LENGTHS))])
            else:
                del content[place:]
        yield bytes(content)


def refusal_of(path: Path, content: bytes, read: Callable[[Path], object]) -> str:
    """Return the line in which a file is refused, or nothing if it is read; nothing else may be raised."""
    path.write_bytes(content)
    try:
        read(path)
    except InputError as problem:
        return str(problem)
    return ""
