from __future__ import annotations

import pytest

from ntk1bit.experiments.planning import Cell, PlannedStage, counts_up_to, limit, schedule
from ntk1bit.plots.figures import empty_figure
from ntk1bit.plots.layout import PLAIN
from ntk1bit.plots.legends import settle
from ntk1bit.plots.planning import draw_plan, plot_schedule, plot_times

from .sizes import complaints

STAGES = [
    PlannedStage(name, tuple(Cell(f"cell {k}", 5.0 + 3 * k) for k in range(count)))
    for name, count in (("search 1", 12), ("seeds", 30))
]


@pytest.mark.parametrize(("stages", "workers"), [(STAGES, 64), (STAGES, 1), (STAGES[:1], 3), ([], 2)])
def test_a_plan_is_drawn_and_can_be_read(tmp_path, stages, workers):
    schedules = [schedule(stages, count, startup=2) for count in counts_up_to(workers)]
    ended = limit(stages, startup=2)
    assert draw_plan(schedules, ended, schedules[-1], tmp_path / "plan.svg").stat().st_size > 1000
    with PLAIN.drawing():
        figure = empty_figure(6.75, 2.6, layout="constrained")
        left, right = figure.subplots(1, 2)
        plot_times(schedules, ended, ax=left)
        plot_schedule(schedules[-1], ax=right)
        settle(figure)
        assert complaints(figure) == []


def test_there_is_a_bar_for_each_cell_and_each_start():
    with PLAIN.drawing():
        ax = empty_figure(3, 3).subplots()
        plot_schedule(schedule(STAGES, 3, startup=2), ax=ax)
    assert sorted(len(bars.get_paths()) for bars in ax.collections) == [3, 12, 30]
