"""Values of measures, for tests of evidence."""

from __future__ import annotations

from ntk1bit.claims import Count, Evidence, IntervalEstimate, Number


def value(found: Evidence, measure: str) -> float:
    """Return the value of an estimate or a number."""
    one = found.get(measure)
    assert isinstance(one, IntervalEstimate | Number)
    return one.value


def failures(found: Evidence, measure: str) -> tuple[int, int]:
    """Return the failures and trials of a count."""
    one = found.get(measure)
    assert isinstance(one, Count)
    return one.failures, one.trials


def units(found: Evidence, measure: str) -> str:
    """Return what the interval of an estimate is over."""
    one = found.get(measure)
    assert isinstance(one, IntervalEstimate)
    return one.units
