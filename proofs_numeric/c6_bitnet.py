"""C6, C6-stable, C6-energy: BitNet against a full-precision Transformer.

**C6, W23.** The loss of both is L(N) = a N^b + c in non-embedding parameters N, and the gap between them shrinks with
N.

**C6-stable, W23.** 1-bit training is stable at learning rates at which full precision fails.

**C6-energy, W23.** At equal energy of inference the 1-bit network has the lower loss.

**Derivation.** None is given in W23; the claims are read off its figures. What one would expect: with T characters for
every size, L(N) falls as a power until T limits it, and c contains the part that more characters would remove. The gap
has a part from capacity (one bit a weight instead of about the two to four that trained weights are known to hold),
which shrinks as L(N) of a smaller N approaches c, and a part from slower training (steps of latent weights that flip
no sign do nothing), which at fixed T need not shrink.

**Experiment.** Character-level Transformers on State of the Union addresses: years before 1990 for training, from 1990
on for validation. Both arms share shape, start, batches and characters; each has its own learning rate at each size,
found by a search on the training loss alone. Gaps are paired by seed. The fit is tested where W23 uses it, by
extrapolation: a, b, c from all sizes but the largest, held against the largest. Stability: excess of the validation
loss at a multiple of full precision's best rate over the loss at that rate, each arm against itself, with a quarter of
the characters; a network that diverges counts as ln V, the loss of guessing uniformly. So each arm is held against
itself: a 1-bit network that is worse to begin with has less to lose, and whether it is the better one at such a rate
is reported beside the rule. Energy: joules of a forward
pass at 7 nm by W23's operation counts, which take floats as FP16 in every arm, though these networks are trained in
float32; at the energy of each full-precision network that lies in the range of the 1-bit ones, the 1-bit loss is
interpolated linearly in log energy. W23's models are four orders of magnitude larger and trained on more text: what is
tested here is the form of its claims at sizes that a laptop trains, not its numbers.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from ntk1bit.claims import AtMost, Claim, Evidence, IntervalEstimate, IntervalWithin, Number, Reach
from ntk1bit.claims.evidence import Measure
from ntk1bit.claims.measures import against, estimated, exponent, seeds_interval
from ntk1bit.energy.counting import Model
from ntk1bit.estimators import language as summary
from ntk1bit.experiments.language_run import LanguageRun
from ntk1bit.experiments.language_spec import PRESETS
from proofs_numeric.data import Data, grouped, rows
from proofs_numeric.proof import Proof

_STUDY = "language"
_ARMS = ("full", "bitnet")
_MODELS: tuple[Model, ...] = ("w23", "exact")
_UNKNOWN = (math.nan, math.nan, math.nan)
_TIMES = (4, 16, 64)  # multiples of the best rate of full precision
HELD_OUT_ERROR = 0.02  # of the predicted loss at the largest size, relative: seen in W23's figure as "on the curve"
_LARGEST = f"{PRESETS['standard'].shapes[-1].parameters / 1e6:.1g} million"

CLAIM = Claim(
    id="C6",
    title="the gap shrinks, small sizes predict the largest",
    statement="The gap L_bitnet - L_full between validation losses shrinks with N, and L(N) = a N^b + c, fitted to the "
    "smaller sizes of each arm, predicts its largest; whether c is above 0 five sizes do not show.",
    source="W23, Fig. 3",
    assumptions="character-level text, N from 10^4 to 10^6, the same characters for every network, rates tuned for "
    "each arm and size.",
    refuted_by="a gap whose exponent in N is above 0, or a largest size that the smaller ones do not predict",
    criteria=(
        IntervalWithin("gap.size", high=0.0),
        *(AtMost(f"held_out.{arm}", HELD_OUT_ERROR) for arm in _ARMS),
    ),
    context=(
        IntervalWithin("gap.relative.size", high=0.0),
        *(AtMost(f"held_out.power.{arm}", HELD_OUT_ERROR) for arm in _ARMS),
        IntervalWithin("sign_ptq_minus_bitnet.largest", low=0.0),
        IntervalWithin("int8_minus_full.largest", high=0.01),
        IntervalWithin("trigram_minus_bitnet.smallest", low=0.0),
        IntervalWithin("trigram_minus_bitnet.largest", low=0.0),
    ),
    labels={
        "gap.size": "exponent of the gap in N",
        "gap.relative.size": "exponent of the relative gap in N",
        **{f"held_out.{arm}": f"error of the predicted loss of the largest size, {arm}" for arm in _ARMS},
        **{f"held_out.power.{arm}": f"error of the predicted loss of the largest size, {arm}, a N^b" for arm in _ARMS},
        **{f"law.{name}.{arm}": f"{name} of {arm}" for name in ("b", "c") for arm in _ARMS},
        "sign_ptq_minus_bitnet.largest": "sign-ptq minus bitnet at the largest size",
        "int8_minus_full.largest": "int8-absmax minus full at the largest size",
        "bitnet_minus_full.largest": "bitnet minus full at the largest size",
        "trigram_minus_bitnet.smallest": "trigram minus bitnet at the smallest size",
        "trigram_minus_bitnet.largest": "trigram minus bitnet at the largest size",
        "trigram.loss": "loss of the trigram model",
    },
    reach=Reach(sizes=f"{_LARGEST} parameters at most, where W23 has 30 billion"),
    ranges="0 is no change; 2 % of the loss is from a trial run: repeating the loss of the size before errs by more",
)
CLAIM_STABLE = Claim(
    id="C6-stable",
    title="too large a rate costs 1 bit less of its own loss",
    statement="At 16 times the best rate of full precision the 1-bit network loses less, against its own loss at that "
    "best rate, than the full-precision one.",
    source="W23, Fig. 5",
    assumptions="the middle size, a quarter of the characters, Adam without clipping of gradients.",
    refuted_by="a 1-bit excess that is the larger one",
    criteria=(IntervalWithin("excess.times16", low=0.0),),
    context=(
        IntervalWithin("bitnet_minus_full.times16", high=0.0),
        IntervalWithin("excess.times4", low=0.0),
        IntervalWithin("excess.times64", low=0.0),
        IntervalWithin("rate.log2", low=0.0),
    ),
    labels={
        **{f"excess.times{k}": f"excess of full minus excess of bitnet at {k} times the rate" for k in _TIMES},
        **{f"bitnet_minus_full.times{k}": f"bitnet minus full at {k} times the rate" for k in _TIMES},
        "rate.log2": "log2 of the best rate, bitnet over full, mean over sizes",
    },
    reach=Reach(sizes="one size, in the middle of those of C6, and one rate"),
    ranges="0 is no difference",
)
_ENERGY_LABELS = {
    "equal_energy.w23": "bitnet minus full at equal energy",
    "equal_energy.exact": "bitnet minus full at equal energy, our exact counting",
}
CLAIM_ENERGY = Claim(
    id="C6-energy",
    title="at W23's equal energy 1 bit has the lower loss",
    statement="At the inference energy of a full-precision network, counted as W23 counts it at 7 nm, a 1-bit network "
    "has a lower validation loss.",
    source="W23, Fig. 3",
    assumptions="as C6; energy of arithmetic only, no movement of data; full precision in FP16 as in W23.",
    refuted_by="a 1-bit loss above the full-precision one",
    criteria=(IntervalWithin("equal_energy.w23", high=0.0),),
    labels=_ENERGY_LABELS,
    reach=Reach(sizes=f"{_LARGEST} parameters at most, where W23 has 30 billion"),
    ranges="0 is no difference",
)
CLAIM_ENERGY_ALL = replace(
    CLAIM_ENERGY,
    id="C6-energy-all",
    title="all energy counted, 1 bit has the lower loss",
    statement="At the inference energy of a full-precision network, everything that a forward pass computes counted at "
    "7 nm, a 1-bit network has a lower validation loss.",
    source="ours, against W23, Fig. 3",
    criteria=(IntervalWithin("equal_energy.exact", high=0.0),),
)


def evidence(data: Data) -> Evidence:
    """Fit both arms against N, test the fit by extrapolation, and measure the gap between them."""
    run = data.language(_STUDY)
    paired = summary.gaps(run, of="bitnet")
    meaning = "validation loss, bitnet minus full, nats per character"
    gap = against(paired, "parameters", "gap", meaning=meaning, signed=True)
    relative = against(paired, "parameters", "relative", meaning="gap over the loss of full precision", signed=True)
    table = summary.losses(run)
    span = _span(run)
    measures: list[Measure] = [exponent(gap, "gap.size", _STUDY), exponent(relative, "gap.relative.size", _STUDY)]
    laws = []
    for arm in _ARMS:
        meaning = "|predicted over observed - 1|, a N^b + c fitted to the smaller sizes"
        measures.append(Number(f"held_out.{arm}", meaning, summary.held_out_error(run, arm), span, _STUDY))
        error, plain = summary.held_out_error(run, arm, form="power"), meaning.replace(" + c", "")
        measures.append(Number(f"held_out.power.{arm}", plain, error, span, _STUDY))
        found, law = _law(run, arm, span)
        measures += found
        laws.append(law)
    smallest, largest = (run.spec.shapes[place].parameters for place in (0, -1))
    measures += [
        _difference(run, "sign-ptq", "bitnet", largest, "sign_ptq_minus_bitnet.largest"),
        _difference(run, "int8-absmax", "full", largest, "int8_minus_full.largest"),
        _difference(run, "bitnet", "full", largest, "bitnet_minus_full.largest"),
        _trigram(run, smallest, "trigram_minus_bitnet.smallest"),
        _trigram(run, largest, "trigram_minus_bitnet.largest"),
        Number(
            "trigram.loss",
            "validation loss in nats per character, on the same windows",
            float(run.trigram["loss"]),
            f"{run.spec.windows} windows of {run.spec.context} characters",
            _STUDY,
        ),
    ]
    edges = table.loc[table["at_edge"] & table["arm"].isin(run.spec.trained_arms)]
    remarks = [
        f"The search for the rate of {row.arm} at {row.size} ended at its edge: the best rate may lie beyond."
        for row in edges.itertuples()
    ]
    diverged = int(np.sum(table["diverged"].to_numpy()))
    if diverged:
        remarks.append(f"{diverged} networks diverged at the best rate of the search and are left out of means.")
    return Evidence(
        tuple(measures),
        {
            "losses": table,
            "gap": gap.table.rename(columns={"parameters": "N"}),
            "laws": pd.concat(laws, ignore_index=True),
            "rates tried": summary.searched(run),
        },
        tuple(remarks),
    )


def evidence_stable(data: Data) -> Evidence:
    """Compare how much both arms lose at too large a rate."""
    run = data.language(_STUDY)
    found = summary.excess(run)
    size = run.spec.shapes[len(run.spec.shapes) // 2]
    measures = []
    for times in run.spec.stability:
        at_rate = found.loc[found["times"] == times]
        excess, loss = (at_rate.pivot(index="seed", columns="arm", values=name) for name in ("excess", "loss"))
        meaning = "validation loss in nats, paired by seed: the arms against each other, not against themselves"
        for values, name, what in (
            (excess["full"] - excess["bitnet"], "excess", "nats per character, paired by seed"),
            (loss["bitnet"] - loss["full"], "bitnet_minus_full", meaning),
        ):
            measures.append(seeds_interval(values, f"{name}.times{times:g}", what, f"size {size}", _STUDY))
    ratios = [math.log2(run.rates["bitnet", str(one)] / run.rates["full", str(one)]) for one in run.spec.shapes]
    span = f"{len(ratios)} sizes, one search each"
    meaning = "interval over sizes, not seeds"
    measures.append(seeds_interval(ratios, "rate.log2", meaning, span, _STUDY, units="sizes"))
    return Evidence(tuple(measures), {"excess": summary.mean_excess(run), "rates tried": summary.searched(run)})


def evidence_energy(data: Data) -> Evidence:
    """Compare both arms at the energies of the full-precision networks."""
    run = data.language(_STUDY)
    measures, tables = [], []
    for model in _MODELS:
        found = summary.at_equal_energy(run, model=model)
        by_seed = pd.Series(found.groupby("seed")["difference"].mean()).to_numpy()
        sizes = ", ".join(found["size"].unique())
        meaning = "validation loss in nats, mean over full-precision sizes in the range of the 1-bit energies"
        measures.append(seeds_interval(by_seed, f"equal_energy.{model}", meaning, f"energies of full {sizes}", _STUDY))
        if len(found):
            tables.append(rows(grouped(found, ["size", "joules"], ["difference"]), counting=model))
    spent = summary.loss_against_energy(run)
    largest = spent.loc[spent["arm"] == "full"].sort_values("parameters").iloc[-1]
    sixteen, more = float(largest["joules"]), float(largest["joules_float32"])
    remark = (
        "Floats count as FP16 in every arm, as in W23. In the float32 that full precision is trained in here, it takes "
        f"{more / sixteen:.3g} times as much at {largest['size']}: {more * 1e6:.3g} against {sixteen * 1e6:.3g} "
        "microjoules (`joules_float32` and `joules` in the table)."
    )
    return Evidence(
        tuple(measures),
        {
            "loss against energy": spent,
            "at equal energy": pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(),
        },
        (remark,),
    )


PROOFS = (
    Proof(CLAIM, (_STUDY,), evidence),
    Proof(CLAIM_STABLE, (_STUDY,), evidence_stable),
    Proof(CLAIM_ENERGY, (_STUDY,), evidence_energy),
    Proof(CLAIM_ENERGY_ALL, (_STUDY,), evidence_energy),
)


def _law(run: LanguageRun, arm: str, span: str) -> tuple[list[IntervalEstimate], pd.DataFrame]:
    """Return exponent and floor of the law of one arm, and its curve with a band."""
    b, c, note = summary.law_intervals(run, arm)
    seeds = len(run.spec.seeds)
    about_b = "exponent of L(N) = a N^b + c, bootstrap over seeds"
    about_c = "floor of L(N) = a N^b + c in nats, at these characters per network"
    estimates = [
        estimated(f"law.b.{arm}", about_b, b, seeds, span, _STUDY, note),
        estimated(f"law.c.{arm}", about_c, c, seeds, span, _STUDY),
    ]
    return estimates, summary.law_curve(run, arm)


def _difference(run: LanguageRun, of: str, against_arm: str, parameters: int, name: str) -> IntervalEstimate:
    missing = [arm for arm in (of, against_arm) if arm not in run.spec.arms]
    span = f"N = {parameters:,}"
    if missing:
        return estimated(name, "", _UNKNOWN, 0, span, _STUDY, f"no arm {missing[0]} in this run")
    found = summary.gaps(run, of=of, against=against_arm)
    found = found.loc[found["parameters"] == parameters]
    return seeds_interval(found["gap"].to_numpy(), name, "nats per character, paired by seed", span, _STUDY)


def _trigram(run: LanguageRun, parameters: int, name: str) -> IntervalEstimate:
    table = summary.networks(run)
    own = table.loc[(table["arm"] == "bitnet") & (table["parameters"] == parameters), "loss"].to_numpy()
    meaning = "nats per character, on the same windows"
    return seeds_interval(float(run.trigram["loss"]) - own, name, meaning, f"N = {parameters:,}", _STUDY)


def _span(run: LanguageRun) -> str:
    values = [one.parameters for one in run.spec.shapes]
    return f"N = {values[0]:,}..{values[-1]:,}, {len(values)} sizes"
