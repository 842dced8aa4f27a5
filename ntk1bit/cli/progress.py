"""Long work: a bar on a terminal and lines elsewhere, what Ctrl-C leaves, and how many processes to use."""

from __future__ import annotations

import io
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ntk1bit.cli.tables import say
from ntk1bit.errors import InputError
from ntk1bit.processors import usable_processors

if TYPE_CHECKING:
    from ntk1bit.experiments import Outcome, Specification
    from ntk1bit.experiments.workers import Workers

COMPILING = "compiling (first time only)"
QUIET = 2.0  # seconds without a word that nobody minds: work that is done by then prints no line
APART = 5.0  # seconds between two lines at least
EVERY = 30.0  # seconds after which there is a line, whatever happens
_LOOK = 0.5  # seconds between two looks at the clock


class ProgressLines:
    """Progress as lines on a stream that nobody watches, such as a log.

    A report that begins something (its words are new, and the share has not grown) has a line at once, others have one
    every `EVERY` seconds, and so has silence. There is none in the first `QUIET` seconds, and later none within `APART`
    seconds of another.

    Parameters
    ----------
    stream
        Where lines go.
    now
        The clock, in seconds.
    """

    def __init__(self, stream: TextIO, *, now: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._now, self._lock = stream, now, threading.Lock()
        self._began = now()
        self._printed: float | None = None
        self._what, self._share, self._due = "starting", 0.0, True
        self._first_share: float | None = None
        self._said: set[str] = set()

    def report(self, what: str, share: float) -> None:
        """Take note of what is being done and of the share done, and print a line if one is due."""
        with self._lock:
            if self._first_share is None:
                self._first_share = share  # what an earlier run had done
            self._due = self._due or (share <= self._share and what not in self._said)
            self._what, self._share = what, share
        self.beat()

    def beat(self) -> None:
        """Print a line if one is due."""
        with self._lock:
            now = self._now()
            since = now - (self._began if self._printed is None else self._printed)
            if since < (QUIET if self._printed is None else APART) or not (self._due or since >= EVERY):
                return
            self._printed, self._due = now, False
            self._said.add(self._what)
            print(f"[{clock(now - self._began)}] {self._what}{self._left(now)}", file=self._stream, flush=True)

    def _left(self, now: float) -> str:
        grown = self._share - (self._first_share or 0.0)
        if grown < 0.01:  # too little to say how long it takes
            return f", {self._share:.0%} done" if self._share > 0 else ""
        left = (now - self._began) * (1 - self._share) / grown
        return f", {self._share:.0%} done, about {clock(left)} left"


@contextmanager
def progress_bar() -> Iterator[Callable[[str, float], None]]:
    """Show progress on stderr while the body runs: a bar on a terminal, lines (`ProgressLines`) elsewhere.

    Yields a function of what is being done and of the share done. That kernels are being compiled is reported too.
    """
    from ntk1bit.compiling import announced

    console = Console(stderr=True)
    with _bar(console) if console.is_terminal else _lines() as report, announced(lambda: report(COMPILING, 0.0)):
        yield report


@contextmanager
def _bar(console: Console) -> Iterator[Callable[[str, float], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=console, transient=True) as bar:
        line = bar.add_task("starting", total=1.0)

        def report(what: str, share: float) -> None:
            bar.update(line, completed=share, description=what)

        yield report


@contextmanager
def _lines() -> Iterator[Callable[[str, float], None]]:
    lines, ended = ProgressLines(sys.stderr), threading.Event()

    def watch() -> None:
        while not ended.wait(_LOOK):
            lines.beat()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield lines.report
    finally:
        ended.set()
        watcher.join()


@contextmanager
def shown_after(what: str) -> Iterator[None]:
    """Show that the body works at `what`; what it prints appears when it is done, so that no bar is in between."""
    with progress_bar() as bar, redirect_stdout(io.StringIO()) as printed:
        bar(what, 0.0)
        yield
    print(printed.getvalue(), end="")


def run_shown(specification: Specification, folder: Path, workers: Workers) -> Outcome:
    """Run what the folder does not hold yet, showing progress, and print the remarks; see `run_all`."""
    from ntk1bit.experiments import run_all

    with progress_bar() as bar, workers.opened(note=say) as executor:
        outcome = run_all(specification, folder, executor=executor, memory=workers.memory, progress=bar)
    say(*outcome.notes)
    return outcome


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Say, when the body is stopped by Ctrl-C, where its results are and which command resumes it."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"stopped; what is finished is in {folder}. To resume: {shlex.join(['ntk1bit', *sys.argv[1:]])}")
        raise


def usable_jobs(jobs: int | None) -> int:
    """Return the number of processes asked for, by default one per processor.

    Raises
    ------
    InputError
        If it is out of range.
    """
    if jobs is None:
        return usable_processors()
    if not 1 <= jobs <= 1024:
        raise InputError(f"--jobs must be from 1 to 1024, got {jobs}")
    return jobs


def clock(seconds: float) -> str:
    """Write a time as minutes:seconds, with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
