"""Sources of images beside files in folders: rows of tables, members of shards, objects."""
