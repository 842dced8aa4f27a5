"""How far the kernel, the activation patterns, the signs and the weights move in training, against width."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ntk1bit.estimators.against_width import AgainstWidth, per_cell, recorded_steps
from ntk1bit.estimators.columns import reads


@reads()
def drift(frame: pd.DataFrame) -> list[AgainstWidth]:
    """Largest relative kernel drift, `max_t norm_F(H(t) - H(0)) / norm_F(H(0))` (claim C1; D25, Lemma 4.1).

    Parameters
    ----------
    frame
        From `Run.frame`; cells that diverged take their width out of the estimate.

    Returns
    -------
    One entry for each group of settings.

    Raises
    ------
    InputError
        As every estimator: if the frame lacks a column that it reads, or holds two networks of the same settings, width
        and seed.
    """
    return _largest(frame, "drift", "drift", "largest relative drift of the kernel, max over steps")


@reads("flipped")
def sign_flips(frame: pd.DataFrame) -> list[AgainstWidth]:
    """Largest fraction of the m d signs q(w) that differ from the start."""
    return _largest(frame, "flipped", "flips", "largest fraction of signs that differ from the start")


@reads("activation_change")
def activation_changes(frame: pd.DataFrame) -> list[AgainstWidth]:
    """Largest fraction of the m n activations 1[z_r(x_i) >= 0] that differ from the start."""
    return _largest(frame, "activation_change", "changed", "largest fraction of activations that differ from the start")


@reads("radius")
def movement(frame: pd.DataFrame) -> list[AgainstWidth]:
    """`R = max_t max_r norm(w_r(t) - w_r(0))` (D25, Claim I.5), whose bound falls like m^-1/2."""
    return _largest(frame, "radius", "radius R", "largest distance a neuron's weights move")


@reads("lambda_min")
def kernel_shift(frame: pd.DataFrame) -> list[AgainstWidth]:
    """`min_t lambda_min(H(t)) / lambda_min(H(0))`: D25's Lemma G.5 needs at least 1/2. No exponent is fitted."""

    def ratio(cell: pd.DataFrame) -> float:
        recorded = recorded_steps(cell).sort_values("step")
        values = recorded["lambda_min"].to_numpy(dtype=np.float64)
        start = float(values[0])
        return float(np.min(values)) / start if start > 0 else float("nan")

    return per_cell(frame, "lambda ratio", "smallest lambda_min(H(t)) / lambda_min(H(0))", ratio, fit=False)


def _largest(frame: pd.DataFrame, column: str, quantity: str, meaning: str) -> list[AgainstWidth]:
    return per_cell(frame, quantity, meaning, lambda cell: float(np.nanmax(cell[column].to_numpy(dtype=np.float64))))
