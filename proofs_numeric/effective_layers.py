r"""C11-layers: how much of a straight-through step arrives in each layer of a deep 1-bit network.

In D25's two-layer network the effective kernel is, for many inputs, sqrt(2/pi) times the kernel of the surrogate in
every direction but the shift of a row. The argument is about one quantised matrix in front of fixed signals: it holds
layer by layer in a deep network, whose other layers are differentiated as they are, and for other quantisers with
their own jump and density (`ntk1bit.autodiff.arriving_steps`). W23's BitLinear then passes 2/pi = 0.637 of a step, its
ternary form 0.588: what a learning rate of theirs means, beside that of full precision.

**Experiment.** Networks of three quantised layers and a full-precision readout, as drawn, 16 Gaussian inputs, outputs
weighted with random signs; c of each layer by a central difference over a move of 0.02 m^-1/2 of the weights' size,
which changes what a neuron sees by a fiftieth. It is held against what the layer's own gradient says, at the widest.

A first run, of 16 networks, could not tell one of the twelve layers from a tenth off; these are 48 others. Trial runs
had c within a tenth of that at m = 512, from below, and closer for smaller moves.
"""

from __future__ import annotations

import itertools

import numpy as np

from ntk1bit.claims import Claim, Evidence, IntervalWithin
from ntk1bit.claims.measures import seeds_interval
from proofs_numeric.data import Data, grouped, highest
from proofs_numeric.proof import Proof

STUDY = "layer-ratios"
_WORDS = {"std": "neurons, std", "absmean": "neurons, absmean", "bitnet": "BitLinear", "b158": "ternary BitLinear"}
_EACH = tuple(itertools.product(_WORDS, (1, 2, 3)))

CLAIM = Claim(
    id="C11-layers",
    title="each 1-bit layer learns c times as fast as told",
    statement="In a wide deep 1-bit network a straight-through step changes the outputs by c times what a layer's "
    "gradient says, c being the quantiser's jump times the density of weights at it.",
    source="ours",
    assumptions="Gaussian weights as drawn, three quantised layers of m inputs, 16 Gaussian inputs.",
    refuted_by="a layer whose c is off that by more than a tenth at the widest",
    criteria=tuple(IntervalWithin(f"c.{one}.{layer}", 0.9, 1.1) for one, layer in _EACH),
    labels={
        **{f"c.{one}.{layer}": f"c over expected, {_WORDS[one]}, layer {layer}" for one, layer in _EACH},
        **{f"measured.{one}": f"c, {words}, mean of three layers" for one, words in _WORDS.items()},
    },
    ranges="a tenth, three times what a layer of 1,024 inputs may add by its few inputs, m^-1/2 = 0.03",
)


def evidence(data: Data) -> Evidence:
    """Hold c of each layer against what is expected."""
    frame = data.frame(STUDY)
    frame = frame.assign(share=frame["ratio"] / frame["expected"])
    widest = frame.loc[frame["width"] == highest(frame["width"])]
    where = f"m = {highest(frame['width']):g}"
    found = []
    for one, layer in _EACH:
        share = widest.loc[(widest["quantiser"] == one) & (widest["layer"] == layer), "share"]
        found.append(seeds_interval(share, f"c.{one}.{layer}", "measured over expected", where, STUDY))
    for one in _WORDS:
        means = widest.loc[widest["quantiser"] == one].groupby("seed")["ratio"].mean()
        found.append(seeds_interval(np.asarray(means), f"measured.{one}", "of a step that arrives", where, STUDY))
    table = grouped(frame, ["quantiser", "width", "layer"], ["ratio", "expected", "share"])
    return Evidence(tuple(found), {"c by layer": table})


PROOFS = (Proof(CLAIM, (STUDY,), evidence),)
