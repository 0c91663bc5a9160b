"""A head on a frozen network, trained and saved without Keras."""
