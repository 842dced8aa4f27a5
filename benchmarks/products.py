"""The races of `ntk1bit.cores`: every product against BLAS in the layout that suits BLAS best.

Rivals get float32 matrices in memory and outputs allocated beforehand. `unpack + BLAS` starts from the packed bits, as
a program that saves memory but has no kernels would.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from scipy.linalg import get_blas_funcs

from benchmarks.contest import Contest, Pair, Sizes, goals
from ntk1bit import cores
from ntk1bit.cores.forward import Forward

TOLERANCE = 1e-5  # relative to the largest entry: rounding of float32 sums of up to 4096 terms, in any order


def _agree(left: np.ndarray, right: np.ndarray) -> None:
    scale = float(np.abs(right).max(initial=1.0))
    np.testing.assert_allclose(left, right, rtol=0, atol=TOLERANCE * scale)


def _signs(sizes: Sizes, rng: np.random.Generator) -> cores.PackedSigns:
    return cores.pack_signs(rng.random((sizes.m, sizes.d)) < 0.5)


def _ternary(sizes: Sizes, rng: np.random.Generator) -> cores.PackedTernary:
    return cores.pack_ternary(rng.integers(-1, 2, (sizes.m, sizes.d)))


def _sgemms(x: np.ndarray, s: np.ndarray) -> dict[str, Callable[[], object]]:
    """Return X S^T by sgemm in every layout of operands and result."""
    xt, st = np.ascontiguousarray(x.T), np.ascontiguousarray(s.T)
    wide = np.empty((len(x), len(s)), dtype=np.float32)
    tall = np.empty((len(s), len(x)), dtype=np.float32)
    return {
        "sgemm x s'": lambda: np.matmul(x, s.T, out=wide),
        "sgemm x st": lambda: np.matmul(x, st, out=wide),
        "sgemm s x'": lambda: np.matmul(s, x.T, out=tall),
        "sgemm s xt": lambda: np.matmul(s, xt, out=tall),
    }


def sign_matmul(sizes: Sizes, rng: np.random.Generator) -> Contest:
    """Race float32 X S^T."""
    x = rng.standard_normal((sizes.n, sizes.d), dtype=np.float32)
    p = _signs(sizes, rng)
    s = cores.unpack_signs(p).astype(np.float32)
    out = cores.sign_matmul(x, p)
    _agree(out, x @ s.T)
    rivals = _sgemms(x, s)
    rivals["unpack + sgemm"] = lambda: x @ cores.unpack_signs(p).astype(np.float32).T
    return Contest(lambda: cores.sign_matmul(x, p, out=out), rivals, p.nbytes, s.nbytes)


def sign_matmul_int8(sizes: Sizes, rng: np.random.Generator) -> Contest:
    """Race int8 Q S^T against float32 sgemm, the fastest exact product BLAS has for it."""
    p = _signs(sizes, rng)
    return _exact(cores.sign_matmul_int8, p, cores.unpack_signs(p), sizes, rng)


def two_bit_matmul(sizes: Sizes, rng: np.random.Generator, *, ternary: bool = False) -> Contest:
    """Race int8 Q S^T, or Q T^T, against onnxruntime's product with two-bit weights (MatMulNBits, int8 inputs).

    It knows the processor by itself, so this is a race on the processor as it is, whatever the cores are told.
    """
    from benchmarks.two_bits import two_bit_product

    q = rng.integers(-127, 128, (sizes.n, sizes.d)).astype(np.int8)
    out = np.empty((sizes.n, sizes.m), dtype=np.int32)
    if ternary:
        t = _ternary(sizes, rng)
        entries, memory = cores.unpack_ternary(t), t.nbytes
        ours = functools.partial(cores.ternary_matmul_int8, q, t, out=out)
    else:
        s = _signs(sizes, rng)
        entries, memory = cores.unpack_signs(s), s.nbytes
        ours = functools.partial(cores.sign_matmul_int8, q, s, out=out)
    rival = two_bit_product(q.astype(np.float32), entries, threads=cores.settings().threads)
    ours()
    exact = out.astype(np.float32)
    # Both factors of a term are rounded to 8 bits at most, and inputs again by block: 1 % of the largest entry.
    np.testing.assert_allclose(rival(), exact, rtol=0, atol=0.01 * float(np.abs(exact).max()))
    return Contest(ours, {"onnxruntime, 2 bits": rival}, memory, entries.size // 4)


def ternary_matmul(sizes: Sizes, rng: np.random.Generator) -> Contest:
    """Race float32 X T^T, T of -1, 0 and +1 equally often."""
    x = rng.standard_normal((sizes.n, sizes.d), dtype=np.float32)
    p = _ternary(sizes, rng)
    t = cores.unpack_ternary(p).astype(np.float32)
    out = cores.ternary_matmul(x, p)
    _agree(out, x @ t.T)
    return Contest(lambda: cores.ternary_matmul(x, p, out=out), _sgemms(x, t), p.nbytes, t.nbytes)


def ternary_matmul_int8(sizes: Sizes, rng: np.random.Generator) -> Contest:
    """Race int8 Q T^T against float32 sgemm."""
    p = _ternary(sizes, rng)
    return _exact(cores.ternary_matmul_int8, p, cores.unpack_ternary(p), sizes, rng)


def _exact(
    product: Callable[..., np.ndarray],
    p: cores.PackedSigns | cores.PackedTernary,
    entries: np.ndarray,
    sizes: Sizes,
    rng: np.random.Generator,
) -> Contest:
    """Race a product of int8 inputs with packed weights, whose entries are given as well."""
    q = rng.integers(-127, 128, (sizes.n, sizes.d)).astype(np.int8)
    weights = entries.astype(np.float32)
    out = product(q, p)
    np.testing.assert_array_equal(out, q.astype(np.float32) @ weights.T)
    rivals = _sgemms(q.astype(np.float32), weights)
    return Contest(lambda: product(q, p, out=out), rivals, p.nbytes, weights.nbytes)


def ternary_to_signs(sizes: Sizes, rng: np.random.Generator) -> Contest:
    """Compare float32 X T^T with X S^T, which has half the memory to read."""
    x = rng.standard_normal((sizes.n, sizes.d), dtype=np.float32)
    p, s = _ternary(sizes, rng), _signs(sizes, rng)
    out = np.empty((sizes.n, sizes.m), dtype=np.float32)
    rivals = {"sign_matmul": lambda: cores.sign_matmul(x, s, out=out)}
    return Contest(lambda: cores.ternary_matmul(x, p, out=out), rivals, p.nbytes, s.nbytes)


def ternary_to_signs_int8(sizes: Sizes, rng: np.random.Generator) -> Contest:
    """Compare int8 Q T^T with Q S^T, which has half the memory to read."""
    q = rng.integers(-127, 128, (sizes.n, sizes.d)).astype(np.int8)
    p, s = _ternary(sizes, rng), _signs(sizes, rng)
    out = np.empty((sizes.n, sizes.m), dtype=np.int32)
    rivals = {"sign_matmul_int8": lambda: cores.sign_matmul_int8(q, s, out=out)}
    return Contest(lambda: cores.ternary_matmul_int8(q, p, out=out), rivals, p.nbytes, s.nbytes)


def forward(sizes: Sizes, rng: np.random.Generator, *, one_bit: bool) -> Contest:
    """Race the fused pass to activation bits and output sums against sgemm, comparison, packing and relu."""
    x = rng.standard_normal((sizes.n, sizes.d), dtype=np.float32)
    w = rng.standard_normal((sizes.m, sizes.d), dtype=np.float32)
    a = np.where(rng.random(sizes.m) < 0.5, -1, 1).astype(np.float32)
    neurons = cores.pack_neurons(w)
    effective = neurons.s[:, None] * cores.unpack_signs(neurons.signs) + neurons.mu[:, None] if one_bit else w
    z = np.empty((sizes.m, sizes.n), dtype=np.float32)
    xt = np.ascontiguousarray(x.T)

    def ours() -> Forward:
        return cores.forward_one_bit(x, neurons, a) if one_bit else cores.forward_full(x, w, a)

    def sgemm_then_pack() -> tuple[np.ndarray, np.ndarray]:
        np.matmul(effective, xt, out=z)
        bits = np.packbits(z >= 0)
        return bits, a @ np.maximum(z, 0, out=z)

    _agree(ours().total, sgemm_then_pack()[1])
    packed = neurons.signs.nbytes + neurons.s.nbytes + neurons.mu.nbytes
    return Contest(ours, {"sgemm + packbits + relu": sgemm_then_pack}, packed if one_bit else w.nbytes, w.nbytes)


def masked_product(sizes: Sizes, rng: np.random.Generator) -> Contest:
    """Race A (r o X) against sgemm with A as float32."""
    bits = cores.pack_bits(rng.random((sizes.m, sizes.n)) < 0.5)
    weighted_inputs = rng.standard_normal((sizes.n, sizes.d), dtype=np.float32)
    active = cores.unpack_bits(bits).astype(np.float32)
    turned = np.ascontiguousarray(active.T)
    result = np.empty((sizes.m, sizes.d), dtype=np.float32)
    out = cores.masked_product(bits, weighted_inputs)
    _agree(out, active @ weighted_inputs)
    rivals = {
        "sgemm a p": lambda: np.matmul(active, weighted_inputs, out=result),
        "sgemm at' p": lambda: np.matmul(turned.T, weighted_inputs, out=result),
        "unpack + sgemm": lambda: np.matmul(cores.unpack_bits(bits).astype(np.float32), weighted_inputs, out=result),
    }
    return Contest(lambda: cores.masked_product(bits, weighted_inputs, out=out), rivals, bits.nbytes, active.nbytes)


def descend(sizes: Sizes, rng: np.random.Generator) -> Contest:
    """Race the fused step (gradient, update, re-quantisation, packing) against the NumPy sequence."""
    bits = cores.pack_bits(rng.random((sizes.m, sizes.n)) < 0.5)
    weighted_inputs = rng.standard_normal((sizes.n, sizes.d), dtype=np.float32)
    w = rng.standard_normal((sizes.m, sizes.d), dtype=np.float32)
    a = np.where(rng.random(sizes.m) < 0.5, -1, 1).astype(np.float32)
    active = cores.unpack_bits(bits).astype(np.float32)
    gradient = np.empty_like(w)
    step = np.float32(1e-6)

    def numpy_step() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        np.matmul(active, weighted_inputs, out=gradient)
        np.multiply(gradient, (step * a)[:, None], out=gradient)
        np.subtract(w, gradient, out=w)
        mu = w.mean(axis=1)
        c = w - mu[:, None]
        return np.packbits(c >= 0, axis=1), mu, np.sqrt(np.einsum("rk,rk->r", c, c) / np.float32(sizes.d))

    def ours() -> cores.PackedNeurons:
        return cores.descend_one_bit(w, a, bits, weighted_inputs, step=step)

    return Contest(ours, {"sgemm + NumPy": numpy_step}, bits.nbytes, active.nbytes)


def bit_gram(sizes: Sizes, rng: np.random.Generator) -> Contest:
    """Race A^T A from packed bits against ssyrk and sgemm on float32."""
    bits = cores.pack_bits(rng.random((sizes.m, sizes.n)) < 0.5)
    active = cores.unpack_bits(bits).astype(np.float32)
    by_input = np.ascontiguousarray(active.T)
    (ssyrk,) = get_blas_funcs(("syrk",), dtype=np.float32)
    np.testing.assert_array_equal(cores.bit_gram(bits), by_input @ active)
    rivals = {
        "ssyrk by input": lambda: ssyrk(1.0, by_input.T, trans=1),
        "ssyrk by neuron": lambda: ssyrk(1.0, active.T),
        "unpack + ssyrk": lambda: ssyrk(1.0, cores.unpack_bits(bits).astype(np.float32).T),
    }
    return Contest(lambda: cores.bit_gram(bits), rivals, bits.nbytes, active.nbytes)


def kernel(sizes: Sizes, rng: np.random.Generator) -> Contest:
    """Race inputs and weights to the empirical NTK, H = x x^T o A^T A / m (D25, Def. G.1), end to end."""
    x = rng.standard_normal((sizes.n, sizes.d), dtype=np.float32)
    w = rng.standard_normal((sizes.m, sizes.d), dtype=np.float32)
    a = np.ones(sizes.m, dtype=np.float32)
    neurons = cores.pack_neurons(w)
    effective = neurons.s[:, None] * cores.unpack_signs(neurons.signs) + neurons.mu[:, None]
    et = np.ascontiguousarray(effective.T)

    def ours() -> np.ndarray:
        return (x @ x.T) * cores.bit_gram(cores.forward_one_bit(x, neurons, a).active) / sizes.m

    def with_sgemm() -> np.ndarray:
        active = (x @ et >= 0).astype(np.float32)
        return (x @ x.T) * (active @ active.T) / sizes.m

    inner = float(np.abs(x @ x.T).max())
    # A neuron within rounding of the threshold may be counted by one and not by the other; it weighs 1/m.
    np.testing.assert_allclose(ours(), with_sgemm(), rtol=0, atol=10 * inner / sizes.m)
    return Contest(ours, {"sgemm, compare, ssyrk": with_sgemm}, neurons.signs.nbytes, w.nbytes)


FORWARD_ONE_BIT = functools.partial(forward, one_bit=True)
TWO_BIT_TERNARY = functools.partial(two_bit_matmul, ternary=True)
FORWARD_FULL = functools.partial(forward, one_bit=False)
PAIRS = (
    Pair("sign_matmul", Sizes(512, 512, 16384), sign_matmul, goals(avx512=2.5, avx2=2.8)),
    Pair("sign_matmul", Sizes(512, 64, 16384), sign_matmul, goals(avx512=2.2, avx2=1.5)),
    Pair("sign_matmul", Sizes(256, 64, 1024), sign_matmul),
    Pair("sign_matmul", Sizes(1024, 784, 8192), sign_matmul, goals(avx2=3)),
    Pair("sign_matmul", Sizes(64, 4096, 4096), sign_matmul, goals(avx2=4.5)),
    Pair("sign_matmul", Sizes(1, 4096, 4096), sign_matmul, goals(avx512=25, avx2=8)),
    Pair("sign_matmul", Sizes(16, 4096, 4096), sign_matmul, goals(avx512=10, avx2=5)),
    Pair("sign_matmul_int8", Sizes(512, 512, 16384), sign_matmul_int8, goals(avx512=5, avx2=5)),
    Pair("sign_matmul_int8", Sizes(64, 4096, 4096), sign_matmul_int8),
    Pair("sign_matmul_int8", Sizes(16, 4096, 4096), sign_matmul_int8, goals(avx2=6)),
    Pair("sign_matmul_int8", Sizes(1, 4096, 4096), sign_matmul_int8, goals(avx2=12)),
    Pair("sign_matmul_int8", Sizes(1, 4096, 14336), sign_matmul_int8, goals(avx2=15)),
    Pair("two_bit_matmul", Sizes(512, 4096, 4096), two_bit_matmul),
    Pair("two_bit_matmul", Sizes(64, 4096, 4096), two_bit_matmul),
    Pair("two_bit_matmul", Sizes(1, 4096, 4096), two_bit_matmul),
    *(Pair("two_bit_ternary", Sizes(n, 4096, 4096), TWO_BIT_TERNARY) for n in (512, 64, 1)),
    *(Pair("ternary_matmul", Sizes(n, 4096, 4096), ternary_matmul) for n in (512, 16, 1)),
    *(Pair("ternary_matmul_int8", Sizes(n, 4096, 4096), ternary_matmul_int8) for n in (512, 16, 1)),
    *(Pair("ternary_to_signs", Sizes(n, 4096, m), ternary_to_signs) for m in (4096, 14336) for n in (512, 16, 1)),
    *(
        Pair("ternary_to_signs_int8", Sizes(n, 4096, m), ternary_to_signs_int8, goals(avx512=goal))
        for m in (4096, 14336)
        for n, goal in ((512, 1 / 1.2), (16, 1 / 1.2), (1, 1 / 1.3))
    ),
    Pair("forward_one_bit", Sizes(512, 64, 16384), FORWARD_ONE_BIT, goals(avx512=3.5, avx2=5)),
    Pair("forward_one_bit", Sizes(256, 64, 1024), FORWARD_ONE_BIT),
    Pair("forward_one_bit", Sizes(1024, 784, 8192), FORWARD_ONE_BIT, goals(avx2=3)),
    Pair("forward_full", Sizes(512, 64, 16384), FORWARD_FULL, goals(avx2=1.5)),
    Pair("masked_product", Sizes(256, 64, 16384), masked_product, goals(avx2=4)),
    Pair("masked_product", Sizes(512, 512, 16384), masked_product, goals(avx2=3)),
    Pair("descend_one_bit", Sizes(256, 64, 16384), descend),
    Pair("bit_gram", Sizes(1024, 1, 16384), bit_gram, goals(avx512=15, avx2=10)),
    Pair("bit_gram", Sizes(256, 1, 16384), bit_gram, goals(avx2=10)),
    Pair("bit_gram", Sizes(4096, 1, 4096), bit_gram, goals(avx2=6)),
    Pair("kernel", Sizes(512, 64, 16384), kernel, goals(avx512=8, avx2=6)),
)
