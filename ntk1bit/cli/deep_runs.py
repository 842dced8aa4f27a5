"""What `ntk1bit deep` shows: the plan, the progress, tables, and where the written ones and the figures are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ntk1bit.cli.options import Running
from ntk1bit.cli.planning import forecast, print_forecast
from ntk1bit.cli.progress import clock, resumable, run_shown, shown_after
from ntk1bit.cli.running import workers_of
from ntk1bit.cli.tables import print_table, say
from ntk1bit.experiments import Run, open_run
from ntk1bit.experiments.deep import DeepScaling, DeepSimilarity
from ntk1bit.experiments.deep_spec import DeepScalingSpec, DeepSimilaritySpec, deep_specification
from ntk1bit.files import write_whole
from ntk1bit.printing import number, plain

DeepSpec = DeepScalingSpec | DeepSimilaritySpec


def default_folder(spec: DeepSpec, preset: str) -> Path:
    """Return where a preset is kept; figures 2 and 3 share their networks and so their folder."""
    return Path("runs") / f"{spec.NAME}-{preset}"


def print_plan(figure: int, preset: str, *, running: Running, out: Path | None) -> None:
    """Print what would be trained, and what it would take."""
    spec, jobs = deep_specification(figure, preset), workers_of(running).places
    folder = out or default_folder(spec, preset)
    found = forecast([(spec, folder)], jobs=jobs)
    networks, seconds = dict[int, int](), dict[int, float]()
    for one in spec.first_stage.experiments:
        if isinstance(one, DeepScaling):
            size, count = one.parameters, len(one.seeds)
        else:
            assert isinstance(one, DeepSimilarity)
            size, count = one.k, 2 * len(one.seeds)  # both precisions
        networks[size] = networks.get(size, 0) + count
        seconds[size] = seconds.get(size, 0.0) + found.costs.cell(one).seconds
    axis = "parameters" if figure == 1 else "k"
    rows = [[f"{size:,}", networks[size], clock(seconds[size] / jobs)] for size in sorted(networks)]
    print_table([axis, "networks", "time"], rows)
    print()
    print_forecast(found, jobs=jobs, folder=folder)


def run(figure: int, preset: str, *, running: Running, out: Path | None) -> None:
    """Train what is missing, showing progress; then print, write and draw what was found."""
    spec, workers = deep_specification(figure, preset), workers_of(running)
    folder = out or default_folder(spec, preset)
    with resumable(folder):
        outcome = run_shown(spec, folder, workers)
    with shown_after("tables and figure"):
        found = open_run(folder)
        found.require_whole()
        frame, tables = found.frame(), print_tables(found)
        written = folder / f"figure-{figure}.csv"
        write_whole(written, tables.to_csv(index=False).encode())
        print(f"\n{len(found.about)} experiments, {clock(found.seconds)} of one core. Written:", end=" ")
        drawn = draw(frame, (figure,), folder / f"figure-{figure}.png")
        print(plain(" ".join(map(str, [written, *drawn]))))
    if outcome.diverged:
        say(f"{outcome.diverged} experiments have networks that diverged: recorded as results")


def draw(frame: pd.DataFrame, figures: tuple[int, ...], path: Path, **asked: Any) -> list[Path]:
    """Draw figures of D25, each to its own file (path-2.png and path-3.png, if there are two); return the paths.

    `asked` are panels, palette, style and columns, as `layout.read_sheet` takes them.
    """
    from ntk1bit.plots.deep import draw_frame  # matplotlib takes a second, which a mistake should not wait for

    paths = {one: path.with_stem(f"{path.stem}-{one}") if len(figures) > 1 else path for one in figures}
    return [draw_frame(frame, one, target, **asked) for one, target in paths.items()]


def figures_of(run: Run) -> tuple[int, ...]:
    """Return the figures of D25 that the networks of a run belong to."""
    return (1,) if isinstance(run.spec, DeepScalingSpec) else (2, 3)


def print_tables(run: Run) -> pd.DataFrame:
    """Print what a finished run shows; return the table that is written beside its figure."""
    return (print_losses if isinstance(run.spec, DeepScalingSpec) else print_differences)(run.frame())


def print_losses(frame: pd.DataFrame) -> pd.DataFrame:
    """Print the losses of Fig. 1 at every rate, as means over functions; return those at the best, one by one."""
    from ntk1bit.estimators.deep import losses_table, rates_table
    from ntk1bit.plots.looks import PRECISION_NAME

    rows = []
    for row in rates_table(frame).sort_values(["depth", "precision", "N", "rate"]).to_dict("records"):
        name = PRECISION_NAME[row["precision"]]
        marked = f"{number(row['rate'])}{'*' if row['best'] else ''}"
        rows.append([row["depth"], name, f"{row['N']:,}", marked, number(row["value"]), number(row["test"])])
    print("geometric means over functions and seeds of the least training loss, and of the test loss at the end")
    print_table(["depth", "precision", "N", "rate", "loss", "test loss"], rows)
    print("*: the best rate of its depth, precision and size, which table and figure are of")
    return losses_table(frame)


def print_differences(frame: pd.DataFrame) -> pd.DataFrame:
    """Print losses and differences of the outputs after the last epoch; return the difference of each function."""
    from ntk1bit.estimators.deep import ends_table, groups, last_epoch, summary

    columns = ["loss_one_bit", "loss_full", "test_loss_one_bit", "test_loss_full", "apart_train", "apart_test"]
    ends = last_epoch(frame)
    rows = [
        [task, f"{size:,}", *(number(summary(part[column])["value"]) for column in columns)]
        for (task, size), part in groups(ends, ["task", "N"])
    ]
    print(f"after {int(np.asarray(ends['epoch'])[0])} epochs: losses, and root mean square difference of both outputs")
    head = ["function", "N", "1-bit", "full", "test, 1-bit", "test, full", "apart, train", "apart, test"]
    print_table(head, rows)
    return ends_table(frame)
