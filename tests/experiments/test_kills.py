"""A sweep killed with kill -9 at random moments loses at most the cells in flight, and ends up as if undisturbed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from ntk1bit.experiments import open_run

COMMAND = [sys.executable, "-m", "ntk1bit", "sweep", "--widths", "64..1024", "--seeds", "4", "--steps", "150"]
KILLS = 20


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "--jobs", "2", "--out", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def settled(folder: Path) -> set[str]:
    return {path.name for path in (folder / "cells").glob("*.parquet")} if (folder / "cells").is_dir() else set()


@pytest.mark.slow
def test_twenty_random_kills(tmp_path):
    whole = start(tmp_path / "whole")
    began = time.monotonic()
    said = whole.communicate(timeout=300)[1]
    assert all(line.startswith("[") for line in said.splitlines())  # lines of progress, and nothing else
    duration = time.monotonic() - began
    folder = tmp_path / "killed"
    rng = random.Random(0)
    before: set[str] = set()
    for number in range(KILLS):
        process = start(folder)
        workers: list[psutil.Process] = []
        end = time.monotonic() + rng.uniform(0.0, 0.35 * duration)
        while time.monotonic() < end and process.poll() is None:
            workers = psutil.Process(process.pid).children(recursive=True) or workers
            time.sleep(0.005)
        with contextlib.suppress(ProcessLookupError):  # a sweep that ended before its moment came is not killed
            if number % 2:  # half of the time only the parent is killed: its workers must end by themselves
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
        _, errors = process.communicate()
        assert "Traceback" not in errors
        psutil.wait_procs(workers, timeout=20)
        assert not [worker for worker in workers if worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE]
        now = settled(folder)
        assert before <= now  # nothing that was finished is lost
        before = now
    last = start(folder)
    _, errors = last.communicate(timeout=300)
    assert last.returncode == 0, errors
    assert "set aside" not in errors  # a kill leaves no damaged file under a cell's name
    pd.testing.assert_frame_equal(open_run(folder).frame(), open_run(tmp_path / "whole").frame(), check_exact=True)
