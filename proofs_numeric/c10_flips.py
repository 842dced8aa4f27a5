"""C10-flips: how many 1-bit weights an update of the latent weights changes.

**C10-flips, W23.** A small update of the latent weights often makes no difference to the 1-bit weights, and this is
worst at the beginning of training, where models are to converge as fast as they can (section 2.2).

**Derivation.** None is given in W23. A step of size eta changes the signs of weights that lie within about eta of
alpha: of weights with density p there, a share of about p eta, proportional to the rate while weights stay where they
were drawn, and less as they spread out. By this the share for each unit of learning rate is largest at the beginning,
not smallest.

**Experiment.** Character-level Transformers on State of the Union addresses, W23's recipe and form, at three rates a
factor of four apart; after each step the 1-bit weights are counted that have changed their sign. W23 gives no numbers.
"Often makes no difference" is read as: of 100 weights at least 99 are left as they are by a step. "Worst at the
beginning" is read as: for each unit of learning rate, a step changes fewer of them in the first tenth of the run than
in the rest; the warm-up is part of that tenth, and steps at a rate of 0 are left out. Both are judged at the middle
rate, over seeds. These readings and numbers were set down before any network of this study was trained.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ntk1bit.claims import Claim, Evidence, IntervalWithin
from ntk1bit.claims.measures import estimated, seeds_interval
from ntk1bit.statistics import cluster_slope
from proofs_numeric.bitnet_studies import smaller_than
from proofs_numeric.data import Data, grouped, highest
from proofs_numeric.proof import Proof

FLIPS = "bitnet-flips"
MOST_CHANGED = 0.01  # of the 1-bit weights, by a step
_TENTHS = 10

CLAIM = Claim(
    id="C10-flips",
    title="updates often change no sign, early above all",
    statement="A step leaves at least 99 of 100 1-bit weights as they are; and for each unit of learning rate it "
    "changes fewer of them in the first tenth of the training than in the rest.",
    source="W23, section 2.2",
    assumptions="character-level text, W23's recipe, the middle one of three rates; W23 gives no numbers for 'often' "
    "and 'the beginning': these are ours.",
    refuted_by="a step that changes more than 1 of 100 1-bit weights, or more for a unit of rate at the beginning",
    criteria=(
        IntervalWithin("share", high=MOST_CHANGED),
        IntervalWithin("early_minus_rest", high=0.0),
    ),
    labels={
        "share": "share of the 1-bit weights changed by a step",
        "early_minus_rest": "share for each unit of learning rate, first tenth minus the rest",
        "share.rate": "exponent of the share in the learning rate",
    },
    reach=smaller_than("125 million"),
    ranges="one weight of a hundred, our reading of 'often no change'",
)


def evidence(data: Data) -> Evidence:
    """Count the 1-bit weights that steps change, at the middle rate, early and late."""
    frame = data.frame(FLIPS)
    rates, steps = sorted(set(frame["rate"])), int(highest(frame["step"])) + 1
    middle = rates[len(rates) // 2]
    moving = frame["learning_rate"] > 0
    frame = frame.assign(
        tenth=1 + _TENTHS * frame["step"] // steps,
        per_rate=frame["share"] / frame["learning_rate"].where(moving),  # of a step at a rate of 0: none
    )
    shares = _seed_means(frame, "share")
    early, late = (
        _seed_means(frame.loc[moving & part], "per_rate") for part in (frame["tenth"] == 1, frame["tenth"] > 1)
    )
    span = f"rate {middle:g}, {steps} steps"
    about_early = "first tenth of the steps minus the others, share over learning rate, steps at a rate above 0"
    known = shares.dropna()
    slope, seeds = cluster_slope(
        *(np.log(known[name].to_numpy(dtype=np.float64)) for name in ("rate", "share")),
        cluster=known["seed"].tolist(),
        group=[()] * len(known),
    )
    about_slope = "log-log, least squares, of the mean over all steps"
    measures = (
        seeds_interval(_of(shares, middle), "share", "mean over all steps", span, FLIPS),
        seeds_interval(_of(early, middle) - _of(late, middle), "early_minus_rest", about_early, span, FLIPS),
        estimated("share.rate", about_slope, slope, seeds, f"rates {', '.join(f'{one:g}' for one in rates)}", FLIPS),
    )
    by_tenth = grouped(frame, ["rate", "tenth"], ["learning_rate", "share", "per_rate"])
    return Evidence(measures, {"shares by tenth of the run": by_tenth, "shares": shares})


PROOFS = (Proof(CLAIM, (FLIPS,), evidence),)


def _seed_means(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the mean of a column by rate and seed; NaN where a network diverged, so that a step has no number."""
    return pd.DataFrame(
        frame.groupby(["rate", "seed"])[column].agg(lambda values: values.to_numpy().mean())
    ).reset_index()


def _of(means: pd.DataFrame, rate: float) -> pd.Series:
    """Return the means of one rate by seed."""
    return pd.Series(means.loc[means["rate"] == rate].set_index("seed").iloc[:, -1])
