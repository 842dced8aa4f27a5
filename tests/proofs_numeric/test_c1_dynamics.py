"""The rules of C1-H, C1-K and C1-K-late on distances that fall by known exponents, that of C1-means on known means."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest

from ntk1bit import kernels
from ntk1bit.claims import IntervalEstimate
from ntk1bit.data import tasks
from ntk1bit.statistics.jackknife import CROSSED
from proofs_numeric import c1_dynamics
from proofs_numeric.studies import DATA_SETS
from tests.proofs_numeric.planted import (
    SEEDS,
    Law,
    around,
    context,
    narrow_off,
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

WIDTHS = (64, 128, 256, 512, 1024, 2048)
FOUR, NOISE, SAMPLES, ETA = WIDTHS[-4:], 0.02, 2000, 0.02
LEVELS = np.array([1.0, 0.8, 0.5, 0.3, 0.05, 0.04])
FIVE = (0, 1, 2, 3, 4)  # networks on each of eight data sets
OF_H = ("from_h.m.widest", "from_h.m.draws")
OF_K = ("from_k.m.widest", "from_k.m.draws", "from_h_over_k.widest")
SHAPE = np.array([50.0, 0.5, 1.0, 1.5, 80.0, 90.0])  # of a distance over steps: 1 on average while L > L(0)/10


@pytest.fixture(autouse=True)
def _few_samples(monkeypatch):
    """Kernels that are drawn beside curves, and decide nothing, of few neurons."""
    monkeypatch.setattr(c1_dynamics, "_SAMPLES", SAMPLES)


FLIP_NOISE = power(-0.25, size=0.1)
IN_FULL = power(-0.4)


def followed(to_h: Law = 1.0, to_k: Law = FLIP_NOISE, full: Law = IN_FULL, *, drawn_h=None, drawn_k=None, widths=FOUR):
    """Digits at 16 points, and eight data sets at `widths`, which have laws of their own where these are given.

    From an iid start distances do not fall, and nothing is recorded at odd steps.
    """
    frames = {"digits": study(to_h, to_k, full)}
    laws_h, laws_k = drawn_h or [to_h] * len(DATA_SETS), drawn_k or [to_k] * len(DATA_SETS)
    for place, (name, *laws) in enumerate(zip(DATA_SETS, laws_h, laws_k, strict=True)):
        size = 1.2 ** (place % 2)  # of both distances on a data set; it has nothing to do with m
        of_one = study(laws[0], laws[1], full, size=size, width=widths, precision="one_bit", seed=FIVE)
        frames[name] = on_data_set(of_one, place)
    return stored(frames)


def study(to_h: Law, to_k: Law, full: Law, *, size=1.0, **settings):
    def distance(law, other):
        def values(frame):
            away = where(other, law, precision="full")(frame) * np.exp(NOISE * frame["noise"])
            return np.where(frame["init"] == "iid", 1.0, size * away) * SHAPE[frame["step"] // 2]

        return values

    settings = {"width": WIDTHS} | settings
    of = pd.concat([networks(**settings | {"init": "iid", "seed": 0}), networks(**settings)], ignore_index=True)
    return sweep(
        of.assign(eta=ETA),
        lambda f: where(2.0, 3.0, precision="full")(f) * LEVELS[f["step"] // 2] * np.exp(0.01 * f["noise"]),
        steps=10,
        every=2,
        from_h=distance(to_h, full),
        from_k_eff=distance(to_k, np.nan),
    )


def error_over(widths, seeds=6):
    """Three standard errors of an exponent: 2 % of noise over six seeds, or five, alike on all data sets."""
    return 3 * slope_error(widths, seeds, NOISE)


def test_a_distance_to_h_that_stays_refutes_it_and_one_to_k_eff_that_falls_supports_ours():
    data = followed()
    h, k = c1_dynamics.evidence_h(data), c1_dynamics.evidence_k(data)
    assert outcomes(c1_dynamics.CLAIM_H, h) == dict.fromkeys(OF_H, "refuted")
    assert context(c1_dynamics.CLAIM_H, h) == {"from_h.m.full": "supported"}
    assert outcomes(c1_dynamics.CLAIM_K, k) == dict.fromkeys(OF_K, "supported")
    assert context(c1_dynamics.CLAIM_K, k) == {"from_k.m": "supported"}
    assert value(h, "from_h.m.widest") == pytest.approx(0.0, abs=error_over(FOUR))
    assert value(h, "from_h.m.draws") == pytest.approx(0.0, abs=error_over(FOUR, 5))
    assert value(h, "from_h.m.full") == pytest.approx(-0.4, abs=error_over(WIDTHS))
    assert value(k, "from_k.m.widest") == pytest.approx(-0.25, abs=error_over(FOUR))
    assert value(k, "from_k.m.draws") == pytest.approx(-0.25, abs=error_over(FOUR, 5))
    assert value(k, "from_k.m") == pytest.approx(-0.25, abs=error_over(WIDTHS))
    assert units(h, "from_h.m.draws") == units(k, "from_k.m.draws") == CROSSED
    at_widest = 0.1 * (2048 / 64) ** -0.25
    close = 3 * NOISE / len(SEEDS) ** 0.5
    assert value(h, "from_h.widest") == pytest.approx(1.0, rel=close)
    assert value(k, "from_k.widest") == pytest.approx(at_widest, rel=close)
    assert value(k, "from_h_over_k.widest") == pytest.approx(1 / at_widest)  # both distances have their noise in common


@pytest.mark.parametrize(("exponent", "shift", "outcome"), [(-0.3, 0.2, "supported"), (-0.1, -0.2, "refuted")])
def test_it_is_the_four_widest_widths_that_count(exponent, shift, outcome):
    law = narrow_off(exponent, shift)
    data = followed(law, law, widths=WIDTHS)
    h, k = c1_dynamics.evidence_h(data), c1_dynamics.evidence_k(data)
    for claim, found, name in ((c1_dynamics.CLAIM_H, h, "from_h"), (c1_dynamics.CLAIM_K, k, "from_k")):
        for where_, seeds in (("widest", 6), ("draws", 5)):
            assert outcomes(claim, found)[f"{name}.m.{where_}"] == outcome
            assert value(found, f"{name}.m.{where_}") == pytest.approx(exponent, abs=error_over(FOUR, seeds))
        assert value(found, f"{name}.widest") == pytest.approx(32**exponent, rel=3 * NOISE / len(SEEDS) ** 0.5)
    assert value(k, "from_k.m") == pytest.approx(exponent + shift, abs=error_over(FOUR))


@pytest.mark.parametrize("name", ["from_h", "from_k"])
@pytest.mark.parametrize("where_", ["widest", "draws"])
def test_a_distance_that_stays_on_digits_or_on_data_sets_refutes_either_claim_by_that_alone(name, where_):
    falls, stays = power(-0.3, size=0.1), power(0.0, size=0.1)
    law, anew = (stays, falls) if where_ == "widest" else (falls, stays)
    further = power(-0.3)  # of the other distance: not the nearer one
    if name == "from_h":
        data = followed(law, drawn_h=[anew] * len(DATA_SETS))
        claim, found, decisive = c1_dynamics.CLAIM_H, c1_dynamics.evidence_h(data), OF_H
    else:
        data = followed(further, law, drawn_k=[anew] * len(DATA_SETS))
        claim, found, decisive = c1_dynamics.CLAIM_K, c1_dynamics.evidence_k(data), OF_K
    measure = f"{name}.m.{where_}"
    assert outcomes(claim, found) == dict.fromkeys(decisive, "supported") | {measure: "refuted"}
    seeds = 6 if where_ == "widest" else 5
    assert value(found, measure) == pytest.approx(0.0, abs=error_over(FOUR, seeds))


@pytest.mark.parametrize(("name", "mean", "apart", "outcome"), [
    ("from_h", -0.25, 0.03, "supported"), ("from_k", -0.12, 0.03, "refuted"), ("from_k", -0.25, 0.3, "inconclusive"),
])  # fmt: skip
def test_data_sets_have_exponents_of_their_own_and_it_is_their_mean_that_counts(name, mean, apart, outcome):
    """Symmetric about the mean; with five networks t is 2.78, and the interval +-2.78 x 0.70 `apart`/sqrt(8)."""
    laws = [around(one, FOUR, size=0.1) for one in mean + apart * np.linspace(-1, 1, len(DATA_SETS))]
    data = followed(power(-0.3), drawn_h=laws, drawn_k=laws)
    if name == "from_h":
        claim, found, decisive = c1_dynamics.CLAIM_H, c1_dynamics.evidence_h(data), OF_H
    else:
        claim, found, decisive = c1_dynamics.CLAIM_K, c1_dynamics.evidence_k(data), OF_K
    assert outcomes(claim, found) == dict.fromkeys(decisive, "supported") | {f"{name}.m.draws": outcome}
    # distances are averaged, not exponents: a mean of exponentials bends by half the variance of the exponents
    assert value(found, f"{name}.m.draws") == pytest.approx(mean, abs=error_over(FOUR, 5) + 0.5 * apart**2)


def test_a_kernel_that_is_not_closer_refutes_ours_alone():
    found = c1_dynamics.evidence_k(followed(to_h=power(-0.25, size=0.1), to_k=power(-0.25, size=0.2)))
    expected = dict.fromkeys(OF_K, "supported") | {"from_h_over_k.widest": "refuted"}
    assert outcomes(c1_dynamics.CLAIM_K, found) == expected
    assert value(found, "from_h_over_k.widest") == pytest.approx(0.5)


def test_the_curves_are_those_of_the_widest_paired_networks():
    data = followed()
    curves = c1_dynamics.evidence_h(data).tables["curves"].set_index(["precision", "step"])
    assert sorted(set(curves.index.get_level_values("step"))) == [0, 2, 4, 6, 8, 10]
    frame = data.frame("digits")
    last = frame.loc[(frame["width"] == 2048) & (frame["init"] == "paired") & (frame["precision"] == "one_bit")]
    seen = last.loc[last["step"] == 4, "loss"]
    row = curves.loc[("one_bit", 4)]
    assert (row["loss"], row["loss_low"], row["loss_high"]) == pytest.approx((seen.mean(), seen.min(), seen.max()))
    close = 3 * NOISE / len(SEEDS) ** 0.5
    assert row["from_h"] == pytest.approx(SHAPE[2], rel=close)
    assert row["from_k_eff"] == pytest.approx(SHAPE[2] * 0.1 * 32**-0.25, rel=close)


def test_the_predictions_beside_the_curves_are_descent_with_the_limits_of_both_kernels():
    found = c1_dynamics.evidence_k(followed()).tables["convergence"].set_index("step")
    task = tasks.load("digits", n_train=16, n_test=4, seed=0)
    y = task.y.astype(np.float64)
    for column, kernel in (
        ("loss_h", kernels.limit_ntk(task.x, samples=SAMPLES).value),
        ("loss_k_eff", kernels.effective_ntk(task.x, samples=SAMPLES).value),
    ):
        for step in (0, 4, 10):
            residual = np.linalg.matrix_power(np.eye(16) - ETA * kernel, step) @ y
            assert found.loc[step, column] == pytest.approx(residual @ residual / 2)
    assert (found["loss_h"] < found["loss_k_eff"]).iloc[1:].all()  # K_eff is slower
    close = 3 * 0.01 / len(SEEDS) ** 0.5
    assert found["loss"].to_numpy() == pytest.approx(3 * LEVELS, rel=close)
    assert found["full_loss"].to_numpy() == pytest.approx(2 * LEVELS, rel=close)


MANY = tuple(range(1000, 1107))  # networks of C1-means: five blocks of twenty, and seven more
FIRST_WIDTHS, FIRST_STEPS, SCATTER = (256, 4096), 10, 0.1
FIRST_TASKS = {"sphere": ("sphere-random", 64), "digits": ("digits", None)}
OF_MEANS = tuple(f"{name}.{task}.widest" for task in FIRST_TASKS for name in ("way", "off"))
AT_NARROWEST = tuple(f"way.{task}.narrowest" for task in FIRST_TASKS)


@functools.cache
def predicted(name, eta):
    """Outputs y - (I - eta K)^10 y of descent with the limits of H and K_eff, and a unit vector aside of their way."""
    of, dim = FIRST_TASKS[name]
    task = tasks.load(of, n_train=16, n_test=1, seed=0, dim=dim)
    y = task.y.astype(np.float64)
    f_h, f_k = (
        y - np.linalg.matrix_power(np.eye(16) - eta * kernel(task.x, samples=SAMPLES).value, FIRST_STEPS) @ y
        for kernel in (kernels.limit_ntk, kernels.effective_ntk)
    )
    way = (f_k - f_h) / np.linalg.norm(f_k - f_h)
    aside = np.eye(16)[0] - way[0] * way
    return f_h, f_k, aside / np.linalg.norm(aside)


def first_steps(placed=None, *, narrow=1.0, scatter=SCATTER, seeds=MANY):
    """Networks whose outputs after ten steps lie at f_K, or where `placed` says for their task at the widest width.

    That is a share of the way from f_H to f_K, and a distance aside of it, over |f_K - f_H| as is the standard
    deviation of the noise of every output. At the narrowest the share is `narrow`. A network has one of three learning
    rates.
    """
    placed = dict.fromkeys(FIRST_TASKS, (1.0, 0.0)) | (placed or {})
    parts = []
    for name, (task, _) in FIRST_TASKS.items():
        of = networks(task=task, n_test=1, width=FIRST_WIDTHS, precision="one_bit", seed=seeds)
        of["eta"] = 0.02 * (1 + of["seed"] % 3)

        def outputs(frame, name=name):
            rng = np.random.default_rng([6, len(name)])
            made = []
            for width, eta, step in zip(frame["width"], frame["eta"], frame["step"], strict=True):
                f_h, f_k, third = predicted(name, eta)
                share, beside = placed[name] if width == FIRST_WIDTHS[-1] else (narrow, 0.0)
                away = beside * third + scatter * rng.standard_normal(16)
                end = f_h + share * (f_k - f_h) + np.linalg.norm(f_k - f_h) * away
                made.append((end if step else 0 * end).astype(np.float32))  # a paired start
            return made

        parts.append(sweep(of, 1.0, steps=FIRST_STEPS, every=FIRST_STEPS, outputs=outputs))
    return pd.DataFrame(pd.concat(parts, ignore_index=True).sample(frac=1.0, random_state=0))  # in any order of rows


def of_means(frame):
    return c1_dynamics.evidence_means(stored({"first-steps": frame}))


def off_error(off, scatter, count):
    """Three standard errors of a mean product over blocks of 20 networks in 16 dimensions, `off` being its mean."""
    of_a_block = np.sqrt(4 * off * scatter**2 / 20 + 2 * 16 * scatter**4 / (20 * 19))
    return 3 * of_a_block / (count // 20) ** 0.5


@pytest.mark.parametrize(("task", "share", "beside", "of_way", "of_off"), [
    ("sphere", 1.0, 0.0, "supported", "supported"),  # at K_eff's prediction, as the other task is in each case
    ("sphere", 0.0, 0.0, "refuted", "refuted"),  # at H's
    ("digits", 0.5, 0.0, "refuted", "refuted"),
    ("sphere", 1.0, 0.3, "supported", "refuted"),  # where neither is
    ("digits", 1.0, 0.3, "supported", "refuted"),
    ("sphere", 0.85, 0.0, "refuted", "supported"),
    ("digits", 1.15, 0.0, "refuted", "supported"),
])  # fmt: skip
def test_the_mean_lies_where_networks_are_placed_and_decides_for_its_task_alone(task, share, beside, of_way, of_off):
    found = of_means(first_steps({task: (share, beside)}))
    expected = {f"way.{task}.widest": of_way, f"off.{task}.widest": of_off}
    assert outcomes(c1_dynamics.CLAIM_MEANS, found) == dict.fromkeys(OF_MEANS, "supported") | expected
    assert context(c1_dynamics.CLAIM_MEANS, found) == dict.fromkeys(AT_NARROWEST, "supported")
    way = pytest.approx(share, abs=3 * SCATTER / len(MANY) ** 0.5)
    assert value(found, f"way.{task}.widest") == way
    off = (1 - share) ** 2 + beside**2
    assert value(found, f"off.{task}.widest") == pytest.approx(off, abs=off_error(off, SCATTER, len(MANY)))


def test_networks_that_scatter_far_more_than_their_mean_is_off_leave_it_where_it_is():
    """The mean square distance of one network is 16 x 0.4^2 = 2.56, and of a mean of twenty 0.13: above 0.04."""
    many = tuple(range(400))
    found = of_means(first_steps(scatter=0.4, seeds=many))
    assert outcomes(c1_dynamics.CLAIM_MEANS, found) == dict.fromkeys(OF_MEANS, "supported")
    for task in FIRST_TASKS:
        assert value(found, f"off.{task}.widest") == pytest.approx(0.0, abs=off_error(0.0, 0.4, len(many)))
        assert value(found, f"way.{task}.widest") == pytest.approx(1.0, abs=3 * 0.4 / len(many) ** 0.5)


def test_narrower_networks_are_told_beside_the_verdict():
    found = of_means(first_steps(narrow=0.6))
    assert outcomes(c1_dynamics.CLAIM_MEANS, found) == dict.fromkeys(OF_MEANS, "supported")
    assert context(c1_dynamics.CLAIM_MEANS, found) == dict.fromkeys(AT_NARROWEST, "refuted")
    table = found.tables["mean of many networks"].set_index(["task", "measure", "width"])["value"]
    assert len(table) == 2 * 2 * len(FIRST_WIDTHS)
    for task in FIRST_TASKS:
        assert value(found, f"way.{task}.narrowest") == pytest.approx(0.6, abs=3 * SCATTER / len(MANY) ** 0.5)
        for place, width in (("narrowest", 256), ("widest", 4096)):
            for name in ("way", "off"):
                assert table.loc[(task, name, width)] == pytest.approx(value(found, f"{name}.{task}.{place}"))


def test_off_is_the_mean_product_of_different_networks_of_a_block():
    frame = first_steps({"digits": (0.8, 0.1)})
    found = of_means(frame)
    last = frame.query("step == 10 and width == 4096 and task == 'digits'").sort_values("seed")
    away = []
    for eta, outputs in zip(last["eta"], last["outputs"], strict=True):
        f_h, f_k, _ = predicted("digits", eta)
        away.append((outputs - f_k) / np.linalg.norm(f_k - f_h))
    products = [
        np.mean([away[i] @ away[j] for i in range(start, start + 20) for j in range(start, start + 20) if i != j])
        for start in range(0, 100, 20)
    ]
    assert value(found, "off.digits.widest") == pytest.approx(np.mean(products))
    assert units(found, "off.digits.widest") == "blocks of 20 networks on one data set"
    seeds = {one.id: one.seeds for one in found.measures if isinstance(one, IntervalEstimate)}
    assert (seeds["off.digits.widest"], seeds["way.digits.widest"]) == (5, len(MANY))


LATE_WIDTHS = (1024, 4096, 16384, 65536)


def late(monkeypatch, excess, *, of_k_eff=0.02):
    """The evidence on mid-training where losses are above K_eff's by this law, and K_eff's depends on the rate."""
    monkeypatch.setattr(
        c1_dynamics, "_descent", lambda _: lambda eta, steps: of_k_eff * eta / 0.1 + 0.0 * np.array(steps)
    )
    of = networks(width=LATE_WIDTHS, precision="one_bit", task="sphere-random", dim=16, seed=tuple(range(8)))
    of["eta"] = 0.1 * (1 + 0.05 * of["seed"])  # of each network its own

    def loss(frame):
        there = of_k_eff * frame["eta"] / 0.1 + excess(frame) * np.exp(0.02 * frame["noise"])
        return np.where((frame["step"] > 80) & (frame["step"] < 121), there, 7.0)  # no other step is looked at

    return c1_dynamics.evidence_late(stored({"mid-training": sweep(of, loss, steps=122, every=40)}))


def test_an_excess_that_vanishes_supports_later_training(monkeypatch):
    found = late(monkeypatch, lambda f: 0.01 * (f["width"] / 1024) ** -0.5)
    assert outcomes(c1_dynamics.CLAIM_LATE, found) == {"excess.m.widest": "supported", "over_k.widest": "supported"}
    error = 3 * slope_error(LATE_WIDTHS, 8, 0.02)
    assert value(found, "excess.m.widest") == pytest.approx(-0.5, abs=error)


@pytest.mark.parametrize("exponent", [0.0, 0.1])
def test_an_excess_that_stays_refutes_it(monkeypatch, exponent):
    found = late(monkeypatch, lambda f: 0.2 * (f["width"] / 1024) ** exponent)
    assert outcomes(c1_dynamics.CLAIM_LATE, found) == {"excess.m.widest": "refuted", "over_k.widest": "refuted"}
    size = 0.2 * 64**exponent
    rates = 1 + 0.05 * np.arange(8)
    expected = np.mean(1 + size / (0.02 * rates))  # of each network with its own rate
    # 2 % of noise and 16 % of spread between rates, over eight seeds
    assert value(found, "over_k.widest") == pytest.approx(expected, rel=3 * 0.02 / 8**0.5)


def test_a_small_excess_that_stays_leaves_the_loss_close(monkeypatch):
    found = late(monkeypatch, lambda f: 0.01 + 0.0 * f["width"])
    assert outcomes(c1_dynamics.CLAIM_LATE, found) == {"excess.m.widest": "refuted", "over_k.widest": "supported"}


def test_the_loss_of_k_effs_descent_is_that_of_its_linear_recursion():
    """0.5 |(I - eta K)^t y|^2, K by the same draws; float64."""
    frame = networks(width=64, precision="one_bit", task="sphere-random", dim=5, n_train=4, n_test=1, seed=(0,))
    found = c1_dynamics._descent(frame)(0.3, [0, 3, 10])
    task = tasks.load("sphere-random", n_train=4, n_test=1, seed=0, dim=5)
    kernel = kernels.effective_ntk(task.x, samples=c1_dynamics._SAMPLES).value
    once = np.eye(4) - 0.3 * kernel
    expected = [0.5 * np.sum((np.linalg.matrix_power(once, t) @ task.y.astype(np.float64)) ** 2) for t in (0, 3, 10)]
    assert found == pytest.approx(expected, rel=1e-6)
