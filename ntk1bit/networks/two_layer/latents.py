"""Where the latent weights of a network in training are: in memory, or in a file of which a part is read at a time.

A file is read and written with ordinary calls rather than mapped into memory: pages of a map count as resident until
the system takes them back, and a full disk would end the process instead of raising an error. The file has no name (on
systems where that is possible), so that nothing is left of it however the process ends.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Float32

from ntk1bit.cores import half_blocks
from ntk1bit.errors import InputError
from ntk1bit.networks.two_layer.initial_weights import DrawnWeights
from ntk1bit.networks.two_layer.network import Weights


class InMemory:
    """Latent weights that are an array, all of which are worked on at once."""

    def __init__(self, weights: Weights) -> None:
        self.a = weights.a
        self.shape = weights.w.shape
        self.ranges = [(0, weights.width)]
        self._weights = weights

    def read(self, index: int) -> Float32[np.ndarray, "rows d"]:  # noqa: ARG002
        """Return the weights of range `index`, to be changed in place."""
        return self._weights.w

    def write(self, index: int) -> None:
        """Keep the changes of what was read last."""

    def whole(self) -> Weights:
        """Return the network as it is now."""
        return self._weights


class InFile:
    """Latent weights in a file, worked on in ranges of at most `rows` neurons, none of them across the middle.

    `rows` is a whole number of the blocks of a forward pass, so that its sums are those of the whole network.
    """

    def __init__(self, start: Weights | DrawnWeights, rows: int, file: IO[bytes]) -> None:
        self.a = start.a
        self.shape = (start.width, start.dim)
        self.ranges = half_blocks(start.width, rows)
        self._file = file
        self._room = np.empty((max(stop - first for first, stop in self.ranges), start.dim), dtype=np.float32)
        for index, part in enumerate(start.parts(self.ranges)):
            self._rows(index)[:] = part.w
            self.write(index)

    def read(self, index: int) -> Float32[np.ndarray, "rows d"]:
        """Return the weights of range `index`, in an array that the next call fills with others."""
        rows = self._rows(index)
        self._file.seek(self.ranges[index][0] * self._room.strides[0])
        self._file.readinto(rows.data)  # pyright: ignore[reportAttributeAccessIssue] (of binary files)
        return rows

    def write(self, index: int) -> None:
        """Keep the changes of range `index`, which was read last."""
        self._file.seek(self.ranges[index][0] * self._room.strides[0])
        self._file.write(self._rows(index).data)

    def whole(self) -> Weights:
        """Return the network as a read-only map of the file, which lasts as long as the map: it is read when used."""
        self._file.flush()
        return Weights(np.memmap(self._file, dtype=np.float32, mode="r", shape=self.shape), self.a)

    def _rows(self, index: int) -> Float32[np.ndarray, "rows d"]:
        start, stop = self.ranges[index]
        return self._room[: stop - start]


Latents = InMemory | InFile


@contextmanager
def latents(start: Weights | DrawnWeights, rows: int | None, scratch: Path | None) -> Iterator[Latents]:
    """Give latent weights to train from `start`, which stays as it is: in memory, or with `rows` in a file.

    Parameters
    ----------
    start
        The network before training.
    rows
        Neurons in memory at once, a multiple of 512; None for all of them.
    scratch
        A path without an ending beside which the file is made; None for the system's folder of temporary files.

    Raises
    ------
    InputError
        If there is no folder for the file.
    """
    if rows is None:
        whole = start if isinstance(start, Weights) else start.weights()
        yield InMemory(Weights(whole.w.copy(), whole.a))
        return
    if scratch is not None and not scratch.parent.is_dir():
        raise InputError(f"the folder {str(scratch.parent)!r} does not exist; make it first")
    folder, name = (None, None) if scratch is None else (scratch.parent, f"{scratch.name}.")
    with tempfile.TemporaryFile(dir=folder, prefix=name, suffix=".latents") as file:
        yield InFile(start, rows, file)
