"""Training of JAX networks: schedules, mini-batches, checkpoints. D25's descent: `networks.two_layer`."""
