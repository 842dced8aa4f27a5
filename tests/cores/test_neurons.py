"""Packing neurons, the forward pass and the descent step against their plain references, in every backend."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ntk1bit import cores
from ntk1bit.cores import neurons
from ntk1bit.errors import InputError
from ntk1bit.networks import quantizers

EPS = float(np.finfo(np.float32).eps)
SHAPES = [
    (0, 5, 7),
    (1, 1, 1),
    (7, 1, 64),
    (16, 7, 65),
    (33, 63, 100),
    (31, 64, 513),
    (64, 65, 33),
    (65, 31, 1027),
    (5, 784, 40),
    (40, 33, 4099),
    (3, 4500, 8),
]


def network(rng, n, d, m):
    x = rng.standard_normal((n, d)).astype(np.float32)
    w = rng.standard_normal((m, d)).astype(np.float32)
    a = np.where(rng.random(m) < 0.5, -1, 1).astype(np.float32)
    return x, w, a


def assert_forward_close(got, expected, *, scale, depth):
    """Totals to rounding, activities except where z is within rounding of 0 (`scale`: the size of a sum's terms)."""
    m, n = expected.active.shape
    assert got.active.shape == (m, n)
    assert got.total.shape == (n,)
    # A pre-activation is a sum of `depth` terms and a total one of m of these: rounding grows at most with the counts.
    bound = EPS * (depth + 512) * scale * m
    np.testing.assert_allclose(got.total, expected.total, rtol=0, atol=bound + 1e-30)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("n", "d", "m"), SHAPES)
@pytest.mark.parametrize("scale", ["std", "absmean"])
def test_pack_neurons(n, d, m, scale, rng):
    _, w, _ = network(rng, n, d, m)
    got, expected = cores.pack_neurons(w, scale=scale), cores.pack_neurons_reference(w, scale=scale)
    assert got.signs.shape == (m, d)
    # Sums of d float32 in float32 or better; sizes are O(1).
    np.testing.assert_allclose(got.s, expected.s, rtol=4 * EPS, atol=d * EPS)
    np.testing.assert_allclose(got.mu, expected.mu, rtol=4 * EPS, atol=d * EPS)
    differs = cores.unpack_signs(got.signs) != cores.unpack_signs(expected.signs)
    # A sign may differ only where w is within rounding of the mean.
    assert not np.any(differs & (np.abs(w - expected.mu[:, None]) > d * EPS))
    padding = got.signs.words.copy()
    padding[:] = cores.pack_signs(cores.unpack_signs(got.signs)).words
    np.testing.assert_array_equal(padding, got.signs.words)


@pytest.mark.usefixtures("backend")
def test_sign_of_zero_is_plus_one():
    constant = np.full((3, 8), 0.25, dtype=np.float32)
    neurons = cores.pack_neurons(constant)
    assert (cores.unpack_signs(neurons.signs) == 1).all()
    np.testing.assert_array_equal(neurons.s, 0)


def in_vectors(w, scale):
    """Quantise with the kernel, which LLVM makes of shorter vectors on some processors."""
    found = neurons.empty_neurons(*w.shape, scale=scale)
    neurons._quantize(w, 0, len(w), scale == "std", found.signs.words.view(np.uint16), found.s, found.mu)
    return found


def in_turn(w, scale):
    with cores.using(backend="blas"):
        return cores.pack_neurons(w, scale=scale)


def plainly(w, scale):
    return cores.pack_neurons_reference(w, scale=scale)


@pytest.mark.parametrize("d", [1, 7, 16, 33, 100])
@pytest.mark.parametrize("scale", ["std", "absmean"])
@pytest.mark.parametrize("quantize", [in_vectors, in_turn, plainly])
def test_rows_of_any_size_are_quantised_as_in_real_arithmetic(quantize, scale, d, rng):
    assert (neurons.FAR_MEAN, neurons.LEAST) == (quantizers.FAR_MEAN, quantizers.LEAST)
    most = float(np.finfo(np.float32).max)
    w = np.clip(rng.standard_normal((300, d)) * np.exp2(rng.uniform(-149, 128, (300, 1))), -most, most)
    w[:40] = rng.uniform(-1, 1, (40, 1)) * np.exp2(rng.uniform(-149, 128, (40, 1)))  # constant
    w[40:60] = rng.choice([-most, most], (20, d))
    w = w.astype(np.float32)
    real = w.astype(np.longdouble)
    mu = real.mean(axis=1, keepdims=True)
    c = real - mu
    s = np.sqrt((c * c).mean(axis=1)) if scale == "std" else np.abs(c).mean(axis=1)
    found = quantize(w, scale)
    # Sums of d terms of at most max|w|; deviations from a mean that is off by that much itself; half a smallest float.
    slack = d * EPS * np.abs(real).max(axis=1) + 2.0**-150
    assert (np.abs(found.mu - mu[:, 0]) <= slack).all()
    assert (np.abs(found.s - s) <= 3 * slack).all()
    q = cores.unpack_signs(found.signs)
    clear = np.abs(c) > slack[:, None]
    np.testing.assert_array_equal(q[clear], np.where(c >= 0, 1, -1)[clear])
    assert (q[:40] == 1).all()
    assert (found.s[:40] == 0).all()


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("n", "d", "m"), SHAPES)
def test_forward(n, d, m, rng):
    x, w, a = network(rng, n, d, m)
    neurons = cores.pack_neurons(w)
    size = float(np.abs(x).sum(axis=1).max(initial=0.0)) * (float(np.abs(w).max()) + 1)
    cases = [
        (cores.forward_one_bit(x, neurons, a), cores.forward_one_bit_reference(x, neurons, a)),
        (cores.forward_full(x, w, a), cores.forward_full_reference(x, w, a)),
    ]
    effective = neurons.s[:, None] * cores.unpack_signs(neurons.signs) + neurons.mu[:, None]
    for (got, expected), weights in zip(cases, (effective, w), strict=True):
        assert_forward_close(got, expected, scale=size, depth=d)
        z = weights.astype(np.float64) @ x.T.astype(np.float64)
        differs = cores.unpack_bits(got.active) != cores.unpack_bits(expected.active)
        # z sums d products: its rounding is below d eps sum |w_k x_k| <= d eps size.
        assert not np.any(differs & (np.abs(z) > d * EPS * size))
        clean = cores.pack_bits(cores.unpack_bits(got.active))
        np.testing.assert_array_equal(got.active.words, clean.words)  # padding bits are 0


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("n", "d", "m"), [(1, 1, 1), (3, 5, 1025), (37, 41, 9001), (1, 64, 20_000), (70, 33, 5120)])
def test_parts_of_a_network_give_the_bits_of_the_whole(n, d, m, threads, rng):
    """A step and a forward pass through a few blocks of neurons after the other, in parts of uneven lengths.

    Steps by BLAS are left out: it rounds rows of a product by the number of rows that it is given.
    """
    x, w, a = network(rng, n, d, m)
    blocks = cores.half_blocks(m)
    cuts = sorted({0, len(blocks), *rng.integers(0, len(blocks) + 1, 3).tolist()})
    active = cores.pack_bits(rng.random((m, n)) < 0.5)
    moved = w.copy()
    with cores.using(threads=threads):
        neurons = cores.descend_one_bit(moved, a, active, x, step=0.125)
        whole = cores.forward_one_bit(x, neurons, a), cores.forward_full(x, moved, a)
        found: tuple[list[cores.BlockSums], list[cores.BlockSums]] = ([], [])
        for first, last in itertools.pairwise(cuts):
            start, stop = blocks[first][0], blocks[last - 1][1]
            own = [(begin - start, end - start) for begin, end in blocks[first:last]]
            part = cores.pack_bits(cores.unpack_bits(active)[start:stop])
            if cores.settings().backend == "blas":
                w[start:stop] = moved[start:stop]
                packed = cores.pack_neurons(w[start:stop])
            else:
                packed = cores.descend_one_bit(w[start:stop], a[start:stop], part, x, step=0.125)
            found[0].append(cores.block_sums_one_bit(x, packed, a[start:stop], own))
            found[1].append(cores.block_sums_full(x, w[start:stop], a[start:stop], own))
    np.testing.assert_array_equal(w, moved)
    for parts, expected in zip(found, whole, strict=True):
        np.testing.assert_array_equal(
            cores.sum_of_halves(np.concatenate([each.sums for each in parts])), expected.total
        )
        active = np.concatenate([cores.unpack_bits(each.active) for each in parts])
        np.testing.assert_array_equal(active, cores.unpack_bits(expected.active))


@pytest.mark.usefixtures("backend")
def test_sums_of_blocks_are_those_of_their_neurons(rng):
    x, w, a = network(rng, 20, 33, 1300)
    blocks = [(0, 300), (300, 812), (812, 1300)]
    one_bit, full = (
        cores.block_sums_one_bit(x, cores.pack_neurons(w), a, blocks),
        cores.block_sums_full(x, w, a, blocks),
    )
    for at, (start, stop) in enumerate(blocks):
        rows, ends = w[start:stop], a[start:stop]
        size = float(np.abs(x).sum(axis=1).max()) * (float(np.abs(w).max()) + 1)
        for sums, plain in (
            (one_bit.sums[at], cores.forward_one_bit_reference(x, cores.pack_neurons(rows), ends)),
            (full.sums[at], cores.forward_full_reference(x, rows, ends)),
        ):
            got = cores.Forward(plain.active, sums.astype(np.float64))
            assert_forward_close(got, plain, scale=size, depth=33)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("d", [4, 16, 64])
def test_a_pre_activation_of_exactly_zero_is_active(d, rng):
    """Inputs of +-1/sqrt(d), a power of two, half of each sign: <1, x> = 0, and sums of them are exact."""
    x = rng.permuted(np.tile(np.where(np.arange(d) % 2, 1.0, -1.0), (20, 1)), axis=1) / np.sqrt(d)
    x = x.astype(np.float32)
    w = rng.standard_normal((700, d)).astype(np.float32)
    neurons = cores.pack_neurons(w)
    zero = cores.unpack_signs(neurons.signs) @ x.T == 0
    assert zero.any(axis=0).all()
    for run in (cores.forward_one_bit, cores.forward_one_bit_reference):
        assert cores.unpack_bits(run(x, neurons, np.ones(700, np.float32)).active)[zero].all()


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("half", [*range(1, 40), 63, 64, 65, 100, 255, 256, 257, 511, 512, 513, 1000, 1023, 2049])
def test_a_paired_network_is_exactly_zero(half, rng):
    x, w, _ = network(rng, 37, 41, half)
    w = np.concatenate([w, w])
    a = np.repeat(np.array([1, -1], dtype=np.float32), half)
    assert (cores.forward_one_bit(x, cores.pack_neurons(w), a).total == 0).all()
    assert (cores.forward_full(x, w, a).total == 0).all()


@pytest.mark.usefixtures("backend")
def test_a_wide_paired_network_is_exactly_zero_on_two_threads(rng):
    x, w, _ = network(rng, 200, 64, 8000)
    w = np.concatenate([w, w])
    a = np.repeat(np.array([1, -1], dtype=np.float32), 8000)
    with cores.using(threads=2):
        assert (cores.forward_one_bit(x, cores.pack_neurons(w), a).total == 0).all()
        assert (cores.forward_full(x, w, a).total == 0).all()


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("n", "d", "m"), SHAPES)
@pytest.mark.parametrize("scale", ["std", "absmean"])
def test_descent_step(n, d, m, scale, rng):
    x, w, a = network(rng, n, d, m)
    active = cores.pack_bits(rng.random((m, n)) < 0.5)
    plain, fast = w.copy(), w.copy()
    cores.descend_full_reference(plain, a, active, x, step=0.125)
    neurons = cores.descend_one_bit(fast, a, active, x, step=0.125, scale=scale)
    # The step sums n terms of size |x|; a rounding of the sum with w comes on top.
    bound = EPS * (np.abs(w).max() + 0.125 * (n + 1) * np.abs(x).sum(axis=0).max(initial=0.0))
    np.testing.assert_allclose(fast, plain, rtol=0, atol=bound)
    again = cores.pack_neurons(fast, scale=scale)
    assert neurons.signs == again.signs
    np.testing.assert_array_equal(neurons.s, again.s)
    np.testing.assert_array_equal(neurons.mu, again.mu)
    full = w.copy()
    cores.descend_full(full, a, active, x, step=0.125)
    np.testing.assert_array_equal(full, fast)


@pytest.mark.usefixtures("backend")
def test_divergence_shows(rng):
    x, w, a = network(rng, 20, 33, 50)
    w[7, 3] = np.nan
    assert np.isnan(cores.forward_one_bit(x, cores.pack_neurons(w), a).total).all()
    full = cores.forward_full(x, w, a)
    assert np.isnan(full.total).all()
    assert not cores.unpack_bits(full.active)[7].any()
    w[7, 3] = np.inf
    assert not np.isfinite(cores.forward_one_bit(x, cores.pack_neurons(w), a).total).any()


@pytest.mark.usefixtures("backend")
def test_inputs_may_be_strided_and_read_only(rng):
    x, w, a = network(rng, 66, 70, 90)
    view = x[::2, ::-1]
    view.flags.writeable = False
    frozen = w.copy()
    frozen.flags.writeable = False
    neurons = cores.pack_neurons(frozen)
    forward = cores.forward_one_bit(view, neurons, a)
    same = cores.forward_one_bit(np.ascontiguousarray(view), neurons, a)
    assert forward.active == same.active
    np.testing.assert_array_equal(forward.total, same.total)


def test_wrong_arguments_are_refused(as_installed, rng):
    x, w, a = network(rng, 4, 6, 5)
    neurons = cores.pack_neurons(w)
    active = cores.pack_bits(np.ones((5, 4), dtype=bool))
    frozen = w.copy()
    frozen.flags.writeable = False
    pack, one_bit, full = map(as_installed, (cores.pack_neurons, cores.forward_one_bit, cores.forward_full))
    descend = as_installed(cores.descend_one_bit)
    cases = [
        (lambda: pack(w, scale="median"), "unknown scale"),
        (lambda: pack(w[:, :0]), "at least one input dimension"),
        (lambda: pack(w.astype(np.float64)), "float64"),
        (lambda: one_bit(x[:, :5], neurons, a), "shape \\(n, 6\\)"),
        (lambda: one_bit(x, neurons, a[:4]), "a must be"),
        (lambda: full(x[:, :5], w, a), "shape \\(n, 6\\)"),
        (lambda: full(x, w, a.astype(np.float64)), "a must be"),
        (lambda: descend(frozen, a, active, x, step=0.1), "written in place"),
        (lambda: descend(w[:4].copy(), a, active, x, step=0.1), "w must be"),
        (lambda: descend(w, a, active, x[:3], step=0.1), "weighted_inputs must be"),
        (lambda: descend(w, a, active, x, step=0.1, scale="max"), "unknown scale"),
    ]
    for call, message in cases:
        with pytest.raises(InputError, match=message):
            call()
