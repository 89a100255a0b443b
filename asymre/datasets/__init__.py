"""The data sets as tables of problems and answers, and what is filtered out of them."""
