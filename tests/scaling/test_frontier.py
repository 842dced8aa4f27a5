from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ntk1bit.errors import InputError
from ntk1bit.scaling import Fit, FitRequest, fit, get_law
from ntk1bit.scaling.allocation import disagreement
from ntk1bit.scaling.frontier import (
    budget_groups,
    envelope_frontier,
    isoflop_frontier,
    parametric_frontier,
)

from .synthetic import BESIROGLU, draw_losses

pytestmark = pytest.mark.filterwarnings("ignore::ntk1bit.scaling.IdentificationWarning")

Curves = Callable[..., pd.DataFrame]

BUDGETS = np.geomspace(1e18, 1e22, 9)
EXPONENT = BESIROGLU["beta"] / (BESIROGLU["alpha"] + BESIROGLU["beta"])


def asked(**options: Any) -> FitRequest:
    return FitRequest(get_law("chinchilla"), **{"run": "run", "bootstrap": 50, **options})


def _optimum(params: dict[str, float], c: np.ndarray) -> np.ndarray:
    """N_opt in closed form: Hoffmann et al. 2022, Eq. 4."""
    alpha, beta = params["alpha"], params["beta"]
    scale = (alpha * params["A"] / (beta * params["B"])) ** (1 / (alpha + beta))
    return scale * (c / 6) ** (beta / (alpha + beta))


def _isoflops(noise: float = 0.0) -> pd.DataFrame:
    around = np.geomspace(0.3, 1 / 0.3, 9)
    rows = [(n, c / 6 / n) for c in BUDGETS for n in _optimum(BESIROGLU, np.array([c])) * around]
    return draw_losses(pd.DataFrame(rows, columns=["N", "D"]), "chinchilla", BESIROGLU, noise=noise, seed=1)


def test_search_finds_the_closed_form(chinchilla: Fit) -> None:
    frontier = parametric_frontier(chinchilla, BUDGETS)
    table = frontier.table()
    # A minimum is found by its values to the root of float resolution, 1e-8, and L is flat: E hides half the digits.
    np.testing.assert_allclose(table["N_opt"], _optimum(chinchilla.params, BUDGETS), rtol=1e-5)
    np.testing.assert_allclose(6 * table["N_opt"] * table["D_opt"], BUDGETS, rtol=1e-12)
    np.testing.assert_allclose(table["L_min"], chinchilla.predict(table.rename(columns={"N_opt": "N", "D_opt": "D"})))
    a = chinchilla.params["beta"] / (chinchilla.params["alpha"] + chinchilla.params["beta"])
    exponents = frontier.exponents().set_index("of")
    assert exponents.loc["N_opt", "exponent"] == pytest.approx(a, rel=1e-5)
    assert np.sum(exponents["exponent"]) == pytest.approx(1.0)
    assert np.all((table["N_opt_low"] < table["N_opt"]) & (table["N_opt"] < table["N_opt_high"]))


def test_kaplans_law_has_a_frontier_too(runs: pd.DataFrame) -> None:
    found = fit(runs, "kaplan", x=("N", "D"), bootstrap=0)
    # From dL/dN = 0: alpha_N/alpha_D (N_c/N)^(alpha_N/alpha_D) = D_c/D, so N_opt ~ C^(1/(1 + alpha_N/alpha_D)).
    ratio = found.params["alpha_N"] / found.params["alpha_D"]
    table = parametric_frontier(found, BUDGETS).table()
    assert np.polyfit(np.log(BUDGETS), np.log(table["N_opt"]), 1)[0] == pytest.approx(1 / (1 + ratio), rel=1e-4)
    assert np.all(np.isnan(table["N_opt_low"]))  # no replicates, no interval


def test_envelope_of_exact_curves_lies_at_the_optimum(make_curves: Curves) -> None:
    frontier = envelope_frontier(make_curves(), BUDGETS, asked(bootstrap=200))
    table = frontier.table()
    spacing = np.log(3e10 / 2e7) / 39  # neighbouring sizes
    truth = np.log(_optimum(BESIROGLU, table["C"].to_numpy()))
    assert np.abs(np.log(table["N_opt"]) - truth).max() <= spacing
    # Each budget is off by at most one spacing: so is the slope, over 9.2 / 2 on either side of the middle.
    assert frontier.slopes()[0] == pytest.approx(EXPONENT, abs=spacing / 4.6)


def test_parabolas_of_exact_isoflops_lie_near_the_optimum() -> None:
    frontier = isoflop_frontier(_isoflops(), asked(bootstrap=50))
    table = frontier.table()
    np.testing.assert_allclose(table["C"], BUDGETS, rtol=1e-9)
    # log L is no parabola: over 0.3..3.3 around the optimum its third derivative moves the vertex by some percent.
    np.testing.assert_allclose(table["N_opt"], _optimum(BESIROGLU, BUDGETS), rtol=0.1)
    assert frontier.slopes()[0] == pytest.approx(EXPONENT, abs=0.01)


def test_routes_agree_on_their_common_truth(make_curves: Curves) -> None:
    fitted = fit(_isoflops(0.002), "chinchilla", x=("N", "D"), bootstrap=100)
    routes = [
        parametric_frontier(fitted, BUDGETS),
        isoflop_frontier(_isoflops(0.002), asked(bootstrap=100)),
        envelope_frontier(make_curves(), BUDGETS, asked(bootstrap=100)),
    ]
    table = disagreement(routes)
    assert table[["first", "second"]].to_numpy().tolist() == [
        ["parametric", "isoflop"],
        ["parametric", "envelope"],
        ["isoflop", "envelope"],
    ]
    assert np.max(table["N_opt_decades_median"]) < 0.1
    assert np.max(table["L_min_decades_median"]) < 0.002
    assert np.all(np.abs(table["exponent_difference"]) < 0.06)


def test_budgets_are_told_apart_by_gaps() -> None:
    c = np.array([1e18, 2e19, 1.02e18, 2.01e19, 1e18, 3e20])
    assert [sorted(group.tolist()) for group in budget_groups(c)] == [[0, 2, 4], [1, 3], [5]]
    spread = np.geomspace(1, 10, 200)  # a chain of neighbours is no budget
    assert budget_groups(spread) == []


def test_what_no_route_can_use_is_refused(
    chinchilla: Fit, floored: Fit, runs: pd.DataFrame, make_curves: Curves
) -> None:
    with pytest.raises(InputError, match="law of N and D"):
        parametric_frontier(floored, BUDGETS)
    with pytest.raises(InputError, match="positive numbers"):
        parametric_frontier(chinchilla, [1e18, -1.0])
    with pytest.raises(InputError, match="five runs"):
        isoflop_frontier(_isoflops().iloc[::3], asked())
    with pytest.raises(InputError, match="no column 'run'"):
        envelope_frontier(runs, BUDGETS, asked())
    with pytest.raises(InputError, match="several values of 'N'"):
        envelope_frontier(runs.assign(run=1), BUDGETS, asked())
    with pytest.raises(InputError, match="two are needed"):
        envelope_frontier(make_curves(), [1e30], asked())


def test_an_optimum_beyond_the_search_is_not_reported() -> None:
    frame = _isoflops()
    frame["loss"] = 1.5 + 1e3 * frame["D"] ** -0.3 * frame["N"] ** 0.2  # the smallest network is always best
    fitted = fit(frame, "chinchilla", x=("N", "D"), bootstrap=0)
    n_opt = parametric_frontier(fitted, BUDGETS).table()["N_opt"].to_numpy()
    assert np.all(np.isnan(n_opt) | (n_opt < np.min(frame["N"])))


def test_clusters_and_weights_reach_the_parabolas() -> None:
    frame = _isoflops(0.01)
    frame = frame.assign(seed=np.arange(len(frame)) % 4, w=1.0 + np.arange(len(frame)) % 3)
    weighted = isoflop_frontier(frame, asked(weight="w", bootstrap=0))
    for j, c in enumerate(weighted.budgets):
        own = frame.loc[np.isclose(6 * frame["N"] * frame["D"], c)]
        square, slope, _ = np.polyfit(np.log(own["N"]), np.log(own["loss"]), 2, w=np.sqrt(own["w"]))
        # centred here, not in log N as written by polyfit, whose normal equations lose half the digits
        assert weighted.log_n[0, j] == pytest.approx(-slope / (2 * square), rel=1e-6)
    apart = isoflop_frontier(frame, asked(bootstrap=200))
    together = isoflop_frontier(frame, asked(cluster="seed", bootstrap=200))
    np.testing.assert_array_equal(together.log_n[0], apart.log_n[0])
    # One draw of clusters serves all budgets, so that replicates without some seed shift all optima.
    counts = {len(np.unique(np.round(column[np.isfinite(column)], 9))) for column in together.log_n[1:].T}
    assert max(counts) <= 35  # ways to draw 4 of 4 seeds, order aside
    assert min(len(np.unique(column)) for column in apart.log_n[1:].T) > 100


def test_clusters_of_runs_are_drawn_for_the_envelope(make_curves: Curves) -> None:
    curves = make_curves(0.002)
    curves["seed"] = curves["run"].str[-1]
    plain = envelope_frontier(curves, BUDGETS, asked(bootstrap=50))
    by_run = envelope_frontier(curves, BUDGETS, asked(bootstrap=50, cluster="run"))
    np.testing.assert_array_equal(by_run.log_n, plain.log_n)
    by_seed = envelope_frontier(curves, BUDGETS, asked(bootstrap=50, cluster="seed"))
    np.testing.assert_array_equal(by_seed.log_n[0], plain.log_n[0])
    assert not np.array_equal(by_seed.log_n, plain.log_n)
    with pytest.raises(InputError, match="run run00 has rows in several clusters"):
        envelope_frontier(curves.assign(moment=np.arange(len(curves)) % 3), BUDGETS, asked(cluster="moment"))
