"""Files of arrays that anybody may have made: `.npz` and `.npy`, of which nothing is believed.

What a header promises is held against what is there before memory is taken for it: the shape times the size of an entry
must be the bytes that follow. Arrays are plain: numbers, truth values, text, bytes, dates. Objects, which would be
unpickled, and records are refused; other byte orders are turned into this machine's.
"""

from __future__ import annotations

import io
import math
import os
import tokenize
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Shaped
from numpy.lib import format as npy

from ntk1bit.files import write_whole

_LONGEST = 10_000  # bytes of a header: NumPy itself reads no longer one
_MOST_AXES = 32
_KINDS = "biufcSUmM"
_LARGE, _GROWTH = 1 << 30, 200  # a member that unpacks to more, and to so many times its size, is made to fill memory
_HEADERS: dict[tuple[int, int], Callable[..., tuple[tuple[int, ...], bool, np.dtype]]] = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}
_Read = TypeVar("_Read")
_Stream = IO[bytes] | io.BufferedIOBase  # a member of an archive is the latter, and no IO but for type checkers


class ArrayFileError(Exception):
    """Says in a few words in what a file is not one of plain arrays."""


class Header(NamedTuple):
    """Shape and dtype of an array that is not read yet; the dtype in this machine's byte order."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def entries(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.entries * self.dtype.itemsize


class ArrayFile:
    """An open `.npz` file; `open_arrays` makes one."""

    def __init__(self, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> None:
        self._archive, self._members = archive, members

    @property
    def names(self) -> list[str]:
        """Names of the arrays that were not taken yet, in the order of the file."""
        return list(self._members)

    def header(self, name: str) -> Header:
        """Return shape and dtype of an array, which is there in full.

        Raises
        ------
        ArrayFileError
            If it is no plain array, or its shape asks for other bytes than there are.
        """
        member = self._members[name]
        with _told(name), self._archive.open(member) as stream:
            return _header(stream, member.file_size)

    def take(self, name: str) -> Shaped[np.ndarray, ...]:
        """Read an array, which is then no more among `names`; raises as `header`, and if its bytes are damaged."""
        self.header(name)
        with _told(name), self._archive.open(self._members[name]) as stream:
            array = _checked(_quietly(npy.read_array, stream))
        del self._members[name]
        return array


@contextmanager
def open_arrays(path: Path | str, *, compressed: bool = False) -> Iterator[ArrayFile]:
    """Open an `.npz` file.

    Parameters
    ----------
    path
        The file.
    compressed
        Whether its arrays may be packed, as `np.savez_compressed` does. Those that would grow more than 200-fold to
        over 1 GiB are refused.

    Raises
    ------
    ArrayFileError
        If it is no archive, or has members that NumPy writes in no such file: two of one name, encrypted ones, others.
    OSError
        If it cannot be opened.
    """
    with open(path, "rb") as file:
        if file.read(6) == b"\x93NUMPY":
            raise ArrayFileError("it holds a single array")
        try:
            with _told():
                archive = zipfile.ZipFile(file)
        except ArrayFileError:
            raise ArrayFileError("it is not a .npz file, or cut short") from None
        with archive:
            yield ArrayFile(archive, _members(archive.infolist(), os.fstat(file.fileno()).st_size, compressed))


def write_arrays(path: Path | str, arrays: Mapping[str, Shaped[np.ndarray, ...]]) -> None:
    """Write a `.npz` file of plain arrays, whole or not at all; an older file stays as it was if that fails.

    Raises
    ------
    OSError
        As `ntk1bit.files.write_whole`.
    """
    np.savez(data := io.BytesIO(), allow_pickle=False, **arrays)
    write_whole(path, data.getbuffer())


def map_array(path: Path | str) -> Shaped[np.ndarray, ...]:
    """Map the array of an `.npy` file into memory, read-only.

    Raises
    ------
    ArrayFileError
        If it holds no plain array, or its shape asks for other bytes than there are.
    OSError
        If it cannot be opened.
    """
    with open(path, "rb") as file, _told():
        _header(file, os.fstat(file.fileno()).st_size)
    with _told():
        return np.load(path, mmap_mode="r", allow_pickle=False)


def _members(listed: list[zipfile.ZipInfo], size: int, compressed: bool) -> dict[str, zipfile.ZipInfo]:
    """Return the members by the names of their arrays, after checking what the archive's directory says of them."""
    members = dict[str, zipfile.ZipInfo]()
    kinds = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) if compressed else (zipfile.ZIP_STORED,)
    for member in listed:
        name = member.filename.removesuffix(".npy")
        if name in members:
            raise ArrayFileError(f"it holds {_short(name)} twice")
        if member.flag_bits & 1:
            raise ArrayFileError(f"{_short(name)} is encrypted")
        if member.compress_type not in kinds:
            how = "packed otherwise than NumPy packs arrays" if compressed else "compressed, as no file of this kind is"
            raise ArrayFileError(f"{_short(name)} is {how}")
        if member.file_size > max(_LARGE, _GROWTH * member.compress_size):
            raise ArrayFileError(
                f"{_short(name)} would unpack from {member.compress_size / 1e6:.3g} MB to {member.file_size / 1e9:.3g} "
                "GB, which looks made to fill memory; if it is right, store it unpacked with np.savez"
            )
        members[name] = member
    if sum(member.compress_size for member in listed) > size:
        raise ArrayFileError("it is cut short, or its arrays share their bytes")
    return members


def _header(stream: _Stream, size: int) -> Header:
    """Read the header at the beginning of `size` bytes, and hold it against their number."""
    beginning = io.BytesIO(stream.read(min(size, _LONGEST)))
    try:
        version = npy.read_magic(beginning)
        if version not in _HEADERS:
            raise ArrayFileError("it holds records, or is of a later format")
        shape, _, dtype = _quietly(_HEADERS[version], beginning)
    except (ValueError, TypeError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError):
        raise ArrayFileError("its header is damaged") from None
    if dtype.kind not in _KINDS or dtype.subdtype is not None:
        raise ArrayFileError(f"it holds {'objects' if dtype.hasobject else 'records'}, not numbers or text")
    if not all(type(extent) is int and 0 <= extent < 2**63 for extent in shape) or len(shape) > _MOST_AXES:
        raise ArrayFileError(f"no array has the shape {str(shape)[:80]}")
    header, there = Header(shape, dtype.newbyteorder("=")), size - beginning.tell()
    if header.nbytes != there or (dtype.itemsize == 0 and header.entries):
        raise ArrayFileError(f"its shape {str(shape)[:80]} asks for {_count(header.nbytes)} bytes, and {there} follow")
    if math.prod(extent or 1 for extent in shape) * max(dtype.itemsize, 1) >= 2**63:  # empty, but not for NumPy
        raise ArrayFileError(f"no array has the shape {str(shape)[:80]}")
    return header


def _checked(array: Shaped[np.ndarray, ...]) -> Shaped[np.ndarray, ...]:
    """Return an array in this machine's byte order, after checking entries that not all bytes can stand for."""
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    if native.size and native.dtype.kind in "Ub":
        kind, most = (np.uint32, 0x10FFFF) if native.dtype.kind == "U" else (np.uint8, 1)
        if np.ascontiguousarray(native).reshape(-1).view(kind).max() > most:
            raise ArrayFileError("its bytes are no text" if kind is np.uint32 else "its bytes are no truth values")
    return native


def _quietly(read: Callable[..., _Read], stream: _Stream) -> _Read:
    """Read without NumPy's warnings of how old a file is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read(stream)


@contextmanager
def _told(name: str = "") -> Iterator[None]:
    """Turn what three libraries raise on damaged files into `ArrayFileError`; what that may be, none of them says."""
    where = f"{_short(name)}: " if name else ""
    try:
        yield
    except ArrayFileError as problem:
        raise ArrayFileError(f"{where}{problem}") from None
    except Exception as problem:
        said = " ".join(str(problem).split())[:120] or type(problem).__name__
        raise ArrayFileError(f"{where}{said}") from None


def _short(name: str) -> str:
    return repr(name if len(name) <= 60 else f"{name[:57]}...")


def _count(number: int) -> str:
    return str(number) if number < 2**63 else "far more"
