from __future__ import annotations

import jax
import numpy as np
import pytest

from ntk1bit.autodiff import ntk, step_ratios
from ntk1bit.autodiff.parameters import as_traced, chooser, fits, is_float_array, path_name
from ntk1bit.errors import InputError

PATHS = ["blocks/0/attention/query/weight", "blocks/1/attention/out/bias", "blocks/1/mlp/weight", "head/weight"]


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [
        ("blocks/*/attention/**", PATHS[:2]),
        ("**/weight", [PATHS[0], *PATHS[2:]]),
        ("blocks/1/**", PATHS[1:3]),
        ("head/weight", PATHS[3:]),
        ("**", PATHS),
        ("*/weight", PATHS[3:]),
        ("blocks/[01]/mlp/w*", PATHS[2:3]),
        (["head/*", "**/bias"], [PATHS[1], PATHS[3]]),
        (("head/*",), PATHS[3:]),
        (lambda path: "mlp" in path, PATHS[2:3]),
        (None, PATHS),
    ],
)
def test_patterns_choose_whole_paths_step_by_step(pattern, chosen):
    choose = chooser(pattern, PATHS)
    assert [path for path in PATHS if choose(path)] == chosen


def test_a_double_star_stands_for_no_step_too_and_a_star_for_exactly_one():
    assert fits("a/b", "a/**/b")
    assert fits("a/x/y/b", "a/**/b")
    assert fits("a", "a/**")
    assert not fits("a/x/b", "a/b")
    assert not fits("a/x/y/b", "a/*/b")
    assert not fits("A/b", "a/b")


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("head", r"fits no array of floats \(did you mean 'head/\*\*'\?\)"),
        ("head/wieght", r"did you mean 'head/weight'"),
        (["head/*", "tail/*"], r"'tail/\*' fits no array of floats; there are: blocks/0"),
        ([], "must be a pattern of paths"),
        ([1], "must be a pattern of paths"),
        (7, "must be a pattern of paths"),
    ],
)
def test_what_fits_nothing_is_said(pattern, message):
    with pytest.raises(InputError, match=message):
        chooser(pattern, PATHS)


def test_ntk_and_step_ratios_take_patterns():
    rng = np.random.default_rng(0)
    params = {"first": {"w": rng.standard_normal((3, 4))}, "second": {"w": rng.standard_normal((4, 2))}}
    x = rng.standard_normal((5, 3)).astype(np.float32)

    def f(p, x):
        return jax.numpy.tanh(x @ p["first"]["w"]) @ p["second"]["w"]

    found = ntk(f, params, x, parameters="first/*")
    assert np.array_equal(found, ntk(f, params, x, parameters=lambda path: path == "first/w"))
    assert set(step_ratios(f, params, x, np.ones((5, 2)), parameters=["second/**"])) == {"second/w"}


def test_names_and_kinds_of_leaves():
    leaves, _ = jax.tree_util.tree_flatten_with_path({"a": [np.ones(2), np.ones(2, int), "text", np.array("text")]})
    assert [path_name(path) for path, _ in leaves] == ["a/0", "a/1", "a/2", "a/3"]
    assert [is_float_array(leaf) for _, leaf in leaves] == [True, False, False, False]
    tree = as_traced([np.ones(2), np.array("text"), 3])
    assert [isinstance(leaf, jax.Array) for leaf in tree] == [True, False, False]
