"""The loss of a model on windows of text as the columns of a row: the same for networks and for the trigram model."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from ntk1bit.data.text import mean_loss


def loss_columns(losses: Float[np.ndarray, "windows context"]) -> dict[str, Any]:
    """Return `loss`, `loss_error` (nats a character), `bits`, `bits_error` and `window_losses`, a mean a window.

    All are NaN where any loss is not finite: what part of a text a broken network can still read says nothing.
    """
    mean = mean_loss(losses)
    windows = losses.mean(axis=1) if np.isfinite(mean.nats) else np.full(len(losses), np.nan)
    return {
        "loss": mean.nats,
        "loss_error": mean.nats_error,
        "bits": mean.bits_per_character,
        "bits_error": mean.bits_error,
        "window_losses": windows.tolist(),
    }
