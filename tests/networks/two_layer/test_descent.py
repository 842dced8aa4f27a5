from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ntk1bit import cores, kernels
from ntk1bit.errors import InputError
from ntk1bit.networks import two_layer

from .test_network import slow_preactivation, unit


def slow_training(x, y, w, a, *, precision, kappa, scale, eta, steps):
    """The whole of training in loops over Python floats, from the definitions (D25, Lemma F.3)."""
    m, n, d = len(w), len(x), len(x[0])
    w = [[float(v) for v in row] for row in w]
    factor = kappa / math.sqrt(m)
    losses = []
    for step in range(steps + 1):
        z = [[slow_preactivation(w[r], x[i], precision, scale) for i in range(n)] for r in range(m)]
        f = [factor * sum(a[r] * max(z[r][i], 0.0) for r in range(m)) for i in range(n)]
        losses.append(0.5 * sum((f[i] - y[i]) ** 2 for i in range(n)))
        if step == steps:
            return w, losses, f
        for r in range(m):
            for k in range(d):
                pull = sum((f[i] - y[i]) * x[i][k] for i in range(n) if z[r][i] >= 0)
                w[r][k] -= eta * factor * a[r] * pull
    raise AssertionError


@pytest.mark.parametrize("precision", ["one_bit", "full"])
@pytest.mark.parametrize("scale", ["std", "absmean"])
@pytest.mark.parametrize(("width", "dim", "n", "init"), [(6, 3, 4, "paired"), (7, 5, 3, "iid"), (2, 2, 1, "iid")])
def test_training_against_loops(width, dim, n, init, precision, scale):
    start = two_layer.init(width, dim, seed=3, init=init)
    start = two_layer.Weights(start.w.astype(np.float64), start.a.astype(np.float64))
    x, y = unit(n, dim, seed=1, dtype=np.float64), np.linspace(-1, 1, n) if n > 1 else np.ones(1)
    options = {"precision": precision, "kappa": 0.8, "scale": scale}
    eta = 0.5 / np.linalg.eigvalsh(kernels.empirical_ntk(x, start, **options))[-1]
    w, losses, f = slow_training(x, y, start.w, start.a, eta=eta, steps=12, **options)
    run = two_layer.train(x, y, start, eta_rel=0.5, steps=12, x_test=x, **options)
    assert run.eta == pytest.approx(eta, rel=1e-12)
    # 12 steps of float64 sums in another order; a sign that flips on a rounding would show as an error of order 1
    np.testing.assert_allclose(run.final.w, w, rtol=0, atol=1e-12)
    np.testing.assert_allclose(run.loss, losses, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(run.outputs[-1], f, rtol=0, atol=1e-12)
    np.testing.assert_allclose(run.test_outputs[-1], f, rtol=0, atol=1e-12)
    assert run.steps.tolist() == list(range(13))
    assert not run.diverged


@pytest.mark.parametrize("precision", ["one_bit", "full"])
def test_diagnostics_are_those_of_the_network_at_the_checkpoint(precision):
    start = two_layer.init(130, 9, seed=0)
    x, y = unit(11, 9), np.linspace(-1, 1, 11).astype(np.float32)
    run = two_layer.train(x, y, start, precision=precision, steps=40, record=[5, 17])
    assert run.steps.tolist() == [0, 5, 17, 40]
    for i, step in enumerate(run.steps):
        stopped = two_layer.train(x, y, start, precision=precision, steps=max(int(step), 0), record=2).final
        before = kernels.empirical_ntk(x, start, precision=precision)
        after = kernels.empirical_ntk(x, stopped, precision=precision)
        assert run.drift[i] == pytest.approx(np.linalg.norm(after - before) / np.linalg.norm(before), abs=1e-14)
        assert run.lambda_min[i] == pytest.approx(np.linalg.eigvalsh(after)[0], abs=1e-12)
        assert run.lambda_max[i] == pytest.approx(np.linalg.eigvalsh(after)[-1], rel=1e-12)
        signs = [w - w.mean(axis=1, keepdims=True) >= 0 for w in (start.w, stopped.w)]
        assert run.flipped[i] == (signs[0] != signs[1]).mean()
        active = [two_layer.activation_patterns(x, weights, precision=precision) for weights in (start, stopped)]
        assert run.activation_change[i] == pytest.approx((active[0] != active[1]).mean(), abs=1e-15)
        assert run.max_activation_change[i] == (active[0] != active[1]).mean(axis=1 - 1).max()
        moved = np.linalg.norm(stopped.w.astype(float) - start.w, axis=1).max()
        assert run.radius[i] == pytest.approx(moved, rel=1e-12)
        outputs = two_layer.outputs(x, stopped, precision=precision)
        np.testing.assert_array_equal(run.outputs[i], outputs)
        assert run.loss[step] == pytest.approx(0.5 * ((outputs - y) ** 2).sum(), rel=1e-6)  # float32 outputs


def test_the_start_is_not_modified_and_runs_repeat_bit_for_bit():
    start = two_layer.init(1100, 7, seed=0)
    kept = start.w.copy()
    x, y = unit(10, 7), np.linspace(-1, 1, 10).astype(np.float32)
    first, second = (two_layer.train(x, y, start, steps=20, x_test=x[:3]) for _ in range(2))
    np.testing.assert_array_equal(start.w, kept)
    for name in ("loss", "drift", "test_outputs", "radius"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@pytest.mark.parametrize("precision", ["one_bit", "full"])
@pytest.mark.parametrize(("scale", "init"), [("std", "iid"), ("absmean", "paired")])
@pytest.mark.parametrize(("width", "dim", "n"), [(6, 1, 3), (64, 7, 5), (130, 64, 33), (1026, 65, 63), (4098, 17, 100)])
def test_training_on_the_cores_against_plain_numpy(width, dim, n, init, scale, precision):
    """Whole trajectories, both in float32: they differ by rounding, but for neurons that were on a threshold.

    A weight within float32 rounding (1e-7) of its neuron's mean, or a pre-activation of 0, may fall on either side; of
    4098 x 17 weights and 4098 x 100 activities about one does in 30 steps. Then that neuron goes another way. Two such
    neurons are allowed for; a wrong mask, scale or step would be an error of order 1 in all of them.
    """
    start = two_layer.init(width, dim, seed=2, init=init)
    x, y = unit(n, dim, seed=3), np.linspace(-1, 1, n).astype(np.float32) if n > 1 else np.ones(1, np.float32)
    options = {"precision": precision, "scale": scale, "kappa": 0.9, "steps": 30, "x_test": unit(9, dim, seed=4)}
    fast = two_layer.train(x, y, start, **options)
    slow = two_layer.train(x, y, start, reference=True, **options)
    assert fast.final.w.dtype == slow.final.w.dtype == np.float32
    assert fast.eta == pytest.approx(slow.eta, rel=1e-6)
    rounding, others = 1e-5, 2  # float32 epsilon 1.2e-7, sums of up to 4098 terms, 30 steps; neurons on a threshold
    apart = np.abs(fast.final.w - slow.final.w).max(axis=1)
    assert np.count_nonzero(apart > rounding) <= others
    assert apart.max() <= 2 * slow.radius.max()
    # one neuron moves f by at most its own share, a relu of norm(w) <= about 2 sqrt(d) over sqrt(m), by its change
    share = rounding + others * apart.max() * np.sqrt(dim) / np.sqrt(width)
    np.testing.assert_allclose(fast.test_outputs, slow.test_outputs, atol=share)
    np.testing.assert_allclose(fast.loss, slow.loss, rtol=rounding, atol=rounding * slow.loss[0] + n * share)
    for name in ("flipped", "activation_change", "max_activation_change"):
        np.testing.assert_allclose(getattr(fast, name), getattr(slow, name), atol=others / width)
    moved = 2 * others * 0.81 * n / width  # a neuron adds kappa^2/m times a part of X X^T, of norm <= n, to H
    for name in ("lambda_min", "lambda_max"):
        np.testing.assert_allclose(getattr(fast, name), getattr(slow, name), atol=moved)
    assert np.median(np.abs(fast.drift - slow.drift)) <= moved / slow.lambda_max[0]
    # before anything can have gone another way there is rounding only
    np.testing.assert_allclose(fast.loss[:3], slow.loss[:3], rtol=rounding)


def test_training_gives_the_same_bits_on_any_number_of_threads():
    start = two_layer.init(5000, 33, seed=0)
    x, y = unit(70, 33), np.linspace(-1, 1, 70).astype(np.float32)
    runs = []
    for threads in (1, 2, 2, 3, 2, 1):
        with cores.using(threads=threads):
            runs.append(two_layer.train(x, y, start, steps=15))
    for run in runs[1:]:
        np.testing.assert_array_equal(run.loss, runs[0].loss)
        np.testing.assert_array_equal(run.final.w, runs[0].final.w)
        np.testing.assert_array_equal(run.drift, runs[0].drift)


def test_full_precision_converges_at_the_rate_of_its_kernel():
    start = two_layer.init(8192, 20, seed=0, init="paired")
    x, y = unit(12, 20), np.where(np.arange(12) % 2, 1, -1).astype(np.float32)
    run = two_layer.train(x, y, start, precision="full", steps=200)
    assert run.loss[-1] < 1e-6 * run.loss[0]
    kernel = kernels.empirical_ntk(x, start, precision="full")
    moved = run.drift.max() * np.linalg.norm(kernel)
    assert moved < 0.1 * np.linalg.norm(kernel)
    residual = -y.astype(float)
    for step in range(31):
        if step in run.steps:
            # each step adds at most eta norm(H(t) - H(0)) norm(r) to the error; 2 for activities changing within a step
            error = np.linalg.norm(run.outputs[run.steps == step][0] - y - residual)
            assert error <= 2 * step * run.eta * moved * np.linalg.norm(y) + 1e-5  # outputs in float32
        residual = residual - run.eta * kernel @ residual


def test_divergence_is_recorded_and_ends_the_run():
    start = two_layer.init(64, 6, seed=0)
    x, y = unit(16, 6), np.linspace(-1, 1, 16).astype(np.float32)
    run = two_layer.train(x, y, start, precision="full", eta_rel=1e4, steps=500)
    assert run.diverged
    assert run.steps_done < 500
    assert not run.loss[-1] <= 1e6 * run.loss[0]
    assert run.steps[-1] < run.steps_done or run.steps[-1] == 0


@pytest.mark.parametrize(
    ("steps", "count"), [(1000, 40), (1000, 30), (30, 31), (31, 30), (10**6, 40), (40, 40), (1, 2), (15, 2), (9, 3)]
)
def test_log_steps(steps, count):
    chosen = two_layer.log_steps(steps, count)
    assert len(chosen) == min(count, steps + 1)
    assert (chosen[0], chosen[-1]) == (0, steps)
    assert (np.diff(chosen) > 0).all()
    if count >= 30:  # evenly spread in log(step): no gap wider than the unavoidable one from 1 to 2
        assert (chosen[2:] / chosen[1:-1]).max() <= 2


def test_default_checkpoints_are_thirty_or_more():
    start = two_layer.init(4, 3, seed=0)
    run = two_layer.train(unit(2, 3), np.array([1, -1], np.float32), start, steps=100)
    assert len(run.steps) >= 30


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("reference", [False, True])
def test_ordinary_python_values(reference):
    """Whole numbers of NumPy, lists, whole-valued floats: the same training, bit for bit."""
    x, start = unit(4, 3), two_layer.init(16, 3, seed=0)
    y = np.array([1.0, -1.0, 1.0, 1.0])
    options = {"x_test": x[:2], "reference": reference}
    expected = two_layer.train(x, y, start, steps=20, record=5, kappa=0.5, eta_rel=0.5, **options)
    forms: list[dict[str, Any]] = [
        {"steps": np.int64(20), "record": np.int64(5)},
        {"steps": 20.0, "record": np.array(5)},
        {"steps": expected.steps[-1], "record": expected.steps},
        {"steps": 20, "record": expected.steps.tolist()},
        {"steps": 20, "record": expected.steps.astype(float)},
    ]
    more: dict[str, Any] = {"kappa": np.float32(0.5), "eta_rel": np.array(0.5), "x_test": x[:2].tolist()}
    for form in forms:
        found = two_layer.train(x.tolist(), y.astype(int).tolist(), start, **form, **more, reference=reference)
        np.testing.assert_array_equal(found.loss, expected.loss)
        np.testing.assert_array_equal(found.steps, expected.steps)
        np.testing.assert_array_equal(found.test_outputs, expected.test_outputs)
        np.testing.assert_array_equal(found.final.w, expected.final.w)
    numbers: list[Any] = [np.int64(100), np.uint8(7)]
    np.testing.assert_array_equal(two_layer.log_steps(*numbers), two_layer.log_steps(100, 7))


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(({"steps": value}, "steps must be a whole number, 0 or more") for value in (0.5, np.nan, None, "9", True)),
        *(({"record": value}, "record must be a number of checkpoints") for value in (0, 2.5, np.nan, None, "5", True)),
        *(({"record": value}, "or a list of steps") for value in ([0.5], [np.nan], ["1"], [[1]])),
        ({"record": [-1]}, r"0\.\.9"),
        *(({"kappa": value}, "kappa must be") for value in (np.nan, 1e200, 1e-200, None, "1")),
        *(({"eta_rel": value}, "eta_rel must be") for value in (np.nan, 0, -1.0, None, "1", 1j)),
        ({"y": [1.0, 2.0]}, "they must match"),
        ({"y": np.ones((4, 1))}, "they must match"),
        ({"y": ["a"] * 4}, "not numbers"),
        ({"y": np.ones(4) * 1j}, "complex"),
        ({"x_test": np.ones((2, 5))}, "inputs have 5 features"),
        ({"x_test": np.full((2, 3), np.nan)}, "NaN"),
        ({"x_test": np.ones(3)}, "a matrix"),
    ],
)
def test_arguments_that_are_none_are_told_before_any_step(change, message):
    def stepped(*_):
        raise AssertionError

    given = {"x": unit(4, 3), "y": np.ones(4), "weights": two_layer.init(6, 3, seed=0), "steps": 9, **change}
    with pytest.raises(InputError, match=message):
        two_layer.train(**given, progress=stepped)


def test_weights_that_leave_the_range_in_training_do_not_raise():
    """A step of 1e30 times what is stable: a diverged run is returned, not refused as a network that is none."""
    x, start = unit(4, 3), two_layer.init(16, 3, seed=0)
    for precision in ("one_bit", "full"):
        options: dict[str, Any] = {"precision": precision, "steps": 30, "eta_rel": 1e30, "x_test": x, "record": 30}
        with np.errstate(all="ignore"):
            run = two_layer.train(x, np.ones(4), start, **options)
        assert run.diverged


@pytest.mark.usefixtures("untyped")
def test_mistakes_are_told():
    start = two_layer.init(8, 3, seed=0)
    x, y = unit(4, 3), np.linspace(-1, 1, 4).astype(np.float32)
    dead = two_layer.Weights(-np.ones((2, 3), np.float32), np.ones(2, np.float32))
    for call, message in [
        (lambda: two_layer.train(x[:0], y[:0], start), "no training inputs"),
        (lambda: two_layer.train(x, y[:3], start), "must match"),
        (lambda: two_layer.train(x, np.full(4, np.nan), start), "NaN"),
        (lambda: two_layer.train(x, y, start, kappa=0.0), "kappa must be"),
        (lambda: two_layer.train(x, y, start, eta_rel=math.inf), "eta_rel must be"),
        (lambda: two_layer.train(x, y, start, steps=-1), "0 or more"),
        (lambda: two_layer.train(x, y, start, record=1), "at least 2"),
        (lambda: two_layer.train(x, y, start, steps=5, record=[6]), r"0\.\.5"),
        (lambda: two_layer.train(np.abs(x), y, dead, precision="full"), "no neuron"),
    ]:
        with pytest.raises(InputError, match=message):
            call()
