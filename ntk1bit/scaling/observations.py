"""Turn a table of losses into checked observations; refuse, in one line, what no law can be fitted to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int64

from ntk1bit.errors import InputError
from ntk1bit.scaling.labels import one_column, read_labels
from ntk1bit.scaling.laws import Law


@dataclass(frozen=True, eq=False)
class Observations:
    """Losses and what they are to be explained by.

    Attributes
    ----------
    columns
        (k, n) positive covariates, in the order of the law's variables.
    loss
        (n,) positive losses.
    weight
        (n,) positive weights, 1 by default.
    cluster
        (n,) codes of the clusters resampled together, or None for independent points.
    x
        The table's column for each variable of the law.
    loss_name
        The table's column of losses.
    """

    columns: Float[np.ndarray, "k n"]
    loss: Float[np.ndarray, " n"]
    weight: Float[np.ndarray, " n"]
    cluster: Int64[np.ndarray, " n"] | None
    x: dict[str, str]
    loss_name: str

    @property
    def points(self) -> int:
        """Number of observations."""
        return len(self.loss)

    @property
    def clusters(self) -> int:
        """Number of units the bootstrap resamples."""
        return self.points if self.cluster is None else int(self.cluster.max()) + 1

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Smallest and largest value of each variable's column."""
        return {
            name: (float(row.min()), float(row.max())) for name, row in zip(self.x.values(), self.columns, strict=True)
        }


def choose_columns(law: Law, x: str | Sequence[str] | Mapping[str, str] | None) -> dict[str, str]:
    """Match the law's variables to columns.

    Parameters
    ----------
    law
        The law.
    x
        One column, the columns in the order of the law's variables, or a mapping from variable to column. By default
        columns are named as the variables are.
    """
    if x is None:
        return {name: name for name in law.variables}
    if isinstance(x, Mapping):
        if set(x) != set(law.variables):
            raise InputError(
                f"law {law.name!r} has the variables {', '.join(law.variables)}; x names {', '.join(map(str, x))}"
            )
        return {name: x[name] for name in law.variables}
    given = [x] if isinstance(x, str) else list(x)
    if len(given) != len(law.variables):
        raise InputError(
            f"law {law.name!r} needs {len(law.variables)} column(s), for {', '.join(law.variables)}; "
            f"x gives {len(given)}: {', '.join(map(str, given))}"
        )
    return dict(zip(law.variables, given, strict=True))


def observe(
    frame: pd.DataFrame,
    law: Law,
    *,
    x: str | Sequence[str] | Mapping[str, str] | None = None,
    loss: str = "loss",
    weight: str | None = None,
    cluster: str | Sequence[str] | None = None,
) -> Observations:
    """Read and check the columns a fit needs.

    Raises
    ------
    InputError
        For a missing or repeated column, values that are not positive finite numbers, two variables with the same
        values, or fewer (distinct) points than parameters.
    """
    if not isinstance(frame, pd.DataFrame):
        raise InputError(f"a pandas DataFrame is needed, got {type(frame).__name__}")
    chosen = choose_columns(law, x)
    used = [*chosen.values(), loss]
    if len(set(used)) < len(used):
        raise InputError(f"the same column is used twice among {', '.join(used)}; each variable needs its own")
    columns = np.array([positive_column(frame, name) for name in chosen.values()])
    losses = positive_column(frame, loss)
    weights = np.ones(len(frame)) if weight is None else positive_column(frame, weight)
    for i, (first, row) in enumerate(zip(chosen.values(), columns, strict=True)):
        for second, other in list(zip(chosen.values(), columns, strict=True))[i + 1 :]:
            if len(frame) and np.array_equal(row, other):
                raise InputError(f"columns {first!r} and {second!r} hold the same values; they cannot be told apart")
    for variable, name, row in zip(law.variables, chosen.values(), columns, strict=True):
        exponents = [each.name for each in law.exponents if each.of == variable]
        if exponents and len(row) > 1 and np.ptp(row) == 0:
            raise InputError(
                f"column {name!r} has one value, {row[0]:g}, so {', '.join(exponents)} cannot be fitted; vary it, or "
                f"hold the exponent: --fix {exponents[0]}=0, in Python law.fix({exponents[0]}=0)"
            )
    needed = len(law.parameters)
    if len(frame) < needed:
        raise InputError(
            f"law {law.name!r} has {needed} parameters but the table has {len(frame)} points; give more points or "
            "choose a law with fewer parameters"
        )
    if (distinct := len(np.unique(columns, axis=1).T)) < needed:
        raise InputError(
            f"law {law.name!r} has {needed} parameters but only {distinct} distinct value(s) of "
            f"{', '.join(chosen.values())}; measure at more of them or choose a law with fewer parameters"
        )
    return Observations(columns, losses, weights, _cluster_codes(frame, cluster), chosen, loss)


def positive_column(frame: pd.DataFrame, name: str) -> Float[np.ndarray, " n"]:
    """Return one column as float64, or refuse it if it is absent, repeated, or not positive and finite."""
    values = number_column(frame, name)
    bad = ~(np.isfinite(values) & (values > 0))
    if bad.any():
        first = int(np.argmax(bad))
        raise InputError(
            f"column {name!r} must be positive and finite (it is fitted in logarithms), but {int(bad.sum())} of "
            f"{len(values)} values are not, first {values[first]:g} in row {frame.index[first]}; remove those rows"
        )
    return values


def number_column(frame: pd.DataFrame, name: str) -> Float[np.ndarray, " n"]:
    """Return one column as float64, NaN where nothing stands; numbers written as text are read.

    Raises
    ------
    InputError
        If the column is absent, repeated, or holds anything that is no number.
    """
    column = one_column(frame, name)
    if column.dtype.kind in "iufb":
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    values, wrong = np.full(len(column), np.nan), []
    for i, (each, missing) in enumerate(zip(column, column.isna(), strict=True)):
        try:
            values[i] = np.nan if missing else float(each)
        except (TypeError, ValueError, OverflowError):  # words, dates, complex numbers, whole numbers beyond 1e308
            wrong.append(i)
    if wrong:
        raise InputError(
            f"column {name!r} is not numeric: {len(wrong)} of {len(column)} values are no numbers, first "
            f"{str(column.iloc[wrong[0]])!r} in row {frame.index[wrong[0]]}; write plain numbers, as in 1000, 0.032 or "
            "1.25e8, or name another column"
        )
    return values


def _cluster_codes(frame: pd.DataFrame, cluster: str | Sequence[str] | None) -> Int64[np.ndarray, " n"] | None:
    if cluster is None:
        return None
    labels = read_labels(frame, cluster, "cluster")
    if len(labels.keys) < 2:
        raise InputError(f"there is only one cluster in {', '.join(labels.names)}; at least two are needed to resample")
    return labels.codes
