"""How a network answers the questions of `data.choices`."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from ntk1bit.data.choices import Questions, answer_columns
from ntk1bit.data.text import require_tokens
from ntk1bit.errors import InputError
from ntk1bit.networks.transformer import Transformer, losses

# Windows in one call, few enough that what a block computes stays in the cache: 64 take twice as long. The last call is
# filled up, so that one program serves all windows of one length.
_AT_ONCE = 16


def choice_columns(model: Transformer, questions: Questions) -> dict[str, Any]:
    """Return how many questions a network answers rightly, as `data.choices.answer_columns`.

    Raises
    ------
    InputError
        If characters are outside the network's vocabulary, or its gamma is taken over a whole tensor: then what a
        window is worth depends on those beside it, and on the characters that are to be predicted.
    """
    for block in model.blocks:
        if block.query.arm == "bitnet" and block.query.form.gamma == "tensor":
            raise InputError(
                "with gamma per tensor a network sees the characters that it is to predict; give it as at inference: "
                "as_form(model, form.at_inference())"
            )

    def log_probabilities(windows: UInt8[np.ndarray, "k t"]) -> Float[np.ndarray, "k t-1"]:
        require_tokens(windows, len(model.embedding))
        rows = np.arange(-(-len(windows) // _AT_ONCE) * _AT_ONCE) % len(windows)
        found = [
            np.asarray(_log_probabilities(model, jnp.asarray(windows[some], jnp.int32)))
            for some in rows.reshape(-1, _AT_ONCE)
        ]
        return np.concatenate(found)[: len(windows)]

    return answer_columns(log_probabilities, questions)


@eqx.filter_jit
def _log_probabilities(model: Transformer, windows: Array) -> Array:
    return -losses(model, windows)
