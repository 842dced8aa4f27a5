"""Text from a packed Transformer, a character at a time."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ntk1bit.errors import InputError
from ntk1bit.nets.packed import PackedModel
from ntk1bit.nets.text import decode, encode

_STREAM = 0x9E  # keeps these draws apart from others at the same seed


def generate(model: PackedModel, prompt: str, *, length: int, temperature: float = 1.0, seed: int = 0) -> str:
    """Continue a text by `length` characters, each drawn from softmax(logits/temperature).

    When the context is full, the model begins again with the last half of it, as it was never trained on longer
    sequences. So every character is drawn from at least half a context, once there are as many.

    Parameters
    ----------
    model
        With its alphabet.
    prompt
        At least one character; of a long prompt the last half of a context is read.
    length
        Characters to add.
    temperature
        0 takes the most probable character every time (the first of equals).
    seed
        Of the draws.

    Returns
    -------
    The added characters, without the prompt.

    Raises
    ------
    InputError
        If the model has no alphabet, the prompt is empty or has characters outside it, or a number is out of range.
    """
    if not model.alphabet:
        raise InputError("this model was exported without its alphabet, so its tokens cannot be shown as text")
    if not prompt:
        raise InputError("the prompt is empty; give at least one character to continue")
    if length < 0 or seed < 0:
        raise InputError(f"length and seed must be 0 or more, got length {length} and seed {seed}")
    if not 0 <= temperature < np.inf:
        raise InputError(f"the temperature must be 0 or more and finite, got {temperature}")
    known = encode(prompt, model.alphabet).tolist()
    first = len(known)
    rng = np.random.default_rng([seed, _STREAM])
    keep = max(1, model.shape.context // 2)
    reading = model.start()
    unread = known[-keep:] if first > model.shape.context else known
    for _ in range(length):
        if len(unread) > reading.room:
            reading, unread = model.start(), known[-keep:]
        logits = model.feed(reading, np.array([unread]))[0, -1]
        known.append(draw(logits, temperature=temperature, rng=rng))
        unread = known[-1:]
    return decode(np.array(known[first:], dtype=np.uint8), model.alphabet)


def draw(logits: Float[np.ndarray, " vocabulary"], *, temperature: float, rng: np.random.Generator) -> int:
    """Draw a token from softmax(logits/temperature), or take the largest at temperature 0."""
    if temperature == 0:
        return int(np.argmax(logits))
    scaled = (logits.astype(np.float64) - logits.max()) / temperature
    sums = np.cumsum(np.exp(scaled))
    return int(np.searchsorted(sums, rng.random() * sums[-1], side="right"))
