"""D25, Fig. 2 and 3, with rules: Fig.2 (fits of functions of one variable) and Fig.3 (losses against epochs).

**Statement.** Fig. 2 shows that 1-bit and full-precision networks fit three functions of one variable. Fig. 3 shows
training and test loss of both falling over 50 epochs, and close to each other.

**What can be tested.** D25 gives no numbers and no rule for either figure, so the rules are ours. *Fits*: on test
points the mean square error is at most a tenth of the variance of the targets, at the largest size, for each function
and both precisions: what is left is then hardly seen in a drawing. *Falls*: the loss after the last epoch is at most
half of that at the start. *Close*: the test loss of 1-bit networks is at most twice that of full precision.

**Derivation.** With 100 points and thousands of parameters full precision fits; a 1-bit network stops at its floor
(`c5_deep`), which falls with N. Within 50 epochs, ten times as many steps, the fastest of the functions need not be
learnt. The ratio of training losses may be large at any size, since full precision has no floor; so it is shown and not
judged.

**Experiment.** As D25's Fig. 3, at 2,410, 21,792 and 204,100 parameters of its 2.40 thousand to 20.04 million: hidden
sizes 20 k and k, 100 evenly spaced points, 100 random test points, 50 epochs in batches of 10 (`c5_deep`); seeds that
no other study uses.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.claims import Claim, Evidence, IntervalWithin, Reach
from ntk1bit.claims.evidence import Measure
from ntk1bit.claims.measures import seeds_interval
from ntk1bit.data.cubes_and_curves import CURVES, curve_data
from ntk1bit.estimators.deep import ends_table, epochs_table
from proofs_numeric.data import PRECISIONS, Data, highest
from proofs_numeric.proof import Proof

_STUDY = "curves"
_POINTS = ("train", "test")

_SMALLER = Reach(sizes="204,100 parameters, where D25 has 20 million")

FIT = Claim(
    id="Fig.2",
    title="both precisions fit functions of one variable",
    statement="At the largest size 1-bit and full-precision networks fit each of three functions of one variable: on "
    "test points a tenth of the variance is left, or less.",
    source="D25, Fig. 2",
    assumptions="200 thousand parameters for 20 million; 50 epochs; the tenth is ours.",
    refuted_by="a function and a precision that are left with more than a tenth of the variance",
    criteria=tuple(IntervalWithin(f"left.{precision}.{task}", high=0.1) for precision in PRECISIONS for task in CURVES),
    labels={
        f"left.{precision}.{task}": f"share of the variance left on test points, {words}, {task}"
        for (precision, words), task in itertools.product(PRECISIONS.items(), CURVES)
    },
    reach=_SMALLER,
    ranges="a tenth of the variance, our reading of 'fit'",
)
EPOCHS = Claim(
    id="Fig.3",
    title="both losses fall over the epochs and end close",
    statement="Over 50 epochs training and test losses of both precisions fall to half or less, and the test loss of "
    "1-bit networks ends at most twice as high as that of full precision.",
    source="D25, Fig. 3",
    assumptions="as for Fig.2; geometric means over functions; the half and the factor of two are ours.",
    refuted_by="a loss that stays above half of its start, or a test loss more than twice that of full precision",
    criteria=(
        *(IntervalWithin(f"fall.{precision}.{p}", high=0.5) for precision in PRECISIONS for p in _POINTS),
        IntervalWithin("ratio.test", high=2.0),
    ),
    context=(IntervalWithin("ratio.train", high=2.0),),
    labels={
        **{
            f"fall.{precision}.{points}": f"{points} loss, last epoch over start, {words}"
            for (precision, words), points in itertools.product(PRECISIONS.items(), _POINTS)
        },
        **{f"ratio.{points}": f"{points} loss, 1-bit over full precision" for points in _POINTS},
    },
    reach=_SMALLER,
    ranges="a half and a factor of two, our reading of the curves of D25's figure",
)


def column(precision: str, points: str) -> str:
    """Return the name of a loss in the study's frame."""
    return f"loss_{precision}" if points == "train" else f"test_loss_{precision}"


def largest_networks(data: Data) -> pd.DataFrame:
    """Return the epochs of the largest networks; if one of them diverged no loss is known: a mean would flatter."""
    frame = data.frame(_STUDY)
    largest = frame.loc[frame["N"] == highest(frame["N"])].copy()
    if largest["diverged"].to_numpy().any():
        largest[[column(*one) for one in itertools.product(PRECISIONS, _POINTS)]] = np.nan
    return largest


def fit_evidence(data: Data) -> Evidence:
    """Measure the share of the variance that is left."""
    frame = largest_networks(data)
    ends = frame.loc[frame["epoch"] == highest(frame["epoch"])]
    measures: list[Measure] = []
    for task, part in ends.groupby("task"):
        first = part.iloc[0]
        points = curve_data(
            str(task), n_train=int(first["n_train"]), n_test=int(first["n_test"]), seed=int(first["data_seed"])
        )
        for precision in PRECISIONS:
            left = part[column(precision, "test")] / points.y_test.var()
            meaning, where = "mean square error over the variance of the targets", f"N = {first['N']:,}"
            measures.append(seeds_interval(left, f"left.{precision}.{task}", meaning, where, _STUDY))
    return Evidence(tuple(measures), {"after training": ends_table(data.frame(_STUDY))})


def epochs_evidence(data: Data) -> Evidence:
    """Compare the last epoch with the start, and 1-bit with full precision."""
    frame = largest_networks(data)
    where = f"N = {int(highest(frame['N'])):,}, {int(highest(frame['epoch']))} epochs"
    logs = frame.set_index(["task", "seed"])
    first, last = (logs.loc[logs["epoch"] == epoch] for epoch in (0, highest(frame["epoch"])))
    measures: list[Measure] = []
    for precision, points in itertools.product(PRECISIONS, _POINTS):
        fall = _over_functions(last[column(precision, points)] / first[column(precision, points)])
        meaning = "loss after the last epoch over that before the first, geometric mean over functions"
        measures.append(seeds_interval(fall, f"fall.{precision}.{points}", meaning, where, _STUDY))
    for points in _POINTS:
        ratio = _over_functions(last[column("one_bit", points)] / last[column("full", points)])
        meaning = "ratio after the last epoch, geometric mean over functions"
        measures.append(seeds_interval(ratio, f"ratio.{points}", meaning, where, _STUDY))
    return Evidence(tuple(measures), {"against epochs": epochs_table(data.frame(_STUDY))})


PROOFS = (Proof(FIT, (_STUDY,), fit_evidence), Proof(EPOCHS, (_STUDY,), epochs_evidence))


def _over_functions(values: pd.Series) -> Float[np.ndarray, " seeds"]:
    """Return the geometric mean over functions, by seed."""
    logs = pd.Series(np.log(values.to_numpy(np.float64)), index=values.index)
    return np.exp(np.asarray(logs.groupby("seed").mean(), dtype=np.float64))
