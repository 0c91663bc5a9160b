"""Images of what a network has learned: filters, feature maps, maximized units, a map of its features."""
