"""Calibration: what the projections of a block read while a network runs on windows of text.

The block runs as it is, with projections that note down their inputs; from these are kept the Hessian and the largest
magnitude of each channel. Where several projections read the same inputs (queries, keys, values) each has its own
record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from ntk1bit.errors import InputError
from ntk1bit.networks.bitlinear import Projection
from ntk1bit.networks.post_training.hessians import input_hessian
from ntk1bit.networks.transformer import Block, Transformer

PROJECTIONS = ("query", "key", "value", "output", "up", "down")
AT_ONCE = 64  # windows that a block runs on in one call


@dataclass(frozen=True)
class InputRecord:
    """What is kept of the inputs of one projection.

    Attributes
    ----------
    hessian
        H = (2/n) X^T X, (d, d), float64, not damped.
    largest
        max|X_j| of each channel, (d,), float64.
    count
        n, the number of inputs: one per position of every window.
    """

    hessian: Float[np.ndarray, "d d"]
    largest: Float[np.ndarray, " d"]
    count: int


class _RecordingProjection(Projection):
    """A projection that notes down its inputs; it exists while a program is traced and no longer."""

    inner: Projection = eqx.field(kw_only=True)
    name: str = eqx.field(static=True, kw_only=True)
    seen: dict[str, Any] = eqx.field(static=True, kw_only=True)

    def __call__(self, x: Float[Array, "... in"]) -> Float[Array, "... out"]:
        """Note down the inputs and apply the layer."""
        self.seen[self.name] = x
        return self.inner(x)


def embedded(model: Transformer, windows: Integer[np.ndarray, "count t1"]) -> list[Float[np.ndarray, "_ t d"]]:
    """Return the residual stream that the first block reads: of all characters but the last of each window, in batches.

    Raises
    ------
    InputError
        If there is no window of two characters, or a character is outside the vocabulary.
    """
    vocabulary = len(model.embedding)
    if windows.ndim != 2 or len(windows) < 1 or windows.shape[1] < 2:
        raise InputError(
            f"calibration needs at least one window of at least 2 characters, got windows of shape {windows.shape}"
        )
    if windows.min() < 0 or windows.max() >= vocabulary:
        raise InputError(
            f"calibration windows have characters outside the network's vocabulary of {vocabulary}; "
            "encode the text with the alphabet it was trained with"
        )
    embedding = np.asarray(model.embedding)
    return [embedding[windows[low : low + AT_ONCE, :-1]] for low in range(0, len(windows), AT_ONCE)]


def advance(block: Block, streams: list[Float[np.ndarray, "_ t d"]]) -> list[Float[np.ndarray, "_ t d"]]:
    """Return the residual stream after a block."""
    return [np.asarray(_run(block, jnp.asarray(stream))) for stream in streams]


def record_inputs(block: Block, streams: list[Float[np.ndarray, "_ t d"]]) -> dict[str, InputRecord]:
    """Return what each projection of a block reads, by the names in `PROJECTIONS`.

    Parameters
    ----------
    block
        As it is to run: the inputs of its later projections depend on its earlier ones.
    streams
        The residual stream before the block, in batches.

    Raises
    ------
    InputError
        If an input is NaN or infinite.
    """
    records: dict[str, InputRecord] = {}
    for name, x in _inputs(block, streams):
        count, hessian = len(x), input_hessian(x)
        largest = np.abs(x).max(axis=0).astype(np.float64)
        if name in records:
            before = records[name]
            share = count / (before.count + count)
            hessian = before.hessian * (1 - share) + hessian * share
            count, largest = before.count + count, np.maximum(before.largest, largest)
        records[name] = InputRecord(hessian, largest, count)
    return records


def _inputs(block: Block, streams: list[Float[np.ndarray, "_ t d"]]) -> Iterator[tuple[str, Float[np.ndarray, "n d"]]]:
    for stream in streams:
        for name, x in _run_recording(block, jnp.asarray(stream)).items():
            yield name, np.asarray(x).reshape(-1, x.shape[-1])


@eqx.filter_jit
def _run(block: Block, stream: Array) -> Array:
    return block(stream)


@eqx.filter_jit
def _run_recording(block: Block, stream: Array) -> dict[str, Array]:
    seen: dict[str, Array] = {}
    changed = {name: _recording(getattr(block, name), name, seen) for name in PROJECTIONS}
    replace(block, **changed)(stream)
    return seen


def _recording(inner: Projection, name: str, seen: dict[str, Array]) -> _RecordingProjection:
    own = {field.name: getattr(inner, field.name) for field in fields(Projection)}
    return _RecordingProjection(**own, inner=inner, name=name, seen=seen)
