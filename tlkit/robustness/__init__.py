"""Looks for what makes a classifier fail: adversarial images and damaged ones."""
