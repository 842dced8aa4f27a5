"""What `ntk1bit deep` shows: the plan, the progress, a table, and where table and picture are."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from ntk1bit.cli.progress import clock, progress_bar, usable_jobs
from ntk1bit.cli.tables import print_table, say
from ntk1bit.experiments.deep_spec import measurements
from ntk1bit.experiments.measurements import run_measurements
from ntk1bit.plots.looks import PRECISION_NAME


def default_folder(size: str) -> Path:
    """Return where a size is kept: all figures of one size share a folder, and 2 and 3 their networks."""
    return Path("runs") / f"deep-{size}"


def print_plan(figure: int, size: str, *, jobs: int | None, out: Path | None) -> None:
    """Print what would be trained, and roughly how long it would take."""
    jobs = usable_jobs(jobs)
    made = measurements(figure, size)
    axis = "parameters" if figure == 1 else "k"
    rows = []
    for value in sorted({dict(one.settings)[axis] for one in made}):
        chosen = [one for one in made if dict(one.settings)[axis] == value]
        networks = sum(len(dict(one.settings)["seeds"]) for one in chosen) * (1 if figure == 1 else 2)
        rows.append([f"{value:,}", networks, clock(sum(one.cost for one in chosen) / jobs)])
    print_table([axis, "networks", "time"], rows)
    print()
    print(f"time    about {clock(sum(one.cost for one in made) / jobs)} with {jobs} jobs, rough")
    print(f"folder  {out or default_folder(size)}")


def run(figure: int, size: str, *, jobs: int | None, out: Path | None) -> None:
    """Train what is missing with a progress bar; then print, write and draw what was found."""
    made = measurements(figure, size)
    folder, jobs = out or default_folder(size), usable_jobs(jobs)
    try:
        with progress_bar() as bar:

            def report(share: float) -> None:
                if bar is not None:
                    bar("training", share)

            frame = run_measurements(made, folder, jobs=jobs, progress=report)
    except KeyboardInterrupt:
        say(f"stopped; finished networks are in {folder}. To go on: {shlex.join(['ntk1bit', *sys.argv[1:]])}")
        raise
    from ntk1bit.plots.deep import draw_frame  # matplotlib takes a second, which a mistake should not wait for

    table = print_losses(frame) if figure == 1 else print_differences(frame)
    written = folder / f"figure-{figure}.csv"
    table.to_csv(written, index=False)
    picture = draw_frame(frame, figure, folder / f"figure-{figure}.png")
    lost = frame["diverged_at"] >= 0 if figure == 1 else frame["diverged"] & (frame["epoch"] == 0)
    if count := int(np.count_nonzero(lost)):
        say(f"{count} networks diverged: recorded as results")
    spent = clock(float(np.sum(frame["seconds"].to_numpy())))
    print(f"\n{len(made)} measurements, {spent} of one core. Written: {written} {picture}")


def print_losses(frame: pd.DataFrame) -> pd.DataFrame:
    """Print the losses of Fig. 1 at every rate, as means over functions; return those at the best, one by one."""
    from ntk1bit.estimators.deep import losses_table, rates_table

    rows = []
    for row in rates_table(frame).sort_values(["depth", "precision", "N", "rate"]).to_dict("records"):
        name = PRECISION_NAME[row["precision"]]
        marked = f"{row['rate']:g}{'*' if row['best'] else ''}"
        rows.append([row["depth"], name, f"{row['N']:,}", marked, f"{row['value']:.3g}", f"{row['test']:.3g}"])
    print("geometric means over functions and seeds of the least training loss, and of the test loss at the end")
    print_table(["depth", "precision", "N", "rate", "loss", "test loss"], rows)
    print("*: the best rate of its depth, precision and size, which table and picture are of")
    return losses_table(frame)


def print_differences(frame: pd.DataFrame) -> pd.DataFrame:
    """Print losses and differences of the outputs after the last epoch; return the difference of each function."""
    from ntk1bit.estimators.deep import ends_table, groups, last_epoch, summary

    columns = ["loss_one_bit", "loss_full", "test_loss_one_bit", "test_loss_full", "apart_train", "apart_test"]
    ends = last_epoch(frame)
    rows = [
        [task, f"{size:,}", *(f"{summary(part[column])['value']:.3g}" for column in columns)]
        for (task, size), part in groups(ends, ["task", "N"])
    ]
    print(f"after {int(ends['epoch'].iloc[0])} epochs: losses, and root mean square difference of both outputs")
    head = ["function", "N", "1-bit", "full", "test, 1-bit", "test, full", "apart, train", "apart, test"]
    print_table(head, rows)
    return ends_table(frame)
