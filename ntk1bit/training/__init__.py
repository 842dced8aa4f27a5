"""Training of JAX networks: schedules, mini-batches, checkpoints. `two_layer`: D25's descent, beside `networks`."""
