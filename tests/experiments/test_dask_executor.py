"""Dask's workers, those of this machine and of a stand-in for a batch system, give the bits of local processes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import psutil
import pytest

from ntk1bit.errors import InputError
from ntk1bit.experiments import ExperimentList, SweepSpec, open_run, run_all
from ntk1bit.experiments.dask_executor import compute_away
from ntk1bit.experiments.runner import compute
from ntk1bit.experiments.store import Store
from ntk1bit.experiments.workers import Workers
from tests.experiments.clusters import ROOT, Cluster, sweep, written
from tests.experiments.fatal import Fatal

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


def test_results_come_back_through_the_scheduler(tmp_path, undisturbed):
    asked = written(SPEC, tmp_path)
    cluster = Cluster(tmp_path)
    try:
        run = sweep(tmp_path / "run", asked, "--executor", "dask", "--scheduler", cluster.address, "--collect")
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
    settings.write_text('[slurm]\nmemory = "2GB"\nwalltime = "00:10:00"\ndeath_timeout = 300\ninterface = "lo"\n')
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
