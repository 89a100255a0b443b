"""The data sets themselves as tables, and what counts as the right answer of their problems."""
