"""The off-policy cycle that both engines share: rollouts, the training loop, snapshots, divergence."""
