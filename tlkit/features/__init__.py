"""Features of images, computed once and cached."""
