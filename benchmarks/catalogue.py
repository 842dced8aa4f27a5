"""Every declared race. Races of another package go into a module of their own and are added to `PAIRS` here."""

from __future__ import annotations

from benchmarks import packed_inference, products, training
from benchmarks.contest import Pair

PAIRS: tuple[Pair, ...] = (*products.PAIRS, *training.PAIRS, *packed_inference.PAIRS)
