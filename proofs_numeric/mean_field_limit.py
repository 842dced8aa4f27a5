r"""C11, C11-swing, C11-late, C11-gain, C11-pair, C11-frozen: the limit of wide 1-bit training, and its oscillation.

**C11.** At a fixed step the outputs f_t of a 1-bit network trained straight-through tend, as m grows, to a
deterministic limit F_t: a recursion with memory in which no width and no fitted constant occurs.

**Derivation.** `ntk1bit.kernels.mean_fields`: latent weights within reach of their threshold, O(sqrt m) of them, each a
relay whose force depends on the side that it is on. What is left over is the noise of which ones flip: sqrt m flips of
size 1/sqrt m scatter by m^-1/4.

**C11-swing.** In mid-training the limit itself oscillates with period two, so that no width cures it: the loss neither
falls with m nor, as an oscillation by one step would, as eta^2; the mean of two successive outputs, and a network
whose backward patterns are frozen at the start, which cannot stick, have far less of it.

**Why.** Weights that are driven towards their threshold from both sides stick there, and cross back and forth. The
layer of stuck weights is as wide as one step, eta norm(r), so that their number, and with it the gain by which a
residual is answered, goes as norm(R)/norm(r) and depends neither on eta nor on m. Where the gain along some direction
exceeds 2, the alternating mode grows, and phases lock.

**C11-gain.** The alternating mode grows until the gain along it (`ntk1bit.experiments.alternating_gains`) is about 2,
where it neither grows nor decays; by K_eff it would be less than 1.

**C11-late.** On inputs in general position the limit ages: the oscillation is a long transient of it. Afterwards the
loss of a network falls with width again.

**C11-pair.** On two opposite inputs with mean zero the oscillation never ends, and its size has a closed form
(`ntk1bit.kernels.opposite_pairs`): |A*| = (C |y_1 + y_2|/k)/(2 - eta K_eff(x, x)), of the size of the targets.

**C11-frozen.** With the patterns frozen at the start f_t is a function of R_t alone, and follows descent with K_eff:
the largest distance over all steps falls as m^-1/4.

**Experiment.** Settings (`mean_field_studies.SETTINGS`), eta_rel = 0.5, ``paired``, eight networks a width, m =
1024 to 65536, outputs at all steps; eta is eta_rel over each network's own lambda_max(H(0)), and in the limit over
that of the limit. Distances after ten steps. Losses are means over steps 81 to 120, and over 351 to 390 in C11-late;
at other rates over the same range of eta t. A loss at infinite width is extrapolated as a + b m^-1/2 over the three
widest widths, network by network of one seed: the squares of what scatters by m^-1/4.

C11 is judged on other networks than the rest, more of them, and at two settings more (`mean_field_studies.SIX`): eight
networks a width could not tell a loss to a tenth. The numbers, 160, 80 and four times 32, are from their scatter.
Extrapolations from the two widest widths were added when the data were there, and decide nothing: at n = 64, d = 32 the
three widest lie on a curve in m^-1/2, not on a line.

Of C11-pair: a network is captured from the first step after which r_1 - r_2 changes its sign 20 times in a row, until
the first at which it does not (`first_capture`). Amplitudes are means over the steps of that stretch at which r_1 + r_2
is at most a hundredth of y_1 + y_2: before, thresholds are still being swept together. Targets are 1 and 0.9, since
with equal ones the limit is still. Trial runs of four networks a setting (seeds 9001 to 9004) found 0.66 to 0.89 of
|A*| at m = 262144. An earlier rule, ten changes of sign before and after, with five networks, also counted later
stretches, which are shorter and partly captured, and could not tell.

Of C11-gain: steps 82 to 118, every fourth, in the three settings whose limit oscillates then. A trial run of one
network (seed 9100) had means of 1.6 to 1.9.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.claims import AtMost, Claim, Evidence, IntervalEstimate, IntervalWithin, Number
from ntk1bit.claims.evidence import Measure
from ntk1bit.claims.measures import against, exponent, means_ratio, seeds_interval
from ntk1bit.experiments.mean_fields import first_capture
from proofs_numeric.averaged_outputs import averaged_losses
from proofs_numeric.data import Data, grouped, highest, rows
from proofs_numeric.mean_field_studies import (
    ETA_REL,
    GAIN_STEPS,
    GAINS,
    LONG,
    RATES,
    SECOND,
    SETTINGS,
    SIX,
    Setting,
)
from proofs_numeric.proof import Proof

_AT, _MID, _LATE = 10, (81, 120), (351, 390)  # steps of distances, and of losses in mid-training and late
_PAIRS = tuple(itertools.product((8, 16, 32), (0.25, 0.5)))
_GAINING = ("sphere16", "sphere32", "digits")
_NAMES = tuple(setting.name for setting in SETTINGS)
_ALL = tuple(setting.name for setting in SIX)
_STEPS, _NEAR = (1, 10, 30, 100), 0.05  # outputs that are held against the limit's, and how near is near enough
_SETTLED = 0.01  # r_1 + r_2 over y_1 + y_2, after which thresholds are no longer swept together
_LASTING = (
    "sphere16",
    "sphere32",
    "digits",
    "sphere32wide",
)  # settings whose limit oscillates in mid-training, as trial runs had it
_FIELDS, _OPPOSITE = "mean-fields", "opposite-inputs"

CLAIM = Claim(
    id="C11",
    title="wide 1-bit training has a limit with memory",
    statement="At fixed steps the outputs of 1-bit networks tend to those of a deterministic recursion with memory, "
    "which has no fitted constant; so does the loss in mid-training.",
    source="ours",
    assumptions="paired start, six settings, n = 16 to 128, d = 16 to 256; losses extrapolated in m^-1/2.",
    refuted_by="a distance after ten steps that falls more slowly than m^-0.2; a loss in mid-training off the "
    "recursion's by more than a tenth, or, where that has fallen to 0 (d = 64 and 256), one that falls more slowly "
    "than m^-0.5",
    criteria=(
        *(IntervalWithin(f"distance.m.{name}", high=-0.2) for name in _ALL),
        *(IntervalWithin(f"loss.over_limit.{name}", 0.9, 1.1) for name in _LASTING),
        *(IntervalWithin(f"loss.m.{name}", high=-0.5) for name in _ALL if name not in _LASTING),
    ),
    context=(
        *(IntervalWithin(f"averaged.over_limit.{name}", 0.9, 1.1) for name in _LASTING),
        *(IntervalWithin(f"loss.two_widest.{name}", 0.9, 1.1) for name in _LASTING),
        *(AtMost(f"outputs.off.{name}", 0.1) for name in _ALL),
    ),
    labels={
        **{f"distance.m.{name}": f"exponent of the distance to the limit, {name}" for name in _ALL},
        **{f"loss.over_limit.{name}": f"loss in mid-training over the limit's, {name}" for name in _LASTING},
        **{f"averaged.over_limit.{name}": f"the same of two averaged outputs, {name}" for name in _LASTING},
        **{f"loss.two_widest.{name}": f"the same from the two widest widths, {name}" for name in _LASTING},
        **{f"loss.m.{name}": f"exponent of the loss in mid-training, {name}" for name in _ALL if name not in _LASTING},
        **{f"outputs.off.{name}": f"share of outputs off the limit, {name}" for name in _ALL},
    },
    ranges="-0.2, four fifths of the -1/4 of flip noise, and -0.5, twice that, of a loss whose limit is 0; a tenth, "
    "the error in the loss of outputs off by a twentieth; outputs: twice the share of 5 % that lies more than two "
    "standard errors away if nothing is off",
)
CLAIM_SWING = Claim(
    id="C11-swing",
    title="width does not cure the oscillation",
    statement="In mid-training the loss of 1-bit networks is that of an oscillation of period two, which does not "
    "shrink with width, nor with the rate as one of the size of a step.",
    source="ours",
    assumptions=f"paired start, {LONG.words}; steps 81 to 120 at eta_rel = 0.5, or the same eta x steps.",
    refuted_by="an exponent of the loss in m outside [-0.1, 0.1], one in eta outside [-0.5, 0.5], or averaging two "
    "outputs, or frozen patterns, that leave more than three tenths of it",
    criteria=(
        IntervalWithin("loss.m", -0.1, 0.1),
        IntervalWithin("loss.eta", -0.5, 0.5),
        IntervalWithin("averaged.share", high=0.3),
        IntervalWithin("frozen.share", high=0.3),
    ),
    labels={
        "loss.m": "exponent of the loss in m",
        "loss.eta": "exponent of the loss in eta",
        "limit.eta": "exponent of the limit's loss in eta",
        "averaged.share": "loss of two averaged outputs over that of one",
        "frozen.share": "loss with frozen patterns over that without",
        "autocorrelation": "lag-one autocorrelation of f - y in time",
        "sticking": "share of weights near thresholds that stick",
        "near": "density at thresholds over that at the start",
    },
    ranges="0 is the limit's own; 0.1 and 0.3 our reading of 'does not' and 'most of'; an oscillation by one step has "
    "a loss as eta^2, of whose exponent 0.5 is a quarter",
)
CLAIM_LATE = Claim(
    id="C11-late",
    title="later, width cures the oscillation",
    statement="After the limit's oscillation has passed, the loss of 1-bit networks falls with width again.",
    source="ours",
    assumptions=f"paired start, {LONG.words}, eta_rel = 0.5; steps 351 to 390.",
    refuted_by="an exponent of the loss in m above -0.2, or a limit that has lost less than half of its loss since "
    "steps 81 to 120",
    criteria=(IntervalWithin("late.m", high=-0.2), IntervalWithin("late.limit", high=0.5)),
    labels={
        "late.m": "exponent of the late loss in m",
        "late.limit": "the limit's late loss over that in mid-training",
    },
    ranges="-0.2, two fifths of the m^-1/2 of flip noise in the loss; one half, our reading of 'has passed'",
)
CLAIM_GAIN = Claim(
    id="C11-gain",
    title="the oscillation settles where the gain is 2",
    statement="In mid-training 1-bit networks answer a residual along the direction in which their outputs alternate "
    "by about twice what it is, several times what K_eff says.",
    source="ours",
    assumptions="paired start, eta_rel = 0.5, the widest networks; steps 82 to 118 of three settings.",
    refuted_by="a gain outside [1.5, 2.5], or one that is less than three times K_eff's",
    criteria=(
        *(IntervalWithin(f"gain.{name}", 1.5, 2.5) for name in _GAINING),
        *(IntervalWithin(f"gain.over_k_eff.{name}", low=3.0) for name in _GAINING),
    ),
    labels={
        **{f"gain.{name}": f"gain along the alternating direction, {name}" for name in _GAINING},
        **{f"gain.over_k_eff.{name}": f"that gain over K_eff's, {name}" for name in _GAINING},
        **{f"gain.early.{name}": f"gain over K_eff's at step {GAIN_STEPS[0]}, {name}" for name in _GAINING},
        **{f"gain.m.{name}": f"exponent of the gain in m, {name}" for name in _GAINING},
    },
    ranges="2, where a mode neither grows nor decays; a quarter, our reading of 'about'; three, of 'several'",
)
CLAIM_PAIR = Claim(
    id="C11-pair",
    title="two opposite inputs: a lasting oscillation",
    statement="On two opposite inputs with mean zero the residuals of a wide 1-bit network alternate by the closed "
    "form |A*|, of the size of the targets, over the stretches where they alternate.",
    source="ours",
    assumptions="paired start, targets 1 and 0.9, the widest networks.",
    refuted_by="an amplitude off the closed form by more than a twentieth, or a recursion off it by more than a "
    "hundredth",
    criteria=(
        *(IntervalWithin(f"amplitude.d{dim}.{rate:g}", 0.95, 1.05) for dim, rate in _PAIRS),
        AtMost("recursion.off", 0.01),
    ),
    labels={
        **{f"amplitude.d{dim}.{rate:g}": f"|A| over |A*|, d = {dim}, eta_rel = {rate:g}" for dim, rate in _PAIRS},
        "recursion.off": "|A| of the recursion off |A*|, largest share",
        "capture.m": "exponent in m of the first captured amplitude over |A*|",
        "lifetime.m": "exponent in m of the steps until the first lapse",
    },
    ranges="a twentieth is left for incomplete capture and the noise of m^-1/4; a hundredth for what the recursion "
    "does not capture",
)
CLAIM_FROZEN = Claim(
    id="C11-frozen",
    title="frozen patterns: training follows K_eff",
    statement="With backward patterns frozen at the start, the largest distance over all steps of a 1-bit network's "
    "outputs to descent with K_eff falls as m^-1/4.",
    source="ours",
    assumptions="paired start, eta_rel = 0.5, four settings; all steps to 120, or 400 where d = 16.",
    refuted_by="an exponent of the largest distance above -0.2",
    criteria=tuple(IntervalWithin(f"largest.m.{name}", high=-0.2) for name in _NAMES),
    labels={
        **{f"largest.m.{name}": f"exponent of the largest distance, {name}" for name in _NAMES},
        **{f"largest.{name}": f"largest distance times m^1/4 at the widest, {name}" for name in _NAMES},
    },
    ranges="-0.2, four fifths of the -1/4 of flip noise",
)


def evidence(data: Data) -> Evidence:
    """Hold outputs after ten steps and losses in mid-training against the limit."""
    measures: list[Measure] = []
    tables = []
    for setting in SIX:
        name, study, window = setting.name, f"limit-fresh-{setting.name}", _window(setting.eta_rel)
        frame = _networks(data, study)
        limit = _limit(data, setting, rate=setting.eta_rel)
        one = against(_distances(frame, limit), "width", "distance", meaning=f"distance to the limit at step {_AT}")
        measures.append(exponent(one, f"distance.m.{name}", study))
        losses = _losses(frame, window)
        of = f"mean loss over steps {window[0]} to {window[1]}"
        if name in _LASTING:
            ends = _limit_losses(limit, window)
            measures += [
                _over_limit(losses, ends, column, of, f"{column}.over_limit.{name}", study)
                for column in ("loss", "averaged")
            ]
            measures.append(_over_limit(losses, ends, "loss", of, f"loss.two_widest.{name}", study, widths=2))
        else:
            measures.append(exponent(against(losses, "width", "loss", meaning=of), f"loss.m.{name}", study))
        measures.append(_outputs_off(frame, limit, f"outputs.off.{name}", study))
        by_width = grouped(losses, ["width"], ["loss", "averaged"])
        ends = _limit_losses(limit, window).mean(numeric_only=True)
        last = pd.DataFrame({"width": [math.nan], "loss": [ends["loss"]], "averaged": [ends["averaged"]]})
        both = pd.concat([rows(by_width, which="networks"), rows(last, which="limit")], ignore_index=True)
        tables.append(rows(both, setting=name))
    return Evidence(tuple(measures), {"loss in mid-training": pd.concat(tables, ignore_index=True)})


def evidence_swing(data: Data) -> Evidence:
    """Judge how the loss in mid-training goes with width and rate, and what averaging and freezing leave of it."""
    study = f"limit-{LONG.name}"
    frame, limit = _networks(data, study), _limit(data, LONG)
    losses = _losses(frame, _MID)
    last = losses.loc[losses["width"] == highest(losses["width"])]
    all_frozen = _networks(data, study, "frozen")
    frozen = _losses(all_frozen.loc[all_frozen["width"] == highest(all_frozen["width"])], _MID)
    by_rate = [losses.assign(eta_rel=ETA_REL)] + [
        _losses(_networks(data, f"limit-rate-{rate:g}"), _window(rate)).assign(eta_rel=rate)
        for rate in RATES
        if rate != ETA_REL
    ]
    of_limit = [_limit_losses(_limit(data, LONG, rate=rate), _window(rate)).assign(eta_rel=rate) for rate in RATES]
    width = min(highest(one["width"]) for one in by_rate)
    at_rates = pd.concat([one.loc[one["width"] == width] for one in by_rate])
    where = f"m = {last['width'].iloc[0]}"
    of = "mean loss over steps 81 to 120"
    in_limit = against(pd.concat(of_limit), "eta_rel", "loss", meaning=f"the limit's {of}")
    left = frozen["loss"].to_numpy() / last["loss"].to_numpy()
    return Evidence(
        (
            exponent(against(losses, "width", "loss", meaning=of), "loss.m", study),
            exponent(against(at_rates, "eta_rel", "loss", meaning=f"{of}, m = {width:g}"), "loss.eta", "limit-rate-*"),
            exponent(in_limit, "limit.eta", _FIELDS),
            seeds_interval(last["averaged"] / last["loss"], "averaged.share", "of two averaged outputs", where, study),
            seeds_interval(left, "frozen.share", "networks of one seed", where, study),
            seeds_interval(last["autocorrelation"], "autocorrelation", "over steps 81 to 120", where, study),
            Number("sticking", "mean over steps 81 to 120, the limit's", _mean_between(limit, "sticking"), "", _FIELDS),
            Number("near", f"after {_steps(limit)} steps, the limit's", highest(limit["near_threshold"]), "", _FIELDS),
        ),
        {
            "loss against time": _curves(frame, all_frozen, limit),
            "loss against rate": grouped(at_rates, ["eta_rel"], ["loss", "averaged"]),
        },
    )


def evidence_late(data: Data) -> Evidence:
    """Judge how the loss goes with width once the limit's oscillation has passed."""
    study = f"limit-{LONG.name}"
    late, limit = _losses(_networks(data, study), _LATE), _limit(data, LONG)
    share = _limit_losses(limit, _LATE)["loss"] / _limit_losses(limit, _MID)["loss"]
    one = against(late, "width", "loss", meaning="mean loss over steps 351 to 390")
    return Evidence(
        (
            exponent(one, "late.m", study),
            seeds_interval(
                share, "late.limit", "replicates of the recursion", "m = infinity", _FIELDS, units="replicates"
            ),
        ),
        {"late loss": one.table},
    )


def evidence_gain(data: Data) -> Evidence:
    """Judge the gain along the alternating direction in mid-training, beside that of K_eff."""
    frame = data.frame(GAINS)
    frame = frame.assign(ratio=frame["gain"] / frame["by_kernel"])
    measures: list[Measure] = []
    tables = []
    for setting in SETTINGS:
        here = (frame["task"] == setting.task) & (frame["dim"] == setting.dim) & (frame["n_train"] == setting.n_train)
        every = frame.loc[here]
        tables.append(rows(grouped(every, ["width", "step"], ["gain", "by_kernel", "change"]), setting=setting.name))
        if setting.name not in _GAINING:
            continue
        widest = every.loc[every["width"] == highest(every["width"])]
        where = f"m = {highest(every['width']):g}"
        late = grouped(_between(widest, _MID), ["seed"], ["gain", "ratio"])
        early = grouped(widest.loc[widest["step"] == GAIN_STEPS[0]], ["seed"], ["ratio"])
        span = f"{where}, mean over steps {_MID[0]} to {_MID[1]}"
        of = "along the last change of outputs"
        one = against(_between(every, _MID), "width", "gain", meaning=of)
        measures += [
            seeds_interval(late["gain"], f"gain.{setting.name}", of, span, GAINS),
            seeds_interval(late["ratio"], f"gain.over_k_eff.{setting.name}", of, span, GAINS),
            seeds_interval(early["ratio"], f"gain.early.{setting.name}", of, where, GAINS),
            exponent(one, f"gain.m.{setting.name}", GAINS),
        ]
    return Evidence(tuple(measures), {"gain": pd.concat(tables, ignore_index=True)})


def evidence_pair(data: Data) -> Evidence:
    """Hold the amplitude over the first captured stretch against the closed form."""
    frame = data.frame(_OPPOSITE)
    found = []
    for _, cell in frame.sort_values("step").groupby(["dim", "eta_rel", "width", "seed"]):
        apart, total = (cell[name].to_numpy(np.float64) for name in ("apart", "total"))
        first, end = first_capture(apart)
        stretch = slice(first, end + 1 if end else 0)
        settled = np.abs(apart[stretch])[np.abs(total[stretch]) <= _SETTLED * (1 + SECOND)]
        found.append(
            cell.iloc[0][["dim", "eta_rel", "width", "seed", "amplitude", "recursion"]].to_dict()
            | {
                "lifetime": float(end - first),
                "ratio": float(settled.mean()) / cell["amplitude"].iloc[0] if len(settled) else math.nan,
                "lasting": float(end == len(apart) - 1),
            }
        )
    every = pd.DataFrame(found)
    last = every.loc[every["width"] == highest(every["width"])]
    measures: list[Measure] = []
    for dim, rate in _PAIRS:
        there = last.loc[(last["dim"] == dim) & (last["eta_rel"] == rate)]
        where = f"m = {highest(last['width']):g}, {there['lasting'].mean():.0%} captured to the end"
        meaning = "mean |A| over the first captured stretch over |A*|, no fitted constant"
        measures.append(seeds_interval(there["ratio"], f"amplitude.d{dim}.{rate:g}", meaning, where, _OPPOSITE))
    share = against(every, "width", "ratio", meaning="|A| over |A*| of the first stretch, mean over d and rates")
    lasted = against(every, "width", "lifetime", meaning="steps of the first stretch, those cut off by the end as such")
    off = highest((every["recursion"] / every["amplitude"] - 1).abs())
    return Evidence(
        (
            *measures,
            Number("recursion.off", "over d and rates", off, "", _OPPOSITE),
            exponent(share, "capture.m", _OPPOSITE),
            exponent(lasted, "lifetime.m", _OPPOSITE),
        ),
        {
            "amplitude": grouped(
                every, ["dim", "eta_rel", "width"], ["amplitude", "recursion", "ratio", "lifetime", "lasting"]
            ),
        },
    )


def evidence_frozen(data: Data) -> Evidence:
    """Measure the largest distance to K_eff's descent of networks with frozen patterns."""
    measures: list[Measure] = []
    tables = []
    for setting in SETTINGS:
        name, study = setting.name, f"limit-{setting.name}"
        away = _distances(_networks(data, study, "frozen"), _limit(data, setting, "frozen"), largest=True)
        one = against(away, "width", "distance", meaning="largest distance to K_eff's descent over all steps")
        measures.append(exponent(one, f"largest.m.{name}", study))
        last = away.loc[away["width"] == highest(away["width"])]
        scaled = last["distance"] * last["width"] ** 0.25
        measures.append(seeds_interval(scaled, f"largest.{name}", "times m^1/4", f"m = {last['width'].iloc[0]}", study))
        tables.append(rows(one.table, setting=name))
    return Evidence(tuple(measures), {"largest distance": pd.concat(tables, ignore_index=True)})


_NETWORKS = tuple(f"limit-{name}" for name in _NAMES)
_FRESH = tuple(f"limit-fresh-{name}" for name in _ALL)
_AT_RATES = tuple(f"limit-rate-{rate:g}" for rate in RATES if rate != ETA_REL)
PROOFS = (
    Proof(CLAIM, (*_FRESH, _FIELDS), evidence),
    Proof(CLAIM_SWING, (_NETWORKS[0], *_AT_RATES, _FIELDS), evidence_swing),
    Proof(CLAIM_LATE, (_NETWORKS[0], _FIELDS), evidence_late),
    Proof(CLAIM_GAIN, (GAINS,), evidence_gain),
    Proof(CLAIM_PAIR, (_OPPOSITE,), evidence_pair),
    Proof(CLAIM_FROZEN, (*_NETWORKS, _FIELDS), evidence_frozen),
)


def _networks(data: Data, study: str, activity: str = "straight_through") -> pd.DataFrame:
    """Return the networks of a study with one activity, with their outputs."""
    frame = data.frame(study, also=("outputs",))
    return frame.loc[frame["activity"] == activity].sort_values(["width", "seed", "step"], ignore_index=True)


def _limit(data: Data, setting: Setting, activity: str = "straight_through", *, rate: float = ETA_REL) -> pd.DataFrame:
    """Return the replicates of the limit of a setting at a rate."""
    frame = data.frame(_FIELDS)
    here = (frame["task"] == setting.task) & (frame["dim"] == setting.dim) & (frame["n_train"] == setting.n_train)
    return frame.loc[here & (frame["activity"] == activity) & (frame["eta_rel"] == rate)]


def _window(rate: float) -> tuple[int, int]:
    """Return the steps of mid-training at a rate: the same range of eta t as steps 81 to 120 at eta_rel = 0.5."""
    return round(80 * ETA_REL / rate) + 1, round(_MID[1] * ETA_REL / rate)


def _steps(frame: pd.DataFrame) -> int:
    return int(highest(frame["step"]))


def _between(frame: pd.DataFrame, window: tuple[int, int]) -> pd.DataFrame:
    return frame.loc[(frame["step"] >= window[0]) & (frame["step"] <= window[1])]


def _mean_between(limit: pd.DataFrame, column: str) -> float:
    return float(np.nanmean(_between(limit, _MID)[column].to_numpy(np.float64)))


def _outputs(frame: pd.DataFrame) -> Float[np.ndarray, "rows n"]:
    return np.stack([np.asarray(one, np.float64) for one in frame["outputs"]])


def _distances(frame: pd.DataFrame, limit: pd.DataFrame, *, largest: bool = False) -> pd.DataFrame:
    """Return the root mean square distance over inputs of each network to the limit, at step 10 or the largest."""
    by_step = {int(str(step)): _outputs(part).mean(axis=0) for step, part in limit.groupby("step")}
    kept = frame if largest else frame.loc[frame["step"] == _AT]
    apart = _outputs(kept) - np.stack([by_step[step] for step in kept["step"]])
    away = kept[["width", "seed"]].assign(distance=np.sqrt((apart**2).mean(axis=1)))
    return grouped(away, ["width", "seed"], ["distance"], "max")


def _losses(frame: pd.DataFrame, window: tuple[int, int]) -> pd.DataFrame:
    """Return of each network, over a window of steps, the mean loss of outputs and of means of two, and how they turn.

    The autocorrelation is that of f_t less its mean over the window.
    """
    found = []
    for _, cell in _between(frame, window).groupby(["width", "seed"]):
        width, seed = cell["width"].iloc[0], cell["seed"].iloc[0]
        f, loss = _outputs(cell), cell["loss"].to_numpy(np.float64)
        averaged = averaged_losses(f, loss, 2)
        away = f - f.mean(axis=0)
        turns = float((away[1:] * away[:-1]).sum() / (away**2).sum()) if (f != f[0]).any() else math.nan
        found.append((width, seed, loss.mean(), averaged.mean(), turns))
    return pd.DataFrame(found, columns=["width", "seed", "loss", "averaged", "autocorrelation"])


def _limit_losses(limit: pd.DataFrame, window: tuple[int, int]) -> pd.DataFrame:
    """Return the same losses of each replicate of the limit."""
    return grouped(_between(limit, window), ["seed"], ["loss", "averaged"])


def _widest_of(frame: pd.DataFrame, widths: int = 3) -> pd.DataFrame:
    return frame.loc[frame["width"].isin(sorted(set(frame["width"]))[-widths:])]


def _outputs_off(frame: pd.DataFrame, limit: pd.DataFrame, measure: str, study: str) -> Number:
    """Return the share of outputs, at four steps, that are off the limit's by more than a twentieth and two errors.

    Outputs are extrapolated to infinite width as a + b m^-1/2, seed by seed; their error is that of the mean of seeds,
    and a twentieth is of the root mean square of the limit's outputs at that step.
    """
    beyond = []
    for step in _STEPS:
        there = _outputs(limit.loc[limit["step"] == step])
        ends = []
        for _, cell in _widest_of(frame.loc[frame["step"] == step]).groupby("seed"):
            ends.append(np.polyfit(cell["width"].to_numpy(np.float64) ** -0.5, _outputs(cell), 1)[1])
        mean, target = np.mean(ends, axis=0), there.mean(axis=0)
        error = np.std(ends, axis=0, ddof=1) / math.sqrt(len(ends))
        near = np.maximum(_NEAR * math.sqrt(np.mean(target**2)), 2 * error)
        beyond.append(np.abs(mean - target) > near)
    every = np.concatenate(beyond)
    meaning = f"of {len(every)} outputs at steps {', '.join(map(str, _STEPS))}, extrapolated as a + b m^-1/2"
    return Number(measure, meaning, float(every.mean()), "m to infinity", study)


def _over_limit(
    losses: pd.DataFrame, limit: pd.DataFrame, column: str, of: str, measure: str, study: str, *, widths: int = 3
) -> IntervalEstimate:
    """Extrapolate a loss to infinite width, seed by seed, and divide by the limit's; both errors in quadrature."""
    three = _widest_of(losses, widths)
    ends = [
        float(np.polyfit(cell["width"].to_numpy(np.float64) ** -0.5, cell[column].to_numpy(np.float64), 1)[1])
        for _, cell in three.groupby("seed")
    ]
    meaning = f"{of}, extrapolated as a + b m^-1/2, over the limit's"
    span = f"m = {min(three['width'])}..{max(three['width'])}"
    return means_ratio(ends, limit[column], measure, meaning, span, study)


def _curves(frame: pd.DataFrame, frozen: pd.DataFrame, limit: pd.DataFrame) -> pd.DataFrame:
    """Return mean losses against time of every width, of frozen patterns at the widest, and of the limit."""
    last = frozen.loc[frozen["width"] == highest(frozen["width"])]
    parts = [
        rows(grouped(frame, ["width", "step"], ["loss"]), which="networks"),
        rows(grouped(last, ["width", "step"], ["loss"]), which="frozen"),
        rows(grouped(limit, ["step"], ["loss"]).assign(width=math.nan), which="limit"),
    ]
    every = pd.concat(parts, ignore_index=True)
    kept = sorted({*range(20), *range(20, _steps(frame) + 1, 4)})
    return every.loc[every["step"].isin(kept)].reset_index(drop=True)
