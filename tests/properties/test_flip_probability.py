"""When a neuron that moves by R can flip a sign or change its activity, and how probable that is at the start.

c = w - mu, P = I - 1 1^T/d, A = <q, x>, B = <1, x>, z = s A + mu B.

*Core.* Let norm(w' - w) <= R. Then c' - c = P (w' - w), and sqrt(d) |mu' - mu| is the length of the part of w' - w
along 1. So, by Cauchy and Schwarz, and because sqrt(d) s = norm(c) for std, and |s' - s| <= mean|c' - c| for absmean,

    |c'_k - c_k| <= norm(P e_k) R = R sqrt(1 - 1/d)
    d (s' - s)^2 + d (mu' - mu)^2 <= norm(P (w' - w))^2 + norm((I - P) (w' - w))^2 = norm(w' - w)^2 <= R^2

for both scales; in particular |s' - s| <= R/sqrt(d) and |mu' - mu| <= R/sqrt(d). If min_k |c_k| > R sqrt(1 - 1/d), no
sign flips, A and B stay, and z moves by at most

    (R/sqrt(d)) sqrt(A^2 + B^2) <= (R/sqrt(d)) (|A| + |B|);   for std the first is attained.

The activity can change only if |z| is no larger than that. If A = B = 0, z is 0 and stays 0.

*Probability*, for w ~ N(0, I_d), scale std, any fixed unit x. c_k ~ N(0, 1 - 1/d), whose density gives
P[|c_k| <= R sqrt(1 - 1/d)] <= sqrt(2/pi) R: d of these for any sign. The direction of c (hence q and A), its length
sqrt(d) s ~ chi_(d-1) and sqrt(d) mu ~ N(0, 1) are independent, with densities of at most sqrt(2/pi) (attained by chi_1
at 0; chi_k stays below 0.61 for k >= 2) and 1/sqrt(2 pi). Given q, divide |s A + mu B| <= (R/sqrt(d)) (|A| + |B|) by
the larger of |A| and |B| and fix the other variable: s or mu lies in an interval of half-length 2 R/sqrt(d) at most,
with probability <= 4 R sqrt(2/pi) < 3.2 R. With sqrt(A^2 + B^2) the half-length is sqrt(2) R/sqrt(d) and the
probability <= 2 sqrt(2) R sqrt(2/pi) < 2.26 R. Together:

    P[some w' within R of w has another activity on x] <= (sqrt(2/pi) d + 3.2) R.

For absmean the core holds, but the constant 3.2 does not follow: its s is std's times a factor below 1 that depends on
the direction of c, so its density can be higher.
"""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ntk1bit.networks import two_layer
from ntk1bit.networks.quantizers import Scale, quantize_neurons

from .data import EPS64, dims, kinds, latent_weights, scales, seeds, unit_inputs, weight_kinds
from .failures import fails_too_often

PER_COORDINATE = np.sqrt(2 / np.pi)
few = st.integers(1, 60)


def unit(rows):
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)


def towards_a_flip(w):
    """Return the direction that moves the smallest |c_k| to 0 fastest: -sign(c_k) P e_k, at unit length."""
    c = w - w.mean(axis=1, keepdims=True)
    rows, smallest = np.arange(len(w)), np.abs(c).argmin(axis=1)
    direction = np.zeros_like(w)
    direction[rows, smallest] = -np.where(c[rows, smallest] >= 0, 1, -1)
    return unit(direction - direction.mean(axis=1, keepdims=True))


def towards_zero_output(w, x):
    """Return the direction that moves z to 0 fastest while no sign flips: -sign(z) grad z, grad z = A c/(d s) + B 1/d.

    `x` is one input, or one a neuron.
    """
    q, s, mu = quantize_neurons(w)
    a, b = (q * x).sum(axis=1), np.broadcast_to(x, w.shape).sum(axis=1)
    c = unit(w - mu[:, None])
    gradient = a[:, None] * c + b[:, None] / np.sqrt(w.shape[1])
    return -np.where(s * a + mu * b >= 0, 1, -1)[:, None] * unit(gradient)


def perturbations(w, x, seed):
    """Directions of unit length, a row each: random, along 1 and c, to the nearest flip, to z = 0 for each input."""
    rng = np.random.default_rng(seed)
    c = w - w.mean(axis=1, keepdims=True)
    return [
        unit(rng.standard_normal(w.shape)),
        unit(rng.standard_cauchy(w.shape)),
        unit(np.ones_like(w)) * rng.choice([-1, 1], (len(w), 1)),
        -unit(c),
        towards_a_flip(w),
        *(towards_zero_output(w, one) for one in x),
    ]


def size(w):
    """Typical |w_k| in a row, to measure radii and rounding with."""
    return np.abs(w).max(axis=1)


@given(m=few, d=dims, seed=seeds, kind=weight_kinds, reach=st.floats(-4, 1))
def test_a_neuron_that_moves_by_r_moves_its_deviations_scale_and_mean_by_no_more(m, d, seed, kind, reach):
    w = latent_weights(m, d, seed, kind)
    x = unit_inputs(3, d, seed, "sphere")
    radius = 10**reach * np.median(np.abs(w - w.mean(axis=1, keepdims=True)), axis=1)
    rounding = 8 * d * EPS64 * (size(w) + radius)  # sums of d weights, a few of them
    c = w - w.mean(axis=1, keepdims=True)
    for direction in perturbations(w, x, seed):
        moved = w + radius[:, None] * direction
        c_moved = moved - moved.mean(axis=1, keepdims=True)
        assert (np.abs(c_moved - c).max(axis=1) <= radius * np.sqrt(1 - 1 / d) + rounding).all()
        for scale in ("std", "absmean"):
            (_, s, mu), (_, s_moved, mu_moved) = (quantize_neurons(v, scale=scale) for v in (w, moved))
            assert (np.abs(s_moved - s) <= radius / np.sqrt(d) + rounding).all()
            assert (np.abs(mu_moved - mu) <= radius / np.sqrt(d) + rounding).all()
            both = np.hypot(s_moved - s, mu_moved - mu)
            assert (both <= radius / np.sqrt(d) + 2 * rounding).all()
    # each bound is attained: one coordinate, the direction of 1, the direction of c
    flip, mean, along = (radius[:, None] * v for v in (towards_a_flip(w), unit(np.ones_like(w)), unit(c)))
    rows, smallest = np.arange(m), np.abs(c).argmin(axis=1)
    c_moved = w + flip - (w + flip).mean(axis=1, keepdims=True)
    assert (np.abs(np.abs(c_moved - c)[rows, smallest] - radius * np.sqrt(1 - 1 / d)) <= rounding).all()
    s, mu = quantize_neurons(w)[1:]
    assert (np.abs(quantize_neurons(w + mean).mu - mu - radius / np.sqrt(d)) <= rounding).all()
    assert (np.abs(quantize_neurons(w + along).s - s - radius / np.sqrt(d)) <= rounding).all()


def outlook(w, x, scale):
    """Return min_k |c_k| a neuron, and |z|, |A|, |B|, (m, n)."""
    q, s, mu = quantize_neurons(w, scale=scale)
    a, b = q @ x.T, np.broadcast_to(x.sum(axis=1), (len(w), len(x)))
    return np.abs(w - mu[:, None]).min(axis=1), np.abs(s[:, None] * a + mu[:, None] * b), np.abs(a), np.abs(b)


def activity(w, x, scale: Scale = "std"):
    """Return the activities of float64 neurons, (m, n)."""
    return two_layer.activation_patterns(x, two_layer.Weights(w, np.ones(len(w))), scale=scale)


@given(
    m=few,
    d=dims,
    n=st.integers(1, 5),
    seed=seeds,
    kind=weight_kinds,
    data=kinds,
    scale=scales,
    reach=st.floats(-3, 0.5),
)
def test_an_activity_changes_only_near_a_flip_or_near_zero(m, d, n, seed, kind, data, scale, reach):
    """A change within R needs min|c| <= R sqrt(1 - 1/d) or |z| <= (R/sqrt(d)) sqrt(A^2 + B^2)."""
    w, x = latent_weights(m, d, seed, kind), unit_inputs(n, d, seed, data)
    least, z, a, b = outlook(w, x, scale)
    # around the size at which the smallest |c_k| flips, and z, of the size of s, comes to 0
    radius = 10**reach * (least + np.abs(w - w.mean(axis=1, keepdims=True)).mean(axis=1) / d)
    rounding = 16 * d * EPS64 * (size(w) + radius)[:, None]  # of c and z; |<q, x>|, |<1, x>| <= sqrt(d)
    near_flip = least[:, None] <= radius[:, None] * np.sqrt(1 - 1 / d) + rounding
    budget = radius[:, None] / np.sqrt(d) * np.hypot(a, b)
    near_zero = z <= budget + rounding * np.sqrt(d)
    before = activity(w, x, scale)
    for direction in perturbations(w, x, seed):
        changed = activity(w + radius[:, None] * direction, x, scale) != before
        assert (near_flip | near_zero)[changed].all()
        q, q_moved = (quantize_neurons(v, scale=scale).q for v in (w, w + radius[:, None] * direction))
        assert near_flip[(q != q_moved).any(axis=1)].all()


@given(m=few, d=dims, seed=seeds, short=st.floats(0.1, 0.99), data=kinds)
def test_the_distance_to_the_nearest_flip_and_to_the_nearest_change_of_activity_are_attained(m, d, seed, short, data):
    """R sqrt(1 - 1/d) = min|c| (1 + 1e-6) flips; R sqrt(A^2 + B^2)/sqrt(d) > |z| changes the activity, short of a flip.

    Each neuron gets its own input, turned until z is `short` of what the neuron can reach without a flip.
    """
    w = latent_weights(m, d, seed, "gaussian")
    q, s, mu = quantize_neurons(w)
    least = np.abs(w - mu[:, None]).min(axis=1)
    assume((least > 1e-6).all())  # far from the rounding of c and z, about 1e-14
    to_flip = least / np.sqrt(1 - 1 / d)
    flipped = quantize_neurons(w + (to_flip * (1 + 1e-6))[:, None] * towards_a_flip(w)).q
    assert (flipped != q).any(axis=1).all()
    near = quantize_neurons(w + (to_flip * (1 - 1e-6))[:, None] * towards_a_flip(w)).q
    np.testing.assert_array_equal(near, q)

    radius = to_flip * (1 - 1e-6)
    quantised = unit(s[:, None] * q + mu[:, None])  # z = <s q + mu, x>
    x = unit_inputs(m, d, seed, data)
    flat = unit(x - (x * quantised).sum(axis=1, keepdims=True) * quantised)
    budget = radius / np.sqrt(d) * np.hypot((flat * q).sum(axis=1), flat.sum(axis=1))
    angle = short * budget / np.linalg.norm(s[:, None] * q + mu[:, None], axis=1)
    x = unit(flat + angle[:, None] * quantised)
    a, b = (x * q).sum(axis=1), x.sum(axis=1)
    z, budget = s * a + mu * b, radius / np.sqrt(d) * np.hypot(a, b)
    within = (np.abs(z) < budget * (1 - 1e-9)) & (budget > 1e-9)
    moved = w + radius[:, None] * towards_zero_output(w, x)
    after = np.diagonal(activity(moved, x))
    np.testing.assert_array_equal(after[within], (z < 0)[within])
    beyond = (np.abs(z) > budget * (1 + 1e-9)) & (np.abs(z) > 1e-9)
    np.testing.assert_array_equal(after[beyond], (z >= 0)[beyond])
    # at d = 2 and 3 there is little room to turn x in; elsewhere nearly every neuron is put to the test
    assert d < 4 or within.mean() > 0.5


@given(m=st.integers(1, 600), half_log=st.integers(1, 3), seed=seeds, push=st.floats(0, 0.99))
def test_a_neuron_at_exactly_zero_stays_active_until_a_sign_flips(m, half_log, seed, push):
    """<q, x> = <1, x> = 0 gives z = 0, which counts as active, wherever w goes within min|c|/sqrt(1 - 1/d).

    Entries +-1/sqrt(d) with d = 4, 16, 64 are powers of two, so the cores' sums are exact. At other d, such a z is 0
    only up to rounding, which then decides on the activity.
    """
    d = 4**half_log
    rng = np.random.default_rng(seed)
    x = rng.permuted(np.tile(np.where(np.arange(d) % 2, 1.0, -1.0), (8, 1)), axis=1) / np.sqrt(d)
    start = two_layer.init(m, d, seed=seed)
    w = start.w.astype(np.float64)
    q = quantize_neurons(w).q
    least = np.abs(w - w.mean(axis=1, keepdims=True)).min(axis=1)
    # float32 neurons: signs are safe where c is beyond the rounding of a mean of d numbers of size 5
    safe = least > 1e-5
    moved = w + (push * least / np.sqrt(1 - 1 / d))[:, None] * towards_a_flip(w)
    zero = (q @ x.T == 0) & safe[:, None] & (least * (1 - push) > 1e-5)[:, None]
    single = two_layer.Weights(moved.astype(np.float32), start.a)
    double = two_layer.Weights(moved, start.a.astype(np.float64))  # in plain NumPy
    for now in (start, single, double):
        for scale in ("std", "absmean"):
            assert two_layer.activation_patterns(x, now, scale=scale)[zero].all()


def draw(d, seed, kind, level, samples):
    """Draw starting neurons, one input, and the radius at which the bound is `level`."""
    w = np.random.default_rng([seed, d]).standard_normal((samples, d))
    return w, unit_inputs(1, d, seed, kind), level / (PER_COORDINATE * d + 3.2)


def events(w, x, radius):
    """Say which neurons are near a flip, near z = 0 with |A| + |B|, and with sqrt(A^2 + B^2); A = B = 0 is neither."""
    least, z, a, b = (values.ravel() for values in outlook(w, x, "std"))
    d = x.shape[1]
    apart = a + b > 1e-12  # else A = B = 0 up to rounding
    near_flip = least <= radius * np.sqrt(1 - 1 / d)
    return near_flip, apart & (z <= radius / np.sqrt(d) * (a + b)), apart & (z <= radius / np.sqrt(d) * np.hypot(a, b))


@settings(max_examples=50)
@given(d=dims, seed=seeds, kind=kinds, level=st.floats(0.02, 0.95))
def test_at_the_start_an_activity_can_change_within_r_no_more_often_than_the_bound(d, seed, kind, level):
    samples = 3000
    w, x, radius = draw(d, seed, kind, level, samples)
    near_flip, near_zero, nearer_zero = events(w, x, radius)
    assert not fails_too_often(int(near_flip.sum()), samples, PER_COORDINATE * d * radius)
    assert not fails_too_often(int(near_zero.sum()), samples, 3.2 * radius)
    assert not fails_too_often(int(nearer_zero.sum()), samples, 2.26 * radius)
    assert not fails_too_often(int((near_flip | near_zero).sum()), samples, level)
    assert (near_zero | ~nearer_zero).all()
    # what the adversaries, and chance, do change within R lies in the event: sums round by d eps, 1e-12 at most
    before, changed = activity(w, x), np.zeros(samples, dtype=bool)
    for direction in perturbations(w, x, seed):
        changed |= (activity(w + radius * direction, x) != before).ravel()
    at_zero = outlook(w, x, "std")[1].ravel() <= 1e-12
    assert (near_flip | nearer_zero | at_zero)[changed].all()


def test_the_flip_bounds_have_little_room():
    """Half of each is refuted, where it is tightest: flips at R small, zeros of z where one weight decides.

    At d = 2 the quantiser is lossless, so for x = e_1 z is w_1, A^2 + B^2 = 2, and P[|w_1| <= R] is sqrt(2/pi) R: 0.35
    of 2.26 R. There |A| + |B| = 2, and P[|w_1| <= sqrt(2) R] is 0.35 of 3.2 R as well. A quarter of both is refuted.
    """
    samples = 20_000
    w, x, radius = draw(40, 0, "sphere", 0.3, samples)
    near_flip, near_zero, _ = events(w, x, radius)
    assert fails_too_often(int(near_flip.sum()), samples, PER_COORDINATE * 40 * radius / 2)
    assert fails_too_often(int((near_flip | near_zero).sum()), samples, 0.3 / 2)
    w = np.random.default_rng(1).standard_normal((samples, 2))
    _, near_zero, nearer_zero = events(w, np.array([[1.0, 0.0]]), 0.2)
    assert fails_too_often(int(near_zero.sum()), samples, 3.2 * 0.2 / 4)
    assert fails_too_often(int(nearer_zero.sum()), samples, 2.26 * 0.2 / 4)
