"""Data sets and weights for property tests: the kind ones and the awkward ones."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from hypothesis import strategies as st

Kind = Literal["sphere", "clustered", "nearly_parallel", "same_signs", "sign_vectors", "heavy"]
WeightKind = Literal["gaussian", "heavy", "two_spikes", "equal_sizes", "far_mean"]

widths = st.integers(1, 600)
dims = st.integers(2, 80)
counts = st.integers(1, 12)
seeds = st.integers(0, 2**31)
kinds = st.sampled_from(get_args(Kind))
weight_kinds = st.sampled_from(get_args(WeightKind))
precisions = st.sampled_from(["one_bit", "full"])
scales = st.sampled_from(["std", "absmean"])
EPS32 = float(np.finfo(np.float32).eps)
EPS64 = float(np.finfo(np.float64).eps)


def unit_inputs(n: int, d: int, seed: int, kind: Kind) -> np.ndarray:
    """Draw inputs of norm 1, (n, d) float64.

    ``nearly_parallel``: angles of 1e-4 to 1 to one direction, many decades apart. ``same_signs``: spread out, but with
    the signs of one of two vectors. ``sign_vectors``: entries +-1/sqrt(d), so <q, x> and <1, x> have atoms, zero among
    them, and at small d inputs repeat. ``heavy``: Cauchy, so a coordinate or two dominate.
    """
    rng = np.random.default_rng([seed, n, d])
    x = rng.standard_normal((n, d))
    if kind == "clustered":
        x = rng.standard_normal((2, d))[rng.integers(0, 2, n)] + 1e-2 * x
    elif kind == "nearly_parallel":
        away = x / np.linalg.norm(x, axis=1, keepdims=True)
        direction = rng.standard_normal(d)
        x = direction / np.linalg.norm(direction) + 10.0 ** rng.uniform(-4, 0, (n, 1)) * away
    elif kind == "same_signs":
        x = np.abs(x) * rng.choice([-1.0, 1.0], (2, d))[rng.integers(0, 2, n)]
    elif kind == "sign_vectors":
        x = rng.choice([-1.0, 1.0], (n, d))
    elif kind == "heavy":
        x = rng.standard_cauchy((n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def targets(n: int, seed: int) -> np.ndarray:
    """Draw targets in [-1, 1]."""
    return np.random.default_rng([seed, 1]).uniform(-1, 1, n)


def latent_weights(m: int, d: int, seed: int, kind: WeightKind) -> np.ndarray:
    """Draw hidden weights, (m, d) float64.

    ``two_spikes``: all of c lies in two coordinates. ``equal_sizes``: all |c_k| are equal, but for one coordinate when
    d is odd. ``far_mean``: the mean is 1,000 times the deviations.
    """
    rng = np.random.default_rng([seed, m, d])
    w = rng.standard_normal((m, d))
    if kind == "heavy":
        return rng.standard_cauchy((m, d))
    if kind == "two_spikes":
        w = np.zeros((m, d))
        w[:, 0], w[:, 1] = 1, -1
        return rng.permuted(w, axis=1) * rng.uniform(0.1, 10, (m, 1))
    if kind == "equal_sizes":
        signs = np.where(np.arange(d) % 2, 1.0, -1.0) * (np.arange(d) < d // 2 * 2)
        # sizes and means that are multiples of 1/8, so that the sums are exact
        return rng.permuted(np.tile(signs, (m, 1)), axis=1) * rng.integers(1, 80, (m, 1)) / 8 + rng.integers(-8, 8) / 8
    if kind == "far_mean":
        return w + 1000 * rng.standard_normal((m, 1))
    return w
