from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.autodiff import loss_kernel, loss_operator, ntk
from ntk1bit.autodiff.losses import loss_value, output_gradient
from ntk1bit.errors import InputError
from ntk1bit.kernels import joint_matrix, nystrom_factor, spectrum

N, K = 7, 3
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 4)).astype(np.float32)
PARAMS = {
    "a": jnp.asarray(RNG.standard_normal((4, 6)), jnp.float32),
    "b": jnp.asarray(RNG.standard_normal((6, K)), jnp.float32),
}


def mlp(params, x):
    return jnp.tanh(x @ params["a"]) @ params["b"]


LOSSES = {
    "squared": lambda f: 0.5 * (f**2).sum(),
    "cross_entropy": lambda f: jax.nn.logsumexp(f),  # targets are linear in f, so not in its Hessian
    "logistic": lambda f: jax.nn.softplus(f).sum(),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_eigenvalues_are_those_of_the_gauss_newton_matrix(loss):
    """Against G = sum_i J_i^T H_i J_i with H by automatic differentiation of the loss itself."""
    found = loss_kernel(mlp, PARAMS, X, loss=loss)
    flat = np.concatenate(
        [np.asarray(leaf).reshape(N, K, -1) for leaf in jax.tree.leaves(jax.jacrev(mlp)(PARAMS, X))], axis=2
    ).astype(np.float64)
    hessians = np.asarray(jax.vmap(jax.hessian(LOSSES[loss]))(mlp(PARAMS, X)), np.float64)
    # float32: differences of probabilities of size 1
    np.testing.assert_allclose(found.factors @ found.factors.swapaxes(1, 2), hessians, atol=1e-6)
    matrix = np.einsum("iop,ioq,iqr->pr", flat, hessians, flat)
    expected = np.linalg.eigvalsh(matrix)[::-1]
    values = np.linalg.eigvalsh(joint_matrix(found.loss).astype(np.float64))[::-1]
    np.testing.assert_allclose(values, expected[: N * K], atol=1e-5 * expected[0])
    np.testing.assert_array_equal(found.outputs, ntk(mlp, PARAMS, X, trace_outputs=False))
    if loss == "squared":
        np.testing.assert_array_equal(found.loss, found.outputs)
    if loss == "cross_entropy":  # a shift of all logits changes nothing: one direction of each input is lost
        assert (np.abs(values[N * (K - 1) :]) < 1e-5 * values[0]).all()
        assert spectrum(found.loss).eigenvalues[0] == pytest.approx(values[0], rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_operator_multiplies_by_the_kernel(loss):
    matrix = joint_matrix(loss_kernel(mlp, PARAMS, X, loss=loss).loss)
    operator = loss_operator(mlp, PARAMS, X, loss=loss)
    v = RNG.standard_normal((N * K, 2))
    within = 1e-5 * float(np.linalg.norm(matrix, 2))
    np.testing.assert_allclose(np.asarray(operator @ v), matrix @ v, atol=within)
    np.testing.assert_allclose(np.asarray(operator @ v[:, 0]), matrix @ v[:, 0], atol=within)
    np.testing.assert_allclose(operator.diagonal(), np.diag(matrix), atol=within)
    factor = nystrom_factor(operator, N * K)
    assert factor.about["loss"] == loss
    assert factor.quality["residual_share"] < 1e-4


def test_one_number_per_input_is_one_output():
    def f(params, x):
        return mlp(params, x)[:, 0]

    found = loss_kernel(f, PARAMS, X, loss="logistic")
    p = 1 / (1 + np.exp(-np.asarray(f(PARAMS, X), np.float64)))
    root = np.sqrt(p * (1 - p))
    np.testing.assert_allclose(found.loss[:, :, 0, 0], root[:, None] * ntk(f, PARAMS, X) * root, rtol=1e-4)
    with pytest.raises(InputError, match="softmax of one output"):
        loss_kernel(f, PARAMS, X)


def test_sure_answers_do_not_move_the_loss():
    sure = {**PARAMS, "b": 100 * PARAMS["b"]}
    found = loss_kernel(mlp, sure, X)
    assert np.isfinite(found.loss).all()
    assert np.trace(joint_matrix(found.loss)) < 0.2 * np.trace(joint_matrix(found.outputs))


@pytest.mark.usefixtures("untyped")
def test_mistakes_are_named():
    with pytest.raises(InputError, match="unknown loss 'hinge'"):
        loss_kernel(mlp, PARAMS, X, loss="hinge")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="unknown loss"):
        loss_operator(mlp, PARAMS, X, loss="hinge")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_of_a_loss_is_that_of_its_value(loss):
    f = RNG.standard_normal((N, K))
    y = np.eye(K)[np.arange(N) % K]
    found = output_gradient(loss, f, y)
    expected = jax.grad(lambda f: loss_value(loss, f, jnp.asarray(y, f.dtype)))(jnp.asarray(f, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)  # float32: probabilities of size 1
    assert found.dtype == np.float64
    curved = jax.hessian(lambda f: loss_value(loss, f[None], jnp.asarray(y[:1], f.dtype)))(
        jnp.asarray(f[0], jnp.float32)
    )
    np.testing.assert_allclose(curved, jax.hessian(LOSSES[loss])(jnp.asarray(f[0], jnp.float32)), atol=1e-6)
