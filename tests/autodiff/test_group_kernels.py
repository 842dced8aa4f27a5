from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from ntk1bit.autodiff import examination, module_ntk, ntk, programs
from ntk1bit.autodiff.frameworks import jax_calls
from ntk1bit.autodiff.group_kernels import ALL, GroupKernels, layer_groups
from ntk1bit.autodiff.missing_gradients.gradient_paths import MissingGradientWarning
from ntk1bit.errors import InputError

X = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)
CLOSE = 1e-5  # float32 sums of some hundred products in another order


def f(p, x):
    hidden = jnp.tanh(x @ p["blocks"][0]["w"] + p["blocks"][0]["b"])
    return jnp.tanh(hidden @ p["blocks"][1]["w"]) @ p["head"]


def params(seed=1):
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    return {"blocks": [{"w": draw(3, 6), "b": draw(6)}, {"w": draw(6, 5)}], "head": draw(5, 2)}


def by_hand(p, names):
    """The mean over outputs of J J^T by the plain Jacobian of all of x, of some leaves."""
    jacobian = jax.jacrev(f)(p, X)
    leaves = jax.tree_util.tree_flatten_with_path(jacobian)[0]
    kernel = np.zeros((len(X), len(X)))
    for path, leaf in leaves:
        if jax.tree_util.keystr(path) in names:
            flat = np.asarray(leaf, np.float64).reshape(len(X), -1)
            kernel += flat @ flat.T / 2
    return kernel


BLOCK_0, BLOCK_1, HEAD = ("['blocks'][0]['w']", "['blocks'][0]['b']"), ("['blocks'][1]['w']",), ("['head']",)


def test_each_group_has_the_kernel_of_its_jacobian():
    watched = GroupKernels(f, X)
    for seed in (1, 2):
        found = watched.at(params(seed))
        assert [*found] == [ALL, "blocks/0", "blocks/1", "head"]
        expected = dict(zip(found, (BLOCK_0 + BLOCK_1 + HEAD, BLOCK_0, BLOCK_1, HEAD), strict=True))
        for name, kernel in found.items():
            np.testing.assert_allclose(kernel, by_hand(params(seed), expected[name]), rtol=CLOSE, atol=CLOSE)
            assert np.array_equal(kernel, kernel.T)
        np.testing.assert_allclose(found[ALL], ntk(f, params(seed), X), rtol=CLOSE, atol=CLOSE)
    assert watched.sizes == {ALL: 64, "blocks/0": 24, "blocks/1": 30, "head": 10}


def test_groups_may_overlap_and_leave_parameters_out():
    groups = {"weights": "**/w", "first": ["blocks/0/*"], "biases": lambda path: path.endswith("/b")}
    watched = GroupKernels(f, X, groups=groups)
    found = watched.at(params())
    for name, held in (
        ("weights", (BLOCK_0[0], *BLOCK_1)), ("first", BLOCK_0), ("biases", BLOCK_0[1:]),
        (ALL, BLOCK_0 + BLOCK_1 + HEAD),
    ):  # fmt: skip
        np.testing.assert_allclose(found[name], by_hand(params(), held), rtol=CLOSE, atol=CLOSE)
    assert watched.left_out == ("head",)
    some = GroupKernels(f, X, parameters="blocks/**").at(params())
    assert [*some] == [ALL, "blocks/0", "blocks/1"]
    np.testing.assert_allclose(some[ALL], by_hand(params(), BLOCK_0 + BLOCK_1), rtol=CLOSE, atol=CLOSE)


def test_blocks_under_a_small_budget_give_the_same():
    whole = GroupKernels(f, X).at(params())
    with pytest.warns(UserWarning, match="memory_budget"):
        pieces = GroupKernels(f, X, memory_budget=1).at(params())
    for name, kernel in whole.items():
        np.testing.assert_allclose(pieces[name], kernel, rtol=CLOSE, atol=CLOSE)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["layers/0/weight", "layers/0/bias", "layers/1/weight"], ["layers/0", "layers/1"]),
        (["blocks/0/q", "blocks/1/q", "embed/w", "head"], ["blocks/0", "blocks/1", "embed", "head"]),
        (["0/weight", "0/bias", "2/weight"], ["0", "2"]),
        (["0/0", "0/1", "1/0"], ["0", "1"]),
        (["a[0]/w", "b*/w"], ["a[0]", "b*"]),
        (["mlp/~/linear_0/w", "mlp/~/linear_1/w"], ["mlp/~/linear_0", "mlp/~/linear_1"]),
        ([""], []),
        (["w"], []),
    ],
)
def test_layers_are_told_by_where_paths_differ(paths, expected):
    found = layer_groups(paths)
    assert [*found] == expected
    assert sorted(sum(found.values(), ())) == (sorted(paths) if expected else [])


def test_paths_that_look_like_patterns_are_names():
    def g(p, x):
        return x @ p["a[0]"] + x @ p["b*"]

    found = GroupKernels(g, X).at({"a[0]": np.ones(3), "b*": np.ones(3)})
    assert [*found] == [ALL, "a[0]", "b*"]
    np.testing.assert_allclose(found["b*"], X @ X.T, rtol=CLOSE, atol=CLOSE)


class Nnx(nnx.Module):
    def __init__(self):
        self.hidden = nnx.Linear(3, 5, rngs=nnx.Rngs(0))
        self.head = nnx.Linear(5, 2, rngs=nnx.Rngs(1))

    def __call__(self, x):
        return self.head(nnx.tanh(self.hidden(x)))


def test_networks_of_libraries_are_followed():
    watched = GroupKernels(eqx.nn.MLP(3, 2, 5, 1, key=jax.random.key(0)), X)
    for seed in (1, 2):
        module = eqx.nn.MLP(3, 2, 5, 1, key=jax.random.key(seed))
        found = watched.at(module)
        assert [*found] == [ALL, "layers/0", "layers/1"]
        for name, pattern in ((ALL, "**"), ("layers/1", "layers/1/*")):
            expected = module_ntk(module, X, parameters=pattern)
            np.testing.assert_allclose(found[name], expected, rtol=CLOSE, atol=CLOSE)
    model = Nnx()
    watched = GroupKernels(model, X)
    for factor in (1.0, 1.5):  # changed in place
        model.head.kernel[...] = model.head.kernel[...] * factor
        found = watched.at(model)
        np.testing.assert_allclose(found["hidden"], module_ntk(model, X, parameters="hidden/*"), rtol=CLOSE, atol=CLOSE)
    dense = linen.Dense(2)
    variables = dense.init(jax.random.key(0), X)
    np.testing.assert_allclose(
        GroupKernels(dense, X).at(variables)["kernel"], X @ X.T, rtol=CLOSE, atol=CLOSE
    )  # J is x for each output


def test_a_program_is_checked_and_compiled_once(monkeypatch):
    calls = {"gradients": 0, "calls tried": 0, "made": 0}

    def counting(home, attribute, what):
        real = getattr(home, attribute)

        def counted(*args, **named):
            calls[what] += 1
            return real(*args, **named)

        monkeypatch.setattr(home, attribute, counted)

    counting(examination, "missing_gradients_of", "gradients")
    counting(jax_calls, "_tried", "calls tried")
    scale = {"by": 1.25}

    def g(p, x):
        return scale["by"] * f(p, x)

    watched = GroupKernels(g, X)
    watched.at(params(1))
    first, kept = dict(calls), len(programs._kept)
    assert first["gradients"] == 1
    watched.at(params(2))
    assert calls == first
    assert len(programs._kept) == kept
    scale["by"] = 2.5  # another program
    found = watched.at(params(2))
    assert calls["gradients"] == 2
    np.testing.assert_allclose(found[ALL], 2.5**2 * ntk(f, params(2), X), rtol=CLOSE, atol=CLOSE)


def test_gradients_that_are_missing_are_told_of_once(recwarn):
    def bare(p, x):
        return x @ (jnp.sign(p["w"]) + p["w"]) + x @ p["v"]

    watched = GroupKernels(bare, X)
    for seed in (0, 1, 2):
        rng = np.random.default_rng(seed)
        watched.at({"w": rng.standard_normal(3), "v": rng.standard_normal(3)})
    assert [one.category for one in recwarn] == [MissingGradientWarning]


def unusable() -> Any:
    return ["blocks/**"]


def test_mistakes_are_told():
    with pytest.raises(InputError, match="fits no array"):
        GroupKernels(f, X, groups={"a": "block/**"}).at(params())
    with pytest.raises(InputError, match="group 'a' holds no parameter"):
        GroupKernels(f, X, groups={"a": lambda path: False}).at(params())
    with pytest.raises(InputError, match="name the groups"):
        GroupKernels(lambda p, x: x @ p["all"] + p["b"], X).at({"all": np.ones(3), "b": np.ones(1)})
    with pytest.raises(InputError, match="must be a mapping"):
        GroupKernels(f, X, groups=unusable())
    with pytest.raises(InputError, match="zero"):
        GroupKernels(lambda p, x: jnp.sign(x @ p["w"]), X).at({"w": np.ones(3)})
    with pytest.raises(InputError, match="give the network itself"):
        GroupKernels(eqx.nn.MLP(3, 2, 5, 1, key=jax.random.key(0)), X).at({"w": 1})
    watched = GroupKernels(f, X)
    watched.at(params())
    with pytest.raises(InputError, match="diverged"):
        watched.at(jax.tree.map(lambda leaf: leaf * np.nan, params()))
    with pytest.raises(InputError, match="mixes the rows"):
        GroupKernels(lambda p, x: (x - x.mean(axis=0)) @ p["w"], X).at({"w": np.ones(3)})
