"""Numbers and plots from labels and probabilities; reads no files."""
