"""From the networks of a `StabilitySpec`: which diverged, and the rate from which on (W23, Fig. 5)."""

from __future__ import annotations

import math

import pandas as pd

from ntk1bit.errors import InputError, require_choice
from ntk1bit.experiments.language_run import ngram_losses
from ntk1bit.experiments.rate_search import best_of
from ntk1bit.experiments.run import Run
from ntk1bit.experiments.stability_spec import StabilitySpec, lost


def stability_table(run: Run) -> pd.DataFrame:
    """Return a row for each network.

    Returns
    -------
    Columns arm, size, parameters (N), seed, rate, loss (validation, nats; NaN if it is not finite), train_loss (mean
    over the last tenth of the steps; NaN if a loss was not finite), lost (whether it diverged, by
    `experiments.stability_spec.lost`); ordered by arm, as in the specification, N, seed, rate.

    Raises
    ------
    InputError
        If the run is of another kind, or not finished.
    """
    spec = run.spec
    if not isinstance(spec, StabilitySpec):
        raise InputError(f"{run.folder} has settings [{spec.NAME}]; give a run of settings [{StabilitySpec.NAME}]")
    run.require_whole()
    frame = run.frame(["evaluated", "parameters", "loss", "train_loss"])
    frame = frame.loc[frame["evaluated"] == frame["arm"]].copy()  # not what was made of a network after training
    frame["size"] = [f"{layers}x{width}" for layers, width in zip(frame["layers"], frame["width"], strict=True)]
    unigram = ngram_losses(spec)["unigram"]
    frame["lost"] = [lost(loss, unigram) for loss in frame["train_loss"]]
    frame["order"] = [spec.arms.index(arm) for arm in frame["arm"]]
    names = ["arm", "size", "parameters", "seed", "rate", "loss", "train_loss", "lost"]
    return pd.DataFrame(frame.sort_values(["order", "parameters", "seed", "rate"], ignore_index=True)[names])


def first_lost(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rate from which on each network diverged: there and at all larger rates that were tried.

    Larger rates are not tried once all seeds of an arm and size have diverged, and count as diverged.

    Parameters
    ----------
    table
        Of `stability_table`.

    Returns
    -------
    Columns arm, size, seed, rate, censored: a row for each arm, size and seed, in the order of the table. Where
    `censored`, the network did not diverge at the largest rate tried, which `rate` then is: the rate from which on it
    diverges lies above.
    """
    rows = []
    for (arm, size, seed), part in table.groupby(["arm", "size", "seed"], sort=False):  # pyright: ignore[reportGeneralTypeIssues]
        part = part.sort_values("rate")
        rates, diverged = part["rate"].to_list(), part["lost"].to_list()
        first = len(rates)
        while first and diverged[first - 1]:
            first -= 1
        censored = first == len(rates)
        rate = rates[-1] if censored else rates[first]
        rows.append({"arm": arm, "size": size, "seed": seed, "rate": rate, "censored": censored})
    return pd.DataFrame(rows, columns=pd.Index(["arm", "size", "seed", "rate", "censored"]))


def best_rate(table: pd.DataFrame, arm: str, size: str) -> float:
    """Return the rate with the least mean training loss over seeds, of equal ones the smallest.

    The mean is infinite at a rate where a seed diverged; if it is at every rate, the smallest rate is returned.

    Parameters
    ----------
    table
        Of `stability_table`.
    arm, size
        Of which networks.

    Raises
    ------
    InputError
        If the table has no such networks.
    """
    require_choice("arm", arm, list(dict.fromkeys(table["arm"])))
    of_arm = table.loc[table["arm"] == arm]
    require_choice("size", size, list(dict.fromkeys(of_arm["size"])))
    part = of_arm.loc[of_arm["size"] == size]
    losses = part["train_loss"].mask(part["lost"], math.inf)
    return best_of({float(rate): float(mean) for rate, mean in losses.groupby(part["rate"]).mean().items()})  # pyright: ignore[reportArgumentType]
