"""Reasons for an answer: heat maps and the nearest training images."""
