from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections import Counter
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import Literal

from ntk1bit.energy.counting import ARMS, ForwardPass, Reading, count_operations, joules
from ntk1bit.energy.published import SIZES
from ntk1bit.errors import InputError
from ntk1bit.networks import transformer, transformer_shape
from ntk1bit.networks.bitlinear import quantized_factors
from ntk1bit.networks.bitlinear_form import ROUNDED
from ntk1bit.networks.straight_through import absmax_integers

MACS = Reading(one_less=False)  # n additions to a sum of n terms


def total(counts, **equal):
    keep = np.logical_and.reduce([counts[name] == value for name, value in equal.items()])
    return int(counts.loc[keep, "count"].sum())


# --- the Transformer that is trained, in plain loops that count what they do: the reference of the exact counting


class Number:
    """A number that counts the additions and multiplications it takes part in, under the kind of layer at work."""

    kind = ""
    counts: ClassVar[Counter[tuple[str, str]]] = Counter()

    def __init__(self, value):
        self.value = float(value)

    def _done(self, operation, value):
        Number.counts[Number.kind, operation] += 1
        return Number(value)

    def __add__(self, other):
        return self._done("add", self.value + other.value)

    def __sub__(self, other):
        return self._done("add", self.value - other.value)

    def __mul__(self, other):
        return self._done("mul", self.value * other.value)

    def __truediv__(self, other):
        return self._done("mul", self.value / other.value)

    def apply(self, function):
        return self._done("mul", function(self.value))


ONE = Number(1.0)


def numbers(values):
    return [Number(one) for one in np.asarray(values, np.float64)]


def add_up(terms):
    first, *rest = terms
    for one in rest:
        first = first + one
    return first


def inner(left, right):
    return add_up([a * b for a, b in zip(left, right, strict=True)])


def plus(left, right):
    Number.kind = "residuals"
    return [[a + b for a, b in zip(x, y, strict=True)] for x, y in zip(left, right, strict=True)]


def norm(layer, row):
    Number.kind = "norms"
    n = Number(len(row))
    mean = add_up(row) / n
    centred = [one - mean for one in row]
    variance = add_up([one * one for one in centred]) / n
    root = (variance + Number(1e-5)).apply(lambda v: v**-0.5)
    return [one * root * gain for one, gain in zip(centred, numbers(layer.gain), strict=True)]


def whole_weights(layer):
    """Return a layer's weights as inference uses them: whole numbers, and what they are times (one, or one a row)."""
    if layer.arm == "int8-absmax":
        levels, largest, top = absmax_integers(layer.weight)
        return np.asarray(levels), numbers(np.asarray(largest)[:, 0] / top)
    used = np.asarray(quantized_factors(jnp.zeros((1, layer.weight.shape[1])), layer.weight, arm=layer.arm)[1])
    if layer.arm in ("full", "fp16"):
        return used, []
    scales = np.abs(used).max(axis=1) if layer.arm == "sign-ptq" else np.abs(used).max(keepdims=True)[0]
    return np.rint(used / (scales[:, None] if layer.arm == "sign-ptq" else scales)), numbers(scales)


def linear(kind, layer, rows):
    matrix, scales = whole_weights(layer)
    multiplied = [numbers(line) for line in matrix]
    out = []
    for row in rows:
        factors = scales
        if layer.arm in ("bitnet", "b158", "int8-absmax"):
            Number.kind = "scales"
            factor = Number(128.0) / Number(max(abs(one.value) for one in row))
            row = [Number(np.clip(np.rint((one * factor).value), -127, 127)) for one in row]
            factors = [one / factor for one in scales]  # beta gamma/Q_b
        if layer.arm == "fp16":
            row = [Number(np.float16(one.value)) for one in row]
        Number.kind = kind
        if layer.arm in ("full", "fp16", "int8-absmax"):
            sums = [inner(row, line) for line in multiplied]
        else:  # weights are -1, 0 or 1: nothing is multiplied
            sums = [add_up([Number(w * one.value) for one, w in zip(row, line, strict=True)]) for line in matrix]
        Number.kind = "scales"
        out.append([one * f for one, f in zip(sums, itertools.cycle(factors), strict=False)] if factors else sums)
    return out


def rotated(row, position):
    Number.kind = "rotation"
    half = len(row) // 2
    angles = position * 10_000.0 ** (-np.arange(half) / half)
    turns = list(zip(row[:half], row[half:], numbers(np.cos(angles)), numbers(np.sin(angles)), strict=True))
    return [x * c - y * s for x, y, c, s in turns] + [x * s + y * c for x, y, c, s in turns]


def activated(x, activation):
    Number.kind = "activation"
    if activation == "squared-relu":
        x = Number(max(x.value, 0.0))
        return x * x
    cube = x * x * x * Number(0.044715)
    return x * Number(0.5) * (((x + cube) * Number(math.sqrt(2 / math.pi))).apply(math.tanh) + ONE)


def attended(block, rows):
    """Return what attention gathers; masked scores are computed too, and their shares are 0."""
    t, heads = len(rows), block.heads
    q, k, v = (linear("qkv", layer, rows) for layer in (block.query, block.key, block.value))
    size = len(q[0]) // heads
    parts = [slice(head * size, (head + 1) * size) for head in range(heads)]
    q, k = ([[rotated(row[part], at) for part in parts] for at, row in enumerate(side)] for side in (q, k))
    gathered = [[] for _ in range(t)]
    for head, i in itertools.product(range(heads), range(t)):
        Number.kind = "attention scores"
        scores = [inner(q[i][head], k[j][head]) for j in range(t)]
        Number.kind = "softmax"
        scores = [one * Number(size**-0.5) for one in scores]
        scores = [one if j <= i else Number(-math.inf) for j, one in enumerate(scores)]
        top = max(scores, key=lambda one: one.value)
        powers = [(one - top).apply(math.exp) for one in scores]
        whole = add_up(powers)
        shares = [one / whole for one in powers]
        Number.kind = "attention values"
        gathered[i] += [inner(shares, [v[j][c] for j in range(t)]) for c in range(parts[head].start, parts[head].stop)]
    return gathered


def forward(model, tokens):
    """Run a network on a text; return its logits, and the counts by kind and operation."""
    Number.counts = Counter()
    h = [numbers(model.embedding[token]) for token in tokens]
    for block in model.blocks:
        gathered = attended(block, [norm(block.attention_norm, row) for row in h])
        h = plus(h, linear("attention output", block.output, [norm(block.attention_sub_norm, row) for row in gathered]))
        up = linear("ff up", block.up, [norm(block.feed_norm, row) for row in h])
        hidden = [[activated(one, block.activation) for one in row] for row in up]
        h = plus(h, linear("ff down", block.down, [norm(block.feed_sub_norm, row) for row in hidden]))
    h = [norm(model.norm, row) for row in h]
    Number.kind = "head"
    head = model.embedding if model.head is None else model.head
    return [[inner(row, numbers(line)).value for line in head] for row in h], Number.counts


def told(shape, arm, **settings):
    """Return the exact counts by kind and operation."""
    found = Counter()
    for kind, operation, _, count in count_operations(shape, arm, model="exact", **settings).itertuples(index=False):
        found[kind, operation] += count
    return found


def built(shape, arm):
    """Return the network that `shape` counts."""
    made = transformer_shape.Shape(
        shape.layers, shape.width, shape.heads, shape.vocabulary, shape.tokens, shape.activation, shape.tied
    )
    return transformer.transformer(made, arm=arm, seed=1, form=ROUNDED)  # whose inputs are integers of 8 bits


# Those of W23's Table 4 are counted as the arm with their linear layers and SubLN.
COUNTED_ARMS = [
    arm for arm in transformer_shape.ARMS if not arm.endswith(transformer_shape.PRE_LN) and arm != "elastic"
]


@pytest.mark.parametrize(
    ("shape", "arm"),
    [
        *((ForwardPass(2, 6, 5, vocabulary=7, heads=3), arm) for arm in COUNTED_ARMS),
        (ForwardPass(1, 4, 3, vocabulary=3, tied=False, activation="squared-relu"), "bitnet"),
    ],
)
def test_exact_counting_is_what_the_trained_network_does(shape, arm):
    model = built(shape, arm)
    tokens = np.random.default_rng(0).integers(0, shape.vocabulary, shape.tokens)
    logits, counts = forward(model, tokens)
    # the loops compute what the network computes, but for its float32; levels that are no ties round alike
    found = eqx.filter_jit(model)(jnp.asarray(tokens[None]))[0]
    np.testing.assert_allclose(logits, found, rtol=0, atol=1e-4 * np.abs(logits).max())
    name = {"full": "full32", "fp16": "full16"}.get(arm, arm)
    assert told(shape, name, density=1.0) == {key: n for key, n in counts.items() if n}


# --- the program of the forward pass, which counts networks too large for plain loops

NO_ARITHMETIC = {
    "broadcast_in_dim", "concatenate", "convert_element_type", "copy", "gather", "max", "reduce_max", "reshape",
    "select_n", "slice", "squeeze", "stop_gradient", "transpose",
}  # fmt: skip


def counted(program, live):
    """Count additions and multiplications of a program's floats that depend on its arguments.

    Parameters
    ----------
    program
        A jaxpr.
    live
        For each of its arguments, whether it depends on weights or tokens: what does not is a constant.

    Returns
    -------
    Counts by operation, and whether each output is live.
    """
    counts, alive = Counter(), {one for one, is_live in zip(program.invars, live, strict=True) if is_live}
    for equation in program.eqns:
        inputs = [not isinstance(one, Literal) and one in alive for one in equation.invars]
        name, out = equation.primitive.name, equation.outvars[0].aval
        inside = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
        if inside is not None:
            found, outputs = counted(inside.jaxpr, inputs)
            counts += found
            alive |= {one for one, is_live in zip(equation.outvars, outputs, strict=True) if is_live}
            continue
        if not any(inputs):
            continue
        alive |= set(equation.outvars)
        if not jnp.issubdtype(out.dtype, jnp.floating) or name in NO_ARITHMETIC:
            continue
        if name in ("add", "sub"):
            counts["add"] += out.size
        elif name in ("mul", "div", "exp", "tanh", "rsqrt", "square"):
            counts["mul"] += out.size
        elif name == "integer_pow":
            counts["mul"] += (equation.params["y"] - 1) * out.size
        elif name == "reduce_sum":
            counts["add"] += equation.invars[0].aval.size - out.size
        elif name == "dot_general":
            terms = math.prod(equation.invars[0].aval.shape[k] for k in equation.params["dimension_numbers"][0][0])
            counts += Counter(mul=terms * out.size, add=(terms - 1) * out.size)
        else:
            raise AssertionError(f"{name} is not known to this count")
    return counts, [not isinstance(one, Literal) and one in alive for one in program.outvars]


@pytest.mark.parametrize(
    "shape",
    [
        ForwardPass(3, 64, 64, vocabulary=88, heads=4),  # a network of the stored results
        ForwardPass(1, 16, 33, vocabulary=5, tied=False),
        ForwardPass(2, 20, 7, vocabulary=11, heads=5, activation="squared-relu"),
        ForwardPass(1, 2, 1, vocabulary=1),
    ],
)
def test_exact_counting_is_what_the_program_of_the_forward_pass_does(shape):
    arrays, rest = eqx.partition(built(shape, "full"), eqx.is_array)

    def run(arrays, tokens):
        return eqx.combine(arrays, rest)(tokens)

    program = jax.make_jaxpr(run)(arrays, jnp.zeros((1, shape.tokens), int)).jaxpr
    found = Counter()
    for (_, operation), count in told(shape, "full32").items():
        found[operation] += count
    assert found == counted(program, [True] * len(program.invars))[0]


def test_exact_counting_by_hand():
    """The rotation takes 4 T d multiplications and 2 T d additions a layer; embeddings are looked up."""
    found = told(ForwardPass(3, 64, 64, vocabulary=88, heads=4), "full16")
    assert found["rotation", "mul"] == 4 * 3 * 64 * 64
    assert found["rotation", "add"] == 2 * 3 * 64 * 64
    assert not any("embedding" in kind or "position" in kind for kind, _ in found)


def test_heads_that_cannot_be_rotated_are_refused():
    for shape in (ForwardPass(1, 1, 1), ForwardPass(2, 9, 4, heads=3)):
        assert len(count_operations(shape, "bitnet"))  # W23's counting knows no rotation
        with pytest.raises(InputError, match="even number of entries"):
            count_operations(shape, "bitnet", model="exact")


def test_w23_counting_by_hand():
    counts = count_operations(ForwardPass(2, 3, 5), "bitnet")  # d = 3, T = 5, hidden 12
    by_kind = {(kind, op, form): n for kind, op, form, n in counts.itertuples(index=False)}
    assert by_kind == {
        ("qkv", "add", "int8"): 2 * 5 * 2 * 9,
        ("attention scores", "mul", "fp16"): 2 * 25 * 3,
        ("attention scores", "add", "fp16"): 2 * 25 * 2,
        ("attention values", "mul", "fp16"): 2 * 25 * 3,
        ("attention values", "add", "fp16"): 2 * 5 * 4 * 3,
        ("attention output", "add", "int8"): 2 * 5 * 2 * 3,
        ("ff up", "add", "int8"): 2 * 5 * 2 * 12,
        ("ff down", "add", "int8"): 2 * 5 * 11 * 3,
        ("scales", "mul", "fp16"): 2 * 18 * 3 * 5,
    }


@pytest.mark.parametrize("shape", [ForwardPass(1, 1, 1), ForwardPass(3, 7, 11), SIZES["125M"], SIZES["30B"]])
def test_multiply_accumulates_follow_the_formulas(shape):
    linear = 12 * shape.layers * shape.width**2 * shape.tokens
    attention = 2 * shape.layers * shape.tokens**2 * shape.width
    for operation in ("add", "mul"):
        assert total(count_operations(shape, "full16", reading=MACS), operation=operation) == linear + attention
    bitnet = count_operations(shape, "bitnet", reading=MACS)
    assert total(bitnet, format="int8", operation="add") == linear
    assert total(bitnet, format="fp16", operation="add") == attention
    assert total(bitnet, operation="mul") == attention + 18 * shape.layers * shape.width * shape.tokens
    # W23's Eq. 16 takes one addition less for each sum: 9 d a token and layer in linear maps, T + d in attention
    less = shape.layers * shape.tokens * (9 * shape.width + shape.tokens + shape.width)
    assert total(count_operations(shape, "full16"), operation="add") == linear + attention - less


def test_every_arm_differs_where_it_should():
    shape = SIZES["125M"]
    made = {arm: count_operations(shape, arm, density=0.5) for arm in ARMS}
    linear = shape.parameters * shape.tokens
    assert set(made["full32"]["format"]) == {"fp32"}
    assert total(made["int8-absmax"], format="int8", operation="mul") == linear
    assert total(made["b158"], format="int8") * 2 == total(made["bitnet"], format="int8")
    assert total(made["sign-ptq"], format="int8") == 0
    # no inputs are scaled, only the nine outputs of width d
    assert total(made["sign-ptq"], kind="scales") * 2 == total(made["bitnet"], kind="scales")
    for arm in ("full32", "full16"):
        assert total(made[arm], kind="scales") == 0
    everything = count_operations(shape, "b158", density=1.0)
    assert everything.equals(made["bitnet"])


def test_wide_sums_change_formats_and_nothing_else():
    narrow = count_operations(SIZES["125M"], "bitnet", model="exact")
    wide = count_operations(SIZES["125M"], "bitnet", model="exact", wide=True)
    assert narrow["count"].tolist() == wide["count"].tolist()
    changed = wide.loc[narrow["format"] != wide["format"]]
    assert set(changed["format"]) == {"int32", "fp32"}
    assert set(changed["operation"]) == {"add"}
    assert "scales" not in set(changed["kind"])


def test_energy_is_counts_times_costs():
    counts = count_operations(ForwardPass(1, 2, 2), "full16", reading=MACS)
    products = 12 * 4 * 2 + 2 * 4 * 2
    spent = joules(counts, "45nm")
    # the sums round once a kind: a few float epsilons
    assert spent.mul == pytest.approx(products * 1.1e-12, rel=1e-14)
    assert spent.add == pytest.approx(products * 0.4e-12, rel=1e-14)
    assert spent.total == spent.mul + spent.add


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"layers": 0, "width": 8}, "layers of at least 1, got 0"),
        ({"layers": 1, "width": -8}, "width of at least 1, got -8"),
        ({"layers": 1, "width": 8, "tokens": 0}, "tokens of at least 1"),
        ({"layers": 1, "width": 8, "vocabulary": -1}, "vocabulary must be 0"),
        ({"layers": 1, "width": 10, "heads": 3}, "multiple of heads"),
        ({"layers": 10**9, "width": 10**9}, "more than 10\\^18 operations"),
        ({"layers": 1, "width": 1, "tokens": 10**10}, "more than 10\\^18 operations"),
        ({"layers": 1, "width": 1, "vocabulary": 10**18}, "more than 10\\^18 operations"),
    ],
)
def test_shapes_that_cannot_be_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        ForwardPass(**settings)


@pytest.mark.parametrize(
    "shape",  # close to the limit: many weights, many short heads over many tokens
    [ForwardPass(10_000, 2**17, tokens=2**10, vocabulary=10**5), ForwardPass(1, 1024, tokens=22_000_000, heads=512)],
)
def test_the_largest_shapes_are_counted_without_overflow(shape):
    for counts in (
        count_operations(shape, "full32"),
        count_operations(shape, "full32", model="exact"),
        count_operations(shape, "bitnet", model="exact"),
    ):
        assert min(counts["count"]) > 0
        assert sum(int(n) for n in counts["count"]) < 2**62


@pytest.mark.usefixtures("untyped")
def test_unknown_names_and_densities_are_refused():
    shape = ForwardPass(1, 8)
    with pytest.raises(InputError, match="did you mean 'bitnet'"):
        count_operations(shape, "bitnett")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="model"):
        count_operations(shape, "bitnet", model="w24")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="squared-relu"):
        ForwardPass(1, 8, activation="relu")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="node"):
        joules(count_operations(shape, "bitnet"), "3nm")  # pyright: ignore[reportArgumentType]
    for density in (0.0, -1.0, 1.5, math.nan):
        with pytest.raises(InputError, match="density"):
            count_operations(shape, "b158", density=density)


def test_counting_needs_no_jax():
    program = "import sys, ntk1bit.energy.published; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
