"""States of networks on disk: checkpoints of a training, and weights at its end, in one file format.

    ntk1bit state 3 <digest of the identity> <digest of the contents> <arrays in NumPy's format, one after the other>

The identity says which training the state is of, so that one of another is never taken for it; the other digest tells
of damage. Both are SHA-256, in hexadecimal.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import equinox as eqx
import jax
import numpy as np

from ntk1bit.errors import InputError
from ntk1bit.files import write_whole

Tree = TypeVar("Tree")
_MARK = b"ntk1bit state 3 "
_DIGEST = 64  # letters
_HEAD = len(_MARK) + 2 * (_DIGEST + 1)


@dataclass(frozen=True)
class Checkpoint:
    """Where a training keeps its state so that it can be resumed.

    Attributes
    ----------
    path
        The file, in a folder that exists; it is deleted when the training has ended.
    identity
        Says what is trained: a file with another identity is refused.
    seconds
        Least time between two checkpoints; 0 writes one after every record.
    replace
        Whether a file that is damaged or of another training is replaced instead of refused: for files that a run names
        itself, by what is trained. One that the system refuses to read is never replaced: it may be whole.
    """

    path: Path
    identity: str
    seconds: float = 60.0
    replace: bool = False

    def write(self, tree: Any) -> None:
        """Store a pytree of arrays: all of it, or the file stays as it was."""
        write_state(self.path, tree, self.identity)

    def read(self, like: Tree) -> Tree | None:
        """Return what is stored, in the form of a pytree of the same shapes and dtypes; None where nothing is.

        Raises
        ------
        InputError
            If the file is of another training or damaged, unless it may be replaced, or if it cannot be read.
        """
        try:
            return read_state(self.path, like, self.identity)
        except FileNotFoundError:
            return None
        except OSError as error:
            problem = f"cannot be read ({error.strerror or error})"
        except ValueError as error:
            if self.replace:
                return None
            problem = str(error)
        raise InputError(f"the checkpoint {self.path} {problem}; delete it and train again, or give another place")

    def remove(self) -> None:
        """Delete the file if there is one."""
        self.path.unlink(missing_ok=True)


def write_state(path: Path | str, tree: Any, identity: str) -> None:
    """Store a pytree of arrays and what it is of: all of it, or the file stays as it was."""
    data = serialised(tree)
    digests = f"{identity_digest(identity)} {hashlib.sha256(data).hexdigest()} "
    write_whole(path, _MARK + digests.encode() + data)


def read_state(path: Path | str, like: Tree, identity: str) -> Tree:
    """Return what `write_state` has stored, in the form of a pytree of the same shapes and dtypes.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    ValueError
        If it is damaged, or of another training; the message says which.
    """
    stored = Path(path).read_bytes()
    if not stored.startswith(_MARK) or len(stored) < _HEAD:
        raise ValueError("is not a whole file of this version of ntk1bit")
    whose, contents, data = *stored[len(_MARK) : _HEAD].split(), stored[_HEAD:]
    if contents != hashlib.sha256(data).hexdigest().encode():
        raise ValueError("is damaged: its contents do not match their digest")
    if whose != identity_digest(identity).encode():
        raise ValueError("belongs to another training (its settings, data or seeds differ)")
    return deserialised(data, like)


def identity_digest(*parts: Any) -> str:
    """Return a digest of settings, by their `repr`, and of arrays, by their shapes and contents."""
    hasher = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray | jax.Array):
            hasher.update(f"{part.dtype}{part.shape}".encode() + np.asarray(part).tobytes())
        else:
            hasher.update(repr(part).encode() + b"\0")
    return hasher.hexdigest()


def serialised(tree: Any) -> bytes:
    """Return the arrays of a pytree as bytes, in NumPy's format."""
    sink = io.BytesIO()
    eqx.tree_serialise_leaves(sink, tree)
    return sink.getvalue()


def deserialised(data: bytes, like: Tree) -> Tree:
    """Return the pytree that `serialised` made bytes of, in the form of one of the same shapes and dtypes.

    Raises
    ------
    ValueError
        If the bytes hold anything else.
    """
    try:
        return cast(Tree, eqx.tree_deserialise_leaves(io.BytesIO(data), like))
    except (OSError, ValueError, RuntimeError, EOFError) as problem:
        raise ValueError(" ".join(str(problem).split())[:200]) from None
