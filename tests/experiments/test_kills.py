"""A sweep of which a process is killed with kill -9 loses at most the cells in flight, and ends as if undisturbed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import psutil
import pytest

from ntk1bit.experiments import SweepSpec, open_run
from tests.experiments.clusters import Cluster, sweep, written
from tests.experiments.worker_processes import workers_among

COMMAND = [sys.executable, "-m", "ntk1bit", "sweep", "--widths", "64..1024", "--seeds", "4", "--steps", "150"]
KILLS = 20
ON_DASK = {"worker", "scheduler", "client"}  # processes that are started by commands of their own
VICTIMS = (*sorted(ON_DASK), "parent", "child")  # the last two of a sweep with processes of its own


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


def rounds(tmp_path: Path, count: int) -> Counter[str]:
    """Kill one thing after another while a sweep is at work; resumed, it must end up as an undisturbed one."""
    rng, done = random.Random(0), Counter[str]()
    asked = written(SweepSpec(widths=(8, 64, 600), seeds=(0, 1), steps=400, n_train=(32,), n_test=9), tmp_path)
    frame = open_run(tmp_path / "asked").frame()
    for number in range(count):
        folder, victim = tmp_path / f"run-{number}", VICTIMS[number % len(VICTIMS)]
        cluster = Cluster(tmp_path) if victim in ON_DASK else None
        own = rng.choice((("--jobs", "2"), ("--executor", "dask", "--jobs", "2")))
        run = sweep(
            folder, asked, *(own if cluster is None else ("--executor", "dask", "--scheduler", cluster.address))
        )
        try:
            while run.poll() is None and not settled(folder):  # until there is something to lose
                time.sleep(0.02)
            time.sleep(rng.uniform(0.0, 0.3))
            before = {name: (folder / "cells" / name).read_bytes() for name in settled(folder)}
            children = psutil.Process(run.pid).children(recursive=True) if run.poll() is None else []
            if victim == "worker" and cluster is not None:
                cluster.kill_worker(rng)
            elif victim == "scheduler" and cluster is not None:
                cluster.scheduler.kill()
            elif victim == "child":
                kill_one(children, rng)
            else:
                run.kill()
            _, errors = run.communicate(timeout=300)
            assert "Traceback" not in errors, errors
            allowed = {"worker": {0}, "child": {0}, "scheduler": {0, 2}}.get(victim, {0, -signal.SIGKILL})
            assert run.returncode in allowed, errors
            if run.returncode == 2:
                assert "run the same command again" in errors
            assert psutil.wait_procs(children, timeout=20)[1] == []
            assert {name: (folder / "cells" / name).read_bytes() for name in before} == before
        finally:
            if cluster is not None:
                cluster.close()
        again = sweep(folder, asked, "--jobs", "2")
        _, errors = again.communicate(timeout=300)
        assert again.returncode == 0, errors
        pd.testing.assert_frame_equal(open_run(folder).frame(), frame, check_exact=True)
        done[victim] += 1
    return done


def kill_one(processes: list[psutil.Process], rng: random.Random) -> None:
    """Kill one of the processes that experiments run in."""
    found = workers_among(processes)
    if found:  # a sweep that has ended has none
        rng.choice(found).kill()


@pytest.mark.slow
def test_five_rounds_of_kills_on_dask_and_here(tmp_path):
    assert set(rounds(tmp_path, 5)) == set(VICTIMS)


@pytest.mark.long
def test_fifty_rounds_of_kills_on_dask_and_here(tmp_path):
    done = rounds(tmp_path, 50)
    print(dict(done))
    assert done.total() == 50
