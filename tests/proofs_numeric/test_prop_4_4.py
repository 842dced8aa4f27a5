"""The rule of 4.4 on losses whose exponent is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ntk1bit.claims import IntervalEstimate, Number
from ntk1bit.claims.results import claim_entry, document
from ntk1bit.plots.recipes.feed_forward import draw_feed_forward
from proofs_numeric import prop_4_4
from proofs_numeric.data import Data

WIDTHS = (64, 256, 1024, 4096)


def losses(exponent, *, at_first=4.0, half=1.0, diverged=()):
    """Curves of six seeds that end at at_first (m/64)^exponent, within 5 %; full precision far below."""
    rng = np.random.default_rng(0)
    frames = []
    for width in WIDTHS:
        for seed in range(6):
            level = at_first * (width / 64) ** exponent * (1 + 0.05 * rng.standard_normal())
            for precision, share in (("one_bit", 1.0), ("full", 1e-6)):
                end = level * share
                about = {"level": end, "level_half": half * end, "level_lowest": end, "loss_start": 32.0}
                curve = pd.DataFrame({"step": [0, 10, 100], "loss": [32.0, (32 * end) ** 0.5, end]})
                settings = {"width": width, "precision": precision, "seed": seed, "diverged": (width, seed) in diverged}
                constant = {"tokens": 64, "outputs": 4, "dim": 32, "kappa": 1.0, "lambda_min": 0.05, "closest": 0.9}
                frames.append(curve.assign(**about, **settings, **constant))
    return Data(Path("nowhere"), frames={"feed-forward": pd.concat(frames, ignore_index=True)})


def test_a_loss_that_falls_as_one_over_m_supports_the_claim():
    found = prop_4_4.evidence(losses(-1.0))
    assert prop_4_4.CLAIM.judge(found).outcome == "supported"
    exponent = found.get("loss.m")
    assert isinstance(exponent, IntervalEstimate)
    assert exponent.value == pytest.approx(-1, abs=0.05)  # 5 % noise in 24 values over a factor 64 of width
    share = found.get("loss.over_start.widest")
    assert isinstance(share, IntervalEstimate)
    assert share.value == pytest.approx(4 / 64 / 32, rel=0.1)
    over_law = found.get("loss.over_law.widest")
    assert isinstance(over_law, IntervalEstimate)
    assert over_law.value == pytest.approx(4 / 64 / (256**2 / (2 * np.pi * 4096 * 32)), rel=0.1)
    ratio = found.get("loss.full_over_one_bit.widest")
    assert isinstance(ratio, IntervalEstimate)
    assert ratio.value == pytest.approx(1e-6)
    asked = found.get("proposition.log10")
    assert isinstance(asked, Number)
    by_hand = -8 * np.log10(0.05) + 12 * np.log10(64) + 20 * np.log10(32) - 4 * np.log10(0.05 * 4 / 64)
    assert asked.value == pytest.approx(by_hand, abs=0.1)
    assert len(found.remarks) == 1


def test_a_loss_that_falls_too_slowly_or_stays_high_refutes_it():
    slow = prop_4_4.CLAIM.judge(prop_4_4.evidence(losses(-0.1, at_first=0.1)))
    assert [one.outcome for one in slow.findings] == ["refuted", "supported"]
    high = prop_4_4.CLAIM.judge(prop_4_4.evidence(losses(-0.3, at_first=30.0)))
    assert [one.outcome for one in high.findings] == ["supported", "refuted"]


def test_what_is_not_level_and_what_diverged_is_told():
    falling = prop_4_4.evidence(losses(-1.0, half=1.5)).remarks
    assert falling[0] == "1-bit losses still decreasing at the end: widths 64, 256, 1024, 4096."
    rising = prop_4_4.evidence(losses(-1.0, half=0.5)).remarks
    assert "increasing" in rising[0]
    found = prop_4_4.evidence(losses(-1.0, diverged={(64, 2)}))
    assert found.remarks[0] == "Some networks diverged; their widths are left out: 64."
    assert set(found.tables["loss against width"]["width"]) == {256, 1024, 4096}
    assert 64 not in set(found.tables["loss by step"]["width"])


@pytest.mark.parametrize(("exponent", "words"), [(-1.0, "brings down"), (-0.1, "does not bring down")])
def test_the_figure_says_no_more_than_was_found(exponent, words):
    found = prop_4_4.evidence(losses(exponent, at_first=1.0))
    entry = claim_entry(prop_4_4.CLAIM, prop_4_4.CLAIM.judge(found), found)
    figure = draw_feed_forward(document("quick", {}, [entry]))
    figure.draw_without_rendering()
    title = " ".join(figure.get_suptitle().split())
    assert words in title
    assert ("faster in width" in title) == (exponent == -1.0)
