from __future__ import annotations

import importlib.metadata

import numpy as np
import pytest
from scipy import special

from ntk1bit.data import sphere_targets, target_functions, tasks
from ntk1bit.errors import InputError


@pytest.mark.parametrize("name", tasks.names())
def test_every_task_keeps_the_promises(name):
    task = tasks.load(name, n_train=60, n_test=40, seed=3)
    assert (task.x.shape, task.x_test.shape) == ((60, task.dim), (40, task.dim))
    assert task.x.dtype == task.y.dtype == np.float32
    together = np.concatenate([task.x, task.x_test]).astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)  # float32 coordinates
    assert (np.abs(together @ together.T) - np.eye(100)).max() < 1 - 1e-9  # no two parallel: disjoint, too
    again = tasks.load(name, n_train=60, n_test=40, seed=3)
    np.testing.assert_array_equal(task.x, again.x)
    np.testing.assert_array_equal(task.y_test, again.y_test)
    other = tasks.load(name, n_train=60, n_test=40, seed=4)
    assert not np.array_equal(task.y_test, other.y_test)
    assert "\n" not in tasks.describe(name)


@pytest.mark.parametrize("name", ["digits-raw", "f1", "f6", "sphere-linear", "sphere-teacher"])
def test_the_test_set_does_not_depend_on_n_train_and_training_sets_are_nested(name):
    small, large = (tasks.load(name, n_train=n, n_test=20) for n in (10, 30))
    np.testing.assert_array_equal(small.x_test, large.x_test)
    np.testing.assert_array_equal(small.y_test, large.y_test)
    np.testing.assert_array_equal(small.x, large.x[:10])
    np.testing.assert_array_equal(small.y, large.y[:10])


def test_digits_targets_are_parity_and_nearest_neighbours_agree():
    from sklearn.datasets import load_digits

    raw, label = load_digits(return_X_y=True)
    task = tasks.load("digits-raw", n_train=50, n_test=10)
    unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    row = (task.x @ unit.T.astype(np.float32)).argmax(axis=1)
    np.testing.assert_array_equal(task.y, np.where(label[row] % 2 == 0, 1, -1))


def test_centred_digits_are_better_conditioned_than_raw_ones():
    def condition(name):
        x = tasks.load(name, n_train=256, n_test=0).x.astype(np.float64)
        inner = np.clip(x @ x.T, -1, 1)
        eigenvalues = np.linalg.eigvalsh(inner * (np.pi - np.arccos(inner)) / (2 * np.pi))
        return eigenvalues[-1] / eigenvalues[0]

    assert condition("digits") < condition("digits-raw") / 3


def test_cube_functions_by_hand():
    one = np.array([[0.5, -0.25, 0.75, 0.1, 1.0]])
    f1 = np.exp(np.mean(np.sin(np.pi * one / 2) ** 2))
    assert target_functions.CUBE_FUNCTIONS["f1"].values(one)[0] == pytest.approx(f1, rel=1e-15)
    x = np.array([[0.5, 0.5, -0.5, 0.25]])
    expected = {
        "f2": np.log(1.5) + (0.25 - 0.5) + np.sin(-0.5) - np.exp(0.25),
        "f4": 0.5 * np.sin(0.5) + np.cos(-0.5) - 0.125,
        "f5": 0.25 / 1.5 - np.exp(-0.5) + np.tanh(0.25) + 0.5,
        "f6": special.lambertw(0.25).real - 0.5 / np.log(1 + np.exp(0.25)) - np.sqrt(np.pi) / 1.5,
    }
    for name, value in expected.items():
        assert target_functions.CUBE_FUNCTIONS[name].values(x)[0] == pytest.approx(value, rel=1e-14)
    assert target_functions.CUBE_FUNCTIONS["f3"].values(x[:, :3])[0] == 0.5 * 0.5 + 0.5


@pytest.mark.parametrize("name", target_functions.CUBE_FUNCTIONS)
def test_cube_functions_stay_within_their_bounds(name):
    cube = target_functions.CUBE_FUNCTIONS[name]
    points, _ = target_functions.cube_points(cube, 20_000, np.random.default_rng(0))
    corners = np.array(np.meshgrid(*[[-1.0, 1.0]] * cube.arity)).reshape(cube.arity, -1).T
    if cube.defined is not None:
        corners = corners[cube.defined(corners)]
    values = cube.values(np.concatenate([points, corners]))
    assert np.abs(values).max() <= cube.bound * (1 + 1e-15)


def test_f6_is_drawn_only_where_it_is_defined():
    cube = target_functions.CUBE_FUNCTIONS["f6"]
    points, rejected = target_functions.cube_points(cube, 5_000, np.random.default_rng(0))
    assert points.shape == (5_000, 4)
    assert (points[:, 0] * points[:, 1] >= -1 / np.e).all()
    assert (np.abs(special.gamma(points[:, 1])) <= target_functions.LARGEST_GAMMA).all()
    assert 0.1 < rejected < 0.5
    assert any("made again" in note for note in tasks.load("f6").notes)


@pytest.mark.parametrize("name", target_functions.CURVE_FUNCTIONS)
def test_curves_stay_within_their_bounds_and_train_evenly(name):
    curve = target_functions.CURVE_FUNCTIONS[name]
    assert np.abs(curve.values(np.linspace(-np.pi, np.pi, 100_001))).max() <= curve.bound
    task = tasks.load(name, n_train=9, n_test=5, dim=2)
    points = task.x[:, 0] / task.x[:, 1]
    np.testing.assert_allclose(points, np.linspace(-np.pi, np.pi, 9), atol=1e-5)  # float32 ratio of coordinates
    np.testing.assert_allclose(task.y, curve.values(np.linspace(-np.pi, np.pi, 9)) / curve.bound, atol=1e-6)
    assert any("lossless" in note for note in task.notes)


def test_the_feature_lift_has_unit_norm_and_keeps_points_apart():
    lifted = target_functions.curve_lift(np.linspace(-np.pi, np.pi, 100), 17) / np.sqrt(9)
    np.testing.assert_allclose(np.linalg.norm(lifted, axis=1), 1, rtol=1e-14)
    assert len(np.unique(lifted.round(6), axis=0)) == 100


@pytest.mark.parametrize("name", sphere_targets.SPHERE_TARGETS)
@pytest.mark.parametrize("dim", [2, 3, 100])
def test_sphere_targets_stay_within_one(name, dim):
    rng = np.random.default_rng(0)
    values = sphere_targets.SPHERE_TARGETS[name].draw(dim, rng)(sphere_targets.sphere_points(5_000, dim, rng))
    assert np.abs(values).max() <= 1 + 1e-12
    assert tasks.load(name, n_train=8, n_test=4, dim=dim).dim == dim


def test_names_and_options_that_do_not_exist():
    for options, message in [
        ({"name": "digit"}, "did you mean 'digits'"),
        ({"name": "digits", "dim": 8}, "dimension of its own"),
        ({"name": "sphere-linear", "dim": 1}, "dim >= 2"),
        ({"name": "bessel", "dim": 4}, "odd dim"),
        ({"name": "digits", "n_train": 5_000}, "at most 1797"),
        ({"name": "digits", "n_train": 0}, "at least 1"),
        ({"name": "digits", "seed": -1}, "non-negative"),
        ({"name": "sphere-linear", "n_train": 10**12}, "too many"),
        ({"name": "sphere-linear", "n_train": 10**7}, "too many"),  # of 32 numbers each
    ]:
        with pytest.raises(InputError, match=message):
            tasks.load(**options)


def test_mnist_without_its_package_says_how_to_get_it(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(InputError, match=r"pip install 'ntk1bit\[data\]'"):
        tasks.load("mnist5k")


def test_mnist_is_what_it_says():
    task = tasks.load("mnist5k", n_train=2_000, n_test=1_000)
    assert task.dim == 784
    assert abs(float(task.y.mean())) < 0.1  # parity of digits is balanced within 4 standard errors of 1/sqrt(2000)
