"""C9, C9-cost, C9-choices: what W23 says of BitNet's size, energy and answers, on BitNet as W23 writes it.

**C9.** BitNet follows the law of full-precision Transformers, L(N) = a N^b + c, so that small models predict large
ones, and the gap between them shrinks with N (Eq. 19, section 3.2, Fig. 3).

**C9-cost.** It is competitive with 16 bits at less memory and less energy: it reaches the loss of a 16-bit network with
less energy, and has a lower loss at equal energy (abstract, section 3.2, Fig. 3) and at equal memory (abstract).

**C9-choices.** So it is with answers: at equal energy more of them are right, without examples and with four (section
3.3, Fig. 4).

**Derivation.** None is given in W23. What one would expect is in C6's text. Of energy: W23's counting leaves attention
in 16 bits, 2 T^2 d per layer against 12 d^2 T in the linear maps, so BitNet's saving, a factor of up to 71 in linear
maps, is a small one where the context T is long against 6 d, as it is in small networks. Of memory: so is the saving
where the 16-bit embedding, V d, is much of the network. Both work against BitNet here and not in W23's networks.

**Experiment.** Study `bitnet`: Transformers on State of the Union addresses as in C6, of eight sizes, with W23's recipe
(warm-up, linear decay, weight decay, Adam's betas of its Tables 5 and 6). BitNet quantises as W23's Eqs. 1 to 12 say;
its rival is W23's: 16-bit floats and Pre-LN. Both share start, batches and text, and each has its own rate at each
size. Differences are paired by seed; intervals are Student's over seeds. The law is fitted to the six smaller sizes and
held against the two largest, as W23 predicts 13B and 30B from 125M to 6.7B. At equal energy (joules of a forward pass
at 7 nm by W23's counting, floats as FP16) and equal memory (bytes of weights, signs packed, all else in 16 bits) the
value of BitNet is interpolated linearly in the logarithm of the cost between its sizes, at the cost of each 16-bit
network. The energy at equal loss is interpolated likewise. Means are over the sizes of the 16-bit network that are in
range with every seed, so that each seed counts the same sizes; the others are named. Questions are those of
`ntk1bit.data.choices`: which of four continuations of a held-out passage is the true one, answered by the loss, with
none or four solved examples before it. Each network is asked the same questions: what others would change is not in the
intervals. W23's tasks are other people's and its networks are 10^4 times larger: what is tested is the form of its
claims. A network without a finite loss is no point of a comparison, and remarks count such networks.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ntk1bit.claims import AtMost, Claim, Evidence, IntervalEstimate, IntervalWithin, Number
from ntk1bit.claims.evidence import Measure
from ntk1bit.claims.measures import against, estimated, exponent, seeds_interval
from ntk1bit.data.choices import SHOTS
from ntk1bit.estimators import language as summary
from ntk1bit.experiments.language_run import LanguageRun
from ntk1bit.statistics import cluster_slope, student_interval
from proofs_numeric.bitnet_studies import BASELINE, BITNET, smaller_than
from proofs_numeric.c6_bitnet import HELD_OUT_ERROR
from proofs_numeric.data import Data
from proofs_numeric.proof import Proof

STUDY = "bitnet"
ARMS = (BITNET, BASELINE)
_HELD_OUT = {"second": "second largest", "largest": "largest"}  # sizes that the law is held against
_ASKED = {examples: f"{examples or 'no'} examples" for examples in SHOTS}

CLAIM = Claim(
    id="C9",
    title="BitNet as written scales like a 16-bit Transformer",
    statement="The validation loss of both is L(N) = a N^b + c, so that six smaller sizes predict the two largest, and "
    "the gap L_bitnet - L_16-bit shrinks with N.",
    source="W23, Eq. 19, section 3.2, Fig. 3",
    assumptions="character-level text, N from 3 10^3 to 3 10^5, the same characters for every network, W23's recipe, "
    "rates tuned for each arm and size; the rival has 16-bit floats and Pre-LN.",
    refuted_by="a gap whose exponent in N is above 0, or one of the two largest sizes that the smaller ones do not "
    "predict",
    criteria=(
        IntervalWithin("gap.size", high=0.0),
        *(AtMost(f"held_out.{arm}.{size}", HELD_OUT_ERROR) for arm in ARMS for size in _HELD_OUT),
    ),
    context=(
        IntervalWithin("gap.relative.size", high=0.0),
        *(IntervalWithin(f"law.b.{arm}", high=0.0) for arm in ARMS),
    ),
    labels={
        "gap.size": "exponent of the gap in N",
        "gap.relative.size": "exponent of the relative gap in N",
        **{
            f"held_out.{arm}.{size}": f"error of the predicted loss of the {words} size, {arm}"
            for arm in ARMS
            for size, words in _HELD_OUT.items()
        },
        **{f"law.b.{arm}": f"exponent b of {arm}" for arm in ARMS},
        **{f"law.c.{arm}": f"floor c of {arm}" for arm in ARMS},
    },
    reach=smaller_than("30 billion"),
    ranges="0 is no change; 2 % of the loss as in C6",
)
CLAIM_COST = Claim(
    id="C9-cost",
    title="BitNet as written is ahead per joule and byte",
    statement="BitNet reaches the loss of a 16-bit Transformer with less energy of inference, and has the lower loss "
    "at equal energy and at equal bytes of weights.",
    source="W23, abstract, section 3.2, Fig. 3",
    assumptions="as C9; energy of arithmetic only, at 7 nm by W23's counting; memory of weights at inference only, "
    "with embedding and norms in 16 bits in both.",
    refuted_by="a share of energy above 1 at equal loss, or a 1-bit loss above the 16-bit one at equal energy or "
    "memory",
    criteria=(
        IntervalWithin("equal_loss.log_share", high=0.0),
        IntervalWithin("equal_energy", high=0.0),
        IntervalWithin("equal_memory", high=0.0),
    ),
    context=(IntervalWithin("equal_energy.exact", high=0.0), IntervalWithin("equal_memory.linear", high=0.0)),
    labels={
        "equal_loss.log_share": "log of the share of energy at equal loss, bitnet over 16 bits",
        "equal_energy": "bitnet minus 16 bits at equal energy",
        "equal_energy.exact": "bitnet minus 16 bits at equal energy, our exact counting",
        "equal_memory": "bitnet minus 16 bits at equal bytes of weights",
        "equal_memory.linear": "bitnet minus 16 bits at equal bytes of linear maps",
    },
    reach=smaller_than("30 billion"),
    ranges="0 is no difference",
)
CLAIM_CHOICES = Claim(
    id="C9-choices",
    title="BitNet as written answers more per joule",
    statement="At the inference energy of a 16-bit Transformer, BitNet chooses the true continuation among four more "
    "often, without examples and with four.",
    source="W23, section 3.3, Fig. 4",
    assumptions="as C9-cost; one task of four choices on our held-out text in place of W23's four tasks, the same "
    "questions for every network.",
    refuted_by="a 1-bit accuracy below the 16-bit one at equal energy",
    criteria=tuple(IntervalWithin(f"equal_energy.{examples}", low=0.0) for examples in _ASKED),
    context=(
        *(IntervalWithin(f"growth.{examples}.{arm}", low=0.0) for examples in _ASKED for arm in ARMS),
        *(IntervalWithin(f"examples.{arm}", low=0.0) for arm in ARMS),
    ),
    labels={
        **{
            f"equal_energy.{examples}": f"accuracy with {words}, bitnet minus 16 bits at equal energy"
            for examples, words in _ASKED.items()
        },
        **{
            f"growth.{examples}.{arm}": f"accuracy gained per decade of N with {words}, {arm}"
            for examples, words in _ASKED.items()
            for arm in ARMS
        },
        **{f"examples.{arm}": f"accuracy with 4 examples minus that with none, {arm}" for arm in ARMS},
    },
    reach=smaller_than("6.7 billion"),
    ranges="0 is no difference",
)


def evidence(data: Data) -> Evidence:
    """Fit both arms against N, test the fit by extrapolation, and measure the gap between them."""
    run = data.language(STUDY)
    paired = summary.gaps(run, of=BITNET, against=BASELINE)
    meaning = f"validation loss, {BITNET} minus {BASELINE}, nats per character"
    gap = against(paired, "parameters", "gap", meaning=meaning, signed=True)
    relative = against(paired, "parameters", "relative", meaning=f"gap over the loss of {BASELINE}", signed=True)
    measures: list[Measure] = [exponent(gap, "gap.size", STUDY), exponent(relative, "gap.relative.size", STUDY)]
    span = f"N = {run.spec.shapes[0].parameters:,}..{run.spec.shapes[-1].parameters:,}, {len(run.spec.shapes)} sizes"
    meaning = f"|predicted over observed - 1|, a N^b + c fitted to the {len(run.spec.shapes) - 2} smaller sizes"
    for arm in ARMS:
        errors = summary.held_out_errors(run, arm, held_out=len(_HELD_OUT))
        for size, shape, error in zip(_HELD_OUT, run.spec.shapes[-len(_HELD_OUT) :], errors, strict=True):
            measures.append(Number(f"held_out.{arm}.{size}", meaning, error, str(shape), STUDY))
        b, c, note = summary.law_intervals(run, arm)
        of, seeds = "of L(N) = a N^b + c, bootstrap over seeds", len(run.spec.seeds)
        measures += [
            estimated(f"law.b.{arm}", f"exponent {of}", b, seeds, span, STUDY, note),
            estimated(f"law.c.{arm}", f"floor {of}, in nats", c, seeds, span, STUDY),
        ]
    tables = {
        "losses": summary.losses(run),
        "gap": gap.table.rename(columns={"parameters": "N"}),
        "laws": pd.concat([summary.law_curve(run, arm) for arm in ARMS], ignore_index=True),
        "rates tried": summary.searched(run),
    }
    return Evidence(tuple(measures), tables, cautions(run, ARMS))


def evidence_cost(data: Data) -> Evidence:
    """Compare both arms at equal loss, equal energy and equal bytes of weights."""
    run = data.language(STUDY)
    share = summary.cost_at_equal_loss(run, of=BITNET, against=BASELINE)
    share = share.assign(log_share=np.log(share["share"].to_numpy(dtype=np.float64)))
    meaning = f"log of the energy of {BITNET} over that of {BASELINE} at the loss of the latter, mean over sizes"
    measures = [over_sizes(run, share, "log_share", "equal_loss.log_share", meaning)]
    compared = {
        "equal_energy": summary.at_equal_energy(run, of=BITNET, against=BASELINE),
        "equal_energy.exact": summary.at_equal_energy(run, of=BITNET, against=BASELINE, model="exact"),
        "equal_memory": summary.at_equal_memory(run, of=BITNET, against=BASELINE),
        "equal_memory.linear": summary.at_equal_memory(run, of=BITNET, against=BASELINE, whole=False),
    }
    for name, found in compared.items():
        measures.append(over_sizes(run, found, "difference", name, "validation loss in nats, mean over sizes"))
    tables = {"loss against energy": summary.loss_against_energy(run), "energy at equal loss": _shares(share)}
    for name, words in (("equal_energy", "at equal energy"), ("equal_memory", "at equal memory")):
        tables[words] = by_size(compared[name], "difference")
    return Evidence(tuple(measures), tables, cautions(run, ARMS))


def evidence_choices(data: Data) -> Evidence:
    """Compare the accuracies of both arms at equal energy, and ask how they go with size and examples."""
    run = data.language(STUDY)
    table = summary.networks(run)
    measures, tables = [], {"accuracies": summary.accuracies(run)}
    for examples in _ASKED:
        column = summary.accuracy_column(examples)
        found = summary.at_equal_energy(run, of=BITNET, against=BASELINE, column=column)
        meaning = "share of questions answered rightly, mean over sizes"
        measures.append(over_sizes(run, found, "difference", f"equal_energy.{examples}", meaning))
        tables[f"at equal energy, {examples} examples"] = by_size(found, "difference")
        measures += [_growth(run, table, arm, examples) for arm in ARMS]
    without, with_examples = map(summary.accuracy_column, SHOTS)
    for arm in ARMS:
        own = table.loc[table["arm"] == arm]
        own = own.assign(gain=own[with_examples] - own[without])
        meaning = "share of questions answered rightly, mean over sizes, of the same network"
        measures.append(over_sizes(run, own, "gain", f"examples.{arm}", meaning))
    error = 0.5 / np.sqrt(max(run.spec.choices, 1))
    remark = (
        f"Every network is asked the same {run.spec.choices} questions of four choices; chance is right in 0.25 of "
        f"them. The standard error of an accuracy over questions, up to {error:.2g}, is not in the intervals."
    )
    return Evidence(tuple(measures), tables, (remark, *cautions(run, ARMS)))


PROOFS = (
    Proof(CLAIM, (STUDY,), evidence),
    Proof(CLAIM_COST, (STUDY,), evidence_cost),
    Proof(CLAIM_CHOICES, (STUDY,), evidence_choices),
)


def over_sizes(run: LanguageRun, found: pd.DataFrame, column: str, name: str, meaning: str) -> IntervalEstimate:
    """Estimate the mean of a column over the sizes that have it with every seed; the span says which these are."""
    by_seed, kept = summary.mean_over_sizes(found, column, run.spec.seeds)
    span = f"sizes in range: {', '.join(kept) or 'none'} of {len(run.spec.sizes)}"
    return seeds_interval(by_seed.to_numpy(), name, meaning, span, STUDY)


def by_size(found: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the mean of a column over seeds at each size, with its interval: columns size, seeds, column, low, high.

    Values that are not finite are left out.
    """
    rows = [
        (size, len(values), *student_interval(values))
        for size, part in found.groupby("size", sort=False)
        for values in [part.loc[np.isfinite(part[column]), column]]
    ]
    return pd.DataFrame(rows, columns=pd.Index(["size", "seeds", column, "low", "high"]))


def cautions(run: LanguageRun, arms: tuple[str, ...]) -> tuple[str, ...]:
    """Say which networks have no loss, and which searches for a rate ended at their edge."""
    table = summary.losses(run)
    table = table.loc[table["arm"].isin(arms)]
    remarks = [
        f"The search for the rate of {row['arm']} at {row['size']} ended at its edge: the best rate may lie beyond."
        for row in table.to_dict("records")
        if row["at_edge"] and row["arm"] in run.spec.trained_arms
    ]
    lost = len(table) * len(run.spec.seeds) - int(table["seeds"].sum())
    if lost:
        remarks.append(f"{lost} networks of {', '.join(arms)} have no finite loss and are left out of means.")
    return tuple(remarks)


def _growth(run: LanguageRun, table: pd.DataFrame, arm: str, examples: int) -> IntervalEstimate:
    column = summary.accuracy_column(examples)
    own = table.loc[(table["arm"] == arm) & table[column].notna()]
    decades = np.log10(own["parameters"].to_numpy(dtype=np.float64))
    accuracy = own[column].to_numpy(dtype=np.float64)
    interval, seeds = cluster_slope(decades, accuracy, cluster=own["seed"].tolist(), group=[()] * len(own))
    meaning = "slope of the share of questions answered rightly in log10 N"
    return estimated(f"growth.{examples}.{arm}", meaning, interval, seeds, f"{len(run.spec.sizes)} sizes", STUDY)


def _shares(share: pd.DataFrame) -> pd.DataFrame:
    """Return the share of energy at each size as a geometric mean over seeds with its interval."""
    table = by_size(share, "log_share")
    ends = {
        name: np.exp(table[of].to_numpy()) for name, of in (("share", "log_share"), ("low", "low"), ("high", "high"))
    }
    return table[["size", "seeds"]].assign(**ends)
