"""How often intervals and rules hold, on studies whose truth is known: `python -m proofs_numeric.coverage`.

Each row draws studies of one kind, gives them to the estimators and rules that judge real ones, and counts how often
the 95 % interval held the truth, or how often a rule was wrong. Unless a row says otherwise a study is an exact power
law at the nine widths 64..16384 with lognormal noise, one network a seed at each width. docs/statistics.md shows the
table; 1,000 studies a row take some minutes.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit import scaling
from ntk1bit.claims import Count, FailureRateBelow, IntervalEstimate, IntervalWithin
from ntk1bit.claims.measures import held_out_bound
from ntk1bit.estimators import floor, width_needed
from ntk1bit.estimators.against_width import estimate_against
from ntk1bit.estimators.outputs import SpreadOf
from ntk1bit.processors import usable_processors
from ntk1bit.scaling.allocation import Frontier
from ntk1bit.scaling.fitting import fit_one
from ntk1bit.scaling.frontier import envelope_frontier, isoflop_frontier
from ntk1bit.statistics import (
    Interval,
    MeanOf,
    RootMeanSquareOf,
    Samples,
    fit_power_with_floor,
    judge_plateau,
    leave_one_out,
    root_mean_square_interval,
    student_interval,
)

WIDTHS = 64.0 * 2.0 ** np.arange(9)
STUDIES = 1000
EXPONENT = -0.5
RISING = np.geomspace(0.05, 0.5, len(WIDTHS))
WIDEST_ONLY = np.where(WIDTHS[-1] == WIDTHS, 0.5, 0.05)
_STEPS = 300


@dataclass(frozen=True)
class Outcome:
    """What one study came to.

    Attributes
    ----------
    given
        Whether there was an interval, or a decision.
    below, above
        Whether the whole interval lay below the truth, or above it; of a rule, which of its two errors it made.
    """

    given: bool
    below: bool
    above: bool


@dataclass(frozen=True)
class Case:
    """A row of the table.

    Attributes
    ----------
    name
        What is drawn and what is judged.
    k
        Seeds, or whatever the unit is.
    study
        Draws and judges one study.
    rule
        Whether `below` and `above` are the errors of a rule, so that there is no coverage.
    """

    name: str
    k: int
    study: Callable[[np.random.Generator], Outcome]
    rule: bool = False


def judged(interval: Interval, truth: float) -> Outcome:
    """Hold an interval against the truth."""
    _, low, high = interval
    if not np.isfinite([low, high]).all():
        return Outcome(False, False, False)
    return Outcome(True, high < truth, low > truth)


def draws(
    rng: np.random.Generator,
    k: int,
    noise: float | Float[np.ndarray, " w"],
    *,
    slope: float = 0.0,
    intercept: float = 0.0,
    truth: Float[np.ndarray, " w"] | None = None,
) -> Float[np.ndarray, "k w"]:
    """Draw a study: lognormal about a power law, of mean 1 over networks, whose seeds may share slope and intercept."""
    logs = np.log(WIDTHS) - np.log(WIDTHS).mean()
    noise = np.broadcast_to(noise, WIDTHS.shape)
    law = WIDTHS**EXPONENT if truth is None else truth
    common = slope * rng.standard_normal((k, 1)) * logs + intercept * rng.standard_normal((k, 1))
    return law * np.exp(common + noise * rng.standard_normal((k, len(WIDTHS))) - noise**2 / 2)


def samples(values: Float[np.ndarray, "k w"], statistic: Callable[[np.ndarray], Any] = MeanOf) -> list[Samples]:
    """Put a study's values as samples at each width."""
    seeds = tuple(range(len(values)))
    return [Samples(float(x), seeds, statistic(column)) for x, column in zip(WIDTHS, values.T, strict=True)]


def power(rng: np.random.Generator, **how: Any) -> Outcome:
    """Judge the exponent of a power law."""
    found = estimate_against("q", "q", {}, samples(draws(rng, **how))).power
    return judged(found.exponent_interval, EXPONENT)


def few_widths(rng: np.random.Generator, k: int, places: Sequence[int]) -> Outcome:
    """Judge the exponent over few widths."""
    some = [samples(draws(rng, k, 0.2))[place] for place in places]
    return judged(estimate_against("q", "q", {}, some).power.exponent_interval, EXPONENT)


def curvature(rng: np.random.Generator, **how: Any) -> Outcome:
    """Ask whether a straight law is called curved."""
    found = estimate_against("q", "q", {}, samples(draws(rng, **how))).power
    return Outcome(True, found.curvature_high < 0, found.curvature_low > 0)


def difference(rng: np.random.Generator, k: int) -> Outcome:
    """Judge the mean of a difference whose truth is 0."""
    return judged(student_interval(rng.standard_normal(k)), 0.0)


def exponent_of_noise(rng: np.random.Generator, k: int) -> Outcome:
    """Ask whether differences whose truth is 0 at every width are given an exponent."""
    found = estimate_against("q", "q", {}, samples(rng.standard_normal((k, len(WIDTHS))), partial(MeanOf, signed=True)))
    return Outcome(True, found.power.warranted, False)


def boundary(rng: np.random.Generator, k: int, noise: Float[np.ndarray, " w"]) -> Outcome:
    """Judge 'at most -1/2' where the exponent is -1/2: supported, and refuted, are both wrong."""
    found = estimate_against("q", "q", {}, samples(draws(rng, k, noise))).power
    value, low, high = found.exponent_interval
    estimate = IntervalEstimate("p", "p", value, low, high, k, "", "")
    outcome, _ = IntervalWithin("p", high=EXPONENT, seeds=min(k, 5)).compare(estimate)
    return Outcome(True, outcome == "supported", outcome == "refuted")


def root_mean_square(rng: np.random.Generator, k: int, spread: float) -> Outcome:
    """Judge a root mean square of lognormal values."""
    return judged(root_mean_square_interval(np.exp(spread * rng.standard_normal(k))), float(np.exp(spread**2)))


def root_mean_square_slope(rng: np.random.Generator, k: int, spread: float) -> Outcome:
    """Judge the exponent of a root mean square."""
    found = estimate_against("q", "q", {}, samples(draws(rng, k, spread), RootMeanSquareOf)).power
    return judged(found.exponent_interval, EXPONENT)


def spread_of_seeds(rng: np.random.Generator, k: int) -> Outcome:
    """Judge the seed-to-seed standard deviation of a function on 64 test inputs, made of 8 random directions."""
    return judged(SpreadOf(rng.standard_normal((k, 8)) @ _directions()).interval(), 1.0)


def _directions() -> Float[np.ndarray, "8 64"]:
    found = np.random.default_rng(0).standard_normal((8, 64))
    return found / np.sqrt(np.mean(np.sum(found**2, axis=0)))


def floor_of_power(rng: np.random.Generator, k: int, c: float, p: float, noise: float) -> Outcome:
    """Judge the floor c of c + A m^p."""
    values = draws(rng, k, noise, truth=c + (WIDTHS / WIDTHS[0]) ** p)
    found = fit_power_with_floor(WIDTHS, leave_one_out(samples(values)))
    return judged((found.floor, found.floor_low, found.floor_high), c)


def needed(rng: np.random.Generator, k: int) -> Outcome:
    """Judge the width at which the mean loss reaches a given value, the third of five."""
    values = draws(rng, k, 0.2)
    table = width_needed(curves_frame({(s, m): np.full(2, v) for (s, m), v in _entries(values)}))[0].table
    if table.empty:
        return Outcome(False, False, False)
    row = table.iloc[2]
    return judged((row["width"], row["low"], row["high"]), float(row["loss"]) ** (1 / EXPONENT))


def still_falling(rng: np.random.Generator, k: int, q: float, share: float) -> Outcome:
    """Judge the exponent of the floor 1/m of curves that are still above it by B t^-q: a share of 1/4096 at the end."""
    t = np.arange(_STEPS + 1.0)
    t[0] = 1
    curves = {}
    for seed, m in itertools.product(range(k), WIDTHS):
        mean = 1 / m + share / 4096 * (t / _STEPS) ** -q
        curves[seed, m] = mean * np.exp(0.1 * _correlated(rng, len(t), 0.5))
    found = floor(curves_frame(curves))[0]
    return judged(found.power.exponent_interval, -1.0)


def plateau(rng: np.random.Generator, k: int, slope: float, correlation: float) -> Outcome:
    """Judge curves of a given slope at the end: `below` is called falling, `above` is called level."""
    t = np.maximum(np.arange(_STEPS + 1.0), 1)
    curves = np.stack([t**slope * np.exp(0.3 * _correlated(rng, len(t), correlation)) for _ in range(k)])
    outcome = judge_plateau(curves).outcome
    return Outcome(outcome != "undecided", outcome == "falling", outcome == "level")


def _correlated(rng: np.random.Generator, n: int, correlation: float) -> Float[np.ndarray, " n"]:
    """Draw an autoregressive series of unit variance; -0.9 alternates from step to step."""
    from scipy.signal import lfilter

    shocks = np.sqrt(1 - correlation**2) * rng.standard_normal(n)
    shocks[0] = rng.standard_normal()
    return np.asarray(lfilter([1.0], [1.0, -correlation], shocks))


def clustered_fit(rng: np.random.Generator, runs: int, rows: int, *, told: bool) -> Outcome:
    """Judge the exponent alpha that `scaling.fit` finds over runs of several rows that share an error."""
    size = np.repeat(np.exp(rng.uniform(np.log(64), np.log(16384), runs)), rows)
    apart = np.exp(rng.uniform(-0.5, 0.5, runs * rows))
    run = np.repeat(np.arange(runs), rows)
    noise = 0.1 * rng.standard_normal(runs)[run] + 0.03 * rng.standard_normal(runs * rows)
    frame = pd.DataFrame({"N": size * apart, "run" if told else "row": run})
    frame["loss"] = 3 * frame["N"] ** EXPONENT * np.exp(noise)
    return _fitted(frame)


def seeds_fit(rng: np.random.Generator, k: int) -> Outcome:
    """Judge the exponent that `scaling.fit` finds over widths and seeds, the slope differing by seed."""
    values = draws(rng, k, 0.05, slope=0.05)
    rows = [{"N": m, "seed": seed, "loss": value} for (seed, m), value in _entries(values)]
    return _fitted(pd.DataFrame(rows))


def _fitted(frame: pd.DataFrame) -> Outcome:
    request = scaling.FitRequest(scaling.get_law("power"), x="N", bootstrap=400, threads=1)
    found = fit_one(frame, request).interval().loc["alpha"]
    return judged((float(found["estimate"]), float(found["low"]), float(found["high"])), -EXPONENT)


_LAW = {"E": 1.0, "A": 300.0, "B": 855.0, "alpha": 0.35}  # beta = alpha: N_opt ~ C^0.5, 20 tokens a parameter


def _loss(n: Float[np.ndarray, " r"], d: Float[np.ndarray, " r"]) -> Float[np.ndarray, " r"]:
    return _LAW["E"] + _LAW["A"] * n ** -_LAW["alpha"] + _LAW["B"] * d ** -_LAW["alpha"]


def envelope(rng: np.random.Generator, k: int) -> Outcome:
    """Judge the exponent of N_opt by the envelope of the curves of k runs of different size."""
    rows = []
    for run, n in enumerate(np.geomspace(1e6, 1e9, k)):
        d = np.geomspace(n, 400 * n, 40)
        loss = _loss(np.full(40, n), d) * np.exp(0.002 * rng.standard_normal())
        rows.append(pd.DataFrame({"N": n, "D": d, "loss": loss, "run": run}))
    request = scaling.FitRequest(scaling.get_law("chinchilla"), run="run", bootstrap=400, threads=1)
    budgets = 120 * np.geomspace(5e6, 2e8, 7) ** 2
    return _exponent_of_frontier(envelope_frontier(pd.concat(rows), budgets, request))


def isoflop(rng: np.random.Generator, k: int) -> Outcome:
    """Judge the exponent of N_opt by parabolas through k runs at each of seven budgets."""
    c = np.repeat(120 * np.geomspace(5e6, 2e8, 7) ** 2, k)
    n = np.sqrt(c / 120) * np.tile(np.geomspace(1 / 3, 3, k), 7)
    frame = pd.DataFrame({"N": n, "D": c / (6 * n)})
    frame["loss"] = _loss(n, c / (6 * n)) * np.exp(0.001 * rng.standard_normal(len(n)))
    request = scaling.FitRequest(scaling.get_law("chinchilla"), bootstrap=400, threads=1)
    return _exponent_of_frontier(isoflop_frontier(frame, request))


def _exponent_of_frontier(frontier: Frontier) -> Outcome:
    row = frontier.exponents().set_index("of").loc["N_opt"]
    return judged((float(row["exponent"]), float(row["low"]), float(row["high"])), 0.5)


def worst_setting(rng: np.random.Generator, bad: int, rate: float, trials: int = 80) -> Outcome:
    """Judge a failure rate of at most 0.05 at 35 settings, some of which fail more often."""
    rates = np.where(np.arange(35) < bad, rate, 0.0)
    failures = rng.binomial(trials, rates)
    count = Count(
        "f", "f", int(failures.sum()), 35 * trials, "", "", settings=tuple((int(f), trials) for f in failures)
    )
    outcome, _ = FailureRateBelow("f", 0.05).compare(count)
    holds = rate <= 0.05
    return Outcome(outcome != "inconclusive", not holds and outcome == "supported", holds and outcome == "refuted")


def wrong_shape(rng: np.random.Generator, k: int, growth: float) -> Outcome:
    """Judge a bound whose shape is wrong by m^growth: `below` passes it."""
    frame = pd.DataFrame(
        [
            {"width": m, "seed": seed, "value": v, "bound": 1.0}
            for (seed, m), v in _entries(draws(rng, k, 0.1, truth=WIDTHS**growth))
        ]
    )
    count, _, _, shape = held_out_bound(
        frame, measured="value", bound="bound", measure="b", meaning="m", span="", study="", settings=()
    )
    assert isinstance(count, Count)
    assert isinstance(shape, IntervalEstimate)
    passed = count.failures == 0 and IntervalWithin("b.shape", high=0.05).compare(shape)[0] == "supported"
    return Outcome(True, passed, False)


def curves_frame(curves: dict[tuple[int, float], Float[np.ndarray, " t"]]) -> pd.DataFrame:
    """Put loss curves by seed and width as a sweep's frame."""
    parts = []
    for (seed, m), loss in curves.items():
        parts.append(
            pd.DataFrame({"step": np.arange(len(loss)), "loss": loss}).assign(
                width=int(m), seed=seed, key=f"{seed}-{m:g}", drift=0.0, diverged=False
            )
        )
    about = {"task": "made", "dim": 1, "n_train": 1, "init": "iid", "kappa": 1.0, "eta_rel": 1.0}
    return pd.concat(parts, ignore_index=True).assign(**about, scale="std", precision="one_bit")


def _entries(values: Float[np.ndarray, "k w"]) -> Iterator[tuple[tuple[int, float], float]]:
    for seed, row in enumerate(values):
        for m, value in zip(WIDTHS, row, strict=True):
            yield (seed, float(m)), float(value)


def cases() -> tuple[Case, ...]:
    """Return all rows of the table."""

    def each(
        name: str, function: Callable[..., Outcome], ks: Sequence[int], *, rule: bool = False, **how: Any
    ) -> list[Case]:
        return [Case(name, k, partial(function, k=k, **how), rule) for k in ks]

    def ends(name: str, **how: float) -> list[Case]:
        return each(name, plateau, (1, 3, 5, 8), rule=True, **how)

    return (
        *each("mean difference whose truth is 0", difference, (2, 3, 5, 8)),
        *each("exponent of differences whose truth is 0 (low: one is given)", exponent_of_noise, (3, 5, 8), rule=True),
        *each("exponent, noise 0.2", power, (1, 3, 5, 8), noise=0.2),
        *each("exponent, noise 0.05 to 0.5 with width", power, (3, 5, 6, 10), noise=RISING),
        *each("exponent, noise 0.5 at the widest only", power, (3, 5, 6, 10), noise=WIDEST_ONLY),
        *each("exponent, slope differs by seed", power, (3, 5, 8), noise=0.1, slope=0.1),
        *each("exponent, intercept differs by seed", power, (3, 5, 8), noise=0.1, intercept=0.3),
        *each("exponent, 2 widths", few_widths, (5,), places=(0, 8)),
        *each("exponent, 3 widths", few_widths, (3, 5, 8), places=(0, 4, 8)),
        *each("curvature of a straight law, noise 0.05 to 0.5", curvature, (3, 5, 8), rule=True, noise=RISING),
        *each("rule 'at most -0.5' at -0.5, noise 0.05 to 0.5", boundary, (3, 5, 8), rule=True, noise=RISING),
        *each("root mean square, log sd 0.3", root_mean_square, (3, 5, 8), spread=0.3),
        *each("root mean square, log sd 0.6", root_mean_square, (3, 5, 8), spread=0.6),
        *each("exponent of a root mean square, log sd 0.3", root_mean_square_slope, (3, 5, 8), spread=0.3),
        *each("spread over seeds", spread_of_seeds, (3, 5, 8)),
        *each("width needed for a loss", needed, (1, 3, 5, 8)),
        *each("floor c = 0.01 of c + A m^-1, noise 0.05", floor_of_power, (3, 5, 8), c=0.01, p=-1.0, noise=0.05),
        *each("floor c = 0.01 of c + A m^-1/2, noise 0.2", floor_of_power, (3, 5, 8), c=0.01, p=-0.5, noise=0.2),
        *each("floor exponent, level curves", still_falling, (5, 8), q=0.5, share=0.0),
        *each("floor exponent, still falling as t^-1/2", still_falling, (5, 8), q=0.5, share=0.1),
        *each("floor exponent, still falling as t^-1", still_falling, (5, 8), q=1.0, share=0.1),
        *ends("level curves, correlation 0.9 (low: called falling)", slope=0.0, correlation=0.9),
        *ends("level curves, alternating (low: called falling)", slope=0.0, correlation=-0.9),
        *ends("slope -0.2, correlation 0.9 (high: called level)", slope=-0.2, correlation=0.9),
        Case("fit, 40 runs of 6 rows with a column `run`", 40, partial(clustered_fit, runs=40, rows=6, told=True)),
        Case("fit, 5 runs of 6 rows with a column `run`", 5, partial(clustered_fit, runs=5, rows=6, told=True)),
        Case("fit, 10 runs of 6 rows with a column `run`", 10, partial(clustered_fit, runs=10, rows=6, told=True)),
        *each("fit over widths and seeds, slope differs by seed", seeds_fit, (3, 5, 8)),
        *each("frontier exponent by envelope, k runs", envelope, (13, 40)),
        *each("frontier exponent by isoflop, k runs a budget", isoflop, (7, 13)),
        Case("3 of 35 settings fail at 30 % (low: supported)", 80, partial(worst_setting, bad=3, rate=0.3), True),
        Case("1 of 35 settings fails at 5 % (high: refuted)", 80, partial(worst_setting, bad=1, rate=0.05), True),
        *each("bound whose shape is wrong by m^0.1 (low: passes)", wrong_shape, (5, 8), rule=True, growth=0.1),
    )  # fmt: skip


def simulate(case: Case, studies: int, seed: int = 0) -> dict[str, Any]:
    """Return a row: name, k, coverage of the intervals given, shares that missed on either side, share given."""
    found = []
    for number in range(studies):
        rng = np.random.default_rng([seed, number, case.k, sum(map(ord, case.name))])
        found.append(case.study(rng))
    given = sum(one.given for one in found)
    below, above = (sum(getattr(one, side) for one in found) for side in ("below", "above"))
    of = studies if case.rule else given
    return {
        "case": case.name,
        "k": case.k,
        "coverage": np.nan if case.rule or not given else 1 - (below + above) / given,
        "low": below / of if of else np.nan,
        "high": above / of if of else np.nan,
        "given": given / studies,
    }


def rows(chosen: Sequence[Case], studies: int, *, jobs: int = 1) -> Iterator[dict[str, Any]]:
    """Simulate cases in processes; give their rows in order, each as soon as it is there."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(simulate, chosen, itertools.repeat(studies))


_HEAD = ("| case | k | coverage | truth above | truth below | given |", "|---|---|---|---|---|---|")


def line(row: dict[str, Any]) -> str:
    """Write a row of the table for docs/statistics.md."""
    numbers = ["" if np.isnan(row[name]) else f"{row[name]:.3f}" for name in ("coverage", "low", "high", "given")]
    return f"| {row['case']} | {row['k']} | {' | '.join(numbers)} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate and print the table; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m proofs_numeric.coverage", description=__doc__)
    parser.add_argument("--studies", type=int, default=STUDIES, help="studies a row (default: %(default)s)")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--jobs", type=int, default=usable_processors(), help="processes (default: %(default)s)")
    given = parser.parse_args(arguments)
    chosen = [case for case in cases() if given.only in case.name]
    if not chosen:
        parser.error(f"no row has {given.only!r} in its name; leave out --only for the names of all")
    if given.studies < 1 or given.jobs < 1:
        parser.error(f"--studies and --jobs must be at least 1, got {given.studies} and {given.jobs}")
    print(*_HEAD, sep="\n", flush=True)
    for row in rows(chosen, given.studies, jobs=given.jobs):
        print(line(row), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
