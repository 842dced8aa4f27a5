r"""The four terms of one descent step: L(t+1) = L(t) + C1 + C2 + C3 + C4, exactly (D25, Claim H.2).

With r = f(X) - y, L = 1/2 norm(r)^2 and Delta f = f_{t+1}(X) - f_t(X),

    L(t+1) - L(t) = <r, Delta f> + 1/2 norm(Delta f)^2.

The straight-through estimator believes that a step dw_j moves the pre-activation z_j(x_i) by delta_ji =
<dw_j, x_i>, and the output accordingly by kappa/sqrt(m) a_j 1[z_j >= 0] delta_ji. Call neuron j *switched* on x_i when
its activation differs before and after the step. Then, all sums over inputs i and neurons j,

    C1 = sum r_i kappa/sqrt(m) a_j 1[z >= 0] delta          over neurons that did not switch on x_i
    C2 = the same                                           over neurons that switched
    C3 = sum r_i kappa/sqrt(m) a_j {relu(z') - relu(z) - 1[z >= 0] delta}     all that the estimator does not see
    C4 = 1/2 norm(Delta f)^2.

Two consequences are checked here rather than assumed: C1 + C2 = -eta r^T H(t) r, H being the kernel computed
from activation bits, and the sum of the four equals the change of a loss that is evaluated anew from the moved weights.
In full precision z' = z + delta, so C3 comes from switched neurons alone; in 1-bit precision the quantiser contributes
too. D25 splits otherwise (p. 34): its C2 has the neurons that *could* switch within a radius R, its C3 the change of
the part of u; those are `experiments.step_within_ball.ball_terms`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from ntk1bit.arguments import kappa as checked_kappa
from ntk1bit.arguments import number
from ntk1bit.errors import InputError
from ntk1bit.networks.quantizers import Scale
from ntk1bit.networks.two_layer.network import (
    Precision,
    Weights,
    blocks,
    checked_inputs,
    checked_targets,
    coactive_counts,
    outputs_reference,
    preactivations,
    require_network,
)
from ntk1bit.printing import record

_BLOCK = 1024  # neurons; with n = 256 inputs each float64 array of pre-activations is 2 MB


class StepTerms(NamedTuple):
    """One descent step taken apart; all float64, in units of the loss.

    Attributes
    ----------
    c1, c2, c3, c4
        The terms of this module's text.
    c3_switched
        The part of C3 on neurons that switched; the rest is the quantiser's on neurons that did not.
    unit
        eta r^T H r, by which the terms are usually divided; C1 + C2 = -unit.
    loss, loss_after
        L(t), and L(t+1) evaluated from the moved weights.
    """

    c1: float
    c2: float
    c3: float
    c4: float
    c3_switched: float
    unit: float
    loss: float
    loss_after: float

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)

    @property
    def identity_error(self) -> float:
        """abs(L(t+1) - L(t) - (C1 + C2 + C3 + C4)) / L(t): zero but for rounding."""
        return abs(self.loss_after - self.loss - (self.c1 + self.c2 + self.c3 + self.c4)) / self.loss

    @property
    def kernel_error(self) -> float:
        """abs(C1 + C2 + eta r^T H r) / (eta r^T H r): zero but for rounding."""
        return abs(self.c1 + self.c2 + self.unit) / self.unit


def step_terms(
    x: Float[np.ndarray, "n d"] | ArrayLike,
    y: Float[np.ndarray, " n"] | ArrayLike,
    weights: Weights,
    *,
    eta: float,
    precision: Precision = "one_bit",
    kappa: float = 1.0,
    scale: Scale = "std",
) -> StepTerms:
    """Take one straight-through step from `weights` in float64 and return its four terms; nothing is modified.

    Parameters
    ----------
    x, y
        Training inputs (n, d) and targets (n,).
    weights
        The network, of any float dtype; cast to float64.
    eta
        Learning rate, absolute (a `Trajectory.eta`).
    precision, kappa, scale
        As in `ntk1bit.networks.two_layer.outputs`.

    Raises
    ------
    InputError
        If shapes do not match, inputs are not finite, eta is not positive, or the network already fits exactly (the
        terms are then all zero and have no ratio).
    """
    eta = number("eta", eta, allowed="a positive number", above=0.0)
    kappa = checked_kappa(kappa)
    require_network(weights)
    wide = Weights(weights.w.astype(np.float64), weights.a.astype(np.float64))
    x = checked_inputs(x, wide, precision=precision, scale=scale)
    y = checked_targets(y, x.shape[0])
    options: dict[str, Any] = {"precision": precision, "kappa": kappa, "scale": scale}
    factor = kappa / np.sqrt(wide.width)
    r = outputs_reference(x, wide, **options) - y
    loss = 0.5 * float(r @ r)
    if not loss > 0:
        raise InputError("the network fits its targets exactly, so a step has no terms")

    xt = np.ascontiguousarray(x.T)
    active = np.empty((wide.width, x.shape[0]), dtype=bool)
    moved = np.empty_like(wide.w)
    linear, linear_switched, unseen, unseen_switched = np.zeros((4, x.shape[0]))
    for block in blocks(slice(0, wide.width), _BLOCK):
        w, signed = wide.w[block], factor * wide.a[block]
        before = preactivations(w, xt, precision=precision, scale=scale)
        on = active[block] = before >= 0
        move = (-eta * signed)[:, None] * (on @ (r[:, None] * x))
        moved[block] = w + move
        after = preactivations(moved[block], xt, precision=precision, scale=scale)
        delta = np.where(on, move @ xt, 0.0)
        rest = np.maximum(after, 0) - np.maximum(before, 0) - delta
        switched = (after >= 0) != on
        linear += signed @ delta
        linear_switched += signed @ (delta * switched)
        unseen += signed @ rest
        unseen_switched += signed @ (rest * switched)
    change = linear + unseen
    kernel = factor**2 * (x @ x.T) * coactive_counts(active)
    r_after = outputs_reference(x, Weights(moved, wide.a), **options) - y
    return StepTerms(
        c1=float(r @ (linear - linear_switched)),
        c2=float(r @ linear_switched),
        c3=float(r @ unseen),
        c4=0.5 * float(change @ change),
        c3_switched=float(r @ unseen_switched),
        unit=eta * float(r @ kernel @ r),
        loss=loss,
        loss_after=0.5 * float(r_after @ r_after),
    )
