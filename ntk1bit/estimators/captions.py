"""A group of cells in words: the caption of its tables, figures and sections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ntk1bit.estimators.columns import ONLY_ACTIVITY


def group_caption(
    settings: Mapping[str, Any],
    *,
    kappa: str = "kappa",
    eta_rel: str = "eta_rel",
    escape: Callable[[object], str] = str,
) -> str:
    r"""Describe a group of cells by its settings, in a line.

    Parameters
    ----------
    settings
        With task, dim, n_train, init, kappa and eta_rel, as `against_width.groups` gives them, and perhaps an activity,
        which is told where it is not that of a straight-through step.
    kappa, eta_rel
        How both symbols are written, such as ``"$\kappa$"`` in a figure.
    escape
        How the names of task and start are written, where they could be taken for markup.
    """
    name = str(settings["task"]).partition("@")[0]  # of one's own data without their digest
    task, init = escape(name), escape(settings["init"])
    activity = settings.get("activity", ONLY_ACTIVITY)
    return (
        f"{task}, d = {settings['dim']}, n = {settings['n_train']}, init {init}, "
        f"{kappa} = {settings['kappa']:g}, {eta_rel} = {settings['eta_rel']:g}"
        + (f", activity {escape(activity)}" if activity != ONLY_ACTIVITY else "")
    )
