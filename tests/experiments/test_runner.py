from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, process, wait
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd
import psutil
import pytest

from ntk1bit.errors import InputError
from ntk1bit.experiments import Experiment, ExperimentList, SweepSpec, TwoLayer, executors, open_run, run_all, runner
from ntk1bit.experiments.executors import TRIES, ExecutorLostError, LocalProcesses
from ntk1bit.experiments.runner import compute, predicted_memory, require_memory
from ntk1bit.experiments.store import Store
from tests.experiments.fatal import Fatal, Vandal
from tests.experiments.worker_processes import workers_among

SPEC = SweepSpec(widths=(8, 64, 600), seeds=(0, 1), steps=30, n_train=(16,), n_test=9)


def networks_of(spec: SweepSpec) -> tuple[TwoLayer, ...]:
    return spec.networks


def frame_of(folder):
    return open_run(folder).frame()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    outcome = run_all(SPEC, folder, jobs=1)
    assert (outcome.computed, outcome.found, outcome.failed, outcome.diverged) == (12, 0, 0, 0)
    return frame_of(folder)


def test_two_jobs_give_the_bits_of_one(tmp_path, undisturbed):
    shares = []
    run_all(SPEC, tmp_path / "run", jobs=2, progress=lambda what, share: shares.append((what, share)))
    pd.testing.assert_frame_equal(frame_of(tmp_path / "run"), undisturbed, check_exact=True)
    assert shares[0] == ("training", 0.0)
    assert shares[1][0] == "width 600 done"  # the costliest first
    assert len(shares) == 13
    assert shares[-1][1] == pytest.approx(1.0)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_resumed_run_is_bit_identical_to_an_undisturbed_one(tmp_path, undisturbed, jobs):
    folder = tmp_path / "run"
    run_all(SPEC, folder, jobs=jobs)
    paths = sorted((folder / "cells").iterdir())
    paths[0].unlink()
    paths[3].write_bytes(paths[3].read_bytes()[:1000])
    paths[5].write_bytes(b"")
    outcome = run_all(SPEC, folder, jobs=jobs)
    assert (outcome.found, outcome.computed) == (9, 3)
    assert sum("set aside" in note for note in outcome.notes) == 2
    pd.testing.assert_frame_equal(frame_of(folder), undisturbed, check_exact=True)
    assert run_all(SPEC, folder, jobs=jobs).computed == 0


def test_both_precisions_of_a_seed_share_data_weights_and_signs(tmp_path):
    """At d = 2 the std quantiser loses nothing, so only a difference in data, W(0) or a could set the two apart."""
    spec = SweepSpec(widths=(40,), tasks=("bessel",), dims=(2,), seeds=(3,), steps=5, n_train=(12,), n_test=4)
    loss = {}
    for one in networks_of(spec):
        loss[one.precision] = one.run(tmp_path)["loss"]
    # equal up to float32 rounding of s q + mu, amplified over 5 steps
    pd.testing.assert_series_equal(loss["one_bit"], loss["full"], rtol=1e-4)


def test_any_executor_serves_and_is_left_open(tmp_path, undisturbed):
    with ThreadPoolExecutor(1) as pool:
        run_all(SPEC, tmp_path / "run", executor=pool)
        assert pool.submit(int).result() == 0
    got = frame_of(tmp_path / "run")
    # this thread's BLAS may use several threads, so only the shape and the settings are promised here
    pd.testing.assert_frame_equal(got.loc[:, ["width", "seed", "step"]], undisturbed.loc[:, ["width", "seed", "step"]])


def test_a_cell_that_fails_is_recorded_and_the_others_are_kept(tmp_path, monkeypatch):
    def broken(folder, one, **more):
        if one.width == 64:
            raise ZeroDivisionError("as a test")
        return compute(folder, one, **more)

    monkeypatch.setattr(runner, "compute", broken)
    with ThreadPoolExecutor(1) as pool:
        outcome = run_all(SPEC, tmp_path / "run", executor=pool)
    assert (outcome.failed, outcome.computed) == (4, 8)
    lines = (tmp_path / "run" / "failures.jsonl").read_text().splitlines()
    assert len(lines) == 4
    assert "ZeroDivisionError: as a test" in lines[0]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ExecutorLostError("the connection is lost"), "is lost.*same command"),
        (OSError(28, "No space left on device"), "No space left.*same command"),
    ],
)
def test_what_stops_a_sweep_is_told_in_a_line(tmp_path, error, message):
    class Broken(ThreadPoolExecutor):
        def submit(self, *_, **__):  # pyright: ignore[reportIncompatibleMethodOverride]
            future = Future()
            future.set_exception(error)
            return future

    with Broken(1) as pool, pytest.raises(InputError, match=message) as caught:
        run_all(SPEC, tmp_path / "run", executor=pool)
    assert "\n" not in str(caught.value)


def test_divergence_is_a_result(tmp_path):
    spec = SweepSpec(widths=(64,), seeds=(0,), steps=300, n_train=(16,), n_test=4, eta_rel=1e5, precisions=("full",))
    outcome = run_all(spec, tmp_path / "run", jobs=1)
    assert (outcome.computed, outcome.diverged, outcome.failed) == (1, 1, 0)
    frame = frame_of(tmp_path / "run")
    assert frame["diverged"].to_numpy().all()
    assert len(frame) < 301
    assert run_all(spec, tmp_path / "run", jobs=1).found == 1


def test_zero_jobs_are_refused(tmp_path):
    with pytest.raises(InputError, match="at least 1"):
        run_all(SPEC, tmp_path / "run", jobs=0)
    assert not (tmp_path / "run").exists()


# the widest networks take minutes, so that the sweep cannot end before it is stopped, however busy the machine is
LONG = SweepSpec(widths=(2, 262144), seeds=(0, 1), steps=300, n_train=(64,), n_test=4, checkpoints=2)
COMMAND = [sys.executable, "-m", "ntk1bit", "sweep", "--jobs", "2"]


def start(folder, *, sigint=signal.SIG_DFL):
    """Start the sweep as a terminal does, or, with Ctrl-C ignored, as a shell does in the background."""
    return subprocess.Popen(
        [*COMMAND, "--spec", str(folder / "spec.toml"), "--out", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, sigint),
    )


def wait_for(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


@pytest.fixture
def begun(tmp_path):
    """Return the folder of a run of which the two cheapest cells are finished."""
    folder = tmp_path / "run"
    Store(folder).open(LONG)
    for one in sorted(networks_of(LONG), key=lambda one: one.cost)[:2]:
        compute(folder, one)
    return folder


def at_work(process):
    """Return the workers of a sweep once there are two; by then it holds its folder and handles signals."""
    workers = []

    def both():
        workers[:] = workers_among(psutil.Process(process.pid).children())
        return len(workers) == 2

    wait_for(both)
    return workers


def signal_group(process, number):
    os.killpg(process.pid, number)  # as a terminal does: every process of the group


@pytest.mark.parametrize(
    ("number", "times"), [(signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGINT, 20), (signal.SIGTERM, 2)]
)
def test_ctrl_c_stops_cleanly_and_says_how_to_resume(begun, number, times):
    before = {path.name: path.read_bytes() for path in (begun / "cells").iterdir()}
    process = start(begun)
    workers = at_work(process)
    for _ in range(times):
        if number == signal.SIGINT:
            signal_group(process, number)
        else:
            process.send_signal(number)
        time.sleep(0.03 * (times == 2))  # the second while it is stopping; twenty as fast as they come
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    told = [line for line in errors.splitlines() if not line.startswith("[")]  # those are of progress
    assert len(told) == 1, errors
    assert "To resume: ntk1bit sweep" in told[0]
    assert {path.name: path.read_bytes() for path in (begun / "cells").iterdir()} == before
    assert psutil.wait_procs(workers, timeout=20)[1] == []


def test_a_sweep_in_the_background_is_not_stopped_by_ctrl_c(begun):
    process = start(begun, sigint=signal.SIG_IGN)
    workers = at_work(process)
    signal_group(process, signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    assert all(one.is_running() for one in workers)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 130


def test_a_second_ctrl_c_does_not_disturb_the_stopping(monkeypatch):
    """In a notebook, say: workers are ended, and Ctrl-C works again afterwards."""
    held = signal.signal(signal.SIGINT, signal.default_int_handler)
    ended = []

    class Pool(ThreadPoolExecutor):
        def stop(self):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            ended.append(self)
            self.shutdown(wait=False, cancel_futures=True)

    monkeypatch.setattr(executors, "LocalProcesses", Pool)

    def interrupted():
        with executors.workers(1) as pool, executors.running(pool, {1: (pow, 2, 2)}) as done:
            assert [(key, future.result()) for key, future in done] == [(1, 4)]
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)

    try:
        with pytest.raises(KeyboardInterrupt) as stopped:
            interrupted()
        assert stopped.value.__context__ is None
        assert len(ended) == 1
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, held)


def test_what_cannot_be_submitted_leaves_no_worker():
    """An error while calls are handed out, not only afterwards, ends the local workers."""
    mine = executors.workers(1)
    pool = mine.__enter__()
    with pytest.raises(TypeError) as wrong, executors.running(pool, {1: (pow, 2, 2), 2: ()}):
        pass
    assert not mine.__exit__(TypeError, wrong.value, None)
    with pytest.raises(RuntimeError):  # it is shut down
        pool.submit(pow, 2, 3)
    with ThreadPoolExecutor(1) as given:
        with pytest.raises(TypeError), executors.workers(1, given) as pool, executors.running(pool, {2: ()}):
            pass
        assert given.submit(pow, 2, 3).result() == 8  # one of the caller's own is left open


def test_a_second_sweep_on_the_folder_is_refused(begun):
    first = start(begun)
    at_work(first)
    second = start(begun)
    _, errors = second.communicate(timeout=120)
    assert second.returncode == 2
    assert f"another process is writing to {begun} (process {first.pid} on " in errors
    assert len([line for line in errors.splitlines() if not line.startswith("[")]) == 1  # those are of progress
    signal_group(first, signal.SIGINT)
    first.communicate(timeout=120)


def test_too_large_for_memory_is_refused_with_advice(monkeypatch):
    networks = networks_of(SweepSpec(widths=(64, 2**22)))
    one = predicted_memory(networks, 1)
    monkeypatch.setattr(runner, "free_memory", lambda: one / 0.9 * 1.01)
    require_memory(networks, 1)
    with pytest.raises(InputError, match="use --jobs 1"):
        require_memory(networks, 2)
    monkeypatch.setattr(runner, "free_memory", lambda: one / 2)
    with pytest.raises(InputError, match=r"width 4194304 .* leave out the largest"):
        require_memory(networks, 1)


def test_where_every_worker_is_killed_the_run_ends_in_a_line(tmp_path):
    with pytest.raises(InputError, match=r"every worker process is killed.*fewer --jobs") as told:
        run_all(ExperimentList(tuple(map(Fatal, range(4)))), tmp_path / "run", jobs=1)
    assert "\n" not in str(told.value)
    assert open_run(tmp_path / "run").counts == {"failed": 2, "unfinished": 2}


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_experiment_that_kills_its_worker_fails_alone(tmp_path, jobs):
    spec = SweepSpec(widths=(8, 64), seeds=(0, 1), steps=30, n_train=(16,), n_test=9)
    outcome = run_all(ExperimentList((*spec.networks, Fatal(0))), tmp_path / "run", jobs=jobs)
    assert (outcome.computed, outcome.failed) == (8, 1)
    (why,) = Store(tmp_path / "run").failures().values()
    assert f"killed {TRIES} times" in why
    run_all(ExperimentList(spec.networks), tmp_path / "alone", jobs=1)
    found, alone = Store(tmp_path / "run").frame(spec.networks), Store(tmp_path / "alone").frame(spec.networks)
    pd.testing.assert_frame_equal(found, alone, check_exact=True)


def test_processes_that_are_killed_from_outside_cost_nothing():
    with executors.workers(2) as pool:
        futures = [pool.submit(_slowly, number) for number in range(12)]
        for _ in range(3):
            wait(futures, timeout=1.5, return_when=FIRST_COMPLETED)
            for worker in workers_among(psutil.Process().children(recursive=True))[:1]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    worker.kill()
        assert [future.result(timeout=120) for future in futures] == list(range(12))


def test_changed_versions_are_noted(tmp_path):
    spec = SweepSpec(widths=(8,), seeds=(0,), steps=2, n_train=(8,), n_test=2)
    run_all(spec, tmp_path / "run")
    path = tmp_path / "run" / "spec.toml"
    path.write_text(path.read_text().replace('numpy = "', 'numpy = "0.'))
    (note,) = run_all(spec, tmp_path / "run").notes
    assert "versions changed since this run began (numpy 0." in note


def _slowly(number):
    time.sleep(0.2)
    return number


def test_stopping_waits_for_the_thread_that_serves_the_workers(monkeypatch):
    closing = process._ExecutorManagerThread.join_executor_internals

    def slowly(thread):
        time.sleep(0.5)
        closing(thread)

    monkeypatch.setattr(process._ExecutorManagerThread, "join_executor_internals", slowly)
    before = set(threading.enumerate())
    pool = LocalProcesses(1)
    future = pool.submit(pow, 2, 2)
    assert future.result(timeout=120) == 4
    served = set(threading.enumerate()) - before
    pool.stop()
    assert served
    assert not any(thread.is_alive() for thread in served)


@dataclass(frozen=True)
class Shared(Experiment):
    """Squares of a number, computed several at once; 13 cannot be, and 7 cannot be beside others."""

    KIND: ClassVar[str] = "shared-squares"

    number: int

    @property
    def cost(self) -> float:
        return 1.0

    @property
    def together(self) -> str:
        return "odd" if self.number % 2 else "even"

    @classmethod
    def run_together(cls, experiments: Sequence[Shared], scratches: Sequence[Path]) -> list[pd.DataFrame]:
        assert len(scratches) == len(experiments)
        if len(experiments) > 1 and any(one.number in (7, 13) for one in experiments):
            raise ZeroDivisionError("not beside others")
        size = len(experiments)
        return [pd.DataFrame({"square": [one.number**2], "beside": [size]}) for one in experiments]

    def run(self, scratch: Path) -> pd.DataFrame:
        if self.number == 13:
            raise ZeroDivisionError("as a test")
        return self.run_together([self], [scratch])[0]


def test_experiments_computed_together_are_stored_and_fail_one_by_one(tmp_path):
    with ThreadPoolExecutor(1) as pool:
        several = ExperimentList(tuple(map(Shared, range(8))))
        outcome = run_all(several, tmp_path / "run", executor=pool)
        assert (outcome.cells, outcome.computed, outcome.failed) == (8, 8, 0)
        before = open_run(tmp_path / "run").frame().set_index("number")
        assert before["square"].tolist() == [number**2 for number in range(8)]
        assert before["beside"].tolist() == [4, 1] * 4  # the odd ones were computed alone

        (tmp_path / "run" / "cells" / f"{Shared(2).key}.parquet").unlink()
        outcome = run_all(several, tmp_path / "run", executor=pool)
        assert (outcome.found, outcome.computed) == (7, 1)
        pd.testing.assert_frame_equal(open_run(tmp_path / "run").frame().set_index("number"), before)

        outcome = run_all(ExperimentList(tuple(map(Shared, range(9, 16)))), tmp_path / "other", executor=pool)
        assert (outcome.computed, outcome.failed) == (6, 1)
        assert "ZeroDivisionError: as a test" in (tmp_path / "other" / "failures.jsonl").read_text()


@pytest.mark.parametrize("part", ["", "cells", "spec.toml"])
def test_a_folder_that_is_moved_during_a_run_is_told_by_name(tmp_path, part):
    """It was said to need space."""
    folder = tmp_path / "run"
    with pytest.raises(InputError) as told:
        run_all(ExperimentList((Vandal(part), Vandal("what is not there"))), folder, jobs=1)
    assert str(folder / part) in str(told.value)
    assert ("was removed or moved" in str(told.value)) == (part != "cells")
    assert "space" not in str(told.value)
    assert "\n" not in str(told.value)
