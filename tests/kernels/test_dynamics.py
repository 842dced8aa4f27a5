from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pandas as pd
import pytest

from ntk1bit.autodiff import infinite, ntk
from ntk1bit.errors import InputError
from ntk1bit.kernels import empirical_ntk, kernel_regression, predict
from ntk1bit.networks.two_layer import init, train


def problem(n: int, n_test: int, *, symmetric: bool, seed: int = 0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((n, n + 3)) / np.sqrt(n)
    kernel = a @ a.T
    if not symmetric:  # an antisymmetric part leaves the real parts of the eigenvalues positive: descent converges
        skew = 0.1 * rng.standard_normal((n, n))
        kernel = kernel + skew - skew.T
    return {
        "kernel": kernel,
        "y": rng.standard_normal(n),
        "kernel_test": rng.standard_normal((n_test, n)),
        "f0": rng.standard_normal(n),
        "f0_test": rng.standard_normal(n_test),
    }


def descend_reference(kernel, y, kernel_test, f0, f0_test, *, eta, steps):
    """The recursion as written, one step at a time."""
    train_f, test_f = [f0], [f0_test]
    for _ in range(steps):
        residual = train_f[-1] - y
        train_f.append(train_f[-1] - eta * kernel @ residual)
        test_f.append(test_f[-1] - eta * kernel_test @ residual)
    return np.array(train_f), np.array(test_f)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("n", [1, 7, 20])
def test_every_step_matches_the_recursion(symmetric, n):
    p = problem(n, 5, symmetric=symmetric)
    found = predict(**p, eta=0.1, steps=50)
    train_f, test_f = descend_reference(**p, eta=0.1, steps=50)
    # 50 steps of products of size n: a few hundred roundings of numbers of size <= 10
    np.testing.assert_allclose(found.train, train_f, atol=1e-12)
    np.testing.assert_allclose(found.test, test_f, atol=1e-11)
    np.testing.assert_array_equal(found.steps, np.arange(51))


@pytest.mark.parametrize("symmetric", [True, False])
def test_checkpoints_by_squaring_match_the_recursion(symmetric):
    p = problem(4, 3, symmetric=symmetric)
    at = [0, 1, 5, 1000, 1001, 20_000]  # gaps of 995 and 18,999 are squared: 8 n log2(gap) = 320 and 480
    found = predict(**p, eta=0.05, steps=at)
    train_f, test_f = descend_reference(**p, eta=0.05, steps=20_000)
    np.testing.assert_allclose(found.train, train_f[at], atol=1e-10)
    np.testing.assert_allclose(found.test, test_f[at], atol=1e-9)


@pytest.mark.parametrize("symmetric", [True, False])
def test_descent_ends_in_kernel_regression(symmetric):
    p = problem(6, 4, symmetric=symmetric)
    end = predict(**p, eta=0.1, steps=[10**9])
    limit = kernel_regression(**p)
    np.testing.assert_allclose(end.train[0], limit.train, atol=1e-9)
    np.testing.assert_allclose(end.test[0], limit.test, atol=1e-7)  # the kernel's condition number is about 1e3
    np.testing.assert_allclose(limit.train, p["y"], atol=1e-10)


def test_a_singular_kernel_stays_in_its_range():
    rng = np.random.default_rng(0)
    features, features_test = rng.standard_normal((6, 2)), rng.standard_normal((3, 2))
    kernel, kernel_test = features @ features.T, features_test @ features.T
    y = rng.standard_normal(6)
    end = predict(kernel, y, kernel_test=kernel_test, eta=0.05, steps=[10**6])
    limit = kernel_regression(kernel, y, kernel_test=kernel_test)
    least_squares = np.linalg.lstsq(features, y)[0]
    np.testing.assert_allclose(limit.train, features @ least_squares, atol=1e-12)
    np.testing.assert_allclose(limit.test, features_test @ least_squares, atol=1e-12)
    # a direction with eigenvalue 0 up to 1e-16 drifts by 1e6 steps of 1e-16
    np.testing.assert_allclose(end.test[0], limit.test, atol=1e-8)


def test_ridge_regression_by_hand():
    found = kernel_regression(np.array([[2.0]]), np.array([3.0]), kernel_test=np.array([[1.0]]), ridge=1.0)
    np.testing.assert_allclose(found.train, [2.0])  # 2/(2+1) * 3
    np.testing.assert_allclose(found.test, [1.0])
    shifted = kernel_regression(np.array([[2.0]]), np.array([3.0]), ridge=1.0, f0=np.array([3.0]))
    np.testing.assert_allclose(shifted.train, [3.0])


def test_a_wide_full_precision_network_follows_its_kernel():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 8))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    x_test = x[::-1] * np.float32(0.5)
    y = np.sign(rng.standard_normal(20)).astype(np.float32)
    gaps = []
    for width in (1024, 16384):
        weights = init(width, 8, seed=1, init="paired")
        run = train(x, y, weights, precision="full", steps=100, x_test=x_test)
        guess = predict(
            empirical_ntk(x, weights, precision="full"),
            y,
            kernel_test=empirical_ntk(x_test, weights, x, precision="full"),
            eta=run.eta,
            steps=run.steps.tolist(),
        )
        gaps.append([np.abs(guess.train - run.outputs).max(), np.abs(guess.test - run.test_outputs).max()])
    # linearisation is off by O(m^-1/2): 16 times the width must bring a quarter; half is asked
    assert (np.array(gaps[1]) < 0.5 * np.array(gaps[0])).all()
    assert max(gaps[1]) < 0.05  # outputs are of size 1


LAST_STEP = 2**63 - 1
DTYPES: list[Any] = [np.float64, np.float32, np.float16, ml_dtypes.bfloat16]
HORIZONS = [0, 1, 300, 10**5, 10**7, 10**9, 10**15, LAST_STEP]


@pytest.fixture(scope="module")
def linear_map():
    """The kernels of f = x @ p in float32, 8 parameters and 60 points, and features in float64."""
    rng = np.random.default_rng(0)
    x, x_test = (rng.standard_normal((n, 8)).astype(np.float32) for n in (60, 5))
    p = np.ones(8, np.float32)

    def f(p, x):
        return x @ p

    return ntk(f, p, x), ntk(f, p, x_test, x), x.astype(np.float64), x_test.astype(np.float64), rng.standard_normal(60)


@pytest.mark.parametrize(
    ("held", "said"),
    [(np.float32, {}), (np.float64, {}), (np.float64, {"computed_in": np.float32}), (np.longdouble, {})],
)
def test_a_kernel_of_low_rank_made_in_float32(linear_map, held, said):
    kernel, kernel_test, x, x_test, y = linear_map
    kernel = kernel.astype(held)
    solved = np.linalg.lstsq(x, y)[0]
    limit = kernel_regression(kernel, y, kernel_test=kernel_test, **said)
    # entries are good to 6e-8 and the 8 eigenvalues lie within a factor of 10 of each other
    np.testing.assert_allclose(limit.test, x_test @ solved, atol=1e-6)
    np.testing.assert_allclose(limit.train, x @ solved, atol=1e-6)
    eta = 1 / np.linalg.eigvalsh(kernel.astype(np.float64))[-1]
    found = predict(kernel, y, kernel_test=kernel_test, eta=eta, steps=HORIZONS, **said)
    exact_train, exact_test = descend_features(x, x_test, y[:, None], eta, HORIZONS)
    np.testing.assert_allclose(found.test, exact_test[..., 0], atol=1e-6)
    np.testing.assert_allclose(found.train, exact_train[..., 0], atol=1e-6)


def descend_features(features, features_test, y, eta, steps):
    """Descent on linear weights from 0, in closed form from singular values of the features: no kernel is formed."""
    left, s, right = np.linalg.svd(features, full_matrices=False)
    keep = s > 1e-10 * s[0]
    left, s, right = left[:, keep], s[keep], right[keep]
    train_f, test_f = [], []
    for step in steps:
        done = -np.expm1(float(step) * np.log1p(-eta * s**2))[:, None]
        weights = right.T @ (done * (left.T @ y) / s[:, None])
        train_f.append(features @ weights)
        test_f.append(features_test @ weights)
    return np.array(train_f), np.array(test_f)


def test_random_kernels_of_random_precision_at_random_horizons():
    """300 linear networks with fewer weights than points: what features give, kernels give."""
    rng = np.random.default_rng(1)
    tried = 0
    while tried < 300:
        dtype = DTYPES[rng.choice(len(DTYPES), p=[0.3, 0.4, 0.15, 0.15])]
        eps = float(np.spacing(dtype(1)))
        n, n_test, outputs = rng.integers(2, 40), rng.integers(0, 4), rng.integers(1, 4)
        rank = rng.integers(1, n)
        size, shift = (10.0 ** rng.integers(-3, 4) if eps < 1e-6 else 1.0), rng.choice([0.0, 3.0])
        x, x_test = (
            (size * (rng.standard_normal((rows, rank)) + shift)).astype(dtype).astype(np.float64)
            for rows in (n, n_test)
        )
        s = np.linalg.svd(x, compute_uv=False)
        if s[-1] ** 2 < 20 * eps * (s**2).sum():  # an eigenvalue that the dtype cannot tell from 0
            continue
        tried += 1
        kernel, kernel_test = ((one @ x.T).astype(dtype) for one in (x, x_test))
        said = {"computed_in": dtype} if rng.random() < 0.5 or eps > 1e-6 else {}
        if rng.random() < 0.5:
            kernel, kernel_test = kernel.astype(np.float64), kernel_test.astype(np.float64)
        y = rng.standard_normal((n, outputs))
        eta, at = 0.9 / s[0] ** 2, np.sort(rng.choice(HORIZONS, 3, replace=False))
        given = {"kernel": kernel, "y": y, "kernel_test": kernel_test, **said}
        found, limit = predict(**given, eta=eta, steps=at), kernel_regression(**given)
        train_f, test_f = descend_features(x, x_test, y, eta, [*at, LAST_STEP])
        # kernels are off by eps relatively, what they solve by as much times their condition number; a factor 4 for the
        # sums over eigenvectors, and 300 steps of rounded sums over 40 points, 40 * 300 * 2e-16, a few times over where
        # test points respond more than training points do
        slack = (4 * eps * (s[0] / s[-1]) ** 2 + 2e-11) * max(1.0, np.abs(test_f).max(initial=0.0))
        np.testing.assert_allclose(found.train, train_f[:-1], atol=slack, rtol=0)
        np.testing.assert_allclose(found.test, test_f[:-1], atol=slack, rtol=0)
        np.testing.assert_allclose(limit.train, train_f[-1], atol=slack, rtol=0)
        np.testing.assert_allclose(limit.test, test_f[-1], atol=slack, rtol=0)


@pytest.mark.parametrize("kind", ["full rank", "low rank", "foreign test kernel", "not symmetric", "repeated points"])
def test_long_horizons_are_those_of_the_recursion(kind):
    """Beyond what is computed step by step (8 n log2 T), against the recursion in extended precision."""
    rng = np.random.default_rng(2)
    n, steps = 5, 3000
    features = rng.standard_normal((n, 3 if kind in ("low rank", "foreign test kernel") else n + 2))
    kernel, kernel_test = features @ features.T, rng.standard_normal((3, features.shape[1])) @ features.T
    if kind == "foreign test kernel":  # it moves along directions in which training does nothing: without end
        kernel_test = rng.standard_normal((3, n))
    if kind in ("not symmetric", "repeated points"):
        skew = rng.standard_normal((n, n))
        kernel = kernel + skew - skew.T
    if kind == "repeated points":
        again = [0, 1, 2, 3, 4, 0, 1]
        kernel, kernel_test = kernel[np.ix_(again, again)], kernel_test[:, again]
    y = rng.standard_normal(len(kernel))
    eta = float(0.3 / np.linalg.norm(kernel, 2))
    wide = {"kernel": kernel.astype(np.longdouble), "kernel_test": kernel_test.astype(np.longdouble), "y": y}
    start = {"f0": np.zeros(len(y), np.longdouble), "f0_test": np.zeros(3, np.longdouble)}
    train_f, test_f = descend_reference(**wide, **start, eta=eta, steps=steps)
    found = predict(kernel, y, kernel_test=kernel_test, eta=eta, steps=[steps - 1, steps])
    # 3000 steps of 1e-16, times entries of size 10
    np.testing.assert_allclose(found.train, train_f[-2:].astype(float), atol=1e-11)
    np.testing.assert_allclose(found.test, test_f[-2:].astype(float), atol=1e-10, rtol=1e-12)
    if kind != "foreign test kernel":
        late = predict(kernel, y, kernel_test=kernel_test, eta=eta, steps=[10**12, LAST_STEP])
        np.testing.assert_allclose(late.test[1], late.test[0], rtol=1e-12)
        np.testing.assert_allclose(late.test[0], test_f[-1].astype(float), atol=0.1)
        assert np.linalg.norm(late.train[1] - y) <= np.linalg.norm(found.train[1] - y) * (1 + 1e-12)


def test_rates_on_both_sides_of_one_and_of_the_edge():
    """One point: r_t = (1 - eta k)^t r_0 exactly, alternating beyond 1, for ever at 2, away beyond."""
    for rate, at_even, at_odd in ((1.0, 0.0, 0.0), (1.5, 0.0, 0.0), (2.0, 1.0, -1.0), (2.1, np.inf, -np.inf)):
        found = predict(np.array([[1.0]]), np.array([0.0]), f0=np.array([1.0]), eta=rate, steps=[10**9, 10**9 + 1])
        np.testing.assert_array_equal(found.train[:, 0], [at_even, at_odd])
    # a direction with a negative eigenvalue that is no rounding goes away too
    gone = predict(np.diag([1.0, -0.5]), np.array([0.0, 0.0]), f0=np.ones(2), eta=0.5, steps=[50, 10**6])
    np.testing.assert_allclose(gone.train[0], [0.5**50, 1.25**50], rtol=1e-12)
    assert np.isinf(gone.train[1]).any()


@pytest.mark.parametrize("symmetric", [True, False])
def test_several_outputs_are_so_many_predictions(symmetric):
    p = problem(6, 4, symmetric=symmetric)
    rng = np.random.default_rng(5)
    many = {**p, **{name: rng.standard_normal((*p[name].shape, 3)) for name in ("y", "f0", "f0_test")}}
    at = [0, 2, 10**6]
    found, limit = predict(**many, eta=0.1, steps=at), kernel_regression(**many, ridge=0.1)
    assert found.train.shape == (3, 6, 3)
    assert found.test.shape == (3, 4, 3)
    for k in range(3):
        one = {**p, **{name: many[name][..., k] for name in ("y", "f0", "f0_test")}}
        single, end = predict(**one, eta=0.1, steps=at), kernel_regression(**one, ridge=0.1)
        # the same sums in another order
        np.testing.assert_allclose(found.train[..., k], single.train, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found.test[..., k], single.test, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(limit.train[..., k], end.train, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(limit.test[..., k], end.test, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    "steps",
    [3, np.int64(3), np.uint8(3), 3.0, np.array(3), [0, 1, 2, 3], range(4), np.arange(4.0), pd.Index([0, 1, 2, 3])],
)
def test_steps_and_arrays_in_any_ordinary_form(steps):
    p = problem(4, 2, symmetric=True)
    plain = {name: one.tolist() for name, one in p.items()}
    rate: Any = np.float32(0.25)
    found, expected = predict(**plain, eta=rate, steps=steps), predict(**p, eta=0.25, steps=3)
    np.testing.assert_array_equal(found.steps, [0, 1, 2, 3])
    np.testing.assert_array_equal(found.train, expected.train)
    np.testing.assert_array_equal(found.test, expected.test)
    np.testing.assert_array_equal(kernel_regression(**plain).test, kernel_regression(**p).test)


def test_a_small_ridge_does_not_bring_rounding_back(linear_map):
    kernel, kernel_test, x, x_test, y = linear_map
    solved = np.linalg.lstsq(x, y)[0]
    for ridge in (1e-30, 1e-12, 1e-6):  # all below what float32 leaves of 0, 60 points times 1e-6
        found = kernel_regression(kernel.astype(np.float64), y, kernel_test=kernel_test, ridge=ridge)
        np.testing.assert_allclose(found.test, x_test @ solved, atol=2e-6)


@pytest.mark.skipif(not infinite.available(), reason="neural-tangents is not installed")
def test_against_neural_tangents():
    """Its gradient flow under K' = -log(I - eta K)/eta is, at time eta t, descent under K after t steps."""
    nt = infinite.neural_tangents()
    p = problem(12, 5, symmetric=True)
    p["kernel_test"] = 0.3 * p["kernel_test"]
    eta, n = 0.5 / np.linalg.eigvalsh(p["kernel"])[-1], 12
    values, vectors = np.linalg.eigh(p["kernel"])
    flow = (vectors * (-np.log1p(-eta * values) / eta)) @ vectors.T
    # the test kernel must be changed by the same factor on the right: K* K^-1 K'
    flow_test = p["kernel_test"] @ (vectors * (-np.log1p(-eta * values) / (eta * values))) @ vectors.T
    # its loss is the mean of squares over points and outputs, halved: times n gives the sum
    oracle = nt.predict.gradient_descent_mse(
        flow.astype(np.float32), p["y"][:, None].astype(np.float32), learning_rate=1.0, diag_reg=0.0
    )
    steps = [0, 1, 3, 10, 40]
    found = predict(**p, eta=eta, steps=steps)
    for row, step in enumerate(steps):
        train_f, test_f = oracle(
            np.float32(eta * step * n),
            p["f0"][:, None].astype(np.float32),
            p["f0_test"][:, None].astype(np.float32),
            flow_test.astype(np.float32),
        )
        # float32 on its side: 1e-5 of outputs of size 1, times the eigen-decomposition's own few roundings
        np.testing.assert_allclose(found.train[row], np.asarray(train_f)[:, 0], atol=2e-5)
        np.testing.assert_allclose(found.test[row], np.asarray(test_f)[:, 0], atol=2e-4)


def test_too_large_a_rate_diverges_without_an_error():
    p = problem(3, 2, symmetric=True)
    found = predict(**p, eta=1e3, steps=[0, 10**6])
    assert np.isinf(found.train[1]).all()
    assert np.isinf(found.test[1]).all()
    one_by_one = predict(**p, eta=1e3, steps=150)
    assert np.isinf(one_by_one.train[-1]).any()
    assert not np.isnan(one_by_one.train).any()
    skew = predict(**problem(3, 2, symmetric=False), eta=1e3, steps=[10**6])
    assert np.isinf(skew.train).all()
    np.testing.assert_allclose(found.train[0], p["f0"], rtol=1e-15, atol=1e-15)  # y + (f_0 - y)


def test_no_points_at_all():
    found = predict(np.empty((0, 0)), np.empty(0), eta=1.0, steps=2)
    assert found.train.shape == (3, 0)
    assert predict(np.empty((0, 0)), np.empty(0), eta=1.0, steps=[10**12]).train.shape == (1, 0)
    assert kernel_regression(np.empty((0, 0)), np.empty(0)).train.shape == (0,)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": np.eye(2)}, "kernel has shape"),
        ({"kernel_test": np.ones((2, 5))}, "kernel_test has shape"),
        ({"f0": np.ones(2)}, "f0 has shape"),
        ({"f0_test": np.ones(7)}, "f0_test has shape"),
        ({"y": np.array([1.0, np.nan, 0.0])}, "y contains NaN"),
        ({"eta": 0.0}, "eta must be"),
        ({"eta": float("nan")}, "eta must be"),
        ({"steps": -1}, "steps must be"),
        ({"steps": [3, 2]}, "increasing"),
        ({"steps": []}, "increasing"),
        ({"steps": [0.5, 1.9, 3.7]}, r"steps must be a whole number .* got \[0.5, 1.9, 3.7\]"),
        ({"steps": [1, np.nan]}, "whole number"),
        ({"steps": np.nan}, "whole number"),
        ({"steps": True}, "whole number"),
        ({"steps": "10"}, "whole number"),
        ({"steps": None}, "whole number"),
        ({"steps": 2**63}, "below 2\\^63"),
        ({"steps": [0, 2**63]}, "below 2\\^63"),
        ({"steps": [[1, 2]]}, "whole number"),
        ({"steps": 10**12}, r"5 outputs at each of 1,000,000,000,001 steps would take .* GiB.*; give the steps"),
        ({"steps": 2**63 - 1}, "would take .* GiB"),
        ({"eta": np.inf}, "eta must be"),
        ({"eta": None}, "eta must be"),
        ({"eta": np.ones(2)}, "eta must be"),
        ({"eta": 1j}, "eta must be"),
        ({"y": 1.0}, "y has shape"),
        ({"y": np.ones((3, 1, 1))}, "y has shape"),
        ({"y": np.ones(3) * 1j}, "y is complex"),
        ({"y": np.ones((3, 2)), "f0_test": None}, "f0 has shape"),
        ({"f0": np.full(3, np.nan)}, "f0 contains NaN"),
        ({"kernel_test": np.full((2, 3), np.inf)}, "kernel_test contains NaN"),
        ({"kernel": np.ones((3, 3, 2, 2))}, r"y has shape \(3,\), but a kernel of shape .* calls for \(3, 2\)"),
        ({"computed_in": int}, "computed_in must be"),
    ],
)
def test_mistakes_are_named(change, message):
    with pytest.raises(InputError, match=message):
        predict(**{**problem(3, 2, symmetric=True), "eta": 0.1, "steps": 3, **change})


@pytest.mark.usefixtures("untyped")
def test_mistakes_of_regression_are_named():
    with pytest.raises(InputError, match="ridge"):
        kernel_regression(np.eye(2), np.ones(2), ridge=-1.0)
    others: list[Any] = [np.nan, np.inf, "1", None, 1j]
    for ridge in others:
        with pytest.raises(InputError, match="ridge"):
            kernel_regression(np.eye(2), np.ones(2), ridge=ridge)
    with pytest.raises(InputError, match="singular and not symmetric"):
        kernel_regression(np.array([[1.0, 1.0], [0.0, 0.0]]), np.ones(2))
    nearly = np.array([[1.0, 1.0], [1.0 - 1e-3, 1.0 + 1e-9]])  # singular values 2 and 5e-4: so to bfloat16, not float64
    kernel_regression(nearly, np.ones(2))
    with pytest.raises(InputError, match="singular and not symmetric"):
        kernel_regression(np.array([[1.0, 1.3], [1.0, 1.301]]), np.ones(2), computed_in=ml_dtypes.bfloat16)
