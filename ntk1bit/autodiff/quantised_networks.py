"""A network as people have it, with its weights quantised in the forward pass: this network, in 1 bit."""

from __future__ import annotations

import warnings
from typing import Any

from ntk1bit.autodiff.frameworks.haiku_networks import QuantizedApply
from ntk1bit.autodiff.frameworks.linen_modules import QuantizedLinen
from ntk1bit.autodiff.frameworks.plain_functions import QuantizedFunction
from ntk1bit.autodiff.frameworks.recognition import library_of
from ntk1bit.autodiff.frameworks.weight_quantiser import Bits, Neurons, WeightQuantiser
from ntk1bit.autodiff.parameters import Selection
from ntk1bit.errors import InputError
from ntk1bit.networks.array_quantizers import Passing


def quantize(
    module: Any,
    bits: Bits,
    *,
    surrogate: Passing = "identity",
    parameters: Selection = None,
    neurons: Neurons | None = None,
) -> Any:
    """Return a network whose weights go through a quantiser in the forward pass, and a surrogate in the backward pass.

    The parameters stay latent weights of full precision, which training moves; their paths stay as well. Weights are
    arrays of floats with two axes or more that are not called ``bias``: of dense layers, convolutions and embeddings.

    Parameters
    ----------
    module
        As for `module_ntk`; of a function of (params, x) the function alone, or a pair (function, params).
    bits
        ``"one_bit"``: `s Sign(w - mu) + mu` with s, the root mean square, and mu of each neuron (D25, Def. D.3);
        ``"one_bit_tensor"``: `beta Sign(W - alpha)` with one scale for an array (W23); ``"ternary"``: -1, 0, +1 times
        one scale (BitNet b1.58); ``"int8"``: 8-bit integers with a scale for each neuron (absmax).
    surrogate
        ``"identity"``, ``"clipped"`` or ``"tanh"``: `ntk1bit.networks.array_quantizers`.
    parameters
        Which weights, by path, as for `module_ntk`; all by default.
    neurons
        Which axis numbers neurons, ``"first"`` or ``"last"``. By default that of the library: the first in Equinox and
        PyTorch (transposed convolutions as they are there), the last in Flax, Haiku and functions (`x @ w`), and the
        first in embeddings.

    Returns
    -------
    A network of the same library: an Equinox or nnx module that holds the one given; an object with `init` and `apply`
    for linen; the same pair of functions for Haiku; a function, or a pair with its parameters; for PyTorch a copy with
    `torch.nn.utils.parametrize` on each weight.

    Raises
    ------
    InputError
        If a choice is unknown, the network is quantised already, or no weight is selected; that is seen only when the
        parameters are, in linen, Haiku and functions when the network is first called.

    Warns
    -----
    UserWarning
        If weights of recurrent layers of PyTorch are left as they are, which no parametrisation reaches.
    """
    if type(module) is tuple:
        return _quantized_pair(module, bits, surrogate=surrogate, parameters=parameters, neurons=neurons)
    if not (parameters is None or callable(parameters) or isinstance(parameters, str)):
        parameters = tuple(
            parameters
        )  # Equinox compares what is fixed in a module, and NumPy arrays of text would not do
    quantiser = WeightQuantiser(bits, surrogate, parameters, neurons)
    library = library_of(module)
    if isinstance(module, QuantizedLinen | QuantizedFunction) or hasattr(module, "quantiser"):
        raise InputError("the network is quantised already; quantize the one that it was made of")
    if library == "linen":
        return QuantizedLinen(module, quantiser)
    if library == "haiku":
        if isinstance(module.apply, QuantizedApply):
            raise InputError("the network is quantised already; quantize the one that it was made of")
        return module._replace(apply=QuantizedApply(module.apply, quantiser))
    if library == "function":
        return QuantizedFunction(module, quantiser)
    return _quantized_object(module, library, quantiser)


def _quantized_pair(pair: tuple[Any, ...], bits: Bits, **settings: Any) -> tuple[Any, Any]:
    if len(pair) != 2 or library_of(pair[0]) != "function":
        raise InputError("a tuple to quantize is a pair (function, params); other networks come alone")
    return quantize(pair[0], bits, **settings), pair[1]


def _quantized_object(module: Any, library: str, quantiser: WeightQuantiser) -> Any:
    """Quantise a module that holds its parameters, so that a pattern which fits none of them is refused at once."""
    if library == "torch":
        from ntk1bit.autodiff.frameworks.torch_modules import quantized_module

        made, unreached = quantized_module(module, quantiser)
        if unreached:
            warnings.warn(
                f"weights of {len(unreached)} arrays of recurrent layers stay as they are, since no parametrisation "
                f"reaches them: {', '.join(unreached)}",
                UserWarning,
                stacklevel=3,
            )
        return made
    if library == "equinox":
        from ntk1bit.autodiff.frameworks.equinox_modules import QuantizedEquinox

        quantiser(module, "first")
        return QuantizedEquinox(module, quantiser)
    from ntk1bit.autodiff.frameworks.nnx_modules import QuantizedNnx, open_nnx

    quantiser(open_nnx(module).params, "last")
    return QuantizedNnx(module, quantiser)
