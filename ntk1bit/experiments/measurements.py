"""Measurements that are not trainings: a function of plain settings, run in parallel, resumable, one file each.

    FOLDER/<key>.parquet     the frame one call returned; <key> is a hash of the function's name and its settings

A measurement must depend on nothing but its settings: every random draw comes from a seed among them. A function with
an argument `scratch` is given the path FOLDER/<key> there: beside its result, under that name with endings of its own,
it may keep what it needs to go on after being stopped, and what is too large for a frame.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ntk1bit import cores
from ntk1bit.errors import InputError
from ntk1bit.experiments.executors import running, workers
from ntk1bit.files import write_whole


@dataclass(frozen=True)
class Measurement:
    """One call of a function.

    Attributes
    ----------
    function
        `package.module:name` of a function of keyword arguments that returns a DataFrame.
    settings
        Its arguments, as (name, value) pairs of plain values.
    cost
        Its share of the work, in any unit that is the same for all measurements of a run.
    version
        Raised when the function's meaning changes, so that stored results are not taken for new ones.
    """

    function: str
    settings: tuple[tuple[str, Any], ...]
    cost: float = 1.0
    version: int = 1

    @property
    def key(self) -> str:
        """A hash of the function and its settings: the name on disk."""
        text = json.dumps([self.function, self.version, self.settings], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]


def run_measurements(
    measurements: Sequence[Measurement],
    folder: Path,
    *,
    jobs: int = 1,
    executor: Executor | None = None,
    progress: Callable[[float], None] | None = None,
) -> pd.DataFrame:
    """Make the measurements a folder does not hold yet, and return all of them.

    Parameters
    ----------
    measurements
        What to measure.
    folder
        Where results are kept; finished ones found there are read, not made again.
    jobs
        Number of local processes, each with one thread, when no executor is given.
    executor
        Any `concurrent.futures.Executor` whose workers see the folder; it is not shut down.
    progress
        Called with the share of the cost that is done.

    Returns
    -------
    One frame: the rows of every measurement with its settings as columns beside them, and `seconds`, which sums to the
    time it took on one core.

    Raises
    ------
    InputError
        If the folder cannot be written.
    KeyboardInterrupt
        On Ctrl-C, after the workers have been stopped; finished measurements stay.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise InputError(f"cannot write to {folder}: {problem.strerror or problem}; give another place") from None
    found = {one: frame for one in measurements if (frame := _read(folder, one)) is not None}
    missing = sorted((one for one in measurements if one not in found), key=lambda one: -one.cost)
    total = sum(one.cost for one in measurements) or 1.0
    done = sum(one.cost for one in found)
    if progress is not None:
        progress(done / total)
    if missing:
        calls = {one: (measure, folder, one) for one in missing}
        try:
            with workers(jobs, executor) as pool, running(pool, calls) as done_now:
                for one, future in done_now:
                    future.result()
                    done += one.cost
                    if progress is not None:
                        progress(min(done / total, 1.0))
        except OSError as problem:
            raise InputError(
                f"cannot write to {folder}: {problem.strerror or problem}; finished measurements are kept: "
                "free some space and run the same command again"
            ) from None
    frames = []
    for one in measurements:
        frame = _read(folder, one)
        if frame is None:
            raise InputError(f"the measurement {one.key} in {folder} cannot be read back; delete it and run again")
        frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def measure(folder: Path, one: Measurement) -> None:
    """Make one measurement and store it whole."""
    module, name = one.function.split(":")
    began = time.perf_counter()
    call = getattr(importlib.import_module(module), name)
    given = {"scratch": folder / one.key} if "scratch" in inspect.signature(call).parameters else {}
    with cores.using(threads=1):
        frame = call(**dict(one.settings), **given)
    seconds = (time.perf_counter() - began) / max(len(frame), 1)
    plain = {name: value for name, value in one.settings if not isinstance(value, tuple | list)}
    frame = frame.assign(**plain, seconds=seconds)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), sink, write_page_checksum=True)
    write_whole(folder / f"{one.key}.parquet", memoryview(sink.getvalue()))


def _read(folder: Path, one: Measurement) -> pd.DataFrame | None:
    """Return a stored measurement; None when there is none that can be read whole."""
    path = folder / f"{one.key}.parquet"
    if not path.exists():
        return None
    try:
        return pq.read_table(path, page_checksum_verification=True).to_pandas()
    except (OSError, pa.ArrowException):
        path.unlink(missing_ok=True)
        return None
