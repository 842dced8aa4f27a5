"""Inputs and weights to activation bits and output sums, without a matrix of pre-activations.

    z_r(x) = s_r <q_r, x> + mu_r <1, x>  (1-bit)   or   <w_r, x>  (full precision)
    A[r, i] = 1[z_r(x_i) >= 0],          total[i] = sum_r a_r relu(z_r(x_i))

(D25, section 3). Every path scales <q, x> and <1, x> after adding them up: where both are exactly 0, so is z, and the
neuron is active; rounded weights s q + mu would leave a remainder of either sign. Sums over neurons are taken in the
blocks of `half_blocks`, each in a fixed order, and the blocks of each half are added in order, so a paired network
gives exactly 0. A network of which only a part is at hand (`network.latents`) is added up in the same order from the
sums of its blocks, `block_sums_one_bit` and `block_sums_full`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float32, Float64

from ntk1bit.compiling import compiled, inlined
from ntk1bit.cores.backends import settings, ways
from ntk1bit.cores.bits import WORD, PackedBits, pack_bits, packed_shape, unpack_signs
from ntk1bit.cores.blocks import BLOCK, half_blocks
from ntk1bit.cores.checks import require_array
from ntk1bit.cores.lookup import ENTRIES, ROWS, columns_of, split_groups, sum_rows
from ntk1bit.cores.neurons import PackedNeurons
from ntk1bit.cores.simd import broadcast, load, multiply_add, not_negative, read, relu, store, write, zeros
from ntk1bit.cores.threads import aligned_empty, run_pieces, single_threaded_blas
from ntk1bit.cores.tiles import dot_tile
from ntk1bit.cores.unpacking import unpacked_rows


class Forward(NamedTuple):
    """What one forward pass leaves: everything that descent and the kernel need.

    Attributes
    ----------
    active
        A, (m neurons, n inputs) packed.
    total
        (n,) float64: sum_r a_r relu(z_r(x_i)); times kappa/sqrt(m) it is the network's output.
    """

    active: PackedBits
    total: Float64[np.ndarray, " n"]


class BlockSums(NamedTuple):
    """What a forward pass through some of the neurons leaves.

    Attributes
    ----------
    active
        A, of these neurons.
    sums
        (blocks, n) float32: sum_r a_r relu(z_r(x_i)) over each block. Those of all blocks of a network, in order, add
        up to its `Forward.total` by `sum_of_halves`.
    """

    active: PackedBits
    sums: Float32[np.ndarray, "blocks n"]


def forward_one_bit(x: Float32[np.ndarray, "n d"], neurons: PackedNeurons, a: Float32[np.ndarray, " m"]) -> Forward:
    """Run the 1-bit network on a batch: activation patterns and output sums (D25, section 3).

    Parameters
    ----------
    x
        Inputs (n, d), float32.
    neurons
        m packed neurons, from `pack_neurons` or `descend_one_bit`.
    a
        Output weights (m,), float32; -1 and +1 in D25, any numbers work.

    Returns
    -------
    Forward
        Activation patterns are exact but where |z| is within float32 rounding of 0. Non-finite inputs or neurons give
        non-finite totals; z = NaN counts as inactive. A network whose second half copies the first with opposite `a`
        has a total of exactly 0. The same bits for any number of threads.

    Raises
    ------
    InputError
        If dtypes or shapes do not match.
    """
    return _added(block_sums_one_bit(x, neurons, a, half_blocks(neurons.signs.rows)))


def forward_full(x: Float32[np.ndarray, "n d"], w: Float32[np.ndarray, "m d"], a: Float32[np.ndarray, " m"]) -> Forward:
    """Run the full-precision network on a batch: activation patterns and output sums.

    Parameters
    ----------
    x
        Inputs (n, d), float32.
    w, a
        Hidden weights (m, d) and output weights (m,), float32.

    Returns
    -------
    Forward
        As in `forward_one_bit`.

    Raises
    ------
    InputError
        If dtypes or shapes do not match.
    """
    w = require_array("w", w, np.float32, ("m", "d"))
    return _added(block_sums_full(x, w, a, half_blocks(len(w))))


def block_sums_one_bit(
    x: Float32[np.ndarray, "n d"],
    neurons: PackedNeurons,
    a: Float32[np.ndarray, " m"],
    blocks: Sequence[tuple[int, int]],
) -> BlockSums:
    """Run `forward_one_bit` on some of the neurons of a network, and add up block by block.

    Parameters
    ----------
    x, neurons, a
        As in `forward_one_bit`, of these neurons.
    blocks
        (start, stop) of consecutive blocks of at most 512 neurons that cover them: a part of the network's
        `half_blocks`, counted from the first neuron given.

    Returns
    -------
    BlockSums
        Of each block the `total` of its neurons alone; the same bits whichever blocks are passed together.

    Raises
    ------
    InputError
        If dtypes or shapes do not match.
    """
    signs, s, mu = neurons
    x = require_array("x", x, np.float32, ("n", signs.columns))
    a = require_array("a", a, np.float32, (signs.rows,))
    s = require_array("s", s, np.float32, (signs.rows,))
    mu = require_array("mu", mu, np.float32, (signs.rows,))
    if settings().backend != "blas":
        return _in_vectors(x, a, neurons, None, blocks)
    xt = np.ascontiguousarray(x.T)
    sums = _input_sums(x)

    def preactivations(start: int, stop: int) -> Float32[np.ndarray, "block n"]:
        products = unpacked_rows(signs, start, stop, low=-1.0, high=1.0) @ xt
        return s[start:stop, None] * products + mu[start:stop, None] * sums

    return _by_blas(preactivations, a, blocks, x.shape[0], dim=x.shape[1])


def block_sums_full(
    x: Float32[np.ndarray, "n d"],
    w: Float32[np.ndarray, "m d"],
    a: Float32[np.ndarray, " m"],
    blocks: Sequence[tuple[int, int]],
) -> BlockSums:
    """Run `forward_full` on some of the neurons of a network, and add up block by block; see `block_sums_one_bit`."""
    w = require_array("w", w, np.float32, ("m", "d"))
    x = require_array("x", x, np.float32, ("n", w.shape[1]))
    a = require_array("a", a, np.float32, (w.shape[0],))
    if settings().backend != "blas":
        return _in_vectors(x, a, None, w, blocks)
    xt = np.ascontiguousarray(x.T)
    return _by_blas(lambda start, stop: w[start:stop] @ xt, a, blocks, x.shape[0], dim=x.shape[1])


def forward_one_bit_reference(
    x: Float32[np.ndarray, "n d"], neurons: PackedNeurons, a: Float32[np.ndarray, " m"]
) -> Forward:
    """Compute `forward_one_bit` plainly: unpack everything, in float64."""
    signs, s, mu = neurons
    x64 = x.astype(np.float64)
    products = unpack_signs(signs).astype(np.float64) @ x64.T
    return _forward_reference(s[:, None].astype(np.float64) * products + mu[:, None] * x64.sum(axis=1), a)


def forward_full_reference(
    x: Float32[np.ndarray, "n d"], w: Float32[np.ndarray, "m d"], a: Float32[np.ndarray, " m"]
) -> Forward:
    """Compute `forward_full` plainly, in float64."""
    return _forward_reference(w.astype(np.float64) @ x.T.astype(np.float64), a)


def _forward_reference(z: Float64[np.ndarray, "m n"], a: Float32[np.ndarray, " m"]) -> Forward:
    return Forward(pack_bits(z >= 0), a.astype(np.float64) @ np.maximum(z, 0))


def _added(found: BlockSums) -> Forward:
    return Forward(found.active, sum_of_halves(found.sums))


def _in_vectors(
    x: Float32[np.ndarray, "n d"],
    a: Float32[np.ndarray, " m"],
    neurons: PackedNeurons | None,
    w: Float32[np.ndarray, "m d"] | None,
    blocks: Sequence[tuple[int, int]],
) -> BlockSums:
    width, n = len(a), x.shape[0]
    columns = columns_of(x.T, np.float32)
    groups, depth, lanes = columns.shape
    sums = np.zeros(groups * lanes, dtype=np.float32)
    sums[:n] = _input_sums(x)
    active = PackedBits(np.zeros(packed_shape(width, n), dtype=np.uint32), width, n)
    halves = active.words.reshape(-1).view(np.uint16)
    bounds = np.array([0, *(stop for _, stop in blocks)], dtype=np.int64)
    partial = np.zeros((len(blocks), groups * lanes), dtype=np.float32)
    at_once = ROWS // BLOCK
    row_words = depth // WORD
    group_words = row_words if w is None else 4 * row_words
    together = split_groups(groups, min(width, ROWS), group_words)
    together += together % 2  # two groups share a word of activation bits, and the full-precision tile takes two
    splits = -(-groups // together)
    tile_rows = ways(settings().backend).tile_rows

    def piece(index: int) -> None:
        block, split = divmod(index, splits)
        first, last = block * at_once, min((block + 1) * at_once, len(blocks))
        from_group, to_group = split * together, min((split + 1) * together, groups)
        where = (bounds, first, last, from_group, to_group)
        acc = aligned_empty(2 * lanes * int(bounds[last] - bounds[first]), np.float32)
        result = (a, halves, active.words.shape[1], n, partial)
        if neurons is not None:
            tables = aligned_empty(2 * ENTRIES * lanes, np.float32)
            _one_bit(columns, sums, neurons.signs.words, neurons.s, neurons.mu, *where, tables, acc, *result)
        else:
            _full(columns, w, tile_rows, *where, acc, *result)

    work = groups * width * group_words * 1.3
    run_pieces(piece, splits * -(-len(blocks) // at_once), threads=settings().threads, work_ns=work)
    return BlockSums(active, partial[:, :n])


@compiled
@no_type_check
def _one_bit(
    columns, sums, words, s, mu, bounds, first, last, from_group, to_group, tables, acc, a, halves, across, n, partial
):
    start, stop = bounds[first], bounds[last]
    for group in range(from_group, to_group):
        sum_rows(columns, group, words, start, stop, tables, acc, True)
        total_input = load(sums, group * 16)
        nothing = zeros(sums)
        valid = _valid(group, n)
        for block in range(first, last):
            total = nothing
            for row in range(bounds[block], bounds[block + 1]):
                offset = multiply_add(broadcast(read(mu, row)), total_input, nothing)
                z = multiply_add(broadcast(read(s, row)), load(acc, (row - start) * 16), offset)
                write(halves, _half(row, group, across), np.int64(not_negative(z)) & valid)
                total = multiply_add(broadcast(read(a, row)), relu(z), total)
            store(partial, block * partial.shape[1] + group * 16, total)


@compiled
@no_type_check
def _full(columns, w, tile_rows, bounds, first, last, from_group, to_group, acc, a, halves, across, n, partial):
    start, stop = bounds[first], bounds[last]
    rows, dim = stop - start, w.shape[1]
    depth = columns.shape[1]
    for group in range(from_group, to_group, 2):
        at = group * depth * 16
        # An odd last group is paired with itself; its copy is not used.
        stride = depth * 16 if group + 1 < to_group else 0
        row = 0
        if tile_rows == 8:
            while row + 8 <= rows:
                dot_tile(columns, at, stride, w, (start + row) * dim, dim, acc, row * 16, rows * 16, 8, 2)
                row += 8
        while tile_rows >= 6 and row + 6 <= rows:
            dot_tile(columns, at, 0, w, (start + row) * dim, dim, acc, row * 16, 0, 6, 1)
            dot_tile(columns, at + stride, 0, w, (start + row) * dim, dim, acc, (rows + row) * 16, 0, 6, 1)
            row += 6
        while row + 2 <= rows:
            dot_tile(columns, at, 0, w, (start + row) * dim, dim, acc, row * 16, 0, 2, 1)
            dot_tile(columns, at + stride, 0, w, (start + row) * dim, dim, acc, (rows + row) * 16, 0, 2, 1)
            row += 2
        while row < rows:
            dot_tile(columns, at, stride, w, (start + row) * dim, dim, acc, row * 16, rows * 16, 1, 2)
            row += 1
        for other in range(group, min(group + 2, to_group)):
            valid = _valid(other, n)
            source = (other - group) * rows * 16
            for block in range(first, last):
                total = zeros(acc)
                for row in range(bounds[block], bounds[block + 1]):
                    z = load(acc, source + (row - start) * 16)
                    write(halves, _half(row, other, across), np.int64(not_negative(z)) & valid)
                    total = multiply_add(broadcast(read(a, row)), relu(z), total)
                store(partial, block * partial.shape[1] + other * 16, total)


def _input_sums(x: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, " n"]:
    """Return <1, x_i>, added up in float64."""
    return x.sum(axis=1, dtype=np.float64).astype(np.float32)


@inlined()
@no_type_check
def _valid(group, n):
    """Return the bits of the inputs a group of 16 really has."""
    return (1 << min(16, n - 16 * group)) - 1


@inlined()
@no_type_check
def _half(row, group, across):
    """Return where the 16 activation bits of a row and a group of inputs lie, in half words (see `bits`)."""
    return 2 * ((group >> 1) * across + row) + (group & 1)


def _by_blas(
    preactivations: Callable[[int, int], np.ndarray],
    a: Float32[np.ndarray, " m"],
    blocks: Sequence[tuple[int, int]],
    n: int,
    *,
    dim: int,
) -> BlockSums:
    width = len(a)
    active = np.zeros((width, n), dtype=np.bool_)
    partial = np.zeros((len(blocks), n), dtype=np.float32)

    def piece(index: int) -> None:
        start, stop = blocks[index]
        with np.errstate(all="ignore"):  # what diverged shows in the results
            z = preactivations(start, stop)
            np.greater_equal(z, 0, out=active[start:stop])
            partial[index] = (a[start:stop, None] * np.maximum(z, 0)).sum(axis=0)

    with single_threaded_blas():
        run_pieces(piece, len(blocks), threads=settings().threads, work_ns=width * n * dim / 30)
    return BlockSums(pack_bits(active), partial)


def sum_of_halves(partial: Float32[np.ndarray, "blocks n"]) -> Float64[np.ndarray, " n"]:
    """Add the sums of a network's blocks in float64: each half's in order, then the halves, so mirror images cancel."""
    middle = len(partial) // 2
    first, second = (part.sum(axis=0, dtype=np.float64) for part in (partial[:middle], partial[middle:]))
    return first + second
