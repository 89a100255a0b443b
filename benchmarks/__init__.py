"""How fast asymre is, beside what others do with the same sizes: `make benchmark`, benchmarks/README.md."""
