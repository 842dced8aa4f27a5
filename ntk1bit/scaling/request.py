"""What is asked of a table of losses: one frozen set of settings, checked when it is made and handed on whole."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from ntk1bit.errors import InputError
from ntk1bit.printing import MOST_COLUMNS, short_lines
from ntk1bit.scaling.bootstrap import checked_level, checked_replicates
from ntk1bit.scaling.laws import Law, get_law
from ntk1bit.scaling.objective import HUBER_DELTA
from ntk1bit.statistics import LEVEL

FLOPS_PER_PARAMETER_TOKEN = 6.0
_LEAST_DELTA = 1e-12  # below, residuals are rounding; above its inverse, the sum is one of squares

Columns = str | Sequence[str] | Mapping[str, str] | None


@dataclass(frozen=True)
class FitRequest:
    """Which law to fit to which columns, and what else to find out.

    Attributes
    ----------
    law
        The law to fit.
    x
        The column, the columns in the order of the law's variables, or a mapping from variable to column. By default
        columns are named as the law's variables.
    loss, weight
        The columns of losses and of weights, both positive.
    group, cluster
        Columns to fit apart, and to resample together (rows that share a seed or a run). By default a column called
        run or seed is taken as cluster (see `observations.found_cluster`); an empty tuple keeps rows independent.
    bootstrap, seed, level
        Replicates (0, or at least 20), seed, and coverage of intervals.
    rivals
        Other laws of the same variables, or their names, to rank by AICc and, with `holdout`, by extrapolation.
    holdout
        Share of the largest observations to hold out.
    frontier, cost
        Whether to work out the compute-optimal allocation, and k in its C = k N D.
    run
        Column of training runs, for tables with several steps of each; see `final_rows`.
    delta
        Width of the Huber loss, in units of log loss.
    tilt
        Between 0 and 1. Points above the curve count 2 tilt, points below it 2 (1 - tilt): 0.5 treats them alike,
        small values fit a lower envelope.
    threads
        By default all processors this process may use; results do not depend on it.

    Raises
    ------
    InputError
        For settings out of range, and for those that cannot go together.
    """

    law: Law
    x: Columns = None
    loss: str = "loss"
    group: str | None = None
    cluster: str | Sequence[str] | None = None
    weight: str | None = None
    bootstrap: int = 1000
    seed: int = 0
    level: float = LEVEL
    rivals: Sequence[str | Law] = ()
    holdout: float | None = None
    frontier: bool = False
    cost: float = FLOPS_PER_PARAMETER_TOKEN
    run: str | None = None
    delta: float = HUBER_DELTA
    tilt: float = 0.5
    threads: int | None = None

    def __repr__(self) -> str:
        """Say in at most ten lines what is asked: the law, and what is not by default."""
        plain = {field.name: field.default for field in fields(self)}
        asked = [f"{name}={value!r}" for name, value in vars(self).items() if name != "law" and value != plain[name]]
        return short_lines([f"FitRequest of {self.law.name}", *textwrap.wrap(", ".join(asked), MOST_COLUMNS)])

    def __post_init__(self) -> None:
        """Refuse what cannot be done, before any work."""
        checked_level(self.level)
        checked_replicates(self.bootstrap)
        if not _LEAST_DELTA <= self.delta <= 1 / _LEAST_DELTA:
            raise InputError(
                f"delta must lie between {_LEAST_DELTA:g} and {1 / _LEAST_DELTA:g}, got {self.delta}; 1e-3 is usual"
            )
        if not 0 < self.tilt < 1:
            raise InputError(f"tilt must lie between 0 and 1, got {self.tilt}; 0.5 treats both sides alike")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise InputError(f"seed must be a whole number, 0 or more, got {self.seed!r}")
        if not (math.isfinite(self.cost) and self.cost > 0):
            raise InputError(f"cost must be a positive number, got {self.cost}; 6 is usual for Transformers")
        if self.threads is not None and self.threads < 1:
            raise InputError(f"threads must be 1 or more, got {self.threads}")
        if self.holdout is not None and not 0 < self.holdout < 1:
            raise InputError(f"holdout must be a share between 0 and 1, got {self.holdout}; 0.3 is usual")
        names = [law.name for law in self.laws]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"law {', '.join(repeated)} is named twice; compare different laws")
        if self.group is not None and self.rivals:
            raise InputError("laws are compared on one table; leave out the groups or filter the table first")
        for use, column in (("cluster", self.cluster), ("run", self.run)):
            if column is not None and column == self.group:
                raise InputError(f"column {column!r} cannot be both group and {use}; a group holds several of them")
        if self.frontier:
            require_frontier(self.law)

    @property
    def laws(self) -> list[Law]:
        """The law and its rivals, which must have the same variables."""
        laws = [self.law, *map(get_law, self.rivals)]
        for rival in laws[1:]:
            if rival.variables != self.law.variables:
                raise InputError(
                    f"laws {self.law.name!r} and {rival.name!r} have different variables "
                    f"({', '.join(self.law.variables)} against {', '.join(rival.variables)}); compare laws of the "
                    "same ones"
                )
        return laws

    @property
    def columns(self) -> dict[str, str]:
        """The table's column for each variable of the law."""
        law, x = self.law, self.x
        if x is None:
            return {name: name for name in law.variables}
        if isinstance(x, Mapping):
            if set(x) != set(law.variables):
                raise InputError(
                    f"law {law.name!r} has the variables {', '.join(law.variables)}; x names {', '.join(map(str, x))}"
                )
            return {name: x[name] for name in law.variables}
        given = [x] if isinstance(x, str) else list(x)
        if len(given) != len(law.variables):
            raise InputError(
                f"law {law.name!r} needs {len(law.variables)} column(s), for {', '.join(law.variables)}; "
                f"x gives {len(given)}: {', '.join(map(str, given))}"
            )
        return dict(zip(law.variables, given, strict=True))

    def for_law(self, law: Law) -> FitRequest:
        """Ask for the estimate alone, by this law: no replicates, clusters, groups, rivals or frontier."""
        return replace(self, law=law, bootstrap=0, cluster=(), group=None, rivals=(), frontier=False)

    def for_group(self, seed: int) -> FitRequest:
        """Ask the same of one group's rows, resampled with this seed."""
        return replace(self, group=None, seed=seed)


def require_frontier(law: Law) -> None:
    """Refuse a law that has no compute-optimal allocation."""
    if law.variables != ("N", "D"):
        raise InputError(f"a frontier needs a law of N and D, such as chinchilla or kaplan, not {law.name!r}")
