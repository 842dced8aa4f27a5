"""Spellings of version 0.1.0: each is refused in one line that says what to write now."""

from __future__ import annotations

from collections.abc import Sequence

from ntk1bit.errors import InputError

_RESUMES = "a run resumes when its command is given again: leave --resume out"
# (command, option, value); None stands for any value, and for none.
OLD: dict[tuple[str, str, str | None], str] = {
    ("sweep", "--resume", None): _RESUMES,
    ("sweep", "--task", "list"): "write ntk1bit sweep --list, in place of --task list",
    ("sweep", "--tasks", "list"): "write ntk1bit sweep --list, in place of --tasks list",
    ("train-lm", "--resume", None): _RESUMES,
    ("train-lm", "--smoke", None): "write --preset smoke, in place of --smoke",
    ("train-lm", "--preset", "night"): "write --preset thorough, in place of night",
    ("deep", "--size", "full"): "write --preset thorough, in place of --size full",
    ("deep", "--size", None): "write --preset, in place of --size",
    ("deep", "--preset", "full"): "write --preset thorough, in place of full",
}


def refuse_old_spellings(words: Sequence[str]) -> None:
    """Raise `InputError` if a command line has a spelling of 0.1.0; `words` begin with the command."""
    command = words[0] if words else ""
    for position, word in enumerate(words[1:], start=1):
        option, equals, value = word.partition("=")
        if not equals:
            value = words[position + 1] if position + 1 < len(words) else ""
        for key in ((command, option, value), (command, option, None)):
            if key in OLD:
                raise InputError(OLD[key])
    if command == "energy":
        _refuse_file_of_csv(words)


def _refuse_file_of_csv(words: Sequence[str]) -> None:
    """`energy --csv FILE` wrote a file; --csv is a flag that prints."""
    for position, word in enumerate(words):
        file = words[position + 1] if word == "--csv" and position + 1 < len(words) else ""
        if word.startswith("--csv=") or (file and not file.startswith("-")):
            file = file or word.removeprefix("--csv=")
            raise InputError(f"--csv prints the rows: write --csv > {file}, in place of --csv {file}")
