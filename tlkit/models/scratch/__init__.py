"""The networks of the course from shallow to deep, one readable file each, as their papers draw them."""
