"""Memory of a Transformer's weights by counting: floats, 8-bit integers, and signs as they are packed.

Inference only: training keeps latent weights and the optimiser's state in high precision in every arm (W23, section
2.2), so it saves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from ntk1bit.cores.bits import WORD, packed_shape
from ntk1bit.energy.counting import ARMS, Arm, ForwardPass
from ntk1bit.errors import require_choice

_BYTES: dict[Arm, int] = {"full32": 4, "full16": 2, "int8-absmax": 1}  # of a weight, where bits are not packed


@dataclass(frozen=True)
class Memory:
    """Bytes of a model's weights.

    Attributes
    ----------
    linear
        The linear maps of all layers.
    scales
        Their scales, float32: one per matrix, or one per row where rows were quantised after training.
    rest
        Gains of norms, embedding, head: in high precision in every arm (FP32 in ``"full32"``, else FP16).
    """

    linear: int
    scales: int
    rest: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.linear + self.scales + self.rest


def weight_bytes(shape: ForwardPass, arm: Arm) -> Memory:
    """Count the bytes of a model's weights.

    Signs are packed as `cores.pack_signs` does, one bit each, rows padded to 16 and columns to 32; ternary weights take
    two such matrices, 2 bits (log2(3) = 1.585 would be enough).

    Raises
    ------
    InputError
        For an unknown arm.
    """
    require_choice("arm", arm, ARMS)
    linear = scales = 0
    for _, n, p, many in shape.maps:
        linear += many * (n * p * _BYTES[arm] if arm in _BYTES else packed_bytes(p, n) * (2 if arm == "b158" else 1))
        scales += 4 * many * {"bitnet": 1, "b158": 1, "int8-absmax": p, "sign-ptq": p}.get(arm, 0)
    gains = (7 * shape.layers + 1) * shape.width  # of norms of d, d, d and 4d entries per layer, and the last
    tables = shape.vocabulary * (1 if shape.tied else 2)  # positions are rotations, which have no weights
    rest = (gains + tables * shape.width) * (4 if arm == "full32" else 2)
    return Memory(shape.layers * linear, shape.layers * scales, rest)


def packed_bytes(rows: int, columns: int) -> int:
    """Return the bytes of a packed (rows, columns) matrix of signs (`PackedSigns.nbytes`)."""
    words, padded = packed_shape(rows, columns)
    return words * padded * WORD // 8
