"""A small workflow on the store: numbers are drawn, summed in pieces, and reported (store/README.md)."""
