"""Losses of a sweep of two-layer networks as tables of N, n and C, and the laws they are tried against.

N = m d counts the latent parameters, n the training examples, and C the operations of training: each step of
full-batch descent multiplies X by the weights and the residuals by the activities, n d m multiply-adds each, and
updates m d weights; measuring the loss takes one more forward product. Counting a multiply-add as two operations,

    C(t) = t (4 n d m + 2 m d) + 2 n d m.

Both precisions are counted alike, so that their losses share an axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from ntk1bit.errors import InputError, require_choice
from ntk1bit.scaling.fit import Progress, fit
from ntk1bit.scaling.labels import parts
from ntk1bit.scaling.laws import REAL, Law, Parameter, get_law
from ntk1bit.scaling.result import Fit

CELL = ("task", "dim", "n_train", "width", "precision", "init", "scale", "kappa", "seed")
_SETTINGS = ("task", "dim", "init", "scale", "kappa")
_LOSSES = {"train": "loss", "test": "test_loss"}
_RELATIONS = {"N": "L(N)", "n": "L(n)", "C": "L(C)"}

_AMPLITUDE = Parameter("A", ("0.1*loss*N**alpha*D**-gamma", "loss*N**alpha*D**-gamma"), role="amplitude")
_ALPHA = Parameter("alpha", (0.25, 0.5, 1.0), REAL, role="exponent", of="N")
_GAMMA = Parameter("gamma", (0.0, 1.0, 3.0), REAL, role="exponent", of="D")
_START = Parameter("F", ("loss", "loss_max"), role="amplitude")

SUM_FORM = Law(
    name="sum",
    formula="A * N**-alpha * D**gamma + F * exp(-g * C)",
    variables=("N", "D", "C"),
    parameters=(_AMPLITUDE, _ALPHA, _GAMMA, _START, Parameter("g", ("1/C", "10/C", "1/C_max"), role="rate")),
    reference="a smooth rival of D25, Prop 4.3",
)
STEP_FORM = Law(
    name="max-per-step",
    formula="max(A * N**-alpha * D**gamma, F * exp(-g * C / (N * D)))",
    variables=("N", "D", "C"),
    parameters=(_AMPLITUDE, _ALPHA, _GAMMA, _START, Parameter("g", ("N*D/C", "10*N*D/C", "0.1*N*D/C"), role="rate")),
    reference="D25, Prop 4.3 with the decay in steps C / (N D)",
)
POWER_FORM = Law(
    name="power-in-compute",
    formula="A * N**-alpha * D**gamma + F * C**-g",
    variables=("N", "D", "C"),
    parameters=(
        _AMPLITUDE,
        _ALPHA,
        _GAMMA,
        Parameter("F", ("0.3*loss*C**g", "loss*C**g"), role="amplitude"),
        Parameter("g", (0.1, 0.5, 1.0, 2.0), REAL, role="exponent", of="C"),
    ),
    reference="a power law in compute in place of exponential decay",
)


def operations(
    width: Float[np.ndarray, " r"],
    dim: Float[np.ndarray, " r"],
    n: Float[np.ndarray, " r"],
    steps: Float[np.ndarray, " r"],
) -> Float[np.ndarray, " r"]:
    """Count the operations of training up to a step and measuring the loss there: see the module's formula."""
    product = 2.0 * n * dim * width
    return steps * (2.0 * product + 2.0 * dim * width) + product


def losses_from_sweep(
    frame: pd.DataFrame, *, at: Literal["last", "best"] | int = "last", loss: Literal["train", "test"] = "train"
) -> pd.DataFrame:
    """Reduce a sweep to one loss a cell.

    Parameters
    ----------
    frame
        One row for each cell and training step, with the columns task, dim, n_train, width, precision, init, scale,
        kappa, seed, step, loss, test_loss, diverged.
    at
        "last" step with this loss, the step of "best" loss, or a step's number.
    loss
        "train" or "test" (known at checkpoints only).

    Returns
    -------
    DataFrame
        One row a cell: its settings, `step`, `N`, `n`, `C` and `loss`. Cells that diverged, or that have no positive
        loss there, are left out: `attrs["left_out"]` counts them, and `attrs["why_left_out"]` holds a sentence for each
        reason that names them.

    Raises
    ------
    InputError
        For missing columns, a step no cell has, or if no cell is left.
    """
    rows = _known(frame, loss)
    keys = list(CELL)
    diverged = _cells(frame.loc[np.asarray(frame["diverged"], dtype=bool)])
    rows = rows.loc[~np.asarray(rows["diverged"], dtype=bool)]
    if isinstance(at, int) and not isinstance(at, bool):
        picked = rows.loc[np.asarray(rows["step"]) == at]
        if len(picked) == 0:
            known = np.unique(rows["step"])
            raise InputError(
                f"no cell has a {loss} loss at step {at}; steps run {_span(known)}; use one of them, last or best"
            )
    elif at == "last":
        picked = rows.loc[rows.groupby(keys, dropna=False)["step"].idxmax()]
    else:
        require_choice("moment", at, ["last", "best", "a step's number"])
        picked = rows.loc[rows.groupby(keys, dropna=False)["measured"].idxmin()]
    table = _with_sizes(picked)
    positive = np.asarray(table["loss"]) > 0
    spent, table = table.loc[~positive, keys], table.loc[positive].reset_index(drop=True)
    if len(table) == 0:
        raise InputError(
            "no cell is left: all diverged or have no positive loss; check the sweep or choose another step"
        )
    cells = _cells(frame)
    others = pd.concat([table[keys], diverged, spent])
    unmeasured = cells.loc[~_same_cells(cells, others)]
    moment = f"at step {at}" if isinstance(at, int) else "at any step"
    table.attrs["left_out"] = len(cells) - len(table)
    table.attrs["why_left_out"] = _account(
        cells,
        (diverged, "diverged"),
        (spent, f"a {loss} loss that is not positive"),
        (unmeasured, f"no {loss} loss {moment}"),
    )
    return table


def name_cells(cells: pd.DataFrame, *, among: pd.DataFrame, shown: int = 5) -> str:
    """Name cells by the settings in which those of `among` differ: `width 64 seed 0; width 64 seed 1; and 3 more`."""
    telling = [name for name in CELL if name in cells.columns and len(set(map(str, among[name]))) > 1]
    names = [" ".join(f"{name} {row[name]}" for name in telling) for row in cells.head(shown).to_dict("records")]
    more = len(cells) - len(names)
    return ("; ".join(names) or "the only one") + (f"; and {more} more" if more else "")


def curves_from_sweep(
    frame: pd.DataFrame, *, loss: Literal["train", "test"] = "train", moments: int = 30
) -> pd.DataFrame:
    """Return training curves at up to `moments` steps, even in log(step), with `N`, `n`, `D` (= n), `C` and `cell`.

    Cells that diverged and losses that are not positive are left out; `attrs["why_left_out"]` counts and names them.
    """
    rows = _known(frame, loss)
    diverged, positive = np.asarray(rows["diverged"], dtype=bool), np.asarray(rows["measured"]) > 0
    cells = _cells(frame)
    account = _account(
        cells,
        (_cells(rows.loc[diverged]), "diverged"),
        (_cells(rows.loc[~diverged & ~positive]), f"their moments at which the {loss} loss is not positive"),
        (cells.loc[~_same_cells(cells, _cells(rows))], f"no {loss} loss"),
    )
    rows = rows.loc[~diverged & positive]
    steps = np.unique(np.asarray(rows["step"], dtype=np.int64))
    if len(steps) > moments:
        wanted = np.geomspace(1, max(int(steps[-1]), 1), moments)
        steps = np.unique(steps[np.clip(np.searchsorted(steps, wanted), 0, len(steps) - 1)])
    table = _with_sizes(rows.loc[np.isin(np.asarray(rows["step"]), steps)])
    table["cell"] = table.groupby(list(CELL), sort=True, dropna=False).ngroup()
    table = table.assign(D=table["n"]).sort_values(["cell", "step"], ignore_index=True)
    table.attrs["why_left_out"] = account
    return table


def compute_envelope(curves: pd.DataFrame, bins: int = 30) -> pd.DataFrame:
    """Return, per precision, the smallest loss reached with at most each of `bins` budgets, where it is a new best."""
    envelopes = []
    for part in parts(curves, "precision", "precision").values():
        ordered = part.sort_values("C", ignore_index=True)
        spent, losses = ordered["C"].to_numpy(), ordered["loss"].to_numpy()
        lowest = losses <= np.minimum.accumulate(losses)
        best = ordered.loc[lowest]
        place = np.digitize(spent[lowest], np.geomspace(spent[0], spent[-1] * (1 + 1e-12), bins + 1))
        envelopes.append(best.assign(bin=place).sort_values("loss").drop_duplicates("bin").sort_values("C"))
    return pd.concat(envelopes, ignore_index=True).drop(columns="bin")


def sweep_fits(
    frame: pd.DataFrame,
    *,
    at: Literal["last", "best"] | int = "last",
    loss: Literal["train", "test"] = "train",
    laws: Sequence[str | Law] = ("power", "power+floor"),
    bootstrap: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[tuple[str, str, str], Fit]:
    """Fit L(N), L(n) and L(C) per precision with each law, where the sweep varies them enough.

    L(N) and L(n) take one point a cell, L(N) at the largest n and L(n) at the largest N; L(C) takes the envelope of
    all training curves.

    Returns
    -------
    dict
        From (precision, "L(N)" | "L(n)" | "L(C)", law name) to the fit, whose warnings name the cells left out.

    Raises
    ------
    InputError
        If the sweep varies other settings too (see `require_one_setting`), or nothing enough.
    """
    require_one_setting(frame)
    table = losses_from_sweep(frame, at=at, loss=loss)
    tables = {
        "N": table.loc[table["n"] == np.max(table["n"])],
        "n": table.loc[table["N"] == np.max(table["N"])],
        "C": compute_envelope(curves_from_sweep(frame, loss=loss)),
    }
    fits: dict[tuple[str, str, str], Fit] = {}
    for x, source in tables.items():
        for precision, part in parts(source, "precision", "precision").items():
            for law in map(get_law, laws):
                if len(np.unique(part[x])) > len(law.parameters):
                    key = (str(precision), _RELATIONS[x], law.name)
                    found = fit(part, law, x=x, bootstrap=bootstrap, seed=seed, progress=progress)
                    fits[key] = _with_account(found, table)
    if not fits:
        raise InputError("the sweep varies neither width nor n_train enough for a law; sweep at least three widths")
    return fits


def require_one_setting(frame: pd.DataFrame, *, apart_from: Sequence[str] = ()) -> None:
    """Refuse a sweep that varies, within a precision, what is neither width, seed nor number of examples.

    Losses of different tasks, initialisations or kappa do not lie on one curve.
    """
    for name in (each for each in _SETTINGS if each not in apart_from):
        for part in parts(frame, "precision", "precision").values():
            values = sorted(map(str, set(part[name])))
            if len(values) > 1:
                raise InputError(
                    f"the sweep varies {name} ({', '.join(values)}), whose losses do not lie on one curve; "
                    f"choose one with --where {name}={values[0]}, or in Python frame.query(...)"
                )


def proposition_laws(curves: pd.DataFrame) -> list[Law]:
    """Return Prop 4.3's form, free and with the printed exponents (alpha = 1/4, gamma = 3), and its rivals.

    Where the curves have one n only, gamma is held at 0: it cannot be told from the amplitude.
    """
    form = get_law("max")
    if len(np.unique(curves["D"])) == 1:
        return [law.fix(gamma=0.0) for law in (form, form.fix(alpha=0.25), STEP_FORM, SUM_FORM, POWER_FORM)]
    return [form, form.fix(alpha=0.25, gamma=3.0), STEP_FORM, SUM_FORM, POWER_FORM]


def proposition_fits(
    curves: pd.DataFrame, *, bootstrap: int = 200, seed: int = 0, progress: Progress | None = None
) -> dict[str, Fit]:
    """Fit D25's Prop 4.3 and its rivals to training curves of one precision; whole cells are resampled."""
    options: dict[str, Any] = {"bootstrap": bootstrap, "seed": seed, "cluster": "cell", "progress": progress}
    fits = {law.name: fit(curves, law, x=("N", "D", "C"), **options) for law in proposition_laws(curves)}
    return {name: _with_account(found, curves) for name, found in fits.items()}


def _known(frame: pd.DataFrame, loss: str) -> pd.DataFrame:
    column = _LOSSES[require_choice("loss", loss, _LOSSES)]
    needed = [*CELL, "step", "diverged", column]
    if frame.columns.empty:
        raise InputError("the sweep has no finished cells to fit; finish it with: ntk1bit sweep --resume ...")
    if missing := [name for name in needed if name not in frame.columns]:
        raise InputError(f"this is not the table of a sweep: it lacks the column(s) {', '.join(missing)}")
    rows = frame.assign(measured=frame[column]).reset_index(drop=True)
    rows = rows.loc[np.isfinite(np.asarray(rows["measured"], dtype=np.float64))]
    if len(rows) == 0:
        raise InputError(f"the sweep has no {loss} losses; run it with test inputs or fit the other loss")
    return rows


def _with_sizes(rows: pd.DataFrame) -> pd.DataFrame:
    width, dim, n, step = (rows[name].to_numpy(np.float64) for name in ("width", "dim", "n_train", "step"))
    table = rows[[*CELL, "step"]].assign(N=width * dim, n=n, C=operations(width, dim, n, step), loss=rows["measured"])
    return table.reset_index(drop=True)


def _cells(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.drop_duplicates(list(CELL)).loc[:, list(CELL)]


def _account(cells: pd.DataFrame, *reasons: tuple[pd.DataFrame, str]) -> tuple[str, ...]:
    return tuple(
        f"{len(those)} of {len(cells)} cells ({why}): {name_cells(those, among=cells)}"
        for those, why in reasons
        if len(those)
    )


def _with_account(found: Fit, table: pd.DataFrame) -> Fit:
    return found.with_warnings((*found.warnings, *(f"left out: {why}" for why in table.attrs.get("why_left_out", ()))))


def _same_cells(cells: pd.DataFrame, others: pd.DataFrame) -> Bool[np.ndarray, " cells"]:
    known = {tuple(map(str, row)) for row in others.itertuples(index=False)}
    return np.array([tuple(map(str, row)) in known for row in cells.itertuples(index=False)], dtype=bool)


def _span(steps: np.ndarray) -> str:
    return f"{steps[0]}..{steps[-1]}" if len(steps) else "nowhere"
