"""Training of JAX networks: schedules, mini-batches, checkpoints. `two_layer`: D25's descent, beside `networks`.

`Oscillation` follows any training loop, JAX or not. Everything else is imported from the modules of this package.
"""

from ntk1bit.training.oscillation import Oscillation, oscillation_reference

__all__ = ["Oscillation", "oscillation_reference"]
