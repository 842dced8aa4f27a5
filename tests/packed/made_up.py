"""A small packed model with random weights, made without JAX."""

from __future__ import annotations

from typing import Any

import numpy as np

from ntk1bit.cores.bits import PackedSigns, pack_signs
from ntk1bit.networks.transformer_shape import Shape
from ntk1bit.packed.model import PackedBlock, PackedModel, PackedProjection

WIDTH = 32


def random_model(alphabet: str = "ab\x9b", note: str = "a\x1b]0;title\x07 note") -> PackedModel:
    """Return a model of one layer whose alphabet and note hold what steers a terminal."""
    rng = np.random.default_rng(0)

    def signs(rows: int, columns: int) -> PackedSigns:
        return pack_signs(rng.choice([-1.0, 1.0], size=(rows, columns)).astype(np.float32))

    one = np.ones(WIDTH, np.float32)
    block = PackedBlock(
        attention_norm=one,
        attention=signs(3 * WIDTH, WIDTH),
        attention_scales=np.ones(3, np.float32),
        attention_sub_norm=one,
        output=PackedProjection(signs(WIDTH, WIDTH), 1.0),
        feed_norm=one,
        up=PackedProjection(signs(4 * WIDTH, WIDTH), 1.0),
        feed_sub_norm=np.ones(4 * WIDTH, np.float32),
        down=PackedProjection(signs(WIDTH, 4 * WIDTH), 1.0),
    )
    table: Any = rng.normal(size=(len(alphabet), WIDTH)).astype(np.float32)
    return PackedModel(Shape(1, WIDTH, 2, len(alphabet), 8), table, (block,), one, table, alphabet, note)
