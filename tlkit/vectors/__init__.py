"""Images as rows of numbers for other programs: features of a network, reduced and compressed where asked for."""
