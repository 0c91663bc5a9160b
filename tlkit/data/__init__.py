"""Folders of images: which files, which pixels, and which side of the split."""
