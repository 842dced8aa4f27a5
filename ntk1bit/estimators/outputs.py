"""How far outputs are apart: of both precisions, of different seeds, and of training and what kernels predict for it.

The generalisation difference, or gap (claim C3), is between 1-bit and full precision on test inputs, the spread (C3b)
between seeds; distances to predictions (C1) are on training inputs.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.estimators.against_width import (
    AgainstWidth,
    converged_cells,
    estimate_against,
    groups,
    groups_of_both,
    per_cell,
    recorded_steps,
    seed_columns,
    seed_samples,
)
from ntk1bit.estimators.columns import reads
from ntk1bit.statistics import Interval, RootMeanSquareOf, Samples, logarithmic_interval

When = Literal["start", "end", "largest"]
_WHEN_IN_WORDS = {"start": "before training", "end": "after training", "largest": "largest over training"}

PREDICTION_COLUMNS = ("from_h", "from_k_eff")
_UNTIL = 0.1  # of the starting loss


@reads("scale", "test_outputs")
def gap(frame: pd.DataFrame, *, when: When = "end", relative: bool = False) -> list[AgainstWidth]:
    """Root mean square over test inputs of f - f', same data, W(0) and a; then over seeds (claim C3; D25, Thm 5.2).

    Parameters
    ----------
    frame
        From `Run.frame` with ``test_outputs``.
    when
        At the ``"start"``, the ``"end"``, or at the recorded step where it is ``"largest"``.
    relative
        Whether to divide by the root mean square of f' over the same inputs, for each pair of networks and step:
        targets on the sphere shrink like d^-1/2, and with them a difference that matters as much.

    Returns
    -------
    One entry for each group of settings, scale and activity being those of the 1-bit network; none if the run lacks a
    precision or has no test inputs. Fits are `A m^p` and `c + A m^p`: a floor c is a gap that no width closes.
    """
    found = []
    for settings, part in groups_of_both(recorded_steps(frame)):
        kept, notes = converged_cells(part)
        one_bit, full = (kept.loc[kept["precision"] == precision] for precision in ("one_bit", "full"))
        for scale, side in one_bit.groupby("scale"):
            values, alone = _gaps(side, full, when, relative)
            if values.empty:
                continue
            left_out = (*notes, alone) if alone else notes
            samples = seed_samples(values, RootMeanSquareOf)
            about = settings | {"scale": scale, "precision": "one_bit - full"}
            over = ", over that of f'" if relative else ""
            meaning = f"RMS over test inputs of f - f'{over}, {_WHEN_IN_WORDS[when]}"
            found.append(estimate_against(f"gap ({when})", meaning, about, samples, with_floor=True, notes=left_out))
    return found


def _gaps(one_bit: pd.DataFrame, full: pd.DataFrame, when: When, relative: bool) -> tuple[pd.Series, str]:
    """One number for each (width, seed) that has both precisions, and a note that counts those that have not."""
    apart, note = output_gaps(one_bit, full, relative=relative)
    by_cell = apart.groupby(level=[name for name in apart.index.names if name != "step"])
    return {"start": by_cell.first, "end": by_cell.last, "largest": by_cell.max}[when](), note


def output_gaps(one_bit: pd.DataFrame, full: pd.DataFrame, *, relative: bool = False) -> tuple[pd.Series, str]:
    """Return the root mean square over test inputs of f - f' for each pair of networks and each recorded step.

    Parameters
    ----------
    one_bit, full
        The recorded steps of the networks of one group of settings, in either precision, with ``test_outputs``.
    relative
        As in `gap`; NaN where f' is 0 on all test inputs, as at a paired start.

    Returns
    -------
    apart
        float64, sorted by its index: width, seed, that of the data where it varies, and step; empty without test
        inputs or without pairs.
    note
        How many networks lack their counterpart; empty if none does.
    """
    cell = ["width", *seed_columns(one_bit)]
    index = [*cell, "step"]
    other = full.rename(columns={"test_outputs": "test_outputs_full"}).set_index(index)
    pairs = one_bit.set_index(index)[["test_outputs"]].join(other[["test_outputs_full"]], how="inner")
    pairs = pairs.loc[pairs["test_outputs"].map(len) > 0]
    networks = [set(map(tuple, side[cell].to_numpy())) for side in (one_bit, full, pairs.reset_index())]
    alone = 0 if pairs.empty else len((networks[0] | networks[1]) - networks[2])
    note = f"{alone} networks of one precision without their counterpart are left out" if alone else ""
    apart = pd.Series(
        [
            _rms(np.asarray(f, np.float64) - np.asarray(f_full, np.float64)) / (_size(f_full) if relative else 1.0)
            for f, f_full in zip(pairs["test_outputs"], pairs["test_outputs_full"], strict=True)
        ],
        index=pairs.index,
        dtype=np.float64,
    )
    return apart.sort_index(), note


def _rms(values: Float[np.ndarray, " test"]) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _size(outputs: object) -> float:
    """Return the root mean square of outputs; NaN in place of 0."""
    return _rms(np.asarray(outputs, np.float64)) or np.nan


@reads("test_outputs")
def spread(frame: pd.DataFrame) -> list[AgainstWidth]:
    """Root mean square, over test inputs and pairs of seeds, of `(f_seed1 - f_seed2)/sqrt(2)` after training.

    Its square is the unbiased variance over seeds, averaged over test inputs.

    Parameters
    ----------
    frame
        From `Run.frame` with ``test_outputs``.

    Returns
    -------
    One entry for each group of settings; none where there is a single seed or no test input.
    """
    found = []
    for settings, part in groups(recorded_steps(frame)):
        kept, notes = converged_cells(part)
        samples, single = [], []
        for width, cells in kept.groupby("width"):
            names = seed_columns(kept)
            last = cells.loc[cells["step"] == cells["step"].max()].sort_values(names)
            outputs = np.stack([np.asarray(entry, np.float64) for entry in last["test_outputs"]])
            if len(outputs) > 1 and outputs.shape[1]:
                samples.append(
                    Samples(
                        int(str(width)),
                        tuple(last["seed"]),
                        SpreadOf(outputs),
                        tuple(last[names[-1]]) if names[1:] else (),
                    )
                )
            elif outputs.shape[1]:
                single.append(str(width))
        if samples and single:
            notes = (*notes, f"one seed only at widths {', '.join(single)}: they are left out")
        if samples:
            meaning = "seed-to-seed standard deviation of f on test inputs, after training"
            found.append(estimate_against("spread", meaning, settings, samples, notes=notes))
    return found


@dataclass(frozen=True)
class SpreadOf:
    """The statistic `sqrt(sum_{i != j} v_i v_j |f_i - f_j|^2 / (2 sum_{i != j} v_i v_j))` of seed weights v.

    Attributes
    ----------
    outputs
        f_i on the test inputs, a row a seed.
    """

    outputs: Float[np.ndarray, "seeds n_test"]
    signed: bool = False

    @functools.cached_property
    def _squares(self) -> Float[np.ndarray, "seeds seeds"]:
        return 0.5 * np.mean((self.outputs[:, None] - self.outputs[None]) ** 2, axis=-1)

    def __call__(self, weights: Float[np.ndarray, "b seeds"]) -> Float[np.ndarray, " b"]:
        """Return the spread for each row of weights; NaN where all weight is on one seed."""
        pairs = weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1)
        total = np.einsum("bi,ij,bj->b", weights, self._squares, weights)
        return np.sqrt(np.divide(total, pairs, out=np.full(len(weights), np.nan), where=pairs > 0))

    def interval(self) -> Interval:
        """Return the spread with its interval, by the jackknife in logarithms."""
        return logarithmic_interval(self, len(self.outputs))


@reads()
def distance_to_predictions(frame: pd.DataFrame) -> list[AgainstWidth]:
    """Distance of the training outputs to the predictions of H(0) and of K_eff, while the loss falls by a factor 10.

    A mean over the recorded steps after the first one and before the loss is first at most L(0)/10: the part of
    training a fixed kernel can speak about. Later the jumps of a 1-bit output hide what its mean does.

    Parameters
    ----------
    frame
        From `Run.frame` of a sweep with predictions: columns from_h and from_k_eff, root mean squares over the training
        inputs at each checkpoint.

    Returns
    -------
    For each group of settings an entry "from H" and, for 1-bit networks, "from K_eff"; none without the columns.
    """
    found = []
    for column, name in zip(PREDICTION_COLUMNS, ("H", "K_eff"), strict=True):
        if column not in frame:
            continue
        known = frame.loc[frame["precision"] == "one_bit"] if column == "from_k_eff" else frame
        meaning = f"RMS over training inputs of f_t minus the prediction of {name}, mean while L > L(0)/10"
        distance = functools.partial(_mean_distance, column=column)
        found += per_cell(known, f"from {name}", meaning, distance, with_floor=True)
    return found


def _mean_distance(cell: pd.DataFrame, *, column: str) -> float:
    cell = cell.sort_values("step")
    loss, distance = (cell[name].to_numpy(dtype=np.float64) for name in ("loss", column))
    high = loss > _UNTIL * loss[0]
    last = len(high) if high.all() else int(np.argmin(high))
    seen = distance[1:last]
    seen = seen[np.isfinite(seen)]
    return float(seen.mean()) if len(seen) else float("nan")
