"""What is raised while a user's function is traced or differentiated, told in one line with what to do about it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import jax

from ntk1bit.errors import InputError

VMAP = "lambda p, x: jax.vmap(lambda one: f(p, one))(x)"
_BY_VALUE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)
# What libraries of networks say, each phrase of one message, of a network that was written for training.
_OF_LIBRARIES = {
    ("is immutable", "Cannot update variable"): (
        "f updates its state, which it does in training mode (batch normalisation takes the statistics of the batch); "
        "run it in evaluation mode (in Flax use_running_average=True)"
    ),
    ("Cannot mutate", "trace level"): (
        "f updates its state, which it does in training mode (batch normalisation takes the statistics of the batch); "
        "run it in evaluation mode (in Flax nnx model.eval() before nnx.split)"
    ),
    ("from collection", "the collection is empty"): (
        "f reads a collection that params lacks, such as batch statistics; close over it: "
        "lambda p, x: model.apply({'params': p, 'batch_stats': statistics}, x)"
    ),
    ("unbound axis name",): (
        "f takes statistics over a named axis of the batch, as batch normalisation does in training mode; run it in "
        "evaluation mode (in Equinox eqx.nn.inference_mode(model))"
    ),
    ("needs PRNG for",): (
        "f draws random numbers, as dropout does in training mode; run it in evaluation mode (in Flax "
        "deterministic=True), or give rngs={...} with a fixed key"
    ),
    ("Dropout requires a key",): (
        "f draws random numbers, as dropout does in training mode; run it in evaluation mode (in Equinox "
        "eqx.nn.inference_mode(model))"
    ),
    ("must be called with an RNG",): (
        "f takes a random key as its second argument; give it none: hk.without_apply_rng(network).apply, or "
        "lambda p, x: network.apply(p, None, x)"
    ),
}


@contextlib.contextmanager
def explained(doing: str, hint: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Turn what is raised while a function is traced or differentiated into one line that names the cause.

    Parameters
    ----------
    doing
        What was tried, as the beginning of a sentence: ``"f fails on one input"``.
    hint
        Called after a failure that none of the known causes explains; what it returns is added.
    """
    try:
        yield
    except MemoryError:
        raise
    except InputError as error:  # raised anew, since JAX appends notes of its own to the one on its way
        raise InputError(str(error)) from error.__cause__
    except Exception as error:
        raise InputError(_cause(error) or f"{doing}: {_first_line(error)}{hint()}") from error


def _cause(error: Exception) -> str:
    text = str(error)
    if "custom_vjp" in text and "forward-mode" in text.replace("forward mode", "forward-mode"):
        return (
            "f uses jax.custom_vjp, which cannot be pushed forward; write the estimator with stop_gradient or "
            "custom_jvp, or choose method 'jacobian'"
        )
    if "Reverse-mode differentiation does not work" in text:
        return (
            "f has a lax.while_loop (or a fori_loop with bounds that are not fixed) between parameters and output, "
            "which cannot be differentiated backwards; use lax.scan, or a fori_loop with fixed bounds"
        )
    if isinstance(error, NotImplementedError) and " rule" in text and "'" in text:
        kind = "derivative" if "ifferentiation" in text else "rule for vmap" if "atching" in text else "transpose"
        return (
            f"f uses {text.split(chr(39))[1]!r}, for which JAX has no {kind}; put it behind jax.lax.stop_gradient, "
            "or give it a derivative with jax.custom_jvp"
        )
    for phrases, told in _OF_LIBRARIES.items():
        if all(phrase in text for phrase in phrases):
            return f"{told}; see docs/networks.md"
    if isinstance(error, _BY_VALUE):
        return (
            "f cannot be traced, because it looks at values of parameters or inputs (if, while, int(), a boolean "
            "index, NumPy); use jnp.where, jax.lax.cond and jax.numpy in their place"
        )
    return ""


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else ""
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
