"""Dask's workers, those of this machine and of a stand-in for a batch system, give the bits of local processes."""

from __future__ import annotations

import json
import os
import random
import signal
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd
import psutil
import pytest

from ntk1bit.errors import InputError
from ntk1bit.experiments import Experiment, ExperimentList, SweepSpec, open_run, run_all
from ntk1bit.experiments.dask_executor import compute_away
from ntk1bit.experiments.runner import compute
from ntk1bit.experiments.store import Store
from ntk1bit.experiments.workers import Workers

ROOT = Path(__file__).parents[2]
SPEC = SweepSpec(widths=(8, 64, 600), seeds=(0, 1), steps=30, n_train=(16,), n_test=9)
COMMAND = [sys.executable, "-m", "ntk1bit", "sweep", "--spec"]
SBATCH = """#!/bin/sh
# hands in a job as Slurm does, but runs it here
for script; do :; done
setsid sh "$script" > "{log}" 2>&1 &
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
for job; do kill -TERM -- "-$job" 2> /dev/null; done
true
"""


@dataclass(frozen=True)
class Fatal(Experiment):
    """Ends its worker, as the system does when memory runs out."""

    KIND: ClassVar[str] = "fatal"

    number: int

    @property
    def cost(self) -> float:
        return 100.0

    def run(self, scratch):  # noqa: ARG002
        os.kill(os.getpid(), signal.SIGKILL)
        return pd.DataFrame()


@dataclass(frozen=True)
class Large(Fatal):
    """Needs more memory than there is."""

    KIND: ClassVar[str] = "large"

    @property
    def memory(self) -> int:
        return 10**15


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    run_all(SPEC, folder, jobs=1)
    return open_run(folder).frame()


@pytest.fixture(scope="module")
def local():
    with Workers("dask", jobs=2).opened(note=pytest.fail) as executor:
        yield executor


def same(folder, frame):
    pd.testing.assert_frame_equal(open_run(folder).frame(), frame, check_exact=True)


def test_workers_of_this_machine_give_the_bits_of_local_processes(tmp_path, undisturbed, local):
    shares = []
    outcome = run_all(SPEC, tmp_path / "run", executor=local, progress=lambda what, share: shares.append(what))
    assert (outcome.computed, outcome.failed) == (12, 0)
    assert len([what for what in shares if what.endswith("done")]) == 12
    same(tmp_path / "run", undisturbed)
    assert run_all(SPEC, tmp_path / "run", executor=local).found == 12


def test_an_experiment_that_kills_its_worker_fails_alone(tmp_path, undisturbed, local):
    outcome = run_all(ExperimentList((*SPEC.networks, Fatal(0))), tmp_path / "run", executor=local)
    assert (outcome.computed, outcome.failed) == (12, 1)
    (why,) = Store(tmp_path / "run").failures().values()
    assert "died each time it was tried" in why
    pd.testing.assert_frame_equal(Store(tmp_path / "run").frame(SPEC.networks), undisturbed, check_exact=True)


def test_an_experiment_larger_than_any_worker_fails_with_the_reason(tmp_path, local):
    outcome = run_all(ExperimentList((*SPEC.networks, Large(0))), tmp_path / "run", executor=local)
    assert (outcome.computed, outcome.failed) == (12, 1)
    (why,) = Store(tmp_path / "run").failures().values()
    assert "large needs 1000000.3 GB of memory, and the largest worker has" in why


def test_a_worker_that_does_not_see_the_folder_is_told_in_a_line(tmp_path, local):
    def unseen(what: str, share: float) -> None:
        (tmp_path / "run" / "spec.toml").unlink(missing_ok=True)

    with pytest.raises(InputError, match=r"a worker on .* does not see the folder .*--collect"):
        run_all(SPEC, tmp_path / "run", executor=local, progress=unseen)


def test_what_is_computed_away_is_what_is_computed_here(tmp_path, undisturbed):
    """On a worker that sees no folder, files come with the experiment and go back with its result."""
    (one, *_) = SPEC.networks
    diverged, files = compute_away(compute, [one], {"spec.toml": b""}, [one.key])
    assert not diverged
    assert set(files) == {f"cells/{one.key}.parquet"}
    store = Store(tmp_path)
    store.cells.mkdir()
    store.path(one.key).write_bytes(files[f"cells/{one.key}.parquet"])
    found = store.frame([one])
    pd.testing.assert_frame_equal(
        found, undisturbed[undisturbed["key"] == one.key].reset_index(drop=True)[found.columns]
    )


# --- schedulers, workers and clients that are processes of their own


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


def client(folder: Path, spec: Path, *options: str) -> subprocess.Popen[str]:
    return process("-m", "ntk1bit", "sweep", "--spec", str(spec), "--executor", "dask", *options, "--out", str(folder))


def written(spec: SweepSpec, folder: Path) -> Path:
    run_all(spec, folder / "asked", jobs=1)
    return folder / "asked" / "spec.toml"


def rounds(tmp_path: Path, count: int) -> dict[str, int]:
    """Kill workers, schedulers and clients at random; a resumed run must end up as an undisturbed one."""
    rng = random.Random(0)
    spec = SweepSpec(widths=(8, 64, 600), seeds=(0, 1), steps=400, n_train=(32,), n_test=9)
    asked = written(spec, tmp_path)
    frame = open_run(tmp_path / "asked").frame()
    done: dict[str, int] = {"worker": 0, "scheduler": 0, "client": 0}
    for number in range(count):
        folder, victim = tmp_path / f"run-{number}", rng.choice(list(done))
        cluster = Cluster(tmp_path)
        try:
            run = client(folder, asked, "--scheduler", cluster.address)
            for _ in range(1200):  # until something is finished, so that there is something to lose
                if run.poll() is not None or list(folder.glob("cells/*.parquet")):
                    break
                time.sleep(0.05)
            time.sleep(rng.uniform(0.0, 0.3))
            before = {path: path.read_bytes() for path in folder.glob("cells/*.parquet")}
            if victim == "worker":
                cluster.kill_worker(rng)
            else:
                (run if victim == "client" else cluster.scheduler).kill()
            _, errors = run.communicate(timeout=300)
            assert "Traceback" not in errors, errors
            assert run.returncode in (0, 2, -signal.SIGKILL), errors
            if run.returncode == 2:
                assert "run the same command again" in errors
            assert {path: path.read_bytes() for path in before} == before
        finally:
            cluster.close()
        again = process("-m", "ntk1bit", "sweep", "--spec", str(asked), "--jobs", "2", "--out", str(folder))
        _, errors = again.communicate(timeout=300)
        assert again.returncode == 0, errors
        same(folder, frame)
        done[victim] += 1
    return done


def test_killed_workers_schedulers_and_clients_cost_no_finished_result(tmp_path):
    assert sum(rounds(tmp_path, 5).values()) == 5


@pytest.mark.long
def test_fifty_rounds_of_kills(tmp_path):
    done = rounds(tmp_path, 50)
    print(done)
    assert sum(done.values()) == 50


def test_results_come_back_through_the_scheduler(tmp_path, undisturbed):
    asked = written(SPEC, tmp_path)
    cluster = Cluster(tmp_path)
    try:
        run = client(tmp_path / "run", asked, "--scheduler", cluster.address, "--collect")
        _, errors = run.communicate(timeout=300)
        assert run.returncode == 0, errors
        same(tmp_path / "run", undisturbed)
    finally:
        cluster.close()


def test_jobs_of_a_batch_system(tmp_path, undisturbed):
    """By a stand-in for sbatch and scancel that runs jobs on this machine."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for name, text in (("sbatch", SBATCH.format(log=tmp_path / "job.log")), ("scancel", SCANCEL)):
        path = bin_ / name
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    settings = tmp_path / "cluster.toml"
    settings.write_text('[slurm]\nmemory = "2GB"\nwalltime = "00:10:00"\ninterface = "lo"\n')
    asked = written(SPEC, tmp_path)
    environment = os.environ | {"PATH": f"{bin_}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    options = (
        "--executor",
        "slurm",
        "--workers",
        "2",
        "--cluster-settings",
        str(settings),
        "--out",
        str(tmp_path / "run"),
    )
    run = subprocess.run([*COMMAND, str(asked), *options], env=environment, capture_output=True, text=True, timeout=300)
    log = (tmp_path / "job.log").read_text() if (tmp_path / "job.log").exists() else ""
    assert run.returncode == 0, run.stderr + log
    same(tmp_path / "run", undisturbed)
    left = [one for one in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(one.info["cmdline"] or ())]
    assert psutil.wait_procs(left, timeout=30)[1] == []
