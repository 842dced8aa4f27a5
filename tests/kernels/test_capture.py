"""Exact recursions against floating point and brute force; a proof where there is one, and none where there is not."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from ntk1bit.errors import InputError
from ntk1bit.kernels.capture import THREE_FEATURES, CapturedCycle, OppositeRecursion, RelayLine, certify_cycle
from ntk1bit.kernels.opposite_pairs import OppositeInputs

ALPHA, GAMMA = Fraction(3, 10), Fraction(3, 20)
TARGETS = Fraction(1), Fraction(9, 10)


def test_a_line_moves_as_its_points_do():
    """Points at half-odd places of a whole line, and whole moves: every count is exact."""
    rng = np.random.default_rng(0)
    line, reach = RelayLine(), 4000
    points = np.arange(-reach, reach) + 0.5
    for _ in range(12):
        above, below = (int(one) for one in rng.integers(-60, 60, 2))
        moved = np.where(points >= 0, points + above, points + below)
        up = int(np.sum((points < 0) & (moved >= 0))) - int(np.sum((points >= 0) & (moved < 0)))
        assert line.move(above, below) == up
        points = moved
        length = line.lengths()
        for u in (-900, -31, -1, 0, 1, 7, 250):
            inside = (points >= min(u, 0)) & (points < max(u, 0))
            assert length(u) == (1 if u >= 0 else -1) * int(inside.sum())


def test_a_step_adds_two_changes_of_density_at_most():
    rng = np.random.default_rng(1)
    line = RelayLine()
    for step in range(1, 60):
        line.move(*(int(one) for one in rng.integers(-1000, 1000, 2)))
        assert len(line.changes) <= 2 * step + 1
        assert min(line.lengths().densities) >= 0


def test_the_recursion_is_that_in_floating_point():
    recursion = OppositeRecursion(TARGETS, alpha=ALPHA, gamma=GAMMA, steps=20)
    floats = OppositeInputs(float(ALPHA + GAMMA / 2), float(GAMMA), 0.5, 0, 0).residuals(
        (1.0, 0.9), eta=1.0, steps=20, points=20_000
    )
    for step in range(21):
        # a line of points counts lengths to within its spacing, 1/(0.3 * 20,000), for each change of density
        assert np.allclose([float(one) for one in recursion.residuals], floats[step], atol=2e-4 * (step + 1))
        if step < 20:
            recursion.advance()
    with pytest.raises(InputError, match="made for 20 steps"):
        recursion.advance()


def test_without_relays_that_switch_it_is_descent():
    """At equal and opposite targets S is 0, both lines are rigid, and A falls by 1 - alpha - gamma a step."""
    recursion = OppositeRecursion((Fraction(1), Fraction(-1)), alpha=ALPHA, gamma=GAMMA, steps=10)
    for step in range(1, 11):
        recursion.advance()
        assert recursion.residuals[0] == -((1 - ALPHA - GAMMA) ** step)
        assert recursion.residuals[1] == -recursion.residuals[0]


@pytest.mark.parametrize("second", ["9/10", "1/2", "0", "-1/2"])
def test_a_cycle_that_is_proved_is_seen(second):
    """The recursion of the next 60 steps stays within what is proved, and alternates."""
    targets, alpha, gamma = (Fraction(1), Fraction(second)), Fraction(3, 5), Fraction(3, 10)
    found = certify_cycle(targets, alpha=alpha, gamma=gamma, margin=Fraction(1, 8))
    recursion = OppositeRecursion(targets, alpha=alpha, gamma=gamma, steps=found.since + 60)
    signs = []
    for step in range(found.since + 60):
        if step >= found.since:
            apart = recursion.residuals[0] - recursion.residuals[1]
            assert found.least <= abs(apart) <= found.most
            signs.append(apart > 0)
        recursion.advance()
    assert all(one != other for one, other in pairwise(signs))
    assert found.least > found.kernel >= abs(1 - alpha - gamma) ** found.since * abs(targets[0] - targets[1])
    assert 0 < found.apart <= float(found.least) / np.sqrt(2)


def test_complete_capture_is_enclosed():
    """(C |y_1 + y_2|/k)/(2 - eta K_eff) of `opposite_pairs`, in units with eta = 1."""
    found = certify_cycle(TARGETS, alpha=ALPHA, gamma=GAMMA, margin=Fraction(1, 8))
    closed = GAMMA * sum(TARGETS) / ALPHA / (2 - ALPHA - GAMMA / 2)
    assert found.least < closed < found.most


@pytest.mark.parametrize("second", [1, -1])
@pytest.mark.parametrize("alpha", ["3/5", "3/10", "3/20"])
def test_descent_is_not_certified(second, alpha):
    with pytest.raises(InputError, match="no lasting cycle is proved within 40 steps"):
        certify_cycle(
            (Fraction(1), Fraction(second)),
            alpha=Fraction(alpha),
            gamma=Fraction(alpha) / 2,
            margin=Fraction(1, 2),
            latest=40,
        )


def test_a_trap_that_is_too_early_proves_nothing():
    recursion = OppositeRecursion(TARGETS, alpha=ALPHA, gamma=GAMMA, steps=5)
    recursion.advance()
    assert recursion.trapped() is None  # S is as large as the targets still


@pytest.mark.parametrize(("alpha", "gamma"), [("0", "1/2"), ("1/2", "0"), ("3/2", "1/2"), ("-1/2", "1/2")])
def test_numbers_out_of_range_are_told(alpha, gamma):
    with pytest.raises(InputError, match="positive with a sum below 2"):
        OppositeRecursion(TARGETS, alpha=Fraction(alpha), gamma=Fraction(gamma), steps=3)


def test_steps_are_a_whole_number():
    with pytest.raises(InputError, match="steps"):
        OppositeRecursion(TARGETS, alpha=ALPHA, gamma=GAMMA, steps=0)


def test_no_distance_is_claimed_where_descent_may_be_as_large():
    assert CapturedCycle(3, Fraction(1, 10), Fraction(2, 10), Fraction(1, 5)).apart == 0


def test_the_exact_constants_have_the_ratio_that_the_proofs_use():
    assert THREE_FEATURES["C"] / THREE_FEATURES["k"] == pytest.approx(0.5, abs=1e-15)
