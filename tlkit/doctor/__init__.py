"""Looks for what is wrong with this installation, this machine and a run, and says how to mend it."""
