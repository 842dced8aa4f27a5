"""How often a bound that holds with probability 1 - delta may fail, judged without touching the bound's constants."""

from __future__ import annotations

from scipy.stats import binom

FALSE_ALARM = 1e-6  # chance that a true bound is rejected, per call: a hundred calls reject one once in 10,000 runs


def fails_too_often(failures: int, trials: int, delta: float) -> bool:
    """Say whether `failures` in `trials` independent trials refute "each fails with probability at most `delta`".

    One-sided binomial test: if every trial fails with probability at most delta, whatever the probabilities, the count
    is stochastically below Binomial(trials, delta), so P[count >= failures] <= P[Binomial(trials, delta) >= failures].
    """
    return bool(binom.sf(failures - 1, trials, delta) < FALSE_ALARM)
