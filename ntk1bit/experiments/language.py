"""Run a sweep of language models: the search for rates, the seeds, the stability; each network a file, resumable.

    NAME/spec.toml              what was asked, in full, with versions; a resume with another specification is refused
    NAME/cells/<key>.parquet    one trained network: its losses (`ntk1bit.training.language`)
    NAME/cells/<key>.weights    its weights; <key>.checkpoint while it is being trained

Which rates are tried depends on losses only, so a resumed run makes the same choices.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import tomli_w

from ntk1bit.errors import InputError
from ntk1bit.experiments import Measurement, run_measurements
from ntk1bit.experiments.executors import local_executor, stop
from ntk1bit.experiments.language_spec import LanguageSpec, Size, read_spec
from ntk1bit.experiments.spec import require_own_folder
from ntk1bit.experiments.store import Store, versions
from ntk1bit.files import write_whole

_FUNCTION = "ntk1bit.training.language:train_language"
_VERSION = 2  # raised when training means something else, so that stored networks are not taken for new ones
STABILITY_SHARE = 4  # stability is tried with this fraction of the tokens

Tuned = dict[tuple[str, str], float]  # best rate by (arm, size)


@dataclass(frozen=True)
class LanguageRun:
    """A finished sweep.

    Attributes
    ----------
    spec
        What was asked.
    frame
        A row a network and arm evaluated: settings, `stage` (``search``, ``seeds``, ``stability``), `size`, and what
        `train_language` returns. Networks of the search at the best rate and first seed are among ``seeds`` too.
    rates
        The rate found for each arm and size.
    trigram
        Loss, its standard error, of the trigram model on the same windows: `loss`, `loss_error`, `bits`, `bits_error`,
        and `window_losses`.
    """

    spec: LanguageSpec
    frame: pd.DataFrame
    rates: Tuned
    trigram: Mapping[str, Any]

    @property
    def count(self) -> int:
        """Number of networks trained."""
        return len(self.frame.drop_duplicates(["size", "arm", "rate", "seed", "tokens"]))

    @property
    def seconds(self) -> float:
        """Time they took on one core."""
        once = self.frame.drop_duplicates(["size", "arm", "rate", "seed", "tokens", "evaluated"])
        return sum(float(one) for one in once["seconds"].to_numpy())


def cell(spec: LanguageSpec, size: Size, arm: str, rate: float, seed: int, *, tokens: int | None = None) -> Measurement:
    """Return the measurement of one network; its `tokens` are those it sees, in whole steps."""
    step = spec.batch * spec.context
    tokens = spec.trained_tokens if tokens is None else tokens // step * step
    settings: dict[str, Any] = {
        "text": spec.text,
        "layers": size.layers,
        "width": size.width,
        "heads": size.heads,
        "arm": arm,
        "rate": rate,
        "tokens": tokens,
        "batch": spec.batch,
        "context": spec.context,
        "seed": seed,
        "windows": spec.windows,
        "activation": spec.activation,
        "tied": spec.tied,
        "surrogate": spec.surrogate,
    }
    each = 6 * size.parameters + 12 * size.layers * size.width * spec.context + 1e5  # operations a character
    return Measurement(_FUNCTION, tuple(settings.items()), cost=3.0 + 3e-11 * each * tokens, version=_VERSION)


def planned_seconds(spec: LanguageSpec) -> float:
    """Estimate the time of a sweep on one core, if the search for rates needs no more than its three neighbours."""
    runs = len(spec.seeds) + 2
    seconds = sum(cell(spec, size, arm, 1.0, 0).cost * runs for size in spec.shapes for arm in spec.trained_arms)
    middle = cell(spec, spec.shapes[len(spec.sizes) // 2], "full", 1.0, 0, tokens=spec.tokens // STABILITY_SHARE).cost
    tried = len(spec.seeds) * (len(spec.stability) + 1) * len(spec.trained_arms) if spec.stability else 0
    return seconds + middle * tried


def run_language(
    spec: LanguageSpec,
    folder: Path,
    *,
    jobs: int = 1,
    resume: bool = False,
    executor: Executor | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> LanguageRun:
    """Train every network that the folder does not hold yet, and return all of them.

    Parameters
    ----------
    spec
        What to train.
    folder
        The run's folder; must be visible to every worker under the same path.
    jobs, executor
        As in `run_measurements`.
    resume
        Go on with a run of the same specification.
    progress
        Called with what is being done and the share of the work done (the search may add some).

    Raises
    ------
    InputError
        If the folder holds another run, this one without `resume`, cannot be written, or the text cannot be read.
    KeyboardInterrupt
        On Ctrl-C; finished networks stay, and the checkpoints of those being trained.
    """
    from ntk1bit.data import text

    corpus = text.load(spec.text)  # before any worker starts: a missing package is told at once
    text.validation_windows(corpus.validation, context=spec.context, count=spec.windows)
    require_own_folder(folder, spec, read_spec, resume=resume)
    with Store(folder).lock():
        cells = folder / "cells"
        cells.mkdir(parents=True, exist_ok=True)
        if not (folder / "spec.toml").exists():
            made = {"at": datetime.now(UTC).isoformat(timespec="seconds")}
            document = {"language": spec.as_dict(), "versions": versions(), "made": made}
            write_whole(folder / "spec.toml", tomli_w.dumps(document).encode())

        pool = local_executor(jobs) if executor is None else executor  # one for all stages: workers keep compiled code

        def run(what: str, these: list[Measurement], before: float, share: float) -> pd.DataFrame:
            def tell(part: float) -> None:
                if progress is not None:
                    progress(what, before + share * part)

            return run_measurements(these, cells, executor=pool, progress=tell)

        try:
            return _stages(spec, run)
        finally:
            if executor is None:
                stop(pool)


def load_language_run(folder: Path) -> LanguageRun:
    """Read a finished sweep.

    Raises
    ------
    InputError
        If there is none, or it is not finished.
    """
    spec = read_spec(_require_run(folder))

    def read(what: str, these: list[Measurement], _before: float, _share: float) -> pd.DataFrame:
        missing = [one for one in these if not (folder / "cells" / f"{one.key}.parquet").exists()]
        if missing:
            raise InputError(
                f"{folder} is not finished: {len(missing)} networks of its {what} are missing; run: "
                f"ntk1bit train-lm --out {folder} --resume with the settings in its spec.toml"
            )
        return run_measurements(these, folder / "cells")

    return _stages(spec, read)


def is_language_run(folder: Path) -> bool:
    """Say whether a folder is kept by a run of language models: whether its spec.toml has their table."""
    try:
        document = tomllib.loads((folder / "spec.toml").read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return False  # whoever reads it says what is wrong
    return isinstance(document.get("language"), dict)


def _stages(spec: LanguageSpec, run: Callable[[str, list[Measurement], float, float], pd.DataFrame]) -> LanguageRun:
    sizes, first = spec.shapes, spec.seeds[0]

    def search(wanted: list[tuple[Size, str, float]], number: int) -> pd.DataFrame:
        cells = [cell(spec, size, arm, rate, first) for size, arm, rate in wanted]
        left = 0.4 * 0.3**number  # of all the work: later rounds try few rates
        return run(f"search for rates, round {number + 1}", cells, 0.4 - left, 0.7 * left)

    rates, searched = search_rates(spec, search)
    wanted = [
        cell(spec, size, arm, rates[arm, str(size)], seed)
        for size in sizes
        for arm in spec.trained_arms
        for seed in spec.seeds
    ]
    seeds = run("seeds", wanted, 0.4, 0.5)
    frames = [searched.assign(stage="search"), seeds.assign(stage="seeds")]
    if spec.stability and "full" in spec.trained_arms:
        size = sizes[len(sizes) // 2]
        tokens = max(spec.tokens // STABILITY_SHARE, spec.batch * spec.context)
        tried = [
            cell(spec, size, arm, times * rates["full", str(size)], seed, tokens=tokens)
            for arm in spec.trained_arms
            for times in (1.0, *spec.stability)
            for seed in spec.seeds
        ]
        frames.append(run("stability", tried, 0.9, 0.1).assign(stage="stability"))
    frame = pd.concat(frames, ignore_index=True)
    frame["size"] = [f"{a}x{b}" for a, b in zip(frame["layers"], frame["width"], strict=True)]
    frame = frame.loc[frame["evaluated"].isin(spec.arms)].reset_index(drop=True)
    return LanguageRun(spec, pd.DataFrame(frame), rates, trigram(spec))


def search_rates(
    spec: LanguageSpec, train: Callable[[list[tuple[Size, str, float]], int], pd.DataFrame]
) -> tuple[Tuned, pd.DataFrame]:
    """Find the rate of each arm and size: three neighbours, then further while the best stands at an edge.

    Parameters
    ----------
    spec
        The sweep.
    train
        Trains networks (size, arm, rate) of one round, given its number, and returns their rows.

    Returns
    -------
    The best rates, and the rows of all that were tried.
    """
    exponents = {(arm, size): {-1, 0, 1} for arm in spec.trained_arms for size in spec.shapes}
    losses: dict[tuple[str, Size], dict[int, float]] = {key: {} for key in exponents}
    frames = []
    best: dict[tuple[str, Size], int] = {}
    for number in range(spec.rate_rounds + 1):
        missing = [(key, e) for key, tried in exponents.items() for e in sorted(tried) if e not in losses[key]]
        if not missing:
            break
        frame = train([(size, arm, _rate(spec, e)) for (arm, size), e in missing], number)
        frames.append(frame)
        own = frame.loc[frame["evaluated"] == frame["arm"]]
        for (key, e), loss in zip(missing, own["train_loss"].to_numpy(), strict=True):
            losses[key][e] = float(loss) if math.isfinite(loss) else math.inf
        for key, found in losses.items():
            best[key] = min(found, key=lambda e: (found[e], e))
            if best[key] in (min(found), max(found)):
                exponents[key].add(best[key] + (1 if best[key] == max(found) else -1))
    rates = {(arm, str(size)): _rate(spec, e) for (arm, size), e in best.items()}
    return rates, pd.concat(frames, ignore_index=True)


def trigram(spec: LanguageSpec) -> dict[str, Any]:
    """Measure the trigram model on the validation windows of a sweep."""
    from ntk1bit.data import text
    from ntk1bit.data.ngram import fit_ngram, log_probabilities
    from ntk1bit.training.text_losses import loss_columns

    corpus = text.load(spec.text)
    windows = text.validation_windows(corpus.validation, context=spec.context, count=spec.windows)
    found = -log_probabilities(fit_ngram(corpus.train, vocabulary=corpus.vocabulary, order=3), windows)
    return loss_columns(found)


def _rate(spec: LanguageSpec, exponent: int) -> float:
    return float(f"{spec.rate * spec.rate_factor**exponent:.6g}")


def _require_run(folder: Path) -> Path:
    if not (folder / "spec.toml").is_file():
        raise InputError(f"{folder} is not a run of language models (no spec.toml); make one with: ntk1bit train-lm")
    return folder / "spec.toml"
