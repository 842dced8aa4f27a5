"""Packed models: their file format, export, inference and generation with the 1-bit products of `cores`."""
