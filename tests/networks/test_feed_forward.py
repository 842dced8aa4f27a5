"""One trained layer of a 1-bit Transformer block: against plain forms, and what its tasks must be like."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.autodiff import ntk
from ntk1bit.errors import InputError
from ntk1bit.experiments.feed_forward import half_square
from ntk1bit.networks import two_layer
from ntk1bit.networks.feed_forward import (
    Layer,
    TokenTask,
    block_features,
    draw_layer,
    draw_task,
    layer_kernel,
    layer_outputs,
    layer_outputs_reference,
    step_reference,
)
from ntk1bit.networks.layer_norm import layer_norm
from ntk1bit.networks.two_layer.network import activity_kernel, coactive_counts
from ntk1bit.training.descent import descend
from ntk1bit.training.schedules import Training

PRECISIONS = ("one_bit", "full")
SHAPES = [(2, 3, 1, 1), (14, 5, 3, 7), (66, 33, 4, 9), (256, 32, 4, 12)]  # width, dim, outputs, tokens


def windows(sequences=4, context=12, vocabulary=11, seed=0):
    drawn = np.random.default_rng(seed).integers(vocabulary, size=(sequences, context + 1))
    return drawn.astype(np.uint8)


def token_task(dim=16, outputs=3, **settings):
    return draw_task(windows(), vocabulary=11, positions=5, dim=dim, outputs=outputs, seed=0, **settings)


def sphere_task(tokens, dim, outputs, seed=0):
    rng = np.random.default_rng(seed)
    h, y = rng.standard_normal((tokens, dim)), rng.standard_normal((tokens, outputs))
    h, y = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (h, y))
    return TokenTask(h.astype(np.float32), y.astype(np.float32))


def unpaired(width, dim, outputs, seed=0):
    """A layer whose outputs are not zero."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((width, dim)).astype(np.float32)
    return Layer(w, np.where(rng.random((width, outputs)) < 0.5, -1, 1).astype(np.float32))


def trained(layer, task, *, eta, steps, precision, kappa):
    """The loss before every step and after the last one, and the weights then."""
    loss, data = half_square(precision, kappa), tuple(map(jnp.asarray, (layer.a, task.h, task.y)))
    training = Training(steps, eta, optimiser="sgd", schedule="constant")
    ended = descend(loss, jnp.array(layer.w), training, data=data, observe=lambda w: loss(w, None, *data))
    return np.append(ended.losses, ended.records[-1]), np.asarray(ended.params)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_outputs_match_the_plain_form(shape, precision):
    width, dim, outputs, tokens = shape
    layer, h = unpaired(width, dim, outputs), sphere_task(tokens, dim, outputs).h
    found = layer_outputs(*map(jnp.asarray, (layer.w, layer.a, h)), precision=precision, kappa=0.7)
    # float32: terms of size up to about 4 at these widths, each rounded a few times
    expected = layer_outputs_reference(layer, h, precision=precision, kappa=0.7)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_step_matches_the_plain_form(shape, precision):
    width, dim, outputs, tokens = shape
    layer, task = unpaired(width, dim, outputs), sphere_task(tokens, dim, outputs)
    losses, moved = trained(layer, task, eta=0.5, steps=1, precision=precision, kappa=0.7)
    expected = step_reference(layer, task, eta=0.5, precision=precision, kappa=0.7)
    assert np.abs(expected.w - layer.w).max() > 1e-2
    # float32 weights of size up to 4, and activities that are the same in both precisions at these seeds
    np.testing.assert_allclose(moved, expected.w, atol=5e-6)
    for loss, one in zip(np.asarray(losses), (layer, expected), strict=True):
        residual = layer_outputs_reference(one, task.h, precision=precision, kappa=0.7) - task.y
        assert loss == pytest.approx(0.5 * (residual**2).sum(), rel=1e-4)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_with_one_output_the_layer_is_the_two_layer_network(precision):
    task, layer = sphere_task(9, 17, 1), unpaired(34, 17, 1)
    weights = two_layer.Weights(layer.w, layer.a[:, 0])
    expected = two_layer.outputs(task.h, weights, precision=precision)
    found = layer_outputs_reference(layer, task.h, precision=precision)[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-5)  # float32 sums of 34 terms of size about 1
    start = draw_layer(34, 17, 1, seed=3)
    paired = two_layer.Weights(start.w, start.a[:, 0])
    eta_rel, y = 0.5, task.y[:, 0]
    theirs = two_layer.train(task.h, y, paired, precision=precision, eta_rel=eta_rel, steps=5)
    ours, _ = trained(start, task, eta=theirs.eta, steps=5, precision=precision, kappa=1.0)
    # few steps, so that no activity has yet been decided by rounding
    np.testing.assert_allclose(ours, theirs.loss, rtol=1e-4)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_kernel_in_closed_form_is_the_one_of_automatic_differentiation(precision):
    width, dim, outputs, tokens = 34, 7, 3, 5
    layer, h = unpaired(width, dim, outputs), sphere_task(tokens, dim, outputs).h

    def f(w, x):
        return layer_outputs(w, jnp.asarray(layer.a), x, precision=precision, kappa=0.7)

    closed = layer_kernel(layer, h, precision=precision, kappa=0.7)
    whole = ntk(f, jnp.asarray(layer.w), h, trace_outputs=False)
    side = tokens * outputs
    # float32 sums of 34 terms of size at most kappa^2/34
    np.testing.assert_allclose(closed, whole.transpose(0, 2, 1, 3).reshape(side, side), atol=1e-6)
    mean = closed.reshape(tokens, outputs, tokens, outputs).trace(axis1=1, axis2=3) / outputs
    np.testing.assert_allclose(mean, ntk(f, jnp.asarray(layer.w), h), atol=1e-6)
    weights = two_layer.Weights(layer.w, layer.a[:, 0])
    counts = coactive_counts(two_layer.activities(h, weights, precision=precision))
    inner = h.astype(np.float64) @ h.T.astype(np.float64)
    expected = activity_kernel(inner, counts, width=width, kappa=0.7)
    np.testing.assert_allclose(mean, expected, atol=1e-12)


@pytest.mark.parametrize("width", [2, 14, 66, 1026])
def test_a_paired_layer_starts_at_zero(width):
    layer, task = draw_layer(width, 16, 3, seed=1), token_task()
    for precision in PRECISIONS:
        found = layer_outputs(*map(jnp.asarray, (layer.w, layer.a, task.h)), precision=precision)
        # the copies are multiplied in the same order, so at most roundings of sums of `width` terms are left
        assert np.abs(np.asarray(found)).max() < 1e-5


def test_features_have_norm_one_differ_and_see_only_what_came_before():
    task = token_task()
    np.testing.assert_allclose(np.linalg.norm(task.h, axis=1), 1, atol=1e-6)  # float32
    np.testing.assert_allclose(np.linalg.norm(task.y, axis=1), 1, atol=1e-6)
    assert task.closest < 0.999
    rng = np.random.default_rng(0)
    u, projections = rng.standard_normal((2, 7, 6)), rng.standard_normal((4, 6, 6))
    later = u.copy()
    later[:, 4:] += 1
    later[:, 4:, 0] -= 3
    before, after = block_features(u, projections), block_features(later, projections)
    np.testing.assert_array_equal(before[:, :4], after[:, :4])
    assert np.abs(before[:, 4:] - after[:, 4:]).max() > 0.1


def test_attention_matches_a_loop_over_positions():
    rng = np.random.default_rng(1)
    u, projections = rng.standard_normal((1, 5, 6)), rng.standard_normal((4, 6, 6))
    q, k, v, o = (np.abs(w).mean() * np.where(w >= w.mean(), 1, -1) for w in projections)
    x = layer_norm(u)[0]
    for place in range(5):
        scores = np.array([(q @ x[place]) @ (k @ x[past]) / np.sqrt(6) for past in range(place + 1)])
        shares = np.exp(scores) / np.exp(scores).sum()
        gathered = np.sum([share * v @ x[past] for past, share in enumerate(shares)], axis=0)
        h = layer_norm(u[0, place] + o @ layer_norm(gathered))
        found = block_features(u, projections)[0, place]
        np.testing.assert_allclose(found, h / np.linalg.norm(h), atol=1e-12)  # float64


def test_targets_are_codes_of_the_next_character():
    texts = windows()
    task = token_task()
    following = texts[:, -5:].reshape(-1)
    codes = {}
    for character, code in zip(following.tolist(), task.y, strict=True):
        np.testing.assert_array_equal(codes.setdefault(character, code), code)
    assert len({code.tobytes() for code in codes.values()}) == len(codes) > 5


def test_tokens_alike_and_other_mistakes_are_told():
    same = np.repeat(windows(sequences=1), 2, axis=0)
    with pytest.raises(InputError, match="same features"):
        draw_task(same, vocabulary=11, positions=5, dim=8, outputs=2, seed=0)
    with pytest.raises(InputError, match=r"positions must be in 1\.\.12"):
        draw_task(windows(), vocabulary=11, positions=13, dim=8, outputs=2, seed=0)
    with pytest.raises(InputError, match="vocabulary has 5"):
        draw_task(windows(), vocabulary=5, positions=3, dim=8, outputs=2, seed=0)
    with pytest.raises(InputError, match="dim must be at least 2"):
        draw_task(windows(), vocabulary=11, positions=3, dim=1, outputs=2, seed=0)
    with pytest.raises(InputError, match="even width"):
        draw_layer(7, 4, 2, seed=0)
