from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.networks.quantizers import (
    dequantize_neurons,
    effective_weights,
    quantize_activations,
    quantize_neurons,
    quantize_tensor,
)


def test_hand_computed_neuron():
    w = np.array([[1.0, 3.0, 2.0, 6.0]])  # mean 3, deviations -2 0 -1 3
    std = quantize_neurons(w, scale="std")
    assert std.q.tolist() == [[-1, 1, -1, 1]]  # Sign(0) = +1
    assert std.mu[0] == 3.0
    assert std.s[0] == np.sqrt(14 / 4)
    assert quantize_neurons(w, scale="absmean").s[0] == 6 / 4


def test_constant_and_negative_zero_rows_quantise_to_plus_one():
    w = np.array([[2.0, 2.0, 2.0], [-0.0, 0.0, -0.0]])
    assert (quantize_neurons(w).q == 1).all()
    assert quantize_neurons(w).s.tolist() == [0.0, 0.0]


def test_hand_computed_tensor_does_not_add_the_mean_back():
    w = np.array([[1.0, -1.0], [3.0, 5.0]])
    t = quantize_tensor(w)
    assert (t.alpha, t.beta) == (2.0, 2.5)
    assert t.q.tolist() == [[-1, -1], [1, 1]]


@pytest.mark.parametrize("scale", ["std", "absmean"])
@pytest.mark.parametrize("shape", [(1, 1), (7, 63), (65, 64), (0, 3), (5, 2)])
def test_effective_weights_is_the_dequantised_matrix(scale, shape):
    w = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    slow = dequantize_neurons(quantize_neurons(w, scale=scale))
    # both round s q + mu once, in the same precision
    np.testing.assert_allclose(
        effective_weights(w, scale=scale), slow, rtol=0, atol=4 * float(np.finfo(np.float32).eps)
    )


def test_absmean_is_the_least_squares_scale_and_std_is_not():
    w = np.random.default_rng(1).standard_normal((20, 30))
    q, s, mu = quantize_neurons(w, scale="absmean")

    def error(scale):
        return ((w - mu[:, None] - scale[:, None] * q) ** 2).sum(axis=1)

    for factor in (0.99, 1.01):
        assert (error(s) < error(s * factor)).all()
    assert (error(s) < error(quantize_neurons(w, scale="std").s)).all()


def test_activations_hand_computed():
    q = quantize_activations(np.array([[1.0, -0.5, 0.25], [0.0, 0.0, 0.0]]))
    assert q.q.tolist() == [[127, -64, 32], [0, 0, 0]]  # 128 is clipped to 127
    assert q.gamma.tolist() == [1.0, 0.0]


def test_activations_error_is_at_most_half_a_level_or_the_clip():
    x = np.random.default_rng(2).standard_normal((50, 17))
    q = quantize_activations(x)
    back = q.q * (q.gamma / 128)[:, None]
    assert (np.abs(back - x) <= (q.gamma / 128)[:, None] * (1 + 1e-12)).all()


@pytest.mark.parametrize("call", [quantize_neurons, quantize_tensor, quantize_activations])
def test_nan_is_refused(call):
    with pytest.raises(InputError, match="NaN"):
        call(np.array([[1.0, np.nan]]))


@pytest.mark.usefixtures("untyped")
def test_bad_options_are_refused():
    w = np.ones((2, 2))
    with pytest.raises(InputError, match="did you mean 'std'"):
        quantize_neurons(w, scale="sdt")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="2 to 8 bits"):
        quantize_activations(w, bits=9)
    with pytest.raises(InputError, match="at least one input dimension"):
        quantize_neurons(np.empty((2, 0)))
