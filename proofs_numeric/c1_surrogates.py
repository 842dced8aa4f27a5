"""C1-surrogates, C1-surrogates-size: which kernel? That of a 1-bit network depends on the surrogate for Sign.

The kernel H of a 1-bit network is made of a derivative that Sign does not have: D25's estimator puts 1 in its place
(Lemma F.3), and practice puts other functions there. If that choice mattered as much as quantisation itself, comparing
"the" 1-bit kernel with that of full precision would say little.

**C1-surrogates.** At the start and up to a common factor, the kernels of one network under three surrogates lie closer
to each other than H lies to H', the full-precision kernel of the same weights. A factor of the kernel is a factor of
the learning rate, which is given in units of each network's own kernel everywhere in this library.

**C1-surrogates-size.** The same without removing the factor: for whoever keeps the rate when the surrogate changes.

**Derivation.** With u = (w - mu)/s the argument of Sign and g(u) in place of its derivative,

    H_ij = kappa^2 (1/m) sum_r 1[z_r(x_i) >= 0] 1[z_r(x_j) >= 0] sum_k g(u_rk)^2 x_ik x_jk,

g = 1 for D25's identity, 1[|u| <= 1] clipped, sech^2(u) for Sign read as tanh(u).

1. *Size.* Magnitudes of Gaussian weights are independent of their signs, but for the centring, an effect of O(1/d). So
   the mean of H is E g^2 times that of the identity: 0.683 clipped, 0.464 for tanh. Apart from the factor 1, these are
   distances of 0.38 and 0.79 (norm(A - B)/sqrt(norm(A) norm(B))), while H and H' differ by O(1/d) in the mean (C0) and
   by O(m^-1/2) in one network. C1-surrogates-size is therefore expected to be refuted.
2. *Noise.* Let x be spread out, v = E (g^2/E g^2 - h^2/E h^2)^2 for surrogates g, h, and e = arccos(sqrt(2/pi))/pi =
   0.206 the share of activations that quantising changes. Without the common factor, m times the squared distances are
   v (n^2/(4 d) + 3 n/(2 (d + 2))) between surrogates and (1 - (1 - e)^2) n^2/(2 d) + e n between H and H'. With v =
   0.47 (identity, clipped), 0.58 (identity, tanh) and 0.24 (clipped, tanh) the largest of three is 0.86, 0.74, 0.52 of
   the distance of H to H' at d = 8, 32, 128 for 64 points. For sech^2(4 u), which is nearer to Sign, v = 4.2, and it is
   2.3, 2.0, 1.4 of it: that surrogates matter less is a matter of how smooth they are.
3. *Limit.* What noise leaves at infinite width is O(1/d) for both, by the centring here and by the third and fourth
   moments of signs there; which is larger, the argument does not say.

**The rule**, written before any of these kernels was compared beyond tests of the code: the largest of the three
distances over that of H to H', its logarithm averaged over the widths, is below 0 over data sets. It speaks about the
four widest widths, since the claim is about wide networks and distances still mix noise and limit at all of them. Each
criterion is one data set's kind, and all must hold; the largest of three counts, since any of them may be chosen. 0
because the question is which of the two changes matters more; half as much is judged as context. So are the limits,
for the identity and tanh, from products of kernels of independent networks; the steeper surrogate; exponents in m tell
whether a distance still falls.

**Experiment.** Linear functions on the sphere at three d and digits, 64 points, drawn anew with every seed, each data
set with two networks of its own; seeds are data sets.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from ntk1bit.claims import Claim, Evidence, IntervalWithin
from ntk1bit.claims.evidence import IntervalEstimate, Measure
from ntk1bit.claims.measures import against, exponent, seeds_interval
from ntk1bit.experiments.surrogate_kernels import QUANTISING, STEEPER, SURROGATES
from ntk1bit.statistics.jackknife import NESTED
from proofs_numeric.data import Data, grouped, highest, labels_by_setting, rows, span_of, widest, with_setting
from proofs_numeric.proof import Proof

STUDY = "surrogates"
SETTINGS = {
    "sphere8": "sphere, d = 8",
    "sphere32": "sphere, d = 32",
    "sphere128": "sphere, d = 128",
    "digits": "digits",
}
_LARGEST = "largest"  # of the pairs of surrogates
_QUANTISING, _STEEPER, _TANH = ("-".join(pair) for pair in (QUANTISING, STEEPER, ("identity", "tanh")))
_CHOICES = tuple("-".join(pair) for pair in itertools.combinations(SURROGATES, 2))
_HALF = -0.7  # the logarithm of a half
_KEYS = ("setting", "width", "seed", "data_seed")


def _labels(factor: str) -> dict[str, str]:
    words = {
        "ratio": f"log of distance between surrogates over 1-bit to full precision, {factor}",
        "steep": f"the same for a surrogate four times as steep, {factor}",
        "limit": f"squared distance in the limit, surrogates less quantising, {factor}",
        "choice.m": f"exponent in m of the distance between surrogates, {factor}",
        "quantising.m": f"exponent in m of the distance 1-bit to full precision, {factor}",
    }
    return labels_by_setting(words, SETTINGS)


def _criteria(name: str, high: float) -> tuple[IntervalWithin, ...]:
    return tuple(IntervalWithin(f"{name}.{one}", high=high) for one in SETTINGS)


CLAIM = Claim(
    id="C1-surrogates",
    title="surrogates change the kernel less than the bit",
    statement="Up to a common factor, the kernels at the start under the surrogates identity, clipped and tanh lie "
    "closer to each other than the 1-bit kernel lies to that of full precision with the same weights.",
    source="ours",
    assumptions="iid start, the four widest widths, 64 points; the largest of three distances counts; a factor is a "
    "learning rate; tanh no steeper than Sign read as tanh(u).",
    refuted_by="on one kind of data, a distance between surrogates above that of 1-bit to full precision",
    criteria=_criteria("ratio", 0.0),
    context=(*_criteria("ratio", _HALF), *_criteria("limit", 0.0), *_criteria("steep", 0.0)),
    labels=_labels("factor removed"),
    ranges="0 is no difference between the logarithms of two distances",
)
CLAIM_SIZE = Claim(
    id="C1-surrogates-size",
    title="the same without removing a common factor",
    statement="The kernels at the start under the surrogates identity, clipped and tanh lie closer to each other than "
    "the 1-bit kernel lies to that of full precision with the same weights, factors included.",
    source="ours",
    assumptions="As C1-surrogates; all surrogates are 1 at the threshold, which fixes their factor.",
    refuted_by="on one kind of data, a distance between surrogates above that of 1-bit to full precision",
    criteria=_criteria("ratio", 0.0),
    labels=_labels("as they are"),
    ranges="0 is no difference between the logarithms of two distances",
)


def evidence(data: Data) -> Evidence:
    """Compare the distances up to a factor."""
    return _evidence(data.frame(STUDY), "shape", "min_c norm_F(A - c B)/norm_F(A)")


def evidence_size(data: Data) -> Evidence:
    """Compare the distances as they are."""
    return _evidence(data.frame(STUDY), "distance", "norm_F(A - B)/sqrt(norm_F(A) norm_F(B))")


PROOFS = (Proof(CLAIM, (STUDY,), evidence), Proof(CLAIM_SIZE, (STUDY,), evidence_size))


def _evidence(frame: pd.DataFrame, column: str, meaning: str) -> Evidence:
    named = with_setting(frame)
    table = by_pair(named, column)
    limits = by_pair(named, f"limit_{column}")
    measures: list[Measure] = []
    tables = []
    for setting, part in table.groupby("setting"):
        wide = widest(part)
        measures += [
            _log_ratio(wide, _LARGEST, f"ratio.{setting}", f"largest of {', '.join(_CHOICES)}; {meaning}"),
            _log_ratio(wide, _STEEPER, f"steep.{setting}", f"{_STEEPER}; {meaning}"),
            _limit(limits.loc[limits["setting"] == setting], f"limit.{setting}", meaning),
        ]
        for name, pair in (("choice", _LARGEST), ("quantising", _QUANTISING)):
            measures.append(exponent(against(wide, "width", pair, meaning=meaning), f"{name}.m.{setting}", STUDY))
        for pair in (*_CHOICES, _STEEPER, _QUANTISING):
            found = against(part, "width", pair, meaning=meaning).table
            tables.append(rows(widest(found).iloc[[0, -1]], setting=setting, pair=pair))
    return Evidence(tuple(measures), {"distances at the widest": pd.concat(tables, ignore_index=True)})


def by_pair(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return a row for each setting, width and seed: the column for every pair of kernels, and the largest of three."""
    table = frame.pivot(index=list(_KEYS), columns="pair", values=column).reset_index()
    return table.assign(**{_LARGEST: table[list(_CHOICES)].max(axis=1)})


def _log_ratio(wide: pd.DataFrame, pair: str, measure: str, meaning: str) -> IntervalEstimate:
    """Return the logarithm of one distance over that of quantising, averaged over widths, over data sets."""
    logs = grouped(wide.assign(log=np.log(wide[pair] / wide[_QUANTISING])), ["seed"], ["log"])["log"]
    where = f"over {_QUANTISING}, mean over widths: {meaning}"
    return seeds_interval(logs.to_numpy(np.float64), measure, where, span_of(wide, m="width"), STUDY, units=NESTED)


def _limit(part: pd.DataFrame, measure: str, meaning: str) -> IntervalEstimate:
    """Return the difference of two squared distances at infinite width, estimated at the widest."""
    width = highest(part["width"])
    last = part.loc[part["width"] == width]
    apart = last[_TANH].to_numpy(np.float64) - last[_QUANTISING].to_numpy(np.float64)
    what = f"{_TANH} less {_QUANTISING}, squares, from products of independent networks: {meaning}"
    return seeds_interval(apart, measure, what, f"from m = {width:g}", STUDY, units=NESTED)
