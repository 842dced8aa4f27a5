"""Random networks of sub-programs and quantisers: each verdict is what the making and the Jacobian say."""

from __future__ import annotations

import itertools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from ntk1bit.autodiff.missing_gradients.gradient_paths import MissingGradientWarning, check_gradient_paths
from ntk1bit.errors import InputError

still = lax.stop_gradient
LENGTH = 3  # rows of a parameter, and steps of a loop


@jax.custom_jvp
def declared(w):
    return jnp.sign(w)


declared.defjvp(lambda at, by: (declared(*at), by[0]))


@jax.custom_vjp
def pulled(w):
    return jnp.sign(w)


pulled.defvjp(lambda w: (pulled(w), None), lambda _, g: (g,))


def masked(w):
    inside = (jnp.abs(w) <= 1).astype(w.dtype)
    return w * inside + still(jnp.sign(w) - w * inside)


BARE = {
    "sign": jnp.sign,
    "round": lambda w: jnp.round(3 * w),
    "floor": lambda w: jnp.floor(3 * w),
    "where": lambda w: jnp.where(w > 0, 1.0, -1.0),
    "astype": lambda w: 2 * (w >= 0).astype(jnp.float32) - 1,
    "integers": lambda w: (3 * w).astype(jnp.int32).astype(jnp.float32),
    "heaviside": lambda w: 2 * jnp.heaviside(w, 1) - 1,
    "ratio": lambda w: w / jnp.abs(w),
    "copysign": lambda w: jnp.copysign(1.0, w),
    "remainder": lambda w: 3 * w - (3 * w) % 1,
    "argmax": lambda w: jax.nn.one_hot(jnp.argmax(w, axis=-1), w.shape[-1]),
    "codebook": lambda w: jnp.array([-1.0, -0.3, 0.3, 1.0])[jnp.searchsorted(jnp.array([-0.5, 0.0, 0.5]), w)],
}
KINDS = {
    "smooth": {
        "plain": lambda w: w,
        "tanh": jnp.tanh,
        "leaky": lambda w: jnp.where(w > 0, w, 0.1 * w),
        "relu": jax.nn.relu,
    },
    "estimator": {
        "stop_gradient": lambda w: w + still(jnp.sign(w) - w),
        "custom_jvp": declared,
        "masked": masked,
        "chosen": lambda w: jnp.where(jnp.abs(w) <= 1, w, still(w)) + still(jnp.sign(w) - w),
    },
    "dead": {
        "plain": still,
        "sign": lambda w: still(jnp.sign(w)),
        "where": lambda w: jnp.where(still(w) > 0, 1.0, -1.0),
    },
    "unused": {"unused": lambda w: jnp.ones_like(w)},
    "bare": BARE,
    "half": {name: lambda w, q=q: jnp.abs(w).mean() * q(w) for name, q in BARE.items() if name != "remainder"},
}


def plain(q, w, x):
    return jnp.tanh(x @ q(w).T).sum(axis=1)


def checkpointed(q, w, x):
    return jax.checkpoint(lambda w, x: plain(q, w, x))(w, x)


def compiled(q, w, x):
    return jax.jit(lambda w, x: plain(q, w, x))(w, x)


def branch(q, w, x):
    return lax.cond(x[0, 0] < 1e9, lambda w: plain(q, w, x), lambda w: w.sum() * x[:, 0], w)


def scanned_over(q, w, x):
    def step(carry, rows):
        return carry + jnp.tanh(x @ q(rows[0])), rows[1].sum()

    return lax.scan(step, jnp.zeros(len(x)), (w, jnp.ones((len(w), 2))))[0]


def scanned_with(q, w, x):
    return lax.scan(lambda h, _: (jnp.tanh(h + plain(q, w, x)), None), x[:, 0], None, length=LENGTH)[0]


def mapped(q, w, x):
    return lax.map(lambda row: jnp.tanh(x @ q(row)), w).sum(axis=0)


def repeated(q, w, x):
    return lax.fori_loop(0, LENGTH, lambda i, h: h + jnp.tanh(x @ q(w[i])), x[:, 0])


def looped(q, w, x):
    def step(carry):
        return carry[0] + 1, carry[1] + plain(q, w, x) / carry[0]

    return lax.while_loop(lambda carry: carry[0] < LENGTH, step, (1, x[:, 0]))[1]


def cumulative(q, w, x):
    return jnp.tanh(x @ lax.associative_scan(jnp.add, q(w)).T).sum(axis=1)


def nested(q, w, x):
    return jax.jit(
        jax.checkpoint(lambda w, x: lax.cond(True, lambda w: scanned_over(q, w, x), lambda w: w[0, 0] * x[:, 0], w))
    )(w, x)


HOMES = [
    plain,
    checkpointed,
    compiled,
    branch,
    scanned_over,
    scanned_with,
    mapped,
    repeated,
    looped,
    cumulative,
    nested,
]


def draw(rng, parameters):
    """Return a network of so many parameters, with (kind, quantiser, home) of each."""
    made = []
    for _ in range(parameters):
        kind = str(rng.choice(list(KINDS), p=[0.25, 0.25, 0.2, 0.1, 0.1, 0.1]))
        name = str(rng.choice(list(KINDS[kind])))
        made.append((kind, name, HOMES[rng.integers(len(HOMES))]))

    def network(params, x):
        parts = [home(KINDS[kind][name], w, x) for w, (kind, name, home) in zip(params, made, strict=True)]
        return sum(parts) + jnp.tanh(parts[0] * parts[-1])

    return network, made


def verdict(network, params, x):
    """Return the names that the error or the warning gives, under "error" or "warning"; nothing if silent."""
    names = [f"<{i}>" for i in range(len(params))]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            check_gradient_paths(network, params, (x,), names)
        except InputError as error:
            return "error", [i for i, name in enumerate(names) if name in str(error)]
    told = [str(w.message) for w in seen if w.category is MissingGradientWarning]
    return ("warning", [i for i, name in enumerate(names) if name in told[0]]) if told else ("silent", [])


def check(seed, parameters):
    rng = np.random.default_rng([5, seed])
    network, made = draw(rng, parameters)
    params = tuple(jnp.asarray(rng.standard_normal((LENGTH, 4)), jnp.float32) for _ in range(parameters))
    x = jnp.asarray(rng.standard_normal((2, 4)), jnp.float32)
    jacobian = jax.jit(jax.jacfwd(network))(params, x)
    for (kind, name, home), part in zip(made, jacobian, strict=True):
        has_none = kind in ("bare", "dead", "unused")
        # a ratio's derivative is zero but for rounding; others are exact
        assert (float(jnp.abs(part).max()) < 1e-5) == has_none, (kind, name, home.__name__)
    bare = [i for i, (kind, *_) in enumerate(made) if kind == "bare"]
    half = [i for i, (kind, *_) in enumerate(made) if kind == "half"]
    found = verdict(network, params, x)
    if bare:
        # what the program alone tells comes first, so that not all need be named
        assert found[0] == "error", (found, made)
        assert found[1], (found, made)
        assert set(found[1]) <= set(bare), (found, made)
    else:
        assert found == (("warning", half) if half else ("silent", [])), (found, made)


@pytest.mark.parametrize("seed", range(3))
def test_a_few_random_networks(seed):
    check(seed, 4)


@pytest.mark.parametrize("seed", [148, 382])
def test_a_mask_that_jumps_or_a_steep_slope_hides_no_quantiser(seed):
    check(seed, 3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 220))
def test_many_random_networks(seed):
    check(seed, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "home"), list(itertools.product(("half", "estimator", "smooth", "dead", "bare"), HOMES))
)
def test_every_quantiser_in_every_home(kind, home):
    x = jnp.asarray(np.random.default_rng(1).standard_normal((2, 4)), jnp.float32)
    w = jnp.asarray(np.random.default_rng(2).standard_normal((LENGTH, 4)), jnp.float32)
    expected = {"half": ("warning", [0]), "bare": ("error", [0])}.get(kind, ("silent", []))
    for name, q in KINDS[kind].items():
        found = verdict(lambda p, x, q=q: home(q, p[0], x) + x @ p[1], (w, w[0]), x)
        assert found == expected, (name, home.__name__)
