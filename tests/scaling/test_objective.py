"""The compiled objective against the formula in natural units, and its gradient against differences."""

from __future__ import annotations

import numpy as np
import pytest

from ntk1bit.scaling import POSITIVE, REAL, Law, Parameter, get_law, law_names
from ntk1bit.scaling.objective import objective_and_gradient, objective_reference
from ntk1bit.scaling.solver import tape_inputs

EVERY_OPERATION = Law(
    name="every operation",
    formula=(
        "exp(-b*log(x)) + sqrt(A)/(1 + x/k) + min(A, x)*max(x, 2)**-c + A*(2 - p)*log(1 + x)/(k - 0.5)"
        " + (x - 0.1*k)*(x - 0.1*k)*0.01 + log(max(k, A)*min(k, 9)) + 1/(x + 1/x - 1)"
    ),
    variables=("x",),
    parameters=(
        Parameter("A", (1.7,), POSITIVE),
        Parameter("b", (0.6,), REAL),
        Parameter("k", (3.0,), (1.0, float("inf"))),
        Parameter("c", (0.9,), REAL),
        Parameter("p", (0.3,), (0.0, 1.0)),
    ),
)
LAWS = [*map(get_law, law_names()), EVERY_OPERATION]


def _case(law: Law, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    columns = np.exp(rng.uniform(0.0, 4.0, (len(law.variables), n)))
    loss = np.exp(rng.normal(0.0, 0.3, n))
    weight = rng.integers(0, 3, n).astype(np.float64)
    starts = law.starts(np.exp(rng.uniform(0.0, 4.0, (len(law.variables), 9))), np.exp(rng.normal(0.0, 0.3, 9)))
    return columns, loss, weight, starts[rng.integers(len(starts))] + rng.normal(0, 0.05, starts.shape[1])


def _compiled(law, columns, loss, weight, theta, delta, tilt):
    tape, n = law.tape, len(loss)
    rows = len(tape.inputs) + len(tape.vectors)
    registers = tape.parameters + len(tape.constants) + len(tape.scalars)
    work = (
        np.zeros(registers),
        np.zeros(registers),
        np.zeros((rows, n)),
        np.zeros((rows, n)),
        np.zeros((len(tape.vectors), n)),
        np.log(loss),
        weight.copy(),
    )
    work[2][: len(tape.inputs)] = tape_inputs(tape, columns)
    gradient = np.zeros(tape.parameters)
    return objective_and_gradient(tuple(tape), theta, work, delta, tilt, n, gradient), gradient


def _reference(law, columns, loss, weight, theta, delta, tilt):
    natural = dict(zip(law.parameter_names, law.natural(theta), strict=True))
    named = dict(zip(law.variables, columns, strict=True))
    return objective_reference(law.expression, natural, named, loss, weight, delta=delta, tilt=tilt)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
@pytest.mark.parametrize("n", [1, 7, 63, 64, 65])
def test_value_is_that_of_the_formula(law: Law, n: int) -> None:
    columns, loss, weight, theta = _case(law, n)
    value, _ = _compiled(law, columns, loss, weight, theta, 0.1, 0.3)
    # Log predictions of size about 10 carry rounding of 1e-15 each, times delta and weights of at most 2.
    assert value == pytest.approx(_reference(law, columns, loss, weight, theta, 0.1, 0.3), rel=1e-11, abs=1e-14 * n)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_gradient_is_that_of_the_formula(law: Law) -> None:
    columns, loss, weight, theta = _case(law, 65, seed=1)
    _, gradient = _compiled(law, columns, loss, weight, theta, 0.1, 0.3)
    step = 1e-5
    for j in range(len(theta)):
        move = np.zeros_like(theta)
        move[j] = step
        ends = [_reference(law, columns, loss, weight, theta + sign * move, 0.1, 0.3) for sign in (-1, 1)]
        difference = (ends[1] - ends[0]) / (2 * step)
        # Central differences: truncation step^2 times third derivatives, and jumps of the second derivative where a
        # point crosses delta, each at most step times a weight; rounding 1e-15 / step = 1e-10.
        assert gradient[j] == pytest.approx(difference, rel=2e-4, abs=2e-5)


def test_no_points_cost_nothing() -> None:
    law = get_law("power")
    empty = np.zeros(0)
    value, gradient = _compiled(law, np.zeros((1, 0)), empty, empty, np.zeros(2), 1e-3, 0.5)
    assert value == 0.0
    assert not gradient.any()


@pytest.mark.parametrize("theta", [[0.0, -np.inf], [np.inf, 0.0], [np.nan, 0.0], [1e308, -1e308]])
def test_undefined_points_are_infinite_with_zero_gradient(theta: list[float]) -> None:
    law = get_law("power")
    value, gradient = _compiled(law, np.array([[2.0, 3.0]]), np.ones(2), np.ones(2), np.array(theta), 1e-3, 0.5)
    assert value == np.inf
    assert not gradient.any()


@pytest.mark.parametrize("gap", [0.0, 1e-12, 0.3, 1.0, 30.0, 700.0, 720.0, 1e6, -1e-9, -5.0, -800.0])
def test_sums_in_the_log_domain_are_exact_over_the_whole_range(gap: float) -> None:
    law = Law("sum of two", "A + B*x", ("x",), (Parameter("A", (1.0,)), Parameter("B", (1.0,))))
    theta = np.array([0.25, 0.25 + gap])
    target = np.logaddexp(*theta)
    value, gradient = _compiled(law, np.ones((1, 1)), np.exp(np.zeros(1)), np.ones(1), theta, 1e9, 0.5)
    assert value == pytest.approx(0.5 * target**2, rel=1e-14)
    shares = np.exp(theta - target)
    np.testing.assert_allclose(gradient, target * shares, rtol=1e-13, atol=1e-300)  # shares end at e^-708


def test_huber_is_quadratic_inside_and_linear_outside() -> None:
    law = Law("constant", "A * x", ("x",), (Parameter("A", (1.0,)),))
    one = np.ones((1, 1))
    for r, expected in ((0.5e-3, 0.5 * 0.25e-6), (-0.5e-3, 0.5 * 0.25e-6), (0.1, 1e-3 * (0.1 - 0.5e-3))):
        value, _ = _compiled(law, one, np.ones(1), np.ones(1), np.array([r]), 1e-3, 0.5)
        assert value == pytest.approx(expected, rel=1e-12)


def test_tilt_counts_points_above_and_below_the_curve_differently() -> None:
    law = Law("constant", "A * x", ("x",), (Parameter("A", (1.0,)),))
    one = np.ones((1, 1))
    below, _ = _compiled(law, one, np.ones(1), np.ones(1), np.array([0.1]), 1e-3, 0.2)
    above, _ = _compiled(law, one, np.ones(1), np.ones(1), np.array([-0.1]), 1e-3, 0.2)
    assert below / above == pytest.approx(4.0, rel=1e-12)  # 2 (1 - 0.2) against 2 * 0.2
