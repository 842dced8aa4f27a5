"""Predicted and trained outputs: exact where networks are linear, apart where weights flip, and against plain loops."""

from __future__ import annotations

import math
import types
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ntk1bit.autodiff import predict_then_train, quantize, step_ratios
from ntk1bit.autodiff.forecast_measures import COLUMNS
from ntk1bit.errors import InputError

from .tanh_networks import straight_through

RNG = np.random.default_rng(0)
X, X_TEST = (RNG.standard_normal((n, 4)).astype(np.float32) for n in (7, 3))
Y = RNG.standard_normal((7, 2))
CLASSES = np.eye(2)[np.arange(7) % 2]
# float32: 20 steps, each off by some 6e-8 of outputs and sums of a hundred products, over a movement of their size
ROUNDING = 2e-5


def tanh_mlp(params, x):
    return jnp.tanh(x @ params["a"]) @ params["b"]


def params(width=24, outputs=2, seed=1):
    rng = np.random.default_rng(seed)
    return {
        "a": (rng.standard_normal((4, width)) / 2).astype(np.float32),
        "b": (rng.standard_normal((width, outputs)) / width**0.5).astype(np.float32),
    }


LOSSES = {
    "squared": lambda f, y: 0.5 * jnp.sum((f - y) ** 2),
    "cross_entropy": lambda f, y: -jnp.sum(y * jnp.log(jax.nn.softmax(f))),
    "logistic": lambda f, y: -jnp.sum(y * jnp.log(jax.nn.sigmoid(f)) + (1 - y) * jnp.log(jax.nn.sigmoid(-f))),
}


def by_hand(f, p, x, x_test, y, *, eta, steps, loss):
    """f_t, p_t and q_t at x and x_test as the module's text has them, by whole Jacobians and loops."""
    every = np.concatenate([x, x_test])

    def kernel(p):
        leaves = jax.tree.leaves(jax.jacrev(f)(p, every))
        flat = np.concatenate([np.asarray(leaf, np.float64).reshape(len(every), 2, -1) for leaf in leaves], axis=2)
        return np.einsum("iop,jqp->ioqj", flat, flat[: len(x)])

    def slope(outputs):
        return np.asarray(jax.grad(LOSSES[loss])(jnp.asarray(outputs[: len(x)], jnp.float32), y), np.float64)

    first = kernel(p)
    trained = [np.asarray(f(p, every), np.float64)]
    predicted, reformed = [trained[0]], [trained[0]]
    for _ in range(steps):
        predicted.append(predicted[-1] - eta * np.einsum("ioqj,jq->io", first, slope(predicted[-1])))
        reformed.append(reformed[-1] - eta * np.einsum("ioqj,jq->io", kernel(p), slope(trained[-1])))
        gradient = jax.grad(lambda p: LOSSES[loss](f(p, x), y))(p)
        p = jax.tree.map(lambda w, g: w - eta * g, p, gradient)
        trained.append(np.asarray(f(p, every), np.float64))
    return np.stack(trained), np.stack(predicted), np.stack(reformed)


def first_says(outputs, y, loss, eta):
    """-eta K_0 g at other outputs: one step of the prediction that starts there."""
    slope = jax.grad(LOSSES[loss])(jnp.asarray(outputs, jnp.float32), y)
    _, pull = jax.vjp(lambda p: tanh_mlp(p, X), params())
    return -eta * np.asarray(jax.jvp(lambda p: tanh_mlp(p, X), (params(),), pull(slope))[1], np.float64)


@pytest.mark.parametrize("loss", LOSSES)
def test_it_is_what_plain_loops_give(loss):
    y = Y if loss == "squared" else CLASSES
    found = predict_then_train(tanh_mlp, X, y, params=params(), steps=5, eta_rel=0.7, x_test=X_TEST, loss=loss)
    expected = by_hand(tanh_mlp, params(), X, X_TEST, y, eta=found.eta, steps=5, loss=loss)
    got = [
        np.concatenate(pair, axis=1)
        for pair in (
            (found.trained, found.trained_test),
            (found.predicted, found.predicted_test),
            (found.reformed, found.reformed_test),
        )
    ]
    moved = np.abs(expected[0] - expected[0][0]).max()
    for mine, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=ROUNDING * (1 + moved))
    f, p, q = (one[:, :7] for one in expected)
    frame: Any = found.frame().set_index("step")
    for step in (2, 5):
        d, said = f[step] - f[step - 1], q[step] - q[step - 1]
        by_start = first_says(f[step - 1], y, loss, found.eta)
        slope = jax.grad(LOSSES[loss])(jnp.asarray(f[step - 1], jnp.float32), y)
        whole = np.linalg.norm(f[step] - f[0])
        measured = {
            "moved": whole / math.sqrt(14),
            "error": np.linalg.norm(p[step] - f[step]) / whole,
            "error_reformed": np.linalg.norm(q[step] - f[step]) / whole,
            "local": np.linalg.norm(d - said) / np.linalg.norm(d),
            "ratio": np.vdot(slope, d) / np.vdot(slope, said),
            "local_start": np.linalg.norm(d - by_start) / np.linalg.norm(d),
            "growth": np.vdot(slope, said) / np.vdot(slope, by_start),
            "loss": LOSSES[loss](f[step], y),
            "loss_predicted": LOSSES[loss](p[step], y),
        }
        # single steps are a tenth of the whole movement, and rounding is that much larger beside them
        for name, value in measured.items():
            assert frame.loc[step, name] == pytest.approx(float(value), rel=1e-3, abs=30 * ROUNDING), name
    assert frame["local_start"][1] == pytest.approx(frame["local"][1], abs=30 * ROUNDING)  # K_0 both times


def test_a_linear_network_is_predicted_to_rounding():
    def f(w, x):
        return x @ w

    found = predict_then_train(f, X, Y, params=params()["a"][:, :2], x_test=X_TEST)
    frame: Any = found.frame()
    assert [*frame.columns] == [*COLUMNS]
    assert frame["step"].tolist() == list(range(21))
    assert frame["moved"].iloc[-1] > 0.3
    assert (frame[["error", "error_reformed", "error_test", "error_reformed_test"]][1:] < ROUNDING).to_numpy().all()
    np.testing.assert_allclose(frame["loss"], frame["loss_predicted"], rtol=1e-4)
    assert found.steps_held(1e-3) == 20
    # what a step moves late is a hundredth of the whole, and what is measured of it less exact by that
    np.testing.assert_allclose(frame["ratio"][1:], 1, atol=100 * ROUNDING)
    assert found.first_ratio == pytest.approx(1, abs=ROUNDING)
    assert found.eta_rel == pytest.approx(0.5)


def test_a_network_whose_one_bit_weights_are_frozen_is_linear():
    one_bit = quantize(tanh_mlp, "one_bit", parameters="a")
    found = predict_then_train(one_bit, X, Y, params=params(), parameters="b")
    frame: Any = found.frame()
    assert (frame["error"][1:] < ROUNDING).all()
    assert (frame["flips_since_start"] == 0).all()
    assert found.counted == "signs of 96 quantised weights (one_bit)"
    assert [*found.arriving] == ["b"]
    assert found.arriving["b"] == pytest.approx(1, abs=1e-3)


def test_a_one_bit_network_flips_and_leaves_its_prediction():
    """The same network in full precision keeps to it: what flips do takes it away, and not the network or the rate."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((16, 32)).astype(np.float32)
    y = np.sign(x[:, :1] + x[:, 1:2])
    start = {
        "a": (rng.standard_normal((32, 64)) / 32**0.5).astype(np.float32),
        "b": (rng.standard_normal((64, 1)) / 8).astype(np.float32),
    }
    full = predict_then_train(tanh_mlp, x, y, params=start)
    flipping = predict_then_train(quantize(tanh_mlp, "one_bit", parameters="a"), x, y, params=start)
    # measured: single steps 0.0008 and 0.8 off, steps 11 to 20 together 0.06 and 0.6
    steady: Any = full.frame()
    assert steady["local"][1:].median() < 0.01
    assert full.error_between(10, 20) < 0.15
    frame: Any = flipping.frame()
    assert frame["local"][1:].median() > 0.3
    assert flipping.error_between(10, 20) > 0.3
    assert flipping.error_between(0, 20) == pytest.approx(frame["error"].iloc[-1])
    assert frame["flips_since_start"].iloc[-1] > 0.005
    assert 0 < frame["flips"][1:].max() < frame["flips_since_start"].iloc[-1]
    assert np.isnan(frame["flips"][0])
    assert flipping.counted == "signs of 2048 quantised weights (one_bit)"


def test_what_arrives_at_the_start_is_that_of_step_ratios():
    one_bit, start = quantize(tanh_mlp, "one_bit"), params(64)
    found = predict_then_train(one_bit, X, Y, params=start, steps=1, move=0.02)
    residual = one_bit(start, X) - jnp.asarray(Y, jnp.float32)
    # both in float32, and a weight that rounding takes to its threshold is one of some 300 that are moved
    assert found.arriving == pytest.approx(step_ratios(one_bit, start, X, residual, move=0.02), rel=1e-2)


def test_signs_that_a_caller_reads_are_counted():
    found = predict_then_train(
        tanh_mlp, X, Y, params=params(), steps=3, eta_rel=1.5, signs=lambda p: {"a": p["a"] > p["a"].mean(axis=0)}
    )
    p, shares = params(), []
    for _ in range(3):
        gradient = jax.grad(lambda p: LOSSES["squared"](tanh_mlp(p, X), Y))(p)
        p = jax.tree.map(lambda w, g: w - found.eta * g, p, gradient)
        before, now = (one["a"] > one["a"].mean(axis=0) for one in (params(), p))
        shares.append(float(np.mean(np.asarray(before) != np.asarray(now))))
    assert found.frame()["flips_since_start"].tolist() == pytest.approx([0.0, *shares])
    assert shares[-1] > 0
    assert found.counted == "96 entries that signs=... reads"


def test_a_network_without_forward_mode_has_the_same_steps():
    """tanh_networks' sign is a custom_vjp; the other one has the same value, up to rounding, and gradient."""

    def by_stopping(p, x):
        return jnp.tanh(x @ (p["a"] + jax.lax.stop_gradient(jnp.sign(p["a"]) - p["a"]))) @ p["b"]

    found, other = (predict_then_train(f, X, Y, params=params(), steps=4) for f in (straight_through, by_stopping))
    np.testing.assert_allclose(found.trained, other.trained, atol=ROUNDING)
    np.testing.assert_allclose(found.reformed, other.reformed, atol=ROUNDING)


def test_networks_of_libraries_are_left_as_they_are():
    mlp = eqx.nn.MLP(4, 2, 16, 1, key=jax.random.key(0))
    found = predict_then_train(quantize(mlp, "one_bit"), X, Y, steps=3)
    assert found.counted == "signs of 96 quantised weights (one_bit)"
    again = predict_then_train(quantize(mlp, "one_bit"), X, Y, steps=3)
    assert np.array_equal(found.trained, again.trained)

    class Net(nnx.Module):
        def __init__(self):
            self.first, self.last = nnx.Linear(4, 16, rngs=nnx.Rngs(0)), nnx.Linear(16, 2, rngs=nnx.Rngs(1))

        def __call__(self, x):
            return self.last(nnx.relu(self.first(x)))

    net = Net()
    before = np.array(net.first.kernel[...])
    found = predict_then_train(net, X, Y, steps=3)
    assert np.array_equal(before, net.first.kernel[...])
    assert [*found.arriving] == ["first/bias", "first/kernel", "last/bias", "last/kernel"]
    assert found.counted == "signs of 114 trained parameters as they are, since no quantiser is known"


def test_what_diverges_ends_in_infinity_without_an_error():
    def cubic(w, x):
        return (x @ w) ** 3

    found = predict_then_train(cubic, X, Y, params=params()["a"][:, :2], eta_rel=30.0, steps=40)
    frame: Any = found.frame()
    assert not np.isfinite(frame["loss"].iloc[-1])
    assert not np.isfinite(found.predicted[-1]).all() or np.abs(found.predicted[-1]).max() > 1e6
    assert found.steps_held() < 40
    assert np.isnan(frame["flips"].iloc[-1])
    assert "TrainingForecast" in repr(found)


def test_it_is_described_in_ten_lines_that_say_start_and_training_apart():
    said: list[tuple[str, float]] = []
    found = predict_then_train(
        tanh_mlp, X, Y, params=params(), steps=2, progress=lambda what, share: said.append((what, share))
    )
    text = repr(found)
    assert len(text.splitlines()) <= 10
    assert "at the start" in text
    assert "in training error" in text
    assert "..." not in text
    assert [share for _, share in said] == [0.0, 0.0, 0.5, 1.0]
    frame: Any = found.frame()
    frame.loc[:, "error"] = 0.0  # of a copy
    assert found.frame()["error"].iloc[-1] > 0


def unknown() -> Any:
    return "hinge"


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"steps": 0}, "steps must be a whole number, 1 or more"),
        ({"eta": 0.1, "eta_rel": 0.5}, "give eta, .* not both"),
        ({"eta": -1.0}, "eta must be a positive number"),
        ({"eta_rel": 0.0}, "eta_rel must be a positive number"),
        ({"loss": unknown()}, "unknown loss 'hinge'"),
        ({"y": Y[:, 0]}, r"y must have the shape of the outputs, \(7, 2\), got \(7,\)"),
        ({"y": np.full((7, 2), np.nan)}, "y contains NaN"),
        ({"y": 2 * Y, "loss": "logistic"}, "numbers from 0 to 1 for the loss 'logistic'"),
        ({"y": np.ones((7, 2)), "loss": "cross_entropy"}, "rows of y must add up to 1"),
        ({"params": params(outputs=1), "y": np.ones((7, 1)), "loss": "cross_entropy"}, "softmax of one output is 1"),
        ({"params": None}, "needs params"),
        ({"parameters": "c"}, "fits no array"),
        ({"x_test": X[:, :3]}, "must match"),
        ({"x": X * np.nan}, "x contains NaN"),
        ({"move": 0}, "move must be a positive number"),
        ({"signs": lambda p: p["c"]}, "signs cannot be read off the parameters"),
        ({"signs": lambda p: []}, "signs must return arrays"),
    ],
)
def test_mistakes_end_in_one_line(change, told):
    given = {"x": X, "y": Y, "params": params(), "steps": 2} | change
    x, y = given.pop("x"), given.pop("y")
    with pytest.raises(InputError, match=told) as caught:
        predict_then_train(tanh_mlp, x, y, **given)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("untyped")
def test_where_nothing_moves_there_is_no_error_and_steps_out_of_range_are_refused():
    found = predict_then_train(lambda w, x: x @ w, X, np.zeros(7), params=np.zeros(4, np.float32), steps=2)
    frame: Any = found.frame()
    assert (frame["moved"] == 0).all()
    assert frame[["error", "local", "ratio"]].isna().to_numpy().all()
    assert found.steps_held() == 0
    assert math.isnan(found.error_between(0, 2))
    with pytest.raises(InputError, match="last must be a step from 1 to 2"):
        found.error_between(0, 3)
    with pytest.raises(InputError, match="first must be a step before 2"):
        found.error_between(2, 2)
    with pytest.raises(InputError, match="within must be a positive number"):
        found.steps_held(0.0)


def test_pytorch_is_refused_in_one_line(monkeypatch):
    class Module:
        pass

    monkeypatch.setitem(__import__("sys").modules, "torch.nn", types.SimpleNamespace(Module=Module))
    with pytest.raises(InputError, match="takes JAX networks, and this one is of PyTorch"):
        predict_then_train(Module(), X, Y)
