"""asymre: every figure of the AsymRE paper (arXiv 2506.20520), from one graph."""
