"""From images to a run."""
