"""Sweeps of character-level Transformers over sizes, arms and seeds: specification, training, run, tables, export."""
