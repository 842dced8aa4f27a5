"""From the networks of a sweep to tables: losses with intervals, gaps paired by seed, laws, energy, stability."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from ntk1bit.data.choices import SHOTS
from ntk1bit.energy import counting as energy
from ntk1bit.energy.weight_memory import weight_bytes
from ntk1bit.errors import InputError
from ntk1bit.estimators.columns import require_columns
from ntk1bit.experiments.language_run import LanguageRun
from ntk1bit.experiments.language_spec import MULTIPLE_DIGITS
from ntk1bit.files import write_whole
from ntk1bit.networks.transformer_shape import parse_size
from ntk1bit.scaling import FitRequest, get_law
from ntk1bit.scaling.fitting import fit_one
from ntk1bit.scaling.result import Fit
from ntk1bit.statistics import Interval, standard_error, student_interval

NODE: energy.Node = "7nm"
_COUNTED: dict[str, energy.Arm] = {  # what an arm's operations are counted as: floats have 16 bits, as in W23
    "full": "full16",
    "bitnet": "bitnet",
    "b158": "b158",
    "elastic": "bitnet",  # these four as the arm with their linear layers, absmax and SubLN, which W23 does not count
    "full-preln": "full16",
    "bitnet-preln": "bitnet",
    "elastic-preln": "bitnet",
    "fp16": "full16",
    "fp16-preln": "full16",
    "int8-absmax": "int8-absmax",
    "absmax-w8a8": "int8-absmax",
    "smoothquant-w8a8": "int8-absmax",  # its factors are part of the weights and of the gains of norms
    "sign-ptq": "sign-ptq",
}


def networks(run: LanguageRun) -> pd.DataFrame:
    """Return a row per network at its arm's best rate: what is committed as the table of results.

    Returns
    -------
    Columns arm, size, parameters (N), seed, rate, tokens, loss, loss_error (nats), bits, bits_error, train_loss,
    diverged, seconds, and, where the choice task was asked, accuracy_0, accuracy_4 (share of questions answered rightly
    with so many examples in the context); ordered by arm, N, seed.
    """
    found = run.frame.loc[run.frame["stage"] == "seeds"].copy()
    found["arm"] = found["evaluated"]
    names = [
        "arm", "size", "parameters", "seed", "rate", "tokens", "loss", "loss_error", "bits", "bits_error",
        "train_loss", "diverged", "seconds", *(one for one in map(accuracy_column, SHOTS) if one in found),
    ]  # fmt: skip
    order = {arm: k for k, arm in enumerate(run.spec.arms)}
    found["order"] = [order[arm] for arm in found["arm"]]
    return pd.DataFrame(found.sort_values(["order", "parameters", "seed"])[names]).reset_index(drop=True)


def accuracy_column(examples: int) -> str:
    """Name the column of the accuracy in the choice task with so many examples in the context."""
    return f"accuracy_{examples}"


def write_networks(run: LanguageRun, folder: Path | str) -> Path:
    """Write `networks` to networks.csv in a folder, whole or not at all; return its path."""
    path = Path(folder) / "networks.csv"
    table = networks(run).to_csv(index=False, lineterminator="\n", float_format="%.6g")
    write_whole(path, table.encode())
    return path


def losses(run: LanguageRun) -> pd.DataFrame:
    """Return the validation loss of each arm and size: mean over seeds with its 95 % Student interval.

    Returns
    -------
    Columns arm, size, parameters, seeds, loss, low, high (nats), bits, text_error (standard error of the loss over
    windows of the text, common to all networks), rate, at_edge (whether the best rate was the last one tried on its
    side). Diverged networks have no loss and are left out of means; `diverged` counts them.
    """
    seeds = run.frame.loc[run.frame["stage"] == "seeds"]
    trained_as = dict(zip(seeds["evaluated"], seeds["arm"], strict=True))
    rows = []
    for (arm, size), part in networks(run).groupby(["arm", "size"], sort=False):  # pyright: ignore[reportGeneralTypeIssues]
        finite = part.loc[part["loss"].notna()]
        value, low, high = student_interval(finite["loss"])
        trained = trained_as[arm]
        rows.append(
            {
                "arm": arm,
                "size": size,
                "parameters": int(part["parameters"].iloc[0]),
                "seeds": len(finite),
                "loss": value,
                "low": low,
                "high": high,
                "bits": value / math.log(2),
                "text_error": float(finite["loss_error"].mean()),
                "rate": run.rates[trained, size],
                "at_edge": at_edge(run, trained, size),
                "diverged": int(np.sum(part["diverged"].to_numpy())),
            }
        )
    return pd.DataFrame(rows)


def accuracies(run: LanguageRun) -> pd.DataFrame:
    """Return the accuracy in the choice task of each arm and size: mean over seeds with its 95 % Student interval.

    Returns
    -------
    Columns arm, size, parameters, examples (in the context), seeds, accuracy, low, high; empty where the task was not
    asked. The questions are the same for all networks: the intervals do not contain what other questions would change.
    """
    table = networks(run)
    rows = [
        (*key, examples, len(values), *student_interval(values))
        for key, part in table.groupby(["arm", "size", "parameters"], sort=False)
        if isinstance(key, tuple)
        for examples in SHOTS
        if accuracy_column(examples) in part and len(values := part[accuracy_column(examples)].dropna())
    ]
    names = ["arm", "size", "parameters", "examples", "seeds", "accuracy", "low", "high"]
    return pd.DataFrame(rows, columns=pd.Index(names))


def gaps(run: LanguageRun, *, of: str, against: str = "full") -> pd.DataFrame:
    """Return the difference of the losses of two arms, network by network: both share start, batches and text.

    Returns
    -------
    Columns parameters, size, seed, gap (nats), relative (gap over the loss of `against`), gap_error (standard error
    over windows of the text, of the difference; NaN if losses of windows are not there).

    Raises
    ------
    InputError
        If the run lacks one of the arms.
    """
    for arm in (of, against):
        if arm not in run.spec.arms:
            raise InputError(f"this run has no arm {arm!r}; it has: {', '.join(run.spec.arms)}")
    found = run.frame.loc[run.frame["stage"] == "seeds"]
    sides = [found.loc[found["evaluated"] == arm].set_index(["parameters", "size", "seed"]) for arm in (of, against)]
    rows = []
    for key, mine in sides[0].iterrows():
        theirs = sides[1].loc[key]  # pyright: ignore[reportCallIssue, reportArgumentType]
        apart = np.subtract(mine.get("window_losses", ()), theirs.get("window_losses", ()))
        parameters, size, seed = key  # pyright: ignore[reportGeneralTypeIssues]
        rows.append(
            {
                "parameters": parameters,
                "size": size,
                "seed": seed,
                "gap": float(mine["loss"] - theirs["loss"]),
                "relative": float((mine["loss"] - theirs["loss"]) / theirs["loss"]),
                "gap_error": standard_error(apart),
            }
        )
    return pd.DataFrame(rows).sort_values(["parameters", "seed"], ignore_index=True)


def law(
    run: LanguageRun, arm: str, *, held_out: int = 0, bootstrap: int = 1000, form: str = "power+floor"
) -> Fit | None:
    """Fit L(N) = a N^b + c, or another form, to an arm's networks.

    None where its networks are too few or lie on no such curve.

    Parameters
    ----------
    arm
        One of the run's.
    held_out
        How many of the run's largest sizes are not fitted.
    bootstrap
        Replicates over networks.
    form
        A law of `scaling` in N: ``"power"`` is that without a floor.
    """
    frame = networks(run)
    fitted = [one.parameters for one in run.spec.shapes[: len(run.spec.shapes) - held_out]]
    frame = frame.loc[(frame["arm"] == arm) & frame["loss"].notna() & frame["parameters"].isin(fitted)]
    if frame["parameters"].nunique() < 3:
        return None
    request = FitRequest(get_law(form), x="parameters", loss="loss", cluster="seed", bootstrap=bootstrap)
    try:
        return fit_one(frame, request)  # its warnings are in Fit.warnings, and are reported there
    except InputError:
        return None


def law_curve(run: LanguageRun, arm: str, *, points: int = 25) -> pd.DataFrame:
    """Return an arm's fitted law with its 95 % band: columns arm, parameters, loss, low, high; empty for no fit."""
    fitted = law(run, arm)
    if fitted is None:
        return pd.DataFrame(columns=pd.Index(["arm", "parameters", "loss", "low", "high"]))
    sizes = [one.parameters for one in run.spec.shapes]
    grid = pd.DataFrame({"parameters": np.geomspace(min(sizes), max(sizes), points)})
    return pd.concat([pd.DataFrame({"arm": [arm] * points}), grid, fitted.band(grid)], axis=1)


def mean_gap(run: LanguageRun, *, of: str, against: str = "full") -> pd.DataFrame:
    """Return the mean over seeds of `gaps` at each size: columns N, value, low, high."""
    paired = gaps(run, of=of, against=against).dropna(subset=["gap"])
    rows = [(size, *student_interval(part["gap"])) for size, part in paired.groupby("parameters")]
    return pd.DataFrame(rows, columns=pd.Index(["N", "value", "low", "high"]))


def mean_excess(run: LanguageRun) -> pd.DataFrame:
    """Return the mean over seeds of `excess`: columns arm, times, rate, loss, excess, low, high, diverged."""
    rows = [
        (
            *key,
            part["rate"].mean(),
            part["loss"].mean(),
            *student_interval(part["excess"]),
            int(np.sum(part["diverged"].to_numpy())),
        )
        for key, part in excess(run).groupby(["arm", "times"], sort=False)
        if isinstance(key, tuple)
    ]
    names = ["arm", "times", "rate", "loss", "excess", "low", "high", "diverged"]
    return pd.DataFrame(rows, columns=pd.Index(names))


def law_intervals(run: LanguageRun, arm: str) -> tuple[Interval, Interval, str]:
    """Return b and c of an arm's law L(N) = a N^b + c (W23, Eq. 19), each with its bootstrap interval over seeds.

    Returns
    -------
    b, c, warnings
        An estimate, its low and its high end, c in nats; what the fit warns of, or that there is none: then NaN.
    """
    fitted = law(run, arm)
    if fitted is None:
        unknown = (math.nan, math.nan, math.nan)
        return unknown, unknown, "no fit"
    bounds = fitted.interval()
    alpha, floor = (
        tuple(float(bounds.loc[name, end]) for end in ("estimate", "low", "high")) for name in ("alpha", "E")
    )
    return (-alpha[0], -alpha[2], -alpha[1]), (floor[0], floor[1], floor[2]), "; ".join(fitted.warnings)


def held_out_errors(run: LanguageRun, arm: str, *, held_out: int = 1, form: str = "power+floor") -> tuple[float, ...]:
    """Return |predicted/observed - 1| of the mean loss at each of the largest sizes, by the law of the smaller ones.

    From small to large; NaN where there are fewer than three smaller sizes, or no loss was observed.
    """
    sizes = [float(one.parameters) for one in run.spec.shapes[-held_out:]]
    fitted = law(run, arm, held_out=held_out, bootstrap=0, form=form)
    if fitted is None:
        return (math.nan,) * len(sizes)
    observed = losses(run)
    observed = observed.loc[observed["arm"] == arm].set_index("parameters")["loss"].reindex(sizes)
    predicted = fitted.predict(pd.DataFrame({"parameters": sizes}))
    return tuple(abs(float(one) / float(seen) - 1) for one, seen in zip(predicted, observed, strict=True))


def held_out_error(run: LanguageRun, arm: str, *, form: str = "power+floor") -> float:
    """Return `held_out_errors` of the largest size alone."""
    return held_out_errors(run, arm, form=form)[0]


def joules(
    run: LanguageRun, size: str, arm: str, *, model: energy.Model = "w23", counted: energy.Arm | None = None
) -> float:
    """Return the energy of one forward pass over a context at 7 nm, by counting (`ntk1bit.energy.counting`).

    Floats count as FP16 in every arm, as in W23, unless `counted` says what the arm is counted as: ``"full32"`` for
    `full` in the float32 that it is trained in. NaN for arms that are counted as nothing, as W23's costs have no
    operations of theirs (4-bit integers, say).
    """
    arm_counted = counted or _COUNTED.get(arm)
    if arm_counted is None:
        return math.nan
    operations = energy.count_operations(_forward_pass(run, size), arm_counted, model=model)
    return energy.joules(operations, NODE).total


def memory(run: LanguageRun, size: str, arm: str, *, whole: bool = True) -> float:
    """Return the bytes of a network's weights at inference, by counting (`ntk1bit.energy.weight_memory`).

    Signs are packed, one bit each; embedding, head and gains are FP16 in every arm. NaN as in `joules`.

    Parameters
    ----------
    whole
        Whether these count too, or only the linear maps with their scales.
    """
    if arm not in _COUNTED:
        return math.nan
    found = weight_bytes(_forward_pass(run, size), _COUNTED[arm])
    return float(found.total if whole else found.linear + found.scales)


def _forward_pass(run: LanguageRun, size: str) -> energy.ForwardPass:
    shape, spec = parse_size(size), run.spec
    return energy.ForwardPass(
        shape.layers,
        shape.width,
        spec.context,
        vocabulary=vocabulary(run),
        heads=shape.default_heads,
        tied=spec.tied,
        activation=cast(energy.Activation, spec.activation),
    )


def loss_against_energy(run: LanguageRun) -> pd.DataFrame:
    """Return `losses` with the joules of a forward pass.

    Returns
    -------
    Further columns `joules`, by W23's counting, and `joules_exact`, by ours, with floats as FP16 in every arm (NaN for
    arms that are not counted); and `joules_float32`, by W23's counting with `full` in the float32 that it is trained in
    (NaN for other arms).
    """
    table = losses(run)
    pairs = [(str(size), str(arm)) for size, arm in zip(table["size"], table["arm"], strict=True)]
    models: tuple[tuple[str, energy.Model], ...] = (("joules", "w23"), ("joules_exact", "exact"))
    for name, model in models:
        table[name] = [joules(run, size, arm, model=model) for size, arm in pairs]
    table["joules_float32"] = [
        joules(run, size, arm, counted="full32") if arm == "full" else math.nan for size, arm in pairs
    ]
    return table


def at_equal_energy(
    run: LanguageRun,
    *,
    of: str = "bitnet",
    against: str = "full",
    model: energy.Model = "w23",
    column: str = "loss",
) -> pd.DataFrame:
    """Return the loss of an arm minus that of another at the energies of the other's networks.

    The loss of `of` is interpolated linearly in log energy between its sizes, seed by seed; sizes of `against` outside
    the range of its energies are left out.

    Parameters
    ----------
    column
        What is compared: ``"loss"``, or another column of `networks`, as ``"accuracy_0"``.

    Returns
    -------
    Columns size (of `against`), joules, seed, difference (nats, or the column's unit); empty if no size is in range.
    """
    return _at_equal(run, of, against, column, "joules", lambda size, arm: joules(run, size, arm, model=model))


def at_equal_memory(
    run: LanguageRun, *, of: str = "bitnet", against: str = "full", column: str = "loss", whole: bool = True
) -> pd.DataFrame:
    """Return `at_equal_energy` with the bytes of the weights (`memory`), in a column of this name, as the cost."""
    return _at_equal(run, of, against, column, "bytes", lambda size, arm: memory(run, size, arm, whole=whole))


Cost = Callable[[str, str], float]  # of a network by size and arm


def _at_equal(run: LanguageRun, of: str, against: str, column: str, name: str, cost: Cost) -> pd.DataFrame:
    mine, theirs = (_against_cost(run, arm, column, cost) for arm in (of, against))
    rows = []
    for seed, others in theirs.groupby("seed"):
        own = mine.loc[mine["seed"] == seed]
        spent, reached = _numbers(own, "cost"), _numbers(own, column)
        for other in others.to_dict("records"):
            if len(own) and spent[0] <= other["cost"] <= spent[-1]:
                at = np.interp(math.log(other["cost"]), np.log(spent), reached)
                rows.append((other["size"], other["cost"], seed, float(at - other[column])))
    found = pd.DataFrame(rows, columns=pd.Index(["size", name, "seed", "difference"]))
    found["place"] = [run.spec.sizes.index(size) for size in found["size"]]
    return found.sort_values(["place", "seed"], ignore_index=True).drop(columns="place")


def mean_over_sizes(found: pd.DataFrame, column: str, seeds: Sequence[int]) -> tuple[pd.Series, tuple[str, ...]]:
    """Return a column's mean over sizes, seed by seed, and these sizes: those with a finite value at every seed.

    So each seed is a mean of the same sizes, also where some networks of a size are out of range and others are not.

    Parameters
    ----------
    found
        Columns size, seed, `column`; a row per network.
    seeds
        All that there should be.
    """
    finite = found.loc[np.isfinite(_numbers(found, column))]
    many = finite.groupby("size", sort=False)["seed"].nunique()
    kept = tuple(str(size) for size, count in many.items() if count == len(seeds))
    return pd.Series(finite.loc[finite["size"].isin(kept)].groupby("seed")[column].mean()), kept


def cost_at_equal_loss(
    run: LanguageRun, *, of: str = "bitnet", against: str = "full", model: energy.Model = "w23"
) -> pd.DataFrame:
    """Return what an arm spends, as a share of what another does, to reach the losses of the other's networks.

    The energy of a forward pass at which `of` reaches a loss is interpolated, its logarithm linearly in the loss,
    between its sizes, seed by seed, after its losses have been made non-increasing in energy (a larger network reaches
    at least what a smaller one does). Losses of `against` outside the range of its losses have no share.

    Returns
    -------
    Columns size (of `against`), loss (that it reaches), seed, share (energy of `of` over energy of `against`; NaN where
    the loss is out of range); a row for each network of `against` that has a loss.
    """
    mine, theirs = (
        _against_cost(run, arm, "loss", lambda size, arm: joules(run, size, arm, model=model)) for arm in (of, against)
    )
    rows = []
    for other in theirs.to_dict("records"):
        own = mine.loc[mine["seed"] == other["seed"]]
        spent, loss = np.log(_numbers(own, "cost")), np.minimum.accumulate(_numbers(own, "loss"))
        share = math.nan
        if len(own) and loss[-1] <= other["loss"] <= loss[0]:
            falling = np.r_[True, np.diff(loss) < 0]  # where the loss stays, the least energy reaches it
            at = np.interp(-other["loss"], -loss[falling], spent[falling])
            share = float(np.exp(at)) / other["cost"]
        rows.append({"size": other["size"], "loss": other["loss"], "seed": other["seed"], "share": share})
    return pd.DataFrame(rows, columns=pd.Index(["size", "loss", "seed", "share"]))


def _against_cost(run: LanguageRun, arm: str, column: str, cost: Cost) -> pd.DataFrame:
    """Return the networks of an arm that have a value: size, seed, the column, cost; by seed, then by cost.

    Raises
    ------
    InputError
        If the run lacks the arm or the column.
    """
    if arm not in run.spec.arms:
        raise InputError(f"this run has no arm {arm!r}; it has: {', '.join(run.spec.arms)}")
    table = networks(run)
    require_columns(table, (column,), for_what=f"a comparison of {column!r}")
    table = table.loc[(table["arm"] == arm) & table[column].notna(), ["size", "seed", column]]
    spent = {size: cost(size, arm) for size in table["size"].unique()}
    return table.assign(cost=table["size"].map(spent)).sort_values(["seed", "cost"])


def excess(run: LanguageRun) -> pd.DataFrame:
    """Return how much the loss rises with the learning rate, network by network.

    Returns
    -------
    Columns arm, times (the rate over the best one of `full`), seed, rate, loss, excess (the loss minus that of the same
    arm and seed at times = 1), diverged. A diverged network has the loss of guessing uniformly, ln V.
    """
    found = run.frame.loc[run.frame["stage"] == "stability"].copy()
    if found.empty:
        return pd.DataFrame(columns=pd.Index(["arm", "times", "seed", "rate", "loss", "excess", "diverged"]))
    found["times"] = (found["rate"] / run.rates["full", str(found["size"].iloc[0])]).round(MULTIPLE_DIGITS)
    found["loss"] = found["loss"].fillna(math.log(vocabulary(run)))
    start = found.loc[found["times"] == 1].set_index(["arm", "seed"])["loss"]
    found["excess"] = found["loss"] - [float(start[key]) for key in zip(found["arm"], found["seed"], strict=True)]  # pyright: ignore[reportArgumentType]
    names = ["arm", "times", "seed", "rate", "loss", "excess", "diverged"]
    return pd.DataFrame(found[names]).sort_values(["arm", "times", "seed"], ignore_index=True)


def searched(run: LanguageRun) -> pd.DataFrame:
    """Return what the search for rates saw: arm, size, parameters, rate, train_loss, best."""
    found = run.frame.loc[run.frame["stage"] == "search"]
    table = pd.DataFrame(found[["arm", "size", "parameters", "rate", "train_loss"]]).copy()
    table["best"] = [run.rates[arm, size] == rate for arm, size, rate in table[["arm", "size", "rate"]].to_numpy()]
    return table.sort_values(["arm", "parameters", "rate"], ignore_index=True)


def at_edge(run: LanguageRun, arm: str, size: str) -> bool:
    """Say whether the best rate was the largest or smallest one tried, so that the search did not enclose it."""
    found = run.frame
    tried = found.loc[(found["stage"] == "search") & (found["evaluated"] == arm) & (found["size"] == size), "rate"]
    return run.rates[arm, size] in (float(tried.min()), float(tried.max()))


def vocabulary(run: LanguageRun) -> int:
    """Return the number of characters of the run's text."""
    return _vocabulary(run.spec.text)


@functools.lru_cache(maxsize=4)  # every energy asks for it
def _vocabulary(name: str) -> int:
    from ntk1bit.data import text

    return text.load(name).vocabulary


def _numbers(table: pd.DataFrame, column: str) -> np.ndarray:
    return table[column].to_numpy(dtype=np.float64)
