r"""C12, C12-batches, C12-momentum, C12-averages, C12-remedies, C12-test, C12-language: deep networks oscillate.

**C12.** Late in full-batch gradient descent the outputs of deep 1-bit networks oscillate with period two, as those of
two-layer networks do (C11-swing), so that the mean of two successive outputs has at most half the training loss of one.

**Derivation.** A heuristic one. That of C11-swing does not ask for two layers. A flip of one of m^2 weights in the
middle moves an output by O(1/m), coherently, and latent weights of size 1 within O(1/m) of their threshold, a number
O(m), cross in a step: the outputs move by O(1), with fluctuations m^-1/2. Where a weight moves the pattern of its own
neuron, its force depends on the side that it is on, and it sticks at its threshold; the layer of stuck weights is as
wide as a step, so that the gain by which a residual is answered grows until the alternating mode is unstable. Layers in
full precision train beside it, as they do in practice; they do not flip, and C12 asks whether they take the oscillation
away.

**C12-batches.** Batches of 32 of 128 points add noise, which does not hide it: autocorrelation stays below 0.

**C12-momentum.** A heavy ball answers a residual over ten steps, 1/(1 - beta1), so that a weight driven back to its
threshold overshoots it for several: the oscillation is of a longer period, with an autocorrelation above 0, and two
averaged outputs keep most of the loss. There is no derivation of the period, nor one for Adam, which is measured
beside.

**C12-averages.** With any of four optimisers the mean of the last 100 outputs has at most half the training loss of
one.

**C12-remedies.** In full batches, at equal numbers of steps: averaging outputs, averaging latent weights before the
sign, and freezing weights that flip too often (Nagel et al. 2022) leave at most half of the training loss; neither a
rate that falls to 0 along a line nor backward patterns of the latent weights does. **Why.** A step, and with it the
layer of stuck weights, shrinks with the rate, so the gain does not depend on it (C11-swing: flat in eta); and in a deep
network the patterns of latent weights have a threshold of their own. What remedies cost: the mean of k outputs takes k
evaluations; the average of latents, a copy of the weights; freezing, two numbers for each weight while training; latent
patterns, one more product per layer and step.

**C12-test.** On test points, where the loss is mostly not that of the oscillation, none of it matters: averages and
freezing change the test loss by less than a tenth.

**C12-language.** Late in training 1-bit and ternary Transformers on text scatter about their mean too: the mean of the
last 100 logits has at most three quarters of the training loss of single ones above the least there can be, with
gradient descent, momentum and Adam. Period two is not asked for: norms and residual streams answer over many steps.
Beside it, how the loss that the mean takes away goes with width, and what it is in full precision.

**Experiment on text.** Character-level Transformers of two layers, widths 32, 64 and 128, in full precision, BitLinear
and ternary; 16 windows of 32 characters each, all of them in every step, 600 steps at a constant rate, of which the
last 100 are followed; rates 0.25, 0.05 (momentum) and 0.003 times 64/m (Adam). Seeds draw starts and windows. The least
loss is the entropy of what follows equal beginnings. Rules and rates were chosen after trial runs of one network each
(seed 900): single logits of 1-bit Transformers had 0.6 to 1.1 nats at m = 32, 0.04 to 0.05 at 128, of which averages
left 0.35 to 0.95, and in full precision gradient descent at rate 0.5 diverged at m = 128.

**Experiment.** Digits, 128 training and 256 test points, inputs of norm sqrt(d). Three layers, both hidden layers m
wide, the m x m layer 1-bit neuron by neuron, the first and the last in full precision, weights N(0, 1) times
sqrt(2/fan-in), no biases; the loss is the mean square. 800 steps at a constant rate, of which the last 100 are
followed; the rate of Adam goes as 1/m. Autocorrelation is that of f_t less its mean over the window, as in C11-swing.
Rules are about the widest networks, m = 1024. Ratios are geometric means over networks, each against itself, or against
the network of the same start and batches without the remedy. Rules and rates were chosen after trial runs of one to
three networks (seeds 900 to 902, which the study does not use): at m = 64 and 256 with every optimiser and remedy, at
512 without remedies, and at 1024 in full batches without remedies, where autocorrelation was -0.5 to -0.8.
They were on the data of the study. They also chose when to look: at steps 300 to 400 outputs still drifted, and two
averaged outputs kept 0.77 of the loss at m = 512, rate 0.4. With Adam autocorrelation had either sign: no rule on it.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from ntk1bit.claims import Claim, Evidence, IntervalEstimate, IntervalWithin
from ntk1bit.claims.evidence import Measure
from ntk1bit.claims.measures import against, exponent, seeds_interval, seeds_ratio
from ntk1bit.statistics import geometric_interval, student_interval
from proofs_numeric.data import Data, grouped, highest, rows
from proofs_numeric.deep_oscillation_studies import ARMS, KINDS, LANGUAGE_RATES, Kind
from proofs_numeric.proof import Proof

_STUDY = "oscillation-deep"
_BY_NAME = {kind.name: kind for kind in KINDS}
_RATED = tuple((kind, rate) for kind in KINDS for rate in kind.rates)
_SHARES = {"averaged": "of two averaged outputs", "averaged_last": "of the mean of all outputs of the window"}
_CURES, _NO_CURES = ("averaged_last", "latents", "freezing"), ("latent", "decay")
WORDS = {
    "averaged": "two averaged outputs",
    "averaged_last": "averaged outputs",
    "latents": "averaged latent weights",
    "freezing": "freezing",
    "latent": "latent patterns",
    "decay": "a rate that falls to 0",
}
_LANGUAGE = "oscillation-language"
_QUANTISED = tuple(itertools.product(ARMS[1:], LANGUAGE_RATES))
_OF_LANGUAGE = {
    "averaged_last": "share of the loss that the mean of 100 logits leaves",
    "averaged": "share of the loss that the mean of two leaves",
    "autocorrelation": "autocorrelation of logits",
    "scatter.m": "exponent in m of the loss that the mean of 100 takes away",
    "test": "test loss of the mean of 100 logits over that of single ones",
}
_ASSUMED = (
    "Digits, n = 128, three layers of which the middle one is 1-bit, at the largest width; the last 100 of 800 steps"
)


def _named(what: str, kind: Kind, rate: float) -> str:
    return f"{what}.{kind.name}.{rate:g}"


def _labels(what: str, words: str, names: tuple[str, ...]) -> dict[str, str]:
    return {
        _named(what, kind, rate): f"{words}, {kind.words}, rate {rate:g}" for kind, rate in _RATED if kind.name in names
    }


def _each(name: str, what: str, low: float = -np.inf, high: float = np.inf) -> tuple[IntervalWithin, ...]:
    kind = _BY_NAME[name]
    return tuple(IntervalWithin(_named(what, kind, rate), low, high) for rate in kind.rates)


CLAIM = Claim(
    id="C12",
    title="the oscillation reaches deep networks",
    statement="Late in full-batch gradient descent the outputs of deep 1-bit networks oscillate with period two: their "
    "lag-one autocorrelation is below 0, and two averaged outputs have at most half the training loss of one.",
    source="ours",
    assumptions=f"{_ASSUMED}, at two rates.",
    refuted_by="an autocorrelation above 0, or two averaged outputs with more than half the training loss, at either "
    "rate",
    criteria=(*_each("sgd", "autocorrelation", high=0.0), *_each("sgd", "averaged", high=0.5)),
    context=(IntervalWithin("autocorrelation.ternary", high=0.0), IntervalWithin("averaged.ternary", high=0.5)),
    labels={
        **_labels("autocorrelation", "autocorrelation", ("sgd",)),
        **_labels("averaged", "loss of two averaged outputs over that of one", ("sgd",)),
        **_labels("averaged.m", "exponent of that share in m", ("sgd",)),
        **_labels("loss.m", "exponent of the loss in m", ("sgd",)),
        **_labels("returned", "share of flipped weights that flipped back", ("sgd",)),
        "autocorrelation.ternary": "autocorrelation, ternary weights",
        "averaged.ternary": "loss of two averaged outputs over that of one, ternary weights",
    },
    ranges="0, between an oscillation of period two and outputs that drift; one half, our reading of 'most of "
    "the loss'",
)
CLAIM_BATCHES = Claim(
    id="C12-batches",
    title="mini-batches do not hide the oscillation",
    statement="In batches of 32 of 128 points the lag-one autocorrelation of outputs is below 0 too.",
    source="ours",
    assumptions=f"{_ASSUMED}, at two rates.",
    refuted_by="an autocorrelation above 0 at either rate",
    criteria=_each("batches", "autocorrelation", high=0.0),
    labels={
        **_labels("autocorrelation", "autocorrelation", ("batches",)),
        **_labels("averaged", "loss of two averaged outputs over that of one", ("batches",)),
    },
    ranges="0, between an oscillation of period two and outputs that drift",
)
CLAIM_MOMENTUM = Claim(
    id="C12-momentum",
    title="momentum makes its period longer",
    statement="With momentum 0.9 outputs oscillate with a longer period than two: their lag-one autocorrelation is "
    "above 0, and two averaged outputs have more than half the training loss of one.",
    source="ours",
    assumptions=f"{_ASSUMED}, at two rates.",
    refuted_by="an autocorrelation below 0, or two averaged outputs with less than half the training loss, at either "
    "rate",
    criteria=(*_each("momentum", "autocorrelation", low=0.0), *_each("momentum", "averaged", low=0.5)),
    labels={
        **_labels("autocorrelation", "autocorrelation", ("momentum", "adam")),
        **_labels("averaged", "loss of two averaged outputs over that of one", ("momentum", "adam")),
    },
    ranges="0, between an oscillation of period two and outputs that drift; one half, that of C12",
)
CLAIM_AVERAGES = Claim(
    id="C12-averages",
    title="a hundred averaged outputs halve the loss",
    statement="With gradient descent in full and in small batches, with momentum and with Adam, the mean of the last "
    "100 outputs has at most half the training loss of single outputs.",
    source="ours",
    assumptions=f"{_ASSUMED}, at two rates each.",
    refuted_by="more than half the training loss with any optimiser at either rate",
    criteria=tuple(one for kind in KINDS for one in _each(kind.name, "averaged_last", high=0.5)),
    labels=_labels("averaged_last", "loss of the mean of all outputs over that of one", tuple(_BY_NAME)),
    ranges="one half, our reading of 'most of the loss'",
)
CLAIM_REMEDIES = Claim(
    id="C12-remedies",
    title="averaging and freezing cure it, decay does not",
    statement="At equal steps of full-batch gradient descent, averaging 100 outputs, averaging latent weights and "
    "freezing weights that oscillate leave at most half of the training loss; a rate that falls to 0 and latent "
    "patterns leave more than half.",
    source="ours",
    assumptions=f"{_ASSUMED}; against networks of the same starts without a remedy.",
    refuted_by="one of the first three that leaves more than half, or one of the last two that leaves less",
    criteria=(
        *(IntervalWithin(f"train.sgd.{one}", high=0.5) for one in _CURES),
        *(IntervalWithin(f"train.sgd.{one}", low=0.5) for one in _NO_CURES),
    ),
    labels={
        f"train.{kind.name}.{one}": f"training loss left by {WORDS[one]}, {kind.words}"
        for kind in KINDS
        if kind.remedies
        for one in ("averaged_last", "latents", *kind.remedies)
    },
    ranges="one half, that of C12",
)
CLAIM_TEST = Claim(
    id="C12-test",
    title="on test points the oscillation hardly matters",
    statement="Averaging outputs or latent weights, and freezing, change the test loss by less than a tenth, in full "
    "batches and with Adam.",
    source="ours",
    assumptions=f"{_ASSUMED}; against networks of the same starts without a remedy, on 256 test points.",
    refuted_by="a test loss outside [0.9, 1.1] of that of single outputs",
    criteria=tuple(
        IntervalWithin(f"test.{kind.name}.{one}", 0.9, 1.1) for kind in KINDS if kind.remedies for one in _CURES
    ),
    labels={
        f"test.{kind.name}.{one}": f"test loss left by {WORDS[one]}, {kind.words}"
        for kind in KINDS
        if kind.remedies
        for one in ("averaged_last", "latents", *kind.remedies)
    },
    ranges="a tenth, our reading of 'hardly'",
)
CLAIM_LANGUAGE = Claim(
    id="C12-language",
    title="averages help 1-bit Transformers in training",
    statement="Late in full-batch training on text the mean of the last 100 logits of 1-bit and ternary Transformers "
    "has at most three quarters of the training loss of single ones, above the least there can be.",
    source="ours",
    assumptions=f"Text, two layers, the widest Transformers; the last 100 steps, {', '.join(LANGUAGE_RATES)}.",
    refuted_by="more than three quarters with either kind of weights and any optimiser",
    criteria=tuple(IntervalWithin(f"averaged_last.{arm}.{one}", high=0.75) for arm, one in _QUANTISED),
    labels={
        f"{what}.{arm}.{one}": f"{words}, {arm}, {one}"
        for what, words in _OF_LANGUAGE.items()
        for arm, one in itertools.product(ARMS, LANGUAGE_RATES)
    },
    ranges="three quarters, our reading of 'a good part'",
)


def evidence(data: Data) -> Evidence:
    """Judge autocorrelation and averages in full batches; tables have every optimiser, rate and width."""
    frame = data.frame(_STUDY)
    kind = _BY_NAME["sgd"]
    measures: list[Measure] = [*_autocorrelations(frame, "sgd"), *_shares(frame, "sgd", "averaged")]
    for rate in kind.rates:
        every = _plain(frame, kind, rate)
        shares = every.assign(share=every["averaged"] / every["loss"])
        for name, column, words in (
            ("averaged.m", "share", "loss of two averaged outputs over that of one"),
            ("loss.m", "loss", "mean training loss over the last 100 steps"),
        ):
            measures.append(exponent(against(shares, "width", column, meaning=words), _named(name, kind, rate), _STUDY))
        last = _widest(every)
        back = last["returned"] / last["flipped"]
        meaning = "weights that flip back within the window over those that flip"
        measures.append(seeds_interval(back, _named("returned", kind, rate), meaning, _where(last), _STUDY))
    ternary = frame.loc[frame["levels"] == "ternary"]
    where = _where(ternary)
    measures += [
        seeds_interval(ternary["autocorrelation"], "autocorrelation.ternary", "over the last steps", where, _STUDY),
        seeds_ratio(ternary["averaged"] / ternary["loss"], "averaged.ternary", _SHARES["averaged"], where, _STUDY),
    ]
    return Evidence(tuple(measures), {"against width": _against_width(frame)})


def evidence_batches(data: Data) -> Evidence:
    """Judge the autocorrelation in small batches."""
    frame = data.frame(_STUDY)
    return Evidence((*_autocorrelations(frame, "batches"), *_shares(frame, "batches", "averaged")), {})


def evidence_momentum(data: Data) -> Evidence:
    """Judge autocorrelation and averages of two with momentum, and measure those of Adam."""
    frame = data.frame(_STUDY)
    measures = [
        one
        for name in ("momentum", "adam")
        for one in (*_autocorrelations(frame, name), *_shares(frame, name, "averaged"))
    ]
    return Evidence(tuple(measures), {})


def evidence_averages(data: Data) -> Evidence:
    """Judge the mean of all outputs of the window with every optimiser."""
    frame = data.frame(_STUDY)
    return Evidence(tuple(one for kind in KINDS for one in _shares(frame, kind.name, "averaged_last")), {})


def evidence_remedies(data: Data) -> Evidence:
    """Judge what remedies leave of the training loss."""
    frame = data.frame(_STUDY)
    return Evidence(_left(frame, "train", ""), {"remedies": _remedies(frame)})


def evidence_test(data: Data) -> Evidence:
    """Judge what remedies leave of the test loss."""
    return Evidence(_left(data.frame(_STUDY), "test", "test_"), {})


def evidence_language(data: Data) -> Evidence:
    """Judge what averages leave of the training loss of Transformers, above the least there can be."""
    frame = data.frame(_LANGUAGE)
    frame = frame.loc[frame["remedy"] == "none"]
    measures: list[Measure] = []
    tables = []
    for arm, optimiser in itertools.product(ARMS, LANGUAGE_RATES):
        every = frame.loc[(frame["arm"] == arm) & (frame["optimiser"] == optimiser)]
        every = every.assign(scatter=every["loss"] - every["averaged_last"])
        last = _widest(every)
        where, name = _where(last), f"{arm}.{optimiser}"
        above = last["loss"] - last["least"]
        for column in ("averaged_last", "averaged"):
            share = pd.Series((last[column] - last["least"]) / above)
            words = f"{_SHARES[column]} over that of single logits, both above the least"
            measures.append(seeds_interval(share, f"{column}.{name}", words, where, _LANGUAGE))
        turns = seeds_interval(last["autocorrelation"], f"autocorrelation.{name}", "at lag one", where, _LANGUAGE)
        test = pd.Series(last["test_averaged_last"] / last["test_loss"])
        of = "training loss of single logits less that of their mean"
        measures += [
            turns,
            seeds_interval(test, f"test.{name}", "on validation windows", where, _LANGUAGE),
            exponent(against(every, "width", "scatter", meaning=of), f"scatter.m.{name}", _LANGUAGE),
        ]
        columns = ["loss", "averaged", "averaged_last", "least", "test_loss", "test_averaged_last", "flips"]
        tables.append(rows(grouped(every, ["width"], columns), arm=arm, optimiser=optimiser))
    return Evidence(tuple(measures), {"Transformers": pd.concat(tables, ignore_index=True)})


PROOFS = (
    Proof(CLAIM, (_STUDY,), evidence),
    Proof(CLAIM_BATCHES, (_STUDY,), evidence_batches),
    Proof(CLAIM_MOMENTUM, (_STUDY,), evidence_momentum),
    Proof(CLAIM_AVERAGES, (_STUDY,), evidence_averages),
    Proof(CLAIM_REMEDIES, (_STUDY,), evidence_remedies),
    Proof(CLAIM_TEST, (_STUDY,), evidence_test),
    Proof(CLAIM_LANGUAGE, (_LANGUAGE,), evidence_language),
)


def _plain(frame: pd.DataFrame, kind: Kind, rate: float) -> pd.DataFrame:
    """Return the networks of one optimiser and rate without a remedy."""
    chosen = (frame["optimiser"] == kind.optimiser) & (frame["batch"] == kind.batch) & (frame["rate"] == rate)
    return frame.loc[chosen & (frame["remedy"] == "none") & (frame["levels"] == "signs")]


def _widest(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.loc[frame["width"] == highest(frame["width"])].sort_values("seed")


def _where(frame: pd.DataFrame) -> str:
    return f"m = {highest(frame['width']):g}"


def _autocorrelations(frame: pd.DataFrame, name: str) -> list[Measure]:
    kind, found = _BY_NAME[name], list[Measure]()
    for rate in kind.rates:
        last = _widest(_plain(frame, kind, rate))
        measure = _named("autocorrelation", kind, rate)
        found.append(seeds_interval(last["autocorrelation"], measure, "over the last steps", _where(last), _STUDY))
    return found


def _shares(frame: pd.DataFrame, name: str, column: str) -> list[Measure]:
    """Return the training loss of averages over that of single outputs, at the largest width and each rate."""
    kind, found = _BY_NAME[name], list[Measure]()
    for rate in kind.rates:
        last = _widest(_plain(frame, kind, rate))
        share = pd.Series(last[column] / last["loss"])
        found.append(seeds_ratio(share, _named(column, kind, rate), _SHARES[column], _where(last), _STUDY))
    return found


def _left(frame: pd.DataFrame, points: str, before: str) -> tuple[Measure, ...]:
    """Return what remedies leave of the loss of single outputs of the networks of the same seeds without any."""
    found = []
    for kind in KINDS:
        if not kind.remedies:
            continue
        plain = _widest(_plain(frame, kind, kind.rates[0])).set_index("seed")
        for remedy, loss in _remedied(frame, kind, plain, before):
            meaning = f"loss on {points} points over that without, networks of one seed"
            where = f"{_where(plain)}, rate {kind.rates[0]:g}"
            measure = f"{points}.{kind.name}.{remedy}"
            found.append(seeds_ratio(loss / plain[f"{before}loss"], measure, meaning, where, _STUDY))
    return tuple(found)


def _remedied(frame: pd.DataFrame, kind: Kind, plain: pd.DataFrame, before: str) -> list[tuple[str, pd.Series]]:
    """Return the loss with each remedy by seed; averages are taken of the networks without any other."""
    chosen = (frame["optimiser"] == kind.optimiser) & (frame["batch"] == kind.batch)
    averages = [(one, pd.Series(plain[f"{before}{one}"])) for one in ("averaged_last", "latents")]
    by_remedy = {one: frame.loc[chosen & (frame["remedy"] == one)].set_index("seed") for one in kind.remedies}
    return averages + [(one, pd.Series(found[f"{before}loss"])) for one, found in by_remedy.items()]


def _against_width(frame: pd.DataFrame) -> pd.DataFrame:
    """Return autocorrelation, loss and shares of every optimiser, rate and width with their intervals."""
    found = []
    for (kind, rate), column in itertools.product(_RATED, ("autocorrelation", "loss", *_SHARES)):
        for width, cell in _plain(frame, kind, rate).groupby("width"):
            values = (cell[column] / (cell["loss"] if column in _SHARES else 1.0)).to_numpy(np.float64)
            values = values[np.isfinite(values)]
            of = student_interval if column == "autocorrelation" else geometric_interval
            entry = {"kind": kind.name, "rate": rate, "measure": column, "width": width}
            found.append(entry | dict(zip(("value", "low", "high"), of(values), strict=True)) | {"seeds": len(values)})
    return pd.DataFrame(found)


def _remedies(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what each remedy leaves, on training and on test points."""
    found = []
    for points, before in (("train", ""), ("test", "test_")):
        for one in _left(frame, points, before):
            if isinstance(one, IntervalEstimate):
                _, kind, remedy = one.id.split(".")
                entry = {"kind": kind, "remedy": remedy, "points": points}
                found.append(entry | {"value": one.value, "low": one.low, "high": one.high, "seeds": one.seeds})
    return pd.DataFrame(found)
