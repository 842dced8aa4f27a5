"""C10-table4, C10-further: W23's choices of quantiser and norm, each at its own rate, and training a network further.

**C10-table4, W23.** Absmax quantisation of activations is better than elastic, whose scales are learned, and SubLN is
better than Pre-LN and BMT (Table 4, section 5).

**C10-further, W23.** Models trained in 1 bit can be trained further and fine-tuned (section 1).

**Derivation.** None is given in W23. Its Table 4 trains elastic at a rate eight times below that of absmax (Table 8),
so it cannot say which is better; claim W23-table4 is about that. Here each of the networks compared has a rate of its
own. W23 shows elastic with Pre-LN only; it is held against absmax with either norm. BMT is cited in Table 4 and not
described in W23: it is not here. That a network trained on loses less is what anyone expects of one in full precision;
of a 1-bit network it says that signs that are in place are no dead end. A network that begins in full precision has its
latent weights in the places that full precision wants; taking their signs then costs a jump of the loss, from which
the second half of the characters has to recover.

**Experiment.** Character-level Transformers of one size on State of the Union addresses, W23's recipe (`recipe="w23"`),
W23's form of the layer. Arms share shape, start, batches and characters, and each has the learning rate with the least
training loss of a search of its own. Differences are of validation losses, paired by seed, in nats per character; an
interval is Student's over the seeds. Beside Table 4: what SubLN does where nothing is in 1 bit, what 16 bits cost, and
what our readings of W23 change, none of which W23 makes a statement about. W23 prints no rounding in its Eq. 4, an Eq.
6 whose place is open, and a gamma that need not be the range of x - eta: each other reading is trained too, and so are
G = 2, 4 and 8 groups (Eqs. 13 to 15). Training further: half of the characters, and on with the other half, schedule
and optimiser starting afresh at the same rate; the first half once in 1 bit and once in full precision. That what is
trained further had twice the characters is the point of the claim; what it costs to begin anew, or to begin in full
precision, is seen against a 1-bit network that had all the characters in one go.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from ntk1bit.claims import Claim, Evidence, IntervalEstimate, IntervalWithin
from ntk1bit.claims.measures import seeds_interval
from ntk1bit.estimators import language as summary
from proofs_numeric.bitnet_studies import smaller_than
from proofs_numeric.data import Data, rows
from proofs_numeric.proof import Proof

ABLATION = "bitnet-ablation"
HALF, FURTHER, FROM_FULL = "bitnet-half", "bitnet-further", "bitnet-from-full"
FORMS = {
    "rounded": "ours, with inputs rounded and Eq. 6 nowhere",
    "unshifted": "Eq. 6 nowhere",
    "full-range": "gamma = max(x - eta) in Eq. 6",
    "8bit": "inputs rounded",
}
GROUPS = (2, 4, 8)
_FORM_STUDIES = {form: f"bitnet-form-{form}" for form in FORMS}
_GROUP_STUDIES = {count: f"bitnet-groups-{count}" for count in GROUPS}

# a measure of Table 4 -> the arm whose loss is taken, and the arm whose loss is taken off it
_PAIRS = {
    "elastic_minus_absmax.subln": ("elastic", "bitnet"),
    "elastic_minus_absmax.preln": ("elastic-preln", "bitnet-preln"),
    "preln_minus_subln.absmax": ("bitnet-preln", "bitnet"),
    "preln_minus_subln.elastic": ("elastic-preln", "elastic"),
    "preln_minus_subln.full": ("full-preln", "full"),
    "preln_minus_subln.fp16": ("fp16-preln", "fp16"),
    "fp16_minus_full.preln": ("fp16-preln", "full-preln"),
}
# a measure of training further -> two pairs of a study and its arm, likewise
_ALL = (ABLATION, "bitnet")
_LATER = {
    "further_minus_half": ((FURTHER, "bitnet"), (HALF, "bitnet")),
    "from_full_minus_half": ((FROM_FULL, "bitnet"), (HALF, "bitnet")),
    "further_minus_all": ((FURTHER, "bitnet"), _ALL),
    "from_full_minus_all": ((FROM_FULL, "bitnet"), _ALL),
    "from_full_minus_full": ((FROM_FULL, "bitnet"), (ABLATION, "full")),
}

CLAIM = Claim(
    id="C10-table4",
    title="absmax beats elastic scales, SubLN Pre-LN",
    statement="A 1-bit Transformer has a lower validation loss with absmax quantisation of its activations than with "
    "learned scales, under SubLN and under Pre-LN, and with absmax a lower one under SubLN than under Pre-LN.",
    source="W23, Table 4, section 5",
    assumptions="character-level text, one size, W23's recipe, the same characters for every network, a rate tuned for "
    "each arm; BMT is cited by W23 and not described, so it is left out.",
    refuted_by="a pair of arms whose losses are in the other order",
    criteria=(
        IntervalWithin("elastic_minus_absmax.subln", low=0.0),
        IntervalWithin("elastic_minus_absmax.preln", low=0.0),
        IntervalWithin("preln_minus_subln.absmax", low=0.0),
    ),
    context=(
        IntervalWithin("preln_minus_subln.elastic", low=0.0),
        IntervalWithin("preln_minus_subln.full", low=0.0),
        IntervalWithin("preln_minus_subln.fp16", low=0.0),
    ),
    labels={
        "elastic_minus_absmax.subln": "elastic minus absmax, with SubLN",
        "elastic_minus_absmax.preln": "elastic minus absmax, with Pre-LN",
        "preln_minus_subln.absmax": "Pre-LN minus SubLN, with absmax",
        "preln_minus_subln.elastic": "Pre-LN minus SubLN, with elastic scales",
        "preln_minus_subln.full": "Pre-LN minus SubLN, in full precision",
        "preln_minus_subln.fp16": "Pre-LN minus SubLN, in 16 bits",
        "fp16_minus_full.preln": "16 bits minus full precision, with Pre-LN",
        **{f"form.{form}": f"another form of the layer minus W23's, {words}" for form, words in FORMS.items()},
        **{f"groups.{count}": f"{count} groups minus none" for count in GROUPS},
    },
    reach=smaller_than("125 million"),
    ranges="0 is no difference",
)
CLAIM_FURTHER = Claim(
    id="C10-further",
    title="a trained network can be trained further in 1 bit",
    statement="Training a trained 1-bit network on with as many characters again lowers its validation loss; and a "
    "full-precision network of so many characters, trained on in 1 bit with as many again, has a lower validation loss "
    "than a 1-bit network of the latter alone.",
    source="W23, section 1",
    assumptions="character-level text, one size, W23's recipe with a schedule of its own for each half, a rate tuned "
    "for each.",
    refuted_by="a loss that further training raises, or a start in full precision that is worse than none",
    criteria=(IntervalWithin("further_minus_half", high=0.0), IntervalWithin("from_full_minus_half", high=0.0)),
    context=(IntervalWithin("further_minus_all", high=0.0), IntervalWithin("from_full_minus_all", high=0.0)),
    labels={
        "further_minus_half": "trained further in 1 bit, minus the first half alone",
        "from_full_minus_half": "1 bit after full precision, minus half the characters in 1 bit",
        "further_minus_all": "trained further in 1 bit, minus all characters in one go",
        "from_full_minus_all": "1 bit after full precision, minus all characters in 1 bit",
        "from_full_minus_full": "1 bit after full precision, minus all characters in full precision",
    },
    reach=smaller_than("125 million"),
    ranges="0 is no difference",
)


def evidence(data: Data) -> Evidence:
    """Compare the arms of Table 4 at one size, and other forms of the layer with W23's."""
    measures = [
        _difference(data, measure, (ABLATION, of), (ABLATION, against)) for measure, (of, against) in _PAIRS.items()
    ]
    measures += [
        _difference(data, f"form.{form}", (study, "bitnet"), _ALL, study=study) for form, study in _FORM_STUDIES.items()
    ]
    grouped = {
        count: _difference(data, f"groups.{count}", (study, "bitnet"), _ALL, study=study)
        for count, study in _GROUP_STUDIES.items()
    }
    table = _losses(data, (ABLATION, *_FORM_STUDIES.values(), *_GROUP_STUDIES.values()))
    own = table.loc[table["arm"] == "bitnet"].drop_duplicates("study", keep="last").set_index("study")
    by_groups = own.loc[[ABLATION, *_GROUP_STUDIES.values()], ["loss", "low", "high"]].reset_index(drop=True)
    by_groups.insert(0, "G", [1, *GROUPS])
    by_groups["minus G = 1"] = [0.0, *(one.value for one in grouped.values())]
    return Evidence(
        (*measures, *grouped.values()),
        {"losses": table, "loss against G": by_groups},
        ("BMT, the third norm of Table 4, is cited by W23 and not described: it is not here.", *_cautions(table)),
    )


def evidence_further(data: Data) -> Evidence:
    """Compare networks trained further with those of half, and of all, of the characters."""
    measures = [
        _difference(data, measure, of, against, study=", ".join(dict.fromkeys((of[0], against[0]))))
        for measure, (of, against) in _LATER.items()
    ]
    table = _losses(data, (HALF, FURTHER, FROM_FULL, ABLATION))
    compared = {one for pair in _LATER.values() for one in pair}
    table = table.loc[[pair in compared for pair in zip(table["study"], table["arm"], strict=True)]]
    return Evidence(tuple(measures), {"losses": table.reset_index(drop=True)}, tuple(_cautions(table)))


PROOFS = (
    Proof(CLAIM, (ABLATION, *_FORM_STUDIES.values(), *_GROUP_STUDIES.values()), evidence),
    Proof(CLAIM_FURTHER, (ABLATION, HALF, FURTHER, FROM_FULL), evidence_further),
)


def _by_seed(data: Data, study: str, arm: str) -> pd.Series:
    """Return the validation losses of an arm's networks by seed, at the largest size of their study."""
    run = data.language(study)
    table = summary.networks(run)
    kept = (table["arm"] == arm) & (table["size"] == str(run.spec.shapes[-1]))
    return pd.Series(table.loc[kept].set_index("seed")["loss"])


def _difference(
    data: Data, measure: str, of: tuple[str, str], against: tuple[str, str], *, study: str = ABLATION
) -> IntervalEstimate:
    """Return the mean of loss minus loss of two pairs of a study and its arm, paired by seed."""
    apart = _by_seed(data, *of) - _by_seed(data, *against)
    run = data.language(of[0])
    meaning = "validation loss in nats per character, paired by seed"
    return seeds_interval(apart.to_numpy(), measure, meaning, f"size {run.spec.shapes[-1]}", study)


def _losses(data: Data, studies: Iterable[str]) -> pd.DataFrame:
    """Return the losses of all arms of some studies, with intervals and rates."""
    return pd.concat([rows(summary.losses(data.language(one)), study=one) for one in studies], ignore_index=True)


def _cautions(table: pd.DataFrame) -> list[str]:
    """Tell which searches for rates ended at an edge, and how many networks have no loss."""
    remarks = [
        f"The search for the rate of {row.arm} in {row.study} ended at its edge: the best rate may lie beyond."
        for row in table.loc[table["at_edge"]].itertuples()
    ]
    diverged = int(table["diverged"].to_numpy().sum())
    if diverged:
        remarks.append(f"Networks that diverged at the best rate of the search, left out of means: {diverged}.")
    return remarks
