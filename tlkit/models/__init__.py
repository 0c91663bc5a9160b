"""Networks as Keras models."""
