"""Speed of `ntk1bit.scaling` against scipy's L-BFGS-B, called for each start and each replicate with exact gradients.

    python -m benchmarks.scaling_fit [--jax] [--markdown] [--json FILE]

The table is 240 points drawn from the refitted Chinchilla law (Besiroglu et al. 2024) over Chinchilla's ranges, with
1 % noise and 4 % outliers. Both solvers minimise the same sum of Huber losses, from the same starts, on the same
bootstrap replicates, to a gradient that no longer matters. scipy is timed on a random sample of those problems,
interleaved with ours in one process, and the ratio is of medians of the time a problem takes. Its objective is
written by hand in NumPy, with threads held to one: what a careful user would write. With `--jax` the same problems
are solved in one batch by optimistix's BFGS on JAX's gradients, and processor time is compared.
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
from ntk1bit.scaling import HOFFMANN_STARTS, FitRequest, IdentificationWarning, fit, get_law
from ntk1bit.scaling.bootstrap import drawn_counts
from ntk1bit.scaling.objective import HUBER_DELTA
from ntk1bit.scaling.observations import observe
from ntk1bit.scaling.solver import solve

LAW = get_law("chinchilla")
BESIROGLU = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3659}  # Besiroglu et al. 2024
HOFFMANN = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}  # Hoffmann et al. 2022
REPLICATES, SAMPLE, ROUNDS = 1000, 12, 5
SCIPY_OPTIONS = {"maxiter": 5000, "maxfun": 10_000, "ftol": 1e-15, "gtol": 1e-8}


def table(truth: dict[str, float] = BESIROGLU, seed: int = 0) -> pd.DataFrame:
    """Return the 240 points."""
    rng, noise = np.random.default_rng(seed), np.random.default_rng(seed)
    columns = [np.exp(rng.uniform(np.log(low), np.log(high), 240)) for low, high in ((4e7, 1.6e10), (1e9, 1e12))]
    log_loss = LAW.log_predict(LAW.latent(np.array([truth[name] for name in LAW.parameter_names])), columns)
    log_loss = log_loss + 0.01 * noise.standard_normal(240)
    log_loss[noise.permutation(240)[:10]] += np.log(1.3)
    return pd.DataFrame({"N": columns[0], "D": columns[1], "loss": np.exp(log_loss)})


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


def problem() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return covariates, log losses, the grid of starts, and weights: of the data, then of every replicate."""
    observed = observe(table(), FitRequest(LAW))
    weights = np.vstack([np.ones((1, 240)), observed.point_weights(drawn_counts(240, REPLICATES, 0))])
    return observed.columns, np.log(observed.loss), LAW.starts(observed.columns, observed.loss), weights


def compare() -> dict[str, Any]:
    """Time both solvers on the same problems: the grid on the data, and the best minimum on every replicate."""
    columns, log_loss, starts, weights = problem()
    data = (np.log(columns[0]), np.log(columns[1]), log_loss)
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
    observed = observe(frame, FitRequest(LAW))
    weights = observed.point_weights(drawn_counts(observed.points, samples * 2, 0)[:samples])
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
    """Time whole fits, as medians of three."""
    x = np.repeat(2.0 ** np.arange(6, 15), 5)
    noise = np.exp(0.05 * np.random.default_rng(1).standard_normal(len(x)))
    widths = pd.DataFrame({"x": x, "loss": (0.02 + 3.0 * x**-0.8) * noise})
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


def against_jax(steps: int = 400) -> dict[str, float]:
    """Solve grid and replicates in one batch each with optimistix's BFGS, and here on one thread: processor seconds."""
    begin = time.process_time()
    import jax
    import jax.numpy as jnp
    import optimistix

    seconds = {"imports": time.process_time() - begin}
    jax.config.update("jax_enable_x64", True)
    columns, log_loss, starts, weights = problem()
    log_n, log_d = jnp.log(columns)

    def value(theta: Any, weight: Any) -> Any:
        e, a, b, alpha, beta = theta
        terms = jnp.stack([jnp.full_like(log_n, e), a - alpha * log_n, b - beta * log_d])
        r = jax.nn.logsumexp(terms, axis=0) - log_loss
        clipped = jnp.clip(r, -HUBER_DELTA, HUBER_DELTA)
        return jnp.sum(weight * clipped * (r - 0.5 * clipped)) / HUBER_DELTA / jnp.sum(weight)

    def minimise(theta: Any, weight: Any) -> Any:
        method = optimistix.BFGS(rtol=1e-13, atol=1e-13)
        found = optimistix.minimise(value, method, theta, args=weight, max_steps=steps, throw=False).value
        return value(found, weight)

    batched = jax.jit(jax.vmap(minimise))
    zeros = np.zeros(len(starts), dtype=np.int64)
    grid = solve(LAW.tape, columns, log_loss, weights[:1], starts, zeros, delta=HUBER_DELTA, threads=1)
    again = np.tile(grid.theta[np.argmin(grid.objective)], (REPLICATES, 1))
    jobs = {
        "grid": (starts, weights[:1], zeros),
        "replicates": (again, weights, np.arange(1, REPLICATES + 1)),
    }
    for name, (thetas, rows, row) in jobs.items():
        begin = time.process_time()
        ours = solve(LAW.tape, columns, log_loss, rows, thetas, row, delta=HUBER_DELTA, threads=1)
        seconds[f"{name} here"] = time.process_time() - begin
        for call in ("first call", "again"):
            begin = time.process_time()
            theirs = np.asarray(batched(jnp.asarray(thetas), jnp.asarray(rows[row])))
            seconds[f"{name} in JAX, {call}"] = time.process_time() - begin
        excess = theirs * HUBER_DELTA * rows[row].sum(axis=1) / ours.objective - 1
        seconds[f"{name}: JAX's median excess of the objective"] = float(np.median(excess))
    return seconds


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
        lines += ["", "| processor seconds, one thread | |", "|---|---|"]
        lines += [f"| {name} | {value:.2g} |" for name, value in results["jax"].items()]
    return "\n".join(lines)


def main() -> None:
    """Print all measurements as JSON, or as the tables of docs/scaling.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jax", action="store_true", help="solve with JAX and optimistix as well")
    parser.add_argument("--markdown", action="store_true", help="print the tables of docs/scaling.md instead of JSON")
    parser.add_argument("--json", type=Path, help="also write the measurements to this file")
    options = parser.parse_args()
    warnings.simplefilter("ignore", IdentificationWarning)
    with threadpool_limits(1):
        results: dict[str, Any] = {"against_scipy": compare(), "whole_fits_seconds": whole_fits(), "quality": quality()}
    if options.jax:
        results["jax"] = against_jax()
    text = json.dumps(results, indent=2)
    print(markdown(results) if options.markdown else text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
