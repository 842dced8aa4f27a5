"""Every recipe draws, says no more than was found, and is left out when something it needs is missing."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntk1bit.claims.results import read_results
from ntk1bit.plots import recipes
from ntk1bit.plots.recipes.catalogue import draw_one
from ntk1bit.plots.recipes.recipe import MissingError
from proofs_numeric.catalogue import proofs
from proofs_numeric.page import FIGURES, RESULTS

from .made_up import document


def title(figure: Figure) -> str:
    return " ".join(figure.get_suptitle().split())


def is_below(one: Axes, other: Axes) -> bool:
    mine, theirs = one.get_subplotspec(), other.get_subplotspec()
    if mine is None or theirs is None:
        return False
    return mine.colspan.start == theirs.colspan.start and mine.rowspan.start > theirs.rowspan.start


def drawn(name: str, **outcomes: str) -> Figure:
    return draw_one(recipes.RECIPES[name], document(**outcomes))


def test_everything_is_drawn_with_caption_and_claims():
    found = recipes.draw(document())
    assert list(found) == list(recipes.RECIPES)
    for name, (figure, caption, claims) in found.items():
        assert claims == recipes.RECIPES[name].claims
        assert caption.endswith(".")
        assert title(figure)
        figure.draw_without_rendering()


def test_recipes_name_claims_that_exist_and_the_page_names_recipes():
    assert {claim for one in recipes.RECIPES.values() for claim in one.claims} <= set(proofs())
    assert set(FIGURES.values()) <= set(recipes.RECIPES)
    for claim, name in FIGURES.items():
        assert claim in recipes.RECIPES[name].claims


def test_axes_are_labelled_with_words():
    for name, (figure, _, _) in recipes.draw(document()).items():
        if name == "verdicts":
            continue
        for ax in figure.axes:
            below = [one for one in figure.axes if is_below(one, ax)]  # panels of a column may share a label
            assert any(one.get_xlabel() for one in (ax, *below)), name
        assert any(ax.get_ylabel() for ax in figure.axes), name


def test_figures_have_the_widths_of_a_paper():
    for figure, _, _ in recipes.draw(document()).values():
        assert figure.get_size_inches()[0] in (3.25, 6.75)


@pytest.mark.parametrize("name", [name for name, one in recipes.RECIPES.items() if one.claims])
def test_a_figure_is_left_out_without_its_claims(name):
    results = document()
    needed = recipes.RECIPES[name].claims
    for claim in needed:
        less = results | {"claims": [one for one in results["claims"] if one["id"] != claim]}
        assert name not in recipes.draw(less)
        with pytest.raises(MissingError, match=claim):
            draw_one(recipes.RECIPES[name], less)


@pytest.mark.parametrize(
    ("claim", "table", "name"),
    [
        ("C1-K", "convergence", "convergence"),
        ("C0", "limits against d", "limits"),
        ("C4", "fit band", "scaling"),
        ("C2-law", "floor against the rest", "floor"),
    ],
)
@pytest.mark.parametrize("empty", [False, True])
def test_a_figure_is_left_out_without_its_tables(claim, table, name, empty):
    results = document()
    entry = next(one for one in results["claims"] if one["id"] == claim)
    if empty:
        entry["tables"][table] = []
    else:
        del entry["tables"][table]
    found = recipes.draw(results)
    assert name not in found
    assert len(found) == len(recipes.RECIPES) - 1


def test_a_missing_measure_leaves_the_figure_out():
    results = document()
    entry = next(one for one in results["claims"] if one["id"] == "C1")
    entry["measures"] = []
    assert "drift" not in recipes.draw(results)


@pytest.mark.parametrize("name", [name for name in recipes.RECIPES if name != "verdicts"])
def test_titles_follow_the_outcome(name):
    claim = recipes.RECIPES[name].claims[0].replace(".", "_").replace("-", "_")
    titles = {title(drawn(name, **{claim: outcome})) for outcome in ("supported", "refuted", "inconclusive")}
    assert len(titles) == 3


def test_the_title_of_the_verdicts_counts():
    told = title(drawn("verdicts", C1="refuted", C4="inconclusive", C0="refuted"))
    assert told == "22 claims tested by numbers: 19 supported, 1 inconclusive, 2 refuted"


def test_the_terms_that_were_refuted_are_named():
    assert "$C_3$ and $C_4$ are not negligible" in title(drawn("terms", C1b="refuted"))


def test_measures_without_a_value_leave_the_exponent_out():
    results = document()
    for claim in results["claims"]:
        for measure in claim["measures"]:
            measure |= {"value": None, "low": None, "high": None}
    found = recipes.draw(results)
    assert list(found) == list(recipes.RECIPES)
    legend = found["drift"][0].axes[0].get_legend()
    assert legend is not None
    assert legend.get_texts()[0].get_text() == "1-bit, iid"


def test_legends_hold_exponents_with_intervals_and_points_their_values():
    ax = drawn("drift").axes[0]
    legend = ax.get_legend()
    assert legend is not None
    assert legend.get_texts()[0].get_text() == "1-bit, iid $m^{-0.70}$ [−0.72, −0.68]"
    line = next(one for one in ax.lines if one.get_label() == legend.get_texts()[0].get_text())
    drawn_at, values = (np.asarray(one, dtype=np.float64) for one in line.get_data())
    np.testing.assert_allclose(values, drawn_at**-0.7)


@pytest.mark.skipif(not (RESULTS / "verdicts.json").exists(), reason="no stored results")
def test_all_are_drawn_from_the_stored_results():
    assert list(recipes.draw(read_results(RESULTS))) == list(recipes.RECIPES)
