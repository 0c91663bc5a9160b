"""Published architectures, one readable file each, as their papers draw them."""
