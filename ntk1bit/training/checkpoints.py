"""Checkpoints of a training: one file format, marked, with a digest that says which training it belongs to."""

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
_MARK = b"ntk1bit training 2 "


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
        Whether a file that cannot be used is replaced instead of refused: for files that a run names itself, by what
        is trained.
    """

    path: Path
    identity: str
    seconds: float = 60.0
    replace: bool = False

    @property
    def _head(self) -> bytes:
        return _MARK + identity_digest(self.identity).encode()

    def write(self, tree: Any) -> None:
        """Store a pytree of arrays: all of it, or the file stays as it was."""
        write_whole(self.path, self._head + serialised(tree))

    def read(self, like: Tree) -> Tree | None:
        """Return what is stored, in the form of a pytree of the same shapes and dtypes; None where nothing is.

        Raises
        ------
        InputError
            If the file is of another training, damaged or unreadable, unless it may be replaced.
        """
        try:
            stored = self.path.read_bytes()
            if stored.startswith(self._head):
                return deserialised(stored[len(self._head) :], like)
            whose = "belongs to another training (its settings, data or seeds differ)"
            problem = whose if stored.startswith(_MARK) else "is not a checkpoint of a training"
        except FileNotFoundError:
            return None
        except OSError as error:
            problem = f"cannot be read ({error.strerror or error})"
        except ValueError:
            problem = "is damaged"
        if self.replace:
            return None
        raise InputError(f"the checkpoint {self.path} {problem}; delete it and train again, or give another place")

    def remove(self) -> None:
        """Delete the file if there is one."""
        self.path.unlink(missing_ok=True)


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
