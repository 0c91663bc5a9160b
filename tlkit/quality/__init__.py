"""Checks of a data set: what a person should mend before training."""
