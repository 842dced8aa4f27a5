"""Paper figures from stored verdicts: `python -m figures [NAME ...]`.

A recipe names the claims whose evidence it draws, and thereby the studies behind it, and a plot call.
"""

from figures.recipes import RECIPES, Recipe, draw

__all__ = ["RECIPES", "Recipe", "draw"]
