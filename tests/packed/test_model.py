"""Packed inference against the JAX model it was packed from, and every compiled step against its plain form."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit import cores
from ntk1bit.errors import InputError
from ntk1bit.networks import bitlinear
from ntk1bit.networks.bitlinear import LayerNorm
from ntk1bit.networks.bitlinear_form import ROUNDED
from ntk1bit.networks.straight_through import absmax_integers, tensor_wise
from ntk1bit.networks.transformer import Transformer, rotate, transformer
from ntk1bit.networks.transformer_shape import Shape
from ntk1bit.packed import attention as packed_attention
from ntk1bit.packed import model as packed
from ntk1bit.packed import rows as packed_rows
from ntk1bit.packed.export import pack

EPS = float(np.finfo(np.float32).eps)
# Levels are up to 127; a product's sum of up to 512 terms, its scale, a norm and an activation round by a few eps each,
# and XLA takes the sums in another order: some 30 eps of 127.
TIE = 127 * 32 * EPS
# Without a level rounded differently, logits differ by the rounding of sums of up to 512 float32 terms in each of 4
# layers: about sqrt(512) eps/2 a layer, and the same for rotation angles of up to 80, which are only good to 80 eps/2.
CLOSE = 1e-5
# A level that is a tie goes either way: one step of gamma/127 in one entry. That moves the levels after it, so rounding
# noise, 1/sqrt(12) of a step in every entry, is the most that can differ: 1/(sqrt(12) 127) x gamma/rms (about 3) a
# projection, 0.7 % of the size of its output; sqrt(2 x 4 x 4) times that for both forwards of 4 layers is 4 %.
ROUNDED_DIFFERENTLY = 0.04

CASES = [
    (Shape(1, 34, 1, 88, 80, "gelu", True), 1, 7),
    (Shape(2, 32, 4, 88, 80, "squared-relu", True), 3, 1),
    (Shape(2, 36, 3, 61, 80, "gelu", False), 3, 64),
    (Shape(1, 48, 3, 88, 80, "squared-relu", False), 16, 7),
    (Shape(3, 96, 4, 88, 80, "gelu", False), 3, 65),
    (Shape(4, 128, 4, 88, 80, "gelu", True), 16, 64),
]


class Case(NamedTuple):
    shape: Shape
    model: Transformer
    tokens: np.ndarray
    expected: np.ndarray
    levels: list[np.ndarray]  # before rounding, of every projection that rounds its own input, (b, t, d)


def varied(shape: Shape, seed: int = 0) -> Transformer:
    """A Transformer whose norms have gains other than one."""
    rng = np.random.default_rng([seed, 1])

    def change(one: object) -> object:
        if isinstance(one, LayerNorm):
            return LayerNorm(jnp.asarray(rng.uniform(0.5, 1.5, one.gain.shape).astype(np.float32)))
        return one

    model = transformer(shape, arm="bitnet", seed=seed, form=ROUNDED)  # W23's form: test_export.py
    return jax.tree.map(change, model, is_leaf=lambda one: isinstance(one, LayerNorm))


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"d{case[0].width}-b{case[1]}-t{case[2]}")
def case(request: pytest.FixtureRequest) -> Case:
    shape, batch, time = request.param
    model = varied(shape)
    tokens = np.random.default_rng(3).integers(shape.vocabulary, size=(batch, time))
    found: list[Any] = []

    def recording(x, **options):
        q, gamma, top = absmax_integers(x)
        found.append(x * (top / gamma))
        return q * (gamma / top)

    def forward(model, tokens):
        found.clear()
        return model(tokens), tuple(found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bitlinear, "absmax", recording)
        logits, levels = jax.jit(forward)(model, tokens)
    kept = [np.asarray(one) for index, one in enumerate(levels) if index % 6 in (0, 3, 4, 5)]  # q, k, v share theirs
    return Case(shape, model, tokens, np.asarray(logits), kept)


def integers_of(levels):
    return np.clip(np.rint(levels), -127, 127)


def recorded(monkeypatch, model, tokens):
    """The logits of the packed model, and the integers before each product."""
    found = []
    normalize = packed_rows.normalize

    def recording(h, gain, **options):
        result = normalize(h, gain, **options)
        found.append(result.q)
        return result

    monkeypatch.setattr(packed_rows, "normalize", recording)
    return model.logits(tokens), found


def test_integers_and_logits_agree_with_jax_but_for_ties(case, monkeypatch):
    model = pack(case.model, case.shape)
    logits, found = recorded(monkeypatch, model, case.tokens)
    assert len(found) == len(case.levels) == 4 * case.shape.layers
    disturbed = np.zeros(case.tokens.shape, dtype=bool)  # positions that have seen a tie go the other way
    ties = 0
    for levels, q in zip(case.levels, found, strict=True):
        expected, ours = integers_of(levels), q.reshape(levels.shape).astype(np.float32)
        differ = (expected != ours) & ~disturbed[..., None]
        assert (np.abs(expected - ours)[differ] == 1).all()
        from_half = np.abs(np.abs(levels - np.floor(levels)) - 0.5)
        assert (from_half[differ] <= TIE).all()
        ties += int(differ.sum())
        disturbed |= np.logical_or.accumulate(differ.any(axis=-1), axis=1)
    # Levels are spread evenly between integers, so TIE x 2 of them are within it of a half.
    assert ties <= 5 + 2 * TIE * sum(levels.size for levels in case.levels)
    size = case.expected.std()
    assert not disturbed.all()
    np.testing.assert_allclose(logits[~disturbed], case.expected[~disturbed], rtol=0, atol=CLOSE * size)
    assert np.sqrt(np.mean((logits - case.expected) ** 2)) <= ROUNDED_DIFFERENTLY * size


def test_logits_agree_with_the_plain_form(case):
    model = pack(case.model, case.shape)
    logits, plain = model.logits(case.tokens), packed.logits_reference(model, case.tokens)
    assert logits.dtype == np.float32
    difference = np.abs(logits - plain)
    size = plain.std()
    # Ties disturb few positions (the test above counts them), so most are as close as float32 allows.
    assert np.median(difference) <= CLOSE * size
    assert np.sqrt(np.mean(difference**2)) <= ROUNDED_DIFFERENTLY * size


def test_reading_by_parts_gives_the_same_bits(case):
    model = pack(case.model, case.shape)
    whole = model.logits(case.tokens)
    time = case.tokens.shape[1]
    for first in {1, time // 2} - {0}:
        cache = model.start(len(case.tokens))
        parts = [model.prefill(cache, case.tokens[:, :first])]
        parts += [model.decode(cache, case.tokens[:, at])[:, None] for at in range(first, time)]
        assert cache.length == time
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_any_number_of_threads_and_backend_gives_the_same_bits(threads, case, monkeypatch):
    monkeypatch.setattr("ntk1bit.cores.threads._WORTH_SHARING_NS", 0)  # otherwise these would stay on one thread
    model = pack(case.model, case.shape)
    with cores.using(threads=1, backend="blas"):
        expected = model.logits(case.tokens)
    for backend in cores.available_backends():
        with cores.using(threads=threads, backend=backend):
            for _ in range(3):
                np.testing.assert_array_equal(model.logits(case.tokens), expected)


def test_signs_and_scales_are_those_of_the_quantiser(case):
    model = pack(case.model, case.shape)
    for block, ours in zip(case.model.blocks, model.blocks, strict=True):
        theirs = (block.query, block.key, block.value, block.output, block.up, block.down)
        for projection, (signs, beta) in zip(theirs, ours.projections(), strict=True):
            value = np.asarray(tensor_wise(projection.weight))
            np.testing.assert_array_equal(np.float32(beta) * cores.unpack_signs(signs), value)


def test_packed_projections_take_a_thirtieth_of_float32():
    shape = Shape(1, 1024, 16, 10, 8)
    model = pack(transformer(shape), shape)
    (block,) = model.blocks
    words = [block.attention, block.output.signs, block.up.signs, block.down.signs]
    assert model.packed_bytes == sum(signs.words.nbytes for signs in words) + 6 * 4
    assert model.float32_bytes == 4 * 12 * 1024**2
    assert 30 * model.packed_bytes <= model.float32_bytes


@pytest.mark.parametrize(("n", "d"), [(1, 1), (3, 33), (7, 64), (2, 1000), (40, 130)])
def test_norm_and_rounding(n, d):
    rng = np.random.default_rng([n, d])
    h = (rng.standard_normal((n, d)) * 3 + 1).astype(np.float32)
    gain = rng.uniform(-2, 2, d).astype(np.float32)
    ours, plain = packed_rows.normalize(h, gain), packed_rows.normalize_reference(h.astype(np.float64), gain)
    # Means of d terms round by sqrt(d) eps/2 or less, once for the mean and once for the variance; 8 eps for the rest.
    np.testing.assert_allclose(ours.gamma, plain.gamma, rtol=(8 + d**0.5) * EPS, atol=1e-5 * float(d == 1))
    levels = packed_rows.layer_norm(h.astype(np.float64), gain)
    levels *= 128 / np.where(plain.gamma > 0, plain.gamma, 1)[:, None]
    far = np.abs(np.abs(levels - np.floor(levels)) - 0.5) > 127 * (8 + d**0.5) * EPS
    assert far.mean() > 0.98
    np.testing.assert_array_equal(ours.q[far], plain.q[far])
    assert np.abs(ours.q.astype(int) - plain.q).max() <= 1


def test_halves_round_to_even_and_the_largest_is_clipped():
    # Mean 0 and variance 2^40, to which 1e-5 adds nothing: LayerNorm gives +-1 exactly, and 128/gamma is 1.
    h = np.tile(np.array([1, -1], np.float32), 4)[None] * np.float32(2**20)
    gain = np.array([128, 2.5, 3.5, 0.5, 1.5, -2.5, 0, 126.5], np.float32)
    q, gamma = packed_rows.normalize(h, gain)
    assert gamma.tolist() == [128]
    assert q.tolist() == [[127, -2, 4, 0, 2, 2, 0, -126]]
    assert q.tolist() == np.asarray(absmax_integers(jnp.asarray(np.sign(h) * gain))[0]).astype(int).tolist()


def test_rows_of_zeros_stay_zero_and_bad_rows_stay_alone():
    h = np.random.default_rng(0).standard_normal((5, 40)).astype(np.float32)
    clean = packed_rows.normalize(h, np.ones(40, np.float32))
    h[1] = 7.0
    h[2, 3] = np.nan
    h[3, 4] = np.inf
    q, gamma = packed_rows.normalize(h, np.ones(40, np.float32))
    assert not q[1:4].any()
    assert gamma[1] == 0
    assert np.isnan(gamma[2:4]).all()
    np.testing.assert_array_equal(q[[0, 4]], clean.q[[0, 4]])
    np.testing.assert_array_equal(gamma[[0, 4]], clean.gamma[[0, 4]])


@pytest.mark.parametrize("exponent", [-148, -140, -130, -120, -110, -60, 0, 60, 120])
def test_rounding_does_not_depend_on_the_size_of_a_row(exponent):
    """A gain that is a power of two changes gamma and no integer, down to the smallest floats."""
    h = np.random.default_rng(5).choice(np.array([1, -1, 3, -3, 0.5, 7], np.float32), (40, 33))
    gain = np.ones(33, np.float32)
    expected, found = packed_rows.normalize(h, gain), packed_rows.normalize(h, np.ldexp(gain, exponent))
    lost = np.ldexp(np.float64(1), -149 - exponent)  # half of it is what subnormal numbers round by, before the power
    assert (np.abs(np.ldexp(found.gamma.astype(float), -exponent) - expected.gamma) <= lost).all()
    if exponent >= -120:
        np.testing.assert_array_equal(found.q, expected.q)
    plain = packed_rows.normalize_reference(h.astype(np.float64), np.ldexp(gain.astype(np.float64), exponent))
    steps = np.abs(found.q.astype(int) - plain.q)
    assert steps.max() <= 1 + 256 * lost / expected.gamma.min()


def rescaled(sums, gamma, beta):
    """A product's output, beta gamma/128 times its sums, in float64."""
    return sums * (gamma.astype(np.float64) * beta / 128)[:, None]


@pytest.mark.parametrize("gelu", [True, False])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 33), (2, 512), (5, 1300)])
def test_activation(n, m, gelu):
    rng = np.random.default_rng(n)
    sums = rng.integers(-30_000, 30_000, (n, m)).astype(np.int32)
    gamma = np.linspace(1e-4, 1, n, dtype=np.float32)
    x = rescaled(sums, gamma, 0.25)
    ours = packed_rows.activate(sums, gamma, 0.25, gelu=gelu)
    plain = packed_rows.activate_reference(x, gelu=gelu)
    jax_form = (
        jax.nn.gelu(jnp.asarray(x, jnp.float32)) if gelu else jnp.square(jax.nn.relu(jnp.asarray(x, jnp.float32)))
    )
    # exp(-2u) with 2u rounded to eps: relative error 2|u| eps where it matters, which is below |u| = 8; 8 eps else.
    np.testing.assert_allclose(ours, plain, rtol=24 * EPS, atol=24 * EPS * 1e-2)
    np.testing.assert_allclose(ours, jax_form, rtol=48 * EPS, atol=48 * EPS)


def test_exponentials():
    @packed_rows.compiled
    def exponentials(row):
        packed_rows.exponential(row)

    x = np.linspace(-87, 88, 100_003, dtype=np.float32)
    row = x.copy()
    exponentials(row)
    np.testing.assert_allclose(row, np.exp(x.astype(np.float64)), rtol=2 * EPS)
    far = np.array([-np.inf, -1e30, -90], np.float32)
    exponentials(far)
    assert (far >= 0).all()
    assert (far < 1e-37).all()


@pytest.mark.parametrize(
    ("batch", "time", "heads", "size"), [(1, 1, 1, 2), (2, 7, 3, 6), (3, 65, 2, 10), (1, 33, 1, 34), (1, 130, 1, 4)]
)
def test_attention(batch, time, heads, size):
    rng = np.random.default_rng(time)
    width = heads * size
    padded = -(-width // 16) * 16
    sums = rng.integers(-900, 900, (batch, time, 3 * padded)).astype(np.int32)
    gamma = rng.uniform(0.5, 2, (batch, time)).astype(np.float32)
    scales = np.array([0.1, 0.2, 0.3], np.float32)
    rotary = packed_attention.rotary_table(time + 3, size // 2)
    keys, values = packed_attention.caches(batch, heads=heads, size=size, capacity=time + 2)
    keys[:], values[:] = np.nan, np.nan  # nothing beyond what is written may be read
    ours = packed_attention.attend(sums, gamma, scales, rotary, keys, values, 0)
    parts = sums.reshape(batch, time, 3, padded)[..., :width] * (gamma / 128)[..., None, None] * scales[:, None]
    q, k, v = (parts[:, :, i].astype(np.float64).reshape(batch, time, heads, size) for i in range(3))
    turned = packed_attention.rotate_reference(q, rotary), packed_attention.rotate_reference(k, rotary)
    plain = packed_attention.attend_reference(*turned, v)
    # Scores are sums of `size` products, up to a few hundred here; a softmax turns their rounding into relative error.
    largest = float(np.abs(np.einsum("bqhc,bkhc->bhqk", *turned)).max()) * size**-0.5
    np.testing.assert_allclose(ours, plain, rtol=0, atol=8 * EPS * max(1, largest) * np.abs(v).max())


def test_rotation_is_that_of_the_model():
    x = np.random.default_rng(0).standard_normal((2, 200, 3, 10)).astype(np.float32)
    ours = packed_attention.rotate_reference(x, packed_attention.rotary_table(200, 5))
    # Angles of up to 200, rounded to float32 twice on the way (the power, the product).
    np.testing.assert_allclose(ours, np.asarray(rotate(jnp.asarray(x))), rtol=0, atol=2 * 200 * EPS * np.abs(x).max())


def test_head_and_residual():
    rng = np.random.default_rng(1)
    h, gain = rng.standard_normal((5, 70)).astype(np.float32), rng.uniform(1, 2, 70).astype(np.float32)
    head = rng.standard_normal((9, 70)).astype(np.float32)
    plain = packed_rows.layer_norm(h.astype(np.float64), gain) @ head.T
    np.testing.assert_allclose(packed_rows.project(h, gain, head), plain, rtol=0, atol=70 * EPS * np.abs(plain).max())
    sums, gamma = rng.integers(-500, 500, (5, 70)).astype(np.int32), rng.uniform(1, 2, 5).astype(np.float32)
    expected = h + rescaled(sums, gamma, 0.5)
    packed_rows.add(h, sums, gamma, 0.5)
    np.testing.assert_allclose(h, expected, rtol=0, atol=4 * EPS * np.abs(expected).max())


@pytest.mark.usefixtures("untyped")
def test_wrong_tokens_are_refused_in_one_line():
    shape = Shape(1, 32, 2, 11, 8)
    model = pack(transformer(shape), shape)
    cache = model.start(2)
    model.prefill(cache, np.zeros((2, 7), int))
    full = model.start(1)
    model.prefill(full, np.zeros((1, 8), int))
    cases = [
        (lambda: model.logits(np.zeros((1, 9), int)), "at most 8 characters at once, got 9"),
        (lambda: model.logits(np.zeros(4, int)), "shape \\(b, t\\)"),
        (lambda: model.logits(np.zeros((1, 4))), "float64"),
        (lambda: model.logits(np.zeros((0, 4), int)), "at least one"),
        (lambda: model.logits(np.array([[3, 11]])), "0..10, .*got 11"),
        (lambda: model.logits(np.array([[-1, 3]])), "got -1"),
        (lambda: model.decode(cache, np.zeros(3, int)), "2 sequences are being read, got tokens for 3"),
        (
            lambda: model.prefill(cache, np.zeros((2, 2), int)),
            "full: 7 were read and 2 more",
        ),
        (lambda: model.decode(full, np.zeros(1, int)), "full"),
        (lambda: model.start(0), "at least one sequence"),
    ]
    for call, message in cases:
        with pytest.raises(InputError, match=message) as refusal:
            call()
        assert "\n" not in str(refusal.value)
    assert cache.length == 7
    model.decode(cache, np.zeros(2, int))


def test_what_is_not_finite_spoils_its_own_sequence_from_there_on():
    shape = Shape(2, 32, 2, 11, 8)
    model = pack(transformer(shape), shape)
    tokens = np.array([[1, 2, 3, 4], [5, 6, 7, 3], [1, 2, 5, 4]])
    clean = model.logits(tokens)
    embedding = model.embedding.copy()
    embedding[3, 5] = np.inf
    spoilt = dataclasses.replace(model, embedding=embedding).logits(tokens)
    seen = np.logical_or.accumulate(tokens == 3, axis=1)
    assert np.isnan(spoilt[seen]).all()
    np.testing.assert_array_equal(spoilt[~seen], clean[~seen])
