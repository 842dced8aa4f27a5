"""The form that networks of all JAX libraries are brought to, and how they say that they are not being trained."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# Arguments by which networks are told that they are evaluated, by their names in Flax, Haiku and published code.
EVALUATION: dict[str, bool] = {
    "train": False,
    "training": False,
    "is_training": False,
    "deterministic": True,
    "use_running_average": True,
    "inference": True,
}


@dataclass(frozen=True, eq=False)
class OpenedNetwork:
    """A network as a function of its parameters.

    Attributes
    ----------
    framework
        What it was made with, as people call it.
    params
        Pytree of what may be differentiated by.
    bind
        From such a pytree to the network with these parameters, in evaluation mode, callable on inputs.
    one_input
        Whether its library writes networks for one input rather than for a batch.
    mode
        What was done, or found, so that it is evaluated and not trained.
    quantiser
        What its weights go through, if `quantize` has been at work.
    """

    framework: str
    params: Any
    bind: Callable[[Any], Callable[..., Any]]
    one_input: bool = False
    mode: tuple[str, ...] = ()
    quantiser: Any = None


def evaluation_flags(call: Callable[..., Any]) -> dict[str, bool]:
    """Return the arguments, as far as a function names them, by which it is told not to train."""
    try:
        named: Mapping[str, inspect.Parameter] = inspect.signature(call).parameters
    except (TypeError, ValueError):  # written in C, or wrapped so that nothing is known
        return {}
    by_keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: value for name, value in EVALUATION.items() if name in named and named[name].kind in by_keyword}


def told(flags: Mapping[str, bool]) -> tuple[str, ...]:
    """Say which flags were passed."""
    return tuple(f"{name}={value} is passed" for name, value in flags.items())
