"""The watch of a kernel against kernels, norms and eigenvalues written out, over a training by hand."""

from __future__ import annotations

import weakref
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk1bit.autodiff import KernelWatch
from ntk1bit.autodiff.kernel_watch import COLUMNS, MEASURES
from ntk1bit.errors import InputError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((9, 3)).astype(np.float32)
Y = np.sign(X[:, 0]) + 0.5


def f(p, x):
    return jnp.tanh(x @ p["first"]) @ p["last"]


def start(zero_head=False):
    rng = np.random.default_rng(1)
    last = np.zeros(6, np.float32) if zero_head else rng.standard_normal(6).astype(np.float32)
    return {"first": rng.standard_normal((3, 6)).astype(np.float32), "last": last}


def kernels(p):
    """J J^T of each layer, J written out for one hidden layer of tanh."""
    w, a, x = (np.asarray(one, np.float64) for one in (p["first"], p["last"], X))
    h = np.tanh(x @ w)
    slopes = (1 - h**2) * a
    first, last = (slopes @ slopes.T) * (x @ x.T), h @ h.T
    return {"all": first + last, "first": first, "last": last}


def trained(steps, p):
    """Yield parameters after steps 0, 1, ... of gradient descent."""
    gradient = jax.grad(lambda p: jnp.mean((f(p, X) - Y) ** 2))
    for _ in range(steps):
        yield p
        p = jax.tree.map(lambda leaf, g: leaf - 0.1 * g, p, gradient(p))


def measures(k, k0, before, steps):
    values = np.linalg.eigvalsh(k)[::-1]
    share = values[values > 0] / values[values > 0].sum()
    last = np.linalg.norm(k - before) / np.linalg.norm(before) if steps else np.nan
    return dict(
        zip(
            MEASURES,
            (
                np.linalg.norm(k - k0) / np.linalg.norm(k0),
                last,
                last / steps if steps else np.nan,
                Y @ k @ Y / (Y @ Y * np.linalg.norm(k)),
                np.trace(k),
                values[0],
                np.exp(-(share * np.log(share)).sum()),
            ),
            strict=True,
        )
    )


def test_every_measure_is_that_of_the_kernels_written_out():
    watch, looked = KernelWatch(f, X, Y), {}
    for step, p in enumerate(trained(8, start())):
        if step in (0, 2, 3, 7):
            assert watch.update(p, step=step)
            looked[step] = kernels(p)
    frame = watch.frame()
    assert list(frame) == list(COLUMNS)
    assert len(frame) == 4 * 3
    before = None
    for step, at in looked.items():
        for name, k in at.items():
            (row,) = frame.loc[(frame["step"] == step) & (frame["layer"] == name)].to_dict("records")
            expected = measures(k, looked[0][name], k if before is None else looked[before][name], step - (before or 0))
            for measure, value in expected.items():
                # float32 kernels: 1e-6 of their size, and differences of two of them
                assert row[measure] == pytest.approx(value, rel=2e-4, abs=2e-6, nan_ok=True), (step, name, measure)
        before = step
    assert np.max(frame["drift"]) > 0.05  # it moves
    sizes = frame.loc[frame["step"] == 7].set_index("layer")["parameters"]
    assert sizes.to_dict() == {"all": 24, "first": 18, "last": 6}
    for name, (first, last) in watch.kernels.items():
        np.testing.assert_allclose(first, looked[0][name], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(last, looked[7][name], rtol=1e-5, atol=1e-5)
        with pytest.raises(ValueError, match="read-only"):
            last[0, 0] = 0


def test_targets_of_several_outputs_and_none():
    p = start() | {"last": np.random.default_rng(2).standard_normal((6, 2)).astype(np.float32)}
    y = np.stack([Y, X[:, 1]], axis=1)
    watch = KernelWatch(f, X, y)
    watch.update(p)
    k = np.asarray(watch.kernels["all"].first, np.float64)
    expected = np.sum(k * (y @ y.T)) / (np.linalg.norm(k) * np.linalg.norm(y @ y.T))
    assert watch.frame()["alignment"].tolist()[0] == pytest.approx(expected, rel=1e-6)  # the same float32 kernel
    without = KernelWatch(f, X)
    without.update(p)
    assert np.isnan(without.frame()["alignment"].to_numpy()).all()


def test_looks_are_some_steps_apart_and_only_they_cost_anything():
    def never(p, x):
        raise AssertionError

    watch = KernelWatch(f, X, Y, every=3)
    looked = [watch.update(p) for p in trained(8, start())]
    assert looked == [True, False, False] * 2 + [True, False]
    assert watch.frame()["step"].unique().tolist() == [0, 3, 6]
    watch._kernels._module = never
    assert watch.update(start(), step=8) is False
    assert watch.every == 3
    late = KernelWatch(f, X, Y, every=10)
    assert [late.update(start(), step=step) for step in (5, 14, 15)] == [True, False, True]


def test_of_the_kernels_the_first_and_the_last_alone_are_held():
    watch, held = KernelWatch(f, X), []
    for p in trained(4, start()):
        watch.update(p)
        held.append([weakref.ref(pair.last) for pair in watch.kernels.values()])
    alive = [[one() is not None for one in look] for look in held]
    assert alive == [[True] * 3, [False] * 3, [False] * 3, [True] * 3]


def test_a_layer_that_begins_at_zero_has_no_drift():
    watch = KernelWatch(f, X, Y)
    for p in trained(3, start(zero_head=True)):
        watch.update(p)
    first = watch.frame().set_index("layer").loc["first"]
    assert first["drift"].isna().all()
    assert np.isnan(first["alignment"].iloc[0])
    assert first["effective_rank"].iloc[0] == 0
    assert first["drift_last"].isna().tolist() == [True, True, False]
    assert first["effective_rank"].iloc[2] > 1
    assert np.isfinite(np.asarray(watch.frame().set_index("layer").loc["all", "drift"])).all()


def test_16_bits_are_judged_by_their_own_rounding():
    p = {name: jnp.asarray(leaf, jnp.bfloat16) for name, leaf in start().items()}
    watch = KernelWatch(f, X, Y)
    watch.update(p)
    assert watch.kernels["all"].first.dtype == np.float32
    # 8 bits of mantissa: the kernel is off by some 2^-8 of its size
    assert watch.frame()["trace"].tolist()[0] == pytest.approx(np.trace(kernels(p)["all"]), rel=0.03)


def test_it_is_described_in_a_few_lines():
    watch = KernelWatch(f, X, Y, groups={"hidden": "first"})
    assert repr(watch) == "KernelWatch(no look yet)"
    watch.update(start(), step=4)
    lines = repr(watch).splitlines()
    assert lines[0] == "KernelWatch(looks: 1, inputs: 9; after step 4, drift, alignment, effective rank:"
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["all", "hidden", "in no layer"]
    many = KernelWatch(lambda p, x: sum(x @ leaf for leaf in p), X)
    many.update([np.ones(3, np.float32)] * 12)
    assert len(repr(many).splitlines()) <= 10
    assert "7 layers more" in repr(many)


def unreadable() -> Any:
    return "targets"


@pytest.mark.usefixtures("untyped")
def test_mistakes_are_told_and_leave_the_looks_before():
    with pytest.raises(InputError, match="every must be a whole number"):
        KernelWatch(f, X, every=0)
    for y in (np.zeros(9), np.full(9, np.nan), np.ones((9, 1, 1)), unreadable()):
        with pytest.raises(InputError, match="y "):
            KernelWatch(f, X, y)
    with pytest.raises(InputError, match="y has 4 rows for 9 inputs"):
        KernelWatch(f, X, np.ones(4)).update(start())
    watch = KernelWatch(f, X, Y)
    watch.update(start(), step=3)
    before = watch.frame()
    with pytest.raises(InputError, match="step must be after the one before, 3, got 3"):
        watch.update(start(), step=3)
    with pytest.raises(InputError, match="diverged"):
        watch.update(jax.tree.map(lambda leaf: leaf * np.inf, start()))
    with pytest.raises(InputError, match=r"no longer those of the first look, all, first, last, but"):
        watch.update(start() | {"more": np.ones(2, np.float32)})
    assert watch.frame().equals(before)
    assert watch.update(start(), step=4)
    assert watch.frame()["drift"].iloc[-1] == 0
