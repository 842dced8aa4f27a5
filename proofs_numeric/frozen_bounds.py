r"""Explicit constants of theorem 3 (docs/theorems.md): 1-bit networks whose backward patterns are frozen at the start.

Scale ``std``, d >= 3. The n training inputs have norm 1 and the matrix X of them spectral norm Lambda; R is in the ball
of radius B of R^n. A neuron moves by v = epsilon g_R(w), epsilon = kappa/sqrt m, |v| <= rho = kappa Lambda B/sqrt m.

    sigma(rho)  = 2 sqrt(2 p_0 rho + (2/pi) d rho^2/sqrt(1 - 2/d)) + 2 sqrt 2 rho      lemma B: rms change of an output
    pi(u, b)    = 4 p_0 u + (n + 1.2) b^2                          lemma C: a weight within u of its moved threshold
    C_b         = 7 + 7.3 d + 1.2 n sqrt d + 2.3 d^1.5             lemma D: norm of the mean's second order over rho^2

They hold for rho + u <= 1/2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ntk1bit.errors import InputError
from ntk1bit.kernels.effective import threshold_density


def largest_change(dim: int, rho: float) -> float:
    """Return sigma(rho), which bounds the root mean square change of relu(z(x; w)) under moves of length rho."""
    near = 2 * threshold_density(dim) * rho + 2 / math.pi * dim * rho**2 / math.sqrt(1 - 2 / dim)
    return 2 * math.sqrt(near) + 2 * math.sqrt(2) * rho


def window_probability(dim: int, n: int, u: float, reach: float) -> float:
    """Return pi(u, reach), which bounds P[|c_k - epsilon a <g_R, e_k - 1/d>| <= u], reach = rho + u."""
    return 4 * threshold_density(dim) * u + (n + 1.2) * reach**2


def second_order(dim: int, n: int) -> float:
    """Return C_b: the mean change of relu(z(x; w)) is off epsilon (smooth + flips) R by at most C_b rho^2."""
    return 7 + 7.3 * dim + 1.2 * n * math.sqrt(dim) + 2.3 * dim**1.5


@dataclass(frozen=True)
class FrozenBounds:
    """Bounds of theorem 3 on Phi_m(R) - f_0 + K_eff R for all R in a ball, with probability 1 - delta.

    Attributes
    ----------
    n, dim, width
        Numbers of training inputs, features and neurons; d >= 3.
    kappa
        Output scale.
    spectral
        Lambda, the largest singular value of X.
    radius
        B > 0, of the ball of R.
    inputs
        Number of inputs at which the bound holds at once, training inputs and others.
    delta
        Failure probability of each of the two bounds.

    Raises
    ------
    InputError
        If the width is so small that rho + 1/m > 1/2, where nothing is proved, or d < 3.
    """

    n: int
    dim: int
    width: int
    kappa: float
    spectral: float
    radius: float
    inputs: int
    delta: float

    def __post_init__(self) -> None:
        """Refuse what the theorem does not speak of."""
        if self.dim < 3:
            raise InputError(f"theorem 3 needs d >= 3, got d = {self.dim}")
        if self._reach > 0.5:
            raise InputError(f"theorem 3 needs rho + 1/m <= 1/2, got {self._reach:.3g}; take a larger width")

    @property
    def rho(self) -> float:
        """The furthest that a neuron moves."""
        return self.kappa * self.spectral * self.radius / math.sqrt(self.width)

    @property
    def _reach(self) -> float:
        return self.rho + 1 / self.width

    @property
    def _scale(self) -> float:
        """The largest s of all neurons, but for a probability of delta/(4 m)."""
        return 1 + math.sqrt(2 * math.log(4 * self.width**2 / self.delta) / self.dim)

    def _log_net(self, times: int, events: float) -> float:
        """Return log of the number of points (or pairs) of the net, and of what may fail at each, over delta."""
        points = self.n * math.log1p(2 * self.rho * self.width)
        return times * points + math.log(events * self.inputs / self.delta)

    @property
    def leading(self) -> float:
        """The term of order m^-1/4 sqrt(log m)."""
        return self.kappa * largest_change(self.dim, self.rho) * math.sqrt(2 * self._log_net(1, 8))

    @property
    def bias(self) -> float:
        """What the mean is off by: order m^-1/2."""
        return self.kappa * math.sqrt(self.width) * self.rho**2 * second_order(self.dim, self.n)

    def _cell(self, log_net: float) -> float:
        """Return how far Phi_m(R) + K_eff R may change within a cell of the net."""
        count = 1.5 * self.width * window_probability(self.dim, self.n, 1 / self.width, self._reach) + 8 / 3 * log_net
        root = math.sqrt(self.dim)
        crossed = 2 * (self._scale + self.rho / root) * root * count
        return self.kappa * (crossed + 2 * math.sqrt(2) + root) / math.sqrt(self.width)

    @property
    def deviation(self) -> float:
        """Bound on |Phi_m(R)(x) - f_0(x) + K_eff(x, X) R|, for all R of the ball and all inputs named."""
        log_net, root = self._log_net(1, 8), math.sqrt(self.width)
        sigma = largest_change(self.dim, self.rho)
        most = 2 * self._scale * math.sqrt(self.dim) + 2 * math.sqrt(2) * self.rho
        rest = self.kappa * (most * log_net / 3 + sigma / 2) / root
        return self.leading + rest + self.bias + self._cell(log_net)

    def modulus(self, distance: float) -> float:
        """Bound |Phi_m(R) - Phi_m(R') + K_eff (R - R')| for all R, R' of the ball that far apart or less."""
        u = (self.kappa * self.spectral * distance + 2 / math.sqrt(self.width)) / math.sqrt(self.width)
        reach, scale = self.rho + min(u, 2 * self.rho), self._scale
        if reach > 0.5:
            return math.inf
        near = 4 * threshold_density(self.dim) * u * (1 + 1.3 * reach) ** 2
        near += (scale + self.rho) ** 2 * (self.n + 1.2) * reach**2 + 1.11 * self.dim * reach**2 * (1 + reach) ** 2
        sigma = math.sqrt(2) * (2 * math.sqrt(near) + math.sqrt(2) * u)
        log_net, root = self._log_net(2, 8), math.sqrt(self.width)
        most = 4 * (scale + self.rho) * math.sqrt(self.dim) + 2 * math.sqrt(2) * u
        rest = (most * log_net / 3 + largest_change(self.dim, self.rho)) / root
        return self.kappa * (sigma * math.sqrt(2 * log_net) + rest) + 2 * self.bias + 2 * self._cell(log_net)
