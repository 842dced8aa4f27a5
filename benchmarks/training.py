"""The races of training: one descent step on the cores against the NumPy trainer and the same step jitted by JAX.

A step is: quantise, forward, residual, gradient, update. JAX cannot be held to one thread in a running process, so it
takes part only in races that allow every core.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable

import numpy as np

from benchmarks.contest import Contest, Pair, Sizes, goals
from ntk1bit import cores
from ntk1bit.networks import two_layer
from ntk1bit.networks.two_layer.engines import Engine, PackedEngine, ReferenceEngine

ETA = 1e-3  # small: however many steps a race takes, the networks stay where they are


def step(sizes: Sizes, rng: np.random.Generator, *, precision: two_layer.Precision) -> Contest:
    """Race one training step of a two-layer network."""
    x = rng.standard_normal((sizes.n, sizes.d), dtype=np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = np.where(rng.random(sizes.n) < 0.5, -1, 1).astype(np.float32)
    start = two_layer.init(sizes.m, sizes.d, seed=0, init="iid" if sizes.m % 2 else "paired")

    def on(kind: type[PackedEngine] | type[ReferenceEngine]) -> Callable[[], np.ndarray]:
        engine: Engine = kind(x, two_layer.Weights(start.w.copy(), start.a), precision, 1.0, "std")

        def advance() -> np.ndarray:
            f = engine.forward()
            engine.descend(f - y, ETA)
            return engine.weights.w

        return advance

    rivals = {"numpy": on(ReferenceEngine)}
    if cores.settings().threads >= (os.cpu_count() or 1):
        rivals |= {name: _in_jax(x, y, start, precision, wide=name == "jax (n, m)") for name in ("jax (n, m)", "jax")}
    ours = on(PackedEngine)
    after_one_step = ours().copy()
    for rival in rivals.values():
        np.testing.assert_allclose(rival(), after_one_step, rtol=0, atol=1e-5)  # rounding of float32
    packed = cores.pack_neurons(start.w).signs.nbytes if precision == "one_bit" else start.w.nbytes
    return Contest(ours, rivals, packed, start.w.nbytes)


def _in_jax(
    x: np.ndarray, y: np.ndarray, start: two_layer.Weights, precision: str, *, wide: bool
) -> Callable[[], np.ndarray]:
    import jax
    import jax.numpy as jnp

    inputs, targets, a = jnp.asarray(x), jnp.asarray(y), jnp.asarray(start.a)
    factor = 1 / np.sqrt(start.width)

    @functools.partial(jax.jit, donate_argnums=0)
    def advance(w: jax.Array) -> jax.Array:
        effective = w
        if precision == "one_bit":
            mu = w.mean(axis=1, keepdims=True)
            c = w - mu
            s = jnp.sqrt((c * c).mean(axis=1, keepdims=True))
            effective = jnp.where(c >= 0, s, -s) + mu
        z = inputs @ effective.T if wide else effective @ inputs.T
        f = factor * (jax.nn.relu(z) @ a if wide else a @ jax.nn.relu(z))
        weighted_inputs = (f - targets)[:, None] * inputs
        active = (z >= 0).astype(jnp.float32)
        gradient = active.T @ weighted_inputs if wide else active @ weighted_inputs
        return w - (ETA * factor) * a[:, None] * gradient

    state = [jnp.asarray(start.w.copy())]

    def run() -> np.ndarray:
        state[0] = advance(state[0]).block_until_ready()
        return np.asarray(state[0])  # no copy on the CPU

    return run


ONE_BIT = functools.partial(step, precision="one_bit")
FULL = functools.partial(step, precision="full")
PAIRS = (
    Pair("train_one_bit", Sizes(256, 64, 16384), ONE_BIT, {("avx512", 2): 4, ("avx2", 1): 5}),
    Pair("train_one_bit", Sizes(256, 64, 1024), ONE_BIT, goals(avx2=3)),
    Pair("train_one_bit", Sizes(1024, 784, 8192), ONE_BIT, goals(avx2=4)),
    Pair("train_full", Sizes(256, 64, 16384), FULL),
    Pair("train_full", Sizes(1024, 784, 8192), FULL),
)
