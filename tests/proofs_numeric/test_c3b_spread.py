"""The rule of C3b on networks whose outputs scatter, and whose signs flip, by known powers of m."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from ntk1bit.claims import IntervalEstimate
from ntk1bit.statistics.jackknife import NESTED
from proofs_numeric import c3b_spread
from proofs_numeric.studies import FLOOR_DATA_SETS
from tests.proofs_numeric.planted import (
    BOTH,
    SEEDS,
    Law,
    around,
    combinations,
    context,
    evaluate,
    networks,
    on_data_set,
    outcomes,
    power,
    slope_error,
    stored,
    sweep,
    where,
)
from tests.proofs_numeric.values import units, value

WIDTHS = (64, 256, 1024, 4096, 16384)
FOUR, FIVE = WIDTHS[-4:], tuple(range(100, 105))
POINTS, NOISE = 256, 0.02  # test inputs; noise of what is no spread
LEVELS = np.array([1.0, 0.5, 0.09, 0.02, 0.001])  # first at most a tenth at step 2, half of them
TIMES = ("", ".half")
SPREADS = tuple(f"spread.m.{task}.one_bit{time}" for task in ("sphere", "digits", "draws") for time in TIMES)
DECISIVE = (*SPREADS, "flips.m.down", "scatter.m.one_bit", "scatter.over_law")
CONTEXT = ("spread.m.sphere.full", "flips.m.end", "scatter.m.full")
ROOT, QUARTER, MORE = power(-0.5), power(-0.25), power(-0.5, size=2.0)


def outputs(end: Law, half: Law, place=0):
    """A law of outputs on test inputs: common ones, and what differs from seed to seed by laws at two of the steps."""

    def law(frame):
        rng = np.random.default_rng([3, place])
        common = 5.0 * rng.standard_normal(POINTS)
        at_times = [evaluate(end, frame), evaluate(half, frame)]
        sizes = np.select([frame["step"] == 4, frame["step"] == 2], at_times, 10.0 * frame["seed"])
        return [common + size * rng.standard_normal(POINTS) for size in sizes]

    return law


def scattered(spreads=None, *, full: Law = ROOT, down: Law = ROOT, end: Law = MORE):
    """Both sweeps: signs flipped when L first reaches L(0)/10, and most of them at the end, by laws.

    `spreads` has laws of the spread other than m^-1/4, by measure.
    """
    frames = {}
    for study, task in (("floor", "sphere"), ("floor-digits", "digits")):
        flipped = {2: down, 4: end} if task == "sphere" else {}
        laws = [(spreads or {}).get(f"spread.m.{task}.one_bit{time}", QUARTER) for time in TIMES]
        late, early = (where(full, law, precision="full") for law in laws)
        frames[study] = sweep(
            networks(task=task, width=WIDTHS),
            lambda f: 4.0 * LEVELS[f["step"]],
            steps=4,
            test_outputs=outputs(late, early),
            flipped=lambda f, flipped=flipped: signs(f, flipped) * np.exp(NOISE * f["noise"]),
        )
    return frames


def drawn_anew(end=(-0.25,), half=(-0.25,)):
    """Eight data sets whose spreads have these exponents, one for all of them or one each; and sizes of their own."""
    frames = {}
    ends, halves = (one * 8 if len(one) == 1 else one for one in (end, half))
    for place, (name, *exponents) in enumerate(zip(FLOOR_DATA_SETS, ends, halves, strict=True)):
        laws = [around(one, FOUR, size=0.3 * 1.2 ** (place % 2)) for one in exponents]
        of = networks(task="sphere-random", width=FOUR, precision="one_bit", seed=FIVE)
        study = sweep(of, lambda f: 4.0 * LEVELS[f["step"]], steps=4, test_outputs=outputs(laws[0], laws[1], place))
        frames[name] = on_data_set(study, place)
    return frames


def signs(frame, flipped):
    """The share of flipped signs: in 1-bit networks by laws at some steps, elsewhere ones that are smaller or flat."""
    shares = 1e-3 * frame["step"].to_numpy(dtype=float)
    for step, law in flipped.items():
        shares = np.where(frame["step"] == step, law(frame), shares)
    return np.where(frame["precision"] == "one_bit", shares, 0.9)


def stepped(exponents=(-0.25, -0.5), over_law=1.0):
    """The study of single steps: at the largest d these exponents, at others 0; the law is met at one setting alone."""
    frame = combinations(precision=BOTH, dim=(8, 128), width=WIDTHS, seed=tuple(range(5)))
    at_largest = where(power(exponents[0], noise=NOISE), power(exponents[1], noise=NOISE), precision="one_bit")
    frame = frame.assign(scatter=where(at_largest, 0.3, dim=128))
    met = (frame["dim"] == 128) & (frame["width"] == 16384)
    ratio = np.where(met, over_law * np.exp(NOISE * frame["noise"]), 3.0)
    return {
        "noise": frame.assign(predicted=np.where(frame["precision"] == "one_bit", frame["scatter"] / ratio, np.nan))
    }


@functools.cache
def usual():
    """The studies of which every one follows the laws."""
    return scattered() | drawn_anew() | stepped()


def judged_with(*changed):
    """The evidence where some studies are others than usual."""
    frames = dict(usual())
    for studies in changed:
        frames |= studies
    return c3b_spread.evidence(stored(frames))


def but_for(measure):
    """Outcomes of which this one alone is refuted."""
    return dict.fromkeys(DECISIVE, "supported") | {measure: "refuted"}


def spread_error(data_sets=1, seeds=6):
    """A standard deviation over k seeds and p inputs has a standard error of 1/sqrt(2 (k - 1) p) in logarithms."""
    return slope_error(FOUR, data_sets, (2 * (seeds - 1) * POINTS) ** -0.5)


def test_the_laws_of_flip_noise_support_the_claim():
    found = judged_with()
    assert outcomes(c3b_spread.CLAIM, found) == dict.fromkeys(DECISIVE, "supported")
    assert context(c3b_spread.CLAIM, found) == dict.fromkeys(CONTEXT, "supported")
    for task in ("sphere", "digits"):
        for precision, exponent in (("one_bit", -0.25), ("full", -0.5)):
            for time in TIMES:
                measure = f"spread.m.{task}.{precision}{time}"
                assert value(found, measure) == pytest.approx(exponent, abs=3 * spread_error())
            table = found.tables["spread"].query(f"task == '{task}' and precision == '{precision}'")
            # three standard errors at one width
            expected = (np.array(WIDTHS) / 64.0) ** exponent
            assert table["value"].to_numpy() == pytest.approx(expected, rel=3 / (2 * (len(SEEDS) - 1) * POINTS) ** 0.5)
    for time in TIMES:
        measure = f"spread.m.draws.one_bit{time}"
        assert value(found, measure) == pytest.approx(-0.25, abs=3 * spread_error(8, len(FIVE)))
        assert units(found, measure) == NESTED
    error = 3 * slope_error(FOUR, len(SEEDS), NOISE)
    assert value(found, "flips.m.down") == pytest.approx(-0.5, abs=error)
    assert value(found, "flips.m.end") == pytest.approx(-0.5, abs=error)
    error = 3 * slope_error(WIDTHS, 5, NOISE)
    assert value(found, "scatter.m.one_bit") == pytest.approx(-0.25, abs=error)
    assert value(found, "scatter.m.full") == pytest.approx(-0.5, abs=error)
    assert value(found, "scatter.over_law") == pytest.approx(1.0, rel=3 * NOISE / 5**0.5)


@pytest.mark.parametrize(("measure", "exponent"), list(zip(SPREADS, (-0.5, -0.05) * 3, strict=True)))
def test_a_spread_that_falls_otherwise_at_either_time_refutes_it_alone(measure, exponent):
    if "draws" in measure:
        time = "half" if measure.endswith("half") else "end"
        found = judged_with(drawn_anew(**{time: (exponent,)}))
    else:
        found = judged_with(scattered({measure: power(exponent)}))
    assert outcomes(c3b_spread.CLAIM, found) == but_for(measure)
    assert value(found, measure) == pytest.approx(exponent, abs=3 * spread_error())


def test_full_precision_and_signs_at_the_end_are_told_beside_the_verdict():
    found = judged_with(scattered(full=power(-0.25), end=power(-0.3, size=2.0)), stepped((-0.25, -0.25)))
    assert outcomes(c3b_spread.CLAIM, found) == dict.fromkeys(DECISIVE, "supported")
    assert context(c3b_spread.CLAIM, found) == dict.fromkeys(CONTEXT, "refuted")


@pytest.mark.parametrize(("mean", "apart", "outcome"), [
    (-0.25, 0.04, "supported"), (-0.4, 0.04, "refuted"), (-0.25, 0.3, "inconclusive"),
])  # fmt: skip
def test_data_sets_have_exponents_of_their_own_and_it_is_their_mean_that_counts(mean, apart, outcome):
    """Symmetric about the mean; over eight data sets t is 2.36, and the interval +-2.36 x 0.70 `apart`/sqrt(8)."""
    exponents = tuple(mean + apart * np.linspace(-1, 1, 8))
    found = judged_with(drawn_anew(exponents, exponents))
    for time in TIMES:
        measure = f"spread.m.draws.one_bit{time}"
        assert outcomes(c3b_spread.CLAIM, found)[measure] == outcome
        # spreads are averaged, not exponents: a mean of exponentials bends by half the variance of the exponents
        close = 3 * spread_error(8, len(FIVE)) + 0.5 * apart**2
        assert value(found, measure) == pytest.approx(mean, abs=close)


def test_it_is_the_four_widest_widths_that_count():
    def narrow(law, off):
        return where(lambda f: off * law(f), law, width=64)

    of_spreads = dict.fromkeys((one for one in SPREADS if "draws" not in one), narrow(QUARTER, 3.0))
    found = judged_with(scattered(of_spreads, down=narrow(ROOT, 0.3), end=narrow(MORE, 0.3)))
    assert outcomes(c3b_spread.CLAIM, found) == dict.fromkeys(DECISIVE, "supported")
    assert context(c3b_spread.CLAIM, found)["flips.m.end"] == "supported"
    spans = {one.id: one.span for one in found.measures if isinstance(one, IntervalEstimate)}
    for measure in (*SPREADS, "flips.m.down", "flips.m.end"):
        assert spans[measure] == "m = 256..16384, 4 values"
    # tables have all widths
    of_task = found.tables["spread"].groupby(["task", "precision"])["width"].agg(list)
    assert all(widths == list(WIDTHS) for widths in of_task)
    flips = found.tables["flipped signs"]
    for when, size in (("way down", 1.0), ("end", 2.0)):
        narrowest = flips.query(f"when == '{when}'").head(2)
        assert narrowest["width"].tolist() == [64, 256]
        close = 3 * NOISE / len(SEEDS) ** 0.5
        assert narrowest["value"].to_numpy() == pytest.approx([0.3 * size, size / 2], rel=close)


def test_signs_are_counted_when_the_loss_first_reaches_a_tenth():
    found = judged_with(scattered(down=power(-0.7), end=power(-0.3, size=2.0)))
    assert outcomes(c3b_spread.CLAIM, found) == but_for("flips.m.down")
    error = 3 * slope_error(FOUR, len(SEEDS), NOISE)
    assert value(found, "flips.m.down") == pytest.approx(-0.7, abs=error)
    assert value(found, "flips.m.end") == pytest.approx(-0.3, abs=error)


def test_a_single_step_that_scatters_by_another_power_refutes_it_alone():
    found = judged_with(stepped((-0.35, -0.5)))
    assert outcomes(c3b_spread.CLAIM, found) == but_for("scatter.m.one_bit")
    assert value(found, "scatter.m.one_bit") == pytest.approx(-0.35, abs=3 * slope_error(WIDTHS, 5, NOISE))


@pytest.mark.parametrize("ratio", [0.8, 1.2])
def test_a_single_step_that_scatters_by_another_amount_refutes_it_alone(ratio):
    found = judged_with(stepped(over_law=ratio))
    assert outcomes(c3b_spread.CLAIM, found) == but_for("scatter.over_law")
    assert value(found, "scatter.over_law") == pytest.approx(ratio, rel=3 * NOISE / 5**0.5)
