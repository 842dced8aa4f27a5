r"""Whether training oscillates: a monitor of outputs and quantised weights, in memory that does not grow with steps.

Quantised weights trained straight-through cross back and forth over their thresholds (Nagel et al. 2022), and in wide
1-bit networks the outputs then oscillate with period two (docs/kernels.md). Over a window of steps, f_t being the
outputs on a set of probe points after step t:

- **autocorrelation** = sum_t <a_t, a_{t+1}>/sum_t |a_t|^2, a_t = f_t less its mean over the window: near -1 for an
  oscillation of period two, near 0 for noise, near 1 for outputs that move slowly;
- the loss of f_t beside that of (f_t + f_{t+1})/2 and of the mean of the `last` outputs, f_{t-last+1} to f_t;
- how many of the quantised weights flip at a step, and which share of them flipped and returned to the value before.

`Oscillation` keeps sums and the last values alone, and `oscillation_reference` computes the same from whole histories.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float64, Int8

from ntk1bit.arguments import real_array, whole
from ntk1bit.errors import InputError
from ntk1bit.printing import number, short_lines

COLUMNS = (
    "first_step", "last_step", "loss", "averaged", "averaged_last", "autocorrelation", "flips", "flipped", "returned",
)  # fmt: skip
_MOST = 127  # largest size of a level
_NONE = -128  # stands for the value before the last flip of a weight that has not flipped in this window


def mean_square(outputs: Float64[np.ndarray, ...], targets: Float64[np.ndarray, ...]) -> float:
    """Return the mean of (f - y)^2 over all entries."""
    return float(np.mean((outputs - targets) ** 2))


class Oscillation:
    """Follows one network while it trains: call `update` after each step, then read `frame`.

    Parameters
    ----------
    targets
        y at the probe points, of the shape of the outputs there: (n,) or (n, classes). With a `loss` of your own
        anything that it takes.
    window
        Steps per window, which is a row of `frame`; 2 or more.
    windows
        How many windows are kept, the latest ones.
    last
        How many outputs the longer average is over; 2 or more.
    loss
        `loss(outputs, targets)`, a number; the mean square by default.

    Raises
    ------
    InputError
        If a number is out of range, or targets cannot be read as numbers.

    Notes
    -----
    Memory: three bytes per quantised weight, and `last` + 5 arrays of outputs in float64.
    """

    def __init__(
        self,
        targets: Any,
        *,
        window: int = 100,
        windows: int = 100,
        last: int = 10,
        loss: Callable[[Any, Any], Any] | None = None,
    ) -> None:
        self.window = whole("window", window, allowed="a whole number, 2 or more", least=2)
        self.windows = whole("windows", windows, allowed="a whole number, 1 or more", least=1)
        self.last = whole("last", last, allowed="a whole number, 2 or more", least=2)
        self._loss = mean_square if loss is None else loss
        self._targets = _numbers("targets", targets) if loss is None else targets
        self._shape = self._targets.shape if loss is None else None
        self._step = -1
        self._ring: deque[Float64[np.ndarray, ...]] = deque(maxlen=self.last)
        self._weights: Int8[np.ndarray, " weights"] | None = None
        self._rows: deque[dict[str, float]] = deque(maxlen=self.windows)
        self._now: _Window | None = None

    def update(self, outputs: Any, weights: Any = None, *, step: int | None = None) -> None:
        """Take in what a network is after one more step.

        Parameters
        ----------
        outputs
            At the probe points, of one shape at all steps: NumPy, or anything that `numpy.asarray` reads (JAX, torch).
        weights
            The quantised weights, signs or other whole numbers from -127 to 127 (or truth values): an array, or a list
            of arrays. Left out, flips are NaN.
        step
            The step that this is after; by default the next one. A step that does not follow the one before begins a
            new window, since outputs on both sides of a gap are not successive.

        Raises
        ------
        InputError
            If the outputs or the number of weights have another shape than before, or hold no such numbers.
        """
        f = _numbers("outputs", outputs)
        if self._shape is not None and f.shape != self._shape:
            raise InputError(f"outputs must have the shape {self._shape} at every step, got {f.shape}")
        q = None if weights is None else _levels(weights)
        if q is not None and self._weights is not None and len(q) != len(self._weights):
            raise InputError(f"there were {len(self._weights)} quantised weights and now there are {len(q)}")
        here = self._step + 1 if step is None else whole("step", step, allowed="a whole number, 0 or more", least=0)
        if here != self._step + 1:
            self._close()
            self._ring.clear()
            self._weights = None
        if self._now is None:
            self._now = _Window(here, f)
        before = self._ring[-1] if self._ring else None
        self._ring.append(f)
        whole_ring = len(self._ring) == self.last
        longer = self._loss(np.mean(self._ring, axis=0), self._targets) if whole_ring else None
        both = None if before is None or self._now.count == 0 else self._loss((before + f) / 2, self._targets)
        self._now.add(f, self._loss(f, self._targets), both, longer)
        if q is not None and self._weights is not None:
            self._now.flip(self._weights, q)
        self._shape, self._step, self._weights = f.shape, here, q
        if self._now.count == self.window:
            self._close()

    def frame(self) -> pd.DataFrame:
        """Return a row per window, the latest `windows` of them and the one that is not full yet.

        Returns
        -------
        `first_step`, `last_step`; `loss`, the mean over the window of the loss of single outputs, `averaged`, of the
        means of two successive outputs within the window, and `averaged_last`, of the means of the `last` outputs,
        which may begin before the window (NaN where there are not so many yet); `autocorrelation`, NaN for outputs that
        do not move; `flips`, the share of the quantised weights that differ from the step before, mean over steps;
        `flipped`, the share that did so in the window at all; `returned`, the share that flipped and, with its next
        flip, went back to the value before (of signs: flipped twice).
        """
        rows = [*self._rows, *([] if self._now is None else [self._now.row(self._step)])]
        return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"first_step": int, "last_step": int})

    def __repr__(self) -> str:
        """Describe how far it is and what the latest window says."""
        kept = self.frame()
        if kept.empty:
            return f"Oscillation(no steps yet, windows of {self.window})"
        end = kept.iloc[-1]
        found = [f"{name} {number(float(end[name]))}" for name in COLUMNS[2:]]
        return short_lines([
            f"Oscillation({len(kept)} windows of {self.window} steps; of steps {end['first_step']:g} to "
            f"{end['last_step']:g}:",
            f"  {', '.join(found[:4])}",
            f"  {', '.join(found[4:])})",
        ])  # fmt: skip

    def _close(self) -> None:
        if self._now is not None:
            self._rows.append(self._now.row(self._step))
        self._now = None


class _Window:
    """Sums over the steps of one window; outputs are taken from the first of them, so that no digits cancel."""

    def __init__(self, step: int, first: Float64[np.ndarray, ...]) -> None:
        self.step, self.count = step, 0
        self._first = first
        self._total, self._end = np.zeros_like(first), np.zeros_like(first)
        self._squares = self._products = 0.0
        self._losses = {"loss": (0.0, 0), "averaged": (0.0, 0), "averaged_last": (0.0, 0)}
        self._flips, self._transitions = 0, 0
        self._before: Int8[np.ndarray, " weights"] | None = None
        self._returned: Bool[np.ndarray, " weights"] | None = None

    def add(self, f: Float64[np.ndarray, ...], loss: Any, averaged: Any, averaged_last: Any) -> None:
        away = f - self._first
        self._products += float(np.vdot(self._end, away))
        self._squares += float(np.vdot(away, away))
        self._total += away
        self._end = away
        self.count += 1
        for name, found in (("loss", loss), ("averaged", averaged), ("averaged_last", averaged_last)):
            if found is not None:
                total, count = self._losses[name]
                self._losses[name] = (total + float(found), count + 1)

    def flip(self, last: Int8[np.ndarray, " weights"], now: Int8[np.ndarray, " weights"]) -> None:
        if self._before is None or self._returned is None:
            self._before, self._returned = np.full_like(now, _NONE), np.zeros(len(now), dtype=bool)
        changed = last != now
        self._flips += int(np.count_nonzero(changed))
        self._transitions += 1
        self._returned |= changed & (self._before == now)
        np.copyto(self._before, last, where=changed)

    def row(self, step: int) -> dict[str, float]:
        means = {name: total / count if count else np.nan for name, (total, count) in self._losses.items()}
        mean = self._total / self.count
        squares = self._squares - self.count * float(np.vdot(mean, mean))
        products = self._products - (self.count + 1) * float(np.vdot(mean, mean)) + float(np.vdot(mean, self._end))
        flips: tuple[float, ...] = (np.nan,) * 3
        if self._before is not None and self._returned is not None:
            weights = max(len(self._before), 1)
            flips = (
                self._flips / (weights * self._transitions),
                np.count_nonzero(self._before != _NONE) / weights,
                np.count_nonzero(self._returned) / weights,
            )
        found = (self.step, step, *means.values(), products / squares if squares > 0 else np.nan, *flips)
        return dict(zip(COLUMNS, found, strict=True))


def oscillation_reference(
    outputs: Float[np.ndarray, "steps ..."],
    targets: Float[np.ndarray, ...],
    weights: Int8[np.ndarray, "steps weights"] | None = None,
    *,
    window: int = 100,
    last: int = 10,
) -> pd.DataFrame:
    """Compute `Oscillation.frame` of the mean square, by its definitions, from the outputs and weights of all steps.

    Parameters
    ----------
    outputs, weights
        After steps 0, 1, ...
    targets, window, last
        As in `Oscillation`.
    """
    f, rows = np.asarray(outputs, np.float64), []
    for first in range(0, len(f), window):
        end = min(first + window, len(f))
        part = f[first:end]
        away = part - part.mean(axis=0)
        means = [f[t - last + 1 : t + 1].mean(axis=0) for t in range(first, end) if t + 1 >= last]
        flips: tuple[float, ...] = (np.nan,) * 3
        seen = np.zeros((0, 0)) if weights is None else weights[max(first - 1, 0) : end]
        if len(seen) > 1:
            values = [[q[0], *(b for a, b in itertools.pairwise(q) if a != b)] for q in seen.T]
            flips = (
                float((seen[1:] != seen[:-1]).mean()),
                float(np.mean([len(held) > 1 for held in values])),
                float(np.mean([any(a == b for a, b in zip(held, held[2:], strict=False)) for held in values])),
            )
        rows.append((
            first,
            end - 1,
            float(np.mean([mean_square(one, targets) for one in part])),
            _mean([mean_square((a + b) / 2, targets) for a, b in itertools.pairwise(part)]),
            _mean([mean_square(one, targets) for one in means]),
            float((away[1:] * away[:-1]).sum() / (away**2).sum()) if (part != part[0]).any() else np.nan,
            *flips,
        ))  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else np.nan


def _numbers(name: str, given: Any) -> Float64[np.ndarray, ...]:
    """Return a copy in float64: a caller may use the same array for the next step."""
    return np.array(_read(name, given), dtype=np.float64)


def _read(name: str, given: Any) -> np.ndarray:
    try:
        return real_array(name, given)
    except RuntimeError as problem:  # torch refuses tensors that are part of a graph
        said = str(problem).splitlines()[0]
        raise InputError(f"{name} cannot be read ({said}); give it detached, as a NumPy array") from None


def _levels(weights: Any) -> Int8[np.ndarray, " weights"]:
    """Return quantised weights as one row of whole numbers, which may not be the caller's own memory."""
    listed = weights if isinstance(weights, list | tuple) else [weights]
    parts = []
    for one in listed:
        given = _read("weights", one).ravel()
        if given.dtype != np.bool_ and not (((given >= -_MOST) & (given <= _MOST)) & (given == np.rint(given))).all():
            raise InputError(
                f"weights must be quantised, to whole numbers from -{_MOST} to {_MOST}, not latent weights"
            )
        parts.append(given.astype(np.int8))
    return np.concatenate(parts) if parts else np.zeros(0, np.int8)
