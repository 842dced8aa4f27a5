"""Kernels of thousands of inputs: how near to exact what is computed without entries comes, and in how much memory.

Run `python -m benchmarks.large_kernels`, or name parts: `accuracy` (5,000 inputs against all entries), `scale` (50,000
inputs) and `memory` (peak memory of each function against its budget); a minute or two each on two cores. Prints the
tables of docs/kernels.md.
"""

from __future__ import annotations

import multiprocessing
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import psutil

from ntk1bit.autodiff import gradient_features, ntk, ntk_diagonal, ntk_operator
from ntk1bit.kernels import Kernel, lanczos_ends, nystrom_factor, refined_eigenvalues, stochastic_trace

TOP = 20


def mlp(params: Any, x: Any) -> jax.Array:
    """Return the outputs of a network with tanh, one for each input, in the parametrisation of NTKs."""
    for w in params[:-1]:
        x = jnp.tanh(x @ w / np.sqrt(w.shape[0]))
    return (x @ params[-1] / np.sqrt(params[-1].shape[0]))[:, 0]


def network(sizes: tuple[int, ...], *, seed: int = 0) -> list[jax.Array]:
    """Draw standard normal weights."""
    rng = np.random.default_rng(seed)
    shapes = zip(sizes, (*sizes[1:], 1), strict=True)
    return [jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes]


def inputs(n: int, d: int, *, seed: int = 1) -> np.ndarray:
    """Draw standard normal inputs."""
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def accuracy(*, n: int = 5000) -> None:
    """Compare with the eigenvalues of all entries, for a small network with more parameters than inputs."""
    params, x = network((16, 64, 128, 8)), inputs(n, 16)
    count = sum(w.size for w in params)
    started = time.perf_counter()
    exact = np.linalg.eigvalsh(ntk(mlp, params, x).astype(np.float64))[::-1]
    trace, square = float(exact.sum()), float((exact**2).sum())
    print(f"n = {n}, {count} parameters; all entries and eigenvalues: {time.perf_counter() - started:.0f} s\n")
    print("| what | error | seconds |")
    print("|---|---|---|")

    def row(what: str, error: str, started: float) -> None:
        print(f"| {what} | {error} | {time.perf_counter() - started:.0f} |", flush=True)

    operator = ntk_operator(mlp, params, x)
    started = time.perf_counter()
    ends = lanczos_ends(operator, count=4)
    above = np.abs(ends.largest / exact[:4] - 1).max()
    below = np.abs(ends.smallest - exact[-4:]).max()
    row("lanczos_ends, 4 largest", f"{above:.1e} relatively", started)
    own = np.abs(ends.smallest / exact[-4:] - 1).max()
    said = f"{below / exact[0]:.1e} lambda_max, {own:.1e} relatively"
    row(f"lanczos_ends, 4 smallest, {ends.products} products in all", said, started)

    def project(directions: int) -> Kernel:
        started = time.perf_counter()
        sketch = gradient_features(mlp, params, x, features=directions)
        found = lanczos_ends(sketch, count=TOP, end="largest", tolerance=1e-5).largest
        error = np.abs(found / exact[:TOP] - 1).max()
        said = f"stated {sketch.quality['stated_error']:.4f}, measured {sketch.quality['measured_error']:.4f}"
        row(f"gradient_features, D = {directions}, {TOP} largest", f"{error:.4f} ({said})", started)
        return sketch

    sketch = project(1024)
    started = time.perf_counter()
    refined = refined_eigenvalues(operator, sketch, count=TOP)
    error = np.abs(refined.values / exact[:TOP] - 1).max()
    row(f"and refined_eigenvalues, {4 * TOP} products", f"{error:.1e}", started)
    started = time.perf_counter()
    factor = nystrom_factor(operator, 200)
    share = factor.quality["residual_share"]
    found = np.square(factor.factor).sum(axis=0)[:TOP] if factor.factor is not None else np.zeros(TOP)
    error = np.abs(found / exact[:TOP] - 1).max()
    row(f"nystrom_factor, rank 200, {TOP} largest", f"{error:.1e} ({share:.4f} of the trace left out)", started)
    started = time.perf_counter()
    found = stochastic_trace(operator)
    row("stochastic_trace, trace", f"{(found.trace - trace) / found.trace_error:+.1f} standard errors", started)
    row("trace of the square", f"{(found.square - square) / found.square_error:+.1f} standard errors", started)
    project(32768)


def scale(*, n: int = 50_000) -> None:
    """Time what serves 50,000 inputs, whose entries would take 20 GB."""
    params, x = network((16, 64, 128, 8)), inputs(n, 16)
    print(f"\nn = {n}\n\n| what | result | seconds |\n|---|---|---|")
    operator = ntk_operator(mlp, params, x)
    started = time.perf_counter()
    largest = lanczos_ends(operator, count=4, end="largest")
    print(f"| lanczos_ends, 4 largest, {largest.products} products | {largest.largest[0]:.5g} | ", end="")
    print(f"{time.perf_counter() - started:.0f} |", flush=True)
    started = time.perf_counter()
    sketch = gradient_features(mlp, params, x, features=500)
    error = sketch.quality["measured_error"]
    print(f"| gradient_features, D = 500 | error {error:.4f} | {time.perf_counter() - started:.0f} |", flush=True)
    started = time.perf_counter()
    share = nystrom_factor(operator, 100).quality["residual_share"]
    print(f"| nystrom_factor, rank 100 | {share:.4f} of the trace left out | {time.perf_counter() - started:.0f} |")


def memory(*, budget: int = 512 << 20) -> None:
    """Measure how much memory each function adds at its peak: compiling, directions and results included."""
    print(f"\nbudget {budget / 2**20:.0f} MiB; 1,000 inputs, 1,122,312 parameters\n")
    print("| what | peak added, MiB | share of the budget |")
    print("|---|---|---|")
    for name in TASKS:
        queue = multiprocessing.get_context("spawn").Queue()
        worker = multiprocessing.get_context("spawn").Process(target=_measured, args=(name, budget, queue))
        worker.start()
        added = queue.get()
        worker.join()
        print(f"| {name} | {added / 2**20:.0f} | {added / budget:.2f} |", flush=True)


def _multiply(params: Any, x: np.ndarray, budget: int) -> object:
    return ntk_operator(mlp, params, x, memory_budget=budget) @ np.ones(len(x))


def _multiply_many(params: Any, x: np.ndarray, budget: int) -> object:
    return ntk_operator(mlp, params, x, memory_budget=budget) @ np.eye(len(x), 32)


def _project(params: Any, x: np.ndarray, budget: int, method: Any) -> object:
    return gradient_features(mlp, params, x, features=64, method=method, memory_budget=budget)


def _measured(name: str, budget: int, queue: Any) -> None:
    """Run a task in a process of its own, with a look at its memory every 5 milliseconds."""
    params, x = network((64, 1024, 1024, 8)), inputs(1000, 64)
    ntk(mlp, params[:], x[:4])  # JAX and its compiler are loaded
    process, peak, done = psutil.Process(), [0], threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    TASKS[name](params, x, budget)
    done.set()
    watcher.join()
    queue.put(peak[0] - before)


TASKS: dict[str, Callable[[Any, np.ndarray, int], object]] = {
    "ntk_operator, one product": _multiply,
    "ntk_operator, 32 products at once": _multiply_many,
    "ntk_diagonal": lambda p, x, b: ntk_diagonal(mlp, p, x, memory_budget=b),
    "gradient_features, forward, D = 64": lambda p, x, b: _project(p, x, b, "forward"),
    "gradient_features, reverse, D = 64": lambda p, x, b: _project(p, x, b, "reverse"),
}
PARTS = {"accuracy": accuracy, "scale": scale, "memory": memory}


def main(names: list[str]) -> None:
    """Run the parts named, or all."""
    for name in names or list(PARTS):
        PARTS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
