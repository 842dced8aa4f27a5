from __future__ import annotations

import functools
import gc
import weakref
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.autodiff import ntk, programs
from ntk1bit.errors import InputError

METHODS: list[Literal["jacobian", "vector_products"]] = ["jacobian", "vector_products"]
W = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
X = np.random.default_rng(1).standard_normal((5, 4)).astype(np.float32)


class Scaled:
    """A callable whose attribute changes; without a hash, as many classes with __eq__ have none."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, scale):
        self.scale = scale

    def __eq__(self, other):
        return isinstance(other, Scaled)

    def __call__(self, p, x):
        return (x @ p).sum(axis=1) * self.scale

    def method(self, p, x):
        return self(p, x)


class Module(eqx.Module):
    scale: jax.Array

    def __call__(self, p, x):
        return (x @ p).sum(axis=1) * self.scale


def by_rule(scale):
    """A function whose derivative alone depends on `scale`."""

    @jax.custom_jvp
    def identity(w):
        return w

    identity.defjvp(lambda primals, tangents: (primals[0], tangents[0] * scale))
    return lambda p, x: (x @ identity(p)).sum(axis=1)


def by_reverse_rule(scale):
    @jax.custom_vjp
    def identity(w):
        return w

    identity.defvjp(lambda w: (w, None), lambda _, g: (g * scale,))
    return lambda p, x: (x @ identity(p)).sum(axis=1)


def mutable():
    f = Scaled(1.0)

    def change():
        f.scale = 2.0

    return f, change


def mutable_method():
    f = Scaled(1.0)

    def change():
        f.scale = 2.0

    return f.method, change


def cell():
    scale = 1.0

    def f(p, x):
        return (x @ p).sum(axis=1) * scale

    def change():
        nonlocal scale
        scale = 2.0

    return f, change


def array_cell():
    scale = np.ones(3, np.float32)

    def f(p, x):
        return (x @ p) @ scale

    return f, lambda: scale.__imul__(2)


def partial():
    inner = Scaled(1.0)

    def change():
        inner.scale = 2.0

    return functools.partial(lambda inner, p, x: inner(p, x), inner), change


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("make", [mutable, mutable_method, cell, array_cell, partial])
def test_a_function_that_changed_is_not_taken_for_what_it_was(make, method):
    f, change = make()
    before = ntk(f, W, X, method=method)
    change()
    np.testing.assert_allclose(ntk(f, W, X, method=method), 4 * before, rtol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda s: Module(jnp.float32(s)),
        lambda s: jax.jit(lambda p, x: (x @ p).sum(axis=1) * jnp.full(1, s)),
        lambda s: lambda p, x: jax.lax.map(jax.jit(lambda one: (one @ p).sum() * np.full((), s, np.float32)), x),
        by_rule,
        by_reverse_rule,
    ],
    ids=["module", "jitted", "jitted in a scan", "custom_jvp", "custom_vjp"],
)
def test_functions_of_one_program_are_told_apart_by_what_they_hold(make):
    one, two = (ntk(make(scale), W, X, method="jacobian") for scale in (1.0, 2.0))
    np.testing.assert_allclose(two, 4 * one, rtol=1e-6)


@pytest.mark.parametrize("jitted", [False, True])
def test_captured_arrays_are_not_kept_alive(jitted):
    def make():
        scale = jnp.arange(3.0)
        f = lambda p, x: jax.nn.relu(x @ p) @ scale  # noqa: E731
        return (jax.jit(f) if jitted else f), weakref.ref(scale)

    alive = []
    for _ in range(3):
        f, array = make()
        ntk(f, W, X)
        alive.append(array)
        del f
    gc.collect()
    assert [array() for array in alive] == [None] * 3


def test_compiled_code_is_found_again_for_another_object_of_the_same_program(monkeypatch):
    ntk(lambda p, x: (x @ p).sum(axis=1) * 1.5, W, X)
    made = []
    honest = programs.kept
    monkeypatch.setattr(programs, "kept", lambda key, make: honest(key, lambda: made.append(key) or make()))
    ntk(lambda p, x: (x @ p).sum(axis=1) * 1.5, W, X)
    assert made == []
    ntk(lambda p, x: (x @ p).sum(axis=1) * 1.25, W, X)
    assert made


def test_numbers_that_are_equal_and_not_the_same_are_told_apart():
    def key(f):
        return programs.trace(f, jnp.ones(3)).key

    assert key(lambda x: x / 0.0) != key(lambda x: x / -0.0)
    assert key(lambda x: x + jnp.nan) == key(lambda x: x + jnp.nan)
    assert key(lambda x: x * 2) == key(lambda y: y * 2)
    assert key(lambda x: x[0]) != key(lambda x: x[1])


TOKENS = np.array([[0, 1], [2, 9], [3, -1], [6, -20], [5, 7]])
TABLE = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)
READS = {
    "index": lambda p, t: p[t].sum(axis=(1, 2)),
    "one index": lambda p, t: p[t[:, 0]].sum(axis=1) + p[9].sum(),
    "clip": lambda p, t: jnp.take(p, t, axis=0, mode="clip").sum(axis=(1, 2)),
    "fill": lambda p, t: jnp.take(p, t, axis=0, mode="fill", fill_value=0).sum(axis=(1, 2)),
    "promise": lambda p, t: p.at[t].get(mode="promise_in_bounds").sum(axis=(1, 2)),
    "vmap": lambda p, t: jax.vmap(lambda row: p[row].sum())(t),
    "scan": lambda p, t: jax.lax.map(lambda row: p[row].sum(), t),
    "jit": lambda p, t: jax.jit(lambda q, u: q[u])(p, t).sum(axis=(1, 2)),
    "checkpoint": lambda p, t: jax.checkpoint(lambda q, u: q[u])(p, t).sum(axis=(1, 2)),
    "slice": lambda p, t: jax.vmap(lambda i: jax.lax.dynamic_slice(p, (i, 0), (2, 3)).sum())(t[:, 1]),
    "one hot": lambda p, t: (jax.nn.one_hot(t, 7) @ p).sum(axis=(1, 2)),
    "set": lambda p, t: jax.vmap(lambda i: p.at[i].set(0.0).sum())(t[:, 1]),
    "add": lambda p, t: jax.vmap(lambda i: jnp.zeros((7, 3)).at[i].add(p[0]).sum())(t[:, 1]),
    "embedding": lambda p, t: jax.vmap(jax.vmap(eqx.nn.Embedding(weight=p)))(t).sum(axis=(1, 2)),
}


@pytest.mark.parametrize("read", READS)
def test_an_index_out_of_range_counts_as_it_does_in_f(read):
    f = READS[read]
    kernels = [ntk(f, TABLE, TOKENS, method=method) for method in METHODS]
    # every f here is linear in the table: its Jacobian is f at the unit tables
    units = jnp.eye(TABLE.size, dtype=jnp.float32).reshape(-1, *TABLE.shape)
    j = np.asarray(jax.vmap(lambda p: f(p, jnp.asarray(TOKENS)))(units)).T
    for kernel in kernels:
        np.testing.assert_array_equal(kernel, kernel.T)
        np.testing.assert_allclose(kernel, j @ j.T, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_an_index_out_of_range_that_gives_nan_is_refused(method):
    for tokens in (TOKENS, np.vstack([np.zeros((40, 2), int), TOKENS])):  # among the first rows, and beyond them
        with pytest.raises(InputError, match=r"is NaN.*indices beyond a table"):
            ntk(lambda p, t: jnp.take(p, t, axis=0).sum(axis=(1, 2)), TABLE, tokens, method=method)


def while_loop(p, x):
    return jax.lax.while_loop(lambda c: c[1] < 3, lambda c: (jnp.tanh(c[0]), c[1] + 1), (x @ p, 0))[0].sum(axis=1)


def dynamic_fori(p, x):
    return jax.lax.fori_loop(0, jnp.int32(x[0, 0]), lambda _, h: jnp.tanh(h), x @ p).sum(axis=1)


def missing(p, x):
    raise KeyError("w")


BROKEN = {
    "while_loop": (while_loop, "lax.while_loop.*cannot be differentiated backwards; use lax.scan"),
    "dynamic fori_loop": (dynamic_fori, "lax.while_loop.*fixed bounds"),
    "nextafter": (
        lambda p, x: jnp.nextafter(x @ p, 9.0).sum(axis=1),
        "uses 'nextafter', for which JAX has no derivative",
    ),
    "if": (lambda p, x: (x @ p).sum(axis=1) if x[0, 0] > 0 else x[:, 0], "looks at values"),
    "NumPy": (lambda p, x: np.tanh(x @ p).sum(axis=1), "looks at values"),
    "int()": (lambda p, x: (x @ p)[:, int(p[0, 0])], "looks at values"),
    "boolean index": (lambda p, x: (x @ p)[x[:, 0] > 0].sum(axis=1), "looks at values"),
    "complex x": (lambda p, x: (x + 1j) @ p, "returns complex numbers"),
    "shapes": (lambda p, x: x @ p @ p, r"fails for x of shape \(1, 4\): TypeError: dot_general requires"),
    "its own error": (missing, r"fails for x of shape \(1, 4\): KeyError: 'w'"),
    "callback": (
        lambda p, x: jax.pure_callback(lambda h: h, jax.ShapeDtypeStruct((len(x),), np.float32), (x @ p).sum(axis=1)),
        "cannot be differentiated: .*Pure callbacks",
    ),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", BROKEN)
def test_what_jax_raises_becomes_one_line(name, method):
    f, message = BROKEN[name]
    with pytest.raises(InputError, match=message) as caught:
        ntk(f, W, X, method=method)
    assert "\n" not in str(caught.value)


def test_a_loop_that_is_not_differentiated_may_be_of_any_kind():
    def f(p, x):
        h = jax.lax.while_loop(lambda c: c[1] < 3, lambda c: (jnp.tanh(c[0]), c[1] + 1), (x, 0))[0]
        return (h @ p).sum(axis=1)

    h = np.tanh(np.tanh(np.tanh(X.astype(float))))
    expected = 3 * h @ h.T
    # float32 sums of products, which cancel in some entries: off by roundings of the largest
    np.testing.assert_allclose(ntk(f, W, X), expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


def test_a_compiled_function_is_found_again_by_its_program_and_reads_captured_arrays_anew():
    def capturing(scale):
        array = jnp.full(3, scale)
        return lambda w, x: {"product": x @ w * array, "gradient": jax.grad(lambda w: (x @ w).sum())(w)}

    run = programs.compiled("test", capturing(2.0), jnp.asarray(W), jnp.asarray(X))
    gradient, product = run(jnp.asarray(W), jnp.asarray(X))  # leaves in the order of their keys
    np.testing.assert_allclose(product, 2 * X @ W, rtol=1e-5, atol=1e-6)  # float32
    np.testing.assert_allclose(gradient, np.repeat(X.sum(axis=0)[:, None], 3, axis=1), rtol=1e-5, atol=1e-6)
    held = list(programs._kept)
    again = programs.compiled("test", capturing(3.0), jnp.asarray(W), jnp.asarray(X))
    assert list(programs._kept) == held
    np.testing.assert_allclose(again(jnp.asarray(W), jnp.asarray(X))[1], 3 * X @ W, rtol=1e-5, atol=1e-6)
