"""Aligned tables and remarks on a terminal or in a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ntk1bit.printing import plain


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under a head, numbers to the right, words to the left; what would steer a terminal is escaped."""
    head, texts = [plain(name) for name in head], [[plain(str(entry)) for entry in row] for row in rows]
    sizes = [max([len(name), *(len(row[i]) for row in texts)]) for i, name in enumerate(head)]
    right = [all(_numeric(row[i]) for row in texts) for i in range(len(head))]

    def line(entries: Sequence[str]) -> str:
        padded = [e.rjust(n) if r else e.ljust(n) for e, n, r in zip(entries, sizes, right, strict=True)]
        return "  ".join(padded).rstrip()

    print(line(head))
    print("  ".join("-" * size for size in sizes))
    for row in texts:
        print(line(row))


def print_paths(*paths: object) -> None:
    """Print where files are, a line each; what would steer a terminal is escaped."""
    for path in paths:
        print(plain(str(path)))


def say(*remarks: str) -> None:
    """Print remarks on stderr, a line each; what would steer a terminal is escaped."""
    for remark in remarks:
        print(plain(f"note: {remark}"), file=sys.stderr)


def _numeric(text: str) -> bool:
    return not text or text[0] in "-+.0123456789" or text in ("nan", "inf")
