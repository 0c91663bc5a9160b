"""Serve: finished runs behind HTTP, and a page to try them."""
