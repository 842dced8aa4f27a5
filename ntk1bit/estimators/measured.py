"""The measures of a sweep that a claim can be about: what each is, how it is normalised, and what it is read from.

One table serves the reader of claim files, `ntk1bit measures` and docs/claims.md. A measure is one number per network
(the gap: per pair of networks) at every step, or at those steps that are recorded in full; `estimators.moments` reduces
it to one number per network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pandas as pd

from ntk1bit.errors import InputError, require_choice

EVERY_STEP, RECORDED_STEPS = "every step", "recorded steps"


@dataclass(frozen=True)
class MeasureDefinition:
    """One measure of a two-layer network in training.

    Attributes
    ----------
    name
        What claim files call it.
    meaning
        What it is, with its normalisation, in the symbols of docs/model.md.
    source
        Where it comes from: ``D25, Lemma 4.1``; ``ours``.
    columns
        The stored columns that it is computed from, besides those of every run.
    values
        From a frame as `Run.frame` gives it, steps in order within each network, to its values, a row each; NaN where
        it is not recorded. None for the gap, which is of pairs (`estimators.outputs`).
    every_step
        Whether it is stored at every step, and not only at those recorded in full.
    signed
        Whether it can have either sign, so that it has no logarithm.
    option
        The option of `ntk1bit sweep` without which a run does not have it; empty where every run has it.
    """

    name: str
    meaning: str
    source: str
    columns: tuple[str, ...]
    values: Callable[[pd.DataFrame], pd.Series] | None
    every_step: bool = False
    signed: bool = False
    option: str = ""

    @property
    def of_pairs(self) -> bool:
        """Whether it compares both precisions at the same seed."""
        return self.values is None

    @property
    def recorded_at(self) -> str:
        """The steps at which it has a value."""
        return EVERY_STEP if self.every_step else RECORDED_STEPS

    @property
    def shape(self) -> str:
        """What one number of it belongs to, and at which steps there is one."""
        return f"per {'pair of precisions' if self.of_pairs else 'network'}, {self.recorded_at}"

    def as_dict(self) -> dict[str, str]:
        """Return its row of the table, in words."""
        names = ("name", "meaning", "shape", "source", "option")
        return {name: getattr(self, name) for name in names}


def _column(frame: pd.DataFrame, *, name: str) -> pd.Series:
    return pd.Series(frame[name])


def _share_of_start(frame: pd.DataFrame, *, name: str) -> pd.Series:
    start = pd.Series(frame.groupby("key")[name].transform("first"))
    return pd.Series(frame[name] / start.where(start > 0))


def _share_of_unit(frame: pd.DataFrame, *, name: str) -> pd.Series:
    unit = pd.Series(frame["unit"])
    return pd.Series(frame[name] / unit.where(unit > 0))


def _step(frame: pd.DataFrame) -> pd.Series:
    return pd.Series(frame["step"].astype(float))


def _time(frame: pd.DataFrame) -> pd.Series:
    return pd.Series(frame["eta"] * frame["step"])


def _stored(name: str, meaning: str, source: str, *, every_step: bool = False, option: str = "") -> MeasureDefinition:
    return MeasureDefinition(
        name, meaning, source, (name,), partial(_column, name=name), every_step=every_step, option=option
    )


def _term(name: str, meaning: str) -> MeasureDefinition:
    return MeasureDefinition(
        name,
        f"{meaning}, divided by eta r'Hr of that step",
        "D25, Claim H.2",
        (name, "unit"),
        partial(_share_of_unit, name=name),
        signed=True,
        option="--terms",
    )


_PREDICTED = "root mean square over {} inputs of f minus what descent with {} predicts for it"

MEASURES: dict[str, MeasureDefinition] = {
    one.name: one
    for one in (
        _stored("loss", "training loss L = 1/2 sum_i (f(x_i) - y_i)^2, a sum", "D25, Thm 4.2", every_step=True),
        MeasureDefinition(
            "loss_share",
            "L(t) / L(0)",
            "D25, Lemma I.2",
            ("loss",),
            partial(_share_of_start, name="loss"),
            every_step=True,
        ),
        MeasureDefinition("step", "number of descent steps t", "ours", ("step",), _step, every_step=True),
        MeasureDefinition("time", "time of gradient flow, eta t", "ours", ("eta",), _time, every_step=True),
        _stored("test_loss", "1/2 sum (f - y)^2 over the test inputs, a sum", "ours", option="--n-test"),
        _stored("drift", "relative drift of the kernel, norm_F(H(t) - H(0)) / norm_F(H(0))", "D25, Lemma 4.1"),
        _stored("kernel_norm", "norm_F(H(t))", "D25, Def. G.1"),
        _stored("lambda_min", "smallest eigenvalue of H(t)", "D25, Lemma G.5"),
        _stored("lambda_max", "largest eigenvalue of H(t)", "D25, Def. G.1"),
        MeasureDefinition(
            "lambda_ratio",
            "lambda_min(H(t)) / lambda_min(H(0)), which has to stay above 1/2",
            "D25, Lemma G.5",
            ("lambda_min",),
            partial(_share_of_start, name="lambda_min"),
        ),
        _stored("flipped", "share of the m d signs q(w) that differ from the start", "ours"),
        _stored("activation_change", "share of the m n activations that differ from the start", "D25, Eq. 5"),
        _stored("max_activation_change", "the same for the training input where it is largest", "D25, Eq. 5"),
        _stored("radius", "max_r norm(w_r(t) - w_r(0)), the farthest a neuron's weights are", "D25, Claim I.5"),
        MeasureDefinition(
            "gap",
            "root mean square over test inputs of f - f', 1-bit and full precision at the same seed",
            "D25, Thm 5.2",
            ("test_outputs",),
            None,
            option="--n-test",
        ),
        _stored("from_h", _PREDICTED.format("training", "the kernel H(0)"), "D25, Thm 4.2", option="--predictions"),
        _stored("from_h_test", _PREDICTED.format("test", "the kernel H(0)"), "ours", option="--predictions"),
        _stored("from_k_eff", _PREDICTED.format("training", "K_eff (1-bit only)"), "ours", option="--predictions"),
        _stored("from_k_eff_test", _PREDICTED.format("test", "K_eff (1-bit only)"), "ours", option="--predictions"),
        _term("c1", "C1 of a step, by the neurons that did not switch"),
        _term("c2", "C2 of a step, by the neurons that switched"),
        _term("c3", "C3 of a step, what straight-through gradients do not see"),
        _term("c4", "C4 = 1/2 norm(Delta f)^2 of a step"),
    )
}


def measure_definition(name: str) -> MeasureDefinition:
    """Return a measure of the table.

    Raises
    ------
    InputError
        For an unknown name, with those that exist.
    """
    return MEASURES[require_choice("measure", name, MEASURES)]


def require_recorded(definition: MeasureDefinition, spec: object) -> None:
    """Refuse a measure that a sweep with these settings does not record, before it runs.

    Parameters
    ----------
    definition
        The measure.
    spec
        A `SweepSpec`.

    Raises
    ------
    InputError
        Saying which option of the sweep it needs.
    """
    needs = [name for name in ("predictions", "terms") if definition.option == f"--{name}" and not getattr(spec, name)]
    if any("test" in name for name in definition.columns) and not getattr(spec, "n_test", 0):
        needs.append("n_test")
    for name in needs:
        asked = "test inputs (n_test of at least 1)" if name == "n_test" else f"{name} = true"
        raise InputError(
            f"measure {definition.name!r} needs a sweep with {asked}, which this one lacks; run one with {asked} "
            f"in [sweep], or with ntk1bit sweep --{name.replace('_', '-')}"
        )
    lacking = sorted({"one_bit", "full"} - set(getattr(spec, "precisions", ())))
    if definition.of_pairs and lacking:
        raise InputError(
            f"measure {definition.name!r} compares both precisions, and this sweep lacks {', '.join(lacking)}; "
            "run it with both (--precisions one_bit,full)"
        )
