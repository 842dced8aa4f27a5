from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.autodiff import rows
from ntk1bit.autodiff.frameworks.jax_calls import batch_function
from ntk1bit.autodiff.frameworks.opened import OpenedNetwork
from ntk1bit.errors import InputError

W = np.ones((3, 2), np.float32)
X = rows.read_inputs("x", np.arange(12.0).reshape(4, 3))


def network(f, *, one_input=False):
    return OpenedNetwork("made up", W, lambda p: lambda x: f(p, x), one_input=one_input)


def only_one(p, x):
    assert x.ndim == 1
    return x @ p


def only_batch(p, x):
    assert x.ndim == 2
    return x @ p


@pytest.mark.parametrize("one_input", [True, False])
@pytest.mark.parametrize(("f", "how"), [(only_one, "one input at a time"), (only_batch, "the batch")])
def test_what_works_is_found(one_input, f, how):
    found = batch_function(network(f, one_input=one_input), X, None)
    assert how in found.how
    assert found.outputs == (2,)
    np.testing.assert_allclose(found.f(W, X), np.asarray(X) @ W)


def test_a_library_of_batches_is_called_on_batches_whatever_one_input_would_give():
    found = batch_function(network(lambda p, x: (x - x.mean(axis=-1, keepdims=True)) @ p), X, None)
    assert found.how == "on the batch"


def test_a_square_of_numbers_is_no_batch():
    """Three inputs of three numbers could be multiplied from either side."""
    square = rows.read_inputs("x", np.eye(3))
    found = batch_function(network(lambda p, x: jnp.ones((3, 3)) @ x, one_input=True), square, None)
    assert "one input" in found.how


def test_evaluate_says_how():
    found = batch_function(network(lambda p, x: (x @ p)[None]), X, lambda net, x: net(x)[0, :, 1])
    assert (found.how, found.outputs) == ("by the function evaluate", ())


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda p, x: x[..., None] * jnp.ones((3, 2)), r"returns shape \(2, 3, 2\) for 2 inputs.*say how it is called"),
        (lambda p, x: (x @ p, 1), r"returns tuple for 2 inputs.*say how it is called"),
        (lambda p, x: x @ p.T, "the network fails: TypeError"),
    ],
)
def test_what_works_neither_way_is_said(f, message):
    with pytest.raises(InputError, match=message):
        batch_function(network(f), X, None)
