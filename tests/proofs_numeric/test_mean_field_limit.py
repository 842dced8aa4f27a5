"""The rules of C11 and its branches, on networks planted around a made-up limit.

The residual of a planted network is `still` along one direction over inputs, `swing` with alternating sign along
another, and `away` along a third: what it is off the limit. So the loss is half the sum of their squares, that of two
averaged outputs lacks `swing`, and the root mean square distance to the limit is `away`/2 on four inputs.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest

from proofs_numeric import mean_field_limit as proof
from proofs_numeric.mean_field_studies import ETA_REL, GAIN_STEPS, LONG, RATES, SETTINGS
from proofs_numeric.mean_field_studies import SIX as OF_C11
from tests.proofs_numeric.planted import (
    SEEDS,
    Law,
    combinations,
    context,
    evaluate,
    networks,
    outcomes,
    power,
    slope_error,
    stored,
    sweep,
    where,
)
from tests.proofs_numeric.values import value

WIDTHS = (1024, 4096, 16384, 65536)
ACTIVITIES = ("straight_through", "frozen")
NOISE, APART = 0.02, 0.01  # of networks' distances, and of replicates of the limit, as shares
STILL, SWING, AWAY = 0.3, 1.0, 0.2
MID, LATE = (81, 120), (351, 390)
NAMES = tuple(setting.name for setting in SETTINGS)
ALL = tuple(setting.name for setting in OF_C11)
LASTING = ("sphere16", "sphere32", "digits", "sphere32wide")
TARGETS = np.array([1.0, -1.0, 0.5, -0.2])
AXES = np.linalg.qr(np.random.default_rng(3).standard_normal((4, 4)))[0]
SIX = 3 / len(SEEDS) ** 0.5  # three standard errors of a mean of six, in units of their deviation
FLIP_NOISE = power(-0.25, size=AWAY)


def between(steps: tuple[int, int], inside: Law, outside: Law = 0.0):
    """The law that is `inside` in a range of steps, both ends included, and `outside` of it another."""

    def law(frame):
        here = (frame["step"] >= steps[0]) & (frame["step"] <= steps[1])
        return np.where(here, evaluate(inside, frame), evaluate(outside, frame))

    return law


def in_mid(inside: Law, outside: Law = 0.0):
    """The same for mid-training, which is the same range of eta t at every rate."""

    def law(frame):
        rate = frame["eta_rel"].to_numpy()
        here = (frame["step"] > 80 * ETA_REL / rate) & (frame["step"] <= MID[1] * ETA_REL / rate)
        return np.where(here, evaluate(inside, frame), evaluate(outside, frame))

    return law


def steps_of(setting):
    return max(MID[1], round(MID[1] * ETA_REL / setting.eta_rel))


def residuals(frame, still: Law, swing: Law, away: Law = 0.0):
    sizes = (still, lambda f: evaluate(swing, f) * (-1.0) ** f["step"], away, 0.0)
    parts = np.stack([np.broadcast_to(evaluate(one, frame), len(frame)) for one in sizes], axis=1)
    return parts @ AXES.T


def of_networks(setting=LONG, *, still: Law = STILL, swing: Law = SWING, away: Law = FLIP_NOISE, **more):
    """Networks of a setting with both activities, unless `more` says otherwise; laws have no noise but in `away`."""
    steps = more.pop("steps", steps_of(setting))
    axes = {
        "eta_rel": setting.eta_rel,
        "task": setting.task,
        "dim": setting.dim,
        "n_train": setting.n_train,
        "n_test": 1,
        "precision": "one_bit",
    }
    of = networks(**axes | {"width": WIDTHS, "activity": ACTIVITIES, "seed": SEEDS} | more)

    def found(frame):
        return residuals(frame, still, swing, lambda f: evaluate(away, f) * np.exp(NOISE * f["noise"]))

    made = sweep(
        of, lambda f: 0.5 * (found(f) ** 2).sum(axis=1), steps=steps, outputs=lambda f: list(TARGETS + found(f))
    )
    return pd.DataFrame(made.sample(frac=1.0, random_state=0))  # in any order of rows


def of_limit(setting=LONG, *, still: Law = STILL, swing: Law = SWING, steps=0, apart=APART, **more):
    """Eight replicates of the limit, which differ in how much they swing, around its mean."""
    steps = steps or steps_of(setting)
    axes = {"task": setting.task, "dim": setting.dim, "n_train": setting.n_train, "eta_rel": setting.eta_rel}
    of = combinations(
        **axes | {"activity": ACTIVITIES[0], "seed": tuple(range(8)), "step": tuple(range(steps + 1))} | more
    )
    share = 1 + apart * np.linspace(-1, 1, 8)[of["seed"]]
    found = residuals(of, still, lambda f: evaluate(swing, f) * share)
    alone = residuals(of, still, 0.0)  # the mean of a pair of residuals of one size
    within = (of["step"] >= MID[0]) & (of["step"] <= MID[1])
    return of.assign(
        outputs=list(TARGETS + found),
        loss=0.5 * (found**2).sum(axis=1),
        averaged=np.where(of["step"] < steps, 0.5 * (alone**2).sum(axis=1), np.nan),
        sticking=np.where(of["step"] < steps, np.where(within, 0.01, 0.5), np.nan),
        near_threshold=3.0,
    )


def at_infinity(losses: float, widths=WIDTHS[-3:]):
    """Three standard errors of the extrapolation of a loss, over that of the limit: `away` alone has noise.

    Its square has twice the noise; the intercept of a line is a sum of losses with known weights.
    """
    x = np.array(widths) ** -0.5
    weights = np.linalg.pinv(np.stack([np.ones(len(x)), x], axis=1))[0]
    noise = 2 * NOISE * 0.5 * AWAY**2 * (np.array(widths) / 64) ** -0.5
    return SIX * float(np.linalg.norm(weights * noise)) / losses


LOSS = (STILL**2 + SWING**2) / 2
OF_LIMIT = {
    **{f"distance.m.{name}": "supported" for name in ALL},
    **{f"loss.over_limit.{name}": "supported" for name in LASTING},
    "loss.m.sphere64": "supported",
    "loss.m.sphere256": "supported",
}
OFF = 3 * slope_error(WIDTHS, len(SEEDS), NOISE)  # three standard errors of an exponent of a distance


def mid(inside: Law, early: Law = SWING):
    """A law of mid-training; at the step of distances it is that of the limit, and between it is far off."""
    return in_mid(inside, between((0, 20), early, 30.0))


@functools.cache
def read_by_nothing(setting):
    """Networks with frozen patterns, and limits of other settings: nothing in C11 reads them."""
    limits = [
        of_limit(setting, activity="frozen", still=7.0, swing=0.0),
        of_limit(setting, eta_rel=0.125, still=9.0),
    ]
    return of_networks(setting, activity="frozen", still=7.0, away=50.0, steps=10), limits


def limit_study(changed: str = "", **laws):
    """Six settings, of which the one in `changed` has networks with these laws; where d > n the loss falls to 0."""
    made = [in_setting(one, **laws) if one.name == changed else as_it_should_be(one) for one in OF_C11]
    frames = {f"limit-fresh-{setting.name}": frame for setting, (frame, _) in zip(OF_C11, made, strict=True)}
    return stored(frames | {"mean-fields": pd.concat([limit for _, limit in made], ignore_index=True)})


def in_setting(setting, *, apart=APART, **laws):
    ends = setting.name not in LASTING
    gone: dict[str, Any] = {"still": between((0, 20), STILL), "swing": between((0, 20), SWING)} if ends else {}
    of_mid = {"away": in_mid(power(-0.375, size=AWAY), FLIP_NOISE)} if ends else {"swing": mid(SWING)}
    frozen, others = read_by_nothing(setting)
    networks_there = of_networks(setting, activity="straight_through", **gone | of_mid | laws)
    return pd.concat([networks_there, frozen]), pd.concat([of_limit(setting, apart=apart, **gone), *others])


as_it_should_be = functools.cache(in_setting)


def test_networks_that_tend_to_the_limit_support_it():
    found = proof.evidence(limit_study())
    assert outcomes(proof.CLAIM, found) == OF_LIMIT
    averaged = {
        f"{what}.{name}": "supported" for what in ("averaged.over_limit", "loss.two_widest") for name in LASTING
    }
    off = {f"outputs.off.{name}": "refuted" if name in LASTING else "supported" for name in ALL}
    assert context(proof.CLAIM, found) == averaged | off
    for name in ALL:  # planted networks of lasting settings are far off between step 20 and mid-training: 30 and 100
        far = {"sphere32wide": 0.5} | dict.fromkeys(LASTING[:3], 0.25)
        assert value(found, f"outputs.off.{name}") == far.get(name, 0.0)
        assert value(found, f"distance.m.{name}") == pytest.approx(-0.25, abs=OFF)
    for name in LASTING:
        # replicates differ by +-1 % in an amplitude: their mean loss is off by less than its square
        assert value(found, f"loss.over_limit.{name}") == pytest.approx(1.0, abs=at_infinity(LOSS) + APART**2)
        assert value(found, f"averaged.over_limit.{name}") == pytest.approx(1.0, abs=at_infinity(STILL**2 / 2))
    for name in ("sphere64", "sphere256"):
        assert value(found, f"loss.m.{name}") == pytest.approx(-0.75, abs=2 * OFF)  # the square of a distance
    table = found.tables["loss in mid-training"].set_index(["setting", "which", "width"]).sort_index()
    assert table.loc[("digits", "limit"), "loss"].item() == pytest.approx(LOSS, rel=APART**2)
    assert table.loc[("digits", "limit"), "averaged"].item() == pytest.approx(STILL**2 / 2)
    excess = AWAY**2 / 2 * (1024 / 64) ** -0.5
    assert table.loc[("digits", "networks", 1024), "loss"] == pytest.approx(LOSS + excess, abs=SIX * 2 * NOISE * excess)


@pytest.mark.parametrize(("name", "exponent", "outcome"), [
    *((name, 0.0, "refuted") for name in ALL), ("sphere64", -0.15, "refuted"), ("digits", -0.3, "supported"),
])  # fmt: skip
def test_how_a_distance_after_ten_steps_falls_decides_for_its_setting_alone(name, exponent, outcome):
    late = power(-0.375, size=AWAY) if name not in LASTING else FLIP_NOISE
    law = between((10, 10), power(exponent, size=AWAY), in_mid(late, 40.0))
    found = proof.evidence(limit_study(name, away=law))
    measure = f"distance.m.{name}"
    assert outcomes(proof.CLAIM, found) == OF_LIMIT | {measure: outcome}
    assert value(found, measure) == pytest.approx(exponent, abs=OFF)


def test_outputs_count_as_off_beyond_a_twentieth_and_two_errors():
    """Of four outputs at four steps, those that a constant part along AXES[2] takes more than a twentieth away."""
    size = 0.12
    found = proof.evidence(limit_study("sphere64", away=between((100, 100), size, FLIP_NOISE)))
    limit = TARGETS  # at step 100 nothing else is left of its residual
    beyond = np.abs(size * AXES[:, 2]) > 0.05 * np.sqrt(np.mean(limit**2))
    assert 0 < beyond.sum() < 4
    assert value(found, "outputs.off.sphere64") == beyond.sum() / 16


@pytest.mark.parametrize("name", LASTING)
@pytest.mark.parametrize("ratio", [0.8, 1.3])
def test_a_loss_off_that_of_the_limit_refutes_its_setting_alone(name, ratio):
    """By the oscillation: the loss of averaged outputs is still the limit's."""
    swing = (2 * ratio * LOSS - STILL**2) ** 0.5
    found = proof.evidence(limit_study(name, swing=mid(swing)))
    assert outcomes(proof.CLAIM, found) == OF_LIMIT | {f"loss.over_limit.{name}": "refuted"}
    assert context(proof.CLAIM, found)[f"averaged.over_limit.{name}"] == "supported"
    close = at_infinity(LOSS) + ratio * APART**2
    assert value(found, f"loss.over_limit.{name}") == pytest.approx(ratio, abs=close)


def test_the_loss_of_averaged_outputs_is_told_beside_the_verdict():
    found = proof.evidence(limit_study("digits", still=mid(1.3**0.5 * STILL, STILL)))
    assert outcomes(proof.CLAIM, found) == OF_LIMIT  # the still part is a twelfth of the loss
    assert context(proof.CLAIM, found)["averaged.over_limit.digits"] == "refuted"
    close = at_infinity(STILL**2 / 2)
    assert value(found, "averaged.over_limit.digits") == pytest.approx(1.3, abs=close)


def test_the_loss_is_extrapolated_over_the_three_widest_widths():
    narrow = where(5.0, SWING, width=1024)
    found = proof.evidence(limit_study("sphere32", swing=mid(narrow)))
    fourth = proof.evidence(limit_study("sphere32", swing=mid(where(2.0, SWING, width=4096))))
    assert value(fourth, "loss.over_limit.sphere32") < 0.9
    assert value(fourth, "loss.two_widest.sphere32") == value(found, "loss.two_widest.sphere32")
    assert value(found, "loss.over_limit.sphere32") == pytest.approx(1.0, abs=at_infinity(LOSS) + APART**2)


def test_replicates_of_the_limit_that_differ_leave_it_open():
    """Amplitudes spread evenly over +-60 %: losses by 0.7, and their mean of eight is known to 0.6 with t = 2.36."""
    found = proof.evidence(limit_study("sphere16", apart=0.6))
    assert outcomes(proof.CLAIM, found) == OF_LIMIT | {"loss.over_limit.sphere16": "inconclusive"}


@pytest.mark.parametrize("name", ["sphere64", "sphere256"])
@pytest.mark.parametrize(("exponent", "outcome"), [(0.0, "refuted"), (-0.3, "refuted"), (-0.6, "supported")])
def test_where_no_oscillation_lasts_the_loss_must_fall_with_width(name, exponent, outcome):
    law = in_mid(power(exponent / 2, size=AWAY), FLIP_NOISE)
    found = proof.evidence(limit_study(name, away=law))
    assert outcomes(proof.CLAIM, found) == OF_LIMIT | {f"loss.m.{name}": outcome}
    assert value(found, f"loss.m.{name}") == pytest.approx(exponent, abs=2 * OFF)


def test_losses_of_averaged_outputs_and_how_outputs_turn_are_those_of_their_definitions():
    rng = np.random.default_rng(0)
    outputs = rng.standard_normal((30, 4)).astype(np.float32)
    away = outputs.astype(np.float64) - TARGETS
    frame = pd.DataFrame({"width": 8, "seed": 1, "step": np.arange(30), "loss": 0.5 * (away**2).sum(axis=1)})
    found = proof._losses(frame.assign(outputs=list(outputs)), (5, 24)).iloc[0]
    within = away[5:25]
    assert found["loss"] == pytest.approx(0.5 * (within**2).sum(axis=1).mean())
    averaged = (within[1:] + within[:-1]) / 2
    assert found["averaged"] == pytest.approx(0.5 * (averaged**2).sum(axis=1).mean())
    turned = within - within.mean(axis=0)
    assert found["autocorrelation"] == pytest.approx((turned[1:] * turned[:-1]).sum() / (turned**2).sum())


OF_SWING = dict.fromkeys(("loss.m", "loss.eta", "averaged.share", "frozen.share"), "supported")


def swing_study(*, size: Law = 1.0, in_eta=0.0, still=STILL, swing=SWING, frozen=(0.2, 0.1)):
    """The long setting at three rates: amplitudes `size` times a power of eta within the same eta t, far off outside.

    `away` is left out: it is what the law in m of a width would not be one power for.
    """
    frames = {}
    for rate in RATES:
        window = (round(40 / rate) + 1, round(60 / rate))  # 40 < eta t <= 60
        scale = (rate / ETA_REL) ** (in_eta / 2)

        def part(height, window=window, scale=scale):
            return between(window, lambda f: height * scale * evaluate(size, f) * np.exp(NOISE * f["noise"]), 50.0)

        more = {"steps": round(60 / rate) + 40, "away": 0.0, "eta_rel": rate}
        parts = [of_networks(still=part(still), swing=part(swing), activity=ACTIVITIES[0], **more)]
        name = f"limit-rate-{rate:g}"
        if rate == ETA_REL:
            name = f"limit-{LONG.name}"
            parts.append(of_networks(still=part(frozen[0]), swing=part(frozen[1]), activity="frozen", **more))
        else:
            parts = [one.loc[one["width"] == 16384] for one in parts]
        frames[name] = pd.concat(parts)
    other = of_limit(LONG, eta_rel=0.25, still=9.0)
    return stored(frames | {"mean-fields": pd.concat([of_limit(steps=160), other], ignore_index=True)})


LOSS_ERROR = 3 * 2 * slope_error(WIDTHS, len(SEEDS), NOISE)  # of an exponent of a loss: a square
RATE_ERROR = 3 * 2 * slope_error(RATES, len(SEEDS), NOISE)
SHARE_ERROR = SIX * 2 * NOISE  # of a share in which both losses have noise of their own, relative: less than twice this


def test_an_oscillation_that_neither_width_nor_rate_changes_supports_the_claim():
    found = proof.evidence_swing(swing_study())
    assert outcomes(proof.CLAIM_SWING, found) == OF_SWING
    assert value(found, "loss.m") == pytest.approx(0.0, abs=LOSS_ERROR)
    assert value(found, "loss.eta") == pytest.approx(0.0, abs=RATE_ERROR)
    # amplitudes have noise of 2 % a step, of the mean of forty it is a sixth
    assert value(found, "averaged.share") == pytest.approx(STILL**2 / (2 * LOSS), rel=0.02)
    frozen = (0.2**2 + 0.1**2) / (2 * LOSS)
    assert value(found, "frozen.share") == pytest.approx(frozen, rel=2 * SHARE_ERROR)
    # of forty steps of alternating sign 39 products have the sign -1
    assert value(found, "autocorrelation") == pytest.approx(-39 / 40, abs=0.01)
    assert value(found, "sticking") == pytest.approx(0.01)
    assert value(found, "near") == 3.0


@pytest.mark.parametrize(("exponent", "outcome"), [(-0.5, "refuted"), (0.2, "refuted"), (-0.03, "supported")])
def test_a_loss_that_goes_with_width_refutes_it_by_that_alone(exponent, outcome):
    found = proof.evidence_swing(swing_study(size=lambda f: (f["width"] / 65536) ** (exponent / 2)))
    assert outcomes(proof.CLAIM_SWING, found) == OF_SWING | {"loss.m": outcome}
    assert value(found, "loss.m") == pytest.approx(exponent, abs=LOSS_ERROR)


@pytest.mark.parametrize(("exponent", "outcome"), [(2.0, "refuted"), (-0.7, "refuted"), (0.3, "supported")])
def test_a_loss_that_goes_with_the_rate_refutes_it_by_that_alone(exponent, outcome):
    found = proof.evidence_swing(swing_study(in_eta=exponent))
    assert outcomes(proof.CLAIM_SWING, found) == OF_SWING | {"loss.eta": outcome}
    assert value(found, "loss.eta") == pytest.approx(exponent, abs=RATE_ERROR)


def test_what_averaging_does_not_take_away_is_no_oscillation_of_period_two():
    found = proof.evidence_swing(swing_study(still=SWING))
    assert outcomes(proof.CLAIM_SWING, found) == OF_SWING | {"averaged.share": "refuted"}
    assert value(found, "averaged.share") == pytest.approx(0.5, rel=0.02)


def test_frozen_patterns_that_leave_it_refute_that_it_comes_from_sticking():
    found = proof.evidence_swing(swing_study(frozen=(STILL, SWING)))
    assert outcomes(proof.CLAIM_SWING, found) == OF_SWING | {"frozen.share": "refuted"}
    assert value(found, "frozen.share") == pytest.approx(1.0, rel=2 * SHARE_ERROR)


def test_outputs_that_do_not_move_have_no_autocorrelation_and_slow_ones_a_positive_one():
    steps = np.arange(121)
    frame = pd.DataFrame({"width": 8, "seed": 0, "step": steps, "loss": 1.0})
    still = proof._losses(frame.assign(outputs=[TARGETS] * 121), MID)
    assert np.isnan(still["autocorrelation"].item())
    wave = np.sin(2 * np.pi * steps / 40)[:, None] * TARGETS
    slow = proof._losses(frame.assign(outputs=list(wave)), MID)
    # cos(2 pi/40) of a whole wave, less one product of forty that is missing
    assert slow["autocorrelation"].item() == pytest.approx(np.cos(2 * np.pi / 40), abs=1 / 40)


@pytest.mark.parametrize("rate", RATES)
def test_windows_at_other_rates_cover_the_same_range_of_eta_t(rate):
    first, last = proof._window(rate)
    assert ((first - 1) * rate, last * rate) == (80 * ETA_REL, 120 * ETA_REL)


def test_curves_against_time_are_of_all_widths_of_frozen_patterns_at_the_widest_and_of_the_limit():
    curves = proof.evidence_swing(swing_study()).tables["loss against time"]
    assert set(curves.loc[curves["which"] == "networks", "width"]) == set(WIDTHS)
    assert set(curves.loc[curves["which"] == "frozen", "width"]) == {65536}
    limit = curves.loc[(curves["which"] == "limit") & (curves["step"] == 100)]
    assert limit["loss"].item() == pytest.approx(LOSS, rel=APART**2)
    assert max(np.diff(sorted(set(curves["step"])))) == 4


OF_LATE = {"late.m": "supported", "late.limit": "supported"}


def late_study(exponent, share):
    """Losses after the oscillation that go as a power of m; the limit has kept a share of its loss of mid-training."""
    left = share**0.5
    gone = between(LATE, 0.0, 40.0)
    of = of_networks(still=gone, swing=gone, away=power(exponent / 2, size=AWAY), activity=ACTIVITIES[0], steps=400)
    of_both = of_networks(activity="frozen", still=30.0, steps=400)
    limit = of_limit(
        still=between(MID, STILL, between(LATE, STILL * left, 40.0)),
        swing=between(MID, SWING, between(LATE, SWING * left, 40.0)),
        steps=400,
    )
    return stored({f"limit-{LONG.name}": pd.concat([of, of_both]), "mean-fields": limit})


@pytest.mark.parametrize(("exponent", "share", "changed"), [
    (-0.5, 0.01, {}),
    (-0.5, 0.4, {}),
    (0.0, 0.01, {"late.m": "refuted"}),
    (-0.1, 0.01, {"late.m": "refuted"}),
    (-0.5, 0.9, {"late.limit": "refuted"}),
])  # fmt: skip
def test_the_late_window_decides_whether_width_cures_it(exponent, share, changed):
    found = proof.evidence_late(late_study(exponent, share))
    assert outcomes(proof.CLAIM_LATE, found) == OF_LATE | changed
    assert value(found, "late.m") == pytest.approx(exponent, abs=LOSS_ERROR)
    assert value(found, "late.limit") == pytest.approx(share)  # each replicate over itself


DIMS, PAIR_RATES, PAIR_WIDTHS, PAIR_SEEDS = (8, 16, 32), (0.25, 0.5), (16384, 65536, 262144), (0, 1, 2, 3, 4)
OF_PAIR = {
    **{f"amplitude.d{dim}.{rate:g}": "supported" for dim, rate in itertools.product(DIMS, PAIR_RATES)},
    "recursion.off": "supported",
}
BEGIN, SETTLE = 7, 30  # the first step that alternates, and the first at which residuals together are small
LAST = {16384: 60, 65536: 120, 262144: 200}  # the last step of the first stretch, of a width


def pair_study(ratio: Law = 1.0, *, off: Law = 0.001, never: Law = False):
    """Residuals that alternate by `ratio` times the closed form over a stretch; outside what counts they are far off.

    After a lapse they alternate again, to the end.
    """
    of = combinations(dim=DIMS, eta_rel=PAIR_RATES, width=PAIR_WIDTHS, seed=PAIR_SEEDS)
    of = of.assign(amplitude=2.0 / of["dim"] ** 0.5, off=off)
    of["recursion"] = of["amplitude"] * (1 - evaluate(off, of))
    sizes = np.broadcast_to(evaluate(ratio, of), len(of)) * of["amplitude"] * np.exp(0.01 * of["noise"])
    one_sign = np.broadcast_to(evaluate(never, of), len(of))
    turns, far = -np.ones((len(of), 241)), np.ones((len(of), 241), dtype=bool)
    turns[:, : BEGIN + 1] = 1.0
    for place, width in enumerate(of["width"]):
        turns[place, LAST[width] + 1] = 1.0  # has the sign of the step before
        far[place, SETTLE : LAST[width] + 1] = False
    turns[one_sign] = 1.0
    apart = np.where(far, 40.0, np.asarray(sizes)[:, None]) * np.cumprod(turns, axis=1)
    total = np.where(np.arange(241) < SETTLE, 1.0, 0.0)
    frame = of.loc[of.index.repeat(241)].assign(
        step=np.tile(np.arange(241), len(of)), apart=apart.ravel(), total=np.tile(total, len(of))
    )
    return stored({"opposite-inputs": pd.DataFrame(frame.sample(frac=1.0, random_state=0))})


FIVE = 3 * 0.01 / len(PAIR_SEEDS) ** 0.5  # three standard errors of an amplitude


def test_a_two_cycle_of_the_closed_form_supports_it_whatever_comes_after_the_first_lapse():
    found = proof.evidence_pair(pair_study())
    assert outcomes(proof.CLAIM_PAIR, found) == OF_PAIR
    for dim, rate in itertools.product(DIMS, PAIR_RATES):
        assert value(found, f"amplitude.d{dim}.{rate:g}") == pytest.approx(1.0, rel=FIVE)
    assert value(found, "recursion.off") == pytest.approx(0.001)
    lifetimes = np.array([LAST[width] - BEGIN for width in PAIR_WIDTHS])
    assert value(found, "lifetime.m") == pytest.approx(np.polyfit(np.log(PAIR_WIDTHS), np.log(lifetimes), 1)[0])
    assert value(found, "capture.m") == pytest.approx(0.0, abs=0.01)
    table = found.tables["amplitude"].set_index(["dim", "eta_rel", "width"])
    assert table["lifetime"].to_numpy() == pytest.approx(np.tile(lifetimes, 6))
    assert not table["lasting"].to_numpy().any()
    assert table.loc[(8, 0.25, 65536), "amplitude"] == pytest.approx(2 / 8**0.5)


@pytest.mark.parametrize(("dim", "rate", "ratio"), [
    (8, 0.25, 1.1), (8, 0.5, 0.9), (16, 0.25, 0.9), (16, 0.5, 1.1), (32, 0.25, 1.1), (32, 0.5, 0.9),
])  # fmt: skip
def test_an_amplitude_off_the_closed_form_refutes_it_by_that_alone(dim, rate, ratio):
    found = proof.evidence_pair(pair_study(where(ratio, 1.0, dim=dim, eta_rel=rate)))
    assert outcomes(proof.CLAIM_PAIR, found) == OF_PAIR | {f"amplitude.d{dim}.{rate:g}": "refuted"}
    assert value(found, f"amplitude.d{dim}.{rate:g}") == pytest.approx(ratio, rel=FIVE)


def test_it_is_the_widest_networks_that_count():
    found = proof.evidence_pair(pair_study(where(1.0, 1.2, width=262144)))
    assert outcomes(proof.CLAIM_PAIR, found) == OF_PAIR


@pytest.mark.parametrize("off", [0.02, -0.02])
def test_a_recursion_off_the_closed_form_anywhere_refutes_it(off):
    found = proof.evidence_pair(pair_study(off=where(off, 0.0, dim=16, eta_rel=0.5)))
    assert outcomes(proof.CLAIM_PAIR, found) == OF_PAIR | {"recursion.off": "refuted"}
    assert value(found, "recursion.off") == pytest.approx(0.02)


def test_networks_that_never_alternate_leave_it_open():
    found = proof.evidence_pair(pair_study(never=where(True, False, dim=32, eta_rel=0.5)))
    assert outcomes(proof.CLAIM_PAIR, found) == OF_PAIR | {"amplitude.d32.0.5": "inconclusive"}


GAINING = ("sphere16", "sphere32", "digits")
OF_GAIN = {
    **{f"gain.{name}": "supported" for name in GAINING},
    **{f"gain.over_k_eff.{name}": "supported" for name in GAINING},
}


def gain_study(changed: str = "", gain: Law = 2.0, by_kernel: Law = 0.3):
    """Gains of networks, those of K_eff early; elsewhere, and of narrow networks, they are something else."""

    def of(setting, gain, by_kernel):
        axes = {"task": setting.task, "dim": setting.dim, "n_train": setting.n_train}
        frame = combinations(**axes, width=WIDTHS, seed=SEEDS, step=GAIN_STEPS)
        inside, low = evaluate(gain, frame), evaluate(by_kernel, frame)
        mid = np.where(frame["width"] == WIDTHS[-1], inside, 0.7) * np.exp(0.02 * frame["noise"])
        early = np.where(frame["step"] == GAIN_STEPS[0], low, 9.0)
        return frame.assign(gain=np.where(frame["step"] > MID[0], mid, early), by_kernel=low, change=1.0)

    made = [of(one, gain, by_kernel) if one.name == changed else of(one, 2.0, 0.3) for one in SETTINGS]
    return stored({"alternating-gains": pd.concat(made, ignore_index=True).sample(frac=1.0, random_state=0)})


def test_a_gain_of_two_in_mid_training_supports_it():
    found = proof.evidence_gain(gain_study())
    assert outcomes(proof.CLAIM_GAIN, found) == OF_GAIN
    several = 3 * 0.02 / (len(SEEDS) * sum(step > MID[0] for step in GAIN_STEPS)) ** 0.5
    for name in GAINING:
        assert value(found, f"gain.{name}") == pytest.approx(2.0, rel=several)
        assert value(found, f"gain.over_k_eff.{name}") == pytest.approx(2 / 0.3, rel=several)
        assert value(found, f"gain.early.{name}") == pytest.approx(1.0)
    assert set(found.tables["gain"]["setting"]) == set(NAMES)


@pytest.mark.parametrize("name", GAINING)
@pytest.mark.parametrize(("gain", "by_kernel", "changed"), [
    (1.3, 0.3, {"gain": "refuted"}),
    (2.8, 0.3, {"gain": "refuted"}),
    (2.0, 1.0, {"gain.over_k_eff": "refuted"}),
])  # fmt: skip
def test_a_gain_off_two_or_near_that_of_k_eff_refutes_it(name, gain, by_kernel, changed):
    found = proof.evidence_gain(gain_study(name, gain, by_kernel))
    expected = {f"{measure}.{name}": outcome for measure, outcome in changed.items()}
    assert outcomes(proof.CLAIM_GAIN, found) == OF_GAIN | expected


OF_FROZEN = {f"largest.m.{name}": "supported" for name in NAMES}
PEAK = 7  # the step of the largest distance


def frozen_study(changed: str, away: Law):
    """Networks around descent with K_eff, which a swing of the other activity has nothing to do with."""
    made = [frozen_in(one, away) if one.name == changed else frozen_as_it_should_be(one) for one in SETTINGS]
    frames = {f"limit-{setting.name}": frame for setting, (frame, _) in zip(SETTINGS, made, strict=True)}
    return stored(frames | {"mean-fields": pd.concat([limit for _, limit in made], ignore_index=True)})


def frozen_in(setting, away: Law):
    descent = {"still": lambda f: np.exp(-f["step"] / 20.0), "swing": 0.0}
    frozen = of_networks(setting, activity="frozen", away=away, steps=40, **descent)
    other = of_networks(setting, activity="straight_through", away=50.0, steps=10)
    limits = [of_limit(setting, activity="frozen", steps=40, **descent), of_limit(setting, steps=40)]
    return pd.concat([frozen, other]), pd.concat(limits)


@functools.cache
def frozen_as_it_should_be(setting):
    return frozen_in(setting, between((PEAK, PEAK), FLIP_NOISE, power(-0.25, size=AWAY / 20)))


@pytest.mark.parametrize(("name", "peak", "rest", "outcome"), [
    ("digits", -0.25, 0.0, "supported"),
    *((name, 0.0, -0.25, "refuted") for name in NAMES),
    ("sphere64", -0.1, -0.25, "refuted"),
])  # fmt: skip
def test_the_largest_distance_over_all_steps_decides_and_not_the_last(name, peak, rest, outcome):
    law = between((PEAK, PEAK), power(peak, size=AWAY), power(rest, size=AWAY / 20))
    found = proof.evidence_frozen(frozen_study(name, law))
    assert outcomes(proof.CLAIM_FROZEN, found) == OF_FROZEN | {f"largest.m.{name}": outcome}
    assert value(found, f"largest.m.{name}") == pytest.approx(peak, abs=OFF)
    if (peak, name) == (
        -0.25,
        "digits",
    ):  # on four inputs the root mean square is half of what lies along one direction
        assert value(found, f"largest.{name}") == pytest.approx(AWAY / 2 * 64**0.25, rel=SIX * NOISE)
