"""Whether a model's answer is right: the reward of real data."""
