"""The recipes by which Transformers are trained on text, by name; `training.language` says what they are.

Nothing here imports JAX, so that specifications can be read without it.
"""

from __future__ import annotations

RECIPES: tuple[str, ...] = ("cosine", "w23")  # ours, and that of W23's Tables 5 to 8
