"""The ladder from chance to a finetuned network on one folder: what this folder needs."""
