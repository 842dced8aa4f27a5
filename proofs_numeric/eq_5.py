"""D25, Def. E.1 and Eq. (5): a small move rarely changes an activation.

**Statement.** For w ~ N(0, I_d) and norm(x) = 1, the probability that the activation 1[z(x) >= 0] can change within a
ball of radius R around w is at most O(d R D).

**The gap.** The printed argument bounds the event by |z| <= 4 R + O(d (D + R)). That is no small event: the second term
does not go to zero with R, so the printed steps do not give a bound that vanishes.

**A proof that does.** Let norm(w' - w) <= R. Then |c'_k - c_k| = |<w' - w, e_k - 1/d>| <= R sqrt(1 - 1/d).

1. *Some sign flips.* This needs |c_k| <= R sqrt(1 - 1/d) for some k. As c_k ~ N(0, 1 - 1/d), each has probability at
   most sqrt(2/pi) R, and a union bound gives sqrt(2/pi) d R.
2. *No sign flips.* Then q, A = <q, x> and B = <1, x> are fixed and z = s A + mu B moves by at most (R/sqrt d)(|A| +
   |B|), since |s' - s| and |mu' - mu| are at most R/sqrt(d). If A = B = 0 nothing can change. Otherwise s sqrt(d) ~
   chi_{d-1} and mu sqrt(d) ~ N(0, 1) are independent of q and of each other, with densities at most sqrt(2/pi). Solve
   for s if |A| >= |B| and for mu otherwise: it has to lie in an interval of half-length (R/sqrt d)(|A| +
   |B|)/max(|A|, |B|) <= 2 R/sqrt(d), which has probability at most 4 sqrt(2/pi) R.

Together P <= sqrt(2/pi) (d + 4) R. **The conclusion survives, without the factor D.** (With
more care, d (s' - s)^2 + d (mu' - mu)^2 <= R^2 turns the 4 into 2 sqrt 2: tests/properties.)

**Experiment.** A greedy adversary looks for a move of length R that changes the activation, and the moved network is
evaluated: a lower bound on the probability. The necessary conditions above give an upper one. The adversary must never
succeed where they exclude it. Its success must vanish with R, and exceed neither bound.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ntk1bit.claims import Claim, Count, Evidence, IntervalWithin, NoFailures, Number, Reach
from ntk1bit.claims.measures import against, exponent
from proofs_numeric.data import Data, grouped, span_of
from proofs_numeric.proof import Proof

CLAIM = Claim(
    id="Eq.5",
    title="a small move rarely changes an activation",
    statement="P[the activation on x can change within radius R] <= O(d R D); by our proof <= sqrt(2/pi) (d + 4) R.",
    source="D25, Def. E.1 and Eq. (5)",
    assumptions="w ~ N(0, I_d), any unit x; std scale.",
    refuted_by="a change where the proof excludes one, more changes than the bound allows, or a rate that does not "
    "vanish with R",
    criteria=(
        NoFailures("excluded", 10_000),
        NoFailures("above_bound", 10),
        IntervalWithin("success.radius", low=0.8),
    ),
    context=(IntervalWithin("success.d", high=1.0),),
    labels={
        "excluded": "changes the proof excludes",
        "above_bound": "settings with more changes than the bound",
        "success.radius": "exponent in R of the adversary's success",
        "success.d": "exponent in d of the adversary's success",
        "success.radius.ratio": "growth of the adversary's success over the bound with R",
        "success.d.ratio": "growth of the adversary's success over the bound with d",
        "looseness": "looseness of the bound",
    },
    reach=Reach(looseness="looseness", growth={"R": "success.radius.ratio", "d": "success.d.ratio"}),
    ranges="the bound is our proof's; 0.8 is 1, the power of R in it, less what an adversary of finite steps misses",
)


def evidence(data: Data) -> Evidence:
    """Enclose the probability between the adversary and the necessary condition."""
    counted = data.frame("flips")
    counted = counted.assign(rate=counted["reached"] / counted["neurons"])
    counted["ratio"] = counted["rate"] / _bound(counted)
    settings = grouped(counted, ["dim", "radius"], ["reached", "possible", "missed", "neurons"], "sum")
    settings["adversary"] = settings["reached"] / settings["neurons"]
    settings["condition"] = settings["possible"] / settings["neurons"]
    settings["bound"] = np.minimum(_bound(settings), 1.0)
    # the necessary condition is what the bound is proved for; three standard errors allow for the finite sample
    error = np.sqrt(settings["bound"] * (1 - settings["bound"]) / settings["neurons"])
    above = settings["condition"] > settings["bound"] + 3 * error
    span = span_of(settings, d="dim", R="radius")
    dims = sorted(set(counted["dim"]))
    middle = counted.loc[counted["dim"] == dims[len(dims) // 2]]
    meaning = "share of neurons changed"
    in_radius = against(middle, "radius", "rate", meaning=f"{meaning}, d = {middle['dim'].iloc[0]}")
    radii = sorted(set(counted["radius"]))
    at_radius = counted.loc[counted["radius"] == radii[len(radii) // 2]]
    in_dim = against(at_radius, "dim", "rate", meaning=meaning)
    of = f"{meaning}, over the bound"
    ratio_in_radius, ratio_in_dim = (
        against(part, x, "ratio", meaning=of) for part, x in ((middle, "radius"), (at_radius, "dim"))
    )
    loose = settings.loc[settings["adversary"] > 0]
    return Evidence(
        (
            Count(
                "excluded",
                "neurons the adversary changed where the necessary condition fails",
                int(np.sum(settings["missed"].to_numpy())),
                int(np.sum(settings["neurons"].to_numpy())),
                span,
                "flips",
            ),
            Count(
                "above_bound",
                "settings (d, R) where the necessary condition is more frequent than the bound by 3 standard errors",
                int(np.sum(above.to_numpy())),
                len(settings),
                span,
                "flips",
            ),
            exponent(in_radius, "success.radius", "flips"),
            exponent(in_dim, "success.d", "flips"),
            exponent(ratio_in_radius, "success.radius.ratio", "flips"),
            exponent(ratio_in_dim, "success.d.ratio", "flips"),
            Number(
                "looseness",
                "median over settings of bound / adversary's success",
                float((loose["bound"] / loose["adversary"]).median()),
                span,
                "flips",
            ),
        ),
        {"rates": settings},
        ("The true probability lies between the columns adversary and condition of the table.",),
    )


def _bound(frame: pd.DataFrame) -> pd.Series:
    """Return sqrt(2/pi) (d + 4) R for each row (columns dim, radius)."""
    return np.sqrt(2 / np.pi) * (frame["dim"] + 4) * frame["radius"]


PROOFS = (Proof(CLAIM, ("flips",), evidence),)
