"""The batched solver against scipy's, and what its results may not depend on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from ntk1bit.scaling import HOFFMANN_STARTS, get_law
from ntk1bit.scaling.objective import HUBER_DELTA
from ntk1bit.scaling.solver import Stopping, solve

from .synthetic import BESIROGLU, HOFFMANN, chinchilla_design, draw_losses

LAW = get_law("chinchilla")  # latent order: log E, log A, log B, alpha, beta


def chinchilla_objective(theta, log_n, log_d, log_loss, weight):
    """Objective over delta, and gradient, written out by hand: shares no code with the package."""
    e, a, b, alpha, beta = theta
    terms = np.stack([np.full_like(log_n, e), a - alpha * log_n, b - beta * log_d])
    top = terms.max(axis=0)
    parts = np.exp(terms - top)
    total = parts.sum(axis=0)
    r = top + np.log(total) - log_loss
    size = np.abs(r)
    # Sums, not products of matrices: those would start threads for 240 numbers.
    rho = np.where(size < HUBER_DELTA, 0.5 * r**2, HUBER_DELTA * (size - 0.5 * HUBER_DELTA))
    pull = weight * np.clip(r, -HUBER_DELTA, HUBER_DELTA) * parts / total
    gradient = [pull[0].sum(), pull[1].sum(), pull[2].sum(), -(pull[1] * log_n).sum(), -(pull[2] * log_d).sum()]
    return float((weight * rho).sum()) / HUBER_DELTA, np.array(gradient) / HUBER_DELTA


@pytest.mark.parametrize("truth", [BESIROGLU, HOFFMANN], ids=["Besiroglu", "Hoffmann"])
def test_optimum_of_published_laws_is_that_of_an_independent_optimiser(truth: dict[str, float]) -> None:
    seed = 1
    frame = draw_losses(
        chinchilla_design(240, seed=seed), LAW, truth, noise=0.01, outliers=0.04, outlier_factor=1.2, seed=seed
    )
    n, d, loss = (frame[name].to_numpy() for name in ("N", "D", "loss"))
    starts = LAW.starts(np.stack([n, d]), loss, HOFFMANN_STARTS)
    some = starts[np.random.default_rng(seed).permutation(len(starts))[:30]]
    arguments = (np.log(n), np.log(d), np.log(loss), np.ones(240))
    options = {"maxiter": 1000, "maxfun": 2000, "ftol": 1e-15, "gtol": 1e-9}
    runs = [
        minimize(chinchilla_objective, start, args=arguments, jac=True, method="L-BFGS-B", options=options)
        for start in some
    ]
    best = min(runs, key=lambda run: run.fun)

    default = LAW.starts(np.stack([n, d]), loss)
    ours = solve(
        LAW.tape, np.stack([n, d]), np.log(loss), np.ones((1, 240)), default, np.zeros(len(default), int), delta=1e-3
    )
    winner = int(np.argmin(ours.objective))
    assert ours.objective[winner] <= best.fun * HUBER_DELTA * (1 + 1e-6)
    assert ours.objective[winner] == pytest.approx(best.fun * HUBER_DELTA, rel=1e-6)
    found, wanted = LAW.natural(ours.theta[winner]), LAW.natural(best.x)
    np.testing.assert_allclose(found[[0, 3, 4]], wanted[[0, 3, 4]], atol=5e-4)  # three decimals
    # Gradient in units of delta times the weights: 1e-7 of its size at a start is beyond any other explanation.
    assert ours.gradient[winner] < 1e-7


def test_default_grid_reaches_the_best_of_the_full_grid() -> None:
    for seed in range(2):
        frame = draw_losses(chinchilla_design(60, seed=seed), LAW, BESIROGLU, noise=0.03, outliers=0.05, seed=seed)
        columns, log_loss = frame[["N", "D"]].to_numpy().T, np.log(frame["loss"].to_numpy())
        best = []
        for overrides in (None, HOFFMANN_STARTS):
            starts = LAW.starts(columns, np.exp(log_loss), overrides)
            rows = np.zeros(len(starts), dtype=np.int64)
            best.append(solve(LAW.tape, columns, log_loss, np.ones((1, 60)), starts, rows, delta=1e-3).objective.min())
        assert best[0] <= best[1] * (1 + 1e-9)


def _problem(points: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    frame = draw_losses(chinchilla_design(points), LAW, BESIROGLU, noise=0.02, seed=5)
    columns, loss = frame[["N", "D"]].to_numpy().T.copy(), frame["loss"].to_numpy()
    starts = LAW.starts(columns, loss)[::25]
    weights = np.random.default_rng(0).integers(0, 3, (4, points)).astype(np.float64)
    return columns, np.log(loss), weights, starts, np.arange(len(starts)) % 4


def test_results_do_not_depend_on_threads_or_order() -> None:
    columns, log_loss, weights, starts, rows = _problem()
    one = solve(LAW.tape, columns, log_loss, weights, starts, rows, delta=1e-3, threads=1)
    several = solve(LAW.tape, columns, log_loss, weights, starts, rows, delta=1e-3, threads=3)
    for first, second in zip(one, several, strict=True):
        np.testing.assert_array_equal(first, second)
    order = np.random.default_rng(1).permutation(len(starts))
    shuffled = solve(LAW.tape, columns, log_loss, weights, starts[order], rows[order], delta=1e-3)
    np.testing.assert_array_equal(shuffled.theta, one.theta[order])


def test_whole_weights_are_repeated_points() -> None:
    columns, log_loss, weights, starts, _ = _problem()
    counts = weights[0].astype(int)
    rows = np.zeros(len(starts), dtype=np.int64)
    weighted = solve(LAW.tape, columns, log_loss, weights[:1], starts, rows, delta=1e-3)
    repeated = solve(
        LAW.tape,
        np.repeat(columns, counts, axis=1),
        np.repeat(log_loss, counts),
        np.ones((1, counts.sum())),
        starts,
        rows,
        delta=1e-3,
    )
    # Sums in another order round otherwise, and a start may fall into another minimum; the best one is the same.
    assert weighted.objective.min() == pytest.approx(repeated.objective.min(), rel=1e-9)


def test_arrays_may_be_read_only_and_strided() -> None:
    columns, log_loss, weights, starts, rows = _problem()
    plain = solve(LAW.tape, columns, log_loss, weights, starts, rows, delta=1e-3)
    strided = np.repeat(columns, 2, axis=1)[:, ::2]
    for array in (strided, log_loss, weights, starts, rows):
        array.setflags(write=False)
    frozen = solve(LAW.tape, strided, log_loss, weights, starts, rows, delta=1e-3)
    np.testing.assert_array_equal(plain.theta, frozen.theta)


def test_nothing_to_solve_and_undefined_starts() -> None:
    columns, log_loss, weights, starts, rows = _problem()
    none = solve(LAW.tape, columns, log_loss, weights, starts[:0], rows[:0], delta=1e-3)
    assert none.theta.shape == (0, 5)
    bad = starts[:2].copy()
    bad[0, 3] = np.nan
    found = solve(LAW.tape, columns, log_loss, weights, bad, rows[:2], delta=1e-3)
    assert found.objective[0] == np.inf
    assert np.isfinite(found.objective[1])


def test_progress_counts_every_problem() -> None:
    columns, log_loss, weights, starts, rows = _problem()
    seen: list[int] = []
    solve(
        LAW.tape, columns, log_loss, weights, starts, rows, delta=1e-3, stopping=Stopping(limit=1), solved=seen.append
    )
    assert sum(seen) == len(starts)


def test_kinks_do_not_stop_the_search() -> None:
    law, rng = get_law("max"), np.random.default_rng(0)
    n, c = np.geomspace(1e2, 1e6, 60), np.exp(rng.uniform(np.log(1e2), np.log(1e5), 60))
    loss = np.maximum(5 * n**-0.5, 2 * np.exp(-2e-4 * c))
    law = law.fix(gamma=0.0)
    columns = np.stack([n, np.full(60, 10.0), c])
    starts = law.starts(columns, loss)
    found = solve(law.tape, columns, np.log(loss), np.ones((1, 60)), starts, np.zeros(len(starts), int), delta=1e-3)
    best = law.natural(found.theta[np.argmin(found.objective)])
    # Exact data: the minimum is 0 at the truth.
    np.testing.assert_allclose(best, [5, 0.5, 2, 2e-4], rtol=1e-5)
