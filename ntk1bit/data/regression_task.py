"""What a task is, and the preparation every task goes through before anything trains on it.

D25 assumes norm(x_i) = 1, |y_i| <= 1 and, for lambda_min(H) > 0, that no two inputs are parallel. Preparation makes
these true, or refuses: rows are centred (where asked) by the mean of the training rows, normalised, and a row that is
parallel or anti-parallel to an earlier one is dropped and reported.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int64

from ntk1bit.errors import InputError

# Unit vectors closer than this (or to each other's negative) count as parallel: far above the rounding of float32
# coordinates (6e-8), far below the distance of any two distinct images (> 1e-2 in digits).
PARALLEL_WITHIN = 1e-5
_UNIT_WITHIN = 1e-5  # rounding a unit vector of up to 10^6 coordinates to float32 changes its norm by < 1e-6


@dataclass(frozen=True, eq=False)
class Task:
    """Training and test data of one regression problem.

    Attributes
    ----------
    name
        The task's name, as in `names()`.
    x, x_test
        Inputs, (n, d) and (n_test, d), float32, rows of unit norm, no two parallel.
    y, y_test
        Targets, (n,) and (n_test,), float32, |y| <= 1.
    seed
        The seed that drew or split the data.
    notes
        What preparation did that a user should know, a sentence each.

    Raises
    ------
    InputError
        If any of the above does not hold, targets are not finite, or the training targets are constant.
    """

    name: str
    x: Float[np.ndarray, "n d"]
    y: Float[np.ndarray, " n"]
    x_test: Float[np.ndarray, "n_test d"]
    y_test: Float[np.ndarray, " n_test"]
    seed: int = 0
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        """Refuse data that breaks the promises above."""
        for part, x, y in (("training", self.x, self.y), ("test", self.x_test, self.y_test)):
            if x.dtype != np.float32 or y.dtype != np.float32:
                raise InputError(f"{part} data of task {self.name!r} must be float32, got {x.dtype} and {y.dtype}")
            if x.ndim != 2 or y.shape != (x.shape[0],):
                raise InputError(f"{part} data of task {self.name!r} must be (n, d) and (n,), got {x.shape}, {y.shape}")
            if not (np.isfinite(x).all() and np.isfinite(y).all()):
                raise InputError(f"{part} data of task {self.name!r} contains NaN or infinity; remove those rows first")
            norms = np.linalg.norm(x.astype(np.float64), axis=1)
            if x.size and np.abs(norms - 1).max() > _UNIT_WITHIN:
                raise InputError(f"{part} inputs of task {self.name!r} must have unit norm; use tasks.from_arrays")
            if y.size and np.abs(y).max() > 1:
                raise InputError(f"{part} targets of task {self.name!r} must lie in [-1, 1]; use tasks.from_arrays")
        if self.x.shape[1] != self.x_test.shape[1]:
            raise InputError(f"training inputs of task {self.name!r} have another dimension than its test inputs")
        if len(self.y) > 1 and np.ptp(self.y) == 0:
            raise InputError(
                f"the training targets of task {self.name!r} are all equal to {self.y[0]:g}: there is nothing to learn;"
                " choose other targets, more training points or another seed"
            )

    @property
    def n_train(self) -> int:
        """Number of training points n."""
        return self.x.shape[0]

    @property
    def n_test(self) -> int:
        """Number of test points."""
        return self.x_test.shape[0]

    @property
    def dim(self) -> int:
        """Input dimension d."""
        return self.x.shape[1]


def prepare(
    name: str,
    x: Float[np.ndarray, "rows d"],
    y: Float[np.ndarray, " rows"],
    *,
    n_train: int,
    n_test: int,
    seed: int,
    centre_inputs: bool = False,
    notes: tuple[str, ...] = (),
) -> Task:
    """Turn raw rows, already in random order, into a task: the first `n_test` usable rows test, the next train.

    Test rows come first so that, at one seed, the test set is the same for every `n_train` and training sets are
    nested: curves against n then differ in nothing else.

    Parameters
    ----------
    name
        For messages and the task's `name`.
    x, y
        Raw inputs (rows, d) and targets (rows,) with |y| <= 1, float64.
    n_train, n_test
        How many points are wanted; both are met exactly or the task is refused.
    seed
        Recorded in the task.
    centre_inputs
        Subtract the mean of the training inputs from all inputs before normalising.
    notes
        Sentences to pass on.

    Raises
    ------
    InputError
        For NaN, zero inputs, constant targets, targets beyond [-1, 1], or too few usable rows.
    """
    _check_raw(name, x, y, n_train=n_train, n_test=n_test)
    wanted = n_train + n_test
    rows = np.arange(len(x))
    while True:  # dropping a training row moves the mean, so normalise again until nothing is dropped
        if len(rows) < wanted:
            raise InputError(
                f"task {name!r} has {len(rows)} usable points, but n_train + n_test = {n_train} + {n_test} = {wanted} "
                f"are asked for; ask for at most {len(rows)} in all"
            )
        unit = _unit_rows(name, x[rows] - x[rows[n_test:wanted]].mean(axis=0) if centre_inputs else x[rows])
        parallel = parallel_rows(unit)
        parallel = parallel[parallel < wanted]
        if len(parallel) == 0:
            break
        rows = np.delete(rows, parallel)
    dropped = len(x) - len(rows)
    if dropped:
        notes = (*notes, f"dropped {dropped} inputs parallel to an earlier one (they would make lambda_min(H) zero)")
    inputs, targets = unit[:wanted].astype(np.float32), y[rows[:wanted]].astype(np.float32)
    return Task(
        name=name,
        x=inputs[n_test:],
        y=targets[n_test:],
        x_test=inputs[:n_test],
        y_test=targets[:n_test],
        seed=seed,
        notes=notes,
    )


def parallel_rows(unit: Float[np.ndarray, "rows d"]) -> Int64[np.ndarray, " k"]:
    """Find the rows that are parallel or anti-parallel to an earlier row, within `PARALLEL_WITHIN`.

    Parameters
    ----------
    unit
        Rows of unit norm, float64.

    Returns
    -------
    Sorted row numbers to drop so that no two of the rest are parallel.
    """
    if len(unit) < 2:
        return np.empty(0, dtype=np.int64)
    # Parallel rows have nearly the same |projection| on any unit direction: only neighbours in that order are compared.
    direction = np.random.default_rng(0).standard_normal(unit.shape[1])
    direction /= np.linalg.norm(direction)
    projection = np.abs(unit @ direction)
    order = np.argsort(projection, kind="stable")
    ends = np.searchsorted(projection[order], projection[order] + PARALLEL_WITHIN, side="right")
    drop: set[int] = set()
    pairs: list[tuple[int, int]] = []
    for place in np.flatnonzero(ends > np.arange(len(order)) + 1):
        row, others = order[place], order[place + 1 : ends[place]]
        apart = np.minimum(
            np.linalg.norm(unit[others] - unit[row], axis=1), np.linalg.norm(unit[others] + unit[row], axis=1)
        )
        pairs += [(int(min(row, other)), int(max(row, other))) for other in others[apart <= PARALLEL_WITHIN]]
    for first, second in sorted(pairs):
        if first not in drop:
            drop.add(second)
    return np.array(sorted(drop), dtype=np.int64)


def _unit_rows(name: str, x: Float[np.ndarray, "rows d"]) -> Float[np.ndarray, "rows d"]:
    norms = np.linalg.norm(x, axis=1)
    zero = np.flatnonzero(norms <= 1e-12 * max(norms.max(initial=0.0), np.finfo(np.float64).tiny))
    if len(zero):
        raise InputError(
            f"input {zero[0]} of task {name!r} is a zero vector ({len(zero)} of {len(x)} are), which has no direction; "
            "remove those rows or add a constant feature"
        )
    return x / norms[:, None]


def _check_raw(name: str, x: np.ndarray, y: np.ndarray, *, n_train: int, n_test: int) -> None:
    if x.ndim != 2 or x.shape[1] == 0 or y.shape != (x.shape[0],):
        raise InputError(f"task {name!r} needs inputs (n, d) with d >= 1 and targets (n,), got {x.shape} and {y.shape}")
    if n_train < 1 or n_test < 0:
        raise InputError(f"n_train must be at least 1 and n_test at least 0, got {n_train} and {n_test}")
    for what, values in (("inputs", x), ("targets", y)):
        bad = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
        if len(bad):
            raise InputError(f"{what} of task {name!r} contain NaN or infinity (first in row {bad[0]}); remove them")
    if len(y) > 1 and np.ptp(y) == 0:
        raise InputError(f"the targets of task {name!r} are all equal to {y[0]:g}: there is nothing to learn")
