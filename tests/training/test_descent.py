"""The loop itself, on a loss whose descent is known in closed form."""

from __future__ import annotations

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.training.checkpoints import Checkpoint
from ntk1bit.training.descent import NEVER, Descent, descend
from ntk1bit.training.schedules import Training

STEPS = 12
SLOW = Training(STEPS, 0.125, optimiser="sgd", schedule="constant", every=5)


def parabola(p, target, curvature):
    """Its descent is p_t - target = (1 - rate curvature)^t (p_0 - target), without rounding at powers of two."""
    target = 0.0 if target is None else target
    return 0.5 * curvature * (p - target) ** 2


def run(training: Training = SLOW, start: Any = 1.0, curvature: float = 4.0, **options: Any) -> Descent:
    return descend(parabola, jnp.array(start), training, data=(jnp.array(curvature),), **options)


def test_one_network_descends_as_the_closed_form_says_and_is_observed():
    ended = run(observe=lambda p: {"p": p})
    expected = 0.5 ** np.arange(STEPS + 1)  # rate times curvature is one half
    np.testing.assert_array_equal(ended.losses, 2 * expected[:-1] ** 2)
    np.testing.assert_array_equal(ended.records["p"], expected[[0, 5, 10, 12]])
    assert float(ended.params) == expected[-1]
    assert int(ended.diverged_at) == NEVER


def test_networks_side_by_side_have_their_own_starts_and_batches():
    targets = np.array([[0.0], [2.0]]) + np.zeros((2, STEPS))
    ended = run(start=[1.0, 1.0], networks=2, batches=lambda steps: targets[:, steps.start : steps.stop])
    assert ended.losses.shape == (2, STEPS)
    np.testing.assert_array_equal(ended.params, [0.5**STEPS, 2 - 0.5**STEPS])
    assert ended.diverged_at.tolist() == [NEVER, NEVER]


def test_the_loop_ends_when_every_network_has_diverged():
    fast = Training(40, 1e10, optimiser="sgd", schedule="constant", every=5)
    shares: list[float] = []
    ended = run(fast, start=[0.0, 1.0], networks=2, progress=lambda _, share: shares.append(share))
    assert ended.diverged_at[0] == NEVER  # it starts at the minimum
    at = int(ended.diverged_at[1])
    assert 0 < at < 5
    assert np.isfinite(ended.losses[1, :at]).all()
    assert shares[-1] == 1
    alone = run(fast)
    assert int(alone.diverged_at) == at
    assert np.isnan(alone.losses[5:]).all()  # not trained any more after the first chunk


def test_a_stopped_descent_is_resumed_from_its_checkpoint(tmp_path):
    def stop(what: str, share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt(what)

    checkpoint = Checkpoint(tmp_path / "one", "a", seconds=0.0)
    observed: dict[str, Any] = {"observe": lambda p: p}
    with pytest.raises(KeyboardInterrupt, match="step 10"):
        run(checkpoint=checkpoint, progress=stop, **observed)
    with pytest.raises(InputError, match="another training"):
        run(checkpoint=Checkpoint(tmp_path / "one", "b"), **observed)
    shares: list[float] = []
    ended, whole = (
        run(checkpoint=checkpoint, progress=lambda _, share: shares.append(share), **observed),
        run(**observed),
    )
    assert shares == [10 / 12, 1]
    np.testing.assert_array_equal(ended.losses, whole.losses)
    np.testing.assert_array_equal(ended.records, whole.records)
    assert not (tmp_path / "one").exists()


def test_adam_has_the_second_moment_it_is_given():
    step = functools.partial(Training, 2, 0.1, schedule="constant")
    slow, fast = (float(run(step(beta2=beta2)).params) for beta2 in (0.999, 0.5))
    assert slow != fast
    # the first step is the rate, whatever the gradient; beta2 enters with the second
    np.testing.assert_allclose([float(run(Training(1, 0.1, beta2=b)).params) for b in (0.999, 0.5)], 0.9, rtol=1e-6)


def test_adam_has_the_first_moment_it_is_given():
    quick, slow = (float(run(Training(2, 0.1, beta1=b, schedule="constant")).params) for b in (0.0, 0.9))
    assert quick != slow


def test_weight_decay_is_decoupled_from_the_gradient():
    """On the parabola about 0, p_t = (1 - rate (curvature + decay))^t p_0, without rounding at powers of two."""
    ended = run(Training(3, 0.125, optimiser="sgd", schedule="constant", weight_decay=2.0), curvature=2.0)
    assert float(ended.params) == 0.5**3
    adam, decayed = (float(run(Training(1, 0.125, weight_decay=w)).params) for w in (0.0, 2.0))
    # the first step of Adam is the rate, and decay comes on top of it
    np.testing.assert_allclose(adam - decayed, 0.125 * 2.0, rtol=1e-6)
