"""What claims read: the frames of the studies of one verification."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from ntk1bit.claims import Number
from ntk1bit.estimators.against_width import AgainstWidth
from ntk1bit.estimators.convergence import final_loss
from ntk1bit.experiments import Run, SweepSpec, open_run
from ntk1bit.experiments.language_run import LanguageRun, language_run
from ntk1bit.experiments.predictions import COLUMNS as PREDICTION_COLUMNS
from ntk1bit.experiments.two_layer import CHECKPOINT_COLUMNS, TERM_COLUMNS

PRECISIONS = {"one_bit": "1-bit", "full": "full precision"}  # in words
DELTA = 0.05  # the failure probability at which D25's probabilistic statements are tested
VACUITY = "log10 of the width asked for over the widest run"  # label of what `vacuity` returns
_OF_SWEEPS = (*CHECKPOINT_COLUMNS, *PREDICTION_COLUMNS, *TERM_COLUMNS, "test_loss", "test_outputs")


class Data:
    """Reads the stored studies of a verification, each once.

    Parameters
    ----------
    folder
        The verification's folder.
    frames
        Frames that are at hand already, by the names of their studies.
    languages
        Language runs that are at hand already, by name.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        frames: Mapping[str, pd.DataFrame] | None = None,
        languages: Mapping[str, LanguageRun] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self._languages: dict[str, LanguageRun] = dict(languages or {})
        self._runs: dict[str, Run] = {}
        self._frames: dict[str, pd.DataFrame] = dict(frames or {})

    def run(self, study: str) -> Run:
        """Open a finished study.

        Raises
        ------
        InputError
            If it is not finished, or one of its files is damaged: a verdict on part of the evidence would be none.
        """
        if study not in self._runs:
            run = open_run(self.folder / "studies" / study)
            run.require_whole()
            self._runs[study] = run
        return self._runs[study]

    def frame(self, study: str, *, also: tuple[str, ...] = ()) -> pd.DataFrame:
        """Return a study's frame (see `Run.frame`); of a sweep, every step and all stored columns but `outputs`.

        `also` names the long columns of a sweep that are wanted as well; they are read anew at every call.
        """
        if study in self._frames and set(also) <= set(self._frames[study]):
            return self._frames[study]
        run = self.run(study)
        frame = run.frame((*_OF_SWEEPS, *also) if isinstance(run.spec, SweepSpec) else None)
        if not also:
            self._frames[study] = frame
        return frame

    def language(self, study: str) -> LanguageRun:
        """Return the networks of a study of language models.

        Raises
        ------
        InputError
            If it is not finished.
        """
        if study not in self._languages:
            self._languages[study] = language_run(self.run(study))
        return self._languages[study]


def cells(frame: pd.DataFrame) -> pd.DataFrame:
    """Reduce a frame with every step to a row per cell.

    Returns
    -------
    Index key; the cell's settings, eta, and, as far as the columns are there: `loss_start`, `loss_end` (mean over the
    last tenth of the steps), `loss_half` (the same of the first half of the steps), `residual_sum` = sum_t norm(r_t)
    over the steps taken, `drift`, `activation_change` and `radius` (largest), `kernel_norm` and `lambda_min` at the
    start, `lambda_lowest`.
    """
    settings = [
        "task", "dim", "n_train", "width", "precision", "init", "scale", "kappa", "seed", "eta", "eta_rel", "diverged",
        *(["data_seed"] if "data_seed" in frame else []),
    ]  # fmt: skip
    frame = frame.sort_values(["key", "step"], ignore_index=True)
    by_cell = frame.groupby("key")
    found = by_cell[settings].first()
    found["loss_start"] = by_cell["loss"].first()
    last = pd.Series(by_cell["step"].transform("max"))
    found["loss_end"] = by_cell["loss"].agg(lambda loss: final_loss(loss.to_numpy()))
    by_half = frame.loc[frame["step"] <= last / 2].groupby("key")
    found["loss_half"] = by_half["loss"].agg(lambda loss: final_loss(loss.to_numpy()))
    taken = frame.loc[frame["step"] < last]
    found["residual_sum"] = (2 * taken["loss"]).pow(0.5).groupby(taken["key"]).sum()
    for column, name, how in (
        ("drift", "drift", "max"),
        ("activation_change", "activation_change", "max"),
        ("radius", "radius", "max"),
        ("kernel_norm", "kernel_norm", "first"),
        ("lambda_min", "lambda_min", "first"),
        ("lambda_min", "lambda_lowest", "min"),
    ):
        if column in frame:
            found[name] = getattr(by_cell[column], how)()
    return pd.DataFrame(found)


def over_data_sets(data: Data, studies: tuple[str, ...]) -> pd.DataFrame:
    """Return the frame of the studies that differ in their data alone: networks crossed with data sets."""
    return pd.concat(
        [data.frame(study).assign(data_seed=seed) for seed, study in enumerate(studies)], ignore_index=True
    )


def networks_of(data: Data, studies: tuple[str, ...]) -> pd.DataFrame:
    """Return the `cells` of several sweeps, with the name of each one's study."""
    return pd.concat([cells(data.frame(study)).assign(study=study) for study in studies])


def fitted_exponent(one: AgainstWidth) -> dict[str, float]:
    """Return a fitted exponent with its interval as columns of a table: exponent, low, high."""
    return dict(zip(("exponent", "low", "high"), one.power.exponent_interval, strict=True))


def theorem_width(lambda_min: float, points: float, dim: float, loss: float, *, dim_power: int) -> float:
    """Return log10 of the width lambda^-8 n^12 d^p/(delta eps)^4 that D25 asks for, with the constant 1."""
    powers = -8 * np.log10(lambda_min) + 12 * np.log10(points) + dim_power * np.log10(dim)
    return float(powers - 4 * np.log10(DELTA * loss))


def vacuity(measure: str, log_width: float, widest: float, span: str, study: str) -> Number:
    """Return how far out of reach a premise is: log10 of the width that it asks for, over the widest that was run."""
    return Number(measure, f"{VACUITY}, with constants of 1", log_width - float(np.log10(widest)), span, study)


def log_factor(frame: pd.DataFrame) -> Float[np.ndarray, " k"]:
    """Return D25's D = max(sqrt(log(m d/delta)), 1), without its free constant C, for each row (columns width, dim)."""
    return np.maximum(np.sqrt(np.log(np.asarray(frame["width"], np.float64) * np.asarray(frame["dim"]) / DELTA)), 1.0)


def widest(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep the four widest widths, over which a claim about large m is judged: there a floor shows."""
    return frame.loc[frame["width"].isin(sorted(set(frame["width"]))[-4:])]


def grouped(frame: pd.DataFrame, keys: list[str], values: list[str], how: str = "mean") -> pd.DataFrame:
    """Return one row a combination of `keys`, with `values` reduced by `how`; keys are columns."""
    return pd.DataFrame(frame.groupby(keys)[values].agg(how)).reset_index()


def highest(values: pd.Series | pd.DataFrame) -> float:
    """Return the largest entry as a plain number."""
    return float(np.max(np.asarray(values)))


def with_setting(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with the kind of data of each row in a column `setting`: `sphere3`, `digits`."""
    names = [
        task.split("-")[0] + (f"{dim}" if dim else "") for task, dim in zip(frame["task"], frame["dim"], strict=True)
    ]
    return frame.assign(setting=names)


def labels_by_setting(words: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """Return labels of measures `name.setting` from what each name and each setting is in words."""
    return {f"{name}.{one}": f"{said}, {where}" for one, where in settings.items() for name, said in words.items()}


def span_of(frame: pd.DataFrame, **symbols: str) -> str:
    """Write the ranges of columns: `span_of(frame, m="width", d="dim")` is `m = 64..1024, d = 8..128`."""
    parts = []
    for symbol, column in symbols.items():
        values = np.asarray(frame[column])
        parts.append(f"{symbol} = {values.min():g}..{values.max():g}")
    return ", ".join(parts)


def rows(table: pd.DataFrame, **columns: object) -> pd.DataFrame:
    """Return a table with constant columns in front."""
    front = pd.DataFrame({name: [value] * len(table) for name, value in columns.items()}, index=table.index)
    return pd.DataFrame(pd.concat([front, table], axis=1))
