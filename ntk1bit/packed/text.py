"""Text from a packed Transformer, a character at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from ntk1bit.arguments import whole
from ntk1bit.errors import InputError
from ntk1bit.packed.file_format import NORMS
from ntk1bit.packed.model import PackedModel

_REPORTED = 100  # characters between two reports of progress
_STREAM = 0x9E  # keeps these draws apart from others at the same seed


def generate(
    model: PackedModel,
    prompt: str,
    *,
    length: int,
    temperature: float = 1.0,
    seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> str:
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
        0 or more and finite; 0 takes the most probable character every time (the first of equals).
    seed
        Of the draws.
    progress
        Called every 100 characters with words and the share done.

    Returns
    -------
    The added characters, without the prompt.

    Raises
    ------
    InputError
        If the model has no alphabet, the prompt is empty or has characters outside it, a number is out of range, or
        the logits are not finite, because weights are too large.
    """
    if not model.alphabet:
        raise InputError("this model was exported without its alphabet, so its tokens cannot be shown as text")
    if not prompt:
        raise InputError("the prompt is empty; give at least one character to continue")
    length = whole("length", length, allowed="a whole number, 0 or more", least=0)
    seed = whole("seed", seed, allowed="a whole number, 0 or more", least=0)
    if not 0 <= temperature < np.inf:
        raise InputError(f"the temperature must be 0 or more and finite, got {temperature}")
    known = _tokens(prompt, model.alphabet)
    first = len(known)
    rng = np.random.default_rng([seed, _STREAM])
    keep = max(1, model.shape.context // 2)
    cache = model.start()
    unread = known[-keep:] if first > model.shape.context else known
    for done in range(length):
        if progress is not None and done % _REPORTED == 0:
            progress("generating", done / length)
        if len(unread) > cache.remaining:
            cache, unread = model.start(), known[-keep:]
        logits = model.prefill(cache, np.array([unread]))[0, -1]
        if not np.isfinite(logits).all():
            raise InputError(
                f"the model's logits after {len(known)} characters are not finite: its weights are too large "
                f"({_largest(model)}), as after a training that diverged; export another network"
            )
        known.append(draw(logits, temperature=temperature, rng=rng))
        unread = known[-1:]
    return "".join([model.alphabet[token] for token in known[first:]])


def draw(logits: Float[np.ndarray, " vocabulary"], *, temperature: float, rng: np.random.Generator) -> int:
    """Draw a token from softmax(logits/temperature), or take the largest at temperature 0."""
    if temperature == 0:
        return int(np.argmax(logits))
    with np.errstate(over="ignore"):  # at tiny temperatures: exp(-inf) = 0 is what such a share rounds to
        scaled = (logits.astype(np.float64) - logits.max()) / temperature
    sums = np.cumsum(np.exp(scaled))
    return int(np.searchsorted(sums, rng.random() * sums[-1], side="right"))


def _largest(model: PackedModel) -> str:
    """Say which of a model's floats are the largest."""
    gains = [model.norm, *(getattr(block, name) for block in model.blocks for name in NORMS)]
    scales = [np.array([signs.beta for block in model.blocks for signs in block.projections()])]
    parts = {"embedding": [model.embedding], "head": [model.head], "gains": gains, "projections": scales}
    sizes = {name: max(float(np.abs(array).max()) for array in arrays) for name, arrays in parts.items()}
    name = max(sizes, key=lambda name: sizes[name])
    return f"{name} of up to {sizes[name]:.3g}"


def _tokens(text: str, alphabet: str) -> list[int]:
    """Return the position in the alphabet of every character; unlike a corpus, for alphabets of any size."""
    places = {character: place for place, character in enumerate(alphabet)}
    for where, character in enumerate(text):
        if character not in places:
            raise InputError(
                f"character {character!r} at position {where} is not in the model's alphabet of {len(alphabet)}; "
                "fold the text first"
            )
    return [places[character] for character in text]
