from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections import Counter
from typing import ClassVar

import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.nets.energy import ARMS, COSTS, Reading, Shape, count_operations, joules
from ntk1bit.nets.energy_published import SIZES

MACS = Reading(one_less=False)  # n additions to a sum of n terms


def total(counts, **equal):
    keep = np.logical_and.reduce([counts[name] == value for name, value in equal.items()])
    return int(counts.loc[keep, "count"].sum())


# --- a Transformer in plain loops that counts what it does: the reference of the exact counting


class Number:
    """A number that counts the additions and multiplications it takes part in, under the kind of layer at work."""

    kind = ""
    counts: ClassVar[Counter[tuple[str, str]]] = Counter()

    def __init__(self, value):
        self.value = value

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


def add_up(numbers):
    first, *rest = numbers
    for one in rest:
        first = first + one
    return first


def inner(left, right):
    return add_up([a * b for a, b in zip(left, right, strict=True)])


def norm(row):
    Number.kind = "norms"
    n = Number(float(len(row)))
    mean = add_up(row) / n
    centred = [one - mean for one in row]
    variance = add_up([one * one for one in centred]) / n
    root = (variance + Number(1e-5)).apply(lambda v: v**-0.5)
    return [one * root * ONE for one in centred]


def linear(kind, row, matrix, *, scaled, signs):
    Number.kind = "scales"
    factor = ONE
    if scaled:
        factor = Number(128.0) / Number(max(abs(one.value) for one in row) or 1.0)
        row = [one * factor for one in row]
        factor = Number(0.1) / factor  # beta gamma/Q_b
    Number.kind = kind
    if signs:
        out = [
            add_up([one if sign > 0 else Number(-one.value) for one, sign in zip(row, line, strict=True)])
            for line in matrix
        ]
    else:
        out = [inner(row, [Number(w) for w in line]) for line in matrix]
    if not (scaled or signs):
        return out
    Number.kind = "scales"
    return [one * factor for one in out]


def gelu(x):
    cube = x * x * x * Number(0.044715)
    return x * Number(0.5) * ((x + cube) * Number(math.sqrt(2 / math.pi))).apply(math.tanh).plus_one()


def _plus_one(self):
    return self + ONE


Number.plus_one = _plus_one  # pyright: ignore[reportAttributeAccessIssue]


def forward(shape, *, scaled, signs, seed=0):
    """Run a Transformer of this shape on made-up numbers and return the counts by kind and operation."""
    rng = np.random.default_rng(seed)
    d, t, heads = shape.width, shape.tokens, shape.heads
    size = d // heads
    Number.counts = Counter()

    def weights(n, p):
        return np.where(rng.standard_normal((p, n)) >= 0, 1.0, -1.0).tolist()

    def apply(kind, rows, n, p):
        matrix = weights(n, p)
        return [linear(kind, row, matrix, scaled=scaled, signs=signs) for row in rows]

    def plus(kind, left, right):
        Number.kind = kind
        return [[a + b for a, b in zip(x, y, strict=True)] for x, y in zip(left, right, strict=True)]

    def draw():
        return [[Number(v) for v in row] for row in rng.standard_normal((t, d)).tolist()]

    h = plus("embedding", draw(), draw()) if shape.vocabulary else draw()
    for _ in range(shape.layers):
        normed = [norm(row) for row in h]
        q, k, v = (apply("qkv", normed, d, d) for _ in range(3))
        gathered = [[] for _ in range(t)]
        for head, i in itertools.product(range(heads), range(t)):
            part = slice(head * size, (head + 1) * size)
            Number.kind = "attention scores"
            scores = [inner(q[i][part], k[j][part]) for j in range(t)]
            Number.kind = "softmax"
            scores = [one * Number(size**-0.5) for one in scores]
            top = max(scores, key=lambda one: one.value)
            powers = [(one - top).apply(math.exp) for one in scores]
            whole = add_up(powers)
            shares = [one / whole for one in powers]
            Number.kind = "attention values"
            gathered[i] += [inner(shares, [v[j][c] for j in range(t)]) for c in range(head * size, (head + 1) * size)]
        h = plus("residuals", h, apply("attention output", [norm(row) for row in gathered], d, d))
        up = apply("ff up", [norm(row) for row in h], d, shape.ff * d)
        Number.kind = "activation"
        hidden = [[gelu(one) for one in row] for row in up]
        h = plus("residuals", h, apply("ff down", [norm(row) for row in hidden], shape.ff * d, d))
    h = [norm(row) for row in h]
    Number.kind = "head"
    for row in h:
        for line in weights(d, shape.vocabulary):
            inner(row, [Number(w) for w in line])
    return Number.counts


@pytest.mark.parametrize(
    "shape",
    [
        Shape(1, 1, 1),
        Shape(1, 2, 3, vocabulary=5),
        Shape(2, 6, 4, heads=3, ff=1, vocabulary=1),
        Shape(1, 4, 5, heads=2, ff=3),
    ],
)
@pytest.mark.parametrize(
    ("arm", "scaled", "signs"),
    [("full32", False, False), ("bitnet", True, True), ("int8-absmax", True, False), ("sign-ptq", False, True)],
)
def test_exact_counting_is_what_a_transformer_in_plain_loops_does(shape, arm, scaled, signs):
    counts = count_operations(shape, arm, model="exact")
    told = Counter()
    for kind, operation, _, count in counts.itertuples(index=False):
        told[kind, operation] += count
    assert told == {key: n for key, n in forward(shape, scaled=scaled, signs=signs).items() if n}


def test_w23_counting_by_hand():
    counts = count_operations(Shape(2, 3, 5), "bitnet")  # d = 3, T = 5, hidden 12
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


@pytest.mark.parametrize("shape", [Shape(1, 1, 1), Shape(3, 7, 11), SIZES["125M"], SIZES["30B"]])
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
    counts = count_operations(Shape(1, 2, 2), "full16", reading=MACS)
    products = 12 * 4 * 2 + 2 * 4 * 2
    spent = joules(counts, "45nm")
    # the sums round once a kind: a few float epsilons
    assert spent.mul == pytest.approx(products * 1.1e-12, rel=1e-14)
    assert spent.add == pytest.approx(products * 0.4e-12, rel=1e-14)
    assert spent.total == spent.mul + spent.add


def test_costs_are_those_of_the_table():
    seven, older = COSTS["7nm"], COSTS["45nm"]
    assert [*seven["fp32"], *seven["fp16"], *seven["int8"]] == [0.38, 1.31, 0.16, 0.34, 0.007, 0.07]
    assert [*older["fp32"], *older["fp16"], *older["int8"]] == [0.9, 3.7, 0.4, 1.1, 0.03, 0.2]


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
        Shape(**settings)


@pytest.mark.parametrize(
    "shape",  # close to the limit: many weights, many short heads over many tokens
    [Shape(10_000, 2**17, tokens=2**10, vocabulary=10**5), Shape(1, 1024, tokens=22_000_000, heads=1024)],
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
    shape = Shape(1, 8)
    with pytest.raises(InputError, match="did you mean 'bitnet'"):
        count_operations(shape, "bitnett")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="model"):
        count_operations(shape, "bitnet", model="w24")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="node"):
        joules(count_operations(shape, "bitnet"), "3nm")  # pyright: ignore[reportArgumentType]
    for density in (0.0, -1.0, 1.5, math.nan):
        with pytest.raises(InputError, match="density"):
            count_operations(shape, "b158", density=density)


def test_counting_needs_no_jax():
    program = "import sys, ntk1bit.nets.energy_published; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
