from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.estimators import distance_to_predictions

from .frames import run_frame


def test_mean_while_the_loss_falls_by_ten():
    def cell(width, seed, precision, rng):
        loss = np.exp(-0.1 * np.arange(101))  # at most 1/10 from step 24 on
        from_h = np.full(101, np.nan)
        from_h[[0, 1, 5, 20, 50]] = [0.0, 3.0, 1.0, 2.0, 99.0]
        return {"loss": loss, "from_h": from_h / width, "from_k_eff": from_h / (2 * width)}

    found = {(o.quantity, o.settings["precision"]): o for o in distance_to_predictions(run_frame(cell))}
    assert set(found) == {("from H", "one_bit"), ("from H", "full"), ("from K_eff", "one_bit")}
    table = found["from H", "one_bit"].table
    np.testing.assert_allclose(table["value"], 2.0 / table["width"], rtol=1e-12)
    np.testing.assert_allclose(found["from K_eff", "one_bit"].table["value"], 1.0 / table["width"], rtol=1e-12)
    assert found["from H", "full"].power.exponent == pytest.approx(-1, abs=1e-9)


def test_a_run_without_predictions_has_none():
    assert distance_to_predictions(run_frame(lambda *_: {"loss": np.ones(101)})) == []
