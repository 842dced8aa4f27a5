"""The methods by name: what each quantises, to how many bits, and where it is from. Nothing here imports JAX.

W23's Table 3 compares the first nine of `METHODS` (`in_w23`) with BitNet, on networks trained in full precision. The
others are controls: weights rounded to the nearest with activations left alone, which tell what rounding activations
costs, the better scale at one bit, and QuIP at four.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ntk1bit.arguments import whole
from ntk1bit.errors import InputError, require_choice

Algorithm = Literal["absmax", "absmean", "smoothquant", "gptq", "quip"]
ALGORITHMS: tuple[str, ...] = get_args(Algorithm)
SOURCES: dict[str, str] = {
    "absmax": "Dettmers et al. 2022, arXiv 2208.07339",
    "absmean": "Rastegari et al. 2016, arXiv 1603.05279",
    "smoothquant": "Xiao et al. 2023, arXiv 2211.10438",
    "gptq": "Frantar et al. 2023, arXiv 2210.17323",
    "quip": "Chee et al. 2023, arXiv 2307.13304",
}
_LEAST_BITS = {"gptq": 2}  # a min-max grid of one bit has only zero and one end
_WEIGHT_ONLY = ("gptq", "quip")


@dataclass(frozen=True)
class PostTrainingMethod:
    """One way to quantise a trained Transformer's projections.

    Attributes
    ----------
    algorithm
        ``"absmax"`` (round to nearest), ``"absmean"`` (signs with the mean magnitude of their row, one bit only),
        ``"smoothquant"``, ``"gptq"`` or ``"quip"``.
    weight_bits
        From 1 to 8, for ``"gptq"`` from 2, for ``"absmean"`` 1.
    activation_bits
        Of the inputs of every projection, from 2 to 8, rounded position by position while the network runs; None leaves
        them as they are, as ``"gptq"`` and ``"quip"`` do.
    in_w23
        Whether W23's Table 3 has it.

    Raises
    ------
    InputError
        If a name is unknown or a number out of range.
    """

    algorithm: Algorithm
    weight_bits: int
    activation_bits: int | None = None
    in_w23: bool = False

    def __post_init__(self) -> None:
        """Refuse what the algorithms cannot do."""
        require_choice("algorithm", self.algorithm, ALGORITHMS)
        least, most = _LEAST_BITS.get(self.algorithm, 1), 1 if self.algorithm == "absmean" else 8
        whole(
            "weight_bits",
            self.weight_bits,
            allowed=f"a whole number from {least} to {most} with {self.algorithm}",
            least=least,
            most=most,
        )
        if self.activation_bits is None:
            return
        if self.algorithm in _WEIGHT_ONLY:
            raise InputError(
                f"{self.algorithm} quantises weights only, got activation_bits {self.activation_bits}; give None"
            )
        allowed = "None or a whole number from 2 to 8"
        whole("activation_bits", self.activation_bits, allowed=allowed, least=2, most=8)

    @property
    def quantises(self) -> str:
        """Weights, or weights and activations, with their bits as the literature writes them: ``W4A16``."""
        return f"W{self.weight_bits}A{16 if self.activation_bits is None else self.activation_bits}"

    @property
    def source(self) -> str:
        """Where the algorithm is from."""
        return SOURCES[self.algorithm]

    @property
    def calibrated(self) -> bool:
        """Whether it needs inputs to calibrate on."""
        return self.algorithm in ("smoothquant", *_WEIGHT_ONLY)


METHODS: dict[str, PostTrainingMethod] = {
    "absmax-w8a8": PostTrainingMethod("absmax", 8, 8, in_w23=True),
    "absmax-w4a4": PostTrainingMethod("absmax", 4, 4, in_w23=True),
    "absmax-w1a8": PostTrainingMethod("absmax", 1, 8, in_w23=True),
    "smoothquant-w8a8": PostTrainingMethod("smoothquant", 8, 8, in_w23=True),
    "smoothquant-w4a4": PostTrainingMethod("smoothquant", 4, 4, in_w23=True),
    "smoothquant-w1a8": PostTrainingMethod("smoothquant", 1, 8, in_w23=True),
    "gptq-w4": PostTrainingMethod("gptq", 4, in_w23=True),
    "gptq-w2": PostTrainingMethod("gptq", 2, in_w23=True),
    "quip-w2": PostTrainingMethod("quip", 2, in_w23=True),
    "quip-w4": PostTrainingMethod("quip", 4),
    "absmax-w4": PostTrainingMethod("absmax", 4),
    "absmax-w2": PostTrainingMethod("absmax", 2),
    "absmean-w1a8": PostTrainingMethod("absmean", 1, 8),
}


def method_of(given: str | PostTrainingMethod) -> PostTrainingMethod:
    """Return a method by its name in `METHODS`, or as it is given.

    Raises
    ------
    InputError
        If the name is unknown.
    """
    if isinstance(given, PostTrainingMethod):
        return given
    return METHODS[require_choice("method", given, METHODS)]
