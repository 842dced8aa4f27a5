from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from ntk1bit.experiments.plan import require_memory

from ntk1bit.errors import InputError
from ntk1bit.experiments import SweepSpec, make_plan
from ntk1bit.experiments import plan as plan_module


def test_all_combinations_once_costliest_first():
    spec = SweepSpec(
        widths=(8, 16),
        tasks=("sphere-linear",),
        dims=(4, 6),
        n_train=(10, 20),
        scales=("std", "absmean"),
        inits=("iid", "paired"),
        kappas=(0.5, 1.0),
        seeds=(0, 1, 2),
    )
    plan = make_plan(spec)
    # full precision has no scale, so it runs once for both
    assert len(plan.cells) == 2 * 2 * 2 * 2 * 2 * 3 * (2 + 1)
    assert len({cell.key for cell in plan.cells}) == len(plan.cells)
    costs = [cell.operations for cell in plan.cells]
    assert costs == sorted(costs, reverse=True)
    assert {cell.dim for cell in plan.cells} == {4, 6}


def test_keys_depend_on_every_setting_and_on_nothing_else():
    base = make_plan(SweepSpec(widths=(8,), seeds=(0,), precisions=("full",))).cells[0]
    again = make_plan(SweepSpec(widths=(8, 16), seeds=(0, 1), precisions=("full",))).cells
    assert base.key in {cell.key for cell in again}
    assert len(base.key) == 20


def test_tasks_that_cannot_be_loaded_are_refused_before_anything_starts():
    with pytest.raises(InputError, match="at most 442"):
        make_plan(SweepSpec(tasks=("diabetes",), n_train=(400,), n_test=100))
    with pytest.raises(InputError, match="d = 64"):
        make_plan(SweepSpec(dims=(8,)))


def test_too_large_for_memory_is_refused_with_advice(monkeypatch):
    plan = make_plan(SweepSpec(widths=(64, 2**22)))
    one = plan.memory(1)
    monkeypatch.setattr(plan_module, "free_memory", lambda: one / 0.9 * 1.01)
    require_memory(plan, 1)
    with pytest.raises(InputError, match="use --jobs 1"):
        require_memory(plan, 2)
    monkeypatch.setattr(plan_module, "free_memory", lambda: one / 2)
    with pytest.raises(InputError, match=r"width 4194304 .* leave out the largest widths"):
        require_memory(plan, 1)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
def test_predicted_memory_covers_a_real_cell_without_being_absurd():
    """Resident memory of a process that trains one wide cell, against the prediction."""
    code = (
        "import re\n"
        "from ntk1bit.experiments import make_plan, SweepSpec, run_cell\n"
        "spec = SweepSpec(widths=(2**12, 2**16, 2**18), seeds=(0,), precisions=('one_bit',), steps=2, n_train=(64,))\n"
        "for cell in reversed(make_plan(spec).cells):\n"
        "    run_cell(cell)\n"
        "    peak = re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]\n"
        "    print(int(peak) * 1024, cell.memory)\n"
    )
    alone = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # as in a worker
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=alone)
    peaks, predicted = np.array([line.split() for line in done.stdout.splitlines()], dtype=float).T
    assert (peaks < 1.1 * (plan_module.WORKER_BYTES + predicted)).all()
    assert 0.6 < (peaks[2] - peaks[1]) / (predicted[2] - predicted[1]) < 1.1
