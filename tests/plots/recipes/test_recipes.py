"""Every recipe draws, says no more than was found, and is left out when something it needs is missing."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntk1bit.claims.results import EstimateEntry, MissingError, Results, read_results
from ntk1bit.plots import recipes
from ntk1bit.plots.recipes import draw_one
from proofs_numeric.catalogue import proofs
from proofs_numeric.page import FIGURES, RESULTS

from .made_up import results


def title(figure: Figure) -> str:
    return " ".join(figure.get_suptitle().split())


def is_below(one: Axes, other: Axes) -> bool:
    mine, theirs = one.get_subplotspec(), other.get_subplotspec()
    if mine is None or theirs is None:
        return False
    return mine.colspan.start == theirs.colspan.start and mine.rowspan.start > theirs.rowspan.start


def drawn(name: str, **outcomes: str) -> Figure:
    return draw_one(recipes.RECIPES[name], results(**outcomes))


def names_drawn(found: Results) -> list[str]:
    return [one.name for one in recipes.draw(found)]


@pytest.fixture(scope="module")
def every() -> list[recipes.Drawn]:
    """Every figure, drawn once."""
    return recipes.draw(results())


def test_everything_is_drawn_with_caption_and_claims(every):
    assert [one.name for one in every] == list(recipes.RECIPES)
    for one in every:
        assert one.claims == recipes.RECIPES[one.name].claims
        assert one.caption.endswith(".")
        assert title(one.figure)
        one.figure.draw_without_rendering()


def test_recipes_name_claims_that_exist_and_the_page_names_recipes():
    assert {claim for one in recipes.RECIPES.values() for claim in one.claims} <= set(proofs())
    assert set(FIGURES.values()) <= set(recipes.RECIPES)
    for claim, name in FIGURES.items():
        assert claim in recipes.RECIPES[name].claims


def test_axes_are_labelled_with_words(every):
    for name, axes in ((one.name, one.figure.axes) for one in every):
        if name == "verdicts":
            continue
        for ax in axes:
            below = [one for one in axes if is_below(one, ax)]  # panels of a column may share a label
            assert any(one.get_xlabel() for one in (ax, *below)), name
        assert any(ax.get_ylabel() for ax in axes), name


def test_figures_have_the_widths_of_a_paper(every):
    assert {one.figure.get_size_inches()[0] for one in every} == {3.25, 6.75}


@pytest.mark.parametrize("name", [name for name, one in recipes.RECIPES.items() if one.claims])
def test_a_figure_is_left_out_without_its_claims(name):
    for claim in recipes.RECIPES[name].claims:
        less = results()
        less.claims = [one for one in less.claims if one.id != claim]
        with pytest.raises(MissingError, match=claim):
            draw_one(recipes.RECIPES[name], less)


@pytest.mark.parametrize(
    ("claim", "table", "name"),
    [
        ("C1-K", "convergence", "convergence"),
        ("C0", "limits against d", "limits"),
        ("C4", "fit band", "scaling"),
        ("C2-law", "floor against the rest", "floor"),
        ("C9-int8", "better 8-bit method", "bitnet-as-written"),
    ],
)
@pytest.mark.parametrize("empty", [False, True])
def test_a_figure_is_left_out_without_its_tables(claim, table, name, empty):
    found = results()
    if empty:
        found.claim(claim).tables[table] = []
    else:
        del found.claim(claim).tables[table]
    with pytest.raises(MissingError, match=claim):
        draw_one(recipes.RECIPES[name], found)


def test_a_missing_measure_leaves_the_figure_out_and_no_other():
    found = results()
    found.claim("C1").measures = []
    assert names_drawn(found) == [name for name in recipes.RECIPES if name != "drift"]


@pytest.mark.parametrize("name", [name for name in recipes.RECIPES if name != "verdicts"])
def test_titles_follow_the_outcome(name):
    claim = recipes.RECIPES[name].claims[0].replace(".", "_").replace("-", "_")
    titles = {title(drawn(name, **{claim: outcome})) for outcome in ("supported", "refuted", "inconclusive")}
    assert len(titles) == 3


def test_the_title_of_the_verdicts_counts():
    shown = title(drawn("verdicts", C1="refuted", C4="inconclusive", C0="refuted"))
    assert shown == "35 claims tested by numbers: 32 supported, 1 inconclusive, 2 refuted"


def test_the_terms_that_were_refuted_are_named():
    assert "$C_3$ and $C_4$ are not negligible" in title(drawn("terms", C1b="refuted"))


def test_measures_without_a_value_leave_the_exponent_out():
    found = results()
    for one in (one for claim in found.claims for one in claim.measures):
        if isinstance(one, EstimateEntry):
            one.value = one.low = one.high = None
    every = {one.name: one.figure for one in recipes.draw(found)}
    assert list(every) == list(recipes.RECIPES)
    legend = every["drift"].axes[0].get_legend()
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
    assert names_drawn(read_results(RESULTS)) == list(recipes.RECIPES)
