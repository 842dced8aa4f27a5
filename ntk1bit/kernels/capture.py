r"""A proof by exact arithmetic that the oscillation on two opposite inputs never ends (docs/theorems.md, theorem 4).

`kernels.opposite_pairs` has the recursion. In units of eta for the relay's line, with alpha = eta k and gamma = eta C,
residuals r_1 and r_2, S = r_1 + r_2, A = r_1 - r_2:

    line of a = +1: points u >= 0 move by -r_1, points u < 0 by +r_2;     line of a = -1: by +r_1 and -r_2;
    S_{t+1} = (1 - alpha) S_t,     A_{t+1} = (1 - alpha) A_t + gamma (dN^+ - dN^-),     dN^a: net length come up.

Lines start with density 1. Moves are two translations each, so densities stay piecewise constant, and with
rational alpha, gamma and targets every number is rational: the recursion is followed without any error.

**The trap.** After step t_0 put p_t = sum of A/2 over the steps since. The line of a = -1 has moved rigidly by p_t,
that of a = +1 by -p_t, each point by at most q = sum over t >= t_0 of |S_t|/2 more or less. So with F^a(u) the length
of line a in [0, u) at t_0 (less that in [u, 0) where u < 0), which grows with u,

    A_t = A_{t_0} - 2 alpha p_t - gamma G_t,     F^+(p_t - q) - F^-(q - p_t) <= G_t <= F^+(p_t + q) - F^-(-p_t - q),

exactly, and p_{t+1} = p_t + A_t/2. So p_{t+1} is enclosed for p_t in an interval: cut it in parts, and take the ends
of each for p and G. If disjoint intervals J_0, which holds 0, and J_1 are found such that J_0 is taken into J_1 and J_1
into J_0, p alternates between them for ever, and |A_t| >= 2 dist(J_0, J_1) for all t >= t_0. Descent with K_eff has
A_t = (1 - alpha - gamma)^t A_0 -> 0.

**An input with rational numbers.** x = (2, -1, -1)/sqrt 6, d = 3, scale ``std``, kappa = 1: weights of zero mean have
six equal sectors of signs, and k : C : K_eff(x, x) = 4 : 2 : 5 in units of 1/(3 sqrt 2 pi). So gamma = alpha/2
exactly, and eta_rel = 3 sqrt 2 pi alpha/8, as the limit of H(0) is 1/2.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from ntk1bit.arguments import whole
from ntk1bit.errors import InputError

THREE_FEATURES = {"k": 4 / (3 * math.sqrt(2) * math.pi), "C": 2 / (3 * math.sqrt(2) * math.pi)}
"""k and C of x = (2, -1, -1)/sqrt 6, kappa = 1, scale ``std``."""

_PARTS = 32  # that an interval of p is cut into
_ROUNDS = 12  # in which J_0 and J_1 may grow


class RelayLine:
    """A line of relays with a piecewise constant density, 1 at the start and far away.

    Attributes
    ----------
    changes
        How much the density grows at each place where it changes. A step adds two such places at most.
    """

    def __init__(self) -> None:
        self.changes: dict[int, int] = {0: 0}

    def move(self, above: int, below: int) -> int:
        """Move points u >= 0 by `above` and others by `below`; return the net length that has come up through 0."""
        length = self.lengths()
        up = -length(-below) if below > 0 else 0
        down = length(-above) if above < 0 else 0
        before = 1 + sum(change for at, change in self.changes.items() if at < 0)  # the density just below 0
        moved: dict[int, int] = {}
        for at, change in [*self.changes.items(), (0, before)]:
            if at >= 0:
                moved[at + above] = moved.get(at + above, 0) + change
            else:
                moved[at + below] = moved.get(at + below, 0) + change
        moved[below] = moved.get(below, 0) - before
        self.changes = {at: change for at, change in moved.items() if change} | {0: moved.get(0, 0)}
        return up - down

    def lengths(self) -> CumulativeLength:
        """Return F(u), the length in [0, u), as often as it is covered, as a function."""
        ends = sorted(self.changes)
        densities = [1]
        for at in ends:
            densities.append(densities[-1] + self.changes[at])
        values = [0]
        for density, (first, last) in zip(densities[1:], pairwise(ends), strict=False):
            values.append(values[-1] + density * (last - first))
        zero = values[ends.index(0)]
        return CumulativeLength(ends, [one - zero for one in values], densities)


@dataclass(frozen=True)
class CumulativeLength:
    """A piecewise linear function that grows: `values` at `ends`, with slopes `densities` before, between and after."""

    ends: list[int]
    values: list[int]
    densities: list[int]

    def __call__(self, u: int) -> int:
        """Return its value at u."""
        index = bisect.bisect_right(self.ends, u)
        at = max(index - 1, 0)
        return self.values[at] + self.densities[index] * (u - self.ends[at])


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
    """The recursion on two opposite inputs, without rounding: whole multiples of a unit that is fine enough.

    Parameters
    ----------
    targets
        y_1 and y_2; the start is ``paired``.
    alpha, gamma
        eta k and eta C, rational and positive, with alpha + gamma < 2: where descent with K_eff converges.
    steps
        The most that may be taken, >= 1.

    Raises
    ------
    InputError
        For other numbers.
    """

    def __init__(self, targets: tuple[Fraction, Fraction], *, alpha: Fraction, gamma: Fraction, steps: int) -> None:
        if not (alpha > 0 and gamma > 0 and alpha + gamma < 2):
            raise InputError(f"alpha and gamma must be positive with a sum below 2, got {alpha} and {gamma}")
        self.steps = whole("steps", steps, allowed="a whole number, 1 or more", least=1)
        first, second = Fraction(targets[0]), Fraction(targets[1])
        self.alpha, self.gamma = Fraction(alpha), Fraction(gamma)
        self._divisor = math.lcm(self.alpha.denominator, (self.gamma / 2).denominator)
        self._kept = int((1 - self.alpha) * self._divisor)
        self._gained = int(self.gamma / 2 * self._divisor)
        self.unit = Fraction(1, math.lcm(first.denominator, second.denominator) * self._divisor**steps)
        self._first, self._second = int(-first / self.unit), int(-second / self.unit)
        self.step = 0
        self._start = abs(first - second)
        self.plus, self.minus = RelayLine(), RelayLine()

    @property
    def residuals(self) -> tuple[Fraction, Fraction]:
        """r_1 and r_2."""
        return self._first * self.unit, self._second * self.unit

    def advance(self) -> None:
        """Take a step; the division is exact for as many as `steps`.

        Raises
        ------
        InputError
            After `steps` steps.
        """
        if self.step == self.steps:
            raise InputError(f"the recursion was made for {self.steps} steps; make it for more")
        first, second = self._first, self._second
        gained = self._gained * (self.plus.move(-first, second) - self.minus.move(first, -second))
        self._first = (self._kept * first + gained) // self._divisor
        self._second = (self._kept * second - gained) // self._divisor
        self.step += 1

    def trapped(self) -> CapturedCycle | None:
        """Return what the trap proves from this step on; None if it proves nothing."""
        swept = abs(self.residuals[0] + self.residuals[1]) / 2 / (1 - abs(1 - self.alpha))
        q = math.ceil(swept / self.unit)
        plus, minus = self.plus.lengths(), self.minus.lengths()

        def image(low: int, high: int) -> tuple[int, int]:
            """Enclose p_{t+1} for p_t in [low, high]."""
            cuts = [low + (high - low) * part // _PARTS for part in range(_PARTS)] + [high]
            lowest, highest = [], []
            for start, end in pairwise(cuts):
                least = plus(start - q) - minus(q - start)
                most = plus(end + q) - minus(-end - q)
                ends = sorted((self._kept * start, self._kept * end))
                lowest.append(ends[0] - self._gained * most)
                highest.append(ends[1] - self._gained * least)
            push = self._divisor * (self._first - self._second)
            twice = 2 * self._divisor
            return (2 * min(lowest) + push) // twice, -((-2 * max(highest) - push) // twice)

        here, there = (0, 0), image(0, 0)
        for _ in range(_ROUNDS):
            back = image(*there)
            wide = min(here[0], back[0]), max(here[1], back[1])
            slack = 1 + (wide[1] - wide[0]) // 8
            here = wide[0] - slack, wide[1] + slack
            there = image(*here)
            if here[0] <= there[1] and there[0] <= here[1]:
                return None
            back = image(*there)
            if here[0] <= back[0] and back[1] <= here[1]:
                break
        else:
            return None
        distance = max(there[0] - here[1], here[0] - there[1])
        furthest = max(there[1] - here[0], here[1] - there[0])
        kernel = abs(1 - self.alpha - self.gamma) ** self.step * self._start
        return CapturedCycle(self.step, 2 * distance * self.unit, 2 * furthest * self.unit, kernel)


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
    recursion = OppositeRecursion(targets, alpha=alpha, gamma=gamma, steps=latest)
    for _ in range(latest):
        recursion.advance()
        found = recursion.trapped()
        if found is not None and found.most - found.least <= margin * found.most and found.least > found.kernel:
            return found
    raise InputError(f"no lasting cycle is proved within {latest} steps for targets {targets[0]} and {targets[1]}")
