"""Work in blocks on the workers of a Ray cluster; nothing here knows of images."""
