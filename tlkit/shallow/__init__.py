"""The classic pipeline: descriptors made by hand, and classifiers that are not networks."""
