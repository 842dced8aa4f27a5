"""A measure at a moment of training: one number per network, and from these the measure against width.

Whole seeds are the unit, as everywhere (`estimators.against_width`). A width at which some network diverged, or has no
value at the moment, has no estimate: an average over the seeds that happen to have one would flatter the networks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.errors import InputError
from ntk1bit.estimators.against_width import (
    AgainstWidth,
    estimate_against,
    groups,
    groups_of_both,
    recorded_steps,
    seed_columns,
    seed_samples,
)
from ntk1bit.estimators.columns import OF_EVERY_RUN, require_columns, require_single_cells
from ntk1bit.estimators.measured import MeasureDefinition, measure_definition
from ntk1bit.estimators.moments import Moment, read_moment, require_step
from ntk1bit.estimators.outputs import output_gaps
from ntk1bit.statistics import Interval, MeanOf, PowerFit, RootMeanSquareOf, Statistic, geometric_interval

_LATE = 0.02  # share of a time by which the step read may come later without a remark


@dataclass(frozen=True)
class GeometricMeanOf:
    """The geometric mean of one positive value per network, such as a ratio."""

    values: Float[np.ndarray, " seeds"]
    signed: bool = False

    def __call__(self, weights: Float[np.ndarray, "b seeds"]) -> Float[np.ndarray, " b"]:
        """Return weighted geometric means."""
        return np.exp(weights @ np.log(self.values) / weights.sum(axis=1))

    def interval(self) -> Interval:
        """Return the geometric mean with Student's interval of the logarithms."""
        return geometric_interval(self.values)


@dataclass(frozen=True)
class NetworkValues:
    """A measure at a moment: one number per network of one group of settings.

    Attributes
    ----------
    definition, moment
        What was read, and when.
    settings
        What all networks share, as `against_width.groups` gives it.
    values
        Indexed by width and seed (and that of the data, where it varies); NaN where a network has no value at this
        moment. Networks that diverged are not in it.
    diverged
        The same indices of those that diverged.
    notes
        What a reader has to know.
    statistic
        How the networks of one width are averaged.
    meaning
        The measure with its moment, in words.
    """

    definition: MeasureDefinition
    moment: Moment
    settings: dict[str, Any]
    values: pd.Series
    diverged: tuple[tuple[int, ...], ...]
    notes: tuple[str, ...]
    statistic: Callable[[np.ndarray], Statistic]
    meaning: str

    def against_width(self) -> AgainstWidth:
        """Estimate it against width, with intervals over seeds and a power law; widths left out are in its notes."""
        notes = self.notes
        gone = sorted({one[0] for one in self.diverged})
        if gone:
            where = ", ".join(map(str, gone))
            notes = (*notes, f"{len(self.diverged)} networks diverged at widths {where}; these widths are left out")
        kept = self.values.loc[~self.values.index.get_level_values(0).isin(gone)]
        unknown = kept.index[kept.isna()]
        if len(unknown):
            widths = sorted({key[0] for key in unknown})
            where = ", ".join(map(str, widths))
            notes = (
                *notes,
                f"{len(unknown)} of {len(kept)} networks have no value at {self.moment.text!r}, at widths {where}; "
                "these widths are left out",
            )
            kept = kept.loc[~kept.index.get_level_values(0).isin(widths)]
        if kept.empty:
            table = pd.DataFrame(columns=["width", "value", "low", "high", "seeds"], dtype=np.float64)
            nothing = PowerFit(False, "no width has a value")
            return AgainstWidth(self.definition.name, self.meaning, self.settings, table, nothing, notes=notes)
        samples = seed_samples(kept, self.statistic)
        return estimate_against(self.definition.name, self.meaning, self.settings, samples, notes=notes)


def at_moment(frame: pd.DataFrame, measure: str, moment: str | Moment = "end") -> list[NetworkValues]:
    """Read a measure at a moment of training from each network of a sweep.

    Parameters
    ----------
    frame
        From `Run.frame`, with the columns that the measure needs.
    measure
        A name of `estimators.measured.MEASURES`; `ntk1bit measures` prints them.
    moment
        When in training: see `MOMENTS`.

    Returns
    -------
    One entry for each group of settings that has the measure. Of the gap: settings of the 1-bit networks, with the
    precision ``"one_bit - full"``.

    Raises
    ------
    InputError
        For an unknown measure or moment, columns that are missing, two networks of the same settings, width and seed,
        or a fixed step that is not recorded, with the recorded ones nearby.
    """
    definition = measure_definition(measure)
    moment = read_moment(moment) if isinstance(moment, str) else moment
    if frame.empty and not len(frame.columns):
        return []
    advice = f"run the sweep with {definition.option}" if definition.option else "read the run with run.frame()"
    needed = tuple(dict.fromkeys((*OF_EVERY_RUN, "eta", *definition.columns)))
    require_columns(frame, needed, for_what=f"measure {measure!r}", advice=advice)
    require_single_cells(frame, for_what=f"measure {measure!r}")
    frame = frame.sort_values(["key", "step"], ignore_index=True)
    start = pd.Series(frame.groupby("key")["loss"].transform("first"))
    frame = frame.assign(share=frame["loss"] / start.where(start > 0), time=frame["eta"] * frame["step"])
    if definition.of_pairs:
        return _pairs(frame, definition, moment)
    found = []
    for settings, part in groups(frame.assign(value=_values(frame, definition))):
        made = _read(part, part.dropna(subset=["value"]), definition, moment, settings)
        found += [] if made is None else [made]
    return found


def ratio(over: NetworkValues, under: NetworkValues) -> NetworkValues:
    """Divide a measure of one group of networks by that of another, network by network of the same width and seed.

    Returns
    -------
    Its averages are geometric: intervals are Student's on the logarithms of the pairs. A pair has no value where either
    of them has none, or is not above 0.

    Raises
    ------
    InputError
        If the measure can have either sign.
    """
    if over.definition.signed:
        raise InputError(f"measure {over.definition.name!r} can have either sign, so a ratio of it has no logarithm")
    values, other = over.values.align(under.values, join="inner")
    diverged = tuple(dict.fromkeys((*over.diverged, *under.diverged)))
    alone = len((set(over.values.index) ^ set(under.values.index)) - set(diverged))
    notes = (f"{alone} networks without their counterpart are left out",) if alone else ()
    usable = (values > 0) & (other > 0)
    quotient = pd.Series((values / other.where(other > 0)).where(usable))
    return NetworkValues(
        over.definition,
        over.moment,
        over.settings,
        quotient,
        diverged,
        tuple(dict.fromkeys((*over.notes, *under.notes, *notes))),
        GeometricMeanOf,
        f"ratio of {over.meaning}",
    )


def _values(frame: pd.DataFrame, definition: MeasureDefinition) -> pd.Series:
    assert definition.values is not None  # those of pairs are read elsewhere
    return definition.values(frame)


def _pairs(frame: pd.DataFrame, definition: MeasureDefinition, moment: Moment) -> list[NetworkValues]:
    """Read the gap: a curve of each pair of networks, whose clocks are those of the later one."""
    found = []
    for settings, part in groups_of_both(recorded_steps(frame)):
        one_bit, full = (part.loc[part["precision"] == precision] for precision in ("one_bit", "full"))
        for scale, side in one_bit.groupby("scale"):
            apart, alone = output_gaps(side, full)
            if apart.empty:
                continue
            index = [*apart.index.names]
            both = pd.concat([side, full]).groupby(index)[["share", "time"]].agg({"share": "max", "time": "min"})
            curve = pd.DataFrame({"value": apart}).join(both).reset_index()
            about = settings | {"scale": scale, "precision": "one_bit - full"}
            made = _read(pd.concat([side, full]), curve, definition, moment, about, alone)
            found += [] if made is None else [made]
    return found


def _read(
    part: pd.DataFrame,
    curve: pd.DataFrame,
    definition: MeasureDefinition,
    moment: Moment,
    settings: dict[str, Any],
    note: str = "",
) -> NetworkValues | None:
    """Reduce the curves of one group to a number each; None where it does not have the measure."""
    if curve.empty:
        return None
    by = ["width", *seed_columns(part)]
    networks = _keys(part, by)
    diverged = set(_keys(pd.DataFrame(part.loc[part["diverged"].astype(bool)]), by))
    if definition.of_pairs:  # a network without its counterpart is no pair
        paired = set(_keys(curve, by))
        networks = [key for key in networks if key in paired]
    require_step(moment, definition, curve["step"].to_numpy())
    picked = moment.pick(pd.DataFrame(curve.sort_values(by=[*by, "step"])), by)
    kept = pd.MultiIndex.from_tuples([key for key in networks if key not in diverged], names=by)
    values = pd.Series(picked["value"]).reindex(kept)
    notes = [note] if note else []
    late = (
        float(np.max(picked["time"].to_numpy(), initial=0.0)) / moment.at - 1
        if moment.kind == "time" and moment.at
        else 0
    )
    if late > _LATE:
        notes.append(f"the recorded step after eta t = {moment.at:g} comes up to {late:.0%} later")
    statistic: Callable[[np.ndarray], Statistic] = functools.partial(MeanOf, signed=definition.signed)
    return NetworkValues(
        definition,
        moment,
        settings,
        values,
        tuple(sorted(diverged)),
        tuple(notes),
        RootMeanSquareOf if definition.of_pairs else statistic,
        f"{definition.meaning}, {moment.words}",
    )


def _keys(frame: pd.DataFrame, by: list[str]) -> list[tuple[int, ...]]:
    """Return what tells networks apart, each once, in order."""
    return sorted(set(zip(*(map(int, frame[name]) for name in by), strict=True)))
