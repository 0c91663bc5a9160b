"""The Keras training loop on arrays: it knows no folder, no run and no option."""
