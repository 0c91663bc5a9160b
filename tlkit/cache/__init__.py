"""The cache: its folder, tables that find rows in it by hashes, and the memory of files that were read."""
