"""Kernels of Transformers in training, against `autodiff.ntk` and descent by hand; what a step does."""

from __future__ import annotations

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.autodiff import ntk
from ntk1bit.errors import InputError
from ntk1bit.experiments import TransformerKernels
from ntk1bit.experiments.transformer_kernels import _arriving, _by_path, _expected, _is_projection, _outputs

SMALL = TransformerKernels("full", 16, 0.5, (1, 3), (3, 5), layers=1, n_train=6, context=5)
EPSILON = float(np.finfo(np.float32).eps)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return SMALL.run(Path(tmp_path_factory.mktemp("cells")) / "key")


def test_kernels_and_losses_are_those_of_descent_by_hand(found):
    params, static, x, y, v = SMALL._drawn(5)
    f = functools.partial(_outputs, static=static, v=v)
    first = ntk(f, params, x)
    eta, start = 0.5 / np.linalg.eigvalsh(first)[-1], f(params, x)
    kernels = []
    for _ in range(3):
        kernels.append(ntk(f, params, x))
        gradient = jax.grad(lambda at: 0.5 * jnp.sum((f(at, x) - start - y) ** 2))(params)
        params = jax.tree.map(lambda a, g: a - eta * g, params, gradient)
    kernel = np.asarray(ntk(f, params, x), np.float64)
    rows = found.loc[found["seed"] == 5].set_index("step")
    assert rows.index.tolist() == [0, 1, 3]
    # sums of some thousand products in float32, in another order
    close = functools.partial(pytest.approx, rel=1000 * EPSILON)
    assert rows.loc[0, "loss"] == close(0.5 * float(y @ y))
    assert rows.loc[3, "loss"] == close(float(0.5 * jnp.sum((f(params, x) - start - y) ** 2)))
    assert rows.loc[3, "lambda_max"] == close(float(np.linalg.eigvalsh(kernel)[-1]))
    assert rows.loc[3, "alignment"] == close(float(y @ kernel @ y / (6 * np.linalg.norm(kernel))))
    for step, at in ((1, kernels[1]), (3, kernel)):  # a difference of kernels: rounding of either over their distance
        apart = np.linalg.norm(at - first) / np.linalg.norm(first)
        assert rows.loc[step, "drift"] == pytest.approx(float(apart), abs=1000 * EPSILON)
    assert rows.loc[0, "drift"] == 0
    share = np.trace(ntk(f, SMALL._drawn(5)[0], x, parameters=_is_projection)) / np.trace(first)
    assert rows.loc[0, "share"] == close(float(share))
    assert np.isnan(rows.loc[[1, 3], ["share", "ratio", "arriving"]].to_numpy()).all()


def test_in_full_precision_a_step_arrives_whole(found):
    at_start = found.loc[found["step"] == 0]
    # a central difference over moves of 0.02/4 of the weights: off by curvature, the square of that, and by rounding
    assert at_start["ratio"].to_numpy() == pytest.approx(1.0, abs=5e-3)
    assert at_start["arriving"].tolist() == at_start["ratio"].tolist()


@pytest.mark.parametrize("arm", ["bitnet", "b158"])
def test_quantised_matrices_learn_by_jump_times_density(arm):
    """A network 64 wide has some 20 flips in each of twelve matrices: a tenth, and some for what is left out."""
    one = TransformerKernels(arm, 64, 0.5, (1,), (1,))
    params, static, x, y, v = one._drawn(1)
    seen = _arriving(functools.partial(_outputs, static=static, v=v), params, x, y, arm)
    assert seen["arriving"] == pytest.approx(1.0, abs=0.3)
    matrices = [leaf for path, leaf in _by_path(params).items() if _is_projection(path)]
    assert len(matrices) == 12
    if arm == "bitnet":  # sqrt(2/pi) over the deviation of the weights, which is 1/8 where 64 come together
        assert _expected(arm, np.asarray(matrices[0])) == pytest.approx((2 / np.pi) ** 0.5 * 8, rel=0.05)
    else:
        assert seen["ratio"] == pytest.approx(0.588, abs=0.2)


def test_mistakes_are_told():
    with pytest.raises(InputError, match="arm"):
        TransformerKernels("sign", 16, 0.5, (1,), (0,))
    assert "b158 2x16" in TransformerKernels("b158", 16, 0.5, (1,), (0,)).label
