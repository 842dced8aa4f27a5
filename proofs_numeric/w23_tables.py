"""W23-table3, W23-table4: the orderings that W23 reads off its tables, and what they can decide.

**W23-table3.** BitNet is better than all four ways of quantising after training (absmax, SmoothQuant, GPTQ, QuIP) at 4
bits and below, and at 4 bits quantising weights alone is better than quantising weights and activations (section 4.2).

**W23-table4.** Absmax quantisation of activations is better than elastic, whose scales are learned, and SubLN is better
than Pre-LN and BMT (section 5).

**Derivation.** An ordering is a statement that a single pair of printed numbers contradicts. Table 3 has two numbers
for a model as a whole, its perplexity and its mean accuracy over four tasks; the text names neither, so both count, and
the four tasks are context. Of Table 4 a comparison can only speak where everything else is equal. W23's Table 8 gives
the rates: elastic 10^-4, absmax 8 10^-4. Its Fig. 5b shows what the rate alone does at this size: perplexity falls as
the rate grows from 2 10^-4 to 8 10^-4. With p the slope of log2 perplexity in log2 rate there, eight times the rate is
worth -3 p bits.

**Experiment.** None: the tables, as they are printed (`ntk1bit/estimators/published_results.csv`), one network an
entry, no seeds and no errors. A tie counts as a failure. The difference of elastic and absmax is taken wherever two
models of Table 4 share rate and norm; where no two do, nothing was measured, and the claim stays open. The tables are
printed, and had been read, before these rules were written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from ntk1bit.claims import AtMost, Claim, Count, Evidence, IntervalWithin, NoFailures, Number
from ntk1bit.claims.evidence import Measure
from ntk1bit.claims.measures import estimated, seeds_interval
from ntk1bit.estimators.published_results import compare_scores, rates, read_results, scores
from proofs_numeric.data import Data
from proofs_numeric.proof import Proof

_STUDY = "published"
_UNKNOWN = (math.nan, math.nan, math.nan)
_BITNET = ("BitNet", 1)
_TASKS = ("winograd", "winogrande", "hellaswag", "storycloze")
_KINDS = {"perplexity": ("perplexity",), "mean": ("mean",), "tasks": _TASKS}  # of the scores of Table 3
_WHOLE = ("perplexity", "mean", "few-mean")  # of Table 4: the numbers for a model as a whole
_TIMES_RATE = 3  # doublings from elastic's rate to absmax's

CLAIM_TABLE_3 = Claim(
    id="W23-table3",
    title="BitNet beats quantisation after training to 4 bits",
    statement="By perplexity and by mean accuracy in W23's Table 3, BitNet is better than every model quantised after "
    "training to 4, 2 or 1 bits, and at 4 bits weights alone are quantised better than weights and activations.",
    source="W23, Table 3, section 4.2",
    assumptions="one network an entry, no errors: the order of printed numbers, nothing more; 6.7B, no examples given.",
    refuted_by="one pair of printed numbers in the other order, or equal",
    criteria=(NoFailures("order.perplexity", 9), NoFailures("order.mean", 9)),
    context=(NoFailures("order.tasks", 36),),
    labels={
        "order.perplexity": "orderings by perplexity",
        "order.mean": "orderings by mean accuracy",
        "order.tasks": "orderings by single tasks",
        "behind.8bit": "mean accuracy of the best 8 bits minus BitNet's",
        "behind.full": "mean accuracy of full precision minus BitNet's",
    },
    ranges="the printed orders themselves",
)
CLAIM_TABLE_4 = Claim(
    id="W23-table4",
    title="W23's choices of quantiser and norm are better",
    statement="At equal learning rates absmax has a lower loss than elastic, and SubLN than Pre-LN and BMT.",
    source="W23, Tables 4 and 8, section 5",
    assumptions="one network an entry; Table 4 is of 1.3B, as its perplexities are those of Fig. 3 there.",
    refuted_by="a pair at equal rates in the other order",
    criteria=(NoFailures("norm", 6), IntervalWithin("elastic.equal_rate", low=0.0)),
    context=(NoFailures("elastic.as_run", 3), AtMost("elastic.rate_share", 1.0)),
    labels={
        "norm": "SubLN against Pre-LN and BMT, all with absmax at one rate",
        "elastic.equal_rate": "loss of elastic minus absmax at equal rates",
        "elastic.as_run": "absmax against elastic, at eight times the rate",
        "elastic.difference": "loss of elastic minus absmax as they were run",
        "elastic.rate_worth": "what eight times the rate is worth by Fig. 5b",
        "elastic.rate_share": "what the rate is worth over the difference as they were run",
    },
    ranges="the printed orders themselves",
)


def evidence_table3(_: Data) -> Evidence:
    """Count the orderings of Table 3 that its numbers contradict."""
    found = scores("Table 3")
    pairs = [(_BITNET, other) for other in found if other != _BITNET and other[1] <= 4]
    weights_only = ("GPTQ", 4)
    pairs += [(weights_only, other) for other in found if other[1] == 4 and other != weights_only]
    table = pd.DataFrame(
        [
            (_name(better), _name(other), score, found[better][score], found[other][score], "yes" if holds else "no")
            for better, other in pairs
            for score, holds in compare_scores(found[better], found[other]).items()
        ],
        columns=pd.Index(["better", "than", "by", "its", "other", "holds"]),
    )
    measures: list[Measure] = []
    for kind, names in _KINDS.items():
        part = table.loc[table["by"].isin(names)]
        failures = int(np.sum(part["holds"] == "no"))
        meaning = "pairs of printed numbers in the other order, or equal"
        measures.append(Count(f"order.{kind}", meaning, failures, len(part), "W23's Table 3", _STUDY))
    mean = found[_BITNET]["mean"]
    for name, bits in (("8bit", 8), ("full", 16)):
        best = max(score["mean"] for (_, weights), score in found.items() if weights == bits)
        measures.append(Number(f"behind.{name}", "per cent of answers", best - mean, "W23's Table 3", _STUDY))
    against = table.loc[table["holds"] == "no"].to_dict("records")
    remarks = [
        f"{row['better']} is not better than {row['than']} by {row['by']}: {row['its']:g} against {row['other']:g}."
        for row in against
    ]
    remarks.append(
        "That BitNet is on a par with 8 bits (W23's abstract) has no number that could fail: W23 says of no distance "
        "that it is too large."
    )
    return Evidence(tuple(measures), {"orderings": table}, tuple(remarks))


def evidence_table4(_: Data) -> Evidence:
    """Compare the models of Table 4 at equal rates, and what a rate is worth with what elastic lost."""
    found, rate = {model: score for (model, _), score in scores("Table 4").items()}, rates("Table 4")
    span = "W23's Table 4"
    others = [name for name in ("Absmax+Pre-LN", "Absmax+BMT") if rate[name] == rate["BitNet"]]
    kept = [compare_scores(found["BitNet"], _part(found[name])) for name in others]
    measures: list[Measure] = []
    if kept:
        failures = sum(not holds for one in kept for holds in one.values())
        meaning = "of perplexity and both mean accuracies, those in the other order, or equal"
        measures.append(Count("norm", meaning, failures, sum(map(len, kept)), span, _STUDY))
    pairs = {
        (elastic, absmax): math.log2(found[elastic]["perplexity"] / found[absmax]["perplexity"])
        for elastic in found
        for absmax in found
        if elastic.startswith("Elastic") and absmax == elastic.replace("Elastic", "Absmax")
    }
    equal = [bits for (one, other), bits in pairs.items() if rate[one] == rate[other]]
    meaning = "bits per token"
    if equal:
        measures.append(seeds_interval(equal, "elastic.equal_rate", meaning, span, _STUDY, units="pairs of networks"))
    else:
        given = "; ".join(f"{one} {rate[one]:g}, {other} {rate[other]:g}" for one, other in pairs)
        note = f"no two models differ in this alone: the rates are {given}"
        measures.append(estimated("elastic.equal_rate", meaning, _UNKNOWN, 0, span, _STUDY, note))
    (one, other), difference = next(iter(pairs.items()))
    as_run = compare_scores(found[other], _part(found[one]))
    worth = -_TIMES_RATE * _rate_slope()
    failures = sum(not holds for holds in as_run.values())
    about_worth = "bits per token, three doublings at the slope drawn"
    measures += [
        Count("elastic.as_run", "in the other order, or equal", failures, len(as_run), span, _STUDY),
        Number("elastic.difference", meaning, difference, f"{one}, {other}", _STUDY),
        Number("elastic.rate_worth", about_worth, worth, "W23's Fig. 5b", _STUDY),
        Number("elastic.rate_share", "ratio", worth / difference, f"{one}, {other}; Fig. 5b", _STUDY),
    ]
    models = [
        (name, rate[name], math.log2(score["perplexity"]), *(score[one] for one in _WHOLE))
        for name, score in found.items()
    ]
    table = pd.DataFrame(models, columns=pd.Index(["model", "rate", "loss (bits)", *_WHOLE]))
    return Evidence(tuple(measures), {"models": table})


PROOFS = (Proof(CLAIM_TABLE_3, (), evidence_table3), Proof(CLAIM_TABLE_4, (), evidence_table4))


def _name(model: tuple[str, int]) -> str:
    return f"{model[0]} {model[1]} bit" + ("s" if model[1] > 1 else "")


def _part(score: Mapping[str, float]) -> dict[str, float]:
    return {name: score[name] for name in _WHOLE}


def _rate_slope() -> float:
    """Return the slope of log2 perplexity in log2 rate, by least squares over the rates of Fig. 5b."""
    drawn = read_results("Fig. 5b")
    return float(np.polyfit(np.log2(drawn["rate"]), np.log2(drawn["value"]), 1)[0])
