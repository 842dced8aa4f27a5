"""Hold plans against whole runs: `python -m benchmarks.planning [--jobs 2] [--seconds 20] [--only NAME] [--repeat 1]`.

Of each run it prints predicted and actual time, processor time, memory and storage, with their ratio. Times by the
clock say little where other programs take the processors by turns: the load is printed beside them, and the processor's
time, which others lengthen less, is predicted and measured in the same way.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from ntk1bit.experiments import SweepSpec, run_all
from ntk1bit.experiments.calibration import SECONDS, calibrate, plan_run
from ntk1bit.experiments.deep_spec import SCALING_PRESETS, SIMILARITY_PRESETS
from ntk1bit.experiments.language_spec import PRESETS
from ntk1bit.experiments.planning import schedule
from ntk1bit.experiments.specification import Specification
from ntk1bit.processors import usable_processors

RUNS: dict[str, Specification] = {
    "sweep, narrow": SweepSpec(widths=(64, 128, 256, 512, 1024), seeds=(0, 1, 2, 3)),
    "sweep, wide": SweepSpec(widths=(1024, 2048, 4096), seeds=(0, 1), steps=500),
    "sweep, predictions": SweepSpec(widths=(64, 256, 1024), seeds=(0, 1, 2), predictions=True, inits=("paired",)),
    "language": PRESETS["smoke"],
    "deep, scaling": SCALING_PRESETS["smoke"],
    "deep, similarity": SIMILARITY_PRESETS["smoke"],
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Plan and run each of `RUNS`; print a line for each quantity."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planning", description=__doc__)
    parser.add_argument("--jobs", type=int, default=usable_processors(), help="processes")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each calibration")
    parser.add_argument("--only", default="", metavar="NAME", help="only runs whose name contains this")
    parser.add_argument("--repeat", type=int, default=1, help="how often each is planned and run")
    options = parser.parse_args(arguments)
    print(f"{'run':20} {'what':10} {'predicted':>10} {'actual':>10} {'ratio':>6}  load before, after")
    for name, spec in RUNS.items():
        for _ in range(options.repeat if options.only in name else 0):
            compare(name, spec, jobs=options.jobs, seconds=options.seconds)


def compare(name: str, spec: Specification, *, jobs: int, seconds: float) -> None:
    """Plan a run twice, by the clock and by the processor's time, run it, and print the ratios."""
    planned = [plan_run(spec)]
    predicted = {}
    for what, processor in (("processor", True), ("wall", False)):
        costs = calibrate(planned, jobs=jobs, seconds=seconds, processor=processor)
        replayed = schedule(planned[0].planned(costs), jobs, startup=costs.startup)
        spent = sum(one.ends - one.begins for one in replayed.events)
        predicted[what] = spent if processor else replayed.wall
        predicted["memory"] = replayed.memory
        predicted["storage"] = sum(cell.stored for stage in planned[0].planned(costs) for cell in stage.cells)
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        actual = run_measured(spec, Path(folder) / "run", jobs=jobs)
    load = f"{before:.1f}, {os.getloadavg()[0]:.1f}"
    units = {"wall": (1.0, "s"), "processor": (1.0, "s"), "memory": (1e9, "GB"), "storage": (1e6, "MB")}
    for what, (unit, sign) in units.items():
        shown = f"{predicted[what] / unit:8.2f} {sign} {actual[what] / unit:8.2f} {sign}"
        print(f"{name:20} {what:10} {shown} {predicted[what] / actual[what]:6.2f}  {load}", flush=True)


def run_measured(spec: Specification, folder: Path, *, jobs: int) -> dict[str, float]:
    """Run a specification; return seconds by the clock and of the processors, peak resident bytes, bytes on disk."""
    peak, ended, own = [0.0], threading.Event(), psutil.Process()

    def watch() -> None:
        while not ended.wait(0.1):
            resident = 0.0
            for child in own.children(recursive=True):
                try:
                    resident += child.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            peak[0] = max(peak[0], resident)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    began, spent = time.perf_counter(), _of_children()
    run_all(spec, folder, jobs=jobs)
    wall, processor = time.perf_counter() - began, _of_children() - spent
    ended.set()
    watcher.join()
    stored = sum(path.stat().st_size for path in (folder / "cells").iterdir())
    return {"wall": wall, "processor": processor, "memory": peak[0], "storage": float(stored)}


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
