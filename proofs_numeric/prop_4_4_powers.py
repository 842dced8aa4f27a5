"""D25, Proposition 4.4 in each of its variables: one feed-forward layer of a 1-bit Transformer.

**Statement.** A 1-bit Transformer of which one feed-forward layer trains reaches a loss eps if the layer is wide
enough: m >= Omega(lambda^-8 n^12 K^12 d^20/(delta eps)^4) for n sequences of K tokens.

**What can be tested.** The width is a sufficient one, so the proposition is wrong about a variable if the width needed
grows faster in it. On features of real text lambda = lambda_min(H(0)) changes with n, K and d. The proposition's width
in n, say, is lambda(n)^-8 n^12; so what may not grow faster than n^12 is the width needed times lambda^8, as in
`prop_4_3`. Lambda itself is varied by the draw: networks of one setting have different windows and blocks, and so
different lambda. The ranges are the proposition's own, without a tolerance.

**Derivation.** By `prop_4_4` the layer is D25's two-layer network on n K points with vector outputs, whose floor is (n
K p)^2 kappa^2/(2 pi m d). So the width needed itself should have the exponents 2, 2 and -1 in n, K and d, and about 0
in lambda; with lambda^8 the exponents in n and K are lower, as lambda falls with both.

**Experiment.** The networks of `prop_4_4` at n = K = 4, d = 16, with one of the three doubled and doubled again;
for each draw a power law in m is fitted to the loss reached and solved for one eps (`thm_4_2_powers`). Exponents are
slopes of logarithms, within draws for n, K and d, over draws for lambda; a draw's lambda is that of its widest layer.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ntk1bit.claims import Claim, Count, Evidence, IntervalWithin
from ntk1bit.claims.evidence import IntervalEstimate, Measure
from ntk1bit.claims.measures import seeds_interval
from proofs_numeric.data import Data, highest, rows, span_of
from proofs_numeric.proof import Proof
from proofs_numeric.thm_4_2_powers import mean_slopes, needed_exponent, widths_needed

_STUDY = "feed-forward-powers"
_NAMES = {"sequences": "n", "positions": "K", "dim": "d"}  # in lower case in ids of measures

CLAIM = Claim(
    id="4.4-powers",
    title="a layer's width needed grows no faster than stated",
    statement="The width that the layer needs for a loss grows no faster than lambda^-8 n^12 K^12 d^20.",
    source="D25, Prop 4.4",
    assumptions="one block, frozen below the layer; 4 outputs; a fixed number of steps; widths far below the "
    "proposition's; exponents in n, K, d of the width needed times lambda^8.",
    refuted_by="an exponent beyond the proposition's, or a loss that does not fall with width",
    criteria=(
        IntervalWithin("scaled.n", high=12.0),
        IntervalWithin("scaled.k", high=12.0),
        IntervalWithin("scaled.d", high=20.0),
        IntervalWithin("width.lambda", low=-8.0),
        IntervalWithin("slope", high=0.0),
    ),
    context=tuple(IntervalWithin(f"width.{name}", high=high) for name, high in (("n", 2.5), ("k", 2.5), ("d", 0.0))),
    labels={
        **{f"scaled.{name.lower()}": f"exponent in {name} of lambda^8 x the width needed" for name in _NAMES.values()},
        **{f"width.{name.lower()}": f"exponent in {name} of the width needed" for name in (*_NAMES.values(), "lambda")},
        "slope": "exponent of the loss in m, mean over draws and settings",
        "rising": "draws whose fitted loss does not fall with width, and which have no width needed",
    },
    ranges="the statement's own",
)


def evidence(data: Data) -> Evidence:
    """Fit the exponents of the width needed in n, K, d and lambda."""
    every = data.frame(_STUDY)
    keys = [*_NAMES, "width", "seed"]
    layers = pd.DataFrame(every.groupby(keys)[["level", "lambda_min", "diverged"]].first()).reset_index()
    layers = layers.loc[~layers["diverged"].astype(bool)]
    base = {x: min(set(layers[x])) for x in _NAMES}
    measures: list[Measure] = []
    tables: list[pd.DataFrame] = []
    slopes: list[pd.DataFrame] = []
    for x, name in _NAMES.items():
        part = layers.loc[np.logical_and.reduce([layers[one] == base[one] for one in _NAMES if one != x])]
        table = _needed(part, x)
        measures += [_slope(table, x, "scaled", name), _slope(table, x, "needed", name)]
        tables.append(rows(table.rename(columns={x: "x"}), against=name))
        slopes.append(table)
    at_base = layers.loc[np.logical_and.reduce([layers[x] == base[x] for x in _NAMES])]
    measures.append(_slope(_needed(at_base, "dim"), "lambda_min", "needed", "lambda"))
    falls = np.concatenate([one["slope"].to_numpy(np.float64) for one in slopes])
    rising, where = int(np.sum(~(falls < 0))), span_of(layers, m="width")
    measures.append(seeds_interval(mean_slopes(slopes), "slope", "slope of log loss in log m", where, _STUDY))
    measures.append(Count("rising", "draws whose loss does not fall with width", rising, len(falls), where, _STUDY))
    return Evidence(tuple(measures), {"width needed": pd.concat(tables, ignore_index=True)})


PROOFS = (Proof(CLAIM, (_STUDY,), evidence),)


def _needed(layers: pd.DataFrame, x: str) -> pd.DataFrame:
    """Return the width needed by (x, seed), with the lambda of the widest layer, and the width times lambda^8."""
    table, _ = widths_needed(layers, x)
    widest = layers.loc[layers["width"] == highest(layers["width"]), [x, "seed", "lambda_min"]]
    table = table.merge(widest, on=[x, "seed"])
    return table.assign(scaled=table["needed"] * table["lambda_min"] ** 8)


def _slope(table: pd.DataFrame, x: str, value: str, name: str) -> IntervalEstimate:
    """Return an exponent of the table's values: within draws, or in lambda, which varies over draws."""
    kind, of = ("scaled", "lambda^8 x the width needed") if value == "scaled" else ("width", "the width needed")
    return needed_exponent(
        table,
        x,
        measure=f"{kind}.{name.lower()}",
        meaning=f"exponent in {name} of {of}",
        study=_STUDY,
        symbol=name,
        value=value,
        within=name != "lambda",
    )
