"""Ranges of neurons: fixed by the width alone, and the same in both halves of a network."""

from __future__ import annotations

BLOCK = 512  # neurons; with 256 inputs a block of pre-activations is 512 KB and stays in the second-level cache


def half_blocks(width: int, size: int = BLOCK) -> list[tuple[int, int]]:
    """Cut the neurons 0..width into blocks of at most `size`, the two halves separately and alike.

    In a paired network (the second half a copy of the first with opposite output signs) block b of one half then holds
    the copies of block b of the other. Each goes through the same operations, so the two partial sums are exact
    negatives; see `sum_of_halves`. With an odd width the second half is longer by one neuron.

    Parameters
    ----------
    width
        Number of neurons, >= 0.
    size
        Largest block.

    Returns
    -------
    (start, stop) of each block, in order; an even width gives an even number of blocks.
    """
    middle = width // 2
    return [
        (start, min(start + size, stop))
        for begin, stop in ((0, middle), (middle, width))
        for start in range(begin, stop, size)
    ]
