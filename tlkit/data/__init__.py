"""Image folders, pixels, splits."""
