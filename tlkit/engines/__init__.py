"""Runs a frozen network fast: one small interface, three ways to compute."""
