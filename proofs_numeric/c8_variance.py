"""C8, C8-one, C8-kept: the variance of what leaves a BitLinear layer at the start, with and without SubLN.

**C8, W23, Eqs. 8 to 10.** For y = Wq xq with n inputs, Var(y) = n E[wq^2] E[xq^2] = n beta^2 E[x^2].

**C8-one, W23, Eq. 10 and the text after it.** n beta^2 E[x^2] ~ E[x^2], so that with SubLN Var(y) ~ E[LN(x)^2] = 1.

**C8-kept.** What SubLN does do: with it Var(y) is the same for inputs of any size and in every layer of a stack;
without it Var(y) is multiplied by n beta^2 from layer to layer.

**Derivation.** Let wq = beta s with signs s that are independent of each other and of x, with mean 0. Then
E[y^2] = beta^2 sum_jk E[s_j s_k] E[x_j x_k] = beta^2 sum_j E[x_j^2] = n beta^2 E[x^2], and E[y] = 0; x need have
neither mean 0 nor independent entries. (Subtracting alpha makes the signs of a matrix dependent, by O(1/n^2).) This
counts beta into wq, as Eq. 10 does.

For weights of variance v/n and beta = c sqrt(v/n), n beta^2 = c^2 v, c being E|w| over the standard deviation:
c^2 = 2/pi for a Gaussian, 3/4 for a uniform distribution. So n beta^2 is

    N(0, 1/n)                    2/pi = 0.637
    Xavier uniform, square       3/4
    N(0, 2/n) (He)               4/pi = 1.273

and not 1 for any of these, however wide the layer. (It would be 1 for Gaussian weights of variance pi/(2n).) With SubLN
E[LN(x)^2] = 1 at every input, up to the 1e-5 under its root: Var(y) = n beta^2, a constant. Without it a stack of L
layers has Var = (n beta^2)^L E[x^2].

**Experiment.** Square layers in W23's form (`networks.bitlinear_form`) as they are drawn, without training: three usual
initialisations, inputs with and without a mean, of size 1 and 4, in stacks of 8, each layer the input of the next. The
variance is taken over outputs and averaged over rows of inputs. C8-one asks for 1 within a tenth: W23 gives no
tolerance, and a tenth is what would be read off the sign ~. (The three values of n beta^2 were known from the
derivation when that was set down, before any layer was drawn.) C8-kept asks that eight layers change nothing by
more than a twentieth with SubLN, and that without it they change the variance at least twofold.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from ntk1bit.claims import Claim, Evidence, IntervalWithin
from ntk1bit.claims.evidence import IntervalEstimate
from ntk1bit.claims.measures import seeds_interval
from proofs_numeric.data import Data, grouped, highest
from proofs_numeric.proof import Proof

STUDY = "layer-variance"
GAINS = {"normal": 2 / np.pi, "xavier": 3 / 4, "he": 4 / np.pi}  # n beta^2
INITS = {"normal": "N(0, 1/n)", "xavier": "Xavier uniform", "he": "N(0, 2/n)"}
NORMS = {"sub_norm": "with SubLN", "plain": "without SubLN"}
INPUTS = {"normal": "inputs of mean 0", "gelu": "inputs with a mean"}
_CASES = tuple(itertools.product(INITS, NORMS, INPUTS))

CLAIM = Claim(
    id="C8",
    title="Var(y) of a 1-bit layer is n beta^2 E[x^2]",
    statement="For y = beta Sign(W - alpha) x with n inputs, Var(y) = n beta^2 E[x^2] at the start, x being what is "
    "quantised: LN(x) with SubLN.",
    source="W23, Eqs. 8 to 10",
    assumptions="weights independent, of mean 0 and independent of x; inputs with and without a mean.",
    refuted_by="a variance that differs from n beta^2 E[x^2] by more than a twentieth",
    criteria=tuple(IntervalWithin(f"ratio.{init}.{norm}.{inputs}", 0.95, 1.05) for init, norm, inputs in _CASES),
    context=tuple(IntervalWithin(f"gain.{init}", 0.99 * gain, 1.01 * gain) for init, gain in GAINS.items()),
    labels={
        **{
            f"ratio.{init}.{norm}.{inputs}": f"Var(y)/(n beta^2 E[x^2]), {INITS[init]}, {NORMS[norm]}, {INPUTS[inputs]}"
            for init, norm, inputs in _CASES
        },
        **{f"gain.{init}": f"n beta^2, {words}" for init, words in INITS.items()},
    },
    ranges="1 is the statement's own; 0.05 is three standard errors of a variance over the units of the "
    "narrowest layer",
)

ONE = Claim(
    id="C8-one",
    title="with SubLN the variance of a 1-bit layer is about 1",
    statement="n beta^2 is about 1, so that with SubLN Var(y) is about 1 at the start, for the usual initialisations.",
    source="W23, Eq. 10",
    assumptions="as C8; W23 names no initialisation and no tolerance: three usual ones, and a tenth.",
    refuted_by="one usual initialisation whose Var(y) with SubLN is off 1 by more than a tenth",
    criteria=tuple(IntervalWithin(f"one.{init}", 0.9, 1.1) for init in INITS),
    context=tuple(IntervalWithin(f"twofold.{init}", 0.5, 2.0) for init in INITS),
    labels={
        **{f"one.{init}": f"Var(y) with SubLN, {words}" for init, words in INITS.items()},
        **{f"twofold.{init}": f"Var(y) with SubLN, to a factor of two, {words}" for init, words in INITS.items()},
    },
    ranges="1 is the statement's own; a tenth is our reading of 'about'",
)

KEPT = Claim(
    id="C8-kept",
    title="SubLN keeps the variance over depth and input size",
    statement="With SubLN Var(y) does not depend on the size of the inputs or on the depth of a stack of 8 layers; "
    "without SubLN the last layer's variance differs from the first's at least twofold.",
    source="W23, section 2.1, after Eq. 10 (the purpose of SubLN)",
    assumptions="as C8; layers follow each other without a residual stream or an activation.",
    refuted_by="a variance that depth or input size changes in spite of SubLN, or that stays without it",
    criteria=(
        *(IntervalWithin(f"depth.{init}.sub_norm", 0.95, 1.05) for init in INITS),
        *(IntervalWithin(f"size.{init}.sub_norm", 0.95, 1.05) for init in INITS),
        IntervalWithin("depth.normal.plain", high=0.5),
        IntervalWithin("depth.xavier.plain", high=0.5),
        IntervalWithin("depth.he.plain", low=2.0),
    ),
    labels={
        **{
            f"depth.{init}.{norm}": f"Var(y) of the last over the first layer, {words}, {NORMS[norm]}"
            for (init, words), norm in itertools.product(INITS.items(), NORMS)
        },
        **{
            f"size.{init}.sub_norm": f"Var(y) of inputs of size 4 over size 1, {words}, with SubLN"
            for init, words in INITS.items()
        },
    },
    ranges="1 is the statement's own; a factor of two is our reading of 'not kept'",
)


def widest_layers(data: Data) -> pd.DataFrame:
    """Return the rows of the widest layers, `norm` being ``"sub_norm"`` or ``"plain"``."""
    frame = data.frame(STUDY)
    frame = frame.loc[frame["width"] == highest(frame["width"])]
    return frame.assign(norm=np.where(frame["sub_norm"], "sub_norm", "plain"))


def select(frame: pd.DataFrame, **settings: object) -> pd.DataFrame:
    """Return the rows with these settings, by seed."""
    for name, value in settings.items():
        frame = frame.loc[frame[name] == value]
    return frame.set_index("seed").sort_index()


def evidence(data: Data) -> Evidence:
    """Hold the variance of first layers against n beta^2 E[x^2]."""
    frame = widest_layers(data)
    first = frame.loc[(frame["layer"] == 1) & (frame["size"] == 1)]
    measures = []
    for init, norm, inputs in _CASES:
        part = select(first, init=init, norm=norm, inputs=inputs)
        measures.append(_interval(part["variance"] / part["predicted"], f"ratio.{init}.{norm}.{inputs}", CLAIM, frame))
    for init in INITS:
        part = select(first, init=init, norm="plain", inputs="normal")
        measures.append(_interval(part["gain"], f"gain.{init}", CLAIM, frame))
    keys = ["width", "init", "inputs", "sub_norm", "size"]
    every = data.frame(STUDY)
    table = grouped(every.loc[every["layer"] == 1], keys, ["gain", "square", "predicted", "variance"])
    return Evidence(tuple(measures), {"first layers": table})


def one_evidence(data: Data) -> Evidence:
    """Look at the variance of first layers with SubLN."""
    frame = widest_layers(data)
    measures = []
    for name, init in itertools.product(("one", "twofold"), INITS):
        part = select(frame, init=init, norm="sub_norm", inputs="normal", size=1, layer=1)
        measures.append(_interval(part["variance"], f"{name}.{init}", ONE, frame))
    remark = "Gaussian weights of variance pi/(2n) in place of 1/n would make it 1."
    return Evidence(tuple(measures), {}, (remark,))


def kept_evidence(data: Data) -> Evidence:
    """Compare the last with the first layer, and inputs of both sizes."""
    frame = widest_layers(data)
    given = frame.loc[frame["inputs"] == "normal"]
    last = int(highest(frame["layer"]))
    large = float(highest(frame["size"]))
    measures = []
    for init, norm in itertools.product(INITS, NORMS):
        top, bottom = (select(given, init=init, norm=norm, size=1, layer=layer)["variance"] for layer in (last, 1))
        measures.append(_interval(top / bottom, f"depth.{init}.{norm}", KEPT, frame))
    for init in INITS:
        big, small = (
            select(given, init=init, norm="sub_norm", size=size, layer=last)["variance"] for size in (large, 1)
        )
        measures.append(_interval(big / small, f"size.{init}.sub_norm", KEPT, frame))
    table = grouped(given, ["width", "init", "sub_norm", "size", "layer"], ["variance"])
    return Evidence(tuple(measures), {"variance by layer": table})


def _interval(values: pd.Series | pd.DataFrame, measure: str, claim: Claim, frame: pd.DataFrame) -> IntervalEstimate:
    where = f"n = {highest(frame['width']):g}"
    return seeds_interval(np.asarray(values), measure, claim.label(measure), where, STUDY)


PROOFS = (
    Proof(CLAIM, (STUDY,), evidence),
    Proof(ONE, (STUDY,), one_evidence),
    Proof(KEPT, (STUDY,), kept_evidence),
)
