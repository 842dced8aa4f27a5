"""The rules of C2 and C2-law on losses that are level, or not, at values of known exponents."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from ntk1bit.statistics.jackknife import CROSSED
from proofs_numeric import c2_floor
from proofs_numeric.studies import FLOOR_DATA_SETS, RATES
from tests.proofs_numeric.planted import (
    BOTH,
    SEEDS,
    Law,
    around,
    context,
    evaluate,
    falling,
    narrow_off,
    networks,
    on_data_set,
    outcomes,
    power,
    settling,
    slope_error,
    stored,
    sweep,
    where,
)
from tests.proofs_numeric.values import units, value

WIDTHS = (64, 128, 256, 512, 1024, 2048)
FOUR, TASKS, FIVE = WIDTHS[-4:], ("sphere", "digits", "draws"), tuple(range(100, 105))
NOISE, STEPS, FULL, LAW_WIDTH = 0.02, 100, 1e-11, 1024
AVERAGED = {"": 10, ".half": 5}  # steps in the last tenths of all and of half of them
LAW = {  # what each variable is, its exponent, and the size of the floor in the middle
    "n": ((8, 16, 32, 64), "n_train", 2.0, 0.01),
    "d": ((32, 64, 128, 256), "dim", -1.0, 0.01),
    "kappa": ((0.25, 0.5, 1.0), "kappa", 2.0, 0.02),
    "eta": (RATES, "eta_rel", 0.0, 0.02),
}
IN_M = [f"floor.m.{task}{suffix}" for task in TASKS for suffix in AVERAGED] + [f"level.{task}" for task in TASKS]
DECISIVE = [*IN_M, "end.full"]
DECISIVE_LAW = [f"floor.{x}{suffix}" for x in LAW for suffix in AVERAGED] + [f"level.{x}" for x in LAW]


def settled(level: Law, *, full: Law = FULL, half: Law | None = None, slope: Law = 0.0, **settings):
    """Losses that settle at these levels, within 2 % over seeds, times a power of time in 1-bit precision."""

    def noisy(law):
        return where(full, lambda f: evaluate(law, f) * np.exp(NOISE * f["noise"]), precision="full")

    loss = settling(noisy(level), half=None if half is None else noisy(half))
    return sweep(networks(**settings), falling(loss, where(0.0, slope, precision="full")), steps=STEPS)


ABOVE = power(-1.0, size=1.5 * 32**2 / (2 * np.pi * 64 * 64))  # the law of n = 32, d = 64, and half of it more


@functools.cache
def usual(task):
    """Losses that are level at m^-1, on a data set in both precisions or on eight data sets."""
    return on_task(task, ABOVE if task != "digits" else power(-1.0, size=0.08))


def on_task(task, *laws: Law, **more):
    """The study of a task, or those of eight data sets, each with its law or all with the same one."""
    if task != "draws":
        study, name = {"sphere": ("floor", "sphere-random"), "digits": ("floor-digits", "digits")}[task]
        return {study: settled(*laws, task=name, n_train=32, width=WIDTHS, **more)}
    settings = {"task": "sphere-random", "n_train": 32, "width": FOUR, "precision": "one_bit", "seed": FIVE}
    each = laws if len(laws) > 1 else laws * len(FLOOR_DATA_SETS)
    return {
        name: on_data_set(settled(law, **settings, **more), place)
        for place, (name, law) in enumerate(zip(FLOOR_DATA_SETS, each, strict=True))
    }


def judged_with(*changed):
    """The evidence on C2 where the studies of some tasks are others than usual."""
    frames = {study: frame for task in TASKS for study, frame in usual(task).items()}
    for studies in changed:
        frames |= studies
    return c2_floor.evidence(stored(frames))


@functools.cache
def of_law(x, end=0.0, half=0.0, slope=0.0):
    """The studies of one variable of the law, with exponents off by so much at both times, and a slope in time."""
    along, column, exponent, size = LAW[x]
    base = {"task": "sphere-random", "precision": "one_bit", "width": LAW_WIDTH, "slope": slope}
    level, earlier = (around(exponent + more, along, column, size=size) for more in (end, half))
    if x == "eta":
        return {f"floor-rate-{rate:g}": settled(level, half=earlier, eta_rel=rate, **base) for rate in RATES}
    study = {"n": "floor-points", "d": "floor-dims", "kappa": "floor-kappas"}[x]
    return {study: settled(level, half=earlier, **{column: along}, **base)}


def law_judged_with(*changed):
    """The evidence on C2-law where some studies are others than usual."""
    frames = dict(usual("sphere"))
    for studies in (*map(of_law, LAW), *changed):
        frames |= studies
    return c2_floor.evidence_law(stored(frames))


def error_over(along, suffix="", seeds=6):
    """Three standard errors of an exponent: 2 % of noise over six seeds, and 1 % over the steps that are averaged."""
    return 3 * slope_error(along, seeds, np.hypot(NOISE, 0.01 / AVERAGED[suffix] ** 0.5))


def slope_error_in_time(settings, seeds=6):
    """Three standard errors of a mean slope over six seeds: 1 % over ten steps, and over five, in units of ln 2."""
    return 3 * 0.01 * np.hypot(10**-0.5, 5**-0.5) / np.log(2) / (settings * seeds) ** 0.5


def test_losses_that_are_level_at_one_over_m_support_the_claim():
    found = judged_with()
    assert outcomes(c2_floor.CLAIM, found) == dict.fromkeys(DECISIVE, "supported")
    for task in TASKS:
        seeds = len(FIVE if task == "draws" else SEEDS)  # the noise of a network is the same on all data sets
        for suffix in AVERAGED:
            close = error_over(FOUR, suffix, seeds)
            assert value(found, f"floor.m.{task}{suffix}") == pytest.approx(-1.0, abs=close)
        assert value(found, f"level.{task}") == pytest.approx(0.0, abs=slope_error_in_time(len(FOUR), seeds))
        table = found.tables["floor against width"].query(f"task == '{task}'")
        assert table["width"].tolist() == list(FOUR if task == "draws" else WIDTHS)
    assert {units(found, measure) for measure in IN_M if "draws" in measure} == {CROSSED}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("of", "end", "half", "slope"), [
    ("floor.m.{}", -0.7, -1.0, 0.0), ("floor.m.{}", -1.3, -1.0, 0.0), ("floor.m.{}.half", -1.0, -0.7, 0.0),
    ("level.{}", -1.0, -1.0, -0.2),
])  # fmt: skip
def test_an_exponent_at_either_time_and_a_slope_in_time_each_refute_it_alone(task, of, end, half, slope):
    level, earlier = (around(exponent, FOUR, size=0.05) for exponent in (end, half))
    found = judged_with(on_task(task, level, half=earlier, slope=slope))
    assert outcomes(c2_floor.CLAIM, found) == dict.fromkeys(DECISIVE, "supported") | {of.format(task): "refuted"}
    seeds = len(FIVE if task == "draws" else SEEDS)
    for suffix, exponent in (("", end), (".half", half)):
        close = error_over(FOUR, suffix, seeds)
        assert value(found, f"floor.m.{task}{suffix}") == pytest.approx(exponent, abs=close)
    # means over five and ten steps of t^slope lie at other shares of their ends, by a hundredth of the slope
    close = slope_error_in_time(len(FOUR), seeds) + 0.01 * abs(slope)
    assert value(found, f"level.{task}") == pytest.approx(slope, abs=close)


@pytest.mark.parametrize(("exponent", "shift", "outcome"), [(-1.0, 0.3, "supported"), (-0.7, -0.3, "refuted")])
def test_it_is_the_four_widest_widths_that_count(exponent, shift, outcome):
    found = judged_with(*(on_task(task, narrow_off(exponent, shift)) for task in ("sphere", "digits")))
    judged = outcomes(c2_floor.CLAIM, found)
    for measure in (f"floor.m.{task}{suffix}" for task in ("sphere", "digits") for suffix in AVERAGED):
        assert judged[measure] == outcome
        close = error_over(FOUR, ".half" if measure.endswith("half") else "")
        assert value(found, measure) == pytest.approx(exponent, abs=close)


def test_a_width_at_which_losses_still_fall_counts_as_the_others_do():
    floor = usual("sphere")["floor"].copy()
    falls = (floor["width"] == 256) & (floor["precision"] == "one_bit")
    floor.loc[falls, "loss"] *= np.maximum(floor.loc[falls, "step"] / STEPS, 1 / STEPS) ** -0.5
    found = judged_with({"floor": floor})
    assert value(found, "level.sphere") == pytest.approx(-0.5 / 4, abs=slope_error_in_time(len(FOUR)) + 0.005)
    assert outcomes(c2_floor.CLAIM, found)["level.sphere"] == "refuted"
    table = found.tables["floor against width"].query("task == 'sphere'")
    assert table["width"].tolist() == list(WIDTHS)


@pytest.mark.parametrize(("mean", "apart", "outcome"), [
    (-1.0, 0.03, "supported"), (-0.8, 0.03, "refuted"), (-1.2, 0.03, "refuted"), (-1.0, 0.4, "inconclusive"),
])  # fmt: skip
def test_data_sets_have_exponents_of_their_own_and_it_is_their_mean_that_counts(mean, apart, outcome):
    """Symmetric about the mean; with five networks t is 2.78, and the interval +-2.78 x 0.70 `apart`/sqrt(8)."""
    exponents = mean + apart * np.linspace(-1, 1, len(FLOOR_DATA_SETS))
    found = judged_with(on_task("draws", *(around(one, FOUR, size=0.02) for one in exponents)))
    judged = outcomes(c2_floor.CLAIM, found)
    for suffix in AVERAGED:
        assert judged[f"floor.m.draws{suffix}"] == outcome
        # losses are averaged, not exponents: a mean of exponentials bends by half the variance of the exponents
        close = error_over(FOUR, suffix, len(FIVE)) + 0.5 * apart**2
        assert value(found, f"floor.m.draws{suffix}") == pytest.approx(mean, abs=close)
    others = [one for one in DECISIVE if not one.startswith("floor.m.draws")]
    assert {judged[one] for one in others} == {"supported"}


def test_full_precision_must_not_stop_at_any_width_or_seed():
    found = judged_with()
    assert value(found, "end.full") == pytest.approx(FULL / 4, rel=0.03)  # of the start, 4
    stopped = where(4e-7, FULL, width=256, seed=2)
    found = judged_with(on_task("sphere", ABOVE, full=stopped))
    assert value(found, "end.full") == pytest.approx(1e-7, rel=0.03)
    assert outcomes(c2_floor.CLAIM, found) == dict.fromkeys(DECISIVE, "supported") | {"end.full": "refuted"}
    table = dict(found.tables["full precision"][["width", "value"]].to_numpy().tolist())
    assert table[256] == pytest.approx(4e-7 / len(SEEDS), rel=0.03)


def test_losses_that_follow_the_law_in_each_variable_support_it():
    found = law_judged_with()
    assert outcomes(c2_floor.CLAIM_LAW, found) == dict.fromkeys(DECISIVE_LAW, "supported")
    assert context(c2_floor.CLAIM_LAW, found) == {"floor.over_law": "supported"}
    for x, (along, _, exponent, _) in LAW.items():
        for suffix in AVERAGED:
            assert value(found, f"floor.{x}{suffix}") == pytest.approx(exponent, abs=error_over(along, suffix))
        assert value(found, f"level.{x}") == pytest.approx(0.0, abs=slope_error_in_time(len(along)))


@pytest.mark.parametrize("x", LAW)
@pytest.mark.parametrize(("of", "end", "half", "slope"), [
    ("floor.{}", 0.5, 0.0, 0.0), ("floor.{}.half", 0.0, -0.5, 0.0), ("level.{}", 0.0, 0.0, -0.2),
])  # fmt: skip
def test_an_exponent_of_the_law_at_either_time_and_a_slope_in_time_each_refute_it_alone(x, of, end, half, slope):
    along, _, exponent, _ = LAW[x]
    found = law_judged_with(of_law(x, end, half, slope))
    expected = dict.fromkeys(DECISIVE_LAW, "supported") | {of.format(x): "refuted"}
    assert outcomes(c2_floor.CLAIM_LAW, found) == expected
    for suffix, more in (("", end), (".half", half)):
        close = error_over(along, suffix)
        assert value(found, f"floor.{x}{suffix}") == pytest.approx(exponent + more, abs=close)
    close = slope_error_in_time(len(along)) + 0.01 * abs(slope)
    assert value(found, f"level.{x}") == pytest.approx(slope, abs=close)


@pytest.mark.parametrize(("factor", "outcome"), [(3.0, "refuted"), (0.3, "refuted")])
def test_the_constant_is_that_of_the_law_at_the_widest(factor, outcome):
    def level(frame):
        law = frame["n_train"] ** 2 * frame["kappa"] ** 2 / (2 * np.pi * frame["width"] * frame["dim"])
        return where(factor, 7.0, width=WIDTHS[-1])(frame) * law

    found = law_judged_with({"floor": settled(level, width=WIDTHS, n_train=32, kappa=0.5, dim=32, precision=BOTH)})
    assert value(found, "floor.over_law") == pytest.approx(factor, rel=3 * NOISE / len(SEEDS) ** 0.5)
    assert context(c2_floor.CLAIM_LAW, found) == {"floor.over_law": outcome}
