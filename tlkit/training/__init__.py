"""How a classifier is trained, and what a training leaves behind."""
