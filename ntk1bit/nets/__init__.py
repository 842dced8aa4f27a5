"""Deep 1-bit networks in JAX: straight-through quantisers, MLPs, BitLinear, Transformers, packed inference, energy.

Import from the modules of this room: `import ntk1bit` and the commands that need no JAX do not load it.
"""
