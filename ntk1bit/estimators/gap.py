"""The generalisation difference: how far 1-bit and full-precision outputs are apart on test inputs (claim C3)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from ntk1bit.estimators.against_width import (
    AgainstWidth,
    Samples,
    against_width,
    converged_cells,
    groups,
    recorded_steps,
    root_mean_square_of,
)
from ntk1bit.estimators.columns import reads

When = Literal["start", "end", "largest"]
_WHEN_IN_WORDS = {"start": "before training", "end": "after training", "largest": "largest over training"}


@reads("scale", "test_outputs")
def gap(frame: pd.DataFrame, *, when: When = "end") -> list[AgainstWidth]:
    """Root mean square over test inputs of f - f', same data, W(0) and a; then over seeds (claim C3; D25, Thm 5.2).

    Parameters
    ----------
    frame
        From `Run.frame` with ``test_outputs``.
    when
        At the ``"start"``, the ``"end"``, or at the recorded step where it is ``"largest"``.

    Returns
    -------
    One entry for each group of settings, the scale being that of the 1-bit network; none if the run lacks a precision
    or has no test inputs. Fits are `A m^p` and `c + A m^p`: a floor c is a gap that no width closes.
    """
    found = []
    for settings, part in groups(recorded_steps(frame), without=("precision", "scale")):
        kept, notes = converged_cells(part)
        one_bit, full = (kept.loc[kept["precision"] == precision] for precision in ("one_bit", "full"))
        for scale, side in one_bit.groupby("scale"):
            values, alone = _gaps(side, full, when)
            if values.empty:
                continue
            left_out = (*notes, alone) if alone else notes
            samples = [
                Samples(int(str(width)), len(group), root_mean_square_of(group.to_numpy()))
                for width, group in values.groupby(level=0)
            ]
            about = settings | {"scale": scale, "precision": "one_bit - full"}
            meaning = f"RMS over test inputs of f - f', {_WHEN_IN_WORDS[when]}"
            found.append(against_width(f"gap ({when})", meaning, about, samples, with_floor=True, notes=left_out))
    return found


def _gaps(one_bit: pd.DataFrame, full: pd.DataFrame, when: When) -> tuple[pd.Series, str]:
    """One number for each (width, seed) that has both precisions, and a note that counts those that have not."""
    index = ["width", "seed", "step"]
    other = full.rename(columns={"test_outputs": "test_outputs_full"}).set_index(index)
    pairs = one_bit.set_index(index)[["test_outputs"]].join(other[["test_outputs_full"]], how="inner")
    pairs = pairs.loc[pairs["test_outputs"].map(len) > 0]
    if pairs.empty:
        return pd.Series(dtype=np.float64), ""
    networks = [{*zip(side["width"], side["seed"], strict=True)} for side in (one_bit, full, pairs.reset_index())]
    alone = len((networks[0] | networks[1]) - networks[2])
    note = f"{alone} networks of one precision without their counterpart are left out" if alone else ""
    apart = pd.Series(
        [
            float(np.sqrt(np.mean((np.asarray(f, np.float64) - np.asarray(f_full, np.float64)) ** 2)))
            for f, f_full in zip(pairs["test_outputs"], pairs["test_outputs_full"], strict=True)
        ],
        index=pairs.index,
    ).sort_index()
    by_cell = apart.groupby(level=["width", "seed"])
    return {"start": by_cell.first, "end": by_cell.last, "largest": by_cell.max}[when](), note
