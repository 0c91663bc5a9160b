"""Use a finished run: predict and evaluate."""
