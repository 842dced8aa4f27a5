"""C10-stable, C10-absmax-rate, C10-rate, C10-rate-size: which learning rates W23's networks tolerate and need.

**C10-stable, W23.** BitNet is stable at learning rates at which full precision diverges (Fig. 5a).

**C10-absmax-rate, W23.** Absmax quantisation is stable at larger rates than elastic scales, which are learned
(section 5).

**C10-rate, W23.** A larger learning rate is the best remedy against slow convergence in 1 bit, and at such a rate full
precision diverges (section 2.2, Fig. 5b).

**C10-rate-size, W23.** The rates of its Table 5 fall as models grow.

**Derivation.** None is given in W23. A possible reason: only beta of a 1-bit layer depends on how large the latent
weights are, and a norm divides it out where one follows; and a step of Adam does not depend on how large a gradient is.
Latent weights that a large rate has pushed far out flip ever less, so that too large a rate freezes signs where in full
precision it would make weights ever larger. Embeddings and norms are not in 1 bit, and gain nothing by this.

**Experiment.** Character-level Transformers on State of the Union addresses, W23's recipe and form. Full precision is
in 16 bits with Pre-LN, as W23 has it. Stability: three sizes, a quarter of the characters, rates by factors of two, the
same for all arms, until every seed has diverged or the rate is about 2. A network has *diverged* when the mean training
loss over the last tenth of its steps is not finite or is above the loss of the unigram model: it then makes less of all
its context than counting characters does. The rate of a network is the lowest from which on it diverged, known to a
factor of two; where it diverged at none, the next rate beyond the last tried: a lower bound. Where two arms to be
compared diverged at none, nothing is known of their ratio, and the seed is left out. What is compared is log2 of the
ratio, a whole number at each size, paired by seed and averaged over the sizes; as all of them can be 0, "above 0" asks
for more than 0 by a millionth here. Whether a larger rate is the remedy is asked at r, the best rate of full precision
by its mean training loss over the seeds: what 1-bit networks gain on the validation text at twice r over r. A network
without a finite loss counts as ln V, guessing uniformly, as in C6-stable. Best rates against size: from the searches of
eight sizes, one search each, so that the interval is over sizes. These readings and numbers were set down before any
network of these studies was trained.
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import pandas as pd

from ntk1bit.claims import Claim, Evidence, IntervalWithin, Number
from ntk1bit.claims.evidence import Measure
from ntk1bit.claims.measures import estimated, seeds_interval
from ntk1bit.data import text as texts
from ntk1bit.estimators import language as summary
from ntk1bit.estimators.stability import best_rate, first_lost, stability_table
from ntk1bit.experiments.stability_spec import StabilitySpec
from ntk1bit.statistics import cluster_slope
from proofs_numeric.bitnet_studies import smaller_than
from proofs_numeric.data import Data, grouped
from proofs_numeric.proof import Proof

STABILITY, SEARCHES = "bitnet-stability", "bitnet"
FULL = "fp16-preln"  # full precision as W23 has it
_IDS = {"bitnet": "bitnet", FULL: "fp16", "elastic": "elastic"}  # of arms, in ids of measures
_SIZES = ("1x32", "2x48", "3x64")  # of the standard study of stability
_FACTOR = 2.0  # between neighbouring rates
ABOVE = 1e-6  # "above 0" on a grid of rates, where all values can be 0 and an interval [0, 0] is not above 0

_CHARACTERS = "character-level text, W23's recipe, a quarter of the characters of the other studies"

CLAIM_STABLE = Claim(
    id="C10-stable",
    title="1-bit networks tolerate larger learning rates",
    statement="The lowest learning rate from which on training diverges is higher for 1-bit networks than for "
    "full-precision ones.",
    source="W23, Fig. 5a, section 2.2",
    assumptions=f"{_CHARACTERS}; three sizes; diverged is a training loss above that of the unigram model at the end.",
    refuted_by="1-bit networks that diverge from no higher a rate on",
    criteria=(IntervalWithin("rate.bitnet_over_fp16", low=ABOVE),),
    context=tuple(IntervalWithin(f"rate.bitnet_over_fp16.{size}", low=ABOVE) for size in _SIZES),
    labels={
        "rate.bitnet_over_fp16": "log2 of the rate from which on training diverges, 1 bit over full precision",
        **{
            f"rate.bitnet_over_fp16.{size}": f"log2 of that rate, 1 bit over full precision, at {size}"
            for size in _SIZES
        },
        **{f"censored.{name}": f"networks that no rate diverged, {name}" for name in ("bitnet", "fp16")},
    },
    reach=smaller_than("125 million"),
    ranges="any factor above 1",
)
CLAIM_ABSMAX = Claim(
    id="C10-absmax-rate",
    title="absmax tolerates larger rates than elastic",
    statement="The lowest learning rate from which on training diverges is higher with absmax quantisation of the "
    "activations than with learned scales.",
    source="W23, section 5",
    assumptions=f"{_CHARACTERS}; three sizes, both arms with SubLN; diverged as in C10-stable.",
    refuted_by="networks with absmax that diverge from no higher a rate on",
    criteria=(IntervalWithin("rate.bitnet_over_elastic", low=ABOVE),),
    context=tuple(IntervalWithin(f"rate.bitnet_over_elastic.{size}", low=ABOVE) for size in _SIZES),
    labels={
        "rate.bitnet_over_elastic": "log2 of the rate from which on training diverges, absmax over elastic",
        **{f"rate.bitnet_over_elastic.{size}": f"log2 of that rate, absmax over elastic, at {size}" for size in _SIZES},
        **{f"censored.{name}": f"networks that no rate diverged, {name}" for name in ("bitnet", "elastic")},
    },
    reach=smaller_than("125 million"),
    ranges="any factor above 1",
)
CLAIM_RATE = Claim(
    id="C10-rate",
    title="1 bit gains from twice full precision's rate",
    statement="At twice the best learning rate of full precision a 1-bit network has a lower validation loss than at "
    "that best rate.",
    source="W23, section 2.2, Fig. 5b",
    assumptions=f"{_CHARACTERS}; three sizes; the best rate is that of the least mean training loss, to a factor of 2.",
    refuted_by="a 1-bit loss that is the higher one at twice that rate",
    criteria=(IntervalWithin("gain.bitnet", high=0.0),),
    context=(IntervalWithin("gain.fp16", low=0.0),),
    labels={
        "gain.bitnet": "1-bit loss at twice the best rate of full precision minus that at this rate",
        "gain.fp16": "full-precision loss at twice its best rate minus that at this rate",
        **{f"best.{size}": f"log2 of the best rate, 1 bit over full precision, at {size}" for size in _SIZES},
    },
    reach=smaller_than("125 million"),
    ranges="0 is no difference",
)
CLAIM_SIZE = Claim(
    id="C10-rate-size",
    title="the best rate of 1-bit networks falls with N",
    statement="The learning rate at which a 1-bit Transformer trains best falls with its number of parameters.",
    source="W23, Table 5",
    assumptions="character-level text, W23's recipe, the same characters for all eight sizes; one search for each, at "
    "one seed, by factors of two.",
    refuted_by="a best rate that does not fall with N",
    criteria=(IntervalWithin("slope.bitnet", high=-ABOVE),),
    context=(IntervalWithin("slope.fp16", high=-ABOVE),),
    labels={
        "slope.bitnet": "exponent of the best rate in N, 1 bit",
        "slope.fp16": "exponent of the best rate in N, full precision",
        "edges.bitnet": "searches that ended at an edge, 1 bit",
        "edges.fp16": "searches that ended at an edge, full precision",
    },
    reach=smaller_than("30 billion"),
    ranges="any exponent below 0",
)


def evidence_stable(data: Data) -> Evidence:
    """Compare the rates from which on 1-bit and full-precision networks diverge."""
    return _rates_evidence(data, FULL)


def evidence_absmax(data: Data) -> Evidence:
    """Compare the rates from which on networks with absmax and with elastic scales diverge."""
    return _rates_evidence(data, "elastic")


def evidence_rate(data: Data) -> Evidence:
    """Look at what 1-bit networks gain at twice the best rate of full precision."""
    run = data.run(STABILITY)
    table = stability_table(run)
    text = cast(StabilitySpec, run.spec).text
    sizes = list(dict.fromkeys(table["size"]))
    best = {(arm, size): best_rate(table, arm, size) for arm in ("bitnet", FULL) for size in sizes}
    unknown = math.log(texts.load(text).vocabulary)  # nats: the loss of guessing uniformly
    measures: list[Measure] = []
    gains = {}
    for arm in ("bitnet", FULL):
        losses = table.loc[table["arm"] == arm].pivot(index="seed", columns=["size", "rate"], values="loss")
        gains[arm] = pd.DataFrame(
            {
                size: _at_rate(losses[size], _FACTOR * best[FULL, size], unknown)
                - _at_rate(losses[size], best[FULL, size], unknown)
                for size in sizes
            }
        )
        about = "validation loss in nats per character, paired by seed, mean over sizes"
        span = f"sizes {', '.join(sizes)}"
        measures.append(seeds_interval(_over_sizes(gains[arm]), f"gain.{_IDS[arm]}", about, span, STABILITY))
    for size in sizes:
        value = math.log2(best["bitnet", size] / best[FULL, size])
        about = "best by mean training loss over seeds"
        measures.append(Number(f"best.{size}", about, value, f"size {size}", STABILITY))
    rows = [
        {"arm": arm, "size": size, "its best rate": best[arm, size], "best of full precision": best[FULL, size]}
        | {"seed": seed, "gain": gain}
        for arm, by_size in gains.items()
        for size in sizes
        for seed, gain in by_size[size].items()
    ]
    return Evidence(tuple(measures), {"gains": pd.DataFrame(rows), "losses against rate": _against_rate(table)})


def evidence_size(data: Data) -> Evidence:
    """Fit the best rates of the searches of all sizes against N."""
    run = data.language(SEARCHES)
    parameters = np.array([float(one.parameters) for one in run.spec.shapes])
    sizes = [str(one) for one in run.spec.shapes]
    span = f"N = {parameters[0]:,.0f}..{parameters[-1]:,.0f}, {len(sizes)} sizes"
    measures: list[Measure] = []
    for arm in ("bitnet", FULL):
        rates = np.array([run.rates[arm, size] for size in sizes])
        slope, count = cluster_slope(np.log2(parameters), np.log2(rates), cluster=sizes, group=[()] * len(sizes))
        about = "slope of log2 of the best rate in log2 N, least squares, interval over sizes and not seeds"
        name, units = f"slope.{_IDS[arm]}", "sizes, one search each"
        measures.append(estimated(name, about, slope, count, span, SEARCHES, units=units))
        edges = sum(summary.at_edge(run, arm, size) for size in sizes)
        about = "the best rate was the largest or smallest one tried: a bound"
        measures.append(Number(f"edges.{_IDS[arm]}", about, float(edges), span, SEARCHES))
    tried = summary.searched(run)
    tried = tried.loc[tried["arm"].isin(("bitnet", FULL))]
    best = pd.DataFrame(tried.loc[tried["best"]].drop(columns="best")).reset_index(drop=True)
    return Evidence(tuple(measures), {"best rates": best, "rates tried": tried})


PROOFS = (
    Proof(CLAIM_STABLE, (STABILITY,), evidence_stable),
    Proof(CLAIM_ABSMAX, (STABILITY,), evidence_absmax),
    Proof(CLAIM_RATE, (STABILITY,), evidence_rate),
    Proof(CLAIM_SIZE, (SEARCHES,), evidence_size),
)


def _rates_evidence(data: Data, other: str) -> Evidence:
    """Compare the rates from which on `bitnet` and another arm diverge, in log2, at each size and on average."""
    table = stability_table(data.run(STABILITY))
    table = table.loc[table["arm"].isin(("bitnet", other))]
    diverging = first_lost(table)
    # the next rate beyond the last tried, where none diverged
    counted = diverging["rate"] * np.where(diverging["censored"], _FACTOR, 1.0)
    by_arm = {
        arm: diverging.assign(log=np.log2(counted)).loc[diverging["arm"] == arm].pivot(index="seed", columns="size")
        for arm in ("bitnet", other)
    }
    logs, censored = ({arm: pivoted[name] for arm, pivoted in by_arm.items()} for name in ("log", "censored"))
    unknown = censored["bitnet"] & censored[other]
    ratios = (logs["bitnet"] - logs[other]).mask(unknown)
    sizes = list(dict.fromkeys(table["size"]))
    name, span = f"rate.bitnet_over_{_IDS[other]}", f"sizes {', '.join(sizes)}"
    measures: list[Measure] = [
        seeds_interval(_over_sizes(ratios[sizes]), name, "paired by seed, mean over sizes", span, STABILITY)
    ]
    measures += [
        seeds_interval(ratios[size], f"{name}.{size}", "paired by seed", f"size {size}", STABILITY) for size in sizes
    ]
    remarks = []
    for arm in ("bitnet", other):
        count = int(censored[arm].to_numpy().sum())
        about = f"of {censored[arm].size} networks; counted at the next rate, a lower bound"
        measures.append(Number(f"censored.{_IDS[arm]}", about, float(count), span, STABILITY))
        if count and arm == other:
            remarks.append(f"{count} networks of {other} diverged at no rate: their rates are lower bounds as well.")
    if unknown.to_numpy().any():
        remarks.append(
            f"At {int(unknown.to_numpy().sum())} combinations of size and seed neither arm diverged at any rate; "
            "these seeds are left out."
        )
    return Evidence(
        tuple(measures),
        {"rates from which on networks diverge": diverging, "losses against rate": _against_rate(table)},
        tuple(remarks),
    )


def _against_rate(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean losses, of seeds that have one, and the share of seeds that diverged, by arm, size and rate."""
    return grouped(table, ["arm", "parameters", "size", "rate"], ["loss", "train_loss", "lost"])


def _at_rate(losses: pd.DataFrame, rate: float, unknown: float) -> pd.Series:
    """Return the losses by seed at a rate; `unknown` for networks without one.

    Rates have six digits, so that twice a rate is met to these. A rate that was not tried lies beyond one at which all
    seeds had diverged.
    """
    tried = losses.columns.to_numpy(dtype=np.float64)
    near = np.flatnonzero(np.isclose(tried, rate, rtol=2e-5))  # two roundings to six digits
    found = losses.iloc[:, near[0]] if len(near) else pd.Series(math.nan, index=losses.index)
    return found.fillna(unknown)


def _over_sizes(values: pd.DataFrame) -> np.ndarray:
    """Return the mean over sizes for each seed; NaN for a seed that lacks one of them."""
    return values.to_numpy(dtype=np.float64).mean(axis=1)
