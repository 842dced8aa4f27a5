"""Tensors of a file that somebody else made: where each lies, checked against the file's size, and read when asked for.

`safetensors_files` and `gguf_files` read the two formats' headers into this form. The file is mapped into memory, so a
tensor takes memory only once it is read, and nothing that a header promises is allocated before it was found there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from jaxtyping import Float32, Shaped, UInt8

from ntk1bit.errors import InputError

MOST_TENSORS = 10_000  # a header of more is made to fill memory: BitNet b1.58 2B4T has 542
MOST_AXES = 8
_LARGEST = 2**63 - 1


@dataclasses.dataclass(frozen=True, slots=True)
class TensorPlace:
    """Where a tensor lies in its file.

    Attributes
    ----------
    name
        Its name in the file.
    kind
        Its type in the format's own words, such as `BF16` or `TQ2_0`.
    shape
        Its axes, slowest first.
    start, stop
        Its bytes, counted from the beginning of the file.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    start: int
    stop: int


class MappedTensors:
    """The tensors of one file by name; `bytes_of` maps their bytes.

    Parameters
    ----------
    path
        The file, for messages.
    content
        All its bytes, mapped.
    places
        Its tensors, which must have distinct names and share no bytes.
    metadata
        What else its header says: text, numbers and truth values by name.
    """

    def __init__(
        self,
        path: Path,
        content: UInt8[np.ndarray, " n"],
        places: Iterable[TensorPlace],
        metadata: Mapping[str, Any],
    ) -> None:
        self.path, self.metadata = path, metadata
        self._content = content
        self._places = {place.name: place for place in places}

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self._content)

    @property
    def names(self) -> list[str]:
        """Names of the tensors, in the order of their bytes."""
        return list(self._places)

    def place(self, name: str) -> TensorPlace:
        """Return where a tensor lies.

        Raises
        ------
        InputError
            If there is none of this name.
        """
        if name not in self._places:
            raise InputError(f"{str(self.path)!r} holds no tensor {name[:80]!r}; give a file with all of the model")
        return self._places[name]

    def bytes_of(self, name: str) -> UInt8[np.ndarray, " n"]:
        """Return the bytes of a tensor, mapped and read-only."""
        place = self.place(name)
        return self._content[place.start : place.stop]


def map_file(path: Path | str, what: str) -> UInt8[np.ndarray, " n"]:
    """Map all bytes of a file into memory, read-only.

    Raises
    ------
    InputError
        If it cannot be opened, or is no file, or empty.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise InputError(f"there is no {what} {str(path)!r}; give the path of one")
        if path.stat().st_size == 0:
            raise InputError(f"{str(path)!r} is empty, not a {what}; fetch it again")
        return np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
    except OSError as problem:
        raise InputError(f"cannot read {str(path)!r}: {problem.strerror or problem}") from None


def refuse(path: Path | str, what: str, why: str) -> NoReturn:
    """Raise the `InputError` of a file that is damaged or of another kind."""
    why = " ".join(why.split())
    raise InputError(f"{str(path)!r} is not a whole {what}: {why[:300]}; fetch it again")


def count_entries(shape: Iterable[int]) -> int:
    """Return the number of entries, or -1 if the shape is none that an array could have."""
    entries = bound = 1
    for axes, extent in enumerate(shape, start=1):
        if axes > MOST_AXES or not 0 <= extent <= _LARGEST:
            return -1
        entries, bound = entries * extent, bound * max(extent, 1)
        if bound > _LARGEST:  # also of an empty array: NumPy multiplies its other axes
            return -1
    return entries


def as_numbers(raw: UInt8[np.ndarray, " n"], dtype: np.dtype | str, shape: tuple[int, ...]) -> Shaped[np.ndarray, ...]:
    """Return little-endian bytes as an array; a copy where they do not lie aligned, so that all code can use it."""
    array = np.frombuffer(raw, dtype=np.dtype(dtype)).reshape(shape)
    return array if array.flags.aligned else array.copy()


def widened(raw: UInt8[np.ndarray, " n"], shape: tuple[int, ...]) -> Float32[np.ndarray, ...]:
    """Return bfloat16 as float32, exactly: a bfloat16 is the upper half of a float32."""
    wide = np.frombuffer(raw, dtype="<u2").astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32).reshape(shape)
