"""The bandit of section 5.1: Theorems 4.2 and 4.3 in closed form, and gradient steps held against them."""
