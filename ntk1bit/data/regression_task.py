"""What a task is, and the preparation every task goes through before anything trains on it.

D25 assumes norm(x_i) = 1, |y_i| <= 1 and, for lambda_min(H) > 0, that no two inputs are parallel. Preparation makes
these true, or refuses: rows are centred (where asked) by the mean of the training rows, normalised, and a row that is
parallel or anti-parallel to an earlier one is dropped and reported. Rows of other norms are possible for people's own
data, by another `normalise` than "sphere", and a note of the task says which norms they have.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int64

from ntk1bit.errors import InputError

# Unit vectors closer than this (or to each other's negative) count as parallel: far above the rounding of float32
# coordinates (6e-8), far below the distance of any two distinct images (> 1e-2 in digits).
PARALLEL_WITHIN = 1e-5
_UNIT_WITHIN = 1e-5  # rounding a unit vector of up to 10^6 coordinates to float32 changes its norm by < 1e-6
_FEWEST = 2  # training points, where their number is not asked for
SPLIT = 0.75  # share of the rows that train, unless another is asked for

Normalise = Literal["sphere", "standard", "none"]
NORMALISE: tuple[Normalise, ...] = ("sphere", "standard", "none")


@dataclass(frozen=True, eq=False)
class Task:
    """Training and test data of one regression problem.

    Attributes
    ----------
    name
        The task's name, as in `names()`.
    x, x_test
        Inputs, (n, d) and (n_test, d), float32, no two parallel; rows of unit norm if `normalise` is ``"sphere"``.
    y, y_test
        Targets, (n,) and (n_test,), float32, |y| <= 1.
    seed
        The seed that drew or split the data.
    notes
        What preparation did that a user should know, a sentence each.
    normalise
        How the inputs were normalised, as in `tasks.from_arrays`.

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
    normalise: Normalise = "sphere"

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
            if x.size and self.normalise == "sphere" and np.abs(norms - 1).max() > _UNIT_WITHIN:
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

    @property
    def digest(self) -> str:
        """Twelve digits of a hash of all four arrays: equal for equal data, whatever the name."""
        found = hashlib.sha256()
        for array in (self.x, self.y, self.x_test, self.y_test):
            found.update(f"{array.shape}".encode())
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()[:12]

    def part(self, n_train: int, n_test: int) -> Task:
        """Return the task of the first `n_train` training and the first `n_test` test points.

        Raises
        ------
        InputError
            If it has fewer, or the targets of these are constant.
        """
        if not (1 <= n_train <= self.n_train and 0 <= n_test <= self.n_test):
            raise InputError(
                f"task {self.name!r} has {self.n_train} points to train on and {self.n_test} to test on; asked for are "
                f"n_train = {n_train} and n_test = {n_test}: ask for at most as many, or split the rows otherwise"
            )
        return replace(
            self, x=self.x[:n_train], y=self.y[:n_train], x_test=self.x_test[:n_test], y_test=self.y_test[:n_test]
        )

    def __repr__(self) -> str:
        """Say in one line what it holds."""
        rows = "unit rows" if self.normalise == "sphere" else f"rows normalised by {self.normalise!r}"
        return f"Task({self.name!r}, n = {self.n_train}, n_test = {self.n_test}, d = {self.dim}, {rows})"


def prepare(
    name: str,
    x: Float[np.ndarray, "rows d"],
    y: Float[np.ndarray, " rows"],
    *,
    n_train: int | None = None,
    n_test: int | None = None,
    split: float = SPLIT,
    testing: Bool[np.ndarray, " rows"] | None = None,
    seed: int,
    normalise: Normalise = "sphere",
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
        How many points are wanted; both are met exactly or the task is refused. None for all rows, of which the share
        `split` trains.
    testing
        Which rows test, where that is given; any by default.
    seed
        Recorded in the task.
    normalise, centre_inputs
        As in `tasks.from_arrays`.
    notes
        Sentences to pass on.

    Raises
    ------
    InputError
        For NaN, zero inputs, constant targets, targets beyond [-1, 1], or too few usable rows.
    """
    check_raw(name, x, y, n_train=n_train, n_test=n_test)
    rows = np.arange(len(x))
    while True:  # dropping a training row moves the mean, so normalise again until nothing is dropped
        tests, trains = _sides(rows, testing, n_train, n_test, split)
        if len(tests) < (n_test or 0) or len(trains) < (n_train or _FEWEST):
            raise InputError(_too_few(name, rows, testing, n_train, n_test))
        chosen = np.concatenate([tests, trains])
        inputs, unit = _normalised(name, x[rows], x[trains], normalise, centre_inputs)
        place = np.searchsorted(rows, chosen)
        parallel = parallel_rows(unit[place])
        if len(parallel) == 0:
            break
        rows = np.setdiff1d(rows, chosen[parallel])
    dropped = len(x) - len(rows)
    if dropped:
        notes = (*notes, f"dropped {dropped} inputs parallel to an earlier one (they would make lambda_min(H) zero)")
    inputs, targets = inputs[place].astype(np.float32), y[chosen].astype(np.float32)
    if normalise == "standard" and (constant := int((np.ptp(x[trains], axis=0) == 0).sum())):
        notes = (*notes, f"{constant} of {x.shape[1]} features are constant on the training points and set to 0")
    if normalise != "sphere":
        notes = (*notes, *_norms(inputs))
    at = len(tests)
    return Task(
        name=name,
        x=inputs[at:],
        y=targets[at:],
        x_test=inputs[:at],
        y_test=targets[:at],
        seed=seed,
        notes=notes,
        normalise=normalise,
    )


def _sides(
    rows: Int64[np.ndarray, " rows"],
    testing: Bool[np.ndarray, " all"] | None,
    n_train: int | None,
    n_test: int | None,
    split: float,
) -> tuple[Int64[np.ndarray, " n_test"], Int64[np.ndarray, " n"]]:
    """Return the rows that test and those that train, as many as are wanted and there."""
    if testing is not None:
        tests, trains = rows[testing[rows]], rows[~testing[rows]]
        return tests[:n_test], trains[:n_train]
    if n_test is None:
        n_test = len(rows) - (n_train if n_train is not None else max(1, round(split * len(rows))))
    n_test = max(n_test, 0)
    end = None if n_train is None else n_test + n_train
    return rows[:n_test], rows[n_test:end]


def _too_few(
    name: str,
    rows: Int64[np.ndarray, " rows"],
    testing: Bool[np.ndarray, " all"] | None,
    n_train: int | None,
    n_test: int | None,
) -> str:
    if n_train is None:
        trains = len(rows) if testing is None else int((~testing[rows]).sum())
        return (
            f"task {name!r} has {trains} usable points to train on, and needs {_FEWEST}; inputs are usable if no "
            "two are parallel, test inputs included (inputs of one feature all are: add a second, constant feature, "
            "and normalise none)"
        )
    if testing is None:
        wanted = (n_train or 1) + (n_test or 0)
        return (
            f"task {name!r} has {len(rows)} usable points, but n_train + n_test = {n_train} + {n_test} = {wanted} "
            f"are asked for; ask for at most {len(rows)} in all"
        )
    tests = int(testing[rows].sum())
    return (
        f"task {name!r} has {len(rows) - tests} usable points to train on and {tests} to test on, but "
        f"n_train = {n_train or 1} and n_test = {n_test or 0} are asked for"
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


def _normalised(
    name: str,
    x: Float[np.ndarray, "rows d"],
    training: Float[np.ndarray, "n d"],
    normalise: Normalise,
    centre_inputs: bool,
) -> tuple[Float[np.ndarray, "rows d"], Float[np.ndarray, "rows d"]]:
    """Return the inputs as they are trained on, and their directions."""
    if normalise == "sphere":
        if not centre_inputs:
            unit = _unit_rows(name, x)
        else:
            unit = _unit_rows(name, x - training.mean(axis=0), "equal to the mean of the training inputs, and so ")
        return unit, unit
    if normalise == "standard":
        spread = training.std(axis=0)
        constant = spread <= 1e-12 * np.abs(training).max(axis=0, initial=0.0)  # far above rounding: no information
        scale = np.where(constant, np.inf, spread) * np.sqrt(x.shape[1])
        x = (x - training.mean(axis=0)) / scale
    return x, _unit_rows(name, x)


def _norms(inputs: Float[np.ndarray, "rows d"]) -> tuple[str, ...]:
    """Report rows that are not of unit norm, for which D25's theory is not written."""
    norms = np.linalg.norm(inputs.astype(np.float64), axis=1)
    others = int((np.abs(norms - 1) > _UNIT_WITHIN).sum())
    if not others:
        return ()
    low, high = norms.min(), norms.max()
    return (
        f"{others} of {len(norms)} inputs are not of unit norm (norms {low:.3g} to {high:.3g}), which D25's theory "
        'assumes; normalise "sphere" makes it so',
    )


def _unit_rows(name: str, x: Float[np.ndarray, "rows d"], why: str = "") -> Float[np.ndarray, "rows d"]:
    norms = np.linalg.norm(x, axis=1)
    zero = np.flatnonzero(norms <= 1e-12 * max(norms.max(initial=0.0), np.finfo(np.float64).tiny))
    if len(zero):
        raise InputError(
            f"input {zero[0]} of task {name!r} is {why}a zero vector ({len(zero)} of {len(x)} are), which has no "
            "direction; remove those rows or add a constant feature"
        )
    return x / norms[:, None]


def check_raw(
    name: str,
    x: Float[np.ndarray, "rows d"],
    y: Float[np.ndarray, " rows"],
    *,
    n_train: int | None = None,
    n_test: int | None = None,
) -> None:
    """Refuse raw rows that are no data; arguments and errors are those of `prepare`."""
    if x.ndim != 2 or x.shape[1] == 0 or y.shape != (x.shape[0],):
        raise InputError(f"task {name!r} needs inputs (n, d) with d >= 1 and targets (n,), got {x.shape} and {y.shape}")
    if (n_train is not None and n_train < 1) or (n_test is not None and n_test < 0):
        raise InputError(f"n_train must be at least 1 and n_test at least 0, got {n_train} and {n_test}")
    if not len(x):
        raise InputError(f"task {name!r} has no rows; at least one is needed")
    for what, values in (("inputs", x), ("targets", y)):
        bad = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
        if len(bad):
            raise InputError(f"{what} of task {name!r} contain NaN or infinity (first in row {bad[0]}); remove them")
    if np.abs(x).max() > np.finfo(np.float32).max:
        raise InputError(f"inputs of task {name!r} are too large for float32 (beyond 3.4e38); divide them first")
    if len(y) > 1 and np.ptp(y) == 0:
        raise InputError(f"the targets of task {name!r} are all equal to {y[0]:g}: there is nothing to learn")
