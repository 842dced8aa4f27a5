"""Experiments on initial networks and the ball of radius R around their weights: D25's lemmas at R > 0.

D25's lemmas on the kernel and on a step (G.5, H.3 to H.6, I.2) need R <= O(lambda delta/(kappa^2 n^2 d D)) and a rate
of the same form. Here

    unit = lambda delta/(64 kappa^2 n^2 d D),  D = max(sqrt(log(m d/delta)), 1),  kappa = 1,

lambda being lambda_min(H(0)) of the network: with 1/64 the constants of the lemmas' own steps (8, see
`proofs_numeric.step_in_ball`) make the error of Lemma H.3 an eighth of eta lambda, which is what the proof of Lemma I.2
takes. Radii and rates are multiples of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from ntk1bit.data import tasks
from ntk1bit.experiments.experiment import Experiment
from ntk1bit.networks import two_layer
from ntk1bit.networks.quantizers import centred_scale, effective_weights
from ntk1bit.networks.two_layer.network import coactive_counts, preactivations
from ntk1bit.networks.two_layer.pattern_changes import pattern_changes

_STREAM = 0x5B  # keeps these draws apart from others at the same seed
FAILURE = 0.05  # delta
SHARE = 64  # the constant in `unit`
_EXTREME = 4  # neurons per network, by each of four measures, whose balls are searched
_ASCENT = 8  # steps of that search


def log_factor(width: int, dim: int) -> float:
    """Return D25's D = max(sqrt(log(m d/delta)), 1) at delta = 0.05, its free constant being 1 (Def. B.16)."""
    return max(float(np.sqrt(np.log(width * dim / FAILURE))), 1.0)


def unit(lambda_min: float, *, n: int, width: int, dim: int) -> float:
    """Return lambda delta/(64 n^2 d D), the radius and the rate of the lemmas at kappa = 1."""
    return lambda_min * FAILURE / (SHARE * n**2 * dim * log_factor(width, dim))


def sphere(n: int, dim: int, seed: int) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, " n"]]:
    """Return inputs and targets in float64."""
    task = tasks.load("sphere-linear", n_train=n, n_test=0, seed=seed, dim=dim)
    return task.x.astype(np.float64), task.y.astype(np.float64)


@dataclass(frozen=True)
class WeightsInBall(Experiment):
    """Search the balls of several radii around initial weights for the largest weights, moments and u(w).

    Attributes
    ----------
    dim, width
        Of the networks.
    radii
        R, of each neuron's ball.
    draws
        Networks.
    """

    KIND: ClassVar[str] = "weights-in-ball"

    dim: int
    width: int
    radii: tuple[float, ...]
    draws: int

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        return self.draws * (0.01 + 5e-8 * self.dim * self.width)

    def run(self, scratch: Path) -> pd.DataFrame:  # noqa: ARG002 - it needs no checkpoint
        """Compute the result.

        Returns
        -------
        A row per draw and radius. At the start: `start_weight` max|w_rk|, `start_norm` max norm(w_r), `start_mean`
        max|mu_r|, `start_std` max s_r. Over the ball, evaluated at moved weights: `norm`, `mean`, `std` at the worst
        moves there are (along w, along 1, along w - mu), and `u`, the largest norm(u(w)) = max_x |<u(w), x>| that
        gradient ascent finds from two starts. `beyond`: searched weights of another |mu|, s, norm(w) or norm(u) than
        the closed forms allow, `searched` in all; these are |mu| + R/sqrt d, s + R/sqrt d, norm(w) + R and
        sqrt(2 d) s + sqrt(2) R.
        """
        found = []
        for seed in range(self.draws):
            w = two_layer.init(self.width, self.dim, seed=seed).w.astype(np.float64)
            c, s, mu = centred_scale(w)
            norms = np.linalg.norm(w, axis=1)
            u = np.linalg.norm(difference(w), axis=1)
            extreme = np.unique(np.concatenate([np.argsort(-one)[:_EXTREME] for one in (norms, np.abs(mu), s, u)]))
            at = w[extreme]
            start = {
                "seed": seed,
                "start_weight": float(np.abs(w).max()),
                "start_norm": float(norms.max()),
                "start_mean": float(np.abs(mu).max()),
                "start_std": float(s.max()),
            }
            rng = np.random.default_rng([seed, _STREAM, self.width, self.dim])
            aside = np.copysign(1.0, mu[extreme])[:, None] * np.ones(self.dim)
            directions = np.stack([at, aside, c[extreme], rng.standard_normal(at.shape)])
            radii = np.array(self.radii)[:, None, None, None]  # (radii, directions, neurons, d)
            centre = np.broadcast_to(at, (len(radii), len(directions), *at.shape))
            places = centre + _of_length(np.broadcast_to(directions, centre.shape), radii)
            places = np.concatenate([places, ascend(places[:, 2:], centre[:, 2:], radii)], axis=1)
            seen = moments(places)  # (4, radii, places, neurons)
            room = radii[..., 0] / np.sqrt(self.dim)
            most = (
                norms[extreme] + radii[..., 0],
                np.abs(mu[extreme]) + room,
                s[extreme] + room,
                np.sqrt(2 * self.dim) * s[extreme] + np.sqrt(2) * radii[..., 0],
            )
            beyond = np.any([one > limit * (1 + 1e-12) for one, limit in zip(seen, most, strict=True)], axis=0)
            for k, radius in enumerate(self.radii):
                found.append(
                    start
                    | {"radius": radius, "beyond": int(beyond[k].sum()), "searched": beyond[k].size}
                    | dict(zip(("norm", "mean", "std", "u"), seen[:, k].max(axis=(1, 2)).tolist(), strict=True))
                )
        return pd.DataFrame(found)


def difference(w: Float[np.ndarray, "... d"]) -> Float[np.ndarray, "... d"]:
    """Return the quantisation difference u(w) = s q + mu 1 - w (D25, Def. D.6)."""
    rows = w.reshape(-1, w.shape[-1])
    return (effective_weights(rows) - rows).reshape(w.shape)


def moments(w: Float[np.ndarray, "... d"]) -> Float[np.ndarray, "4 ..."]:
    """Return norm(w), |mu|, s and norm(u(w)) of each neuron."""
    _, s, mu = centred_scale(w.reshape(-1, w.shape[-1]))
    lengths = [np.linalg.norm(one, axis=-1) for one in (w, difference(w))]
    return np.stack([lengths[0], np.abs(mu).reshape(w.shape[:-1]), s.reshape(w.shape[:-1]), lengths[1]])


def ascend(
    start: Float[np.ndarray, "... d"], centre: Float[np.ndarray, "... d"], radius: float | np.ndarray
) -> Float[np.ndarray, "... d"]:
    """Return the best of 8 steps of projected gradient ascent on norm(u(w)) in the balls, from `start`.

    norm(u)^2/2 = norm(c)^2 - norm(c) norm_1(c)/sqrt(d) (Lemma D.7's identity).
    """
    w, dim = start, start.shape[-1]
    best, size = start, np.linalg.norm(difference(start), axis=-1)
    for _ in range(_ASCENT):
        c = w - w.mean(axis=-1, keepdims=True)
        norm = np.maximum(np.linalg.norm(c, axis=-1, keepdims=True), 1e-300)
        absolute = np.abs(c).sum(axis=-1, keepdims=True)
        up = 2 * c - (absolute * c / norm + norm * np.where(c >= 0, 1.0, -1.0)) / np.sqrt(dim)
        up -= up.mean(axis=-1, keepdims=True)
        w = centre + _of_length(w - centre + _of_length(up, radius), radius)
        now = np.linalg.norm(difference(w), axis=-1)
        best, size = np.where((now > size)[..., None], w, best), np.maximum(now, size)
    return best


def _of_length(move: Float[np.ndarray, "... d"], length: float | np.ndarray) -> Float[np.ndarray, "... d"]:
    """Return moves along `move` that have a length, none where it has no direction."""
    norms = np.linalg.norm(move, axis=-1, keepdims=True)
    return length * np.divide(move, norms, out=np.zeros_like(move), where=norms > 0)


@dataclass(frozen=True)
class KernelInBall(Experiment):
    """Enclose how far the kernel of an initial network can move while each neuron stays within R of its start.

    Attributes
    ----------
    dim, width, n_train
        Of networks and inputs (`sphere-linear`).
    multiples
        Radii in units of `unit`.
    draws
        Networks, each with a data set of its own.
    """

    KIND: ClassVar[str] = "kernel-in-ball"

    dim: int
    width: int
    n_train: int
    multiples: tuple[float, ...]
    draws: int

    @property
    def cost(self) -> float:
        """Rough seconds of one processor."""
        return self.draws * len(self.multiples) * (0.01 + 2e-7 * self.dim * self.width)

    def run(self, scratch: Path) -> pd.DataFrame:  # noqa: ARG002 - it needs no checkpoint
        """Compute the result.

        Returns
        -------
        A row per draw and multiple: `radius`; `lambda_min` of H(0); `claimed`, the radius of Claim I.5, 4 sqrt(n)
        norm(F(0) - y)/(lambda sqrt m); `most`, which norm_F(H(W) - H(0)) exceeds for no W in the balls; `reached` and
        `lambda_reached`, norm_F and lambda_min at the W of an adversary that lowers lambda_min neuron by neuron;
        `random`, norm_F at moves of length R in random directions; `share` of pairs (neuron, input) whose activation
        can change, and `undecided`, the share of those for which no move was made.
        """
        found = []
        for seed in range(self.draws):
            x, y = sphere(self.n_train, self.dim, seed)
            inner = x @ x.T / self.width
            start = two_layer.init(self.width, self.dim, seed=seed)
            w = start.w.astype(np.float64)
            on = active(w, x)
            kernel = inner * coactive_counts(on)
            values, vectors = np.linalg.eigh(kernel)
            lowest = float(values[0])
            wide = two_layer.Weights(w, start.a.astype(np.float64))
            residual = float(np.linalg.norm(two_layer.outputs(x, wide) - y))
            rng = np.random.default_rng([seed, _STREAM, self.width, self.dim])
            for multiple in self.multiples:
                radius = multiple * unit(lowest, n=self.n_train, width=self.width, dim=self.dim)
                changes = pattern_changes(w, x, radius)
                kept = ~changes.possible
                touched = self.width - coactive_counts(kept)
                lowered = lowering(on, w, x, changes.pairs[:, 0], changes.moves, vectors[:, 0])
                against = inner * coactive_counts(lowered)
                anyhow = inner * coactive_counts(active(w + _of_length(rng.standard_normal(w.shape), radius), x))
                possible = int(changes.possible.sum())
                found.append(
                    {
                        "seed": seed,
                        "multiple": multiple,
                        "radius": radius,
                        "lambda_min": lowest,
                        "claimed": 4 * float(np.sqrt(self.n_train / self.width)) * residual / lowest,
                        "most": float(np.linalg.norm(inner * touched)),
                        "reached": float(np.linalg.norm(against - kernel)),
                        "lambda_reached": float(np.linalg.eigvalsh(against)[0]),
                        "random": float(np.linalg.norm(anyhow - kernel)),
                        "share": possible / changes.possible.size,
                        "undecided": 1 - len(changes.pairs) / possible if possible else 0.0,
                    }
                )
        return pd.DataFrame(found)


def active(w: Float[np.ndarray, "m d"], x: Float[np.ndarray, "n d"]) -> Bool[np.ndarray, "m n"]:
    """Return the activation patterns of float64 weights."""
    return preactivations(w, np.ascontiguousarray(x.T), precision="one_bit", scale="std") >= 0


def lowering(
    on: Bool[np.ndarray, "m n"],
    w: Float[np.ndarray, "m d"],
    x: Float[np.ndarray, "n d"],
    rows: np.ndarray,
    moves: Float[np.ndarray, "k d"],
    vector: Float[np.ndarray, " n"],
) -> Bool[np.ndarray, "m n"]:
    """Return the patterns after each neuron took the one of its moves that lowers v'Hv most, if one does.

    A neuron of pattern p adds norm(sum_i v_i p_i x_i)^2/m to v'Hv, whatever the others do.
    """
    chosen = on.copy()
    if not len(rows):
        return chosen
    patterns = active(w[rows] + moves, x)
    weighted = vector[:, None] * x
    parts = (np.linalg.norm(one @ weighted, axis=1) ** 2 for one in (on, patterns))
    now, then = parts
    order = np.argsort(then)
    first = order[np.unique(rows[order], return_index=True)[1]]  # each neuron's lowest
    better = first[then[first] < now[rows[first]]]
    chosen[rows[better]] = patterns[better]
    return chosen
