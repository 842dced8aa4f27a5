from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from .synthetic import BESIROGLU, chinchilla_design, draw_losses, width_design


def test_without_noise_losses_are_the_law() -> None:
    frame = draw_losses(pd.DataFrame({"x": [1.0, 4.0]}), "power", {"A": 3.0, "alpha": 0.5})
    np.testing.assert_allclose(frame["loss"], [3.0, 1.5], rtol=1e-15)


def test_noise_outliers_and_clusters_are_as_asked() -> None:
    design = width_design(seeds=500)
    law = {"A": 1.0, "alpha": 0.5}
    truth = design["x"] ** -0.5
    noise = np.log(draw_losses(design, "power", law, noise=0.2, seed=1)["loss"] / truth)
    assert noise.std() == pytest.approx(0.2, rel=5 / np.sqrt(2 * 4500))  # 5 standard errors
    hit = draw_losses(design, "power", law, outliers=0.05, outlier_factor=2.0)["loss"] / truth
    assert np.isclose(hit, 2.0).sum() == 225
    assert np.isclose(hit, 1.0).sum() == 4275
    shared = draw_losses(design, "power", law, cluster="seed", cluster_noise=0.3)["loss"] / truth
    by_seed = np.log(shared.to_numpy()).reshape(9, 500)  # widths vary slowest
    assert np.max(by_seed.std(axis=0)) < 1e-12
    assert by_seed[0].std() == pytest.approx(0.3, rel=5 / np.sqrt(1000))


def test_designs_cover_their_ranges() -> None:
    runs = chinchilla_design(240, seed=0)
    assert len(runs) == 240
    assert runs["N"].between(4e7, 1.6e10).all()
    assert runs["D"].between(1e9, 1e12).all()
    assert len(width_design()) == 45


def test_same_seed_same_table() -> None:
    tables = [draw_losses(chinchilla_design(9, seed=2), "chinchilla", BESIROGLU, noise=0.1, seed=3) for _ in range(2)]
    pd.testing.assert_frame_equal(tables[0], tables[1])
