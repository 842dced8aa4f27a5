r"""C11-floor, C11-aged, C11-spread, C11-phases: sizes that the limit of 1-bit training predicts without a fit.

**C11-floor.** With patterns frozen at the start, the floor m L of a wide 1-bit network is that of a process without
width or constant (`ntk1bit.kernels.poisson_floor`): thresholds within O(1/m) of their weights, a Poisson process, each
crossing of which moves the residual by a whole jump.

**C11-aged.** A network trained straight-through has gathered weights at its thresholds while it oscillated
(`MeanField.near_threshold`). If the floor were that of the process with their density in place of that of the start,
m L would be at that level as soon as training has settled. What the density of all weights does not say is that those
which are stuck are of few types, and lie within a step of their thresholds: they are shaken loose as training goes on.

**C11-spread.** The scatter of a trained network's outputs off its training inputs, over networks, is that of which
weights flip, m^-1/4, and of which neurons there are, m^-1/2; the difference to full precision has an offset besides,
that of two kernel regressions (`ntk1bit.kernels.spreads`). Derived for frozen patterns; straight-through training is
held against the same numbers where its oscillation has passed, d >= 64.

**C11-phases.** How much of the loss alternates in mid-training, at which number of points n and dimension d, is what
the recursion of the limit says; and over n and d together it goes with one number, lambda_min/lambda_max of the kernel.

**Experiment.** `mean_field_studies`: random labels on the sphere, ``paired`` start, eta_rel = 0.5 unless told. Floors
at m = 4096: a level is the mean of m L over the last quarter of the steps, or over the quarter before a quarter, a half
and the whole of them. Spreads at m = 4096 after 2,000 steps, over 128 test inputs. Phases at m = 16384, five data sets,
a network each; the alternating part of the loss is the mean loss of outputs over steps 81 to 120 less that of means of
two successive ones, per input n/2; networks are held against the limit where it is at least 0.001, ten times their
floor.

Trial runs on other seeds had frozen levels and spreads within a tenth of what is predicted, an alternating part within
a fifth, and a straight-through floor that fell from 2.3 to 1.4 times the process at the density of the start. A first
run of frozen floors, 256 networks a setting, could not tell the two whose losses scatter most from a tenth off; these
have four times as many others. Of these, the one at eta_rel = 1 still could not: 1.06 [1.01, 1.11] at m = 4096, where a
step is largest beside the distance of a threshold. It is run once more, with other networks, at m = 16384, to tell the
width's part from the process's.
"""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from ntk1bit.claims import Claim, Evidence, IntervalEstimate, IntervalWithin
from ntk1bit.claims.evidence import Measure, Number
from ntk1bit.claims.measures import estimated, means_ratio, seeds_interval
from ntk1bit.estimators.against_width import recorded_steps
from ntk1bit.kernels import OutputSpread
from ntk1bit.statistics.intervals import root_mean_square_interval, student_interval
from proofs_numeric.data import Data, grouped, highest
from proofs_numeric.mean_field_studies import (
    AGED,
    FLOORS,
    PHASES,
    SPREAD_SETTINGS,
    SPREADS,
    FloorSetting,
    Setting,
)
from proofs_numeric.proof import Proof

_FLOORS, _AGED = "floors-frozen", "floors-aged"
_TIMES = {0.25: "a quarter", 0.5: "half", 1.0: "all"}
_ACTIVITIES = {"frozen": "frozen", "straight_through": "straight-through"}
_SPREADS = tuple(setting.name for setting in SPREAD_SETTINGS)
_LEAST = 1e-3  # of the alternating part per input, below which networks have noise of their own
_FACTOR = 1.25

CLAIM_FLOOR = Claim(
    id="C11-floor",
    title="frozen floors are those of a Poisson process",
    statement="With patterns frozen at the start, m L of wide 1-bit networks at the end of training is that of a "
    "process of thresholds at scale 1/m, without a fitted constant.",
    source="ours",
    assumptions="paired start, random labels on the sphere, m = 4096 (16384 at eta_rel = 1), six settings of "
    "n, d and eta_rel.",
    refuted_by="a level off the process's by more than a tenth",
    criteria=tuple(IntervalWithin(f"level.{one.name}", 0.9, 1.1) for one in FLOORS),
    labels={f"level.{one.name}": f"m L over the process's, {one.words}" for one in FLOORS},
    ranges="a tenth, our reading of 'is'; 256 networks and as many processes tell levels to about 7 %",
)
CLAIM_AGED = Claim(
    id="C11-aged",
    title="carried density predicts the straight-through floor",
    statement="Of networks trained straight-through, m L late in training is that of the process with the density of "
    "weights at thresholds that their mean field ends with.",
    source="ours",
    assumptions="paired start, random labels on the sphere, m = 4096, three settings, three times.",
    refuted_by="a level off the process's by more than a quarter",
    criteria=tuple(IntervalWithin(f"level.{one.name}.{share:g}", 0.8, 1.25) for one in AGED for share in _TIMES),
    context=tuple(IntervalWithin(f"start.{one.name}", 0.8, 1.25) for one in AGED),
    labels={
        **{
            f"level.{one.name}.{share:g}": f"m L over the process's, {one.words}, {words} of the steps"
            for one in AGED
            for share, words in _TIMES.items()
        },
        **{f"start.{one.name}": f"at the end over that of the start's density, {one.words}" for one in AGED},
        **{f"density.{one.name}": f"density carried over that of the start, {one.words}" for one in AGED},
    },
    ranges="a quarter either way, our reading of 'is' for a level that still falls",
)
CLAIM_SPREAD = Claim(
    id="C11-spread",
    title="spread and gap have a size without a fit",
    statement="The scatter of trained 1-bit networks' outputs on test inputs, and their difference to full precision, "
    "have the size that flips, neurons and two kernel regressions give.",
    source="ours",
    assumptions="paired start, d = 64 and 128, m = 4096, trained for 2,000 steps.",
    refuted_by="a spread or a gap off the predicted one by more than 0.15 of it",
    criteria=tuple(
        IntervalWithin(f"{what}.{name}.{activity}", 0.85, 1.15)
        for what in ("spread", "gap")
        for name in _SPREADS
        for activity in _ACTIVITIES
    ),
    context=tuple(IntervalWithin(f"spread.{name}.full", 0.85, 1.15) for name in _SPREADS),
    labels={
        **{
            f"{what}.{name}.{activity}": f"{what} over predicted, {name}, {words}"
            for what in ("spread", "gap")
            for name in _SPREADS
            for activity, words in _ACTIVITIES.items()
        },
        **{f"spread.{name}.full": f"spread over predicted, {name}, full precision" for name in _SPREADS},
        **{f"gap.relative.{name}": f"gap over the size of f', {name}, straight-through" for name in _SPREADS},
        **{f"offset.{name}": f"share of the offset in the gap squared, {name}" for name in _SPREADS},
    },
    ranges="0.15, what a spread over 32 networks and 128 inputs can tell, three times over",
)
CLAIM_PHASES = Claim(
    id="C11-phases",
    title="which training oscillates, by n and d",
    statement="The alternating part of the loss of 1-bit networks in mid-training is the limit's at every n and d, "
    "and falls with lambda_min/lambda_max of the kernel.",
    source="ours",
    assumptions="paired start, random labels on the sphere, n = 16..128, d = 8..128, eta_rel = 0.5, m = 16384.",
    refuted_by="a typical factor of more than 1.25 between networks and limit, or a rank correlation of the limit's "
    "alternating part with lambda_min/lambda_max above -0.9",
    criteria=(IntervalWithin("factor", high=_FACTOR), IntervalWithin("rank", high=-0.9)),
    labels={
        "factor": "typical factor between networks and limit",
        "rank": "rank correlation of alternation and lambda_min/lambda_max",
        "largest": "largest factor between networks and limit",
    },
    ranges="1.25, of networks whose noise is an eighth of a residual (m^-1/4 is 0.09); -0.9, that of an order in which "
    "few of 20 are out of place",
)


def evidence_floor(data: Data) -> Evidence:
    """Hold frozen floors against the process."""
    frame = data.frame(_FLOORS)
    measures = [_level(_of(frame, one), 1.0, "process", f"level.{one.name}", _FLOORS) for one in FLOORS]
    return Evidence(tuple(measures), {"floors": _levels(frame, FLOORS)})


def evidence_aged(data: Data) -> Evidence:
    """Hold straight-through floors at three times against the process, with the density carried and the start's."""
    frame = data.frame(_AGED)
    measures: list[Measure] = []
    for one in AGED:
        here = _of(frame, one)
        density = highest(here["intensity"])  # that of networks and of the other process is 1
        measures += [
            *(_level(here, share, "carried", f"level.{one.name}.{share:g}", _AGED) for share in _TIMES),
            _level(here, 1.0, "process", f"start.{one.name}", _AGED),
            Number(f"density.{one.name}", "of weights within 0.1/sqrt(m)", density, "m = infinity", _AGED),
        ]
    return Evidence(tuple(measures), {"floors": _levels(frame, AGED)})


def evidence_spread(data: Data) -> Evidence:
    """Hold spreads and gaps on test inputs against what `output_spread` predicts."""
    measures: list[Measure] = []
    tables = []
    for setting in SPREAD_SETTINGS:
        name, study = setting.name, f"spread-{setting.name}"
        frame = recorded_steps(data.frame(study))
        last = frame.loc[frame["step"] == highest(frame["step"])]
        width = int(highest(last["width"]))
        known = _predicted(data, setting)
        expected = {"spread": _root(known.spread(width)), "gap": _root(known.gap(width))}
        where = f"m = {width}, {len(known.flips)} test inputs"
        full = _outputs(last, "full", "straight_through")
        measures.append(_spread(full, _root(known.spread(width, "full")), f"spread.{name}.full", where, study))
        for activity in _ACTIVITIES:
            outputs = _outputs(last, "one_bit", activity)
            gaps = {seed: _root(f - full[seed]) for seed, f in outputs.items() if seed in full}
            found = (
                _spread(outputs, expected["spread"], f"spread.{name}.{activity}", where, study),
                _over(gaps, expected["gap"], f"gap.{name}.{activity}", "root mean square of f - f'", where, study),
            )
            measures += found
            tables += [
                (name, activity, what, one.value * size, size)
                for one, (what, size) in zip(found, expected.items(), strict=True)
            ]
            if activity == "straight_through":
                size = _root(np.stack([*full.values()]))
                relative = [gap / size for gap in gaps.values()]
                measures.append(seeds_interval(relative, f"gap.relative.{name}", "of a network", where, study))
        offset = (_root(known.one_bit - known.full) / expected["gap"]) ** 2
        measures.append(Number(f"offset.{name}", "as predicted", offset, where, SPREADS))
    columns = ["setting", "activity", "quantity", "measured", "predicted"]
    return Evidence(tuple(measures), {"spread and gap": pd.DataFrame(tables, columns=columns)})


def evidence_phases(data: Data) -> Evidence:
    """Hold the alternating part of the loss against the recursion's over n and d, and that against lambdas."""
    frame = data.frame(PHASES).sort_values(["seed", "n_train", "dim"], ignore_index=True)
    per_input = 2 / frame["n_train"]
    frame = frame.assign(
        limit=(frame["limit_loss"] - frame["limit_averaged"]) * per_input,
        network=(frame["loss"] - frame["averaged"]) * per_input,
    )
    factors, largest, ranks, seen = [], [], [], 0
    for _, part in frame.groupby("seed"):
        limit, network, ratio = (part[name].to_numpy(np.float64) for name in ("limit", "network", "lambda_ratio"))
        alternates = limit >= _LEAST
        apart = np.abs(np.log(network[alternates] / limit[alternates]))
        factors.append(float(np.exp(apart.mean())))
        largest.append(float(np.exp(apart.max())))
        ranks.append(float(np.corrcoef(rankdata(limit), rankdata(ratio))[0, 1]))
        seen += len(apart)
    where = f"m = {highest(frame['width']):g}, {seen} of {len(frame)} settings and data sets"
    units = "data sets"
    found = (
        seeds_interval(factors, "factor", "exp of the mean |log ratio|", where, PHASES, units=units),
        seeds_interval(largest, "largest", "over settings of n and d", where, PHASES, units=units),
        seeds_interval(ranks, "rank", "Spearman's", f"{len(frame)} settings and data sets", PHASES, units=units),
    )
    return Evidence(
        found, {"alternating part": grouped(frame, ["n_train", "dim"], ["lambda_ratio", "limit", "network"])}
    )


PROOFS = (
    Proof(CLAIM_FLOOR, (_FLOORS,), evidence_floor),
    Proof(CLAIM_AGED, (_AGED,), evidence_aged),
    Proof(CLAIM_SPREAD, (*(f"spread-{name}" for name in _SPREADS), SPREADS), evidence_spread),
    Proof(CLAIM_PHASES, (PHASES,), evidence_phases),
)


def _of(frame: pd.DataFrame, one: FloorSetting) -> pd.DataFrame:
    return frame.loc[(frame["n_train"] == one.n_train) & (frame["dim"] == one.dim) & (frame["eta_rel"] == one.eta_rel)]


def _level(here: pd.DataFrame, share: float, source: str, measure: str, study: str) -> Measure:
    networks = here.loc[(here["source"] == "networks") & (here["share"] == share), "level"]
    process = here.loc[here["source"] == source, "level"]
    where = f"m = {highest(here['width']):g}, {len(process)} processes"
    return means_ratio(networks, process, measure, "mean m L of networks over that of the process", where, study)


def _levels(frame: pd.DataFrame, settings: tuple[FloorSetting, ...]) -> pd.DataFrame:
    parts = []
    for one in settings:
        here = _of(frame, one)
        for source in ("networks", "process", "carried"):
            for share in _TIMES:
                levels = here.loc[(here["source"] == source) & (here["share"] == share), "level"]
                if len(levels):
                    value, low, high = student_interval(levels.to_numpy(np.float64))
                    parts.append((one.n_train, one.dim, one.eta_rel, source, share, value, low, high, len(levels)))
    columns = ["n", "d", "eta_rel", "source", "share of steps", "m L", "low", "high", "count"]
    return pd.DataFrame(parts, columns=columns)


def _predicted(data: Data, setting: Setting) -> OutputSpread:
    every = data.frame(SPREADS)
    here = (every["task"] == setting.task) & (every["dim"] == setting.dim) & (every["n_train"] == setting.n_train)
    return OutputSpread(**{one.name: every.loc[here, one.name].to_numpy(np.float64) for one in fields(OutputSpread)})


def _outputs(frame: pd.DataFrame, precision: str, activity: str) -> dict[int, np.ndarray]:
    """Return test outputs by seed."""
    here = frame.loc[(frame["precision"] == precision) & (frame["activity"] == activity)]
    return {int(seed): np.asarray(f, np.float64) for seed, f in zip(here["seed"], here["test_outputs"], strict=True)}


def _root(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _spread(outputs: dict[int, np.ndarray], expected: float, measure: str, where: str, study: str) -> IntervalEstimate:
    """Return the standard deviation over networks, root mean square over inputs, over that which is expected."""
    every = np.stack([*outputs.values()])
    away = (every - every.mean(axis=0)) * math.sqrt(len(every) / (len(every) - 1))
    values = {seed: _root(f) for seed, f in zip(outputs, away, strict=True)}
    return _over(values, expected, measure, "standard deviation over networks", where, study)


def _over(
    values: dict[int, float], expected: float, measure: str, meaning: str, where: str, study: str
) -> IntervalEstimate:
    """Return the root mean square of one value a network over that which is expected."""
    shares = np.array([*values.values()]) / expected
    interval = root_mean_square_interval(shares)
    return estimated(measure, f"{meaning}, over predicted", interval, len(shares), where, study)
