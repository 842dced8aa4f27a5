"""C9-int8, C9-ptq: BitNet as W23 writes it against networks that are quantised after training.

**C9-int8.** BitNet is competitive with the best 8-bit quantisation after training at less energy (abstract; on a par
with it in section 4.2).

**C9-ptq.** Networks quantised after training to 4, 2 or 1 bits are worse than BitNet (section 4.2, Table 3), at every
size (Fig. 6); they lose more the fewer the bits, while training in 1 bit does not (section 1); at 4 bits quantising
weights alone is better than quantising activations too (section 4.2).

**Derivation.** None is given in W23. What one would expect: rounding to b bits adds an error of relative size about
2^-b to each weight that training could not correct, and the loss rises with its square; at 1 bit nothing of a magnitude
is left, and only a network that was trained for its signs has signs that work. At 4 bits the error may be smaller
than what one bit a weight costs in capacity: there, and only there, either may win. In 8 bits the loss of the floats is
all but kept, so that at equal size the 8-bit network is ahead by the gap of C9, and at equal energy the comparison is
that of C9-cost with a cheaper rival: its linear maps cost 0.077 pJ per multiply-accumulate against BitNet's 0.007.

That training in 1 bit gains on quantising afterwards as bits fall (section 1) is the same statement as that the best
loss rises as bits fall: BitNet's loss is in both terms of the difference, and cancels. It is judged once.

**Experiment.** Study `bitnet`, as in C9. The 16-bit networks with Pre-LN are quantised by each method of W23's Table 3;
BitNet is trained with the same start, batches and text. Differences are paired by seed; intervals are Student's over
seeds. The best method of a number of bits is the one with the least mean loss over seeds at that size; as it is chosen
with the data that it is judged on, it looks a little better than it is, which speaks against BitNet. The rule is on the
mean over sizes; where W23 says it of every size, also on the size at which the lower end of the interval is least: if
that end is above 0, all are, each at the full level (Berger 1982). Energy of 8-bit networks is W23's counting with
8-bit multiplications and additions in linear maps. A network without a finite loss, as one whose activations overflow
after rounding, is worse than any: its method is the best of its bits only where each of them has such a network. A
difference with such a network has no value; its seed is left out and counted, and a rule asks for all five seeds.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.claims import Claim, Evidence, IntervalEstimate, IntervalWithin
from ntk1bit.claims.measures import seeds_interval
from ntk1bit.data.choices import SHOTS
from ntk1bit.estimators import language as summary
from ntk1bit.experiments.language_run import LanguageRun
from ntk1bit.networks.post_training.methods import METHODS
from proofs_numeric.bitnet_studies import BITNET, smaller_than
from proofs_numeric.c9_as_written import STUDY, by_size, cautions, over_sizes
from proofs_numeric.data import Data, rows
from proofs_numeric.proof import Proof

_BITS = (8, 4, 2, 1)
METHODS_OF = {  # those of W23's Table 3
    bits: tuple(name for name, one in METHODS.items() if one.in_w23 and one.weight_bits == bits) for bits in _BITS
}
_W4A4 = ("absmax-w4a4", "smoothquant-w4a4")
_FALLING = tuple(itertools.pairwise(_BITS))  # 8 to 4, 4 to 2, 2 to 1
_ABSMAX = {8: "absmax-w8a8", 4: "absmax-w4a4", 1: "absmax-w1a8"}
_ABSMAX_FALLING = ((8, 4), (4, 1))
_AFTERWARDS = (1, 2, 4)  # bits after training at which W23 finds BitNet the better one
_ANSWERED = "share of questions answered rightly, mean over sizes"
ON_A_PAR = 0.031  # W23, Table 3: BitNet's 4.093 bits (perplexity 17.07) over SmoothQuant's 3.970 (15.67), less 1
ON_A_PAR_ACCURACY = -0.008  # W23, Table 3: BitNet's average 55.9 % against SmoothQuant's 56.7 %

CLAIM_INT8 = Claim(
    id="C9-int8",
    title="BitNet as written is ahead of 8 bits per joule",
    statement="At the inference energy of a 16-bit Transformer quantised to 8 bits after training, by the better of "
    "absmax and SmoothQuant, BitNet has the lower validation loss.",
    source="W23, abstract, section 4.2, Table 3",
    assumptions="as C9-cost; 8-bit energy is that of 8-bit multiplications and additions in linear maps.",
    refuted_by="a 1-bit loss above that of the 8-bit network at equal energy",
    criteria=(IntervalWithin("equal_energy", high=0.0),),
    context=(
        IntervalWithin("equal_size.nats", high=0.0),
        IntervalWithin("equal_size.relative", high=ON_A_PAR),
        *(IntervalWithin(f"equal_size.accuracy.{examples}", low=ON_A_PAR_ACCURACY) for examples in SHOTS),
    ),
    labels={
        "equal_energy": "bitnet minus 8 bits at equal energy",
        "equal_size.nats": "bitnet minus 8 bits at equal size",
        "equal_size.relative": "bitnet over 8 bits, less 1, at equal size",
        **{
            f"equal_size.accuracy.{examples}": f"accuracy with {examples} examples, bitnet minus 8 bits at equal size"
            for examples in SHOTS
        },
    },
    reach=smaller_than("6.7 billion"),
    ranges="0 is no difference; margins of context are W23's own differences",
)
CLAIM_PTQ = Claim(
    id="C9-ptq",
    title="training in 1 bit beats quantising afterwards",
    statement="At every size the best of W23's methods that quantise after training to 4, 2 or 1 bits has a higher "
    "validation loss than BitNet; the loss rises as bits fall from 8 to 4, 2 and 1; at 4 bits GPTQ, which leaves "
    "activations alone, has a lower loss than absmax and SmoothQuant.",
    source="W23, sections 1 and 4.2, Table 3, Fig. 6",
    assumptions="as C9; methods quantise the trained 16-bit network with Pre-LN, calibrated on training text.",
    refuted_by="a method of 4 bits or fewer that is better than BitNet, in the mean over sizes or at one, or a loss "
    "that falls with the bits",
    criteria=(
        *(IntervalWithin(f"ptq_minus_bitnet.{bits}", low=0.0) for bits in _AFTERWARDS),
        *(IntervalWithin(f"ptq_minus_bitnet.{bits}.least", low=0.0) for bits in _AFTERWARDS),
        IntervalWithin("weights_only.4", high=0.0),
        *(IntervalWithin(f"absmax.{more}_to_{fewer}", low=0.0) for more, fewer in _ABSMAX_FALLING),
        *(IntervalWithin(f"best.{more}_to_{fewer}", low=0.0) for more, fewer in _FALLING),
    ),
    context=(
        IntervalWithin("gptq_minus_absmax.4", high=0.0),
        *(IntervalWithin(f"accuracy.{examples}.{bits}", low=0.0) for examples in SHOTS for bits in _AFTERWARDS),
    ),
    labels={
        **{f"ptq_minus_bitnet.{bits}": f"best of {bits} bits after training minus bitnet" for bits in _BITS},
        **{
            f"ptq_minus_bitnet.{bits}.least": f"best of {bits} bits after training minus bitnet, at its least"
            for bits in _BITS
        },
        "weights_only.4": "gptq-w4 minus the better of the two W4A4",
        "gptq_minus_absmax.4": "gptq-w4 minus absmax-w4a4",
        "absmean_minus_absmax.1": "absmean-w1a8, which W23 has not, minus absmax-w1a8",
        **{f"absmax.{a}_to_{b}": f"{_ABSMAX[b]} minus {_ABSMAX[a]}" for a, b in _ABSMAX_FALLING},
        **{f"best.{a}_to_{b}": f"best of {b} bits minus best of {a}" for a, b in _FALLING},
        **{
            f"accuracy.{examples}.{bits}": f"accuracy with {examples} examples, bitnet minus best of {bits} bits"
            for examples in SHOTS
            for bits in _AFTERWARDS
        },
    },
    reach=smaller_than("6.7 billion"),
    ranges="0 is no difference",
)


def evidence_int8(data: Data) -> Evidence:
    """Compare BitNet with the better 8-bit network of each size, at its energy and at its size."""
    run = data.language(STUDY)
    losses = _values(run, "loss")
    rival = best_methods(losses, METHODS_OF[8])
    better = pd.DataFrame({"size": [str(shape) for shape in run.spec.shapes], "method": rival})
    every = [summary.at_equal_energy(run, of=BITNET, against=arm).assign(method=arm) for arm in METHODS_OF[8]]
    found = pd.concat(every).merge(better).sort_values(["joules", "seed"])
    meaning = "validation loss in nats, mean over sizes"
    mine, theirs = losses[BITNET], _of(losses, rival)
    relative = "validation loss over that of the rival, less 1, mean over sizes"
    measures = [
        over_sizes(run, found, "difference", "equal_energy", meaning),
        _mean(_minus(mine, theirs), "equal_size.nats", meaning),
        _mean(_minus(mine, theirs) / np.where(np.isfinite(theirs), theirs, np.nan), "equal_size.relative", relative),
    ]
    for examples in SHOTS:
        accuracy = _values(run, summary.accuracy_column(examples))
        apart = accuracy[BITNET] - _of(accuracy, rival)
        measures.append(_mean(apart, f"equal_size.accuracy.{examples}", _ANSWERED))
    arms = (BITNET, *METHODS_OF[8])
    spent = summary.loss_against_energy(run)
    tables = {
        "loss against energy": pd.DataFrame(spent.loc[spent["arm"].isin(arms)]).reset_index(drop=True),
        "at equal energy": by_size(found, "difference"),
        "better 8-bit method": better,
    }
    return Evidence(tuple(measures), tables, cautions(run, arms))


def evidence_ptq(data: Data) -> Evidence:
    """Compare the best method of each number of bits with BitNet, with each other, and by what they quantise."""
    run = data.language(STUDY)
    losses = _values(run, "loss")
    sizes = [str(shape) for shape in run.spec.shapes]
    chosen = {bits: best_methods(losses, METHODS_OF[bits]) for bits in _BITS}
    best = {bits: _of(losses, chosen[bits]) for bits in _BITS}
    meaning = "validation loss in nats, mean over sizes"
    measures, tables = [], []
    for bits in _BITS:
        apart, name = _minus(best[bits], losses[BITNET]), f"ptq_minus_bitnet.{bits}"
        measures += [_mean(apart, name, meaning), _least(apart, sizes, f"{name}.least")]
        long = pd.DataFrame({"size": np.repeat(sizes, apart.shape[1]), "difference": apart.ravel()})
        tables.append(rows(by_size(long, "difference").assign(method=chosen[bits]), bits=bits))
    pairs = {
        "weights_only.4": (losses["gptq-w4"], _of(losses, best_methods(losses, _W4A4))),
        "gptq_minus_absmax.4": (losses["gptq-w4"], losses["absmax-w4a4"]),
        "absmean_minus_absmax.1": (losses["absmean-w1a8"], losses["absmax-w1a8"]),
        **{f"absmax.{a}_to_{b}": (losses[_ABSMAX[b]], losses[_ABSMAX[a]]) for a, b in _ABSMAX_FALLING},
        **{f"best.{a}_to_{b}": (best[b], best[a]) for a, b in _FALLING},
    }
    measures += [_mean(_minus(one, other), name, meaning) for name, (one, other) in pairs.items()]
    for examples in SHOTS:
        accuracy = _values(run, summary.accuracy_column(examples))
        for bits in _AFTERWARDS:
            apart = accuracy[BITNET] - _of(accuracy, chosen[bits])
            measures.append(_mean(apart, f"accuracy.{examples}.{bits}", _ANSWERED))
    return Evidence(
        tuple(measures),
        {
            "losses": summary.losses(run),
            "accuracies": summary.accuracies(run),
            "best method minus bitnet": pd.concat(tables, ignore_index=True),
        },
        cautions(run, run.spec.arms),
    )


PROOFS = (Proof(CLAIM_INT8, (STUDY,), evidence_int8), Proof(CLAIM_PTQ, (STUDY,), evidence_ptq))

Values = Float[np.ndarray, "sizes seeds"]


def best_methods(losses: dict[str, Values], methods: tuple[str, ...]) -> list[str]:
    """Return for each size the method with the least mean loss over seeds, the first of equals; losses may be inf."""
    return [methods[at] for at in np.argmin([losses[method].mean(axis=1) for method in methods], axis=0)]


def _values(run: LanguageRun, column: str) -> dict[str, Values]:
    """Return a column of all networks by arm, sizes from small to large; a loss that is not known is infinite."""
    table = summary.networks(run)
    keys = zip(table["arm"], table["size"], table["seed"], strict=True)
    values = table[column].fillna(math.inf if column == "loss" else math.nan).to_numpy(dtype=np.float64)
    of = dict(zip(keys, values, strict=True))
    spec = run.spec
    return {
        arm: np.array([[of[arm, str(shape), seed] for seed in spec.seeds] for shape in spec.shapes])
        for arm in spec.arms
    }


def _of(values: dict[str, Values], chosen: list[str]) -> Values:
    """Return the values of the method chosen at each size."""
    return np.stack([values[method][place] for place, method in enumerate(chosen)])


def _minus(one: Values, other: Values) -> Values:
    """Subtract; no loss minus no loss is not known."""
    with np.errstate(invalid="ignore"):
        return one - other


def _mean(apart: Values, name: str, meaning: str) -> IntervalEstimate:
    """Estimate a mean over all sizes; a seed with a size without a finite value has none."""
    known = np.where(np.isfinite(apart).all(axis=0), apart, np.nan)
    return seeds_interval(known.mean(axis=0), name, meaning, f"{len(apart)} sizes", STUDY)


def _least(apart: Values, sizes: list[str], name: str) -> IntervalEstimate:
    """Estimate the value at the size where the lower end of its interval is least; a lack of values is lower still."""
    meaning = "validation loss in nats, at the size where the lower end of the interval is least"
    found = [seeds_interval(at, name, meaning, f"size {size}", STUDY) for size, at in zip(sizes, apart, strict=True)]
    return min(found, key=lambda one: -math.inf if one.note or math.isnan(one.low) else one.low)
