"""GPTQ (Frantar et al. 2023, arXiv 2210.17323): round column by column, later columns making up for the errors.

With the columns before k rounded, the columns from k on hold the weights that are best given those (the least squares
solution of `hessians`, which is Optimal Brain Quantization's); column k is rounded to its nearest grid point, with
error e, and the rest move by -e [H^-1]_{k,k:}/[H^-1]_{kk}, H^-1 being the inverse of what is left of H. All these
rows are in one matrix: the upper Cholesky factor C of H^-1 = C^T C, so that the move is -e C_{k,k:}/C_{kk}.

As in the paper: columns in their order, the same for all rows; H damped by 1 % of its mean diagonal; a per-row
asymmetric min-max grid; later columns updated a block of 128 at a time, which changes the order of sums and nothing
else. With groups, a grid is laid for each group of columns when its first is reached, over the weights as they are
then; in the code of the authors, and in code derived from it, the updates from within the current block are missing.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ntk1bit.arguments import whole
from ntk1bit.networks.post_training.grids import Grid, GridQuantized, min_max_grid, nearest, points
from ntk1bit.networks.post_training.hessians import DAMPING, checked_layer, damped, dead_inputs

BLOCK = 128  # columns between two updates of those that follow


def gptq(
    weight: Float[np.ndarray, "m d"],
    hessian: Float[np.ndarray, "d d"],
    *,
    bits: int,
    group: int | None = None,
    block: int = BLOCK,
    damping: float = DAMPING,
    symmetric: bool = False,
) -> GridQuantized:
    """Quantise the weights of a layer so that its outputs change little on the inputs that the Hessian is of.

    Parameters
    ----------
    weight
        W, (m, d), any floats; a row for each output.
    hessian
        H of `hessians.input_hessian`, not damped, (d, d).
    bits
        From 2 to 8.
    group
        Columns that share a grid in each row, by default all; the last group may have fewer.
    block
        Columns between two updates of all that follow.
    damping
        Times the mean diagonal of H, added to the diagonal.
    symmetric
        Whether the grids are symmetric, see `grids`.

    Returns
    -------
    Integers, one scale and one zero per row and group; `.values` are the weights. Weights of inputs that are always
    zero become zero, as in the code of the authors.

    Raises
    ------
    InputError
        If an array is not finite or of another shape, or a number is out of range.
    """
    w, h = checked_layer(weight, hessian)
    rows, columns = w.shape
    each = columns if group is None else whole("group", group, allowed="None or a whole number from 1", least=1)
    each = min(each, columns)  # columns that share a grid
    block = whole("block", block, allowed="a whole number of at least 1", least=1)
    grid = min_max_grid(w[:, :each], bits=bits, symmetric=symmetric)  # before the next line, as in the authors' code
    w[:, dead_inputs(h)] = 0
    feedback = inverse_factor(damped(h, damping))

    q, grids = np.zeros((rows, columns)), []
    edges = sorted({*range(0, columns, block), *range(0, columns, each), columns})
    for start, stop in pairwise(edges):
        if start % each == 0:
            if start > 0:
                grid = min_max_grid(w[:, start : start + each], bits=bits, symmetric=symmetric)
            grids.append(grid)
        q[:, start:stop], errors = _rounded_block(w[:, start:stop], feedback[start:stop, start:stop], grid)
        w[:, stop:] -= errors @ feedback[start:stop, stop:]
    scale, zero = np.hstack([one.scale for one in grids]), np.hstack([one.zero for one in grids])
    return GridQuantized(q.astype(np.uint8), scale, zero, each)


def inverse_factor(hessian: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """Return the upper triangular C with H^-1 = C^T C, for a positive definite H.

    H = U U^T with U upper triangular gives C = U^-1, which loses fewer digits than a factor of a computed H^-1.
    """
    identity = np.eye(len(hessian))
    return np.triu(scipy.linalg.solve_triangular(upper_factor(hessian), identity, lower=False))


def upper_factor(hessian: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """Return the upper triangular U with H = U U^T and a positive diagonal: Cholesky's factor, both axes reversed."""
    return np.linalg.cholesky(hessian[::-1, ::-1])[::-1, ::-1]


def _rounded_block(
    w: Float[np.ndarray, "m b"], feedback: Float[np.ndarray, "b b"], grid: Grid
) -> tuple[Float[np.ndarray, "m b"], Float[np.ndarray, "m b"]]:
    """Round the columns of a block (w is changed); return the integers and the errors divided by C_kk."""
    q, errors = np.zeros_like(w), np.zeros_like(w)
    for k in range(w.shape[1]):
        q[:, k : k + 1] = nearest(w[:, k : k + 1], grid)
        errors[:, k] = (w[:, k] - points(q[:, k : k + 1], grid)[:, 0]) / feedback[k, k]
        w[:, k:] -= errors[:, k : k + 1] * feedback[k, k:]
    return q, errors
