from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.autodiff import gradient_features, ntk
from ntk1bit.autodiff.projections import _Directions
from ntk1bit.errors import InputError
from ntk1bit.kernels import Kernel, joint_matrix
from tests.autodiff.tanh_networks import mlp, straight_through

N, D, K = 13, 4, 2
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, D)).astype(np.float32)
PARAMS = {
    "a": jnp.asarray(RNG.standard_normal((D, 8)), jnp.float32),
    "b": jnp.asarray(RNG.standard_normal((8, K)) / 3, jnp.float32),
}


def columns(kernel: Kernel) -> np.ndarray:
    assert kernel.factor is not None
    return kernel.factor


def reference(f, features: int, seed: int) -> np.ndarray:
    """The same features from the whole Jacobian and directions drawn as documented, (n, features, outputs)."""
    jacobian = [np.asarray(leaf).reshape(N, K, -1) for leaf in jax.tree.leaves(jax.jacrev(f)(PARAMS, X))]
    found = np.zeros((N, features, K))
    for r in range(features):
        generator = np.random.default_rng([seed, r])
        for leaf in jacobian:
            size = leaf.shape[2]
            bits = np.frombuffer(generator.bytes(-(-size // 8)), np.uint8)
            found[:, r] += leaf @ (2.0 * np.unpackbits(bits, count=size) - 1.0)
    return found / np.sqrt(features)


@pytest.mark.filterwarnings("ignore:f uses jax.custom_vjp")
@pytest.mark.parametrize("f", [mlp, straight_through])
@pytest.mark.parametrize("method", ["forward", "reverse"])
@pytest.mark.parametrize("budget", [1 << 30, 12_000])
def test_both_ways_give_the_reference_whatever_the_blocks(f, method, budget):
    expected = reference(f, 21, seed=5)
    found = gradient_features(f, PARAMS, X, features=21, seed=5, method=method, memory_budget=budget)
    # float32: sums of 48 terms of size 1
    np.testing.assert_allclose(columns(found), expected.reshape(N, -1) / np.sqrt(K), atol=1e-5)
    every = gradient_features(
        f, PARAMS, X, features=21, seed=5, method=method, memory_budget=budget, trace_outputs=False
    )
    np.testing.assert_allclose(columns(every), expected.transpose(0, 2, 1).reshape(N * K, -1), atol=1e-5)
    assert found.about["method"] == method
    assert (found.about["seed"], found.about["features"], found.about["kind"]) == (5, 21, "rademacher")


@pytest.mark.parametrize("kind", ["gaussian", "rademacher"])
@pytest.mark.parametrize("trace", [True, False])
def test_errors_are_those_stated(kind, trace):
    """Over 60 seeds: the mean is the kernel, and each entry scatters as its formula says (signs: not more)."""
    given = {"features": 64, "kind": kind, "trace_outputs": trace, "method": "reverse"}
    found = [gradient_features(mlp, PARAMS, X, seed=seed, **given) for seed in range(60)]
    entries = ntk(mlp, PARAMS, X, trace_outputs=trace).astype(np.float64)
    exact = joint_matrix(entries) if entries.ndim == 4 else entries
    off = np.stack([one.dense() for one in found]) - exact
    size = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
    # a mean of 60 errors of at most sqrt(2/64) = 0.18; the largest of 169 or 676 is within 5 standard errors
    assert np.abs(off.mean(axis=0) / size).max() < 5 * 0.18 / np.sqrt(60)
    scale = np.sqrt(np.mean([one.quality["standard_errors"] ** 2 for one in found]))
    # 60 seeds of errors that all entries of a seed share partly: 1 within 20 % for normal directions
    assert (0.8 if kind == "gaussian" else 0.6) < scale < 1.2
    measured = np.sqrt(np.mean([one.quality["measured_error"] ** 2 for one in found]))
    assert measured == pytest.approx(np.sqrt(np.mean((off / size) ** 2)), rel=1e-4)  # all inputs are tried: n < 24
    assert found[0].quality["stated_error"] == np.sqrt(2 / 64)
    assert measured < 1.2 * found[0].quality["stated_error"]


def test_without_a_forward_mode_it_says_what_it_does():
    with pytest.warns(UserWarning, match="no forward mode: features are computed from Jacobians"):
        found = gradient_features(straight_through, PARAMS, X, features=8)
    assert found.about["method"] == "reverse"
    with pytest.warns(UserWarning, match="two backward passes"):
        gradient_features(straight_through, PARAMS, X, features=8, method="forward")


def test_the_cheaper_way_is_taken():
    """A weight used at 400 places costs 400 operations a push, and 2 of a product with its Jacobian."""

    def shared(params, x):
        return jnp.tanh(x[:, :, None] * params).sum(axis=(1, 2))

    wide = np.ones((3, 400), np.float32) * np.arange(1, 4, dtype=np.float32)[:, None]
    assert gradient_features(shared, np.ones(2, np.float32), wide, features=8).about["method"] == "reverse"

    def many(params, x):  # 2,000 outputs of 3 weights: a Jacobian has 2,000 rows
        return x @ params @ jnp.ones((1, 2000), x.dtype)

    few = np.ones((3, 3), np.float32)
    assert gradient_features(many, np.ones((3, 1), np.float32), few, features=8).about["method"] == "forward"


def test_progress_and_one_output():
    calls = []
    found = gradient_features(
        lambda p, x: mlp(p, x)[:, 0],
        PARAMS,
        X,
        features=5,
        memory_budget=4_000,
        progress=lambda what, share: calls.append((what, share)),
    )
    assert columns(found).shape == (N, 5)
    assert len(calls) > 1
    assert calls[-1][1] == 1.0
    assert [share for _, share in calls] == sorted(share for _, share in calls)


def test_a_sketch_that_is_wrong_is_refused():
    """Directions three times too large, or none at all."""
    draw = _Directions.__call__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Directions, "__call__", lambda self, some: tuple(3 * d for d in draw(self, some)))
        with pytest.raises(InputError, match="standard errors, more than chance explains"):
            gradient_features(mlp, PARAMS, X, features=400)
        patch.setattr(_Directions, "__call__", lambda self, some: tuple(0 * d for d in draw(self, some)))
        with pytest.raises(InputError, match="features are zero"):
            gradient_features(mlp, PARAMS, X, features=4)


def test_dead_inputs_are_exact():
    def f(params, x):
        return jax.nn.relu(x @ params["a"]) @ params["b"]

    x = np.concatenate([X, np.zeros((1, D), np.float32)])
    found = gradient_features(f, PARAMS, x, features=50)
    assert not columns(found)[-1].any()


@pytest.mark.usefixtures("untyped")
def test_mistakes_are_named():
    for change, message in (
        ({"features": 0}, "features must be"),
        ({"kind": "normal"}, "unknown kind"),
        ({"method": "jacobian"}, "unknown method"),
        ({"seed": -1}, "seed must be"),
        ({"memory_budget": "1"}, "memory_budget must be"),
        ({"features": 10**12}, "take fewer features"),
    ):
        with pytest.raises(InputError, match=message):
            gradient_features(mlp, PARAMS, X, **{"features": 4, **change})
