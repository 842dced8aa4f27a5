"""Which library a network is of, asked of its type and of what has been imported already."""

from __future__ import annotations

import sys
from typing import Any, Literal

from ntk1bit.autodiff.frameworks.haiku_networks import is_haiku, open_haiku
from ntk1bit.autodiff.frameworks.linen_modules import QuantizedLinen, open_linen
from ntk1bit.autodiff.frameworks.opened import OpenedNetwork
from ntk1bit.autodiff.frameworks.plain_functions import open_function
from ntk1bit.errors import InputError

Library = Literal["torch", "equinox", "linen", "nnx", "haiku", "function"]
_CLASSES: dict[Library, tuple[str, str]] = {  # of networks: where the class is, once somebody has imported it
    "torch": ("torch.nn", "Module"),
    "equinox": ("equinox", "Module"),
    "linen": ("flax.linen", "Module"),
    "nnx": ("flax.nnx", "Module"),
}


def library_of(module: Any) -> Library:
    """Return which library a network is of.

    Raises
    ------
    InputError
        If it is none of them, and no function either.
    """
    for library, (home, name) in _CLASSES.items():
        kind = getattr(sys.modules.get(home), name, None)
        if kind is not None and isinstance(module, kind):
            return library
    if isinstance(module, QuantizedLinen):
        return "linen"
    if is_haiku(module):
        return "haiku"
    if callable(module) and not isinstance(module, type):
        return "function"
    raise InputError(
        f"no network: {type(module).__name__}; give an Equinox, Flax (linen or nnx) or PyTorch module, a Haiku "
        "network as hk.transform returned it, or a function of (params, x)"
    )


def open_network(module: Any, library: Library, *, params: Any, state: Any) -> OpenedNetwork:
    """Open a network of a JAX library.

    Raises
    ------
    InputError
        If parameters or a state are missing, or given to a network that holds its own.
    """
    if state is not None and library not in ("equinox", "haiku"):
        raise InputError("state is for Haiku and Equinox networks; give a linen module all its variables as params")
    if library == "linen":
        return open_linen(module, params)
    if library == "haiku":
        return open_haiku(module, params, state)
    if library == "function":
        return open_function(module, params)
    if params is not None:
        raise InputError(f"the network ({type(module).__name__}) holds its own parameters; leave params out")
    if library == "equinox":
        from ntk1bit.autodiff.frameworks.equinox_modules import open_equinox

        return open_equinox(module, state)
    from ntk1bit.autodiff.frameworks.nnx_modules import open_nnx

    return open_nnx(module)
