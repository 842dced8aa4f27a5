"""RIVAL-spectrum: whether eigenvalues of the 1-bit kernel fall exponentially (Zhang, Yin and Wang 2022).

**The rival.** Zhang, Yin and Wang (arXiv 2206.05916) take the binary weights of a network as random, by stochastic
rounding, propagate their distribution, and derive the kernel of a "quasi" network with continuous parameters and a
smooth activation. Its eigenvalues fall "at approximately exponential rate", as those of a Gaussian kernel do, so that
binary weights reach fewer functions than real ones. (Read: the abstract and the beginning of the introduction.)

**Carried over.** The eigenvalues of D25's kernel on n points, at the start, fall exponentially rather than as a power
of their rank. What differs: D25's network rounds deterministically and has one hidden layer. On the sphere in R^d,
where eigenvalues belong to degrees of harmonics, exponential in the degree means exponential in rank^(1/(d - 1)); so
both are tried there, exponential in the rank and in the degree, and the better one counts.

**Derivation.** z_r(x) = <s q + mu 1, x> is linear in x: each neuron of a 1-bit network is active on a half-space, as in
full precision. The trace of <x, x'> 1[<v, x> >= 0] 1[<v, x'> >= 0] over harmonics of one degree on the sphere does not
change when v is rotated. So *degree by degree the trace of the 1-bit kernel is that of <x, x'> (pi - theta)/(2 pi)*,
for any weights and any width, and falls as a power of the degree, since the indicator jumps: eigenvalues of full
precision as rank^(-d/(d - 1)). Within a degree they differ. Normals s q + mu 1 lie in 2^(d-1) - 1 planes, spanned by q
and 1, and a plane has a few harmonics of each degree only: for ranks far above 2^d the same traces lie in fewer
eigenvalues, which fall as rank^-2. A power all the same, if a faster one; so RIVAL-spectrum should be refuted on the
sphere. Random rounding does what the paper says: it makes the indicator Phi(zeta/sigma), and the eigenvalues of
`kernels.stochastic.rounded_ntk`, of the same weights, should be seen to fall exponentially, which shows that the test
could tell. For digits nothing is derived.

**The rule**, written before any of these spectra was computed beyond tests of the code. Of the ranks from 2 to n/2, or
to the last eigenvalue that is told from rounding, both forms are fitted to the lower half by least squares in
logarithms; each has two constants, and is judged by the root mean square of its error in log lambda on the upper half.
The logarithm of the error of the exponential over that of the power is below 0 over data sets, on the sphere in R^3 and
R^4, where some degrees are resolved, and on digits. Ranks above n/2 are left out, since there eigenvalues of n points
are not those of the kernel. *Context*: the same for full precision (above 0) and for random rounding (below 0), and
whether the eigenvalues on the upper half are smaller than in full precision, kernels having a trace of 1.

**Experiment.** 256 points, each data set with a wide network of its own; seeds are data sets.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.claims import Claim, Evidence, IntervalWithin
from ntk1bit.claims.evidence import Measure
from ntk1bit.claims.measures import seeds_interval
from ntk1bit.experiments.kernel_spectra import KERNELS
from ntk1bit.statistics.jackknife import NESTED
from proofs_numeric.data import Data, highest, labels_by_setting, with_setting
from proofs_numeric.proof import Proof

STUDY = "spectra"
SETTINGS = {"sphere3": "sphere, d = 3", "sphere4": "sphere, d = 4", "digits": "digits"}
_WORDS = {"one_bit": "1-bit", "full": "full precision", "rounded": "rounded at random"}
_FIRST = 2  # the first rank: the largest eigenvalue belongs to the mean and to no law
_FEWEST = 16  # ranks, below which halves have too few to tell forms apart
_SHOWN = (2, 8, 32, 128)  # ranks of the table

CLAIM = Claim(
    id="RIVAL-spectrum",
    title="eigenvalues of the 1-bit kernel fall exponentially",
    statement="At the start, the eigenvalues of the 1-bit kernel fall exponentially in their rank, or in the degree on "
    "the sphere, rather than as a power: fitted to the lower half of the ranks, the exponential predicts the upper "
    "half better.",
    source="Zhang, Yin and Wang 2022 (arXiv 2206.05916), abstract; carried over by us",
    assumptions="D25's two-layer network, which rounds deterministically, where theirs averages over random rounding; "
    "uniform inputs in R^3 and R^4, and digits; ranks 2 to n/2.",
    refuted_by="on one kind of data, a power law that predicts the upper half better",
    criteria=tuple(IntervalWithin(f"gain.one_bit.{one}", high=0.0) for one in SETTINGS),
    context=(
        *(IntervalWithin(f"gain.rounded.{one}", high=0.0) for one in SETTINGS),
        *(IntervalWithin(f"gain.full.{one}", low=0.0) for one in SETTINGS),
        *(IntervalWithin(f"tail.{one}", high=0.0) for one in SETTINGS),
    ),
    labels=labels_by_setting(
        {
            **{f"gain.{kernel}": f"log error of exponential over power, {_WORDS[kernel]}" for kernel in KERNELS},
            **{f"slope.{kernel}": f"exponent of the eigenvalues in the rank, {_WORDS[kernel]}" for kernel in KERNELS},
            "tail": "mean log of eigenvalues, 1-bit over full precision, upper half",
        },
        SETTINGS,
    ),
    ranges="0 is no difference between the errors of two laws",
)


def evidence(data: Data) -> Evidence:
    """Compare both forms on every kind of data and kernel."""
    frame = with_setting(data.frame(STUDY))
    measures: list[Measure] = []
    tables = []
    for setting, part in frame.groupby("setting"):
        of_kernels = {kernel: part.loc[part["kernel"] == kernel].sort_values("seed") for kernel in KERNELS}
        span = f"n = {highest(part['n_train']):g}, m = {highest(part['width']):g}"
        dim = int(part["dim"].iloc[0])
        for kernel, rows in of_kernels.items():
            spectra = list(zip(map(np.asarray, rows["eigenvalues"]), rows["rounding"], strict=True))
            gains = [gain(values, rounding, dim) for values, rounding in spectra]
            slopes = [slope(values, rounding) for values, rounding in spectra]
            what = "exponential, the better of rank and degree" if dim else "exponential in the rank"
            what = f"{what}, over a power of the rank: held-out errors in log lambda, ln"
            measures += [
                seeds_interval(gains, f"gain.{kernel}.{setting}", what, span, STUDY, units=NESTED),
                seeds_interval(
                    slopes, f"slope.{kernel}.{setting}", "least squares over all ranks", span, STUDY, units=NESTED
                ),
            ]
            means = np.exp(np.mean([np.log(np.maximum(values, rounding)) for values, rounding in spectra], axis=0))
            shown = [rank for rank in _SHOWN if rank <= len(means)]
            tables.append(
                pd.DataFrame(
                    {"setting": setting, "kernel": kernel, "rank": shown, "eigenvalue": means[np.array(shown) - 1]}
                )
            )
        pairs = zip(of_kernels["one_bit"]["eigenvalues"], of_kernels["full"]["eigenvalues"], strict=True)
        tails = [tail(np.asarray(one_bit), np.asarray(full)) for one_bit, full in pairs]
        what = "ranks n/4 to n/2, kernels of trace 1"
        measures.append(seeds_interval(tails, f"tail.{setting}", what, span, STUDY, units=NESTED))
    return Evidence(tuple(measures), {"eigenvalues": pd.concat(tables, ignore_index=True)})


PROOFS = (Proof(CLAIM, (STUDY,), evidence),)


def last_rank(values: Float[np.ndarray, " n"], rounding: float) -> int:
    """Return the last rank that is used: n/2, or that of the last eigenvalue told from rounding."""
    return min(len(values) // 2, int(np.argmin(np.append(values > rounding, False))))


def gain(values: Float[np.ndarray, " n"], rounding: float, dim: int) -> float:
    """Return the log of the exponential's held-out error over that of the power; NaN for too few ranks.

    Parameters
    ----------
    values, rounding
        Eigenvalues, the largest first, and up to which one cannot be told from 0.
    dim
        d on the sphere; 0 elsewhere, where there is no degree.
    """
    last = last_rank(values, rounding)
    if last < _FEWEST:
        return float("nan")
    ranks = np.arange(1.0, last + 1)
    exponential = [ranks, ranks ** (1 / (dim - 1))] if dim else [ranks]
    errors = [held_out_error(one, np.log(values[:last])) for one in (np.log(ranks), *exponential)]
    exact = np.finfo(np.float64).tiny  # of a spectrum that is one of the forms, to rounding
    return float(np.log(max(min(errors[1:]), exact) / max(errors[0], exact)))


def held_out_error(at: Float[np.ndarray, " k"], logs: Float[np.ndarray, " k"]) -> float:
    """Fit a line to the logarithms of the lower half of the ranks, from the second; return its error on the others."""
    split = len(logs) // 2
    inside, outside = slice(_FIRST - 1, split), slice(split, None)
    a, b = np.polyfit(at[inside], logs[inside], 1)
    return float(np.sqrt(np.mean((a * at[outside] + b - logs[outside]) ** 2)))


def slope(values: Float[np.ndarray, " n"], rounding: float) -> float:
    """Return the exponent of a power of the rank, by least squares over all ranks that are used; NaN for too few."""
    last = last_rank(values, rounding)
    if last < _FEWEST:
        return float("nan")
    ranks = np.arange(float(_FIRST), last + 1)
    return float(np.polyfit(np.log(ranks), np.log(values[_FIRST - 1 : last]), 1)[0])


def tail(one_bit: Float[np.ndarray, " n"], full: Float[np.ndarray, " n"]) -> float:
    """Return the mean log of 1-bit over full-precision eigenvalues of the ranks n/4 to n/2."""
    held = slice(len(full) // 4, len(full) // 2)
    return float(np.mean(np.log(one_bit[held] / full[held])))
