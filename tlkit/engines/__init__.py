"""Run a frozen network fast: one small interface, several engines."""
