"""Find images that are alike."""
