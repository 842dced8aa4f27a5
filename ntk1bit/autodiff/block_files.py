"""A folder of the blocks of one kernel, in which a computation that was stopped finds what it had finished.

`kernel.toml` says which kernel, and nothing else is put into its folder. A block is a file of its own, whole or not at
all, with the kernel that it is of; what is damaged is set aside, and computed anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import filelock
import numpy as np
import tomli_w
from jaxtyping import Shaped

from ntk1bit.array_files import ArrayFileError, open_arrays, write_arrays
from ntk1bit.autodiff import programs
from ntk1bit.errors import InputError
from ntk1bit.files import clear_unfinished, is_unfinished, left_by_others, read_toml, set_aside, write_whole

_ABOUT, _LOCK, _BLOCKS = "kernel.toml", ".lock", "blocks"


class BlockFolder:
    """The files of one kernel; `open_folder` makes one.

    Parameters
    ----------
    folder
        An open folder.
    key
        Of the kernel.

    Attributes
    ----------
    damaged
        How many damaged files have been set aside.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._folder, self._key = folder, key
        self.damaged = 0

    def read(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> Shaped[np.ndarray, ...] | None:
        """Return a block, None if it is not there; what is there and is no such block is set aside."""
        path = self._path(name)
        if not path.exists():
            return None
        try:
            with _refused(self._folder), open_arrays(path) as held:
                if {*held.names} != {"of", "entries"} or str(held.take("of")) != self._key:
                    raise ArrayFileError("it is no block of this kernel")
                entries = held.take("entries")
            if entries.dtype != np.uint8 or entries.ndim != 1 or entries.size != int(np.prod(shape)) * dtype.itemsize:
                raise ArrayFileError("it is of another shape")
        except ArrayFileError:
            set_aside(path)
            self.damaged += 1
            return None
        return entries.view(dtype).reshape(shape)

    def write(self, name: str, block: Shaped[np.ndarray, ...]) -> None:
        """Keep a block; as bytes, since files of arrays know no bfloat16.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        arrays = {"of": np.array(self._key), "entries": np.frombuffer(block.tobytes(), np.uint8)}
        with _refused(self._folder):
            write_arrays(self._path(name), arrays)

    def _path(self, name: str) -> Path:
        return self._folder / _BLOCKS / f"{name}.npz"


@contextmanager
def open_folder(folder: Path | str, of: Mapping[str, str | int | bool]) -> Iterator[BlockFolder]:
    """Hold a folder for this process, made if it is not there.

    Parameters
    ----------
    folder
        Where; of this kernel, or empty.
    of
        What tells the kernel, and how it is cut up, from others, each with the words by which a reader knows it.

    Raises
    ------
    InputError
        If it is of another kernel or holds something else, another process holds it, or it cannot be written to.
    """
    folder = Path(folder)
    with _refused(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            held = filelock.FileLock(folder / _LOCK).acquire(timeout=0)
        except filelock.Timeout:
            raise InputError(
                f"another process computes a kernel in {folder}; wait until it ends, or give another folder"
            ) from None
    with held:
        with _refused(folder):
            _claim(folder, of)
            (folder / _BLOCKS).mkdir(exist_ok=True)
            clear_unfinished(folder / _BLOCKS)
        yield BlockFolder(folder, programs.digest(*sorted(of.items())))


@contextmanager
def _refused(folder: Path) -> Iterator[None]:
    """Say in one line what the system has refused."""
    try:
        yield
    except OSError as problem:
        where = f"{problem.filename}: " if problem.filename else ""
        raise InputError(
            f"cannot keep blocks in {folder}: {where}{problem.strerror or problem}; those that are there stay: set "
            "that right and run the same again, or give another folder"
        ) from None


def _claim(folder: Path, of: Mapping[str, str | int | bool]) -> None:
    """Write of which kernel a folder is, or hold that against what is written."""
    path = folder / _ABOUT
    if not path.exists():
        inside = [one.name for one in folder.iterdir() if not (left_by_others(one.name) or is_unfinished(one.name))]
        if others := sorted({*inside} - {_LOCK}):
            raise InputError(
                f"{folder} holds {others[0]!r} and is no kernel's folder; give an empty one, or a new name"
            )
        write_whole(path, tomli_w.dumps(dict(of)).encode())
    written = read_toml(path)
    differing = [name for name in of if written.get(name) != of[name]]
    if differing:
        values = [f"{name}" if _is_digest(of[name]) else f"{name} ({written.get(name)})" for name in differing]
        raise InputError(
            f"{folder} is of a kernel with other {', '.join(values)}; give the same again, or another folder"
        )


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64
