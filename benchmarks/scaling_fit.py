"""Speed of the scaling room against scipy's L-BFGS-B, called for each start and each replicate with exact gradients.

    python -m benchmarks.scaling_fit [--jax] [--markdown] [--json FILE]

The table is 240 points drawn from the refitted Chinchilla law (Besiroglu et al. 2024) over Chinchilla's ranges, with
1 % noise and 4 % outliers. Both solvers minimise the same sum of Huber losses, from the same starts, on the same
bootstrap replicates, to a gradient that no longer matters. scipy is timed on a random sample of those problems,
interleaved with ours in one process, and the ratio is of medians of the time a problem takes. Its objective is
written by hand in NumPy, with threads held to one: what a careful user would write.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from ntk1bit.processors import usable_processors
from ntk1bit.scaling import HOFFMANN_STARTS, fit, get_law
from ntk1bit.scaling.bootstrap import drawn_counts, point_weights
from ntk1bit.scaling.fit import IdentificationWarning
from ntk1bit.scaling.objective import HUBER_DELTA
from ntk1bit.scaling.observations import observe
from ntk1bit.scaling.solve import solve
from ntk1bit.scaling.synthetic import BESIROGLU, HOFFMANN, chinchilla_design, draw_losses, width_design

LAW = get_law("chinchilla")
REPLICATES, SAMPLE, ROUNDS = 1000, 12, 5
SCIPY_OPTIONS = {"maxiter": 5000, "maxfun": 10_000, "ftol": 1e-15, "gtol": 1e-8}


def table(truth: dict[str, float] = BESIROGLU, seed: int = 0) -> pd.DataFrame:
    """Return the 240 points."""
    return draw_losses(chinchilla_design(240, seed=seed), LAW, truth, noise=0.01, outliers=0.04, seed=seed)


def objective(
    theta: np.ndarray, log_n: np.ndarray, log_d: np.ndarray, log_loss: np.ndarray, weight: np.ndarray
) -> tuple[float, np.ndarray]:
    """Objective over delta, and its gradient in (log E, log A, log B, alpha, beta), by hand."""
    e, a, b, alpha, beta = theta
    first, second = np.exp(a - alpha * log_n), np.exp(b - beta * log_d)
    floor = np.exp(e)
    total = floor + first + second
    r = np.log(total) - log_loss
    clipped = np.clip(r, -HUBER_DELTA, HUBER_DELTA)
    pull = weight * clipped / total
    da, db = pull * first, pull * second
    gradient = np.array([pull.sum() * floor, da.sum(), db.sum(), -(da @ log_n), -(db @ log_d)])
    return float(weight @ (clipped * (r - 0.5 * clipped))) / HUBER_DELTA, gradient / HUBER_DELTA


def scipy_solve(starts: np.ndarray, weights: np.ndarray, data: tuple[np.ndarray, ...]) -> tuple[float, np.ndarray]:
    """Return seconds a problem and objectives of one scipy call for each start."""
    found, begin = [], time.perf_counter()
    for start, weight in zip(starts, weights, strict=True):
        with np.errstate(all="ignore"):
            result = minimize(
                objective, start, args=(*data, weight), jac=True, method="L-BFGS-B", options=SCIPY_OPTIONS
            )
        found.append(result.fun * HUBER_DELTA)
    return (time.perf_counter() - begin) / len(starts), np.array(found)


def compare() -> dict[str, Any]:
    """Time both solvers on the same problems: the grid on the data, and the best minimum on every replicate."""
    frame = table()
    observed = observe(frame, LAW)
    columns, log_loss = observed.columns, np.log(observed.loss)
    data = (np.log(columns[0]), np.log(columns[1]), log_loss)
    starts = LAW.starts(columns, observed.loss)
    weights = np.vstack([np.ones((1, 240)), point_weights(drawn_counts(240, REPLICATES, 0), observed)])
    zeros = np.zeros(len(starts), dtype=np.int64)
    warm = solve(LAW.tape, columns, log_loss, weights[:1], starts, zeros, delta=HUBER_DELTA)
    best = warm.theta[np.argmin(warm.objective)]
    again, rows = np.tile(best, (REPLICATES, 1)), np.arange(1, REPLICATES + 1)
    rng = np.random.default_rng(0)
    times: dict[str, list[float]] = {"ours grid": [], "ours boot": [], "scipy grid": [], "scipy boot": []}
    agree = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        solve(LAW.tape, columns, log_loss, weights[:1], starts, zeros, delta=HUBER_DELTA)
        middle = time.perf_counter()
        ours = solve(LAW.tape, columns, log_loss, weights, again, rows, delta=HUBER_DELTA)
        end = time.perf_counter()
        times["ours grid"].append((middle - begin) / len(starts))
        times["ours boot"].append((end - middle) / REPLICATES)
        some = rng.choice(len(starts), SAMPLE, replace=False)
        times["scipy grid"].append(scipy_solve(starts[some], np.ones((SAMPLE, 240)), data)[0])
        drawn = rng.choice(REPLICATES, SAMPLE, replace=False)
        seconds, theirs = scipy_solve(again[drawn], weights[1 + drawn], data)
        times["scipy boot"].append(seconds)
        agree.append(np.abs(ours.objective[drawn] / theirs - 1))
    median = {name: float(np.median(each)) for name, each in times.items()}
    total = {
        side: len(starts) * median[f"{side} grid"] + REPLICATES * median[f"{side} boot"] for side in ("ours", "scipy")
    }
    return {
        "threads": usable_processors(),
        "starts": len(starts),
        "replicates": REPLICATES,
        "milliseconds_a_problem": {name: 1e3 * value for name, value in median.items()},
        "ratio_grid": median["scipy grid"] / median["ours grid"],
        "ratio_bootstrap": median["scipy boot"] / median["ours boot"],
        "seconds": total,
        "ratio": total["scipy"] / total["ours"],
        "largest_relative_difference_of_objectives": float(np.max(agree)),
    }


def quality(samples: int = 12) -> dict[str, Any]:
    """Check what speed must not cost: the default grid and continued replicates against 4,500 starts each."""
    gaps, shares = [], []
    for truth in (BESIROGLU, HOFFMANN):
        for seed in range(4):
            frame = table(truth, seed)
            default, full = (fit(frame, LAW, bootstrap=0, starts=each) for each in (None, HOFFMANN_STARTS))
            gaps.append(default.objective / full.objective - 1)
            shares.append([found.starts.reached_best / found.starts.tried for found in (default, full)])
    frame = table()
    found = fit(frame, LAW, bootstrap=samples * 2)
    observed = observe(frame, LAW)
    weights = point_weights(drawn_counts(observed.points, samples * 2, 0)[:samples], observed)
    starts = LAW.starts(observed.columns, observed.loss, HOFFMANN_STARTS)
    log_loss = np.log(observed.loss)
    worse = []
    for b in range(samples):
        arguments = (LAW.tape, observed.columns, log_loss, weights[b : b + 1])
        every = solve(*arguments, starts, np.zeros(len(starts), dtype=np.int64), delta=HUBER_DELTA)
        ours = solve(*arguments, found.latent_replicates[b : b + 1], np.zeros(1, dtype=np.int64), delta=HUBER_DELTA)
        worse.append(ours.objective[0] / every.objective.min() - 1)
    return {
        "default_grid_over_full_grid_largest_excess": float(np.max(gaps)),
        "share_of_starts_at_best_default_full": np.mean(shares, axis=0).tolist(),
        "replicates_over_full_grid_largest_excess": float(np.max(worse)),
        "replicates_checked": samples,
    }


def whole_fits() -> dict[str, float]:
    """Time whole fits, as medians of three: the bars of the room."""
    widths = draw_losses(width_design(), "power+floor", {"E": 0.02, "A": 3.0, "alpha": 0.8}, noise=0.05, seed=1)
    seconds: dict[str, float] = {}
    jobs: list[tuple[str, pd.DataFrame, str, int, Any]] = [
        ("chinchilla, 240 points, 675 starts, 1000 replicates", table(), "chinchilla", 1000, None),
        ("chinchilla, 240 points, 4500 starts, 1000 replicates", table(), "chinchilla", 1000, HOFFMANN_STARTS),
        ("kaplan, 240 points, 576 starts, 1000 replicates", table(), "kaplan", 1000, None),
        *((f"{law}, 9 widths x 5 seeds, 2000 replicates", widths, law, 2000, None)
          for law in ("power", "power+floor", "broken", "broken2")),
    ]  # fmt: skip
    for name, frame, law, bootstrap, starts in jobs:
        taken = []
        for _ in range(3):
            begin = time.perf_counter()
            fit(frame, law, bootstrap=bootstrap, starts=starts).to_frame()
            taken.append(time.perf_counter() - begin)
        seconds[name] = float(np.median(taken))
    return seconds


def jax_rate() -> dict[str, float]:
    """Time the batched objective and gradient in JAX (float64, jitted, vmapped), the other candidate."""
    begin = time.perf_counter()
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    frame = table()
    log_n, log_d, log_loss = (jnp.log(frame[name].to_numpy()) for name in ("N", "D", "loss"))

    def value(theta: Any) -> Any:
        e, a, b, alpha, beta = theta
        terms = jnp.stack([jnp.full_like(log_n, e), a - alpha * log_n, b - beta * log_d])
        r = jax.nn.logsumexp(terms, axis=0) - log_loss
        clipped = jnp.clip(r, -HUBER_DELTA, HUBER_DELTA)
        return jnp.sum(clipped * (r - 0.5 * clipped))

    batched = jax.jit(jax.vmap(jax.value_and_grad(value)))
    thetas = jnp.tile(jnp.array([0.6, 6.2, 7.6, 0.35, 0.37]), (1000, 1))
    jax.block_until_ready(batched(thetas))
    ready = time.perf_counter() - begin
    begin = time.perf_counter()
    for _ in range(20):
        jax.block_until_ready(batched(thetas))
    return {
        "seconds_until_ready": ready,
        "microseconds_an_evaluation": 1e6 * (time.perf_counter() - begin) / 20_000,
    }


def our_rate() -> dict[str, float]:
    """Time one objective and gradient inside our solver, line search and recursion included."""
    observed = observe(table(), LAW)
    starts = LAW.starts(observed.columns, observed.loss)
    arguments = (LAW.tape, observed.columns, np.log(observed.loss), np.ones((1, 240)), starts)
    begin = time.perf_counter()
    found = solve(*arguments, np.zeros(len(starts), dtype=np.int64), delta=HUBER_DELTA)
    return {"microseconds_an_evaluation": 1e6 * (time.perf_counter() - begin) / float(found.evaluations.sum())}


def markdown(results: dict[str, Any]) -> str:
    """Return the tables of docs/scaling.md."""
    rival, found = results["against_scipy"], results["quality"]
    each = rival["milliseconds_a_problem"]
    grid, replicates = (found[f"{name}_over_full_grid_largest_excess"] for name in ("default_grid", "replicates"))
    lines = [
        f"| 240 points, `chinchilla`, {rival['threads']} threads | scipy L-BFGS-B | here | ratio |",
        "|---|---|---|---|",
        f"| ms a start | {each['scipy grid']:.2f} | {each['ours grid']:.3f} | {rival['ratio_grid']:.0f} |",
        f"| ms a replicate | {each['scipy boot']:.2f} | {each['ours boot']:.3f} | {rival['ratio_bootstrap']:.0f} |",
        f"| s for {rival['starts']} starts and {rival['replicates']} replicates | {rival['seconds']['scipy']:.2f} "
        f"| {rival['seconds']['ours']:.2f} | {rival['ratio']:.0f} |",
        "",
        "| whole fit, with intervals | s |",
        "|---|---|",
        *(f"| {name} | {seconds:.2f} |" for name, seconds in results["whole_fits_seconds"].items()),
        "",
        f"Objectives agree with scipy's to a relative {rival['largest_relative_difference_of_objectives']:.0e}.",
        f"The default grid ends at most {grid:.0e} above the best of 4,500 starts (8 tables from both published laws),",
        f"and replicates at most {replicates:.0e} above the best of 4,500 starts each ({found['replicates_checked']}).",
    ]
    if "jax" in results:
        ours, other = (results[name]["microseconds_an_evaluation"] for name in ("ours", "jax"))
        lines += [
            f"An objective with its gradient takes {ours:.1f} microseconds here, line search included,",
            f"and {other:.1f} in JAX, jitted and batched.",
        ]
    return "\n".join(lines)


def main() -> None:
    """Print all measurements as JSON, or as the tables of docs/scaling.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jax", action="store_true", help="time JAX's batched gradients as well")
    parser.add_argument("--markdown", action="store_true", help="print the tables of docs/scaling.md instead of JSON")
    parser.add_argument("--json", type=Path, help="also write the measurements to this file")
    options = parser.parse_args()
    warnings.simplefilter("ignore", IdentificationWarning)
    with threadpool_limits(1):
        results: dict[str, Any] = {"against_scipy": compare(), "whole_fits_seconds": whole_fits(), "quality": quality()}
        results["ours"] = our_rate()
    if options.jax:
        results["jax"] = jax_rate()
    text = json.dumps(results, indent=2)
    print(markdown(results) if options.markdown else text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
