"""A run on disk: its specification, one Parquet file a cell, and what failed.

    NAME/spec.toml             what was asked, in full, with versions
    NAME/cells/<key>.parquet   one finished cell: written to a temporary file, fsynced, renamed
    NAME/failures.jsonl        cells that failed, with why
    NAME/set_aside/            files found in cells/ that are not what they claim to be

A file is trusted only if its contents match their digest and the settings inside it hash to its name; so a truncated,
altered or foreign file is never read as a result. One sweep at a time writes to a run, held by a lock that the system
releases when its process ends, however it ends.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import filelock
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import tomli_w

import ntk1bit
from ntk1bit import cores
from ntk1bit.errors import InputError
from ntk1bit.experiments.cells import FORMAT, NO_SCALE, TERM_COLUMNS, Cell, about_table, digest
from ntk1bit.experiments.predictions import COLUMNS as PREDICTION_COLUMNS
from ntk1bit.experiments.spec import SweepSpec, read_spec
from ntk1bit.files import clear_unfinished, is_unfinished, left_by_others, read_toml, write_whole

_VERSIONED = ("numpy", "scipy", "numba", "pandas", "pyarrow", "scikit-learn")


@runtime_checkable
class Comparable(Protocol):
    """A specification that can say in what it differs from another of its kind."""

    def differences(self, other: Any, /) -> list[str]:
        """Name the settings in which two specifications differ."""
        ...


Spec = TypeVar("Spec", bound=Comparable)


class DamagedCellError(Exception):
    """A file in cells/ is not a finished cell of the name it has; the message says why."""


class Store:
    """Reads and writes the folder of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cells = folder / "cells"

    def check(self, spec: SweepSpec, *, resume: bool) -> None:
        """Refuse a folder this sweep must not write to, before anything is written.

        Raises
        ------
        InputError
            If the folder holds another run, this run and `resume` is not set, or files that are not a run.
        """
        require_own_folder(self.folder, spec, read_spec, resume=resume)

    def open(self, spec: SweepSpec, *, resume: bool) -> None:
        """Start a run, or go on with the same one.

        Raises
        ------
        InputError
            As `check`.
        OSError
            If the folder cannot be written.
        """
        self.check(spec, resume=resume)
        stored = self.folder / "spec.toml"
        self.cells.mkdir(parents=True, exist_ok=True)
        if not stored.exists():
            document = {"sweep": spec.as_dict(), "versions": versions(), "made": {"at": _now()}}
            write_whole(stored, tomli_w.dumps(document).encode())

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for this process.

        Raises
        ------
        InputError
            If another process holds it, or the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            held = filelock.FileLock(self.folder / ".lock").acquire(timeout=0)
        except filelock.Timeout:
            raise InputError(
                f"another sweep is writing to {self.folder}; wait until it ends, or give another --out"
            ) from None
        except OSError as problem:
            raise InputError(f"cannot write to {self.folder}: {problem.strerror}; give another --out") from None
        with held:
            yield

    def path(self, key: str) -> Path:
        """Return where the cell of this key is, or would be."""
        return self.cells / f"{key}.parquet"

    def write(self, cell: Cell, table: pa.Table) -> None:
        """Store a finished cell: all of it or nothing, and on disk when this returns."""
        about = about_table(table) | {"versions": versions()}
        about["digest"] = digest(table.replace_schema_metadata({"ntk1bit": json.dumps(about)}))
        table = table.replace_schema_metadata({"ntk1bit": json.dumps(about)})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
        write_whole(self.path(cell.key), memoryview(sink.getvalue()))

    def read(self, key: str, columns: list[str] | None = None) -> tuple[dict[str, Any], pa.Table]:
        """Read a cell: what its file says about it, and its table or some of its columns.

        The whole table is checked against its digest; some columns only against their page checksums.

        Raises
        ------
        DamagedCellError
            If the file is truncated, altered, of another format, or of another cell.
        """
        try:
            with open(self.path(key), "rb") as file:
                table = pq.read_table(file, columns=columns, page_checksum_verification=True)
            about = about_table(table)
            cell = Cell(**about["cell"])
            sound = columns is not None or about["digest"] == digest(table)
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as problem:
            reason = " ".join(str(problem).split())[:200]
            raise DamagedCellError(f"not a readable cell ({type(problem).__name__}: {reason})") from None
        if about.get("format") != FORMAT or cell.key != key:
            raise DamagedCellError("holds another cell than its name says")
        if not sound:
            raise DamagedCellError("has been altered: its contents do not match their digest")
        return about, table

    def finished(self, cells: Iterable[Cell]) -> tuple[set[Cell], list[str]]:
        """Find which cells are stored whole; set aside files that are damaged or belong to no cell asked for.

        Returns
        -------
        done, notes
            The finished cells, and a sentence for each file set aside.
        """
        done: set[Cell] = set()
        notes: list[str] = []
        wanted = {self.path(cell.key): cell for cell in cells}
        clear_unfinished(self.cells)
        for path in sorted(self.cells.iterdir()):
            if left_by_others(path.name):
                continue
            try:
                if path not in wanted:
                    raise DamagedCellError("is not a cell of this sweep")
                self.read(wanted[path].key)
                done.add(wanted[path])
            except DamagedCellError as problem:
                notes.append(self._set_aside(path, str(problem)))
        return done, notes

    def record_failure(self, cell: Cell, why: str) -> None:
        """Add a line to failures.jsonl."""
        line = json.dumps({"key": cell.key, "why": why, "at": _now(), "cell": cell.__dict__}) + "\n"
        with open(self.folder / "failures.jsonl", "ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())

    def _set_aside(self, path: Path, why: str) -> str:
        shelf = self.folder / "set_aside"
        shelf.mkdir(exist_ok=True)
        names = (shelf / f"{path.name}.{number}" for number in itertools.count(sum(1 for _ in shelf.iterdir())))
        target = next(one for one in names if not one.exists())
        path.rename(target)
        return f"{path.name} {why}; set aside as set_aside/{target.name}"


@dataclass(frozen=True)
class Run:
    """A run read back from disk.

    Attributes
    ----------
    folder
        Where it is.
    spec
        What was asked.
    about
        For every readable cell, what its file says: settings under ``cell``, eta, diverged, seconds, versions.
    problems
        A sentence for each file that could not be trusted and was left out.
    """

    folder: Path
    spec: SweepSpec
    about: dict[str, dict[str, Any]]
    problems: tuple[str, ...]

    def frame(self, columns: list[str] | None = None, *, checkpoints_only: bool = False) -> pd.DataFrame:
        """Return one tidy frame: a row for each cell and step, with the cell's settings beside it.

        Parameters
        ----------
        columns
            Which of the stored columns to read besides ``step`` and ``loss``, those of predictions and of terms only
            where the run has them; all by default. Leaving out ``outputs`` and ``test_outputs`` makes a large run much
            smaller.
        checkpoints_only
            Keep only the steps recorded in full.

        Returns
        -------
        Columns key, task, dim, n_train, width, precision, init, scale, kappa, seed, eta, diverged and those of
        `run_cell`; empty if the run has no finished cell.
        """
        parts = []
        store = Store(self.folder)
        lacking = () if self.spec.predictions else PREDICTION_COLUMNS
        lacking += () if self.spec.terms else TERM_COLUMNS
        asked = None if columns is None else dict.fromkeys(["step", "loss", "drift", *columns])
        wanted = None if asked is None else [name for name in asked if name not in lacking]
        for key, about in self.about.items():
            _, table = store.read(key, wanted)
            part = table.to_pandas()
            if checkpoints_only:
                part = part[part["drift"].notna()]
            settings = {name: about["cell"][name] for name in Cell.__dataclass_fields__ if name != "steps"}
            fixed = {"key": key, **settings, "eta": about["eta"], "diverged": about["diverged"]}
            parts.append(part.assign(**fixed))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def require_own_folder(folder: Path, spec: Spec, read: Callable[[Path], Spec], *, resume: bool) -> None:
    """Refuse a folder that a run of this specification must not write to, before anything is written.

    Parameters
    ----------
    folder
        Where the run is to be kept.
    spec
        What is asked.
    read
        Reads the specification that a spec.toml holds.
    resume
        Whether a run of the same specification may be gone on with.

    Raises
    ------
    InputError
        If the folder holds another run, this run and `resume` is not set, or files that are not a run.
    """
    stored = folder / "spec.toml"
    if stored.exists():
        differences = read(stored).differences(spec)
        if differences:
            raise InputError(
                f"{folder} holds a sweep with other settings ({'; '.join(differences)}); "
                "give the same settings to resume it, or another --out"
            )
        if not resume:
            raise InputError(f"{folder} already holds this sweep; add --resume to finish it, or another --out")
    elif folder.exists() and not _begun(folder):
        raise InputError(f"{folder} exists and is not a run (it has no spec.toml); give another --out")


def _begun(folder: Path) -> bool:
    """Say whether nothing is there but what starting a run leaves if it is cut short at once."""
    if not folder.is_dir():
        return False
    left = {entry.name for entry in folder.iterdir() if not left_by_others(entry.name)}
    return all(name in (".lock", "cells") or is_unfinished(name) for name in left)


def load_run(folder: Path | str) -> Run:
    """Open a run for reading; nothing in it is changed.

    Raises
    ------
    InputError
        If there is no run at that place, or its specification cannot be read.
    """
    folder = Path(folder)
    if not (folder / "spec.toml").is_file():
        raise InputError(f"{folder} is not a run (it has no spec.toml); make one with: ntk1bit sweep --out {folder}")
    spec = read_spec(folder / "spec.toml")
    store = Store(folder)
    about: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    for path in sorted(store.cells.glob("*.parquet")) if store.cells.is_dir() else ():
        if left_by_others(path.name):
            continue
        try:
            found = store.read(path.stem)[0]
            if not _asked_for(Cell(**found["cell"]), spec):
                raise DamagedCellError("is not a cell of this sweep")
            about[path.stem] = found
        except DamagedCellError as problem:
            problems.append(f"{path.name} left out: {problem}; run the sweep with --resume to set it right")
    ordered = dict(sorted(about.items(), key=lambda item: _reading_order(item[1]["cell"])))
    return Run(folder, spec, ordered, tuple(problems))


def _asked_for(cell: Cell, spec: SweepSpec) -> bool:
    """Say whether a cell has settings that a specification asks for."""
    axes = ("widths", "tasks", "precisions", "seeds", "n_train", "inits", "kappas")
    singular = {name: name.removesuffix("s") if name != "n_train" else name for name in axes}
    single = ("n_test", "data_seed", "eta_rel", "steps", "checkpoints", "predictions", "terms")
    return (
        all(getattr(cell, one) in getattr(spec, axis) for axis, one in singular.items())
        and all(getattr(cell, name) == getattr(spec, name) for name in single)
        and (not spec.dims or cell.dim in spec.dims)
        and (cell.scale == NO_SCALE if cell.precision == "full" else cell.scale in spec.scales)
    )


def _reading_order(cell: dict[str, Any]) -> tuple[Any, ...]:
    axes = ("task", "dim", "n_train", "init", "kappa", "precision", "scale", "width", "seed")
    return tuple(cell[axis] for axis in axes)


def stored_versions(folder: Path) -> dict[str, str]:
    """Return the versions a run was started with, as its spec.toml has them."""
    return dict(read_toml(folder / "spec.toml").get("versions", {}))


def versions() -> dict[str, str]:
    """Return what the last bits of a result depend on: our version, Python's, the libraries' and the cores' backend."""
    found = {"ntk1bit": ntk1bit.__version__, "python": platform.python_version()}
    found |= {name: metadata.version(name) for name in _VERSIONED}
    return found | {"cores-backend": cores.settings().backend}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
