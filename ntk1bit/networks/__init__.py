"""Networks: the two-layer network of D25, MLPs, BitLinear, Transformers, and the quantisers with their gradients.

Import from the modules of this package: those of JAX are `straight_through`, `mlp`, `bitlinear`, `transformer` and
`feed_forward`; `quantizers` and `two_layer` do not load it.
"""
