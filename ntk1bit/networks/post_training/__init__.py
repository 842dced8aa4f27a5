"""Transformers quantised after training: round-to-nearest, SmoothQuant, GPTQ and QuIP, the baselines of W23's Table 3.

`methods` lists them by name, `quantised_transformer` applies one to a trained network. The algorithms are in the
modules of their names, in NumPy and float64, and work on any matrix of weights; `grids` and `hessians` are what they
share.
"""
