"""Layers to quantise, and exact solutions of the layer problem by search, written without the package's code."""

from __future__ import annotations

import itertools

import numpy as np

SHAPES = [(1, 1), (1, 5), (5, 1), (3, 2), (4, 7), (16, 16)]


def drawn(outputs, inputs, seed=0, rows=200):
    """Weights and correlated inputs: a random mixture of independent ones."""
    rng = np.random.default_rng([outputs, inputs, seed])
    mixing = rng.standard_normal((inputs, inputs))
    return rng.standard_normal((outputs, inputs)), rng.standard_normal((rows, inputs)) @ mixing


def damped_by_hand(hessian, damping=0.01):
    return hessian + damping * np.diag(hessian).mean() * np.eye(len(hessian))


def damped_inputs(x, damping=0.01):
    """Inputs with those that damping stands for: X^T X of the result is that of x with the damping on its diagonal."""
    columns = x.shape[1]
    return np.vstack([x, np.sqrt(damping * (x**2).sum() / columns) * np.eye(columns)])


def tried(w, inputs, levels):
    """The layer problem solved greedily by trying: a column at a time, every level, all later columns free.

    Column k takes the level with which the outputs on `inputs` can still come nearest to those of `w`, later columns
    being any real numbers: for each level they are solved for by least squares, without Hessian or factors. `levels`
    has a row for each row of `w`.
    """
    values = np.zeros_like(w)
    for k in range(w.shape[1]):
        errors = []
        for level in levels.T:
            now = np.column_stack([values[:, :k], level]) - w[:, : k + 1]
            change = inputs[:, : k + 1] @ now.T
            later = np.linalg.lstsq(inputs[:, k + 1 :], -change, rcond=None)[0]
            errors.append(((change + inputs[:, k + 1 :] @ later) ** 2).sum(axis=0))
        values[:, k] = levels[np.arange(len(w)), np.argmin(errors, axis=0)]
    return values


def enumerated(row, hessian, levels):
    """The least (v - w) H (v - w)^T over all v with entries in `levels`."""
    every = np.array(list(itertools.product(levels, repeat=len(row)))) - row
    return np.einsum("nj,jk,nk->n", every, hessian, every).min()


def searched(row, hessian, levels):
    """The same by depth first search: branches that are dearer already than the best leaf are cut.

    With H = U U^T, U upper triangular, the error is the sum of squares of (v - w) U, and its entry k depends on v_1 to
    v_k.
    """
    upper = np.linalg.cholesky(hessian[::-1, ::-1])[::-1, ::-1]
    best = np.inf

    def descend(k, change, cost):
        nonlocal best
        if k == len(row):
            best = min(best, cost)
            return
        steps = ((levels - row[k]) * upper[k, k] + change[:k] @ upper[:k, k]) ** 2
        for at in np.argsort(steps):
            if cost + steps[at] >= best:
                return
            change[k] = levels[at] - row[k]
            descend(k + 1, change, cost + steps[at])

    descend(0, np.zeros(len(row)), 0.0)
    return best
