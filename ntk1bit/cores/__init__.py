"""Products with bit matrices: packed signs, packed activation patterns, and numba kernels that multiply with them."""

from typing import TYPE_CHECKING

from ntk1bit.compiling import seconds_compiling
from ntk1bit.cores.backends import BACKENDS, Backend, CoreSettings, available_backends, settings, using
from ntk1bit.cores.bits import (
    PackedBits,
    PackedSigns,
    count_differences,
    count_differences_by_column,
    pack_bits,
    pack_signs,
    unpack_bits,
    unpack_signs,
)
from ntk1bit.cores.blocks import half_blocks
from ntk1bit.cores.descent import (
    descend_full,
    descend_full_reference,
    descend_one_bit,
    descend_one_bit_reference,
)
from ntk1bit.cores.forward import (
    BlockSums,
    Forward,
    block_sums_full,
    block_sums_one_bit,
    forward_full,
    forward_full_reference,
    forward_one_bit,
    forward_one_bit_reference,
    sum_of_halves,
)
from ntk1bit.cores.gram import bit_gram, bit_gram_reference
from ntk1bit.cores.masked_products import masked_product, masked_product_reference
from ntk1bit.cores.neurons import PackedNeurons, pack_neurons, pack_neurons_reference
from ntk1bit.cores.sign_products import sign_matmul, sign_matmul_reference
from ntk1bit.cores.sign_products_int8 import sign_matmul_int8, sign_matmul_int8_reference
from ntk1bit.cores.ternary import PackedTernary, pack_ternary, unpack_ternary
from ntk1bit.cores.ternary_products import ternary_matmul, ternary_matmul_reference
from ntk1bit.cores.ternary_products_int8 import ternary_matmul_int8, ternary_matmul_int8_reference
from ntk1bit.old_names import missing_name

__all__ = [
    "BACKENDS",
    "Backend",
    "BlockSums",
    "CoreSettings",
    "Forward",
    "PackedBits",
    "PackedNeurons",
    "PackedSigns",
    "PackedTernary",
    "available_backends",
    "bit_gram",
    "bit_gram_reference",
    "block_sums_full",
    "block_sums_one_bit",
    "count_differences",
    "count_differences_by_column",
    "descend_full",
    "descend_full_reference",
    "descend_one_bit",
    "descend_one_bit_reference",
    "forward_full",
    "forward_full_reference",
    "forward_one_bit",
    "forward_one_bit_reference",
    "half_blocks",
    "masked_product",
    "masked_product_reference",
    "pack_bits",
    "pack_neurons",
    "pack_neurons_reference",
    "pack_signs",
    "pack_ternary",
    "seconds_compiling",
    "settings",
    "sign_matmul",
    "sign_matmul_int8",
    "sign_matmul_int8_reference",
    "sign_matmul_reference",
    "sum_of_halves",
    "ternary_matmul",
    "ternary_matmul_int8",
    "ternary_matmul_int8_reference",
    "ternary_matmul_reference",
    "unpack_bits",
    "unpack_signs",
    "unpack_ternary",
    "using",
]

if not TYPE_CHECKING:  # to type checkers an unknown name stays unknown

    def __getattr__(name: str) -> object:
        raise missing_name(__name__, name)
