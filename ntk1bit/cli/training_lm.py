"""What `ntk1bit train-lm` shows: the plan, the progress, tables of losses, gaps, laws, energy and stability."""

from __future__ import annotations

import json
import math
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from ntk1bit.cli.lists import read_list, read_seeds
from ntk1bit.cli.options import Running
from ntk1bit.cli.planning import forecast, print_forecast
from ntk1bit.cli.progress import clock, progress_bar, resumable, run_shown, shown_after
from ntk1bit.cli.running import workers_of
from ntk1bit.cli.tables import print_table, say
from ntk1bit.data import text as texts
from ntk1bit.data.choices import CHANCE, SHOTS
from ntk1bit.data.text_sources import title
from ntk1bit.errors import InputError, require_choice
from ntk1bit.experiments import Run, open_run
from ntk1bit.experiments.language_run import LanguageRun, language_run, ngram_losses
from ntk1bit.experiments.language_spec import PRESETS, LanguageSpec
from ntk1bit.files import writable_file
from ntk1bit.networks.transformer_shape import TRAINED_ARMS
from ntk1bit.printing import number, plain

EXPORTED = "bitnet"  # the arm that can be packed


def collect(preset: str, **options: Any) -> LanguageSpec:
    """Make a specification of a preset and the options that override it; options left out are None."""
    base = PRESETS[require_choice("preset", preset, PRESETS)]
    readers = {
        "sizes": lambda text: read_list(text, option="--sizes", kind=str),
        "arms": lambda text: read_list(text, option="--arms", kind=str),
        "seeds": read_seeds,
        "stability": lambda text: read_list(text, option="--stability", kind=float),
        "tokens": _count,
    }
    settings = {
        name: readers[name](value) if name in readers else value for name, value in options.items() if value is not None
    }
    spec = LanguageSpec.from_dict(settings, base)
    return spec if spec.text == base.text else _fitting(spec)


def _fitting(spec: LanguageSpec) -> LanguageSpec:
    """Measure losses on fewer windows where a text is too short for those of a preset, which is for another."""
    corpus = texts.load(spec.text)
    held_out = corpus.validation.size
    windows = min(spec.windows, held_out // (spec.context + 1))
    if windows < 2:
        raise InputError(
            f"the held-out part of {title(spec.text)} has {held_out:,} characters, and losses need two windows of "
            f"{spec.context} + 1: give a longer text, or a --context of at most {max(held_out // 2 - 1, 0)}"
        )
    return replace(spec, windows=windows)


def default_folder(spec: LanguageSpec) -> Path:
    """Name a run by its text and a short hash, so that the same command finds its run again."""
    return Path("runs") / f"lm-{title(spec.text)}-{spec.mark}"


def print_plan(spec: LanguageSpec, *, running: Running, out: Path | None) -> None:
    """Print what would be trained, and what it would take."""
    jobs, folder = workers_of(running).places, out or default_folder(spec)
    found = forecast([(spec, folder)], jobs=jobs)
    rows = []
    for size in spec.shapes:
        one = spec.network(size, spec.trained_arms[0], spec.rate, 0)
        count = len(spec.trained_arms) * (len(spec.seeds) + 2)  # two more rates at the first seed
        cell = found.costs.cell(one)
        times = (clock(cell.alone), clock(count * cell.seconds / jobs))
        rows.append(
            [str(size), f"{size.parameters:,}", f"{one.tokens:,}", count, *times, f"{cell.memory / 1e9:.1f} GB"]
        )
    print_table(["size", "N", "characters", "networks", "time each", "time of all", "memory each"], rows)
    print()
    print(f"characters  {spec.trained_tokens:,} per network, in {spec.steps:,} steps of {spec.batch} x {spec.context}")
    if spec.text not in texts.names():
        corpus = texts.load(spec.text)
        name = plain(title(spec.text))
        read = f"a network reads {spec.trained_tokens / corpus.train.size:.2g} times as many"
        print(f"text        {name}: {corpus.train.size:,} characters for training ({read}), ", end="")
        print(f"{corpus.validation.size:,} held out; {corpus.vocabulary} different ones")
    print_forecast(found, jobs=jobs, folder=folder)
    say(*spec.notes)


def run(spec: LanguageSpec, *, running: Running, out: Path | None, export: Path | None) -> None:
    """Run what is missing, showing progress, then print, write and draw what was found."""
    folder, workers = out or default_folder(spec), workers_of(running)
    if export is not None:
        _require_exportable(spec, export, folder)
    with resumable(folder):
        run_shown(spec, folder, workers)
        if export is not None:
            _restore_weights(folder)
    with shown_after("n-gram models, laws, figure"):
        _show_found(folder, export)


def _show_found(folder: Path, export: Path | None) -> None:
    """Print, write, draw and export what a finished run holds."""
    from ntk1bit.estimators.language import write_networks
    from ntk1bit.plots.language import draw_run

    run = open_run(folder)
    found = language_run(run)
    print_summary(found)
    table, figure = write_networks(found, folder), draw_run(found, folder / "scaling.png")
    print(f"\n{len(run.about)} networks, {clock(run.seconds)} of one core. Written: {plain(f'{table} {figure}')}")
    if export is not None:
        _export(found, folder, export)


def _restore_weights(folder: Path) -> None:
    """Train the network that is exported again if its weights cannot be read."""
    from ntk1bit.experiments.language_run import restore_network

    with progress_bar() as bar:
        bar("reading the network to export", 0.0)
        restored = restore_network(folder, arm=EXPORTED, progress=bar)
    if restored:
        say(f"the weights of the largest {EXPORTED} network could not be read: it was trained again")


def show(run: Run, *, as_csv: bool, as_json: bool, with_settings: bool) -> None:
    """Print what a finished run shows, as `ntk1bit summary` does: tables, its networks as CSV, or all of it as JSON."""
    from ntk1bit.estimators import language as summary

    found = language_run(run)
    if as_csv:
        summary.networks(found).to_csv(sys.stdout, index=False)
        say(*run.untrusted)
        return
    if as_json:
        from ntk1bit.cli.summarising import records

        rival = found.spec.quantised
        gaps = [summary.gaps(found, of=arm, against=rival).assign(arm=arm) for arm in _compared(found.spec)]
        tables = {
            "networks": summary.networks(found),
            "losses": summary.loss_against_energy(found),
            "gaps": pd.concat(gaps) if gaps else pd.DataFrame(),
            "stability": summary.mean_excess(found),
        }
        document = {"run": str(run.folder), "spec": found.spec.as_dict(), "trigram": float(found.trigram["loss"])}
        document |= {name: records(table) for name, table in tables.items()} | {"notes": run.left_out}
        print(json.dumps(document, indent=1, allow_nan=False))
        return
    if with_settings:
        print_table(["setting", "value"], [[name, value] for name, value in found.spec.as_dict().items()])
        print()
    print_summary(found)
    say(*run.left_out)


def print_summary(found: LanguageRun) -> None:
    """Print losses, gaps, laws, what energy buys, and what large rates do."""
    from ntk1bit.estimators import language as summary
    from ntk1bit.statistics import student_interval

    spec = found.spec
    print(f"validation loss, nats a character, mean over {len(spec.seeds)} seeds [95 % interval]")
    losses = summary.loss_against_energy(found)
    trained_in = not np.isnan(losses["joules_float32"].to_numpy()).all()  # has a value for the arm full alone
    rows = [
        [
            one["arm"],
            one["size"],
            f"{one['parameters']:,}",
            number(one["rate"], 4) + ("*" if one["at_edge"] and one["arm"] in spec.trained_arms else ""),
            _interval(one["loss"], one["low"], one["high"]),
            f"{one['bits']:.3f}",
            number(one["joules"] * 1e6),
            *(["" if math.isnan(one["joules_float32"]) else number(one["joules_float32"] * 1e6)] if trained_in else []),
            one["diverged"],
        ]
        for one in losses.to_dict("records")
    ]
    also = ["uJ float32"] if trained_in else []
    print_table(["arm", "size", "N", "rate", "loss", "bits", "uJ", *also, "diverged"], rows)
    print(
        f"trigram model: {found.trigram['loss']:.4f} nats, {found.trigram['bits']:.3f} bits; "
        f"standard error of any loss over the text: {losses['text_error'].median():.3f} nats"
    )
    print(
        f"uJ: microjoules of a forward pass over {spec.context} characters at 7 nm, by W23's counting, "
        "floats as FP16 in every arm"
    )
    if trained_in:
        print("uJ float32: the same of full in the float32 that it is trained in")
    if spec.methods:
        print(f"quantised after training, from the networks of {spec.quantised}: {', '.join(spec.methods)}")
    if any(losses["at_edge"]):
        print("*: the best rate was the last one tried on its side")
    rival = spec.quantised
    for arm in _compared(spec):
        _print_gap(summary.gaps(found, of=arm, against=rival), f"{arm} minus {rival}")
    _print_laws(found)
    both = rival and "bitnet" in spec.arms
    equal = summary.at_equal_energy(found, against=rival) if both else pd.DataFrame()
    for size in equal["size"].unique() if len(equal) else ():
        value, low, high = student_interval(equal.loc[equal["size"] == size, "difference"])
        print(f"at the energy of {rival} {size}: bitnet minus {rival} {_interval(value, low, high)} nats")
    _print_excess(summary.mean_excess(found))
    _print_accuracies(summary.accuracies(found), spec.choices)
    if told := _barely_trained(losses, ngram_losses(spec)):
        print(f"\n{told}")


def _barely_trained(losses: pd.DataFrame, ngrams: dict[str, float]) -> str:
    """Say which networks do no better than a bigram model, which knows one character; "" if all do."""
    poor = losses.loc[losses["arm"].isin(TRAINED_ARMS) & (losses["loss"] >= ngrams["bigram"])]
    if poor.empty:
        return ""
    names = ", ".join(f"{arm} {size} ({loss:.2f})" for arm, size, loss in poor[["arm", "size", "loss"]].to_numpy())
    return f"barely trained: {names} nats a character, no better than {_rivals(ngrams)}: give more --tokens"


def _rivals(ngrams: dict[str, float]) -> str:
    """Name the loss of the bigram model and its neighbours."""
    return f"a bigram model ({ngrams['bigram']:.2f}; unigram {ngrams['unigram']:.2f}, trigram {ngrams['trigram']:.2f})"


def _compared(spec: LanguageSpec) -> tuple[str, ...]:
    """Return the arms that are held against the first arm of floats: all others, where there is one."""
    return tuple(arm for arm in spec.arms if arm != spec.quantised) if spec.quantised else ()


def _print_gap(paired: pd.DataFrame, title: str) -> None:
    from ntk1bit.statistics import student_interval

    print(f"\n{title}, paired by seed")
    rows = []
    for size in paired["size"].unique():
        part = paired.loc[paired["size"] == size]
        gap = student_interval(part["gap"].dropna())
        rows.append(
            [size, f"{part['parameters'].iloc[0]:,}", _interval(*gap), f"{100 * part['relative'].mean():.2f} %"]
        )
    print_table(["size", "N", "gap in nats", "relative"], rows)


def _print_laws(found: LanguageRun) -> None:
    from ntk1bit.estimators.language import law

    print("\nL(N) = a N^b + c")
    for arm in found.spec.trained_arms:
        fitted = law(found, arm)
        if fitted is None:
            print(f"{arm}: no fit (fewer than three sizes with finite losses)")
            continue
        bounds = fitted.interval()
        words = [
            f"{name} = {_interval(sign * one['estimate'], *sorted((sign * one['low'], sign * one['high'])))}"
            for name, parameter, sign in (("a", "A", 1), ("b", "alpha", -1), ("c", "E", 1))
            for one in (bounds.loc[parameter],)
        ]
        print(f"{arm}: {', '.join(words)}")
        for note in fitted.warnings:
            say(f"{arm}: {note}")


def _print_excess(table: pd.DataFrame) -> None:
    if table.empty:
        return
    print("\nloss above that at the best rate of full, at multiples of it (diverged networks count as ln V)")
    arms = list(table["arm"].unique())
    rows = []
    for times in sorted(set(table["times"])):
        row = [f"x{number(times)}"]
        for one in table.loc[table["times"] == times].set_index("arm").loc[arms].to_dict("records"):
            row += [_interval(one["excess"], one["low"], one["high"]), str(one["diverged"])]
        rows.append(row)
    print_table(["rate", *(name for arm in arms for name in (arm, "diverged"))], rows)


def _print_accuracies(table: pd.DataFrame, choices: int) -> None:
    if table.empty:
        return
    print(f"\nshare of {choices} questions answered rightly, with 0 and 4 examples; by guessing {CHANCE:g}")
    rows = []
    for key, part in table.groupby(["arm", "size", "parameters"], sort=False):
        arm, size, parameters = cast("tuple[str, str, int]", key)
        found = part.set_index("examples").reindex(list(SHOTS))[["accuracy", "low", "high"]]
        rows.append([arm, size, f"{parameters:,}", *(_interval(*one) for one in found.to_numpy())])
    print_table(["arm", "size", "N", *(f"{examples} examples" for examples in SHOTS)], rows)


def _export(found: LanguageRun, folder: Path, path: Path) -> None:
    from ntk1bit.estimators.language import networks
    from ntk1bit.experiments.language_run import read_network
    from ntk1bit.packed.export import export

    trained, spec = read_network(folder, arm=EXPORTED), found.spec
    table = networks(found).set_index(["arm", "size", "seed"])
    loss = float(table.loc[(EXPORTED, str(spec.shapes[-1]), spec.seeds[0]), "loss"])  # pyright: ignore[reportArgumentType]
    ngrams = ngram_losses(spec)
    poor = "" if loss < ngrams["bigram"] else "barely trained, no better than a bigram model: "
    note = (
        f"trained on {title(spec.text)}, {spec.trained_tokens:,} characters; {poor}"
        f"loss {loss:.2f} nats a character, {_rivals(ngrams).removeprefix('a ')}"
    )
    export(trained.model, trained.shape, path, alphabet=trained.alphabet, note=note)
    prompt = "The " if set("The ") <= set(trained.alphabet) else trained.alphabet[-1]
    command = shlex.join(["ntk1bit", "generate", str(path), "--prompt", prompt])
    print(plain(f"Packed: {path}, {path.stat().st_size:,} bytes. Try it with: {command}"))


def _require_exportable(spec: LanguageSpec, path: Path, folder: Path) -> None:
    """Refuse, before anything is trained, an export that could not be written afterwards."""
    if EXPORTED not in spec.arms:
        raise InputError(f"--export writes a {EXPORTED} network; add {EXPORTED} to --arms")
    if spec.groups > 1:
        raise InputError(f"--export writes matrices with one scale, and --groups {spec.groups} gives them several")
    if path.suffix != ".npz":
        raise InputError(f"--export writes a .npz file, got {path}")
    if path.is_dir():
        raise InputError(f"--export writes a file, and {path} is a folder")
    if path.parent.resolve() != folder.resolve():  # the run makes its own folder
        writable_file("--export", path, [".npz"])


def _count(text: str) -> int:
    """Read a whole number that may be written 2.5e6 or 2_500_000."""
    try:
        value = float(text.replace("_", ""))
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value == int(value) and value > 0):
        raise InputError(f"--tokens takes a positive whole number such as 2500000 or 2.5e6, got {text!r}")
    return int(value)


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.4f}" if math.isnan(low) else f"{value:.4f} [{low:.4f}, {high:.4f}]"
