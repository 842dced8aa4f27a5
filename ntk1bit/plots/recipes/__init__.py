"""Figures of a paper, drawn from stored verdicts: `ntk1bit plot results/standard --figures drift,floor`.

A recipe names the claims a figure is made of, and thereby the studies behind them; it draws from the tables and
measures of verdicts.json and from nothing else, so every number in a figure is part of the evidence for a claim.
"""

from __future__ import annotations

from ntk1bit.plots.recipes.catalogue import RECIPES, draw, draw_one, write_figures
from ntk1bit.plots.recipes.recipe import Drawn, Recipe

__all__ = ["RECIPES", "Drawn", "Recipe", "draw", "draw_one", "write_figures"]
