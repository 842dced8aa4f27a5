from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.data import text as texts
from ntk1bit.errors import InputError
from ntk1bit.experiments.update_flips import UpdateFlips, weight_signs
from ntk1bit.networks.bitlinear_form import ROUNDED, W23, named_form
from ntk1bit.networks.bitlinear_reference import signed_groups
from ntk1bit.networks.transformer import transformer
from ntk1bit.networks.transformer_shape import Shape
from ntk1bit.training.language import language_training, mean_loss, train_on_text

PLAIN = UpdateFlips(
    text="pydoc", layers=1, width=8, rate=0.02, tokens=10 * 2 * 16, batch=2, context=16, seed=3, form="w23"
)
PROJECTIONS = ("query", "key", "value", "output", "up", "down")


def plain_signs(model, form):
    """Sign(W - alpha) of all projections in float64, from the equations."""
    matrices = [getattr(block, name).weight for block in model.blocks for name in PROJECTIONS]
    signs = [np.concatenate([group.signs for group in signed_groups(np.asarray(w), form)], axis=1) for w in matrices]
    return np.concatenate([one.ravel() for one in signs])


@pytest.mark.parametrize("name", ["w23", "rounded"])
def test_shares_are_those_of_single_steps(tmp_path, name):
    """Against steps of Adam and decay written out in float64, around gradients alone taken from JAX.

    Each step starts where the training's own has: Adam divides a gradient by its size, so that rounding of entries near
    0, which no two programs share, would grow from step to step.
    """
    experiment, form = replace(PLAIN, form=name), named_form(name)
    corpus = texts.load("pydoc")
    model = transformer(Shape(1, 8, 1, corpus.vocabulary, 16), arm="bitnet", seed=3, form=form)
    tree = jax.tree.structure(model)
    training = replace(language_training(10 * 2 * 16, rate=0.02, batch=2, context=16, recipe="w23"), every=1)
    passed = train_on_text(model, corpus.train, training, context=16, seed=3, observe=jax.tree.leaves).records
    gradient = jax.jit(jax.value_and_grad(mean_loss))
    m, v = [0.0 * one[0] for one in passed], [0.0 * one[0] for one in passed]
    shares, apart, rates, losses = [], [], [], []
    for step in range(10):
        now, then = (jax.tree.unflatten(tree, [jnp.asarray(one[at]) for one in passed]) for at in (step, step + 1))
        batch = texts.training_batch(corpus.train, batch=2, context=16, step=step, seed=3)
        loss, slopes = gradient(now, jnp.asarray(batch, jnp.int32))
        rate = 0.02 * (0.0 if step == 0 else 1 - (step - 1) / 9)  # one step of warm-up, then a line down to 0
        leaves = [np.asarray(one[step], np.float64) for one in passed]
        for k, slope in enumerate(np.asarray(one, np.float64) for one in jax.tree.leaves(slopes)):
            m[k], v[k] = 0.9 * m[k] + 0.1 * slope, 0.98 * v[k] + 0.02 * slope**2
            adam = m[k] / (1 - 0.9 ** (step + 1)) / (np.sqrt(v[k] / (1 - 0.98 ** (step + 1))) + 1e-8)
            leaves[k] = leaves[k] - rate * (adam + 0.01 * leaves[k])
        after = jax.tree.unflatten(tree, [jnp.asarray(one, jnp.float32) for one in leaves])
        shares.append(np.mean(plain_signs(now, form) != plain_signs(then, form)))
        apart.append(np.sum(plain_signs(after, form) != plain_signs(then, form)))
        rates.append(rate)
        losses.append(float(loss))
    found = experiment.run(tmp_path / "cell")
    assert list(found["step"]) == list(range(10))
    # 768 weights spread over 0.35 or 0.25: that one is within rounding (1e-7) of alpha has a chance below 0.1 % a step
    assert list(found["share"]) == shares
    # a gradient within 1e-3 of its size moves a weight within 1e-3 of the rate, 2e-5: one in ten such steps has a
    # weight so close to alpha, and three at once have a chance of 1e-4
    assert max(apart) <= 2
    assert shares[0] == 0
    assert min(shares[1:-1]) > 0
    np.testing.assert_allclose(found["learning_rate"], rates, rtol=1e-6)  # computed in float32
    np.testing.assert_allclose(found["loss"], losses, rtol=1e-5)  # float32, of the same network
    assert not np.any(found["diverged"].to_numpy())


def test_signs_are_those_of_the_form_and_its_groups():
    for form in (W23, ROUNDED, replace(W23, groups=4)):
        model = transformer(Shape(2, 16, 1, 50, 8), arm="bitnet", seed=0, form=form)
        ties = jnp.full((16, 16), 0.5)  # all at alpha: Sign(0)
        model = eqx.tree_at(lambda one: one.blocks[1].key.weight, model, ties)
        signs, finite = jax.jit(weight_signs)(model)
        assert finite
        assert signs.shape == (12 * 2 * 16**2,)
        np.testing.assert_array_equal(np.where(signs, 1, -1), plain_signs(model, form))
        first = 12 * 16**2 + 16**2
        assert set(np.where(signs, 1, -1)[first : first + 16**2]) == {form.sign_at_zero}
    broken = eqx.tree_at(lambda one: one.blocks[0].up.weight, model, replace_fn=lambda w: w.at[3, 1].set(jnp.nan))
    assert not jax.jit(weight_signs)(broken)[1]


def test_a_network_that_diverges_has_no_shares_from_there_on(tmp_path):
    found = replace(PLAIN, rate=1e38).run(tmp_path / "cell")
    loss, share = found["loss"].to_numpy(), found["share"].to_numpy()
    assert len(found) == 10
    assert np.all(found["diverged"].to_numpy())
    assert np.isfinite(loss[0])
    assert share[0] == 0
    gone = np.isnan(share)
    assert gone[-1]
    assert np.all(np.diff(gone.astype(int)) >= 0)  # once gone, gone
    assert np.all(gone[np.isnan(loss)])


def test_mistakes_are_told():
    with pytest.raises(InputError, match="did you mean 'w23'"):
        replace(PLAIN, form="w24")
    with pytest.raises(InputError, match="even width"):
        replace(PLAIN, width=7)
    with pytest.raises(InputError, match="did you mean 'w23'"):
        replace(PLAIN, recipe="w32").run(Path("not used"))
    assert replace(PLAIN, seed=4).key != PLAIN.key
    assert replace(PLAIN, layers=2).cost > PLAIN.cost
    assert PLAIN.memory > 768 * 10
