"""Are a network's taps what they must be? Found on two rows, by the gradients of the tapped layers.

A tapped layer z = tap(h, ...) claims that the gradient of z by its weights is made of h. So for some of the parameters,
those being held fixed that come before other taps,

    sum_p <d (u_i z_i)/d p, d (u_j z_j)/d p> = <h_i, h_j> <u_i, u_j>        for rows i, j and any directions u,

which fails for z = tap(h, h @ w / sqrt(d)), for a scale with a gradient of its own, and for weights shared within one
layer. A z that jumps as a parameter moves (a bare quantiser) has no such gradient; there the tap's word is taken, as
d z/d w := h says (D25). Weights shared between layers, or used outside of taps as well, are found by moving some of
them: what is tapped elsewhere must stay. Last, gradients must get from each tap to the output.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntk1bit.autodiff.missing_gradients.gradient_paths import check_gradient_paths, telling_rows
from ntk1bit.autodiff.missing_gradients.influence import influence
from ntk1bit.autodiff.missing_gradients.jumps import Probe
from ntk1bit.autodiff.missing_gradients.lockstep import Both, run_both
from ntk1bit.autodiff.taps import Forward, Leaves, Tapped, trace
from ntk1bit.errors import InputError

_TOLERANCE = 5e-3  # of a Gram entry: products of float32, on some processors in 10-bit mantissas
_LARGEST_SUM = 3  # parameters that make up one layer: weights, a bias, one more
_MOVED = 64  # entries of a parameter moved to see where it is used; of each layer's, when stacked up to that many


def check_taps(forward: Forward, leaves: Leaves, x: Any) -> bool:
    """Check a network's taps at given parameters, on two rows of its inputs.

    Returns
    -------
    Whether this holds at all parameters of such a network, as far as can be told: not if a signal was zero on these
    rows, nor if the parameters had to be as they are (a scale of exactly 1), nor after a warning.

    Raises
    ------
    InputError
        If a tap is not what it must be, or no gradient gets from it to the output.

    Warns
    -----
    MissingGradientWarning
        If something without a derivative follows a tap beside paths with one.
    """
    rows = telling_rows(x)
    layers = _Layers(trace(forward, leaves, rows), leaves, rows)
    general = layers.check_gradients()
    layers.check_reuse()
    whole = layers.check_signals()
    return general and whole


class _Layers:
    """A network's tapped layers on two rows, each cut from those before it."""

    def __init__(self, tapped: Tapped, leaves: Leaves, rows: Any) -> None:
        self.tapped, self.rows = tapped, rows
        self.weights: list[set[int]] = []  # of each layer: their positions among the floats
        every = [*leaves.numbers, *tapped.consts]  # what the network is closed over may be weights as well
        self.every = [jnp.asarray(leaf) if _is_float(leaf) else leaf for leaf in every]
        self.count = len(leaves.numbers)
        self.which = [i for i, leaf in enumerate(self.every) if _is_float(leaf)]
        self.floats = tuple(self.every[i] for i in self.which)

    def cut(self, floats: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Return each layer's z, the output last, with nothing getting through a tap; and the taps' inputs."""
        inputs, outputs = [], []

        def on_tap(h: Any, z: Any) -> Any:
            inputs.append(lax.stop_gradient(h))
            outputs.append(z)
            return lax.stop_gradient(z)

        value = self._run(floats, on_tap)
        return [*outputs, value], inputs

    def check_gradients(self) -> bool:
        """Find each layer's weights: the parameters by which its gradient is what its tap says."""
        rng = np.random.default_rng(1)
        elsewhere = tuple(leaf * (1 + 0.1 * rng.uniform(-1, 1, leaf.shape)).astype(leaf.dtype) for leaf in self.floats)
        here, there = self._weights(self.floats), self._weights(elsewhere)
        general = True
        for layer, (weights, weights_elsewhere) in enumerate(zip(here, there, strict=True)):
            if isinstance(weights, _Mismatch):
                influential, jumping = self._jumping(layer, weights)
                if influential and not jumping:  # what does not depend on a float at all cannot be checked
                    raise weights.error(layer)
                self.weights.append(jumping)
            else:
                self.weights.append(weights or set())
                general = general and weights is not None and isinstance(weights_elsewhere, set)
        return general

    def check_reuse(self) -> None:
        """Check that no weights are used in two layers, or in one and outside of taps."""
        traced = jax.make_jaxpr(lambda floats: self.cut(floats)[0])(self.floats)
        marks = influence(traced.jaxpr, [frozenset({i}) for i in range(len(self.floats))])
        for leaf in sorted(set().union(*self.weights)):
            if sum(leaf in mark for mark in marks) < 2:
                continue
            for moves in self._moves(traced, leaf):
                if moves.sum() > 1:
                    raise _reuse_error(np.flatnonzero(moves).tolist(), len(self.weights))

    def check_signals(self) -> bool:
        """Check that gradients get from each tap to the output; return whether all of them do."""
        outputs, _ = self.cut(self.floats)
        here = tuple(outputs[:-1])

        def value(moved: Any, start: Any, floats: Any) -> Any:
            shifts = iter([(a, b) for a, b in zip(moved, start, strict=True)])

            def on_tap(h: Any, z: Any) -> Any:
                del h
                a, b = next(shifts)
                return z + (a - b)

            return self._run(floats, on_tap)

        return check_gradient_paths(
            value, here, (here, self.floats), [f"tapped layer {i + 1}" for i in range(len(here))]
        )

    def _run(self, floats: Sequence[Any], on_tap: Any) -> Any:
        every = list(self.every)
        for i, leaf in zip(self.which, floats, strict=True):
            every[i] = leaf
        return self.tapped.run(every[self.count :], every[: self.count], self.rows, on_tap)

    def _weights(self, floats: tuple[Any, ...]) -> list[set[int] | _Mismatch | None]:
        """Return each layer's weights; None where nothing can be told."""
        outputs, pull, inputs = jax.vjp(self.cut, floats, has_aux=True)
        found: list[set[int] | _Mismatch | None] = []
        zero = [jnp.zeros_like(z) for z in outputs]
        for layer, h in enumerate(inputs):
            z = outputs[layer]
            u = np.random.default_rng(2).standard_normal((len(z), z.shape[1])) + 0.5
            target = _gram([_wide(row) for row in h]) * (u @ u.T)
            pulled = []
            for row in range(len(z)):
                signal = zero[layer].at[row].set(jnp.asarray(u[row], z.dtype))
                pulled.append([_wide(g) for g in pull([*zero[:layer], signal, *zero[layer + 1 :]])[0]])
            grams = {leaf: _gram([g[leaf] for g in pulled]) for leaf in range(len(floats))}
            grams = {leaf: gram for leaf, gram in grams.items() if gram.any()}
            found.append(_match(grams, target, 16 * float(jnp.finfo(z.dtype).eps) + _TOLERANCE))
        return found

    def _moves(self, traced: Any, leaf: int) -> Iterator[Any]:
        """Yield which outputs move when one entry of a parameter is turned in sign, for entries all over."""
        here = self.floats[leaf]
        turned = jnp.where(here == 0, 1, -here).astype(here.dtype).ravel()
        for entry in np.unique(np.linspace(0, here.size - 1, _MOVED).astype(int)):
            moved = here.ravel().at[entry].set(turned[entry]).reshape(here.shape)
            pairs = [Both(a, moved if i == leaf else a) for i, a in enumerate(self.floats)]
            # operation by operation, so that what does not move is the same to the last bit
            outputs = run_both(traced.jaxpr, traced.consts, pairs)
            yield np.array([b.still is not b.moved and bool(jnp.any(b.still != b.moved)) for b in outputs])

    def _jumping(self, layer: int, found: _Mismatch) -> tuple[set[int], set[int]]:
        """Return the parameters that influence a layer's z, and those along which it jumps."""

        def z(floats: Any) -> Any:
            return self.cut(floats)[0][layer]

        traced = jax.make_jaxpr(z)(self.floats)
        (marks,) = influence(traced.jaxpr, [frozenset({i}) for i in range(len(self.floats))])
        influential = {mark for mark in marks if isinstance(mark, int)} | found.leaves
        if all(isinstance(mark, int) for mark in marks):
            return influential, set()
        probe = Probe(traced, self.floats, ())
        return influential, {leaf for leaf in influential if probe.jumps([leaf]).found}


class _Mismatch:
    """A layer whose gradient is not what its tap says, by some parameters; `factor` if it is a constant times that."""

    def __init__(self, leaves: Sequence[int], factor: float | None) -> None:
        self.leaves, self.factor = set(leaves), factor

    def error(self, layer: int) -> InputError:
        """Say how to write it."""
        if self.factor is not None:
            return InputError(
                f"tapped layer {layer + 1}: z moves with its weights by {self.factor:.4g} times the inputs of its tap; "
                f"a constant in front of the weights goes into both: h = c * h, then tap(h, h @ w)"
            )
        return InputError(
            f"tapped layer {layer + 1}: the gradient of z by its weights is not made of the inputs of its tap, as for "
            f"z = tap(h, h @ w) (bias=True with + b); scales with gradients of their own and weights that a layer uses "
            f"more than once do not fit: use ntk1bit.autodiff.ntk"
        )


def _match(grams: dict[int, Any], target: Any, tolerance: float) -> set[int] | _Mismatch | None:
    """Find the parameters whose Gram matrices add up to the target."""
    if not target.diagonal().any():
        return None
    size = np.sqrt(np.outer(target.diagonal(), target.diagonal()))
    for count in range(1, _LARGEST_SUM + 1):
        for chosen in itertools.combinations(sorted(grams), count):
            if (np.abs(sum(grams[leaf] for leaf in chosen) - target) <= tolerance * size).all():
                return set(chosen)
    for gram in grams.values():
        ratio = float(gram.trace() / target.trace())
        if (np.abs(gram - ratio * target) <= tolerance * ratio * size).all():
            return _Mismatch(sorted(grams), float(np.sqrt(ratio)))
    return _Mismatch(sorted(grams), None)


def _reuse_error(used: Sequence[int], layers: int) -> InputError:
    names = [f"tapped layer {i + 1}" if i < layers else "the network outside of taps" for i in used]
    return InputError(
        f"the same weights are used in {' and '.join(names)}: their gradients add up before they are multiplied; use "
        f"ntk1bit.autodiff.ntk"
    )


def _gram(vectors: Sequence[Any]) -> Any:
    return np.array([[float(np.vdot(a, b)) for b in vectors] for a in vectors])


def _wide(array: Any) -> Any:
    return np.asarray(array).astype(np.float64)


def _is_float(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
