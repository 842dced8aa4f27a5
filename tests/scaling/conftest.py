from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from ntk1bit.scaling import Fit, fit

from .synthetic import BESIROGLU, chinchilla_design, draw_losses, width_design


@pytest.fixture(scope="session")
def runs() -> pd.DataFrame:
    """240 runs drawn from the refitted Chinchilla law, with noise and outliers."""
    return draw_losses(chinchilla_design(), "chinchilla", BESIROGLU, noise=0.01, outliers=0.03, seed=1)


@pytest.fixture(scope="session")
def chinchilla(runs: pd.DataFrame) -> Fit:
    return fit(runs, "chinchilla", x=("N", "D"), bootstrap=200)


@pytest.fixture(scope="session")
def widths() -> pd.DataFrame:
    """9 widths and 5 seeds from a power law with a floor."""
    return draw_losses(width_design(), "power+floor", {"E": 0.02, "A": 3.0, "alpha": 0.8}, noise=0.05, seed=3)


@pytest.fixture(scope="session")
def floored(widths: pd.DataFrame) -> Fit:
    return fit(widths, "power+floor", x="x", bootstrap=200, cluster=())  # the noise is drawn row by row


WIDTHS = (64, 128, 256, 512, 1024, 2048)
STEPS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)


def make_sweep(n_train: tuple[int, ...] = (50,), widths: tuple[int, ...] = WIDTHS, noise: float = 0.05) -> pd.DataFrame:
    """A sweep whose losses are max(A N^-alpha, F exp(-rate t)) with alpha = 1 (full) and 0.5 (one_bit)."""
    rng, rows = np.random.default_rng(0), []
    for precision, alpha, amplitude in (("full", 1.0, 40.0), ("one_bit", 0.5, 4.0)):
        for n in n_train:
            for width in widths:
                for seed in range(3):
                    wobble = np.exp(noise * rng.standard_normal())
                    for t in STEPS:
                        loss = wobble * max(amplitude * (10 * width) ** -alpha, 5.0 * np.exp(-0.05 * t))
                        test = 2 * loss if t in (0, 16, 256) else np.nan
                        rows.append((precision, n, width, seed, t, loss, test))
    frame = pd.DataFrame(rows, columns=["precision", "n_train", "width", "seed", "step", "loss", "test_loss"])
    return frame.assign(task="digits", dim=10, init="paired", scale="std", kappa=1.0, diverged=False)


@pytest.fixture
def sweep() -> Callable[..., pd.DataFrame]:
    return make_sweep


def curves_of_runs(noise: float = 0.0) -> pd.DataFrame:
    sizes, seen = np.geomspace(2e7, 3e10, 40), np.geomspace(1e8, 3e12, 60)
    grid = pd.DataFrame([(f"run{i:02d}", n, d) for i, n in enumerate(sizes) for d in seen], columns=["run", "N", "D"])
    return draw_losses(grid, "chinchilla", BESIROGLU, noise=noise)


@pytest.fixture
def make_curves() -> Callable[..., pd.DataFrame]:
    return curves_of_runs
