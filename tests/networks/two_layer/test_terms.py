from __future__ import annotations

import numpy as np
import pytest

from ntk1bit import kernels
from ntk1bit.errors import InputError
from ntk1bit.networks import two_layer
from ntk1bit.networks.two_layer import step_terms

EPS = float(np.finfo(np.float64).eps)


def problem(n=9, d=5, m=33, seed=0, init: two_layer.Init = "iid"):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    drawn = two_layer.init(m, d, seed=seed, init=init)
    weights = two_layer.Weights(drawn.w.astype(np.float64), drawn.a.astype(np.float64))
    return x, rng.uniform(-1, 1, n), weights


@pytest.mark.parametrize("precision", ["one_bit", "full"])
@pytest.mark.parametrize("scale", ["std", "absmean"])
@pytest.mark.parametrize(("n", "d", "m"), [(1, 2, 1), (7, 63, 65), (9, 5, 2049), (64, 3, 7)])
def test_the_terms_add_up_to_a_step_of_the_trainer(precision, scale, n, d, m):
    """L(t+1) from descent in float64, which shares no code with the terms, against L(t) + C1 + C2 + C3 + C4."""
    options = {"precision": precision, "scale": scale, "kappa": 0.7}
    some = (problem(n, d, m, seed) for seed in range(20))
    x, y, weights = next(one for one in some if kernels.empirical_ntk(one[0], one[2], **options).any())
    run = two_layer.train(x, y, weights, steps=1, eta_rel=0.9, **options)
    found = step_terms(x, y, weights, eta=run.eta, **options)
    total = found.loss + found.c1 + found.c2 + found.c3 + found.c4
    # sums of m d n products of size L/m, rounded once each
    tolerance = 64 * EPS * np.sqrt(m * d * n) * max(run.loss)
    assert abs(found.loss - run.loss[0]) <= tolerance
    assert abs(total - run.loss[1]) <= tolerance
    assert abs(found.loss_after - run.loss[1]) <= tolerance
    kernel = kernels.empirical_ntk(x, weights, **options)
    r = two_layer.outputs(x, weights, **options) - y
    assert found.unit == pytest.approx(run.eta * r @ kernel @ r, rel=1e-12)
    assert found.c1 + found.c2 == pytest.approx(-found.unit, rel=1e-12)


def test_a_naive_sum_over_neurons_and_inputs_gives_each_term():
    x, y, weights = problem(6, 4, 11, seed=3)
    eta, factor = 0.8, 1 / np.sqrt(11)
    found = step_terms(x, y, weights, eta=eta)

    def z(w):
        mu = w.mean()
        s = np.sqrt(((w - mu) ** 2).mean())
        return s * x @ np.where(w - mu >= 0, 1.0, -1.0) + mu * x.sum(axis=1)

    r = factor * sum(a * np.maximum(z(w), 0) for w, a in zip(*weights, strict=True)) - y
    c1 = c2 = c3 = 0.0
    change = np.zeros(len(y))
    for w, a in zip(*weights, strict=True):
        before = z(w)
        move = -eta * factor * a * ((r * (before >= 0)) @ x)
        after = z(w + move)
        for i in range(len(y)):
            delta = (move @ x[i]) if before[i] >= 0 else 0.0
            seen = r[i] * factor * a * delta
            if (before[i] >= 0) == (after[i] >= 0):
                c1 += seen
            else:
                c2 += seen
            true = max(after[i], 0) - max(before[i], 0)
            c3 += r[i] * factor * a * (true - delta)
            change[i] += factor * a * true
    for mine, theirs in ((c1, found.c1), (c2, found.c2), (c3, found.c3), (0.5 * change @ change, found.c4)):
        assert mine == pytest.approx(theirs, rel=1e-11, abs=1e-14)


def test_full_precision_has_a_third_term_only_from_switched_neurons():
    x, y, weights = problem(20, 6, 200)
    found = step_terms(x, y, weights, eta=0.5, precision="full")
    assert found.c3 == pytest.approx(found.c3_switched, abs=1e-13 * found.loss)
    one_bit = step_terms(x, y, weights, eta=0.5)
    assert abs(one_bit.c3 - one_bit.c3_switched) > 1e-3 * one_bit.unit


def test_nothing_is_modified_and_float32_networks_are_taken_in_float64():
    x, y, weights = problem()
    narrow = two_layer.Weights(weights.w.astype(np.float32), weights.a.astype(np.float32))
    kept = narrow.w.copy()
    found = step_terms(x, y, narrow, eta=0.5)
    np.testing.assert_array_equal(narrow.w, kept)
    assert found.identity_error <= 1e-12
    assert found == step_terms(x, y, weights, eta=0.5)  # the weights were drawn in float32


@pytest.mark.parametrize("eta", [0.0, -1.0, np.nan, np.inf])
def test_a_rate_that_is_no_rate_is_refused(eta):
    x, y, weights = problem()
    with pytest.raises(InputError, match="eta"):
        step_terms(x, y, weights, eta=eta)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("eta", [None, "0.1", 1j, True, np.ones(1)])
def test_a_rate_that_is_no_number_is_refused(eta):
    weights = two_layer.init(4, 3, seed=0)
    with pytest.raises(InputError, match="eta must be"):
        step_terms(np.eye(3), np.ones(3), weights, eta=eta)
    listed = step_terms(np.eye(3).tolist(), [1, 1, 1], weights, eta=np.float64(0.5))
    assert listed == step_terms(np.eye(3), np.ones(3), weights, eta=0.5)


def test_a_fitted_network_has_no_terms():
    x, _, weights = problem(init="paired", m=34)
    with pytest.raises(InputError, match="exactly"):
        step_terms(x, np.zeros(len(x)), weights, eta=0.5)


def test_targets_must_match(untyped):
    x, y, weights = problem()
    with pytest.raises(InputError, match="targets"):
        step_terms(x, y[:-1], weights, eta=0.5)
