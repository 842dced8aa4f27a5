from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.experiments.layer_variance import DRAWS, LayerVariance
from ntk1bit.networks.bitlinear_form import W23
from ntk1bit.networks.bitlinear_reference import signed_groups
from ntk1bit.networks.layer_norm import layer_norm

SCRATCH = Path("not used")


def drawn(seed, init, width=32, rows=5):
    """The draws of the experiment, as its module describes them."""
    rng = np.random.default_rng([seed, 0x71, width])
    return rng.standard_normal((rows, width)), [DRAWS[init](rng, width).astype(np.float32) for _ in range(2)]


@pytest.mark.parametrize("init", DRAWS)
def test_a_stack_is_what_the_equations_give(init):
    frame = LayerVariance(init, "normal", 2.0, 32, 2, (3, 4), rows=5).run(SCRATCH)
    assert len(frame) == 2 * 2 * 2
    x, weights = drawn(4, init)
    for sub_norm in (True, False):
        h = 2.0 * x
        for layer, w in enumerate(weights, start=1):
            given = layer_norm(h) if sub_norm else h
            (part,) = signed_groups(w, W23)
            h = given @ (part.beta * part.signs).T
            row = frame.loc[(frame["seed"] == 4) & (frame["sub_norm"] == sub_norm) & (frame["layer"] == layer)].iloc[0]
            # products of 32 terms and clipping at 2^-24, in float32
            assert row["variance"] == pytest.approx(h.var(axis=1).mean(), rel=1e-5)
            assert row["square"] == pytest.approx((given**2).mean(), rel=1e-5)
            assert row["gain"] == pytest.approx(32 * part.beta**2, rel=1e-6)
            assert row["predicted"] == pytest.approx(row["gain"] * row["square"])


def test_inputs_with_a_mean_are_gelu_and_runs_repeat():
    one, two = (LayerVariance("normal", "gelu", 1.0, 256, 1, (0,)).run(SCRATCH) for _ in range(2))
    assert one.equals(two)
    plain = one.loc[~one["sub_norm"].to_numpy()].iloc[0]
    # E[GELU(z)^2] = 0.425; 64 x 256 squares of relative spread 2 are known to 1.6 %
    assert plain["square"] == pytest.approx(0.425, rel=0.06)


def test_initialisations_have_the_variances_of_their_papers():
    rng = np.random.default_rng(0)
    for init, variance in (("normal", 1), ("xavier", 1), ("he", 2)):
        # 65,536 entries: a variance to 0.6 %
        assert 256 * DRAWS[init](rng, 256).var() == pytest.approx(variance, rel=0.03)


def test_mistakes_are_told():
    cases = [
        ({"init": "kaiming"}, "init"),
        ({"inputs": "gelus"}, "did you mean 'gelu'"),
        ({"form": "w24"}, "did you mean 'w23'"),
        ({"layers": 0}, "layers must be at least 1"),
        ({"size": float("inf")}, "size must be a positive number"),
    ]
    plain = {"init": "he", "inputs": "normal", "size": 1.0, "width": 8, "layers": 2, "seeds": (0,)}
    for change, message in cases:
        with pytest.raises(InputError, match=message):
            LayerVariance(**(plain | change))  # pyright: ignore[reportArgumentType]
