"""Tables of counts: operations with their energy by size and arm, and what a forward pass comes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import numpy as np
import pandas as pd

from ntk1bit.energy.counting import COSTS, TERNARY_DENSITY, Arm, ForwardPass, Model, count_operations, joules
from ntk1bit.energy.weight_memory import weight_bytes

_AS_COUNTED = ["kind", "operation", "format", "count"]


def operations_table(
    passes: Mapping[str, ForwardPass],
    arms: Iterable[Arm],
    *,
    model: Model = "w23",
    density: float = TERNARY_DENSITY,
    wide: bool = False,
) -> pd.DataFrame:
    """Count the operations of several Transformers in several arms, with their energy.

    Parameters
    ----------
    passes
        Forward passes by the name of their size.
    arms, model, density, wide
        As for `count_operations`.

    Returns
    -------
    One row for each size, arm, kind of layer, operation and format. Columns size, layers, width, tokens, arm, those of
    `count_operations`, and joules_7nm and joules_45nm (J).
    """
    parts = []
    for size, forward in passes.items():
        front = {"size": size, "layers": forward.layers, "width": forward.width, "tokens": forward.tokens}
        for arm in arms:
            counts = count_operations(forward, arm, model=model, density=density, wide=wide)
            for node, costs in COSTS.items():
                spent = [getattr(costs[form], what) for what, form in counts[["operation", "format"]].to_numpy()]
                counts[f"joules_{node}"] = counts["count"] * spent * 1e-12
            parts.append(pd.DataFrame(front | {"arm": arm}, index=counts.index).join(counts))
    return pd.concat(parts, ignore_index=True)


def totals_table(operations: pd.DataFrame, passes: Mapping[str, ForwardPass]) -> pd.DataFrame:
    """Add up what `operations_table` counted for the same forward passes, which must include full32 and full16.

    Returns
    -------
    One row for each size and arm. Columns size, arm, parameters (weights of the linear maps), adds, muls, joules_7nm,
    joules_45nm (J), over_full32 and over_full16 (energy of these arms at 7 nm over this one's), linear_bytes (linear
    maps with their scales) and total_bytes (all weights).
    """
    rows = []
    for size, forward in passes.items():
        of_size = operations.loc[operations["size"] == size]
        counts: dict[Arm, pd.DataFrame] = {
            cast(Arm, arm): part[_AS_COUNTED] for arm, part in of_size.groupby("arm", sort=False)
        }
        at_7nm = {arm: joules(part, "7nm").total for arm, part in counts.items()}
        for arm, part in counts.items():
            memory = weight_bytes(forward, arm)
            rows.append(
                {
                    "size": size,
                    "arm": arm,
                    "parameters": forward.parameters,
                    "adds": _sum(part, "add"),
                    "muls": _sum(part, "mul"),
                    "joules_7nm": at_7nm[arm],
                    "joules_45nm": joules(part, "45nm").total,
                    "over_full32": at_7nm["full32"] / at_7nm[arm],
                    "over_full16": at_7nm["full16"] / at_7nm[arm],
                    "linear_bytes": memory.linear + memory.scales,
                    "total_bytes": memory.total,
                }
            )
    return pd.DataFrame(rows)


def _sum(counts: pd.DataFrame, operation: str) -> int:
    return int(np.sum(counts.loc[counts["operation"] == operation, "count"]))
