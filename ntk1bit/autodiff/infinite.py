"""Infinite-width kernels of deep networks, through neural-tangents on a JAX it was not written for.

neural-tangents 0.6.5 (Novak et al. 2020, 2022) is the last release. It needs names that newer versions of JAX have
moved or removed, and TensorFlow for one experimental function. `neural_tangents()` supplies those names and then
imports it; this is the only module that touches it or private parts of JAX, and everything else works without it.
`_prepare` says what each version of JAX asks for.

Write straight-through estimators with `stop_gradient` or `custom_jvp`: its structured derivatives reject `custom_vjp`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import io
import sys
import types
from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax._src.config import enable_x64 as _enable_x64
from jaxtyping import Float, Inexact, Shaped
from numpy.typing import ArrayLike

from ntk1bit.arguments import number, whole
from ntk1bit.errors import InputError, require_choice
from ntk1bit.kernels.limits import paired_inputs

Activation = Literal["relu", "erf", "gelu", "linear"]
ACTIVATIONS: tuple[str, ...] = get_args(Activation)
TESTED_JAX = ("0.4.35", "0.10.2")

_CORE_NAMES = (
    "AbstractValue",
    "Jaxpr",
    "JaxprEqn",
    "Literal",
    "Primitive",
    "ShapedArray",
    "Value",
    "Var",
    "eval_context",
)
_HOW_TO_INSTALL = "install it without its dependencies: pip install --no-deps neural-tangents==0.6.5 frozendict"


def available() -> bool:
    """Say whether neural-tangents is installed."""
    return importlib.util.find_spec("neural_tangents") is not None


@functools.cache
def neural_tangents() -> Any:
    """Import neural-tangents and return the module.

    Raises
    ------
    InputError
        If it is not installed, or does not import on this JAX.
    """
    if not available():
        raise InputError(f"neural-tangents is not installed; {_HOW_TO_INSTALL}")
    try:
        _prepare()
        nt = importlib.import_module("neural_tangents")
        empirical: Any = importlib.import_module("neural_tangents._src.empirical")
        empirical._get_flops = _flops
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"neural-tangents does not work with JAX {jax.__version__} ({error}); "
            f"use a JAX from {TESTED_JAX[0]} to {TESTED_JAX[1]}"
        ) from error
    return nt


def infinite_ntk(
    x: Float[np.ndarray, "n d"] | ArrayLike,
    x2: Float[np.ndarray, "n2 d"] | ArrayLike | None = None,
    *,
    depth: int,
    activation: Activation = "relu",
    kind: Literal["ntk", "nngp"] = "ntk",
    weight_std: float = 1.0,
    bias_std: float = 0.0,
) -> Float[np.ndarray, "n n2"]:
    """Compute the infinite-width NTK or NNGP kernel of a fully-connected network (Lee et al. 2018; Jacot et al. 2018).

    The network is in NTK parameterisation, z = weight_std/sqrt(fan_in) W h + bias_std b; all layers train; it has one
    output. `ntk - nngp` at depth 1 is what the hidden layer alone contributes; with relu and weight_std 1 it equals
    `limit_ntk(..., precision="full")` divided by d (there inputs are not divided by sqrt(d)).

    Parameters
    ----------
    x, x2
        Inputs, (n, d) and (n2, d); `x2` defaults to `x`.
    depth
        Number of hidden layers, >= 0.
    activation
        ``"relu"``, ``"erf"``, ``"gelu"`` or ``"linear"``.
    kind
        ``"ntk"`` or ``"nngp"``.
    weight_std, bias_std
        Standard deviations of weights and biases, 0 or more.

    Returns
    -------
    (n, n2), float64, computed in float64 whatever JAX is set to.

    Raises
    ------
    InputError
        If an option is unknown or out of range, shapes do not match, inputs are not finite matrices, the kernel
        overflows, or neural-tangents is missing.
    """
    require_choice("activation", activation, ACTIVATIONS)
    require_choice("kind", kind, ("ntk", "nngp"))
    left, right = paired_inputs(x, x2)
    depth = whole("depth", depth, allowed="a number of hidden layers, 0 or more", least=0)
    weight_std = number("weight_std", weight_std, allowed="0 or a positive number", least=0.0)
    bias_std = number("bias_std", bias_std, allowed="0 or a positive number", least=0.0)
    stax = neural_tangents().stax
    act = {"relu": stax.Relu, "erf": stax.Erf, "gelu": stax.Gelu, "linear": stax.Identity}[activation]
    layers = [layer for _ in range(depth) for layer in (stax.Dense(1, W_std=weight_std, b_std=bias_std), act())]
    _, _, kernel = stax.serial(*layers, stax.Dense(1, W_std=weight_std, b_std=bias_std))
    with _enable_x64(True):  # an angle near 0 from a float32 cosine is off by 3e-4
        value = np.asarray(kernel(jnp.asarray(left), None if x2 is None else jnp.asarray(right), kind))
    if not np.isfinite(value).all():
        raise InputError(
            f"the kernel leaves the range of float64 at depth {depth} with weight_std {weight_std:g} and bias_std "
            f"{bias_std:g}; take standard deviations nearer to 1"
        )
    return value


def structured_ntk(
    f: Callable[..., Any],
    params: Any,
    x: Shaped[Any, "n ..."],
    x2: Shaped[Any, "n2 ..."] | None = None,
    *,
    constants: tuple[Any, ...] = (),
    trace_outputs: bool = True,
    implementation: str = "STRUCTURED_DERIVATIVES",
) -> Inexact[np.ndarray, "n n2 ..."]:
    """Compute an NTK by neural-tangents, by default by its structured derivatives (Novak et al. 2022).

    `ntk1bit.autodiff.ntk(..., method="structured")` checks its arguments and calls this; the oracle tests call it with
    each of its implementations. Compiled code is cached by the identity of `f`.

    Parameters
    ----------
    f
        `f(params, x, *constants)` -> (n,) or (n, outputs).
    params, x, x2, trace_outputs
        As for `ntk1bit.autodiff.ntk`; every leaf of `params` is an array that counts as a parameter.
    constants
        Pytrees of arrays that do not.
    implementation
        A name in `neural_tangents.NtkImplementation`.

    Raises
    ------
    InputError
        If neural-tangents is missing or cannot handle the function.
    """
    run = _compiled(f, trace_outputs, implementation)
    left, right = jnp.asarray(x), None if x2 is None else jnp.asarray(x2)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # AUTO prints what it chose
            return np.asarray(run(params, constants, left, right))
    except (NotImplementedError, AttributeError, KeyError) as error:
        raise InputError(
            f"neural-tangents cannot handle this function on JAX {jax.__version__} ({type(error).__name__}: {error}); "
            "use method 'jacobian' or 'vector_products'"
        ) from error


@functools.lru_cache(maxsize=64)
def _compiled(f: Callable[..., Any], trace_outputs: bool, implementation: str) -> Callable[..., Any]:
    nt = neural_tangents()

    def run(params: Any, constants: tuple[Any, ...], x: Any, x2: Any) -> Any:
        single = jax.eval_shape(f, params, x[:1], *constants).ndim == 1
        kernel = nt.empirical_ntk_fn(
            lambda p, inputs: jnp.reshape(f(p, inputs, *constants), (inputs.shape[0], -1)),
            trace_axes=(-1,) if trace_outputs or single else (),
            vmap_axes=0,
            implementation=nt.NtkImplementation[implementation],
        )
        return kernel(x, x2, params)

    return jax.jit(run)


def _prepare() -> None:
    """Give JAX back the names that neural-tangents 0.6.5 looks for.

    From JAX 0.4.26 `ad.source_info_util` and `ad.config`; 0.5.0 the flop count (see `_flops`); 0.6.0 names on
    `jax.core`; 0.7.0 `jax.util`; 0.8.2 `DShapedArray`; 0.9.0 `ad.zeros_like_p`; 0.10.0 `map_primitive` and
    `ad.reducing_transposes`; 0.10.1 the form of `ad.linearize`. A name that is still there is left alone.
    """
    from jax import core
    from jax._src import core as private_core
    from jax._src import source_info_util
    from jax._src import util as private_util
    from jax._src.interpreters import ad as private_ad

    ad: Any = importlib.import_module("jax.interpreters.ad")
    sys.modules.setdefault("neural_tangents.experimental", types.ModuleType("neural_tangents.experimental"))
    primitive = private_core.Primitive
    for name in _CORE_NAMES:
        _supply(core, name, getattr(private_core, name, None))
    _supply(core, "DShapedArray", type("DShapedArray", (), {}))
    _supply(primitive, "map_primitive", False)
    _supply(ad, "source_info_util", source_info_util)
    _supply(ad, "config", jax.config)
    _supply(ad, "reducing_transposes", getattr(private_ad, "reducing_transposes", {}))
    _supply(ad, "zeros_like_p", primitive("zeros_like"))
    if _version() >= (0, 10, 1):
        ad.linearize = _linearize
    try:
        importlib.import_module("jax.util")
    except ImportError:
        module = types.ModuleType("jax.util")
        vars(module).update(safe_map=private_util.safe_map, safe_zip=private_util.safe_zip)
        sys.modules["jax.util"] = module


def _supply(home: Any, name: str, value: Any) -> None:
    # Deprecated names raise AttributeError from a module's __getattr__, or warn there: only a real one is left alone.
    if name not in vars(home):
        setattr(home, name, value)


def _linearize(function: Any, *primals: Any, has_aux: bool = False) -> tuple[Any, Any, Any, Any]:
    """`ad.linearize` as it was before JAX 0.10.1, from public parts: outputs, which are unknown, program, constants."""
    del has_aux
    outputs, pushed = jax.linearize(lambda *args: function.call_wrapped(*args), *primals)
    program = jax.make_jaxpr(pushed)(*primals)
    return outputs, [_Unknown()] * len(outputs), program.jaxpr, program.consts


class _Unknown:
    """A partial value that is not known before the cotangents are."""

    def is_known(self) -> bool:
        return False


def _flops(f: Callable[..., Any], optimize: bool, *args: Any, **kwargs: Any) -> float:
    lowered = jax.jit(f).lower(*args, **kwargs)
    analysis = (lowered.compile() if optimize else lowered).cost_analysis()
    analysis = analysis[0] if isinstance(analysis, list) else analysis
    return (analysis or {}).get("flops", 0.0)


def _version() -> tuple[int, ...]:
    return tuple(int(part) for part in jax.__version__.split(".")[:3] if part.isdigit())
