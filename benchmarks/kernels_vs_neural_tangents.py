"""Speed of every kernel here against neural-tangents 0.6.5 on the same CPU, warm, interleaved, in one run.

Run `python -m benchmarks.kernels_vs_neural_tangents`. Each contest runs in a process of its own, JAX on all cores,
OpenBLAS on one and free to choose its kernels for this processor; medians are over interleaved repetitions, so a busy
machine slows both sides alike. Memory is the growth of the process's peak resident size over one more call.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.environment import run_module

N, DIM = 256, 64


def contestants(contest: str) -> tuple[str, dict[str, Callable[[], np.ndarray]]]:
    """Return the title of a contest and the functions to time, ours first."""
    import jax
    import jax.numpy as jnp

    from ntk1bit import autodiff, kernels
    from ntk1bit.autodiff import infinite
    from ntk1bit.networks.two_layer import init

    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, DIM)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    on_device = jnp.asarray(x)

    def theirs(f: Callable[[Any, Any], Any], params: Any, name: str) -> Callable[[], np.ndarray]:
        return lambda: infinite.structured_ntk(f, params, on_device, implementation=name)

    if contest.startswith("two-layer"):
        width = int(contest.split()[-1])
        weights = init(width, DIM, seed=0)
        a = jnp.asarray(weights.a[:, None])
        w = jnp.asarray(weights.w.T)  # (d, m): its structured derivatives are 10 times slower on a transposed weight

        def two_layer(p: Any, inputs: Any) -> Any:
            return jax.nn.relu(inputs @ p) @ a / np.sqrt(width)

        rivals: dict[str, Callable[[], np.ndarray]] = {
            "empirical_ntk": lambda: kernels.empirical_ntk(x, weights, precision="full")
        }
        names = ["STRUCTURED_DERIVATIVES"]
        if width <= 4096:
            rivals["ntk, jacobian"] = lambda: autodiff.ntk(two_layer, w, on_device, method="jacobian")
            rivals["ntk, vector_products"] = lambda: autodiff.ntk(two_layer, w, on_device, method="vector_products")
            names += ["JACOBIAN_CONTRACTION", "NTK_VECTOR_PRODUCTS"]
        rivals |= {f"neural-tangents, {name.lower()}": theirs(two_layer, w, name) for name in names}
        return f"two-layer, width {width}, hidden weights", rivals

    sizes = [DIM, 968, 968, 1]
    params = [jnp.asarray(rng.standard_normal(s).astype(np.float32)) for s in itertools.pairwise(sizes)]

    def mlp(p: Any, inputs: Any) -> Any:
        h = inputs
        for i, w in enumerate(p):
            z = h @ w / np.float32(np.sqrt(w.shape[0]))
            h = jax.nn.relu(z) if i + 1 < len(p) else z
        return h

    return "3-layer MLP, 999,944 parameters", {
        "ntk": lambda: autodiff.ntk(mlp, params, on_device),
        "ntk, jacobian": lambda: autodiff.ntk(mlp, params, on_device, method="jacobian", memory_budget=5 << 29),
        **{
            f"neural-tangents, {name.lower()}": theirs(mlp, params, name)
            for name in ("STRUCTURED_DERIVATIVES", "JACOBIAN_CONTRACTION")
        },
    }


def peak_growth(call: Callable[[], np.ndarray]) -> float:
    """Return by how many MiB the resident size rises above its start during a call."""
    import psutil

    process, done, peak = psutil.Process(), threading.Event(), [0]
    start = process.memory_info().rss

    def watch() -> None:
        while not done.is_set():
            peak[0] = max(peak[0], process.memory_info().rss)
            time.sleep(0.0005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _ in range(3):
            call()
    finally:
        done.set()
        watcher.join()
    return max(peak[0] - start, 0) / 2**20


def run(contest: str, only: str | None) -> dict[str, Any]:
    """Time a contest, or measure the memory of one contestant in a fresh process."""
    title, rivals = contestants(contest)
    if only is not None:
        import gc

        rivals[only]()  # compiled, and every library loaded
        gc.collect()
        return {"memory": peak_growth(rivals[only])}
    results = {name: call() for name, call in rivals.items()}
    reference = next(iter(results.values()))
    for name, value in results.items():
        error = float(np.abs(value - reference).max() / np.abs(reference).max())
        if not error < 1e-4:
            raise SystemExit(f"{title}: {name} differs from the first by {error:.1e}")
    times: dict[str, list[float]] = {name: [] for name in rivals}
    started = time.perf_counter()
    while time.perf_counter() - started < 10 or min(map(len, times.values())) < 3:
        for name, call in rivals.items():
            begin = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - begin)
    return {"title": title, "seconds": {name: float(np.median(t)) for name, t in times.items()}}


def in_a_process(*arguments: str) -> dict[str, Any]:
    """Run this module in a child process, where OpenBLAS may choose for itself."""
    one_thread = {"OPENBLAS_NUM_THREADS": "1"}  # a second thread that waits for a busy core makes it 10 times slower
    child = run_module("benchmarks.kernels_vs_neural_tangents", arguments, variables=one_thread, capture=True)
    child.check_returncode()
    return json.loads(child.stdout.splitlines()[-1])


def main() -> None:
    """Print a table for each contest."""
    for contest in ("two-layer 1024", "two-layer 4096", "two-layer 16384", "mlp"):
        results = in_a_process(contest)
        first, best = next(iter(results["seconds"].items()))
        print(f"\n{results['title']}, n = {N}\n")
        print(f"| | seconds | times {first} | added peak MiB |\n|---|---|---|---|")
        for name, seconds in results["seconds"].items():
            memory = in_a_process(contest, name)["memory"]
            print(f"| {name} | {seconds:.4f} | {seconds / best:.2f} | {memory:.0f} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(run(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)))
    else:
        main()
