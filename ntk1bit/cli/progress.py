"""Long work on a terminal: a bar with the time left, what Ctrl-C leaves, and how many processes to use."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ntk1bit.cli.tables import say
from ntk1bit.errors import InputError
from ntk1bit.processors import usable_processors

if TYPE_CHECKING:
    from ntk1bit.experiments import Outcome, Specification


@contextmanager
def progress_bar() -> Iterator[Callable[[str, float], None] | None]:
    """Show a bar while the body runs.

    Yields a function of what is being done and of the share done; None where nobody watches.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=console, transient=True) as bar:
        line = bar.add_task("starting workers", total=1.0)

        def report(what: str, share: float) -> None:
            bar.update(line, completed=share, description=what)

        yield report


def run_shown(specification: Specification, folder: Path, *, jobs: int) -> Outcome:
    """Run what the folder does not hold yet, with a progress bar, and print the remarks; see `run_all`."""
    from ntk1bit.experiments import run_all

    with progress_bar() as bar:
        outcome = run_all(specification, folder, jobs=jobs, progress=bar)
    for note in outcome.notes:
        say(note)
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
