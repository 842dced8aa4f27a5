"""Random small networks of JAX libraries, and the error of their kernel against an explicit Jacobian in float64."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.autodiff import module_ntk, quantize
from ntk1bit.autodiff.frameworks.weight_quantiser import Bits
from ntk1bit.networks.array_quantizers import Passing

BITS: tuple[Bits, ...] = ("one_bit", "one_bit_tensor", "ternary", "int8")
SURROGATES: tuple[Passing, ...] = ("identity", "clipped", "tanh")
FAMILIES = ("dense", "conv", "attention", "scan", "tied", "layernorm")


def dense(rng, key):
    width, depth, outputs = (int(n) for n in rng.integers(1, 5, 3))
    module = eqx.nn.MLP(3, outputs, width + 1, depth, activation=jnp.tanh, key=key)
    return module, rng.standard_normal((4, 3)), {}


def conv(rng, key):
    nn = pytest.importorskip("flax.linen")

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x, train=True):
            h = nn.Conv(int(channels), (2, 3), dtype=jnp.float64, param_dtype=jnp.float64)(x)
            h = nn.BatchNorm(use_running_average=not train, dtype=jnp.float64, param_dtype=jnp.float64)(h)
            h = nn.gelu(h).mean(axis=(1, 2))
            return nn.Dense(2, dtype=jnp.float64, param_dtype=jnp.float64)(h)

    channels, x = rng.integers(1, 5), rng.standard_normal((4, 4, 3, 2))
    return Net(), x, {"params": Net().init(key, x, train=False)}


def attention(rng, key):
    nn = pytest.importorskip("flax.nnx")
    heads, size = (int(n) for n in rng.integers(1, 4, 2))

    class Net(nn.Module):
        def __init__(self, rngs):
            kind = {"dtype": jnp.float64, "param_dtype": jnp.float64, "rngs": rngs}
            self.table = nn.Embed(6, 4, **kind)
            self.norm = nn.LayerNorm(4, **kind)
            self.attention = nn.MultiHeadAttention(heads, 4, heads * size, dropout_rate=0.1, decode=False, **kind)
            self.head = nn.Linear(4, 2, **kind)

        def __call__(self, tokens):
            h = self.table(tokens)
            return self.head((h + self.attention(self.norm(h))).mean(axis=1))

    return Net(nn.Rngs(int(rng.integers(1000)))), rng.integers(0, 6, (4, 3)), {}


def scan(rng, key):
    size, steps = (int(n) for n in rng.integers(1, 5, 2))

    class Net(eqx.Module):
        cell: eqx.nn.GRUCell
        head: eqx.nn.Linear

        def __call__(self, x):
            carry = jnp.zeros(self.cell.hidden_size)
            return self.head(jax.lax.scan(lambda h, row: (self.cell(row, h), None), carry, x)[0])

    first, second = jax.random.split(key)
    module = Net(eqx.nn.GRUCell(2, size, key=first), eqx.nn.Linear(size, 2, key=second))
    return module, rng.standard_normal((4, steps, 2)), {}


def tied(rng, key):
    hk = pytest.importorskip("haiku")
    size = int(rng.integers(1, 6))

    def network(tokens):
        table = hk.get_parameter("embeddings", (6, size), jnp.float64, hk.initializers.RandomNormal())
        return jnp.tanh(table[tokens]).mean(axis=1) @ table.T

    made, tokens = hk.transform(network), rng.integers(0, 6, (4, 3))
    return made, tokens, {"params": made.init(key, tokens)}


def layernorm(rng, key):
    width = int(rng.integers(2, 6))

    def network(p, x):
        h = x["a"] @ p["in"] + x["b"][:, None]
        h = (h - h.mean(axis=1, keepdims=True)) / jnp.sqrt(h.var(axis=1, keepdims=True) + 1e-3)
        return jax.nn.silu(h * p["gain"] + p["bias"]) @ p["out"]

    shapes = {"in": (3, width), "gain": (width,), "bias": (width,), "out": (width, 2)}
    params = {name: jnp.asarray(rng.standard_normal(shape)) for name, shape in shapes.items()}
    return network, {"a": rng.standard_normal((4, 3)), "b": rng.standard_normal(4)}, {"params": params}


def draw(family: str, seed: int) -> tuple[Any, Any, dict[str, Any]]:
    """Return a network, inputs and what else `module_ntk` takes; every second network is quantised."""
    rng = np.random.default_rng([11, seed, FAMILIES.index(family)])
    module, x, given = globals()[family](rng, jax.random.key(seed))
    if seed % 2:
        module = quantize(module, BITS[rng.integers(4)], surrogate=SURROGATES[rng.integers(3)])
    return module, x, given


def relative_error(module: Any, x: Any, given: dict[str, Any]) -> float:
    """Return the largest error of the kernel over its largest entry."""
    from ntk1bit.autodiff.frameworks.jax_calls import batch_function
    from ntk1bit.autodiff.frameworks.recognition import library_of, open_network

    network = open_network(module, library_of(module), state=None, **{"params": None, **given})
    f = batch_function(network, jax.tree.map(jnp.asarray, x), None).f
    arrays, rest = eqx.partition(network.params, eqx.is_inexact_array)
    x_arrays = jax.tree.map(jnp.asarray, x)
    # a whole Jacobian, pushed forward: nothing of it is taken row by row
    tree = jax.jacfwd(lambda p: f(eqx.combine(p, rest), x_arrays))(arrays)
    jacobian = np.concatenate([np.asarray(leaf).reshape(*leaf.shape[:2], -1) for leaf in jax.tree.leaves(tree)], axis=2)
    expected = np.einsum("iop,jqp->ijoq", jacobian, jacobian)
    found = module_ntk(module, x, trace_outputs=False, **given)
    assert found.dtype == np.float64
    return float(np.abs(found - expected).max() / np.abs(expected).max())
