"""How well the limits and the effective kernel describe finite networks; prints the tables of docs/kernels.md.

Run `python -m benchmarks.effective_kernel`, or name parts: `step`, `limit`, `dimension`, `digits`; a few minutes each
at most on one core.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

import numpy as np
from sklearn.datasets import load_digits

from ntk1bit.kernels import (
    asymmetry,
    effective_ntk,
    empirical_ntk,
    gaussian_effective_ntk,
    gaussian_limit_ntk,
    kernel_ratio,
    limit_ntk,
    predict,
)
from ntk1bit.networks.quantizers import Scale
from ntk1bit.networks.two_layer import Precision, Trajectory, init, train
from ntk1bit.statistics import MeanOf, Samples, leave_one_out, log_slope

SCALES: tuple[Scale, ...] = ("std", "absmean")
PRECISIONS: tuple[Precision, ...] = ("one_bit", "full")


def sphere(n: int, d: int, *, seed: int) -> np.ndarray:
    """Draw n points on the unit sphere of R^d, float32."""
    x = np.random.default_rng(seed).standard_normal((n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def one_step(*, seeds: int = 400, width: int = 4096, eta_rel: float = 0.25) -> None:
    """Compare y^T (change of f)/eta over one small step of paired networks with y^T K_eff y, and with y^T H y."""
    print("| d | scale | c = K_eff / H | measured / K_eff | in standard errors | measured / H |")
    print("|---|---|---|---|---|---|")
    for d in (8, 32, 128, 512):
        x = sphere(16, d, seed=d)
        y = np.where(np.random.default_rng(d + 1).random(16) < 0.5, -1, 1).astype(np.float32)
        for scale in SCALES:
            measured = []
            for seed in range(seeds):
                run = train(x, y, init(width, d, seed=seed, init="paired"), scale=scale, eta_rel=eta_rel, steps=1)
                measured.append(float(y @ (run.outputs[1] - run.outputs[0])) / run.eta)
            estimates = [effective_ntk(x, scale=scale, samples=250_000, seed=seed).value for seed in range(8)]
            forms = [float(y @ estimate @ y) for estimate in estimates]
            h = limit_ntk(x, scale=scale, samples=2_000_000, seed=1).value
            predicted, by_h = float(np.mean(forms)), float(y @ h @ y)
            error = np.hypot(np.std(measured, ddof=1) / np.sqrt(seeds), np.std(forms, ddof=1) / np.sqrt(len(forms)))
            ratio = np.mean(measured) / predicted
            c = kernel_ratio(np.mean(estimates, axis=0), h)
            print(
                f"| {d} | {scale} | {c:.3f} | {ratio:.4f} ± {error / predicted:.4f} "
                f"| {(ratio - 1) * predicted / error:+.1f} | {np.mean(measured) / by_h:.3f} |",
                flush=True,
            )


def to_the_limit(*, seeds: int = 10) -> None:
    """Fit the exponent of norm_F(H(0) - limit)/norm_F(limit) against width, with its interval over seeds."""
    x, widths = sphere(64, 32, seed=0), 2 ** np.arange(6, 15)
    print("| precision | distance at m = 64 | at m = 16384 | exponent, 64..16384 (9 widths) | 95 % interval |")
    print("|---|---|---|---|---|")
    for precision in PRECISIONS:
        limit = limit_ntk(x, precision=precision, samples=20_000_000).value
        distance = np.array(
            [
                [
                    np.linalg.norm(empirical_ntk(x, init(m, 32, seed=seed), precision=precision) - limit)
                    / np.linalg.norm(limit)
                    for m in widths.tolist()
                ]
                for seed in range(seeds)
            ]
        )
        drawn = [
            Samples(int(m), tuple(range(seeds)), MeanOf(column)) for m, column in zip(widths, distance.T, strict=True)
        ]
        slope, low, high = leave_one_out(drawn).interval(partial(log_slope, widths.astype(np.float64)))
        first, last = distance.mean(axis=0)[[0, -1]]
        print(f"| {precision} | {first:.4f} | {last:.5f} | {slope:.4f} | {low:.4f} to {high:.4f} |", flush=True)


def large_dimension() -> None:
    """Measure the closed forms for large d, and H', against Monte Carlo at that d; noise is its standard error."""
    print("| d | scale | Gaussian limit | full-precision limit | noise | large-d K_eff | noise | asymmetry | noise |")
    print("|---|---|---|---|---|---|---|---|---|")
    for d in (4, 8, 16, 32, 64, 128):
        x = sphere(64, d, seed=d)
        exact = limit_ntk(x, precision="full").value
        for scale in SCALES:
            limit, kernel = (
                limit_ntk(x, scale=scale, samples=4_000_000),
                effective_ntk(x, scale=scale, samples=1_000_000),
            )
            entries = (
                relative(gaussian_limit_ntk(x, scale=scale) - limit.value, limit.value),
                relative(exact - limit.value, limit.value),
                relative(limit.standard_error, limit.value),
                relative(gaussian_effective_ntk(x, scale=scale) - kernel.value, kernel.value),
                relative(kernel.standard_error, kernel.value),
                asymmetry(kernel.value),
                relative(kernel.standard_error, kernel.value) / np.sqrt(2),
            )
            print(f"| {d} | {scale} | " + " | ".join(f"{entry:.4f}" for entry in entries) + " |", flush=True)


def relative(difference: np.ndarray, reference: np.ndarray) -> float:
    """Relative Frobenius norm."""
    return float(np.linalg.norm(difference) / np.linalg.norm(reference))


def digits_curve(*, width: int = 16384, seeds: int = 8, early: int = 50, late: int = 1000) -> None:
    """Train paired 1-bit networks on digits (even against odd) and compare their curves with what kernels predict.

    Two stretches: all of the first `early` steps of `seeds` networks; and `late` steps of one, at as many checkpoints,
    even in log(step). Distances are root mean squares over checkpoints of log(L/L_predicted), and over checkpoints and
    points of f - f_predicted, for single networks and for their mean, in which the noise that differs between networks
    averages out.
    """
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))[:512]
    x = images[order] - images[order[:256]].mean(axis=0)
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    y = np.where(labels[order] % 2 == 0, 1, -1).astype(np.float32)
    x, x_test, y = x[:256], x[256:], y[:256]
    every = np.concatenate([x, x_test])
    kernels = {
        "K_eff": effective_ntk(every, x, samples=2_000_000).value,
        "H": limit_ntk(every, x, samples=2_000_000).value,
    }
    print("| steps | networks | kernel | log loss | f, training | f, test | mean f, training | mean f, test |")
    print("|---|---|---|---|---|---|---|---|")
    for steps, count in ((early, seeds), (late, 1)):
        runs = [
            train(x, y, init(width, x.shape[1], seed=seed, init="paired"), steps=steps, x_test=x_test, record=early + 1)
            for seed in range(count)
        ]
        rows = {name: curve_distances(kernel, y, runs) for name, kernel in kernels.items()}
        rows["H / K_eff"] = rows["H"] / rows["K_eff"]
        for name, row in rows.items():
            digits = 2 if "/" in name else 4
            print(f"| {steps} | {count} | {name} | " + " | ".join(f"{entry:.{digits}f}" for entry in row) + " |")
        losses = [f"{t}: {np.mean([run.loss[t] for run in runs]):.3g}" for t in (1, 10, 50, 200, 1000) if t <= steps]
        print(f"loss of the networks after step {', '.join(losses)}", flush=True)


def curve_distances(kernel: np.ndarray, y: np.ndarray, runs: list[Trajectory]) -> np.ndarray:
    """Return the five distances `digits_curve` prints, leaving out step 0, which is exact."""
    n, singles, curves = len(y), [], []
    for run in runs:
        guess = predict(kernel[:n], y, eta=run.eta, steps=run.steps.tolist(), kernel_test=kernel[n:])
        loss = 0.5 * ((guess.train - y) ** 2).sum(axis=1)
        curves.append((run.outputs - guess.train, run.test_outputs - guess.test))
        singles.append([rms(np.log(run.loss[run.steps] / loss)[1:]), *(rms(gap[1:]) for gap in curves[-1])])
    means = [rms(np.mean([gaps[side] for gaps in curves], axis=0)[1:]) for side in (0, 1)]
    return np.array([*np.mean(singles, axis=0), *means])


def rms(values: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(values**2)))


PARTS: dict[str, Callable[[], None]] = {
    "step": one_step,
    "limit": to_the_limit,
    "dimension": large_dimension,
    "digits": digits_curve,
}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
        print()
