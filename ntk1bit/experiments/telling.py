"""What an experiment says of itself while it runs, in whatever process: a small file that the runner looks at.

    RUN/cells/.<key>.now.writing-<name>     words and the share done; gone when the experiment has ended

Its name is that of a file being written, so that what a killed process leaves is cleared like any such file.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

COMPILING = "compiling"
COMPILING_KERNELS = "compiling kernels (first time only)"
_NAME = ".{}.now.writing-state"
_SECONDS = 1.0  # between two files, unless what is said begins something


class Told(NamedTuple):
    """What an experiment said last, and the share of it that is done."""

    what: str
    share: float


class Teller:
    """Tells what an experiment does, as a function of words and the share done, at most once a second.

    As a context it takes back what it told at the end.

    Parameters
    ----------
    scratch
        As `Experiment.run` has it. Where nothing can be written nothing is told: that must not end an experiment.
    now
        The clock, in seconds.
    """

    def __init__(self, scratch: Path, *, now: Callable[[], float] = time.monotonic) -> None:
        self._path = _state(scratch)
        self._now, self._last = now, -_SECONDS

    def __enter__(self) -> Teller:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take back what was told."""
        self._path.unlink(missing_ok=True)

    def __call__(self, what: str, share: float) -> None:
        """Tell it."""
        if share > 0 and self._now() - self._last < _SECONDS:
            return
        self._last = self._now()
        beside = self._path.with_name(f"{self._path.name}-next")
        try:
            beside.write_text(json.dumps([what, share]), encoding="utf-8")
            os.replace(beside, self._path)
        except OSError:
            pass


def told(scratch: Path) -> Told | None:
    """Return what the experiment with this scratch path said last, if it is running and has said something."""
    try:
        what, share = json.loads(_state(scratch).read_text(encoding="utf-8"))
        return Told(str(what), float(share))
    except (OSError, ValueError, TypeError):
        return None


def forget(scratch: Path) -> None:
    """Remove what an experiment with this scratch path told before its process was killed."""
    _state(scratch).unlink(missing_ok=True)


def _state(scratch: Path) -> Path:
    return scratch.with_name(_NAME.format(scratch.name))
