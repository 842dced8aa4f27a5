r"""Two opposite inputs: an instance in which the oscillation of 1-bit training never ends, solved in closed form.

Inputs x and -x with mean_k x_k = 0, targets y_1 and y_2, a ``paired`` start. As <1, x> = 0, a pre-activation on -x is
minus that on x: each neuron sees one of the inputs, and a flip that changes the sign of z switches it to the other. In
the mean field (`kernels.mean_fields`), with r the residuals, S = r_1 + r_2, A = r_1 - r_2, k = K_eff(x, x) - C/2 and

    C = kappa^2 p_0 sum_k |x_k| E[z^+; z^+ > 0 > z^-],        z^+- at q_k = +-sign(x_k), given c_k = 0

(flips that switch the input), all types that switch are one relay in tau/(kappa |x_k|): it is pushed by -a eta r_1
above its threshold and by a eta r_2 below, and what it moves cancels in S:

    S_{t+1} = (1 - eta k) S_t,          A_{t+1} = (1 - eta k) A_t + C (dN^+ - dN^-),

dN^a the length that comes up through the threshold in a step, for a = +-1. S falls to 0. While it does, both sides of
the relay of one a approach each other by eta |S| a step, |y_1 + y_2|/k in all: this length is swept to the threshold.
**Capture.** If A alternates then, r_1 = -r_2 = A/2 pushes both sides of a relay the same way, by eta |A|/2, and all
that was swept there crosses at every step, together with eta |A|/2 of the untouched line beside it. A two-cycle A, -A
needs (2 - eta k) |A| = C (|y_1 + y_2|/k + eta |A|/2), hence

    |A*| = (C |y_1 + y_2|/k)/(2 - eta K_eff(x, x)):

of the size of the targets at any width, and finite as eta -> 0. With y_1 = y_2 the recursion stays at A = 0, where it
is descent with k, if nothing disturbs it; whatever does, such as a network's noise, sets it off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from ntk1bit.arguments import kappa as checked_kappa
from ntk1bit.arguments import number, real_array, whole
from ntk1bit.errors import InputError, require_choice
from ntk1bit.kernels.effective import LEAST_SAMPLES, effective_ntk, threshold_density
from ntk1bit.kernels.limits import checked_sampling, chunks
from ntk1bit.kernels.mean_fields import both_sides, move_points
from ntk1bit.networks.quantizers import SCALES, Scale
from ntk1bit.printing import record

_STREAM = 0x34  # keeps these draws apart from those of kernels at the same seed


@dataclass(frozen=True)
class OppositeInputs:
    """What decides training on x and -x at infinite width.

    Attributes
    ----------
    k_eff
        K_eff(x, x).
    switching
        C, what flips that switch the input add to it.
    h
        The limit of H(0) on x and x, whose inverse is the unit of eta_rel.
    k_eff_error, switching_error
        Standard errors of the first two.
    """

    k_eff: float
    switching: float
    h: float
    k_eff_error: float
    switching_error: float

    def __repr__(self) -> str:
        """Describe what it holds in at most ten lines: arrays by shape and range."""
        return record(self)

    def amplitude(self, y: tuple[float, float], *, eta: float) -> float:
        """Return |A*|, the difference of both residuals in the two-cycle, for targets y and the learning rate eta."""
        first, second = y
        return self.switching * abs(first + second) / (self.k_eff - self.switching / 2) / (2 - eta * self.k_eff)

    def residuals(
        self, y: tuple[float, float], *, eta: float, steps: int, points: int = 200_000
    ) -> Float[np.ndarray, "t 2"]:
        """Compute both residuals after 0..`steps` steps by the recursion, with `points` of tau to max |y|/k.

        Raises
        ------
        InputError
            If eta is not positive, or `steps` or `points` no whole number >= 1.
        """
        eta = number("eta", eta, allowed="a positive number", above=0.0)
        steps = whole("steps", steps, allowed="a whole number, 1 or more", least=1)
        points = whole("points", points, allowed="a whole number, 1 or more", least=1)
        k = self.k_eff - self.switching / 2
        room = 4 * points
        while True:
            found = self._residuals(y, eta, k, steps, points, room)
            if found is not None:
                return found
            room *= 2

    def _residuals(
        self, y: tuple[float, float], eta: float, k: float, steps: int, points: int, room: int
    ) -> Float[np.ndarray, "t 2"] | None:
        spacing = np.full(1, max(abs(y[0]), abs(y[1]), np.finfo(np.float32).tiny) / k / points, np.float64)
        above = np.full((1, 2), 0.5) * spacing
        below = above - spacing
        free, counts = np.empty((1, 2, room)), np.zeros((1, 2), np.int64)
        moved, net = np.zeros((1, 2), np.int64), np.zeros(1)
        found = np.empty((steps + 1, 2))
        found[0] = -np.asarray(y)
        for step in range(steps):
            before = float(net[0])
            first, second = found[step]
            pushed = np.array([-eta * first]), np.array([eta * second])
            if not move_points(free, counts, moved, above, below, spacing, *pushed, net):
                return None
            total = (1 - eta * k) * (first + second)
            apart = (1 - eta * k) * (first - second) + self.switching * (float(net[0]) - before)
            found[step + 1] = (total + apart) / 2, (total - apart) / 2
        return found


def opposite_inputs(
    x: Float[np.ndarray, " d"] | ArrayLike,
    *,
    kappa: float = 1.0,
    scale: Scale = "std",
    samples: int = 1_000_000,
    seed: int = 0,
) -> OppositeInputs:
    """Estimate what decides training on x and -x, by Monte Carlo over neurons.

    Parameters
    ----------
    x
        (d,), with mean 0 and d >= 3: at d = 2 both signs of a neuron flip together.
    kappa, scale
        As in `networks.two_layer.outputs`.
    samples
        Neurons drawn, >= 64.
    seed
        Non-negative integer.

    Raises
    ------
    InputError
        If x is no such vector, an option is unknown, or a number is out of range.
    """
    require_choice("scale", scale, SCALES)
    kappa = checked_kappa(kappa)
    samples, seed = checked_sampling(samples, seed, least=LEAST_SAMPLES)
    row = real_array("x", x).astype(np.float64)
    if row.ndim != 1 or len(row) < 3 or not np.isfinite(row).all() or not np.abs(row).max() > 0:
        raise InputError(f"x must be one input of 3 or more finite features, not all 0, got shape {row.shape}")
    if abs(row.mean()) > 1e-6 * np.abs(row).max():  # float32's rounding of a mean that was taken off
        raise InputError(f"x must have mean 0, so that a neuron's z changes sign with it; its mean is {row.mean():.3g}")
    dim = len(row)
    k_eff = effective_ntk(row[None], kappa=kappa, scale=scale, samples=samples, seed=seed)
    rng = np.random.default_rng([seed, _STREAM, dim])
    values = []
    for size in chunks(samples, bytes_each=8 * 6 * dim):
        k = (rng.integers(dim) + np.arange(size)) % dim
        plus, minus = (z[:, 0] for z in both_sides(rng.standard_normal((size, dim)), k, row[None], scale=scale))
        high, low = np.maximum(plus, minus), np.minimum(plus, minus)
        values.append(np.abs(row[k]) * np.where((high > 0) & (low < 0), high, 0))
    each = np.concatenate(values) * kappa**2 * dim * threshold_density(dim)
    return OppositeInputs(
        float(k_eff.value[0, 0]),
        float(each.mean()),
        0.5 * kappa**2 * float(row @ row),
        float(k_eff.standard_error[0, 0]),
        float(each.std(ddof=1) / np.sqrt(samples)),
    )
