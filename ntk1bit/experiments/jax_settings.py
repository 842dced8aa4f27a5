"""Settings of JAX that change numbers: an experiment has ours, whatever the user's variables or program have set.

Under `JAX_ENABLE_X64=1`, say, the same experiment would give other numbers under the same key. What changes last bits
only (versions of libraries, the processor, `XLA_FLAGS`) is written beside each result instead (`store.versions`).
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

_OURS: dict[str, Any] = {  # context managers of the module jax, each of which takes the value
    "enable_x64": False,
    "default_matmul_precision": None,
    "default_prng_impl": "threefry2x32",
    "threefry_partitionable": True,
    "numpy_dtype_promotion": "standard",
    "numpy_rank_promotion": "allow",
    "debug_nans": False,  # a training that diverges is a result
    "debug_infs": False,
    "disable_jit": False,
}
_OURS_OF_ALL_THREADS: dict[str, Any] = {"jax_random_seed_offset": 0, "jax_high_dynamic_range_gumbel": False}
_NAMES = {*(f"JAX_{name}".upper() for name in _OURS), *(name.upper() for name in _OURS_OF_ALL_THREADS)}


@contextlib.contextmanager
def our_jax_settings() -> Iterator[None]:
    """Have our settings of JAX in the body; where nothing can have changed them, JAX is not even loaded."""
    if "jax" not in sys.modules and not _NAMES & os.environ.keys():
        yield
        return
    import jax
    import jax.experimental

    with contextlib.ExitStack() as held:
        for name, value in _OURS.items():
            given = getattr(jax if hasattr(jax, name) else jax.experimental, name)  # older versions have some there
            held.enter_context(given(value))
        for name, value in _OURS_OF_ALL_THREADS.items():
            if (before := getattr(jax.config, name, value)) != value:
                jax.config.update(name, value)
                held.callback(jax.config.update, name, before)
        yield
