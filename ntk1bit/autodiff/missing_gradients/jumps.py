"""Does a network move where its gradient says that it stays? Found by moving the parameters a finite way.

Along a path theta(s), s in [0, 1], that ends with every parameter's sign turned, a function with a derivative changes
by its integral,

    g(1) - g(0) = int_0^1 g'(s) ds,     g(s) = f(theta(s)) in the sense of `.lockstep`,

whatever its kinks (relu, max-pooling, a mask that multiplies what it depends on). A quantiser changes by jumps, which
no derivative explains. If part of the change is left unexplained by the trapezium rule, the place where most of it
happened is magnified until either the derivatives at its ends explain it (a kink, a pole, a steep slope) or nothing
does (a jump).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import eval_jaxpr

from ntk1bit.autodiff.equations import every_equation
from ntk1bit.autodiff.missing_gradients.lockstep import Both, run_both
from ntk1bit.autodiff.programs import Program, closed_program, kept, trace

_POINTS = 17  # on a path, its ends included
_MAGNIFICATIONS = 4  # by 16 each: down to 1e-6 of the path, which float32 can still resolve
_PLACES = 4  # to magnify, at most
_UNEXPLAINED = 0.02  # of the change along a path; below it, a jump would not matter to a kernel
_TIMES_SLOPE = 10.0  # a jump is this many times what slopes at its ends explain; a kink at most once
_SEED = 0x9E3779B97F4A7C15  # unlikely to have drawn the parameters too: a path along them would meet 0
_BLOCK = 1 << 16  # random numbers are repeated beyond this length


class Jumps(NamedTuple):
    """What a network does along a path: whether it jumps, and whether it has no slope anywhere."""

    found: bool
    flat: bool = False
    unclear: bool = False  # what is held fixed jumps at the same place, which hides whether anything else does


class Probe:
    """Paths from given parameters through a traced program of (params, *rest), compiled once for all of them."""

    def __init__(self, traced: Any, params: tuple[Any, ...], rest: tuple[Any, ...], *, cross_zero: bool = True) -> None:
        """Prepare; unless `cross_zero`, parameters of one sign keep it (they may be divided by)."""

        def at_both(still: Any, moved: Any, *other: Any) -> Any:
            pairs = [Both(a, b) for a, b in zip(still, moved, strict=True)]
            pairs += [Both(leaf, leaf) for leaf in other]
            return run_both(traced.jaxpr, traced.consts, pairs)[0].moved

        self.network, self.params, self.rest = traced, params, rest
        self.traced = jax.make_jaxpr(at_both)(params, params, *rest)
        self.program = closed_program(self.traced)
        self.run: Callable[..., tuple[jax.Array, jax.Array]] | None = None
        self.frozen = any(equation.primitive.name == "stop_gradient" for equation in every_equation(traced.jaxpr))
        self.resolution = max(_resolutions(self.traced.jaxpr), default=0.0)
        self.way = self.whole = None
        for keep in range(0 if cross_zero else 1, 3):
            way = _way(params, keep)
            path = self._along(way, 0.0, 1.0)
            if path.finite:
                self.way, self.whole = way, path
                break

    def jumps(self, leaves: Sequence[int] | None = None) -> Jumps:
        """Move some parameters, all by default, and say what the network does."""
        if self.way is None or self.whole is None:
            return Jumps(False)
        way, path = self.way, self.whole
        if leaves is not None:
            way = way.of(leaves)
            path = self._along(way, 0.0, 1.0)
        tolerance = _UNEXPLAINED + 12 * self.resolution  # 1/16 of a path, rounded to within resolution/2 at both ends
        if not path.finite or path.unexplained.sum() <= tolerance * path.moved:
            return Jumps(False)
        flat = path.steepest <= 1e-3 * path.moved
        if self.resolution > 1e-6:  # half precision: magnified, every change is made of jumps
            return Jumps(flat or not self.frozen, flat)
        unclear = False
        for place in np.argsort(-path.unexplained)[:_PLACES]:  # a steep slope may seem the worst, and not be a jump
            if path.unexplained[place] > tolerance * path.moved / _POINTS:
                jumps = self._magnified(way, path, int(place), tolerance / 4, 50 * self.resolution * path.size)
                if jumps.found:
                    return Jumps(True, flat)
                unclear = unclear or jumps.unclear
        return Jumps(False, unclear=unclear)

    def _magnified(self, way: _Way, path: _Path, place: int, tolerance: float, noise: float) -> Jumps:
        """Say whether what is left unexplained in a piece of the whole path is a jump."""
        low, width = 0.0, 1.0
        for _ in range(_MAGNIFICATIONS):
            width /= _POINTS - 1
            low += place * width
            path = self._along(way, low, width)
            if not path.finite or path.unexplained.max() <= noise or path.unexplained.sum() <= tolerance * path.moved:
                return Jumps(False)
            place = int(path.unexplained.argmax())
        piece, unexplained = width / (_POINTS - 1), path.unexplained.max()
        if unexplained <= _TIMES_SLOPE * path.steepest * piece:
            return Jumps(False)
        found = self._change(way, low + place * piece, piece) > unexplained / 10
        return Jumps(found, unclear=not found)

    def _change(self, way: _Way, low: float, width: float) -> float:
        """Return how far the network itself moves, nothing held fixed: where an estimator's mask jumps, not at all."""
        ends = [
            np.asarray(_value(closed_program(self.network))(self.network.consts, self.params, way, self.rest, s))
            for s in (low, low + width)
        ]
        return float(np.linalg.norm(ends[1].astype(np.result_type(ends[1], np.float64)) - ends[0]))

    def _along(self, way: _Way, low: float, width: float) -> _Path:
        nodes = np.linspace(low, low + width, _POINTS)
        given = (self.traced.consts, self.params, way, self.rest, nodes)
        if self.run is None:
            self.run = _compiled(self.program, *given)
        values, slopes = self.run(*given)
        values, slopes = (np.asarray(a).reshape(_POINTS, -1) for a in (values, slopes))
        wide = np.result_type(values, np.float64)
        return _Path.of(values.astype(wide), slopes.astype(wide), width / (_POINTS - 1))


class _Way(NamedTuple):
    """A curve theta + (1 - cos pi s)/2 chord + sin(pi s) side: half a turn, if side is half as long as chord."""

    chord: tuple[Any, ...]
    side: tuple[Any, ...]

    def of(self, leaves: Sequence[int]) -> _Way:
        """Move some parameters only."""
        return _Way(*(tuple(a * (i in leaves) for i, a in enumerate(part)) for part in self))

    def at(self, start: Sequence[Any], s: jax.Array) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Return the parameters at s, and their derivative by s."""
        turn, here, direction = jnp.pi * s, [], []
        for theta, chord, side in zip(start, *self, strict=True):
            here.append(theta + ((1 - jnp.cos(turn)) / 2 * chord + jnp.sin(turn) * side).astype(theta.dtype))
            direction.append(jnp.pi * (jnp.sin(turn) / 2 * chord + jnp.cos(turn) * side).astype(theta.dtype))
        return tuple(here), tuple(direction)


class _Path(NamedTuple):
    """Values and slopes along a path, reduced to norms over outputs."""

    finite: bool
    unexplained: np.ndarray  # change less what the slopes explain, for each piece
    moved: float  # sum of the changes of the pieces
    steepest: float
    size: float  # largest norm of the values

    @classmethod
    def of(cls, values: np.ndarray, slopes: np.ndarray, width: float) -> _Path:
        change = np.diff(values, axis=0)
        explained = width * (slopes[1:] + slopes[:-1]) / 2
        return cls(
            bool(np.isfinite(values).all() and np.isfinite(slopes).all()),
            np.linalg.norm(change - explained, axis=1),
            float(np.linalg.norm(change, axis=1).sum()),
            float(np.linalg.norm(slopes, axis=1).max()),
            float(np.linalg.norm(values, axis=1).max()),
        )


def _compiled(program: Program, *given: Any) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """Return the values and slopes of a program at points of a path, compiled for arguments like these."""
    jaxpr = program.jaxpr  # without the constants, which compiled code need not keep

    def along(consts: Any, start: Any, way: _Way, rest: Any, nodes: jax.Array) -> tuple[jax.Array, jax.Array]:
        def at(s: jax.Array) -> tuple[jax.Array, jax.Array]:
            def value(moved: Any) -> jax.Array:
                return eval_jaxpr(jaxpr, consts, *start, *moved, *rest)[0]

            here, direction = way.at(start, s)
            return jax.jvp(value, (here,), (direction,))

        return lax.map(at, nodes)

    # derivatives declared by hand are not in the program, but in what is made of it
    key = program.key if program.complete else trace(along, *given).key
    return kept(("along a path", key), lambda: jax.jit(along))


def _value(program: Program) -> Callable[..., jax.Array]:
    """Return the value of a network at a point of a path, compiled."""
    jaxpr = program.jaxpr

    @jax.jit
    def value(consts: Any, start: Any, way: _Way, rest: Any, s: jax.Array) -> jax.Array:
        return eval_jaxpr(jaxpr, consts, *way.at(start, s)[0], *rest)[0]

    return kept(("value on a path", program.key), lambda: value)


def _way(params: Sequence[Any], keep: int) -> _Way:
    """Choose where to go: half a turn to -theta, on which each parameter changes its sign.

    With `keep` = 1 parameters of one sign keep it (times exp(noise)), with 2 all do.
    """
    arrays = [np.asarray(leaf) for leaf in params]
    rms = [float(np.sqrt(np.mean(np.square(np.abs(a).astype(np.float64))))) if a.size else 0.0 for a in arrays]
    typical = float(np.sqrt(np.mean(np.square([r for r in rms if r > 0] or [1.0]))))
    rng = np.random.default_rng(_SEED)
    chord, side = [], []
    for leaf, array, size in zip(params, arrays, rms, strict=True):
        noise = np.resize(rng.standard_normal(min(array.size, _BLOCK)), array.shape)
        real = not np.iscomplexobj(array)
        one_sign = real and bool((array > 0).all() or (array < 0).all())
        if keep == 2 or (keep == 1 and one_sign):
            ends = array * np.expm1(noise), 0 * noise
        else:
            ends = -2 * array, (size or typical) * (noise if real else noise * np.exp(3j * noise))
        for part, end in zip((chord, side), ends, strict=True):
            part.append(jnp.asarray(end, dtype=leaf.dtype))
    return _Way(tuple(chord), tuple(side))


def _resolutions(jaxpr: Any) -> Iterator[float]:
    """Yield the relative resolution of every kind of float a program computes with."""
    for equation in every_equation(jaxpr):
        for var in equation.outvars:
            dtype = getattr(var.aval, "dtype", None)
            if dtype is not None and jnp.issubdtype(dtype, jnp.inexact):
                yield float(jnp.finfo(dtype).eps)
