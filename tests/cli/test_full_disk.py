"""A disk that is full at every moment in turn, for every command that writes.

The command says so in one line, with exit code 2; outputs of earlier commands are as they were, none is there in part,
and the same command, given again when there is room, ends as if nothing had happened.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from ntk1bit.cli import deep_runs, training_lm
from ntk1bit.cli import main as module
from ntk1bit.cli.main import main
from ntk1bit.cli.options import Running
from ntk1bit.experiments import executors, open_run
from ntk1bit.experiments.deep_spec import DeepSimilaritySpec
from ntk1bit.files import is_unfinished

from ..tiny_language import TINY
from .test_verify_files import MINE

OLD = b"an output of earlier, which is whole"
TIMED = {".toml", ".json", ".html", ".csv", ".parquet"}  # files that tell the hour, or the seconds that cells took
OF_A_RUN = {".lock", ".held-by", "failures.jsonl"}  # what a run that was stopped may leave beside its results
SWEEP = ["--widths", "8,16", "--seeds", "1", "--steps", "4", "--n-train", "8", "--n-test", "4", "--jobs", "1"]


class _File:
    """A file on the disk that may be full: of what does not fit, half is written."""

    def __init__(self, file: Any, disk: Disk) -> None:
        self._file, self._disk = file, disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: Any) -> Any:
        if self._disk.is_full():
            self._file.write(data[: len(data) // 2])
            self._disk.refuse(self._file.name)
        return self._file.write(data)


class _Threads(ThreadPoolExecutor):
    _processes: ClassVar[dict[int, object]] = {}  # that would have to be ended


class Disk:
    """The disk under a folder: full from its n-th write, sync, rename or new folder on."""

    def __init__(self, folder: Path, n: int) -> None:
        self.folder, self.n, self.count = str(folder.resolve()), n, 0

    def is_full(self) -> bool:
        self.count += 1
        return self.count >= self.n

    @staticmethod
    def refuse(name: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(name))

    def holds(self, path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and os.path.realpath(path).startswith(self.folder)

    @contextlib.contextmanager
    def mounted(self) -> Iterator[None]:
        opened = builtins.open

        def opening(name: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            file = opened(name, mode, *arguments, **options)
            return _File(file, self) if set(mode) & set("wax+") and self.holds(name) else file

        def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
            def checked(name: Any, *arguments: Any, **options: Any) -> Any:
                if (isinstance(name, int) or self.holds(name)) and self.is_full():
                    self.refuse(name)
                return function(name, *arguments, **options)

            return checked

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(builtins, "open", opening)
            patched.setattr(io, "open", opening)
            for name in ("mkdir", "replace", "rename", "fsync"):
                patched.setattr(os, name, guarded(getattr(os, name)))
            yield


@pytest.fixture(autouse=True)
def _cells_run_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let threads take the place of worker processes, whose disk is then the same."""

    def started(self: Any, jobs: int) -> Any:
        if self._pool is None:
            self._pool, self._pool_jobs = _Threads(1), jobs
        return self._pool

    monkeypatch.setattr(executors.LocalProcesses, "_started", started)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[[Callable[[], Any]], tuple[Any, list[str]]]:
    """Return a function that runs a command and gives its exit code and the lines of its complaints."""

    def called(command: Callable[[], Any]) -> tuple[Any, list[str]]:
        capsys.readouterr()
        code: Any = 0
        try:
            command()
        except SystemExit as ended:
            code = ended.code
        lines = capsys.readouterr().err.splitlines()
        return code, [line for line in lines if not line.startswith(("[", "note:", "law:", "columns:"))]

    return called


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def same(folder: Path, whole: Path) -> None:
    """Require the outputs of an undisturbed command: results bit for bit, and every other file but for its clocks."""
    mine, theirs = files(folder), files(whole)
    kept = {name for name in theirs if Path(name).name not in OF_A_RUN}
    assert kept == {name for name in mine if Path(name).name not in OF_A_RUN}
    for path in whole.rglob("spec.toml"):
        found = open_run(folder / path.parent.relative_to(whole))
        pd.testing.assert_frame_equal(found.frame(), open_run(path.parent).frame(), check_exact=True)
        assert found.left_out == []
    for name in kept:
        assert mine[name] == theirs[name] or Path(name).suffix in TIMED, name


def require_safe(
    command: Callable[[Path], Any], start: Path, tmp_path: Path, call: Callable[..., tuple[Any, list[str]]]
) -> int:
    """Give a command on a disk that is full at its n-th write, for all n; return how many there are."""
    whole = shutil.copytree(start, tmp_path / "whole")
    assert call(lambda: command(whole)) == (0, [])
    done, before = files(whole), files(start)
    for n in itertools.count(1):
        folder = shutil.copytree(start, tmp_path / f"full-{n}")
        disk = Disk(folder, n)
        with disk.mounted():
            code, lines = call(lambda folder=folder: command(folder))
        if disk.count < n:
            assert (code, lines) == (0, [])
            return n - 1
        if code != 0:
            assert code == 2
            assert len(lines) == 1, lines
            assert "No space left on device" in lines[0]
            assert str(folder) in lines[0]
        for name, content in files(folder).items():
            path = Path(name)
            if name in before and content == before[name]:
                continue
            if is_unfinished(path.name) or path.name in OF_A_RUN:
                continue
            # what is new is whole: as the undisturbed command leaves it, but for clocks
            assert name in done
            assert content == done[name] or (path.suffix in TIMED and len(content) > 0.9 * len(done[name])), name
        assert all((folder / name).exists() for name in before)
        for path in folder.rglob(".*.writing-*"):  # of a killed process: cleared by the next run, and never read
            assert path.parent.name == "cells", path
        assert call(lambda folder=folder: command(folder)) == (0, [])
        same(folder, whole)
        shutil.rmtree(folder)
    raise AssertionError


class _Program:
    """Stands for the program with all its commands, of which the one that is called does what is given."""

    commands: ClassVar[dict[str, object]] = {}

    def __init__(self, command: Callable[[], None]) -> None:
        self._command = command

    def __call__(self, **_: object) -> None:
        self._command()


def as_program(command: Callable[[Path], None]) -> Callable[[Path], None]:
    """Return what a command does, with errors told as the program tells them."""

    def told(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(module.typer.main, "get_group", lambda _: _Program(lambda: command(folder)))
            main(["summary"])

    return told


def program(*words: str) -> Callable[[Path], None]:
    """Return a command of the program; DIR in its words stands for its folder."""
    return lambda folder: main([word.replace("DIR", str(folder)) for word in words])


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run, a table, a claim, and outputs of earlier commands."""
    folder = tmp_path_factory.mktemp("start")
    with pytest.raises(SystemExit):
        main(["sweep", *SWEEP, "--out", str(folder / "run")])
    n = np.geomspace(1e6, 1e9, 12)
    pd.DataFrame({"N": n, "loss": 2 + 400 * n**-0.34}).to_csv(folder / "losses.csv", index=False)
    (folder / "mine.toml").write_text(MINE)
    for name in ("old.png", "old.pdf", "old.json", "old.npz", "old.html"):
        (folder / name).write_bytes(OLD)
    return folder


COMMANDS = {
    "sweep": ("sweep", *SWEEP, "--out", "DIR/new"),
    "sweep-more": ("sweep", *SWEEP, "--seeds", "2", "--out", "DIR/run"),
    "plot": ("plot", "DIR/run", "--out", "DIR/old.png"),
    "report": ("report", "DIR/run", "--out", "DIR/old.html"),
    "fit": ("fit", "DIR/losses.csv", "--bootstrap", "20", "--out", "DIR/old.json", "--plot", "DIR/old.pdf"),
    "ntk": ("ntk", "--task", "sphere-linear", "--width", "16", "--out", "DIR/old.npz", "--plot", "DIR/old.png"),
    "verify": ("verify", "DIR/mine.toml", "DIR/run", "--out", "DIR/verdict"),
}
MARKS = {"sweep": (), "report": pytest.mark.long, "ntk": pytest.mark.long, "fit": pytest.mark.long}  # they draw often


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS.get(name, pytest.mark.slow)) for name in COMMANDS])
def test_a_full_disk_loses_nothing(
    name: str, start: Path, tmp_path: Path, call: Callable[..., tuple[Any, list[str]]]
) -> None:
    assert require_safe(program(*COMMANDS[name]), start, tmp_path, call) >= 3


@pytest.mark.long
def test_a_full_disk_loses_no_language_model(
    finished: tuple[Path, Any], tmp_path: Path, call: Callable[..., tuple[Any, list[str]]]
) -> None:
    """One network of a finished run is missing, tables and figures are of earlier, and the best is to be exported."""
    begun = tmp_path / "begun"
    shutil.copytree(finished[0], begun / "run")
    last = open_run(begun / "run").experiments[-1]
    (begun / "run" / "cells" / f"{last.key}.parquet").unlink()
    for name in ("run/networks.csv", "run/scaling.png", "model.npz"):
        (begun / name).write_bytes(OLD)
    usual = Running(jobs=1)

    def train_and_export(folder: Path) -> None:
        training_lm.run(TINY, running=usual, out=folder / "run", export=folder / "model.npz")

    assert require_safe(as_program(train_and_export), begun, tmp_path, call)


@pytest.mark.long
def test_a_full_disk_loses_no_deep_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., tuple[Any, list[str]]]
) -> None:
    spec = DeepSimilaritySpec((1, 2), 2, seeds=(0, 1))
    monkeypatch.setattr(deep_runs, "deep_specification", lambda *_: spec)
    begun = tmp_path / "begun"
    begun.mkdir()
    usual = Running(jobs=1)
    command = as_program(lambda folder: deep_runs.run(3, "smoke", running=usual, out=folder / "run"))
    assert require_safe(command, begun, tmp_path, call)
