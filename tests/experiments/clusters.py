"""Schedulers, workers and clients that are processes of their own."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil

from ntk1bit.experiments import SweepSpec, run_all

ROOT = Path(__file__).parents[2]


def process(*words: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DASK_LOGGING__DISTRIBUTED": "critical"}
    environment["DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT"] = "3s"  # until a lost scheduler is given up
    return subprocess.Popen(
        [sys.executable, *words], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


class Cluster:
    """A scheduler and workers, each started by a command of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.workers = folder, list[subprocess.Popen[str]]()
        self.start_scheduler()
        self.start_worker()
        self.start_worker()

    def start_scheduler(self) -> None:
        where = self.folder / "scheduler.json"
        where.unlink(missing_ok=True)
        options = ("--port", "0", "--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(where))
        self.scheduler = process("-m", "distributed.cli.dask_scheduler", *options)
        for _ in range(600):
            if where.exists() and where.read_text():
                break
            time.sleep(0.1)
        self.address = str(json.loads(where.read_text())["address"])

    def start_worker(self) -> None:
        options = ("--nthreads", "1", "--no-dashboard", "--local-directory", str(self.folder))
        self.workers.append(process("-m", "distributed.cli.dask_worker", self.address, *options))

    def kill_worker(self, rng: random.Random) -> None:
        """Kill a process in which experiments run, or the one that watches over it."""
        mother = psutil.Process(rng.choice(self.workers).pid)
        rng.choice([mother, *mother.children(recursive=True)]).kill()

    def close(self) -> None:
        mothers = [psutil.Process(one.pid) for one in (*self.workers, self.scheduler) if one.poll() is None]
        everyone = [child for one in mothers for child in (one, *one.children(recursive=True))]
        for one in everyone:
            one.kill()
        for one in (*self.workers, self.scheduler):
            one.communicate()
        assert psutil.wait_procs(everyone, timeout=20)[1] == []


def sweep(folder: Path, spec: Path, *options: str) -> subprocess.Popen[str]:
    """Start a sweep that a file specifies."""
    return process("-m", "ntk1bit", "sweep", "--spec", str(spec), *options, "--out", str(folder))


def written(spec: SweepSpec, folder: Path) -> Path:
    run_all(spec, folder / "asked", jobs=1)
    return folder / "asked" / "spec.toml"
