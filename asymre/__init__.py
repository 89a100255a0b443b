"""The method of the AsymRE paper (arXiv 2506.20520): objectives, training, engines, bandit, metrics."""
