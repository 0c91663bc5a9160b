"""How good a classifier is, with intervals, and in words."""
