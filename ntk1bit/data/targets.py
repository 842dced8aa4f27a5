"""Targets of people's own data as numbers within [-1, 1], as D25 assumes, and a sentence for each change."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Shaped

from ntk1bit.errors import InputError
from ntk1bit.tables.columns import shown

_LISTED = 5
_FEW = 20  # whole numbers that may well be classes


def encoded(
    name: str, labels: Shaped[np.ndarray, " n"], positive: object = None
) -> tuple[Float[np.ndarray, " n"], tuple[str, ...]]:
    """Return targets within [-1, 1], and notes that say what was done.

    Two distinct values, of whatever kind, are two classes: the first in order becomes -1, the other +1. With `positive`
    that class becomes +1 and all others -1, a column of the one-hot coding. Other numbers stay as they are within
    [-1, 1]; beyond it they are divided by the largest magnitude or, if all have one sign, moved and scaled so that they
    fill [-1, 1], since a network without biases cannot learn an offset.

    Parameters
    ----------
    name
        The task, for messages.
    labels
        (n,) numbers, truth values or words.
    positive
        The class set against all others; None for none.

    Raises
    ------
    InputError
        For more than two classes in words, NaN, or an unknown `positive`.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "biuf":
        labels = _words(name, labels)
    if labels.dtype.kind in "f" and not np.isfinite(labels).all():
        bad = np.flatnonzero(~np.isfinite(labels))
        raise InputError(f"targets of task {name!r} contain NaN or infinity (first in row {bad[0]}); remove them")
    classes = np.unique(labels)
    if positive is not None:
        held = labels == positive
        if not held.any():
            listed = ", ".join(shown(one) for one in classes[:_LISTED].tolist())
            raise InputError(f"no target of task {name!r} is {positive!r}; there are {listed}")
        note = f"classes: {shown(str(positive))} is +1, the other {len(classes) - 1} are -1 (one against the rest)"
        return np.where(held, 1.0, -1.0), (note,)
    if len(classes) == 2:
        lower, upper = (shown(one) for one in classes.tolist())
        note = () if (lower, upper) in (("-1", "1"), ("-1.0", "1.0")) else (f"classes: {lower} is -1, {upper} is +1",)
        return np.where(labels == classes[1], 1.0, -1.0), note
    if labels.dtype.kind not in "biuf":
        listed = ", ".join(shown(one) for one in classes[:_LISTED].tolist()) + (
            ", ..." if len(classes) > _LISTED else ""
        )
        raise InputError(
            f"the targets of task {name!r} are {len(classes)} classes ({listed}), and a network has one output; "
            f"set one against the rest with --target COLUMN={classes[0]}, or each in turn with --target 'COLUMN=*' (in "
            "Python: positive=...)"
        )
    targets = labels.astype(np.float64)
    notes: tuple[str, ...] = ()
    if 2 < len(classes) <= _FEW and labels.dtype.kind in "iu":
        notes = (
            f"the {len(classes)} whole numbers of the target are taken as numbers, not as classes "
            f"(for classes: --target COLUMN={classes[0]})",
        )
    low, high = targets.min(initial=np.inf), targets.max(initial=-np.inf)
    if len(classes) > 2 and max(abs(low), abs(high)) > 1:
        if low > 0 or high < 0:
            middle, half = low / 2 + high / 2, high / 2 - low / 2
            said = f"({middle:g} subtracted, divided by {half:g})"
            return np.clip((targets - middle) / half, -1, 1), (*notes, f"targets moved to fill [-1, 1] {said}")
        largest = max(abs(low), abs(high))
        return targets / largest, (*notes, f"targets divided by {largest:g} so that |y| <= 1")
    return targets, notes


def _words(name: str, labels: Shaped[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
    """Return labels as words, or as numbers where all of them are written as numbers."""
    if any(label is None or label != label for label in labels.tolist()):  # NaN is not equal to itself
        raise InputError(f"targets of task {name!r} are missing in some rows; remove these rows or fill them in")
    if all(isinstance(label, int | float | np.number) for label in labels.tolist()):
        return np.array(labels.tolist(), dtype=np.float64)
    return np.array([str(label) for label in labels.tolist()])
