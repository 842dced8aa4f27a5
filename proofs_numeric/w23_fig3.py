"""W23-law, W23-gap, W23-cost: what W23 says of its Fig. 3, held against the points that it draws there.

**W23-law.** The losses of BitNet follow L(N) = a N^b + c (Eq. 19), so that small models predict large ones (section
3.2).

**W23-gap.** The gap between BitNet and full precision shrinks as models grow (section 3.2).

**W23-cost.** BitNet reaches the loss of full precision with less energy, and with the same energy a lower loss.

**Derivation.** None is given in W23. What follows from its Eq. 19: where both arms have laws with offsets c, the gap
tends to the difference of the offsets, and vanishes only if that is 0. At an offset above that of full precision, the
full-precision model of equal loss stops growing while BitNet grows: the bits of full precision that a 1-bit weight is
worth, 16 N_full(L)/N, then fall towards 0 however small the gap is.

**Experiment.** None: eight losses of BitNet and six of full precision, with their energies, read off the curves of
Fig. 3 (`ntk1bit/estimators/published_results.csv`), N being the 12 layers d^2 weights of the linear maps in W23's Table
5. The law is fitted as everywhere here (docs/scaling.md) to the six sizes that both arms have, and held against 13B and
30B. It has to miss them by no more than C6 allows our own networks, and, as a loss that has nearly stopped falling is
easy to miss by little, by at most half of what the loss fell by since the largest size fitted. There is one network a
size, and no seeds. Intervals of laws draw the sizes anew: they say how far a law depends on which sizes there are,
where its distances to the points are independent of each other, and hold the truth in 98 % of made-up tables of this
kind. The exponent of the gap leaves out one size at a time. How far another network of the same size would lie nobody
can say from these points. A loss is read to 0.0005 bits, so a gap that rises by more than 0.002 is no error of
reading. Between sizes, the logarithm of a cost is interpolated linearly in the loss.

**What was known.** The points are printed, and a fit to them had been seen, before these rules were written: they are
rules that could fail, not rules that were blind.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ntk1bit.claims import AtMost, Claim, Count, Evidence, IntervalEstimate, IntervalWithin, NoFailures, Number
from ntk1bit.claims.evidence import Measure
from ntk1bit.claims.measures import estimated
from ntk1bit.estimators.published_results import (
    ARMS,
    SHARED,
    arm_points,
    at_equal_cost,
    at_equal_loss,
    bits_equivalent,
    counted_joules,
    fit_law,
    gaps,
    losses,
)
from ntk1bit.scaling import Fit
from ntk1bit.scaling.comparison import parameter_differences
from ntk1bit.statistics import cluster_slope
from proofs_numeric.c6_bitnet import HELD_OUT_ERROR
from proofs_numeric.data import Data, highest, rows
from proofs_numeric.proof import Proof

_STUDY = "published"
_SIZES = "sizes, one network each"
_HELD_OUT = ("13B", "30B")
_WORDS = {"bitnet": "BitNet", "full": "full precision"}
_OF_LAW = {"b": ("alpha", -1.0), "c": ("E", 1.0)}  # W23's letters, our parameters and the sign between them
_SEEDS = {"bitnet": 0, "full": 1}  # of replicates, so that those of both arms are independent
MISSED_SHARE = 0.5  # of the fall of the loss since the largest size fitted
_COUNTINGS = {"exact": ("exact", False), "exact-wide": ("exact", True)}

CLAIM_LAW = Claim(
    id="W23-law",
    title="a law of W23's small BitNets predicts its large ones",
    statement="The losses of BitNet at 125M to 6.7B in W23's Fig. 3 follow L(N) = a N^b + c with b < 0, and this law "
    "predicts those at 13B and 30B.",
    source="W23, Fig. 3, Eq. 19",
    assumptions="one network a size, no seeds; losses as drawn, in bits per token; N without embeddings.",
    refuted_by="an exponent that is not below 0, or 13B or 30B missed by more than 2 % of the loss or half of its fall",
    criteria=(
        IntervalWithin("law.b.bitnet", high=0.0),
        *(AtMost(f"missed.{size.lower()}", HELD_OUT_ERROR) for size in _HELD_OUT),
        *(IntervalWithin(f"missed.{size.lower()}.fall", -MISSED_SHARE, MISSED_SHARE) for size in _HELD_OUT),
    ),
    context=(
        AtMost("missed.over_power", 1.0),
        AtMost("missed.13b.fall.called", MISSED_SHARE),
        IntervalWithin("difference.b", low=-0.1, high=0.1),
        IntervalWithin("difference.c", low=0.0),
    ),
    labels={
        **{f"law.{name}.{arm}": f"{name} of {words}" for name in _OF_LAW for arm, words in _WORDS.items()},
        **{f"law.{name}.every": f"{name} of BitNet, all eight sizes" for name in _OF_LAW},
        **{f"missed.{size.lower()}": f"error of the predicted loss at {size}" for size in _HELD_OUT},
        **{
            f"missed.{size.lower()}.fall": f"predicted minus drawn at {size} over the fall of the loss since 6.7B"
            for size in _HELD_OUT
        },
        "missed.13b.fall.called": "error at 13B over that fall, N as the sizes are called",
        "missed.over_power": "error of both predictions over that of a law without c",
        "difference.b": "b of BitNet minus b of full precision",
        "difference.c": "c of BitNet minus c of full precision",
    },
    ranges="2 % as in C6; half of the fall, more than which is no prediction of it",
)
CLAIM_GAP = Claim(
    id="W23-gap",
    title="the gap between W23's own losses shrinks with size",
    statement="The gap between the losses of BitNet and of full precision in W23's Fig. 3 falls with N.",
    source="W23, Fig. 3, section 3.2",
    assumptions="one network a size, no seeds, so that a single rise cannot be told from chance; sizes 125M to 6.7B.",
    refuted_by="a gap whose exponent in N is above 0",
    criteria=(IntervalWithin("gap.size", high=0.0),),
    context=(
        NoFailures("gap.rises", len(SHARED) - 1),
        AtMost("gap.size.flattest", 0.0),
        IntervalWithin("gap.relative.size", high=0.0),
        IntervalWithin("gap.beyond", high=1.0),
    ),
    labels={
        "gap.size": "exponent of the gap in N",
        "gap.size.flattest": "largest exponent of the gap with one size left out",
        "gap.relative.size": "exponent of the relative gap in N",
        "gap.rises": "steps to the next size at which the gap rises",
        "gap.beyond": "gap of BitNet at 30B to the law of full precision, over the gap at 6.7B",
    },
    ranges="0 is no change",
)
CLAIM_COST = Claim(
    id="W23-cost",
    title="W23's BitNet takes less energy for the same loss",
    statement="For each loss of full precision in W23's Fig. 3 that BitNet reaches, BitNet takes less energy; for each "
    "energy of full precision in BitNet's range, it has the lower loss.",
    source="W23, Fig. 3",
    assumptions="energies as W23 draws them (7 nm, arithmetic only); BitNet between its sizes by interpolation.",
    refuted_by="one loss of full precision at which BitNet takes more energy, or one energy at which it has more loss",
    criteria=(AtMost("equal_loss.energy", 1.0), AtMost("equal_energy.loss", 0.0)),
    context=(
        *(AtMost(f"equal_loss.{name}", 1.0) for name in _COUNTINGS),
        AtMost("equal_loss.parameters", 1.0),
        IntervalWithin("bits.smallest", low=1.0),
        IntervalWithin("bits.largest", low=1.0),
        IntervalWithin("bits.size", low=0.0),
    ),
    labels={
        "equal_loss.energy": "energy at equal loss, BitNet / FP16",
        "equal_loss.exact": "energy at equal loss, everything counted",
        "equal_loss.exact-wide": "energy at equal loss, everything counted, sums in 32 bits",
        "equal_loss.parameters": "parameters at equal loss, BitNet / FP16",
        "equal_energy.loss": "loss at equal energy, BitNet minus FP16",
        "bits.smallest": "bits of FP16 that a weight of the smallest comparable BitNet is worth",
        "bits.largest": "bits of FP16 that a weight of the largest BitNet is worth",
        "bits.size": "exponent in N of the bits that a weight is worth",
    },
    ranges="1 and 0 are no difference",
)


def evidence_law(_: Data) -> Evidence:
    """Fit both arms at the sizes they share, and hold BitNet's law against its larger sizes."""
    points = losses()
    fits = _fits(points)
    one, full = (fits[arm] for arm in ARMS)
    every = fit_law(arm_points(points, "bitnet"))
    measures: list[Measure] = [_parameter(fits[arm], name, arm) for name in _OF_LAW for arm in ARMS]
    measures += [_parameter(every, name, "every") for name in _OF_LAW]
    small = arm_points(points, "bitnet", SHARED)
    large = arm_points(points, "bitnet", _HELD_OUT)
    straight = fit_law(small, law="power")
    last = float(small["loss"].iloc[-1])
    off, off_straight = (fit.predict(large) - large["loss"].to_numpy() for fit in (one, straight))
    span, about = f"fitted to BitNet {SHARED[0]}..{SHARED[-1]}", f"over |loss at {SHARED[-1]} - loss|; sizes drawn anew"
    for size, miss, loss, band in zip(
        large["size"], np.abs(off), large["loss"], one.band(large).to_dict("records"), strict=True
    ):
        name, fall = f"missed.{str(size).lower()}", abs(last - loss)
        value, low, high = ((float(band[end]) - loss) / fall if fall else math.nan for end in ("loss", "low", "high"))
        measures += [
            Number(name, "|predicted over drawn - 1|", float(miss / loss), span, _STUDY),
            _over_sizes(f"{name}.fall", f"predicted minus drawn {about}", (value, low, high), len(small), span),
        ]
    measures.append(_as_called(points))
    meaning = "root mean square error in bits at 13B and 30B, of a N^b + c over that of a N^b"
    over = float(np.sqrt(np.sum(off**2) / np.sum(off_straight**2)))
    measures.append(Number("missed.over_power", meaning, over, span, _STUDY))
    differences = parameter_differences(one, full)
    for name, (ours, sign) in _OF_LAW.items():
        value, low, high = (float(differences.loc[ours, end]) for end in ("difference", "low", "high"))
        interval = (value, low, high) if sign > 0 else (-value, -high, -low)
        meaning = f"{'exponents' if name == 'b' else 'bits'}; the sizes of each arm drawn anew for itself"
        measures.append(_over_sizes(f"difference.{name}", meaning, interval, len(SHARED)))
    laws = [
        rows(_law_table(fit), arm=_WORDS[arm], fitted_to=to, N=counting)
        for arm, fit, to, counting in (
            ("bitnet", one, f"{SHARED[0]}..{SHARED[-1]}", "12 layers d^2"),
            ("full", full, f"{SHARED[0]}..{SHARED[-1]}", "12 layers d^2"),
            ("bitnet", every, "125M..30B", "12 layers d^2"),
            *((arm, _nominal(points, arm), f"{SHARED[0]}..{SHARED[-1]}", "as the size is called") for arm in ARMS),
        )
    ]
    shown = points.assign(predicted=np.concatenate([fits[arm].predict(arm_points(points, arm)) for arm in ARMS]))
    return Evidence(tuple(measures), {"points": shown, "laws": pd.concat(laws, ignore_index=True)}, _cautions(fits))


def evidence_gap(_: Data) -> Evidence:
    """Estimate the exponent of the gap over sizes, count its rises, and continue it by the laws."""
    points = losses()
    fits = _fits(points)
    found = gaps(points)
    span = f"{found['size'].iloc[0]}..{found['size'].iloc[-1]}"
    measures: list[Measure] = []
    for column, name, words in (("gap", "gap.size", "gap in bits"), ("relative", "gap.relative.size", "relative gap")):
        interval, sizes = _slope(found["billions"], found[column])
        measures.append(_over_sizes(name, f"exponent in N of the {words}, leaving out a size", interval, sizes, span))
    without = [found.drop(index=place) for place in found.index]
    flattest = max(_slope(part["billions"], part["gap"])[0][0] for part in without)
    rises = int(np.sum(np.diff(found["gap"]) > 0))
    measures += [
        Number("gap.size.flattest", "exponent in N of the gap, over the choice of the size", flattest, span, _STUDY),
        Count("gap.rises", "steps at which the gap is larger than before", rises, len(found) - 1, span, _STUDY),
    ]
    largest = arm_points(points, "bitnet").tail(1)
    band = fits["full"].band(largest).iloc[0]
    at, last = float(largest["loss"].iloc[0]), float(found["gap"].iloc[-1])
    beyond = tuple((at - float(band[end])) / last for end in ("loss", "high", "low"))
    meaning = "ratio; full precision by its law, which has no point there"
    measures.append(_over_sizes("gap.beyond", meaning, (beyond[0], beyond[1], beyond[2]), len(found), "30B"))
    remarks = [
        f"From {small} to {large} the gap rises, from {before:.3f} to {after:.3f} bits."
        for small, large, before, after in zip(
            found["size"], found["size"][1:], found["gap"], found["gap"][1:], strict=False
        )
        if after > before
    ]
    remarks.append(
        f"In nats the gap is {last * math.log(2):.3f} at {found['size'].iloc[-1]}. Whether it vanishes at infinite N "
        "is a question of the offsets of both laws, which are under W23-law."
    )
    return Evidence(tuple(measures), {"gap": found.drop(columns="parameters")}, tuple(remarks))


def evidence_cost(_: Data) -> Evidence:
    """Compare energies and parameters at equal loss, losses at equal energy, and the bits a weight is worth."""
    points = losses()
    full = _fits(points)["full"]
    points = points.assign(counted=counted_joules(points)).assign(
        **{name: counted_joules(points, model="exact", wide=wide) for name, (_, wide) in _COUNTINGS.items()}
    )
    by_cost = {cost: at_equal_loss(points, cost) for cost in ("joules", "parameters", *_COUNTINGS)}
    loss = at_equal_cost(points)
    of = f"losses of FP16 {', '.join(by_cost['joules']['size'])}"
    measures: list[Measure] = [
        Number(f"equal_loss.{name}", "largest ratio over these losses", highest(by_cost[cost]["ratio"]), of, _STUDY)
        for name, cost in (("energy", "joules"), ("parameters", "parameters"), *((one, one) for one in _COUNTINGS))
    ]
    at = f"energies of FP16 {', '.join(loss['size'])}"
    meaning = "bits, the largest over these energies"
    measures.append(Number("equal_energy.loss", meaning, highest(loss["difference"]), at, _STUDY))
    bits = bits_equivalent(points, full)
    for name, place in (("smallest", 0), ("largest", -1)):
        row = bits.iloc[place]
        interval = (float(row["law"]), float(row["low"]), float(row["high"]))
        meaning = "16 N_full(L)/N, N_full by the law of full precision, whose sizes are drawn anew"
        open_end = f"the law of full precision may lie above {row['loss']:g} bits at every N: the interval is open"
        note = "" if math.isfinite(interval[2]) else open_end
        measures.append(_over_sizes(f"bits.{name}", meaning, interval, len(SHARED), str(row["size"]), note))
    interval, sizes = _slope(bits["billions"], bits["bits"])
    span = f"{bits['size'].iloc[0]}..{bits['size'].iloc[-1]}"
    meaning = "exponent in N of 16 N_full(L)/N, interpolated, leaving out a size"
    measures.append(_over_sizes("bits.size", meaning, interval, sizes, span))
    none = [size for size in arm_points(points, "bitnet")["size"] if size not in set(bits["size"])]
    missing = [size for size in arm_points(points, "full")["size"] if size not in set(by_cost["joules"]["size"])]
    off = float(np.max(np.abs(points["joules"] / points["counted"] - 1)))
    remarks = (
        f"Losses of BitNet outside those of FP16, so without a bits equivalent: {', '.join(none) or 'none'}.",
        f"Losses of FP16 outside those of BitNet: {', '.join(missing) or 'none'}.",
        f"Energies as drawn differ from those of W23's Eqs. 16 to 18 by at most {100 * off:.1f} %.",
        "Training is not in these energies: it computes with latent weights in high precision, so that at equal loss "
        "it costs what the parameters cost.",
    )
    equal = pd.concat([rows(table, cost=cost) for cost, table in by_cost.items()], ignore_index=True)
    return Evidence(tuple(measures), {"equal loss": equal, "equal energy": loss, "bits equivalent": bits}, remarks)


PROOFS = (
    Proof(CLAIM_LAW, (), evidence_law),
    Proof(CLAIM_GAP, (), evidence_gap),
    Proof(CLAIM_COST, (), evidence_cost),
)


def _fits(points: pd.DataFrame) -> dict[str, Fit]:
    return {arm: fit_law(arm_points(points, arm, SHARED), seed=_SEEDS[arm]) for arm in ARMS}


def _nominal(points: pd.DataFrame, arm: str) -> Fit:
    """Fit one arm against what its sizes are called."""
    part = arm_points(points, arm, SHARED)
    return fit_law(part.assign(billions=[_called(size) for size in part["size"]]), seed=_SEEDS[arm])


def _called(size: str) -> float:
    """Return the billions in the name of a size."""
    return float(size[:-1]) * (1.0 if size.endswith("B") else 1e-3)


def _as_called(points: pd.DataFrame) -> Number:
    """Return how far 13B is missed with N as the sizes are called."""
    last, drawn = (float(arm_points(points, "bitnet", [size])["loss"].iloc[0]) for size in (SHARED[-1], _HELD_OUT[0]))
    called = _nominal(points, "bitnet").predict(pd.DataFrame({"billions": [_called(_HELD_OUT[0])]}))
    share = abs(float(called[0]) - drawn) / abs(last - drawn) if last != drawn else math.inf
    about = f"|predicted - drawn| over |loss at {SHARED[-1]} - loss|, N = 0.125 billion for 125M and so on"
    return Number("missed.13b.fall.called", about, share, f"fitted to BitNet {SHARED[0]}..{SHARED[-1]}", _STUDY)


def _parameter(fitted: Fit, name: str, which: str) -> IntervalEstimate:
    """Return b or c of W23's law as an estimate."""
    ours, sign = _OF_LAW[name]
    value, low, high = (float(x) for x in fitted.interval().loc[ours, ["estimate", "low", "high"]])
    interval = (value, low, high) if sign > 0 else (-value, -high, -low)
    meaning = "exponent of L(N) = a N^b + c" if name == "b" else "offset of L(N) = a N^b + c, bits per token"
    return _over_sizes(f"law.{name}.{which}", meaning, interval, fitted.observations.points)


def _over_sizes(
    measure: str, meaning: str, interval: tuple[float, float, float], sizes: int, span: str = "", note: str = ""
) -> IntervalEstimate:
    return estimated(measure, meaning, interval, sizes, span or f"{sizes} sizes", _STUDY, note, _SIZES)


def _slope(n: ArrayLike, value: ArrayLike) -> tuple[tuple[float, float, float], int]:
    """Return the exponent of a positive value in N with its interval over sizes, and their number."""
    x, y = (np.log(np.asarray(one, dtype=np.float64)) for one in (n, value))
    return cluster_slope(x, y, cluster=list(range(len(x))), group=[()] * len(x))


def _law_table(fitted: Fit) -> pd.DataFrame:
    """Return a, b and c with intervals, in a row."""
    bounds = fitted.interval()
    found: dict[str, list[float]] = {}
    for letter, ours, sign in (("a", "A", 1.0), ("b", "alpha", -1.0), ("c", "E", 1.0)):
        value, low, high = (sign * float(x) for x in bounds.loc[ours, ["estimate", "low", "high"]])
        found |= {letter: [value], f"{letter} low": [min(low, high)], f"{letter} high": [max(low, high)]}
    return pd.DataFrame(found)


def _cautions(fits: dict[str, Fit]) -> tuple[str, ...]:
    """Return what the fits themselves warn of."""
    return tuple(f"Law of {_WORDS[arm]}: {line}." for arm in ARMS for line in fits[arm].warnings)
