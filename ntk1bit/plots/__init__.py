"""Figures: looks, axes-level series, and the recipe of each figure of the documents."""
