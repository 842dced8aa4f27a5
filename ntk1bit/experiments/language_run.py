"""A finished run of language models: its networks as a frame, the rates found, the trigram model, and the weights."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pandas as pd

from ntk1bit.data import text as texts
from ntk1bit.errors import InputError, require_choice
from ntk1bit.experiments.language import LanguageModel
from ntk1bit.experiments.language_spec import SEARCH, SEEDS, LanguageSpec, Rates
from ntk1bit.experiments.rate_search import best_of
from ntk1bit.experiments.run import Run, open_run
from ntk1bit.experiments.runner import Progress, run_all
from ntk1bit.experiments.store import Store
from ntk1bit.files import set_aside
from ntk1bit.networks.transformer_shape import Arm, Shape

if TYPE_CHECKING:
    from ntk1bit.networks.transformer import Transformer


@dataclass(frozen=True)
class LanguageRun:
    """A finished run.

    Attributes
    ----------
    spec
        What it was asked for.
    frame
        A row for each network and arm evaluated: settings, `stage` (``search``, ``seeds``, ``stability``), `size`,
        `seconds` (which sum to the time on one processor), and what `LanguageModel.run` returns. Networks of the search
        at the best rate and first seed are among ``seeds`` too.
    rates
        The rate found for each arm and size.
    trigram
        Loss of the trigram model on the same windows: `loss`, `loss_error`, `bits`, `bits_error`, `window_losses`.
    """

    spec: LanguageSpec
    frame: pd.DataFrame
    rates: Rates
    trigram: dict[str, Any]


def language_run(run: Run) -> LanguageRun:
    """Put the tables of a finished run together.

    Raises
    ------
    InputError
        If it is of another kind, or not finished.
    """
    spec = run.spec
    if not isinstance(spec, LanguageSpec):
        raise InputError(f"{run.folder} is of a run of {spec.COMMAND}, not of {LanguageSpec.COMMAND}")
    run.require_whole()
    frames = [run.frame(stage=stage.name).assign(stage=stage.name.split()[0]) for stage in run.stages]
    frame = pd.concat(frames, ignore_index=True)
    frame["size"] = [f"{a}x{b}" for a, b in zip(frame["layers"], frame["width"], strict=True)]
    frame["seconds"] = [run.about[key]["seconds"] for key in frame["key"]]
    searched = frame.loc[frame["stage"] == SEARCH]
    rates = {
        (str(arm), str(size)): best_of(dict(zip(part["rate"], part["train_loss"], strict=True)))
        for (arm, size), part in searched.groupby(["arm", "size"])  # pyright: ignore[reportGeneralTypeIssues]
    }
    return LanguageRun(spec, frame, rates, trigram(spec))


def load_language_run(folder: Path | str) -> LanguageRun:
    """Read a finished run.

    Raises
    ------
    InputError
        If there is none, it is of another kind, or not finished.
    """
    return language_run(open_run(folder))


def trigram(spec: LanguageSpec) -> dict[str, Any]:
    """Measure the trigram model on the validation windows of a run."""
    return _ngrams(spec)["trigram"]


def ngram_losses(spec: LanguageSpec) -> dict[str, float]:
    """Return the losses of the unigram, bigram and trigram models, by these names, in nats a character.

    They are measured on the validation windows of a run. A network with a loss of the bigram model or more makes less
    of all its context than counting makes of one character: it is barely trained.
    """
    return {name: float(found["loss"]) for name, found in _ngrams(spec).items()}


@functools.lru_cache(maxsize=4)
def _ngrams(spec: LanguageSpec) -> dict[str, dict[str, Any]]:
    from ntk1bit.data.ngram import NGram, fit_ngram, log_probabilities

    corpus = texts.load(spec.text)
    windows = texts.validation_windows(corpus.validation, context=spec.context, count=spec.windows)
    fitted = fit_ngram(corpus.train, vocabulary=corpus.vocabulary, order=3)
    return {
        name: texts.loss_columns(-log_probabilities(NGram(fitted.vocabulary, fitted.grams[:order]), windows))
        for order, name in enumerate(("unigram", "bigram", "trigram"), start=1)
    }


class StoredNetwork(NamedTuple):
    """A network read back from a run, with its shape and the alphabet of its text."""

    model: Transformer
    shape: Shape
    alphabet: str


def read_network(
    folder: Path | str, *, size: str | None = None, arm: str = "bitnet", seed: int | None = None
) -> StoredNetwork:
    """Read the network of one size, arm and seed, trained at the best rate.

    Parameters
    ----------
    folder
        A finished run.
    size
        As ``"3x64"``; the largest by default.
    arm
        A trained arm.
    seed
        The first of the run by default.

    Raises
    ------
    InputError
        If the run is not finished or has no such network, or its weights cannot be read.
    """
    from ntk1bit.training.language import load_weights

    run = open_run(folder)
    experiment = _network(run, size=size, arm=arm, seed=seed)
    alphabet = texts.load(experiment.text).alphabet
    shape = experiment.shape(len(alphabet))
    path = Store(run.folder).scratch(experiment.key).with_suffix(".weights")
    model = load_weights(path, experiment.key, shape, arm=cast(Arm, arm), form=experiment.layer_form)
    return StoredNetwork(model, shape, alphabet)


def restore_network(
    folder: Path | str,
    *,
    size: str | None = None,
    arm: str = "bitnet",
    seed: int | None = None,
    progress: Progress | None = None,
) -> bool:
    """Train a network of a finished run again if its weights are lost or damaged; return whether that was needed.

    Its result and what is left of the weights are set aside, so that both are of one training.

    Parameters are those of `read_network`, and `progress` of `run_all`.

    Raises
    ------
    InputError
        As `read_network`, but for weights that are lost or damaged, and if the folder cannot be written.
    """
    run = open_run(folder)
    experiment, store = _network(run, size=size, arm=arm, seed=seed), Store(run.folder)
    weights = store.scratch(experiment.key).with_suffix(".weights")
    try:
        read_network(folder, size=size, arm=arm, seed=seed)
    except InputError:
        if weights.exists() and not os.access(weights, os.R_OK):
            raise
        with store.lock():
            for path in (weights, store.path(experiment.key)):
                if path.exists():
                    set_aside(path)
        run_all(run.spec, run.folder, progress=progress)
        return True
    return False


def _network(run: Run, *, size: str | None, arm: str, seed: int | None) -> LanguageModel:
    """Find the experiment that trained a network."""
    spec = run.spec
    if not isinstance(spec, LanguageSpec):
        raise InputError(f"{run.folder} is of a run of {spec.COMMAND}, not of {LanguageSpec.COMMAND}")
    run.require_whole()
    size = str(spec.shapes[-1]) if size is None else require_choice("size", size, [str(one) for one in spec.shapes])
    require_choice("arm", arm, spec.trained_arms)
    seed = spec.seeds[0] if seed is None else seed
    if seed not in spec.seeds:
        raise InputError(f"{run.folder} has no seed {seed}; it has: {', '.join(map(str, spec.seeds))}")
    (seeds,) = (stage.experiments for stage in run.stages if stage.name == SEEDS)
    return next(
        one
        for one in seeds
        if isinstance(one, LanguageModel) and (f"{one.layers}x{one.width}", one.arm, one.seed) == (size, arm, seed)
    )
