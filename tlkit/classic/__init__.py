"""Classification without a network: handcrafted features and classic classifiers."""
