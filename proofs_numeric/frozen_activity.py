r"""T3, T3-lemmas, T3-floor: with patterns frozen at the start, f_t is a function of R_t, close to descent with K_eff.

**Statement.** docs/theorems.md, theorem 3. A network of scale ``std``, d >= 3, whose steps use the activations of the
start, has f_t = Phi_m(R_t), R_t = eta sum over s < t of f_s - y. With probability 1 - delta, for all R of a ball,

    |Phi_m(R)(x) - f_0(x) + K_eff(x, X) R| <= kappa sigma(rho) sqrt(2 log N) + O(m^-1/2 log^1.5 m)

which is O(m^-1/4 sqrt(log m)), with the constants of `frozen_bounds`, N the points of a net. It replaces Lemma 4.1 and
Theorem 4.2 for such training:
the bound is one for all steps, and the loss ends at O(log^2 m (1 + log m/d)/m), whatever eta.

**T3-lemmas.** Its parts, each by itself: A, a pre-activation moves by at most 2 s sum |x_k| over the signs that flip,
plus sqrt 2 norm(v); B, the mean square of that; C, how often a weight lies near its moved threshold; D, the mean.

**Experiment.** n = 3 inputs on the sphere, d = 8, B = 1, ``paired`` starts, float64. The map against steps, at every
step. The largest deviation over random R and over R that a search found for each network, against the bound, and its
power of m. The loss of late steps against m and eta. The lemmas with random and with spiked inputs, over twelve
settings of A to C, four of D, frequencies by exact binomial tests.
"""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.stats import binomtest

from ntk1bit.claims import AtMost, Claim, Count, Evidence, FailureRateBelow, IntervalWithin, NoFailures, Number, Reach
from ntk1bit.claims.measures import against, exponent
from ntk1bit.kernels.effective import effective_ntk
from ntk1bit.networks import two_layer
from ntk1bit.networks.quantizers import effective_weights
from proofs_numeric.data import DELTA, Data
from proofs_numeric.frozen_bounds import FrozenBounds, largest_change, second_order, window_probability
from proofs_numeric.proof import Proof

_N, _DIM, _RADIUS = 3, 8, 1.0
_WIDTH, _NETWORKS, _TRIES = 256, 80, 40  # of the bound: without a failure 80 networks tell a rate below 0.05
_WIDTHS, _SEEDS = (64, 256, 1024, 4096), 6  # of the exponent
_FLOOR_WIDTHS, _RATES, _FLOOR_SEEDS = (64, 256, 1024, 4096), (0.25, 0.5, 1.0), 32
_FLOOR_FIRST = 500  # seeds 0 to 31 were those of runs that the rule on eta was chosen after
_DRAWS = 10_000  # neurons at each setting of a lemma
_CHUNKS, _CHUNK = 10, 100_000  # neurons of lemma D
_EPS = float(np.finfo(np.float64).eps)

CLAIM = Claim(
    id="T3",
    title="frozen patterns: one bound for all R and all steps",
    statement="With backward patterns frozen at the start f_t = Phi_m(R_t), and with probability 1 - delta "
    "|Phi_m(R) - f_0 + K_eff R| <= C m^-1/4 sqrt(log m) for all R of a ball, C explicit.",
    source="ours; in place of D25, Lemma 4.1 and Theorem 4.2",
    assumptions=f"std scale, paired start, n = {_N}, d = {_DIM}, |R| <= {_RADIUS:g}, delta = {DELTA:g}.",
    refuted_by="steps off the map by more than rounding, more networks than delta with some R beyond the bound, or a "
    "largest deviation that falls more slowly than m^-0.2",
    criteria=(
        AtMost("map.off", 1.0),
        FailureRateBelow("outside", DELTA),
        IntervalWithin("deviation.m", high=-0.2),
    ),
    labels={
        "map.off": "largest distance of steps to the map, over rounding",
        "outside": "networks with an R beyond the bound",
        "deviation.m": "exponent in m of the largest deviation",
        "leading.looseness": "leading term of the bound over the largest deviation",
        "looseness": "bound over the largest deviation",
    },
    reach=Reach(looseness="looseness"),
    ranges="rounding by a count of operations; delta, the statement's own; -0.2, four fifths of -1/4, leaves room for "
    "sqrt(log m)",
)
CLAIM_LEMMAS = Claim(
    id="T3-lemmas",
    title="the four lemmas of the frozen bound",
    statement="A: |z(w + v) - z(w)| <= 2 s sum_flipped |x_k| + sqrt 2 |v|. B: its mean square is at most sigma^2. "
    "C: P[a weight within u of its moved threshold] <= pi(u). D: the mean is off K_eff by at most C_b rho^2.",
    source="ours, docs/theorems.md",
    assumptions="std scale, d = 3, 8, 32, random and spiked inputs, moves of 0.02 and 0.2; D with d = 3, 0.002, 0.004.",
    refuted_by="a move of z beyond A, or a setting where B, C or D fails by more than its sampling error allows",
    criteria=(
        NoFailures("lemma.a", 100_000),
        NoFailures("lemma.b", 12),
        NoFailures("lemma.c", 12),
        NoFailures("lemma.d", 4),
    ),
    labels={f"lemma.{one}": f"failures of lemma {one.upper()}" for one in "abcd"}
    | {f"sharp.{one}": f"largest share of the bound reached, lemma {one.upper()}" for one in "bcd"},
    ranges="the lemmas' own; sampling errors at one in ten thousand over all settings",
)
CLAIM_FLOOR = Claim(
    id="T3-floor",
    title="frozen patterns: last loss log^2 m/m at any rate",
    statement="With backward patterns frozen at the start the loss of late steps is O(log^2 m (1 + log m/d)/m), with a "
    "constant free of eta.",
    source="ours, docs/theorems.md",
    assumptions=f"paired start, n = {_N}, d = {_DIM}, m = {_FLOOR_WIDTHS[0]} to {_FLOOR_WIDTHS[-1]}, "
    "eta_rel = 1/4 to 1.",
    refuted_by="a late loss that falls more slowly than log^2 m/m over these widths, or one that grows as eta falls",
    criteria=(
        *(IntervalWithin(f"late.m.{rate:g}", high=-0.66) for rate in _RATES),
        IntervalWithin("late.eta", low=-0.25),
    ),
    labels={
        **{f"late.m.{rate:g}": f"exponent in m of the late loss, eta_rel = {rate:g}" for rate in _RATES},
        "late.eta": "exponent in eta of the late loss",
    },
    ranges="log^2 m/m falls as m^-0.66 from 64 to 4096; a constant of 1/eta would have a power of -1, of which -1/4 "
    "is a quarter",
)


def evidence(data: Data) -> Evidence:  # noqa: ARG001 - drawn here: it takes seconds
    """Hold steps against the map, and deviations against the bound."""
    x, kernel = _inputs(), _kernel()
    off = max(map_distance(seed) for seed in range(5))
    bounds = FrozenBounds(_N, _DIM, _WIDTH, 1.0, float(np.linalg.norm(x, 2)), _RADIUS, _N, DELTA)
    found = np.array([largest_deviation(x, kernel, _WIDTH, seed, tries=_TRIES) for seed in range(_NETWORKS)])
    frame = pd.DataFrame(
        [
            {"width": width, "seed": seed, "deviation": largest_deviation(x, kernel, width, seed, tries=12)}
            for width, seed in itertools.product(_WIDTHS, range(_SEEDS))
        ]
    )
    one = against(frame, "width", "deviation", meaning="largest deviation over R of norm 1")
    of = f"{_NETWORKS} networks, m = {_WIDTH}"
    return Evidence(
        (
            Number("map.off", "over the rounding of as many operations", off, "5 networks, 30 steps", "checks"),
            Count("outside", "networks", int((found > bounds.deviation).sum()), _NETWORKS, of, "checks"),
            exponent(one, "deviation.m", "checks"),
            Number("leading.looseness", "leading term only", bounds.leading / float(found.max()), of, "checks"),
            Number("looseness", "over networks", bounds.deviation / float(found.max()), of, "checks"),
        ),
        {"largest deviation": one.table},
    )


def evidence_lemmas(data: Data) -> Evidence:  # noqa: ARG001 - drawn here
    """Judge each lemma at each setting."""
    rows = [
        lemma_setting(dim, n, rho, spiked=spiked, seed=index)
        for index, ((dim, n), rho, spiked) in enumerate(
            itertools.product(((3, 2), (8, 4), (32, 8)), (0.02, 0.2), (False, True))
        )
    ]
    means = [
        mean_setting(rho, spiked=spiked, seed=index)
        for index, (rho, spiked) in enumerate(itertools.product((0.002, 0.004), (False, True)))
    ]
    table = pd.DataFrame(rows)
    of = f"{len(table)} settings (d, n, rho, inputs)"
    broken, trials = (int(sum(one[name] for one in rows)) for name in ("a_failures", "a_trials"))
    return Evidence(
        (
            Count("lemma.a", "pairs of neuron and move", broken, trials, of, "checks"),
            *(
                Count(
                    f"lemma.{one}", "settings", int(sum(row[f"{one}_fails"] for row in rows)), len(table), of, "checks"
                )
                for one in "bc"
            ),
            Count("lemma.d", "settings", int(sum(one["fails"] for one in means)), len(means), "rho, inputs", "checks"),
            *(
                Number(f"sharp.{one}", "over settings", max(row[f"{one}_share"] for row in rows), of, "checks")
                for one in "bc"
            ),
            Number("sharp.d", "over settings", max(one["share"] for one in means), "rho, inputs", "checks"),
        ),
        {"lemmas": table},
    )


def evidence_floor(data: Data) -> Evidence:  # noqa: ARG001 - drawn here
    """Measure how the loss of late steps goes with width and rate."""
    frame = pd.DataFrame(
        [
            {"width": width, "eta_rel": rate, "seed": seed, "loss": late_loss(width, rate, seed)}
            for width, rate, seed in itertools.product(
                _FLOOR_WIDTHS, _RATES, range(_FLOOR_FIRST, _FLOOR_FIRST + _FLOOR_SEEDS)
            )
        ]
    )
    meaning = "mean loss of late steps"
    widest = frame.loc[frame["width"] == max(_FLOOR_WIDTHS)]
    return Evidence(
        (
            *(
                exponent(
                    against(frame.loc[frame["eta_rel"] == rate], "width", "loss", meaning=meaning),
                    f"late.m.{rate:g}",
                    "checks",
                )
                for rate in _RATES
            ),
            exponent(against(widest, "eta_rel", "loss", meaning=meaning), "late.eta", "checks"),
        )
    )


PROOFS = (
    Proof(CLAIM, (), evidence, draws=True),
    Proof(CLAIM_LEMMAS, (), evidence_lemmas, draws=True),
    Proof(CLAIM_FLOOR, (), evidence_floor, draws=True),
)


def pre_activations(w: Float[np.ndarray, "m d"], x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "m n"]:
    """Return z_r(x_i), scale ``std``."""
    return effective_weights(w) @ x.T


def paired_start(width: int, dim: int, seed: int) -> tuple[Float[np.ndarray, "m d"], Float[np.ndarray, " m"]]:
    """Draw neurons, each twice, with a = 1 and -1."""
    half = np.random.default_rng([seed, 51]).standard_normal((width // 2, dim))
    return np.concatenate([half, half]), np.repeat([1.0, -1.0], width // 2)


def outputs_at(
    total: Float[np.ndarray, " n"],
    w: Float[np.ndarray, "m d"],
    a: Float[np.ndarray, " m"],
    active: Bool[np.ndarray, "m n"],
    x: Float[np.ndarray, "n d"],
) -> Float[np.ndarray, " n"]:
    """Return Phi_m(R): the outputs of the start moved at once by R = `total`, kappa = 1."""
    moved = w - (a / np.sqrt(len(w)))[:, None] * ((active * total) @ x)
    return a @ np.maximum(pre_activations(moved, x), 0) / np.sqrt(len(w))


def map_distance(seed: int, *, steps: int = 30, width: int = 256) -> float:
    """Take frozen steps one by one; return their largest distance to Phi_m(R_t) over what rounding can make.

    A weight is a sum of `steps` terms, off by steps eps times their size; a sum over m neurons adds m eps.
    """
    x = _inputs()
    w, a = paired_start(width, _DIM, seed)
    active = pre_activations(w, x) >= 0
    y = np.random.default_rng([seed, 52]).choice([-1.0, 1.0], len(x))
    now, total, largest = w.copy(), np.zeros(len(x)), 0.0
    for _ in range(steps):
        f = a @ np.maximum(pre_activations(now, x), 0) / np.sqrt(width)
        largest = max(largest, float(np.abs(f - outputs_at(total, w, a, active, x)).max()))
        r = f - y
        now = now - (a / np.sqrt(width))[:, None] * ((active * r) @ x)
        total = total + r
    size = np.sqrt(width) * float(np.abs(pre_activations(w, x)).max())
    return largest / ((steps * _DIM + width) * _EPS * size)


def largest_deviation(
    x: Float[np.ndarray, "n d"], kernel: Float[np.ndarray, "n n"], width: int, seed: int, *, tries: int
) -> float:
    """Search for the R of the ball with the largest |Phi_m(R) + K_eff R|: a third at random, then by climbing."""
    w, a = paired_start(width, x.shape[1], seed)
    active = pre_activations(w, x) >= 0
    rng = np.random.default_rng([seed, width, 53])
    best, at = 0.0, np.zeros(len(x))
    for index in range(tries):
        step = rng.standard_normal(len(x))
        total = step if 3 * index < tries else at + 0.2 * step
        total *= _RADIUS / max(float(np.linalg.norm(total)), _RADIUS if 3 * index >= tries else 0.0)
        found = float(np.abs(outputs_at(total, w, a, active, x) + kernel @ total).max())
        if found > best:
            best, at = found, total
    return best


def late_loss(width: int, eta_rel: float, seed: int) -> float:
    """Train with frozen patterns for 60/eta_rel steps, and return the mean loss of half as many further ones."""
    y = np.random.default_rng([seed, 54]).choice([-1.0, 1.0], _N)
    weights = two_layer.init(width, _DIM, seed=seed, init="paired")
    steps = round(90 / eta_rel)
    run = two_layer.train(_inputs(), y, weights, activity="frozen", eta_rel=eta_rel, steps=steps, record=[steps])
    return float(run.loss[round(60 / eta_rel) :].mean())


def lemma_setting(dim: int, n: int, rho: float, *, spiked: bool, seed: int) -> dict[str, float]:
    """Draw neurons, move them by v with norm(v) <= rho, and hold lemmas A to C against what is seen."""
    rng = np.random.default_rng([seed, 55])
    x = _drawn_inputs(rng, dim, n, spiked=spiked)
    spectral = float(np.linalg.norm(x, 2))
    total = rng.standard_normal(n)
    total *= rho / spectral / np.linalg.norm(total)  # epsilon R
    w = rng.standard_normal((_DRAWS, dim))
    z = pre_activations(w, x)
    move = ((z >= 0) * total) @ x
    c = w - w.mean(axis=1, keepdims=True)
    plus = pre_activations(w + move, x)
    moved_c = c + move - move.mean(axis=1, keepdims=True)

    s = np.sqrt((c**2).mean(axis=1))
    flipped = (moved_c >= 0) != (c >= 0)
    allowed = largest_move(s, flipped, x, move)
    rounding = 8 * dim * _EPS * np.abs(w).max() * np.sqrt(dim)

    change = np.maximum(plus, 0) - np.maximum(z, 0)
    square = (change**2).mean(axis=0)
    square_error = (change**2).std(axis=0) / np.sqrt(_DRAWS)
    bound = largest_change(dim, rho) ** 2

    u = 0.1 * rho
    centred = move - move.mean(axis=1, keepdims=True)
    near = (np.abs(c - centred) <= u).sum(axis=0)
    window = min(window_probability(dim, n, u, rho + u), 1.0)
    unlikely = min(binomtest(int(one), _DRAWS, window, alternative="greater").pvalue for one in near)

    return {
        "d": dim,
        "n": n,
        "rho": rho,
        "spiked": float(spiked),
        "a_failures": float((np.abs(plus - z) > allowed + rounding).sum()),
        "a_trials": float(z.size),
        "b_fails": float((square - 5 * square_error > bound).any()),  # five standard errors: below 1e-6 an input
        "b_share": float(square.max() / bound),
        "c_fails": float(unlikely < 1e-4 / 12 / dim),
        "c_share": float(near.max() / _DRAWS / window),
    }


def largest_move(
    s: Float[np.ndarray, " m"],
    flipped: Bool[np.ndarray, "m d"],
    x: Float[np.ndarray, "n d"],
    move: Float[np.ndarray, "m d"],
) -> Float[np.ndarray, "m n"]:
    """Return lemma A's bound, 2 s sum of |x_k| over signs that flip plus sqrt 2 norm(v)."""
    return 2 * s[:, None] * (flipped @ np.abs(x.T)) + np.sqrt(2) * np.linalg.norm(move, axis=1)[:, None]


def mean_setting(rho: float, *, spiked: bool, seed: int) -> dict[str, float]:
    """Hold lemma D against the mean over so many neurons of d = 3 that K_eff wrong by half of itself would show.

    Moves are so small that C_b rho^2 is a quarter of the mean itself, or half of it.
    """
    rng = np.random.default_rng([seed, 61])
    x = _drawn_inputs(rng, 3, 2, spiked=spiked)
    total = np.array([1.0, -0.5]) * rho / np.sqrt(1.25) / float(np.linalg.norm(x, 2))
    first, second = np.zeros(2), np.zeros(2)
    for _ in range(_CHUNKS):
        w = rng.standard_normal((_CHUNK, 3))
        move = ((pre_activations(w, x) >= 0) * total) @ x
        plus, minus = (np.maximum(pre_activations(w + sign * move, x), 0) for sign in (1, -1))
        half = (plus - minus) / 2
        first += half.mean(axis=0) / _CHUNKS
        second += (half**2).mean(axis=0) / _CHUNKS
    kernel = effective_ntk(x, samples=_CHUNK, seed=seed)
    miss = np.abs(first - kernel.value @ total)
    error = np.sqrt((second - first**2) / (_CHUNKS * _CHUNK) + kernel.standard_error**2 @ total**2)
    most = second_order(3, 2) * rho**2
    return {"fails": float((miss - 5 * error > most).any()), "share": float(miss.max() / most)}


def _drawn_inputs(rng: np.random.Generator, dim: int, n: int, *, spiked: bool) -> Float[np.ndarray, "n d"]:
    x = rng.standard_normal((n, dim))
    if spiked:  # nearly all of an input in one feature: few flips that do much
        x = 0.02 * x + np.eye(dim)[rng.integers(dim, size=n)]
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@cache
def _inputs() -> Float[np.ndarray, "n d"]:
    x = np.random.default_rng(50).standard_normal((_N, _DIM))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@cache
def _kernel() -> Float[np.ndarray, "n n"]:
    """K_eff of these inputs, to 0.002: a fiftieth of the deviations of the widest networks."""
    return effective_ntk(_inputs(), samples=200_000).value
