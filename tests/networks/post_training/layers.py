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
