"""Aligned tables and remarks on a terminal or in a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under a head, numbers to the right, words to the left."""
    texts = [[str(entry) for entry in row] for row in rows]
    sizes = [max([len(name), *(len(row[i]) for row in texts)]) for i, name in enumerate(head)]
    right = [all(_numeric(row[i]) for row in texts) for i in range(len(head))]

    def line(entries: Sequence[str]) -> str:
        padded = [e.rjust(n) if r else e.ljust(n) for e, n, r in zip(entries, sizes, right, strict=True)]
        return "  ".join(padded).rstrip()

    print(line(list(head)))
    print("  ".join("-" * size for size in sizes))
    for row in texts:
        print(line(row))


def say(*remarks: str) -> None:
    """Print remarks on stderr, a line each."""
    for remark in remarks:
        print(f"note: {remark}", file=sys.stderr)


def _numeric(text: str) -> bool:
    return not text or text[0] in "-+.0123456789" or text in ("nan", "inf")
