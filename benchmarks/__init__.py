"""Speed of asymre compared with other libraries at equal sizes: `make benchmark`, benchmarks/README.md."""
