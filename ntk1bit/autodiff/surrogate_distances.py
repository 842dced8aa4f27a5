"""How much of a 1-bit network's kernel is a choice of the surrogate for the sign's gradient.

The surrogate moves the kernel and not the outputs (`ntk1bit.kernels.surrogates` derives how, for two layers). How far
kernels under several surrogates lie apart is held against how far quantising the same weights moves the kernel.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ntk1bit.autodiff.frameworks.jax_calls import Evaluate
from ntk1bit.autodiff.frameworks.weight_quantiser import Bits
from ntk1bit.autodiff.module_kernels import module_ntk
from ntk1bit.autodiff.parameters import Selection
from ntk1bit.autodiff.quantised_networks import quantize
from ntk1bit.errors import InputError
from ntk1bit.kernels.surrogates import distance, shape

FULL = "full"  # stands for full precision among the surrogates
COLUMNS = ("kind", "one", "other", "distance", "factor", "shape")


def surrogate_sensitivity(
    module: Any,
    x: Any,
    *,
    params: Any = None,
    state: Any = None,
    surrogates: Sequence[str] = ("identity", "clipped", "tanh"),
    bits: Bits = "one_bit",
    weights: Selection = None,
    make: Callable[[str], Any] | None = None,
    parameters: Selection = None,
    evaluate: Evaluate | None = None,
    memory_budget: Any = 1 << 30,
) -> pd.DataFrame:
    """Measure the distances between kernels of one network under several surrogates, and from full precision.

    Parameters
    ----------
    module
        The network in full precision, as for `module_ntk`.
    x
        Inputs.
    params, state, parameters, evaluate, memory_budget
        As for `module_ntk`.
    surrogates
        One at least, none twice: names that `quantize` takes, or `make`.
    bits, weights
        How the weights are quantised and which, as `bits` and `parameters` of `quantize`.
    make
        Instead: from a surrogate's name to the quantised network, of the same library and with the same parameters.

    Returns
    -------
    A row for each pair of kernels A, B: `kind`, ``"surrogate"`` for two surrogates and ``"precision"`` for full
    precision against one; their names `one` and `other`, full precision being ``"full"``; `distance`,
    norm_F(A - B)/sqrt(norm_F(A) norm_F(B)); `factor`, the c for which c B is nearest to A; and `shape`, what is then
    left, min_c norm_F(A - c B)/norm_F(A), in [0, 1].

    Raises
    ------
    InputError
        As `module_ntk` and `quantize`; if there is no surrogate, or one twice, or `make` comes with bits or weights.

    Warns
    -----
    UserWarning
        As they do.
    """
    names = [surrogates] if isinstance(surrogates, str) else list(surrogates)
    if not names or len({*names, FULL}) != len(names) + 1 or not all(isinstance(name, str) for name in names):
        raise InputError(f"surrogates must be different names, one at least and none {FULL!r}, got {surrogates!r}")
    if make is not None and (bits != "one_bit" or weights is not None):
        raise InputError("make says itself how weights are quantised; leave bits and weights out")

    def quantised(name: Any) -> Any:
        return make(name) if make else quantize(module, bits, surrogate=name, parameters=weights)

    networks = {name: quantised(name) for name in names} | {FULL: module}
    kernels = {
        name: module_ntk(
            network,
            x,
            params=params,
            state=state,
            parameters=parameters,
            evaluate=evaluate,
            memory_budget=memory_budget,
        ).astype(np.float64)
        for name, network in networks.items()
    }
    pairs = [("surrogate", *pair) for pair in itertools.combinations(names, 2)]
    pairs += [("precision", FULL, name) for name in names]
    rows = []
    for kind, one, other in pairs:
        a, b = kernels[one], kernels[other]
        rows.append((kind, one, other, distance(a, b), float(np.vdot(a, b) / np.vdot(b, b)), shape(a, b)))
    return pd.DataFrame(rows, columns=list(COLUMNS))
