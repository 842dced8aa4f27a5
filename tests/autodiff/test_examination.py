from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.autodiff import examination, ntk
from ntk1bit.autodiff.examination import examine, unexamined
from ntk1bit.autodiff.missing_gradients.gradient_paths import MissingGradientWarning
from ntk1bit.errors import InputError

X = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)


def params(seed: int = 0):
    return {"w": np.random.default_rng(seed).standard_normal(3).astype(np.float32)}


def test_what_is_missing_is_told_of_at_each_call_and_sought_once_at_the_same_numbers(monkeypatch):
    calls = []
    real = examination.missing_gradients_of
    monkeypatch.setattr(examination, "missing_gradients_of", lambda *args: calls.append(args) or real(*args))
    captured = {"scale": jnp.float32(2.0)}

    def bare(p, x):
        return x @ (jnp.sign(p["w"]) * captured["scale"] + p["w"])

    def told(p, x):
        with pytest.warns(MissingGradientWarning, match=r"sign.. of parameters reaches the output .*\(w\)") as heard:
            ntk(bare, p, x)
        assert len(heard) == 1
        return len(calls)

    assert told(params(), X) == 1
    assert told(params(), X.copy()) == 1  # the same numbers
    assert told(params(1), X) == 2
    assert told(params(1), X + 1) == 3
    captured["scale"] = jnp.float32(3.0)
    assert told(params(1), X + 1) == 4
    assert told(params(1), X + 1) == 4


def test_a_program_that_lacks_nothing_at_some_numbers_is_sound_at_others(monkeypatch):
    calls = []
    real = examination.missing_gradients_of
    monkeypatch.setattr(examination, "missing_gradients_of", lambda *args: calls.append(args) or real(*args))

    def f(p, x):
        return jnp.tanh(x @ p["w"])

    for seed in (0, 1):
        ntk(f, params(seed), X)
    assert len(calls) == 1


def test_what_was_examined_elsewhere_is_read_and_traced_alone():
    """A function that mixes rows is refused by the one, and not noticed by the other."""

    def mixing(p, x):
        return (x - x.mean(axis=0)) @ p["w"]

    with pytest.raises(InputError, match="mixes the rows of x"):
        examine(mixing, params(), X)
    found = unexamined(mixing, params(), X, X[:2])
    assert (found.network.outputs, found.paths) == ((), ("w",))
    with pytest.raises(InputError, match="x contains NaN"):
        unexamined(mixing, params(), np.full_like(X, np.nan))
