"""Everything the estimators say about one run, in the order it is read."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any, get_args

import pandas as pd

from ntk1bit.estimators.against_width import NO_EXPONENT, AgainstWidth
from ntk1bit.estimators.columns import SETTINGS, reads
from ntk1bit.estimators.convergence import (
    LOSS_LEVELS,
    WidthNeeded,
    decay_rate,
    floor,
    loss_at_end,
    steps_needed,
    width_needed,
)
from ntk1bit.estimators.kernel_drift import activation_changes, drift, kernel_shift, movement, sign_flips
from ntk1bit.estimators.outputs import PREDICTION_COLUMNS, When, distance_to_predictions, gap, spread
from ntk1bit.printing import MOST_COLUMNS, number, short_lines
from ntk1bit.statistics import ENOUGH_SEEDS, PowerFit

COLUMNS = [
    "drift",
    "lambda_min",
    "lambda_max",
    "flipped",
    "activation_change",
    "radius",
    "test_outputs",
    *PREDICTION_COLUMNS,
]


@dataclass(frozen=True)
class Overview:
    """All estimates of a run.

    Attributes
    ----------
    quantities
        Each quantity of each group of settings against width.
    needed
        The width each loss needs.
    notes
        What a reader has to know about the run as a whole.
    """

    quantities: tuple[AgainstWidth, ...]
    needed: tuple[WidthNeeded, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        """Say in a few lines what it has estimates of."""
        names = dict.fromkeys(one.quantity for one in self.quantities)
        groups = {tuple(sorted((k, str(v)) for k, v in one.settings.items())) for one in self.quantities}
        return short_lines(
            [
                f"Overview: {len(self.quantities)} estimates, {len(groups)} groups of settings; values(), exponents()",
                *textwrap.wrap(f"of {', '.join(names) or 'nothing'}", MOST_COLUMNS)[:5],
                *self.notes,
            ]
        )

    def _repr_html_(self) -> str:
        """Return the table of exponents, for notebooks."""
        columns = ["quantity", "precision", "scale", "activity"]
        columns += ["form", "exponent", "exponent_low", "exponent_high", "note"]
        return self.exponents().reindex(columns=columns).to_html(index=False, float_format=number)

    def values(self) -> pd.DataFrame:
        """Return all values against width: columns quantity, settings, width, value, low, high, seeds."""
        parts = [one.table.assign(quantity=one.quantity, **one.settings) for one in self.quantities if len(one.table)]
        columns = ["quantity", *SETTINGS, "width", "value", "low", "high", "seeds"]
        return pd.concat(parts, ignore_index=True).reindex(columns=columns) if parts else pd.DataFrame(columns=columns)

    def exponents(self) -> pd.DataFrame:
        """Return all fitted laws, warranted or not: a row for each quantity, group and form."""
        rows: list[dict[str, Any]] = []
        for one in self.quantities:
            rows += [_row(one.quantity, one.settings, "A m^p", one.power)]
            if one.power_with_floor is not None:
                rows += [_row(one.quantity, one.settings, "c + A m^p", one.power_with_floor)]
        rows += [_row("width needed", one.settings, "m = A L^p", one.power) for one in self.needed]
        return pd.DataFrame([row for row in rows if row["note"] != NO_EXPONENT])


@reads("eta", *COLUMNS[: -len(PREDICTION_COLUMNS)])
def overview(frame: pd.DataFrame) -> Overview:
    """Estimate everything a run has data for.

    Parameters
    ----------
    frame
        From `Run.frame` with at least `COLUMNS`.
    """
    if frame.empty:
        return Overview((), (), ("the run has no finished cells yet",))
    quantities = [
        *loss_at_end(frame),
        *floor(frame),
        *decay_rate(frame),
        *(one for share in LOSS_LEVELS for one in steps_needed(frame, share)),
        *drift(frame),
        *kernel_shift(frame),
        *movement(frame),
        *sign_flips(frame),
        *activation_changes(frame),
        *distance_to_predictions(frame),
        *(one for when in get_args(When) for one in gap(frame, when=when)),
        *spread(frame),
    ]
    notes = []
    names = [name for name in (*SETTINGS, "width") if name in frame]
    seeds = int(frame.groupby(names, dropna=False)["seed"].nunique().to_numpy().min())
    if seeds < ENOUGH_SEEDS:
        notes.append(
            f"{seeds} seed{'s' * (seeds > 1)}: intervals are an indication; use {ENOUGH_SEEDS} or more for a result"
        )
    return Overview(tuple(quantities), tuple(width_needed(frame)), tuple(notes))


def _row(quantity: str, settings: dict[str, Any], form: str, fit: PowerFit) -> dict[str, Any]:
    return {"quantity": quantity, **settings, "form": form, **vars(fit)}
