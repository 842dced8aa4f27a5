from __future__ import annotations

from markupsafe import Markup, escape

from ntk1bit.estimators.captions import group_caption

SETTINGS = {"task": "a<b>", "dim": 64, "n_train": 32, "init": "iid", "kappa": 0.5, "eta_rel": 1.0, "precision": "full"}


def test_a_group_is_described_by_its_settings():
    assert group_caption(SETTINGS) == "a<b>, d = 64, n = 32, init iid, kappa = 0.5, eta_rel = 1"


def test_an_activity_is_told_where_it_is_not_the_usual_one():
    usual = group_caption(SETTINGS)
    assert group_caption(SETTINGS | {"activity": "straight_through"}) == usual
    assert group_caption(SETTINGS | {"activity": "frozen"}) == f"{usual}, activity frozen"


def test_symbols_are_written_as_asked_and_names_are_escaped():
    shown = Markup(group_caption(SETTINGS, kappa="κ", eta_rel="η<sub>rel</sub>", escape=escape))
    assert shown == "a&lt;b&gt;, d = 64, n = 32, init iid, κ = 0.5, η<sub>rel</sub> = 1"
