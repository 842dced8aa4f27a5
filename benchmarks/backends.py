"""How fast sweeps train in JAX, on the device that it finds, and on the cores; prints the table of both.

Run `python -m benchmarks.backends [--widths 64,1024] [--networks 8] [--steps 200] [--rounds 3]`. Both train the same
networks on the same data in one process and take turns; a turn of JAX is all networks side by side, one of the cores
one network after the other on all threads. The first turn, in which programs are compiled, does not count, but is
printed. Kernels and eigenvalues at checkpoints are part of either.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from ntk1bit import cores
from ntk1bit.data import tasks
from ntk1bit.networks import two_layer
from ntk1bit.networks.two_layer import Precision
from ntk1bit.processors import processor_name
from ntk1bit.training.two_layer import train_side_by_side

PRECISIONS: tuple[Precision, ...] = ("one_bit", "full")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a row for each width and precision."""
    options = _options(arguments)
    device = jax.devices()[0]
    settings = cores.settings()
    print(f"JAX {jax.__version__} on {device.device_kind} ({device.platform}); cores on {processor_name()}", end=", ")
    print(f"backend {settings.backend}, {settings.threads} threads; {options.networks} networks, {options.steps} steps")
    print("| precision | width | JAX, first s | JAX s | cores s | cores / JAX | quartiles |")
    print("|---|---|---|---|---|---|---|")
    task = tasks.load("digits", n_train=256, n_test=512)
    for width in map(int, options.widths.split(",")):
        starts = [two_layer.init(width, task.dim, seed=seed) for seed in range(options.networks)]
        for precision in PRECISIONS:
            shared: dict[str, Any] = {"precision": precision, "steps": options.steps, "x_test": task.x_test}

            def in_jax(starts: Any = starts, shared: Any = shared) -> list[float]:
                return [float(run.loss[1]) for run in train_side_by_side(task.x, task.y, starts, **shared)]

            def on_cores(starts: Any = starts, shared: Any = shared) -> list[float]:
                return [float(two_layer.train(task.x, task.y, one, **shared).loss[1]) for one in starts]

            first, ours = seconds(in_jax)
            _, theirs = seconds(on_cores)
            np.testing.assert_allclose(ours, theirs, rtol=1e-4)  # float32 rounding of one step
            times = np.array([(seconds(in_jax)[0], seconds(on_cores)[0]) for _ in range(options.rounds)])
            low, ratio, high = np.quantile(times[:, 1] / times[:, 0], (0.25, 0.5, 0.75))
            jax_s, cores_s = np.median(times, axis=0)
            print(
                f"| {precision} | {width} | {first:.2f} | {jax_s:.2f} | {cores_s:.2f} | {ratio:.2f} "
                f"| {low:.2f} to {high:.2f} |",
                flush=True,
            )


def seconds(run: Callable[[], list[float]]) -> tuple[float, list[float]]:
    """Return how long a call takes, and what it returns."""
    began = time.perf_counter()
    found = run()
    return time.perf_counter() - began, found


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backends", description="Race the backends of sweeps.")
    parser.add_argument("--widths", default="64,1024,16384", help="numbers of neurons")
    parser.add_argument("--networks", type=int, default=8, help="trained in one turn")
    parser.add_argument("--steps", type=int, default=200, help="of descent")
    parser.add_argument("--rounds", type=int, default=3, help="turns that count")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
