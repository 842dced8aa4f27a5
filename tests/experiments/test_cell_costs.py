from __future__ import annotations

import math
from dataclasses import replace

import pytest

from ntk1bit.experiments import DeepScaling, LanguageModel, TwoLayer
from ntk1bit.experiments.cell_costs import STARTUP, CellCosts, Measured, cost_line, length_of, variant, with_length
from ntk1bit.experiments.language_spec import PRESETS
from ntk1bit.experiments.runner import WORKER_BYTES
from ntk1bit.experiments.sweep import SweepSpec

NARROW, WIDE = (
    next(one for one in SweepSpec(widths=(width,), seeds=(0,)).networks if one.precision == "full")
    for width in (64, 4096)
)


def test_time_and_storage_are_lines_in_the_length():
    measured = [
        Measured(replace(NARROW, steps=steps, seed=seed), seconds, stored)
        for steps, seed, seconds, stored in ((100, 0, 1.0, 500), (100, 1, 1.2, 500), (400, 0, 4.1, 800))
    ]
    cell = CellCosts(measured).cell(replace(NARROW, steps=1000, seed=7))
    assert cell.seconds == pytest.approx(1.1 + 900 * 0.01)
    assert cell.stored == pytest.approx(500 + 900)
    assert cell.alone == cell.seconds


def test_of_one_length_the_cost_says_what_is_fixed():
    half, line = replace(NARROW, steps=500), cost_line(NARROW)
    measured = Measured(half, 3.0, 50)
    assert CellCosts([measured]).cell(NARROW).seconds == pytest.approx(6.0)  # what is fixed in the cost is compiling
    cell = CellCosts([measured._replace(compiles=False)]).cell(NARROW)
    assert cell.seconds == pytest.approx(3.0 * line.at(1000) / line.at(500), rel=1e-6)
    assert cell.stored == 50.0


def test_what_is_shared_is_what_the_first_takes_longer():
    long, short = replace(NARROW, steps=400), replace(NARROW, steps=100)
    measured = [
        Measured(long, 12.0, 0, new=True),
        Measured(long, 4.0, 0),
        Measured(short, 6.0, 0, new=True),
        Measured(short, 1.0, 0),
    ]
    cell = CellCosts(measured).cell(NARROW)
    assert cell.seconds == pytest.approx(10.0)
    assert cell.once == ((NARROW.KIND, 0.0, 0.0), (NARROW.alike, pytest.approx(8.0), 0.0))


def test_of_a_first_one_alone_the_cost_says_what_is_shared():
    one = PRESETS["standard"].first_stage.experiments[0]
    line = cost_line(one)
    cell = CellCosts([Measured(one, one.cost + 5.0, 0, new=True)]).cell(one)
    assert cell.seconds == pytest.approx(line.slope * length_of(one))
    assert cell.once[1] == (one.alike, pytest.approx(line.fixed + 5.0), 0.0)


def test_what_a_worker_loads_once_is_told_from_what_each_sort_shares():
    measured = [
        Measured(NARROW, 10.0, 0, new=True, variant_new=True, kind_new=True),
        Measured(NARROW, 1.0, 0),
        Measured(WIDE, 5.0, 0, new=True),
        Measured(WIDE, 3.0, 0),
    ]
    costs = CellCosts(measured, startup=1.5)
    assert costs.startup == 1.5
    for one in (NARROW, WIDE):
        assert costs.cell(one).once == ((one.KIND, 9.0 - 2.0, 0.0), (one.alike, 2.0, 0.0))
    alone = CellCosts(measured[:2])
    assert (alone.startup, alone.cell(WIDE).once) == (STARTUP, ((WIDE.KIND, 0.0, 0.0), (WIDE.alike, 9.0, 0.0)))
    nothing_compiled = CellCosts([one._replace(compiles=False) for one in measured])
    for one in (NARROW, WIDE):  # WIDE came after another of its variant and tells nothing
        assert nothing_compiled.cell(one).once == ((one.KIND, 0.0, 0.0), (variant(one), 9.0, 0.0))


def test_libraries_of_a_kind_are_told_from_those_of_a_precision():
    one_bit = replace(NARROW, precision="one_bit")
    measured = [
        Measured(NARROW, 3.0, 0, new=True, variant_new=True, kind_new=True, compiles=False),
        Measured(NARROW, 1.0, 0, compiles=False),
        Measured(one_bit, 7.0, 0, new=True, variant_new=True, compiles=False),  # in the same process
        Measured(one_bit, 1.0, 0, compiles=False),
        Measured(replace(one_bit, width=32), 9.5, 0, new=True, variant_new=True, kind_new=True, compiles=False),
        Measured(replace(one_bit, width=32), 1.0, 0, compiles=False),
    ]
    costs = CellCosts(measured)
    kind = (NARROW.KIND, 2.5, 0.0)
    assert costs.cell(one_bit).once == (kind, (variant(one_bit), 6.0, 0.0))
    assert costs.cell(NARROW).once == (kind, (variant(NARROW), 0.0, 0.0))


def test_other_sizes_lie_between_the_nearest_or_beyond_them_in_proportion():
    between, beyond = replace(NARROW, width=512), replace(NARROW, width=16)
    costs = CellCosts([Measured(NARROW, 10.0, 0), Measured(WIDE, 1000.0, 0)])
    slopes = [cost_line(one).slope for one in (NARROW, between, WIDE)]
    share = math.log(slopes[1] / slopes[0]) / math.log(slopes[2] / slopes[0])
    assert costs.cell(between).seconds == pytest.approx(10.0 * 100.0**share)
    assert costs.cell(beyond).seconds == pytest.approx(10.0 * cost_line(beyond).slope / slopes[0])


def test_of_a_sort_that_ran_once_others_tell_what_it_shares():
    between = replace(NARROW, width=512)
    measured = [Measured(NARROW, 1.0, 0), Measured(WIDE, 1.0, 0), Measured(between, 8.0, 0, new=True)]
    cell = CellCosts(measured).cell(between)
    assert (cell.seconds, cell.once[1][1]) == (pytest.approx(1.0), pytest.approx(7.0))


def test_kinds_of_which_none_was_measured_keep_their_rough_cost():
    costs, other = CellCosts([Measured(NARROW, 1.0, 0)]), PRESETS["smoke"].first_stage.experiments[0]
    assert costs.knows(WIDE)
    assert not costs.knows(other)
    assert costs.cell(other)[:3] == (other.label, other.cost, ())
    assert costs.cell(other).memory == WORKER_BYTES + other.memory


def test_what_compiled_programs_leave_in_memory_is_kept():
    measured = [
        Measured(NARROW, 2.0, 0, memory=5e8, grown=4e8, new=True, kind_new=True),
        Measured(WIDE, 2.0, 0, memory=6e8, grown=1e8, new=True),
    ]
    cell = CellCosts(measured).cell(NARROW)
    assert (cell.memory, [one.kept for one in cell.once]) == (5e8, [0.0, 1e8])


def test_memory_is_what_was_measured_and_what_arrays_add():
    costs = CellCosts([Measured(NARROW, 1.0, 0, memory=1e9)])
    assert costs.cell(NARROW).memory == 1e9
    assert costs.cell(WIDE).memory == 1e9 + WIDE.memory - NARROW.memory


def test_lengths_are_no_shorter_than_all_parts_need():
    assert with_length(NARROW, 1) == replace(NARROW, steps=NARROW.checkpoints)
    assert with_length(NARROW, 1e9) == NARROW
    model = PRESETS["smoke"].first_stage.experiments[0]
    assert isinstance(model, LanguageModel)
    assert with_length(model, 1) == replace(model, tokens=model.batch * model.context)


def test_alike_are_those_that_take_equally_long():
    deep = DeepScaling("f4", 3, "full", 500, 100, 0.01, (0, 1))
    assert deep.alike == replace(deep, task="f5", rate=0.1, seeds=(2, 3)).alike  # both of four variables
    for other in (replace(deep, task="f1"), replace(deep, seeds=(0,)), replace(deep, precision="one_bit")):
        assert other.alike != deep.alike
    assert isinstance(NARROW, TwoLayer)
    assert NARROW.alike == replace(NARROW, seed=5, kappa=0.1).alike != WIDE.alike
