"""A run folder: its specification, one Parquet file per experiment, and what failed.

    RUN/spec.toml               what was asked for, in full, with versions
    RUN/cells/<key>.parquet     one result: written to a temporary file, fsynced, renamed
    RUN/cells/<key>*            an experiment's own files beside it: checkpoints, weights
    RUN/data/NAME@DIGEST.npz    of a sweep on people's own data: the prepared arrays
    RUN/failures.jsonl          experiments that failed, with why
    RUN/set_aside/              files found in cells/ that are not what they claim to be

A file is trusted only if its contents match their digest and the settings inside it hash to its name; so a truncated,
altered or foreign file is never taken for a result. What cannot be read at all (no permission, a failing disk) may well
be whole: it is named, and neither moved nor replaced. One process at a time writes to a run, held by a lock that the
system releases when that process ends, however it ends.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import tomli_w

import ntk1bit
from ntk1bit import cores
from ntk1bit.errors import InputError
from ntk1bit.experiments.experiment import Experiment, key_of
from ntk1bit.experiments.specification import Reader, Specification, Stage, specification_in
from ntk1bit.files import clear_unfinished, is_unfinished, left_by_others, read_toml, set_aside, write_whole

FOREIGN = "is of no experiment of this run"
HOLDER = ".held-by"  # says which process holds the lock of a run, for others; left behind by one that was killed
LAYOUT = 2  # of a run folder; version 0.1.0 wrote none
_VERSIONED = ("numpy", "scipy", "numba", "pandas", "pyarrow", "scikit-learn", "jax", "jaxlib", "equinox", "optax")


class DamagedCellError(Exception):
    """A file in cells/ is not a result of the name it has; the message says why."""


class UnreadableCellError(Exception):
    """A file in cells/ cannot be read, which says nothing about what it holds; the message says why."""


class StageIncompleteError(Exception):
    """What comes next in a run depends on results that are not there; the message says on which."""


class Found(NamedTuple):
    """What a folder holds of some experiments: their keys by state, and a sentence for each file that is not sound."""

    finished: set[str]
    unreadable: set[str]
    notes: list[str]


class Store:
    """Reads and writes one run folder."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.cells = self.folder / "cells"

    def check(self, specification: Specification) -> Specification:
        """Refuse a folder that a run must not write to, before anything is written.

        Returns
        -------
        What the folder is to hold: the specification, united with the one that it holds already.

        Raises
        ------
        InputError
            If the folder holds a run of other settings or of version 0.1.0, or files that are not a run.
        """
        if not (self.folder / "spec.toml").exists():
            if self.folder.exists() and not _begun(self.folder):
                raise InputError(f"{self.folder} exists and is not a run (it has no spec.toml); give another --out")
            return specification
        stored = read_stored(self.folder)
        if type(stored) is not type(specification):
            raise InputError(
                f"{self.folder} holds a run of {stored.COMMAND}, not of {specification.COMMAND}; give another --out"
            )
        if differences := stored.differences(specification):
            raise InputError(
                f"{self.folder} holds a run with other settings ({'; '.join(differences)[:600]}); "
                "give the same settings to resume or extend it, or another --out"
            )
        return stored.united(specification)

    def open(self, specification: Specification) -> Specification:
        """Start a run, or resume or extend the one that is there; return what the folder is asked for from now on.

        Raises
        ------
        InputError
            As `check`.
        OSError
            If the folder cannot be written.
        """
        united = self.check(specification)
        path = self.folder / "spec.toml"
        document: dict[str, Any] = read_toml(path) if path.exists() else {}
        self.cells.mkdir(parents=True, exist_ok=True)
        if document.get(united.NAME) != united.as_dict():
            made = document.get("made", {"at": _now(), "layout": LAYOUT})
            document = {united.NAME: united.as_dict(), "versions": document.get("versions", versions()), "made": made}
            write_whole(path, tomli_w.dumps(document).encode())
        united.keep_beside(self.folder)
        return united

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for this process.

        Raises
        ------
        InputError
            If another process holds it, or the folder cannot be written.
        """
        holder = self.folder / HOLDER
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            held = filelock.FileLock(self.folder / ".lock").acquire(timeout=0)
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()} since {_now()}", encoding="utf-8")
        except filelock.Timeout:
            try:
                who = f" ({holder.read_text(encoding='utf-8')[:200]})"
            except (OSError, ValueError):
                who = ""
            raise InputError(
                f"another process is writing to {self.folder}{who}; wait until it ends, or give another --out"
            ) from None
        except OSError as problem:
            raise InputError(
                f"cannot write to {self.folder}: {problem.strerror or problem}; give another --out"
            ) from None
        with held:
            try:
                yield
            finally:
                holder.unlink(missing_ok=True)

    def path(self, key: str) -> Path:
        """Return where the result of this key is, or would be."""
        return self.cells / f"{key}.parquet"

    def scratch(self, key: str) -> Path:
        """Return the path, without an ending, under which an experiment keeps files of its own."""
        return self.cells / key

    def write(self, experiment: Experiment, frame: pd.DataFrame, *, seconds: float) -> bool:
        """Store a result: all of it or nothing, and on disk when this returns; return whether it diverged."""
        diverged = bool(frame["diverged"].to_numpy().any()) if "diverged" in frame else False
        table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
        about = {
            "kind": experiment.KIND,
            "version": experiment.VERSION,
            "settings": experiment.stored_settings,
            "diverged": diverged,
            "seconds": round(seconds, 3),
            "versions": versions(),
        }
        about["digest"] = _digest(about, table)
        table = table.replace_schema_metadata({"ntk1bit": json.dumps(about)})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
        write_whole(self.path(experiment.key), memoryview(sink.getvalue()))
        return diverged

    def read(self, key: str, columns: Iterable[str] | None = None) -> tuple[dict[str, Any], pa.Table]:
        """Read a result: what its file says about it, and its table or some of its columns.

        The whole table is checked against its digest; some columns, of which those that it lacks are left out, only
        against their page checksums.

        Raises
        ------
        DamagedCellError
            If the file is truncated, altered, of another format, or of another experiment.
        UnreadableCellError
            If the system refuses to read it.
        """
        try:
            with open(self.path(key), "rb") as source:
                file = pq.ParquetFile(source, page_checksum_verification=True)
                names = set(file.schema_arrow.names)
                chosen = None if columns is None else [name for name in columns if name in names]
                table = file.read(chosen)
            about: dict[str, Any] = json.loads((table.schema.metadata or {})[b"ntk1bit"])
            expected = key_of(about["kind"], about["version"], about["settings"])
            sound = columns is not None or about["digest"] == _digest(about, table)
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as problem:
            reason = " ".join(str(problem).split())[:200]
            if isinstance(problem, IsADirectoryError):
                raise DamagedCellError("is a folder") from None
            if isinstance(problem, OSError) and problem.errno is not None:  # the system's; Arrow's own have no number
                raise UnreadableCellError(f"cannot be read ({problem.strerror or reason})") from None
            raise DamagedCellError(f"not a readable result ({type(problem).__name__}: {reason})") from None
        if expected != key:
            raise DamagedCellError("holds another experiment than its name says")
        if not sound:
            raise DamagedCellError("has been altered: its contents do not match their digest")
        return about, table

    def find(self, experiments: Iterable[Experiment]) -> Found:
        """Find which experiments are stored whole; set damaged files aside, and leave what cannot be read.

        Raises
        ------
        OSError
            If cells/ cannot be read or written.
        """
        found = Found(set(), set(), [])
        for one in experiments:
            path = self.path(one.key)
            try:
                if path.exists():
                    self.read(one.key)
                    found.finished.add(one.key)
            except UnreadableCellError as problem:
                found.unreadable.add(one.key)
                found.notes.append(f"{path.name} {problem}; it was left as it is: make it readable, and run again")
            except DamagedCellError as problem:
                found.notes.append(self._set_aside(path, str(problem)))
        return found

    def clear_foreign(self, keys: set[str]) -> list[str]:
        """Remove what was half-written, set aside what belongs to none of these experiments; return a sentence each."""
        clear_unfinished(self.cells)
        notes = []
        for path in self.foreign(keys):
            try:
                with open(path, "rb") as file:
                    file.read(1)
                notes.append(self._set_aside(path, FOREIGN))
            except OSError as problem:
                notes.append(f"{path.name} {FOREIGN} and cannot be read ({problem.strerror}); it was left as it is")
        return notes

    def foreign(self, keys: set[str]) -> list[Path]:
        """List what is in cells/ and belongs to none of these experiments, nor to a system or an editor."""
        if not self.cells.is_dir():
            return []
        return [
            path
            for path in sorted(self.cells.iterdir())
            if path.name[:20] not in keys and not left_by_others(path.name) and not is_unfinished(path.name)
        ]

    def frame(
        self,
        experiments: Iterable[Experiment],
        columns: Iterable[str] | None = None,
        *,
        checkpoints_only: bool = False,
    ) -> pd.DataFrame:
        """Return the results of experiments as one tidy frame.

        Parameters
        ----------
        experiments
            Which; all of them must be stored.
        columns
            Which of the stored columns to read besides those a kind always has; all by default. Those that an
            experiment does not have are left out.
        checkpoints_only
            Keep only the rows recorded in full.

        Returns
        -------
        The rows of every experiment, in order, with `key` and its settings beside them (but for settings that are
        tuples); empty for no experiment.

        Raises
        ------
        DamagedCellError, UnreadableCellError
            As `read`.
        """
        parts = []
        for one in experiments:
            wanted = None if columns is None else list(dict.fromkeys((*one.ALWAYS, *columns)))
            part = self.read(one.key, wanted)[1].to_pandas()
            if checkpoints_only and one.CHECKPOINT:
                part = part[part[one.CHECKPOINT].notna()]
            plain = {name: value for name, value in one.as_dict().items() if not isinstance(value, list)}
            beside = pd.DataFrame({"key": one.key} | plain, index=part.index)
            named = {name: plain[name] for name in plain if name in part}  # a setting replaces a column of its name
            parts.append(pd.concat([part.assign(**named), beside.drop(columns=list(named))], axis=1))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def reader(self, stage: Stage, stored: Callable[[str], bool]) -> Reader:
        """Return a function that reads the results of a stage; `stored` says of a key whether its result is there.

        It raises `StageIncompleteError` if some are not.
        """

        def read() -> pd.DataFrame:
            if missing := sum(not stored(one.key) for one in stage.experiments):
                raise StageIncompleteError(
                    f"{missing} of {len(stage.experiments)} results of {stage.name!r} are missing, and what follows "
                    "depends on them: run the same command again"
                )
            return self.frame(stage.experiments)

        return read

    def record_failure(self, experiment: Experiment, why: str) -> None:
        """Add a line to failures.jsonl."""
        entry = {"key": experiment.key, "why": why, "at": _now(), "kind": experiment.KIND}
        line = json.dumps(entry | {"settings": experiment.stored_settings}) + "\n"
        with open(self.folder / "failures.jsonl", "a+b") as file:
            if file.seek(0, os.SEEK_END) and file.seek(-1, os.SEEK_END) and file.read(1) != b"\n":
                file.write(b"\n")  # the last line was cut short, by a full disk say
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())

    def failures(self) -> dict[str, str]:
        """Read why experiments failed, by key, the last reason of each; lines that are cut short are passed over."""
        path = self.folder / "failures.jsonl"
        found: dict[str, str] = {}
        if path.is_file():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    entry = json.loads(line)
                    found[str(entry["key"])] = str(entry["why"])
                except (ValueError, KeyError, TypeError, RecursionError):
                    continue
        return found

    def changed_versions(self) -> str:
        """List what has another version now than when the run was started; empty if nothing has."""
        then, now = recorded(read_toml(self.folder / "spec.toml"), "versions"), versions()
        changed = [name for name in now if name in then and then[name] != now[name]]
        return ", ".join(f"{name} {then[name]} to {now[name]}" for name in changed)

    def _set_aside(self, path: Path, why: str) -> str:
        return f"{path.name} {why}; set aside as {set_aside(path).relative_to(self.folder)}"


def read_stored(folder: Path | str) -> Specification:
    """Read the specification of a run folder.

    Raises
    ------
    InputError
        If there is none, it cannot be read, or the folder was written by version 0.1.0.
    """
    path = Path(folder) / "spec.toml"
    document = read_toml(path)
    specification = specification_in(document, path)
    if recorded(document, "made").get("layout") != LAYOUT:
        written = recorded(document, "versions").get("ntk1bit", "0.1.0")
        raise InputError(
            f"{folder} was written by ntk1bit {written}, whose results this version cannot read; "
            "read it with that version, or give another folder"
        )
    return specification


def recorded(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a table that spec.toml records besides the settings; empty if somebody has put something else there."""
    table = document.get(name)
    return table if isinstance(table, dict) else {}


def versions() -> dict[str, str]:
    """Return what the last bits of a result depend on: our version, Python's, the libraries' and the cores' backend.

    Where JAX is loaded, `jax-platform` and, if they are set, `xla-flags` are there too.
    """
    found = {"ntk1bit": ntk1bit.__version__, "python": platform.python_version()}
    found |= {name: metadata.version(name) for name in _VERSIONED}
    found["cores-backend"] = cores.settings().backend
    if "jax" in sys.modules:
        found["jax-platform"] = sys.modules["jax"].default_backend()
        if flags := os.environ.get("XLA_FLAGS", "").strip():
            found["xla-flags"] = flags
    return found


def _begun(folder: Path) -> bool:
    """Say whether a folder has nothing in it but what a run leaves that was cut short before its spec.toml."""
    if not folder.is_dir():
        return False
    left = {entry.name for entry in folder.iterdir() if not left_by_others(entry.name)}
    return all(name in (".lock", HOLDER, "cells") or is_unfinished(name) for name in left)


def _digest(about: dict[str, Any], table: pa.Table) -> str:
    """Hash everything a result's file holds: its columns and what it says about itself, but for the digest in it."""
    said = {name: value for name, value in about.items() if name != "digest"}
    found = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for name in table.column_names:
        column = table[name].combine_chunks()
        parts = [column.value_lengths(), column.flatten()] if isinstance(column, pa.ListArray) else [column]
        for part in parts:
            values = part.to_numpy(zero_copy_only=False)  # a null number becomes NaN
            if values.dtype == object:  # words
                values = np.frombuffer(json.dumps(part.to_pylist()).encode(), dtype=np.uint8)
            found.update(f"{name} {values.dtype} {values.shape}".encode())
            found.update(values.tobytes())
    return found.hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
