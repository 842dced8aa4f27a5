r"""A proof by exact arithmetic that the oscillation on two opposite inputs never ends (docs/theorems.md, theorem 4).

`kernels.opposite_pairs` has the recursion. In units of eta for the relay's line, with alpha = eta k and gamma = eta C,
residuals r_1 and r_2, S = r_1 + r_2, A = r_1 - r_2:

    line of a = +1: points u >= 0 move by -r_1, points u < 0 by +r_2;     line of a = -1: by +r_1 and -r_2;
    S_{t+1} = (1 - alpha) S_t,     A_{t+1} = (1 - alpha) A_t + gamma (dN^+ - dN^-),     dN^a: net length come up.

Lines start with density 1. Moves are two translations each, so densities stay sums of indicators of intervals, and with
rational alpha, gamma and targets every number is rational: the recursion is followed without any error (`Fraction`).

**The trap.** After step t_0 put p_t = sum of A/2 over the steps since. The line of a = -1 has moved rigidly by p_t, that
of a = +1 by -p_t, each point by at most q = sum over t >= t_0 of |S_t|/2 more or less. So with m^a(p) the length of
line a in [-p, 0) at t_0 (less that in [0, -p) where p < 0), which grows with p,

    A_t = A_{t_0} - 2 alpha p_t - gamma G_t,     m^-(p_t - q) - m^+(-p_t + q) <= G_t <= m^-(p_t + q) - m^+(-p_t - q),

exactly, and p_{t+1} = p_t + A_t/2. Let J_0 and J_1 be disjoint intervals of p, with densities constant at the places
that they stand for, q more to both sides: D_0 and D_1 on both lines together. There p -> p_{t+1} is linear up to
gamma D q/2, of slope 1 - alpha - gamma D/2. If it takes J_0 into J_1 and J_1 into J_0, p alternates between them for
ever, and |A_t| >= 2 dist(J_0, J_1) for all t >= t_0. Descent with K_eff has A_t = (1 - alpha - gamma)^t A_0 -> 0.

**An input with rational numbers.** x = (2, -1, -1)/sqrt 6, d = 3, scale ``std``, kappa = 1: weights of zero mean have six
equal sectors of signs, and k : C : K_eff(x, x) = 4 : 2 : 5 in units of 1/(3 sqrt 2 pi). So gamma = alpha/2 exactly, and
eta_rel = 3 sqrt 2 pi alpha/8, as the limit of H(0) is 1/2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from ntk1bit.errors import InputError

THREE_FEATURES = {"k": 4 / (3 * math.sqrt(2) * math.pi), "C": 2 / (3 * math.sqrt(2) * math.pi)}
"""k and C of x = (2, -1, -1)/sqrt 6, kappa = 1, scale ``std``."""


@dataclass
class RelayLine:
    """A line of relays: intervals [low, high) of density 1 each, which may overlap, and two half-lines.

    Attributes
    ----------
    left, right
        Ends of the half-lines (-infinity, left) and [right, infinity).
    pieces
        The intervals between.
    """

    left: Fraction
    right: Fraction
    pieces: list[tuple[Fraction, Fraction]]

    def move(self, above: Fraction, below: Fraction) -> Fraction:
        """Move points u >= 0 by `above` and others by `below`; return the net length that has come up through 0."""
        zero = Fraction(0)
        high, low = [], []
        for first, last in self.pieces:
            if first >= 0:
                high.append((first, last))
            elif last <= 0:
                low.append((first, last))
            else:
                low.append((first, zero))
                high.append((zero, last))
        if self.left > 0:
            high.append((zero, self.left))
        if self.right < 0:
            low.append((self.right, zero))
        high_end, low_end = max(self.right, zero), min(self.left, zero)
        up = max(low_end + below, zero) - max(-(high_end + above), zero)
        up += sum(max(last + below, zero) - max(first + below, zero) for first, last in low)
        up -= sum(max(-(first + above), zero) - max(-(last + above), zero) for first, last in high)
        self.left, self.right = low_end + below, high_end + above
        self.pieces = [(first + above, last + above) for first, last in high]
        self.pieces += [(first + below, last + below) for first, last in low]
        return up

    def length(self, first: Fraction, last: Fraction) -> Fraction:
        """Return the length in [first, last), overlaps counted each; negative for last < first."""
        if last < first:
            return -self.length(last, first)
        zero = Fraction(0)
        found = max(min(last, self.left) - first, zero) + max(last - max(first, self.right), zero)
        return found + sum(max(min(last, end) - max(first, start), zero) for start, end in self.pieces)

    def density(self, first: Fraction, last: Fraction) -> int | None:
        """Return the density on [first, last], None where it is not constant there."""
        ends = [self.left, self.right, *(end for piece in self.pieces for end in piece)]
        if any(first <= end <= last for end in ends):
            return None
        inside = sum(start < first < end for start, end in self.pieces)
        return inside + (last < self.left) + (first > self.right)


@dataclass(frozen=True)
class CapturedCycle:
    """What is proved of training on two opposite inputs at infinite width.

    Attributes
    ----------
    since
        t_0: everything here holds at all steps t >= t_0.
    least, most
        least <= |r_1 - r_2| <= most, both exact.
    kernel
        Bound on |r_1 - r_2| of descent with K_eff, which falls to 0 from there.
    """

    since: int
    least: Fraction
    most: Fraction
    kernel: Fraction

    @property
    def apart(self) -> float:
        """Lower bound on the Euclidean distance of both outputs to those of descent with K_eff, at all t >= t_0."""
        return max(float(self.least - self.kernel), 0.0) / math.sqrt(2)


class OppositeRecursion:
    """The recursion on two opposite inputs, without rounding.

    Parameters
    ----------
    targets
        y_1 and y_2; the start is ``paired``.
    alpha, gamma
        eta k and eta C, rational and positive, with alpha + gamma < 2: where descent with K_eff converges.

    Raises
    ------
    InputError
        For other numbers.
    """

    def __init__(self, targets: tuple[Fraction, Fraction], *, alpha: Fraction, gamma: Fraction) -> None:
        if not (alpha > 0 and gamma > 0 and alpha + gamma < 2):
            raise InputError(f"alpha and gamma must be positive with a sum below 2, got {alpha} and {gamma}")
        self.alpha, self.gamma = Fraction(alpha), Fraction(gamma)
        self.total = -(Fraction(targets[0]) + Fraction(targets[1]))
        self.apart = Fraction(targets[1]) - Fraction(targets[0])
        self.step = 0
        self._start = abs(self.apart)
        zero = Fraction(0)
        self.plus, self.minus = RelayLine(zero, zero, []), RelayLine(zero, zero, [])

    def advance(self) -> None:
        """Take a step."""
        first, second = (self.total + self.apart) / 2, (self.total - self.apart) / 2
        up = self.plus.move(-first, second) - self.minus.move(first, -second)
        self.total = (1 - self.alpha) * self.total
        self.apart = (1 - self.alpha) * self.apart + self.gamma * up
        self.step += 1

    def trapped(self) -> CapturedCycle | None:
        """Return what the trap proves from this step on; None if it proves nothing."""
        alpha, gamma = self.alpha, self.gamma
        q = abs(self.total) / 2 / (1 - abs(1 - alpha))
        here, there = Fraction(0), self.apart / 2
        slopes, slacks = [], []
        for at in (here, there):
            density = self._density(at, q)
            if density is None:
                return None
            slopes.append(1 - alpha - gamma * density / 2)
            slacks.append(gamma * density * q / 2)
        shrinks = 1 - abs(slopes[0] * slopes[1])
        if shrinks <= 0 or self.apart == 0:
            return None
        moved = self.minus.length(-there, Fraction(0)) - self.plus.length(there, Fraction(0))
        back = (1 - alpha) * there + self.apart / 2 - gamma * moved / 2  # from `there`, where nothing else disturbs
        # the two-cycle of p -> there + slopes[0] p and p -> back + slopes[1] (p - there): the fixed point of both
        first = back / (1 - slopes[0] * slopes[1])
        second = there + slopes[0] * first
        width = max(abs(first), (abs(slopes[1]) * slacks[0] + slacks[1]) / shrinks)
        other = abs(slopes[0]) * width + slacks[0]
        if self._density(first, width + q) is None or self._density(second, other + q) is None:
            return None
        distance = abs(second - first)
        if distance <= width + other:
            return None
        kernel = abs(1 - alpha - gamma) ** self.step * self._start
        return CapturedCycle(self.step, 2 * (distance - width - other), 2 * (distance + width + other), kernel)

    def _density(self, at: Fraction, reach: Fraction) -> int | None:
        """Return the density of both lines at what p = `at` brings to the threshold, `reach` to both sides."""
        minus = self.minus.density(-at - reach, -at + reach)
        plus = self.plus.density(at - reach, at + reach)
        return None if minus is None or plus is None else minus + plus


def certify_cycle(
    targets: tuple[Fraction, Fraction], *, alpha: Fraction, gamma: Fraction, margin: Fraction, latest: int = 200
) -> CapturedCycle:
    """Follow the recursion until the trap proves a cycle whose size is known to a share `margin` of itself.

    Parameters
    ----------
    targets, alpha, gamma
        As in `OppositeRecursion`.
    margin
        Largest (most - least)/most, above 0.
    latest
        Steps after which it is given up, >= 1.

    Raises
    ------
    InputError
        If nothing is proved until then, as where the targets are equal (A stays 0) or equal and opposite (no weight is
        swept to its threshold, and the limit is descent with K_eff).
    """
    recursion = OppositeRecursion(targets, alpha=alpha, gamma=gamma)
    for _ in range(latest):
        recursion.advance()
        found = recursion.trapped()
        if found is not None and found.most - found.least <= margin * found.most and found.least > found.kernel:
            return found
    raise InputError(f"no lasting cycle is proved within {latest} steps for targets {targets[0]} and {targets[1]}")
