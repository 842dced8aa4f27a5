"""Solve every (start, replicate) problem: dealt to threads, each result its own pair's alone.

The compiled solver releases Python's lock, so plain threads suffice, and since problems do not touch each other the
results depend neither on the number of threads nor on the order.

Why the gradients (`tape.py`, `objective.py`) and the optimiser (`lbfgs.py`) are written here and not taken from JAX and
optimistix 0.1: one program serves every law and table, while jitted solvers are traced anew for each law and number of
points. Measured on one core of an AMD Zen 3 by processor time, for 240 points of the `chinchilla` law, 675 starts and
1000 replicates: 0.3 + 0.2 s here, after 14 s of compilation once a machine; vmapped optimistix BFGS (400 steps at
most, the same optima to 4e-11) 1.5 + 2.3 s, after 0.9 s of imports and 0.4 s a program from JAX's persistent cache, or
2 s without it (`python -m benchmarks.scaling_fit --jax`). The whole command takes 2.4 s here, half of them imports.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64

from ntk1bit.compiling import is_compiled
from ntk1bit.processors import usable_processors
from ntk1bit.scaling.lbfgs import solve_in_turn
from ntk1bit.scaling.tape import FILL, Tape

MEMORY = 20  # more than L-BFGS's usual 10: with few parameters it saves a sixth of the evaluations and costs little
_CHUNKS_PER_THREAD = 8


class Stopping(NamedTuple):
    """When a minimisation ends.

    After `limit` iterations; or when the largest gradient entry, in units of delta times the total weight, is below
    `tolerance`; or when ten iterations lower the objective by less than the share `least` of it.
    """

    tolerance: float = 1e-9
    least: float = 1e-13
    limit: int = 2000


class Solutions(NamedTuple):
    """Where each problem ended: latent parameters, and the objective evaluations used.

    The objective is infinite where the start was undefined; of the gradient the largest entry is given, in units of
    delta times the total weight.
    """

    theta: Float[np.ndarray, "t p"]
    objective: Float[np.ndarray, " t"]
    gradient: Float[np.ndarray, " t"]
    evaluations: Int64[np.ndarray, " t"]


def _compile() -> None:
    """Compile the solver, if it is not compiled yet, before threads share it."""
    if not is_compiled(solve_in_turn):
        rows, one = np.zeros(1, np.int64), np.ones((1, 1))
        tape = Tape(np.zeros((0, 4), np.int64), np.array([[FILL, 0, 0, 0]]), np.zeros(0), np.zeros((0, 2), np.int64), 1)
        solve_in_turn(
            tuple(tape), one, np.ones(1), one, rows, np.ones((1, 1)), 1.0, 0.5, tuple(Stopping(limit=0)), 1,
            np.ones(1), np.ones(1), np.zeros(1, np.int64),
        )  # fmt: skip


def tape_inputs(tape: Tape, columns: Float[np.ndarray, "k n"]) -> Float[np.ndarray, "i n"]:
    """Arrange the positive covariates (k, n), in the law's order, as the tape reads them."""
    rows = [np.log(columns[variable]) if form == 0 else columns[variable] for variable, form in tape.inputs]
    return np.array(rows, dtype=np.float64).reshape(len(rows), columns.shape[1])


def solve(
    tape: Tape,
    columns: Float[np.ndarray, "k n"],
    log_loss: Float[np.ndarray, " n"],
    weights: Float[np.ndarray, "r n"],
    starts: Float[np.ndarray, "t p"],
    replicate: Int64[np.ndarray, " t"],
    *,
    delta: float,
    tilt: float = 0.5,
    stopping: Stopping | None = None,
    threads: int | None = None,
    solved: Callable[[int], None] | None = None,
) -> Solutions:
    """Minimise the objective from every start, each on its own replicate's weights.

    Covariates are positive and in the law's order. Weights are >= 0: row 0 is usually the data as given, others are
    bootstrap replicates; `replicate` says which row each start (latent parameters) is solved on, sorted for speed. See
    `objective.py` for `delta` and `tilt`. Threads are by default as many as there are processors to use, and results do
    not depend on them. `solved` is called, from worker threads, with the number of problems just solved.
    """
    stopping = Stopping() if stopping is None else stopping
    total = starts.shape[0]
    threads = usable_processors() if threads is None else threads
    inputs = tape_inputs(tape, columns)
    target = np.require(log_loss, np.float64, ["C", "W"])  # a read-only array would be compiled for anew
    weights = np.require(weights, np.float64, ["C", "W"])
    replicate = np.require(replicate, np.int64, ["C", "W"])
    theta = np.array(starts, dtype=np.float64, order="C", copy=True)
    objective, gradient = np.full(total, np.inf), np.full(total, np.inf)
    count = np.zeros(total, dtype=np.int64)
    pieces = np.array_split(np.arange(total), max(1, min(total, threads * _CHUNKS_PER_THREAD)))

    def work(piece: np.ndarray) -> None:
        if len(piece) == 0:
            return
        part = slice(int(piece[0]), int(piece[-1]) + 1)
        solve_in_turn(
            tuple(tape), inputs, target, weights, replicate[part], theta[part], delta, tilt, tuple(stopping), MEMORY,
            objective[part], gradient[part], count[part],
        )  # fmt: skip
        if solved is not None:
            solved(len(piece))

    _compile()
    if threads == 1 or len(pieces) == 1:
        for piece in pieces:
            work(piece)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, pieces))
    return Solutions(theta, objective, gradient, count)
