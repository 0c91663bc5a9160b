"""The run folder, the only hand-over between commands."""
