"""A criterion on a measure of a sweep: what is measured, on which networks, and when in training.

It gives the criterion that judges (`claims.criteria`) and the evidence that it judges, from a run's frame; and it can
say before anything is trained whether a sweep would answer it. The kinds there are: `claims.run_criteria`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from ntk1bit.claims.criteria import Criterion
from ntk1bit.claims.evidence import Measure
from ntk1bit.errors import InputError, require_choice
from ntk1bit.estimators.columns import SETTINGS
from ntk1bit.estimators.measured import MeasureDefinition, measure_definition, require_recorded
from ntk1bit.estimators.moments import Moment, read_moment, require_step
from ntk1bit.estimators.network_values import NetworkValues, at_moment
from ntk1bit.experiments import SweepSpec
from ntk1bit.experiments.plain_fields import PlainFields
from ntk1bit.networks.two_layer import log_steps

PAIR = "one_bit - full"  # the precision of a measure of pairs
_SELECTION = "dict"  # annotation of fields that select networks
_SHORT = {"one_bit": "1-bit", "full": "full precision", PAIR: "1-bit minus full"}


class Answer(NamedTuple):
    """What a run says on one criterion.

    Attributes
    ----------
    measure
        What is judged; None if nothing was tried.
    table
        What a figure draws: width, value, low, high, seeds; of a count: width, seed, value, failed, diverged.
    precision
        Of the networks; `PAIR` where both are compared.
    law
        A fitted power law, and the width that is judged; as far as there are any.
    remarks
        What was left out and why.
    """

    measure: Measure | None
    table: pd.DataFrame
    precision: str
    law: dict[str, float]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class RunCriterion(PlainFields, ABC):
    """What all criteria on a run share.

    Attributes
    ----------
    measure
        A name that `ntk1bit measures` prints.
    at
        When in training: ``end``, ``largest``, ``step 100``, ``loss 0.1`` and the others of `moments.MOMENTS`.
    where
        The settings that select one group of networks, such as ``{"precision": "one_bit", "init": "iid"}``; those that
        the sweep does not vary can be left out.
    label
        The sentence that stands for the number on a page; made from the rest if empty.

    Raises
    ------
    InputError
        For an unknown measure, moment or setting, and for values of the wrong type or out of range.
    """

    measure: str
    at: str = "end"
    where: dict = field(default_factory=dict)
    label: str = ""
    KIND: ClassVar[str]

    def __post_init__(self) -> None:
        """Check what can be checked without a sweep."""
        super().__post_init__()
        definition, _ = self.definition, self.moment
        for settings in self.selections:
            for name in settings:
                require_choice("setting of networks in 'where', 'of' or 'over'", name, SETTINGS)
            if definition.of_pairs and "precision" in settings:
                raise InputError(
                    f"measure {self.measure!r} compares both precisions, so 'where' cannot name one; leave it out"
                )

    @classmethod
    def typed(cls, name: str, value: object, kind: str) -> Any:
        """Return the value of a field as its type; a selection is a table of plain values."""
        if not kind.startswith(_SELECTION):
            return super().typed(name, value, kind)
        if not isinstance(value, Mapping):
            raise InputError(f"{name} must be a table such as {{precision = 'one_bit'}}, got {str(repr(value))[:60]}")
        for setting, entry in value.items():
            if not isinstance(entry, str | int | float) or isinstance(entry, bool):
                raise InputError(f"{name}.{setting} must be one value, a name or a number, got {str(repr(entry))[:60]}")
        return dict(value)

    @property
    def definition(self) -> MeasureDefinition:
        """What the measure is."""
        return measure_definition(self.measure)

    @property
    def moment(self) -> Moment:
        """When in training it is read."""
        return read_moment(self.at)

    @property
    def selections(self) -> tuple[dict[str, Any], ...]:
        """The settings of each group of networks that it reads."""
        return (self.where,)

    @property
    def what(self) -> str:
        """The measure with its moment and its networks, in a few words."""
        return self.told(self.measure)

    def told(self, core: str) -> str:
        """Return some words with the moment and the networks in brackets behind them."""
        return f"{core} ({self.moment.text}{listed(self.where, first=False)})"

    @property
    def name(self) -> str:
        """The id of what it measures: short, lower case, parts between dots."""
        return f"{self.measure}.{self.moment.text.replace(' ', '_')}.{self.KIND}"

    @property
    @abstractmethod
    def sentence(self) -> str:
        """What stands for the number on a page."""

    @property
    @abstractmethod
    def refuted_by(self) -> str:
        """What would refute it, in words."""

    @property
    @abstractmethod
    def bounds(self) -> dict[str, float]:
        """Its numbers, as a figure draws them."""

    @abstractmethod
    def criterion(self, name: str, spec: SweepSpec | None) -> Criterion:
        """Return the criterion that judges the measure of this id on a sweep with these settings."""

    @abstractmethod
    def answer(self, frame: pd.DataFrame, name: str, study: str, spec: SweepSpec) -> Answer:
        """Measure it on the frame of a whole run."""

    def short_of(self, spec: SweepSpec) -> list[str]:  # noqa: ARG002 - each kind has needs of its own
        """Say what a finding needs and these settings lack, a phrase each."""
        return []

    def require_answerable(self, spec: SweepSpec) -> None:
        """Refuse a sweep that lacks the measure, the fixed step or the networks, before it runs.

        Raises
        ------
        InputError
            Saying what is missing and how to get it.
        """
        definition, moment = self.definition, self.moment
        require_recorded(definition, spec)
        steps = np.arange(spec.steps + 1) if definition.every_step else log_steps(spec.steps, spec.checkpoints)
        require_step(moment, definition, steps)
        for settings in self.selections:
            _require_one_group(settings, spec, pairs=definition.of_pairs)

    def networks(self, spec: SweepSpec) -> int:
        """Return how many networks, or pairs, the first selection has in this sweep."""
        wanted = self.selections[0] | ({"precision": "one_bit"} if self.definition.of_pairs else {})
        return sum(all(getattr(one, name) == value for name, value in wanted.items()) for one in spec.networks)

    def read(self, frame: pd.DataFrame, settings: Mapping[str, Any]) -> NetworkValues:
        """Return the measure of each network of one of the selections."""
        found = [
            one
            for one in at_moment(frame, self.measure, self.moment)
            if all(one.settings.get(name) == value for name, value in settings.items())
        ]
        if len(found) != 1:  # the sweep was seen to have the networks, so it is the measure that they lack
            raise InputError(f"no network with {listed(settings) or 'any settings'} has the measure {self.measure!r}")
        return found[0]


def listed(settings: Mapping[str, Any], *, first: bool = True) -> str:
    """Write settings in a few words: `1-bit, iid, kappa = 2`; with a comma in front unless they come first."""
    words = ", ".join(
        _SHORT.get(str(value), str(value)) if isinstance(value, str) else f"{name} = {value:g}"
        for name, value in settings.items()
    )
    return words if first or not words else f", {words}"


def _require_one_group(settings: Mapping[str, Any], spec: SweepSpec, *, pairs: bool) -> None:
    """Refuse a selection that leaves no group of networks of a sweep, or several."""
    follow = ("scale", "activity")  # from the precision, so they are asked last
    names = sorted(SETTINGS, key=lambda name: name in follow)
    every = list(dict.fromkeys(spec.networks))
    if pairs:
        every = [one for one in every if one.precision == "one_bit"]
    for name, value in settings.items():
        known = list(dict.fromkeys(getattr(one, name) for one in every))
        if value not in known:
            if isinstance(value, str):
                require_choice(f"{name} of networks in this sweep", value, [str(one) for one in known])
            raise InputError(f"this sweep has no networks with {name} = {value}; it has: {', '.join(map(str, known))}")
    kept = [one for one in every if all(getattr(one, name) == value for name, value in settings.items())]
    if not kept:
        raise InputError(f"this sweep has no networks with {listed(settings)} together; ask for other settings")
    for name in names:
        several = list(dict.fromkeys(getattr(one, name) for one in kept))
        if len(several) > 1:
            example = f"{name} = {several[0]!r}"
            raise InputError(
                f"'where' must leave one group of networks, and {name} takes several values: "
                f"{', '.join(map(str, several))}; add one, such as {example}"
            )
