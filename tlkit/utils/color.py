"""Luma weights: how bright red, green and blue are."""

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)
