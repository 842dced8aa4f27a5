"""Two-layer networks on inputs in pairs, whose kernel's least eigenvalue is set by an angle (D25, Thm 4.2, Prop. 4.3).

Theorem 4.2 asks for a width lambda^-8 n^12 d^8/(delta eps)^4, and on most data lambda changes with n and d. Here each
of the three is set alone. Let e_1, g_1, e_2, g_2, ... be orthonormal, and x = cos(theta/2) e_j +- sin(theta/2) g_j, so
that the two inputs of a pair are at the angle theta and all pairs orthogonal. The limiting kernel

    H'_ij = kappa^2 <x_i, x_j> (pi - theta_ij)/(2 pi)

then has one block a pair, with the eigenvalues kappa^2 (1/2 -+ cos(theta)(pi - theta)/(2 pi)), n/2 times each. The
targets of a pair are +1 and -1, which lie along the smaller one: the residual of a network that starts at f = 0 is an
eigenvector of lambda_min.

Networks of several seeds are trained side by side in NumPy: they are so small that a step of one costs mostly its call.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.arguments import kappa as checked_kappa
from ntk1bit.cores.threads import single_threaded_blas
from ntk1bit.errors import InputError, require_choice
from ntk1bit.experiments.experiment import Experiment
from ntk1bit.networks.quantizers import effective_weights
from ntk1bit.networks.two_layer import INITS
from ntk1bit.networks.two_layer.descent import DIVERGED_AT

THEOREM = 0.0  # for `eta_rel`: the rate of Theorem 4.2, with the constant 1
_STREAM = 0x61  # keeps these draws apart from others at the same seed


@dataclass(frozen=True)
class InputPairs(Experiment):
    """1-bit networks on n inputs in pairs at one angle, one for each seed, for the steps that Theorem 4.2 names.

    Attributes
    ----------
    n_train, dim
        n, even, and d, at least n.
    angle
        theta, in radians, above 0 and at most pi/2.
    width, init, kappa
        m, ``"iid"`` or ``"paired"`` (even m), and the output scale.
    seeds
        One network each; a seed draws the pairs, the signs of their targets, and the network.
    eta_rel
        eta in units of 1/lambda_max(H'); `THEOREM` for eta = lambda delta/(kappa^2 n^2 d D).
    eps, delta
        Of the theorem: T = log(n d D^2/eps)/(eta lambda) steps are taken, rounded up, with the constant 1 and
        D = max(sqrt(log(m d/delta)), 1).

    Raises
    ------
    InputError
        If a setting is out of range.
    """

    KIND: ClassVar[str] = "input-pairs"

    n_train: int
    dim: int
    angle: float
    width: int
    seeds: tuple[int, ...]
    init: str = "iid"
    eta_rel: float = 0.125
    eps: float = 0.01
    delta: float = 0.1
    kappa: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn or trained."""
        super().__post_init__()
        require_choice("init", self.init, INITS)
        checked_kappa(self.kappa)
        if self.n_train < 2 or self.n_train % 2 or self.n_train > self.dim:
            raise InputError(
                f"pairs need an even n_train of at least 2 and at most dim, got n_train={self.n_train}, dim={self.dim}"
            )
        if not 0 < self.angle <= math.pi / 2:
            raise InputError(f"angle must be above 0 and at most pi/2, got {self.angle}")
        if self.width < 2 or self.width % 2:
            raise InputError(f"width must be even and at least 2, got {self.width}")
        if not (math.isfinite(self.eta_rel) and self.eta_rel >= 0):
            raise InputError(f"eta_rel must be a number of at least 0, got {self.eta_rel}")
        for name in ("eps", "delta"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"{name} must be between 0 and 1, got {getattr(self, name)}")

    @property
    def label(self) -> str:
        """Its width."""
        return f"pairs of inputs, width {self.width}"

    @property
    def eigenvalues(self) -> tuple[float, float]:
        """lambda_min and lambda_max of the limiting kernel H'."""
        off = math.cos(self.angle) * (math.pi - self.angle) / (2 * math.pi)
        return self.kappa**2 * (0.5 - off), self.kappa**2 * (0.5 + off)

    @property
    def log_factor(self) -> float:
        """D25's D, with the constant 1."""
        return max(math.sqrt(math.log(self.width * self.dim / self.delta)), 1.0)

    @property
    def eta(self) -> float:
        """The learning rate."""
        lowest, largest = self.eigenvalues
        if self.eta_rel == THEOREM:
            return lowest * self.delta / (self.kappa**2 * self.n_train**2 * self.dim * self.log_factor)
        return self.eta_rel / largest

    @property
    def steps(self) -> int:
        """T of the theorem."""
        asked = math.log(self.n_train * self.dim * self.log_factor**2 / self.eps)
        return math.ceil(asked / (self.eta * self.eigenvalues[0]))

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        return self.steps * (1.5e-4 + 7e-9 * self.width * self.dim * len(self.seeds))

    def run(self, scratch: Path) -> pd.DataFrame:  # noqa: ARG002 - it needs no checkpoint
        """Compute the result.

        Returns
        -------
        A row per seed: `lambda_min`, `lambda_max` of H'; `learning_rate`; `steps_taken`, T; `loss_start`; `loss_end`,
        L(T); `level`, the mean loss over the last tenth of the steps; `tenth` and `hundredth`, the steps after which
        the loss is first at most that share of its start, interpolated in log L, NaN if it never is; `diverged`,
        whether the loss became NaN or 1e6 times its start.
        """
        drawn = [self._draw(seed) for seed in self.seeds]
        x, y, w, a = (np.stack(parts) for parts in zip(*drawn, strict=True))
        losses = np.empty((self.steps + 1, len(self.seeds)))
        with single_threaded_blas():
            for step in range(self.steps + 1):
                losses[step] = descend(w, a, x, y, eta=self.eta, kappa=self.kappa)
        lowest, largest = self.eigenvalues
        last = -max(1, self.steps // 10)
        with np.errstate(invalid="ignore"):
            fine = (losses <= DIVERGED_AT * losses[0]).all(axis=0)
        return pd.DataFrame(
            {
                "seed": self.seeds,
                "lambda_min": lowest,
                "lambda_max": largest,
                "learning_rate": self.eta,
                "steps_taken": self.steps,
                "loss_start": losses[0],
                "loss_end": losses[-1],
                "level": losses[last:].mean(axis=0),
                "tenth": [crossing(loss, 0.1) for loss in losses.T],
                "hundredth": [crossing(loss, 0.01) for loss in losses.T],
                "diverged": ~fine,
            }
        )

    def _draw(self, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Draw inputs (n, d), targets (n,), weights (m, d) and signs (m,) in float32."""
        rng = np.random.default_rng([seed, _STREAM])
        basis = np.linalg.qr(rng.standard_normal((self.dim, self.n_train)))[0].T
        along, across = math.cos(self.angle / 2) * basis[::2], math.sin(self.angle / 2) * basis[1::2]
        signs = np.where(rng.random(self.n_train // 2) < 0.5, -1.0, 1.0)
        x, y = np.concatenate([along + across, along - across]), np.concatenate([signs, -signs])
        rng = np.random.default_rng([seed, _STREAM, self.width])
        count = self.width // 2 if self.init == "paired" else self.width
        w, a = rng.standard_normal((count, self.dim)), np.where(rng.random(count) < 0.5, -1.0, 1.0)
        if self.init == "paired":
            w, a = np.concatenate([w, w]), np.concatenate([a, -a])
        return x.astype(np.float32), y.astype(np.float32), w.astype(np.float32), a.astype(np.float32)


def descend(
    w: Float[np.ndarray, "s m d"],
    a: Float[np.ndarray, "s m"],
    x: Float[np.ndarray, "s n d"],
    y: Float[np.ndarray, "s n"],
    *,
    eta: float,
    kappa: float,
) -> Float[np.ndarray, " s"]:
    """Take one step of straight-through descent of each of s 1-bit networks in place; return their losses before it.

    The plain form of `networks.two_layer.descent` (D25, Lemma F.3), for many small networks at once.
    """
    scale = kappa / math.sqrt(w.shape[1])
    z = effective_weights(w.reshape(-1, w.shape[2])).reshape(w.shape) @ x.swapaxes(1, 2)
    active = z >= 0
    residual = scale * np.matmul(a[:, None], z * active)[:, 0] - y
    w -= (eta * scale * a[:, :, None]).astype(w.dtype) * ((active * residual[:, None]) @ x)
    return 0.5 * (residual.astype(np.float64) ** 2).sum(axis=1)


def crossing(loss: Float[np.ndarray, " t"], share: float) -> float:
    """Return after how many steps the loss is first at most `share` of its start, interpolated in log L; else NaN."""
    below = np.flatnonzero(loss <= share * loss[0])
    if not len(below):
        return math.nan
    after = int(below[0])
    if after == 0 or not loss[after] > 0:
        return float(after)
    high, low = math.log(loss[after - 1]), math.log(loss[after])
    return after - (math.log(share * loss[0]) - low) / (high - low)
