"""Quantisers from the smallest to the largest float of every dtype, in NumPy and in JAX, against real arithmetic.

Real arithmetic is `numpy.longdouble`: 64 bits, and exponents that no sum or square of float64 numbers leaves.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from ntk1bit.networks import quantizers
from ntk1bit.networks import straight_through as ste
from ntk1bit.networks.bitlinear import ELASTIC_STEP, LayerNorm, Projection, projection
from ntk1bit.networks.transformer_shape import ARMS, Arm, layer_of

DTYPES = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]
ROWS, COLUMNS = 300, 12
KINDS = ["one size", "every entry its own size", "nearly constant", "constant", "sparse", "one sign", "at the top"]

pytestmark = pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="long double is float64 here")


class Precision(NamedTuple):
    """What rounds: `eps` of what is computed, `last` of what is returned, `least` below which floats are coarse."""

    eps: float
    last: float
    least: Any


def precision(dtype: Any, *, flushed: bool) -> Precision:
    """Return it for NumPy, or for XLA, which on CPUs takes what is below the smallest normal float for zero."""
    wide = np.result_type(dtype, np.float32)
    own, about = ml_dtypes.finfo(dtype), np.finfo(wide)
    least = np.longdouble(about.tiny) if flushed else np.longdouble(about.smallest_subnormal)
    return Precision(float(about.eps), float(own.eps), max(least, np.longdouble(float(own.smallest_subnormal))))


def drawn(dtype: Any, kind: str, seed: int = 0) -> np.ndarray:
    """Draw rows of one kind, (300, 12), the exponents of their sizes spread over all that the dtype has."""
    about = ml_dtypes.finfo(dtype)
    low, high = np.log2(float(about.smallest_subnormal)), float(about.maxexp)
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    w = rng.standard_normal((ROWS, COLUMNS)).astype(np.longdouble)
    size = np.exp2(rng.uniform(low, high, (ROWS, 1)).astype(np.longdouble))
    if kind == "every entry its own size":
        size = np.exp2(rng.uniform(low, high, w.shape).astype(np.longdouble))
    if kind == "nearly constant":
        w = 1 + rng.integers(-2, 3, w.shape) * np.longdouble(about.eps)
    if kind == "constant":
        w = np.repeat(rng.choice([-1, 1], (ROWS, 1)) * rng.uniform(0.5, 1, (ROWS, 1)).astype(np.longdouble), COLUMNS, 1)
    if kind == "sparse":
        w *= rng.random(w.shape) < rng.uniform(0, 0.3, (ROWS, 1))
    if kind == "one sign":
        w = np.abs(w) * rng.choice([-1, 1], (ROWS, 1))
    most = np.longdouble(about.max)
    if kind == "at the top":
        w, size = rng.uniform(-1, 1, w.shape).astype(np.longdouble), most
        w[:, 0] = rng.choice([-1, 1], ROWS)
    with np.errstate(over="ignore", under="ignore"):
        return np.clip(w * size, -most, most).astype(np.float64 if dtype == np.float64 else np.float32).astype(dtype)


def exact(w: np.ndarray) -> np.ndarray:
    return w.astype(np.float64).astype(np.longdouble)


def as_xla_reads(w: np.ndarray) -> np.ndarray:
    """Return the numbers with those set to zero that XLA takes for zero on a CPU: subnormal in what it computes in."""
    wide = np.result_type(w.dtype, np.float32)
    return np.where(np.abs(w.astype(wide)) < np.finfo(wide).tiny, np.zeros((), w.dtype), w)


def rounded(values: np.ndarray, dtype: Any) -> np.ndarray:
    with np.errstate(over="ignore", under="ignore"):
        return values.astype(np.float64).astype(dtype)


def check_means(found: np.ndarray, expected: np.ndarray, most: np.ndarray, p: Precision) -> None:
    """Sums of d terms of at most `most` round by d eps most; a deviation from a mean that is that much off, twice."""
    assert np.isfinite(found.astype(np.float64)).all()
    slack = (3 * COLUMNS * p.eps + p.last) * most + 2 * p.least
    assert (np.abs(exact(found) - expected) <= slack).all()


def check_signs(q: np.ndarray, w: np.ndarray, mean: np.ndarray, most: np.ndarray, p: Precision) -> None:
    """Sign(w - mean), where the rounding of the mean cannot change it; and the largest weight is never below a mean."""
    clear = np.abs(w - mean) > COLUMNS * p.eps * most + p.least
    np.testing.assert_array_equal(q[clear], np.where(w >= mean, 1, -1)[clear])
    assert (q[w == w.max(axis=-1, keepdims=True)] == 1).all()


def means(w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, root mean square and mean absolute value about it, and largest magnitude of every row, exactly."""
    mu = w.mean(axis=1, keepdims=True)
    c = w - mu
    return (
        mu,
        np.sqrt((c * c).mean(axis=1, keepdims=True)),
        np.abs(c).mean(axis=1, keepdims=True),
        np.abs(w).max(axis=1, keepdims=True),
    )


# NumPy ------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_neurons(dtype, kind):
    w = drawn(dtype, kind)
    real, p = exact(w), precision(dtype, flushed=False)
    mu, std, absmean, most = means(real)
    for scale, size in (("std", std), ("absmean", absmean)):
        found = quantizers.quantize_neurons(w, scale=scale)  # pyright: ignore[reportArgumentType]
        assert found.s.dtype == found.mu.dtype == dtype
        check_means(found.mu[:, None], mu, most, p)
        check_means(found.s[:, None], size, most, p)
        check_signs(found.q, real, mu, most, p)
        with np.errstate(over="ignore"):  # s q + mu may lie above the largest float
            one_pass = quantizers.effective_weights(w, scale=scale)  # pyright: ignore[reportArgumentType]
        assert one_pass.dtype == dtype
        assert not np.isnan(one_pass.astype(np.float64)).any()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_matrices(dtype, kind):
    """Every row as a matrix of its own, (3, 4)."""
    w, p = drawn(dtype, kind), precision(dtype, flushed=False)
    mu, _, _, most = means(exact(w))
    size = np.abs(exact(w)).mean(axis=1)
    for row, mean, beta, largest in zip(w, mu[:, 0], size, most[:, 0], strict=True):
        tensor = quantizers.quantize_tensor(row.reshape(3, 4))
        three = quantizers.quantize_ternary(row.reshape(3, 4))
        real = exact(row).reshape(3, 4)
        check_signs(tensor.q.ravel(), real.ravel(), mean, largest, p)
        slack = COLUMNS * p.eps * largest + p.least
        assert abs(tensor.alpha - mean) <= slack
        assert abs(tensor.beta - beta) <= COLUMNS * p.eps * beta + p.least
        assert abs(three.beta - beta) <= COLUMNS * p.eps * beta + p.least
        check_ternary(three.q, real, beta, p)


def check_ternary(q: np.ndarray, w: np.ndarray, beta: Any, p: Precision) -> None:
    ratio = np.abs(w) / np.where(beta > 0, beta, 1)
    clear = np.abs(ratio - 0.5) > COLUMNS * p.eps
    np.testing.assert_array_equal(q[clear], (np.sign(w) * (ratio > 0.5))[clear])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bits", [2, 8])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_activations(dtype, kind, bits):
    x = drawn(dtype, kind)
    found = quantizers.quantize_activations(x, bits=bits)
    assert found.gamma.dtype == dtype
    np.testing.assert_array_equal(exact(found.gamma), np.abs(exact(x)).max(axis=1))
    check_levels(found.q, exact(x), bits, precision(dtype, flushed=False))


def check_levels(q: np.ndarray, x: np.ndarray, bits: int, p: Precision) -> None:
    """round(x top/gamma), where two roundings of a number of up to `top` cannot carry it over a half."""
    top = 2 ** (bits - 1)
    gamma = np.abs(x).max(axis=-1, keepdims=True)
    level = x * (top / np.where(gamma > 0, gamma, 1))
    clear = np.abs(np.abs(level - np.floor(level)) - 0.5) > 2 * top * p.eps
    assert clear.mean() > 0.98 or bits == 2
    np.testing.assert_array_equal(q[clear], np.clip(np.rint(level), 1 - top, top - 1)[clear])


# JAX --------------------------------------------------------------------------------------------------------------


def everything(w: Any) -> dict[str, Any]:
    """Apply all quantisers: rows to a matrix of many, matrices to one at a time."""
    matrices = w.reshape(-1, 3, 4)
    return {
        "std": ste.neuron_wise(w),
        "absmean": ste.neuron_wise(w, scale="absmean"),
        "centred": ste.centred_signs(w),
        "tensor": jax.vmap(ste.tensor_wise)(matrices),
        "ternary": jax.vmap(ste.ternary)(matrices),
        "integers": ste.absmax_integers(w)[0],
        "gamma": ste.absmax_integers(w)[1],
        "absmax": ste.absmax(w),
        "slopes": jax.vmap(slopes)(matrices),
    }


def slopes(w: Any) -> dict[str, Any]:
    """Return the gradients of the sums of a matrix's values, by quantiser and surrogate."""
    found = {}
    for quantize in (ste.neuron_wise, ste.tensor_wise, ste.ternary, ste.absmax):
        for surrogate in ("identity", "clipped", "sign"):
            if (quantize, surrogate) != (ste.absmax, "sign"):
                quantizer = functools.partial(quantize, surrogate=surrogate)
                found[f"{quantize.__name__} {surrogate}"] = jax.vjp(quantizer, w)[1](jnp.ones_like(w))[0]
    return found


@pytest.fixture(scope="module", params=DTYPES, ids=lambda dtype: np.dtype(dtype).name)
def in_jax(request):
    """All kinds of rows of one dtype through one compiled program: NumPy's input and JAX's results."""
    dtype = request.param
    w = as_xla_reads(np.concatenate([drawn(dtype, kind, seed=1) for kind in KINDS]))
    with jax.enable_x64(dtype == np.float64):
        found = jax.tree.map(np.asarray, jax.jit(everything)(w))
    return w, found, precision(dtype, flushed=True)


def test_rows_in_jax(in_jax):
    w, found, p = in_jax
    real = exact(w)
    mu, std, absmean, most = means(real)
    for name, size, middle in (("std", std, mu), ("absmean", absmean, mu), ("centred", absmean, 0)):
        value = found[name]
        assert value.dtype == w.dtype
        # The mean, the size and their sum round; where it lies above the largest float there is only infinity.
        slack = (5 * COLUMNS * p.eps + 2 * p.last) * most + 4 * p.least
        clear = np.abs(real - mu) > COLUMNS * p.eps * most + p.least
        expected = middle + np.where(real >= mu, 1, -1) * size
        inside = np.abs(expected) + slack < np.longdouble(float(ml_dtypes.finfo(w.dtype).max))
        assert not np.isnan(value.astype(np.float64)).any()
        assert (np.abs(exact(value) - expected) <= slack)[clear & inside].all()
        assert inside.mean() > 0.8


def test_matrices_in_jax(in_jax):
    w, found, p = in_jax
    real = exact(w).reshape(-1, 3, 4)
    alpha = real.mean(axis=(1, 2), keepdims=True)
    beta = np.abs(real).mean(axis=(1, 2), keepdims=True)
    most = np.abs(real).max(axis=(1, 2), keepdims=True)
    slack = (COLUMNS * p.eps + p.last) * beta + p.least
    clear = np.abs(real - alpha) > COLUMNS * p.eps * most + p.least
    assert (np.abs(exact(found["tensor"]) - np.where(real >= alpha, beta, -beta)) <= slack)[clear].all()
    assert (~np.signbit(exact(found["tensor"])))[real == real.max(axis=(1, 2), keepdims=True)].all()
    ratio = np.abs(real) / np.where(beta > 0, beta, 1)
    clear = np.abs(ratio - 0.5) > COLUMNS * p.eps
    assert (np.abs(exact(found["ternary"]) - np.sign(real) * (ratio > 0.5) * beta) <= slack)[clear].all()


def test_activations_in_jax_are_numpys_bit_for_bit(in_jax):
    w, found, p = in_jax
    same = quantizers.quantize_activations(w)
    np.testing.assert_array_equal(found["integers"], same.q)
    np.testing.assert_array_equal(found["gamma"][:, 0].astype(w.dtype), same.gamma)
    expected = exact(same.q) * exact(same.gamma)[:, None] / 128
    assert found["absmax"].dtype == w.dtype
    assert (np.abs(exact(found["absmax"]) - expected) <= p.last * np.abs(expected) + p.least).all()


def test_gradients_in_jax(in_jax):
    w, found, p = in_jax
    real = exact(w).reshape(-1, 3, 4)
    for name, slope in found["slopes"].items():
        assert np.isfinite(slope.astype(np.float64)).all(), name
        if name.endswith("identity") or name == "neuron_wise sign":
            np.testing.assert_array_equal(slope, np.ones_like(slope))
        if name.endswith("clipped"):
            assert np.isin(slope, [0, 1]).all()
    beta = np.abs(real).mean(axis=(1, 2), keepdims=True)
    ratio = real / np.where(beta > 0, beta, 1)
    near = (np.abs(np.abs(ratio) - 0.5) <= COLUMNS * p.eps).any(axis=(1, 2), keepdims=True) | (beta < 16 * p.least)
    q = np.sign(real) * (np.abs(ratio) > 0.5)
    # d sum(beta q) = sum dW + sum(q - W/beta) dbeta, dbeta = sum Sign(W) dW/12
    expected = 1 + (q - ratio).sum(axis=(1, 2), keepdims=True) * np.sign(real) / 12
    rounding = 16 * COLUMNS * p.last  # sums of 12 terms of up to 12
    wrong = np.abs(exact(found["slopes"]["ternary sign"]) - expected) > rounding
    assert not wrong[~near & (real != 0)].any()  # |W| has no derivative at 0
    assert near.mean() < 0.35


def test_a_row_that_is_not_finite_stays_alone():
    w = drawn(np.float32, "one size")[:6]
    w[1, 2], w[4, 0] = np.nan, np.inf
    for quantize in (ste.neuron_wise, ste.centred_signs, ste.absmax):
        value = np.asarray(quantize(jnp.asarray(w)))
        assert not np.isfinite(value[[1, 4]]).all(axis=1).any()
        np.testing.assert_array_equal(value[[0, 2, 3, 5]], quantize(jnp.asarray(w[[0, 2, 3, 5]])))


# Both -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.1, 0.3, 0.7, -0.1, 1e-38, 3.3e38, 5e-39, 0.0])
def test_equal_weights_are_quantised_to_plus_one(value):
    for n in (1, 2, 3, 5, 7, 10, 30, 100):
        w = np.full((n, n), value, np.float32)
        assert (quantizers.quantize_tensor(w).q == 1).all()
        assert (quantizers.quantize_neurons(w).q == 1).all()
        assert not quantizers.quantize_neurons(w).s.any()
        if n not in (7, 100):  # enough to compile
            continue
        assert not np.signbit(np.asarray(ste.tensor_wise(jnp.asarray(w)))).any()
        flushed = w if abs(value) > 2e-38 else np.zeros_like(w)
        np.testing.assert_allclose(ste.neuron_wise(jnp.asarray(w)), flushed, rtol=0, atol=1.2e-38)


def test_the_reported_rows():
    half = ste.absmax(jnp.array([[1e-3, 0, -5e-4]], jnp.float16))
    scale = float(np.float16(1e-3)) / 128
    np.testing.assert_array_equal(half, np.array([[127 * scale, 0, -64 * scale]]).astype(np.float16))
    small = ste.absmax(jnp.array([[4e-38, 0, 2e-38]], jnp.float32))
    np.testing.assert_array_equal(small, np.array([[127 / 128, 0, 0.5]], np.float32) * np.float32(4e-38))
    assert quantizers.quantize_activations(np.array([[3e-37, 0, 1e-37]], np.float32)).q.tolist() == [[127, 0, 43]]
    assert quantizers.quantize_activations(np.array([[1e-37, 0, 1e-38]], np.float32)).q.tolist() == [[127, 0, 13]]
    assert ste.absmax_integers(jnp.array([[3e-37, 0, 1e-37]], jnp.float32))[0].tolist() == [[127, 0, 43]]
    assert ste.absmax_integers(jnp.array([[1e-37, 0, 1e-38]], jnp.float32))[0].tolist() == [[127, 0, 0]]


@pytest.mark.parametrize("surrogate", ["identity", "clipped", "sign"])
def test_layers_of_zero_weights_have_finite_gradients(surrogate):
    x = jnp.asarray(drawn(np.float32, "one size")[:4, :3])

    def made(weight, arm):
        step = jnp.float32(ELASTIC_STEP) if layer_of(arm) == "elastic" else None
        return Projection(weight, arm, surrogate, step=step)

    @jax.jit
    def slopes_of_arms(weight, x):
        sums = [lambda weight, x, arm=arm: made(weight, cast(Arm, arm))(x).sum() for arm in ARMS]
        layer = projection(3, 2, key=jax.random.key(0), surrogate=surrogate)
        normed = jax.grad(lambda at: layer(LayerNorm(jnp.ones(3))(at)).sum())(x * 0)
        return [jax.grad(one, argnums=(0, 1))(weight, x) for one in sums], normed

    for slope in jax.tree.leaves(slopes_of_arms(jnp.zeros((2, 3)), x)):
        assert np.isfinite(np.asarray(slope)).all()
