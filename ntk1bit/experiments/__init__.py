"""Sweeps: many networks trained, one file each, that can be stopped, resumed and read back as one frame."""

from ntk1bit.experiments.cells import Cell, run_cell
from ntk1bit.experiments.executors import local_executor
from ntk1bit.experiments.measurements import Measurement, run_measurements
from ntk1bit.experiments.plan import Plan, make_plan
from ntk1bit.experiments.run import Outcome, compute_cell, run_sweep
from ntk1bit.experiments.spec import SweepSpec, parse_numbers, parse_seeds, parse_widths, read_spec
from ntk1bit.experiments.states import absent_cells
from ntk1bit.experiments.store import Run, Store, load_run

__all__ = [
    "Cell",
    "Measurement",
    "Outcome",
    "Plan",
    "Run",
    "Store",
    "SweepSpec",
    "absent_cells",
    "compute_cell",
    "load_run",
    "local_executor",
    "make_plan",
    "parse_numbers",
    "parse_seeds",
    "parse_widths",
    "read_spec",
    "run_cell",
    "run_measurements",
    "run_sweep",
]
