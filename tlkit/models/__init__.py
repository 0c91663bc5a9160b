"""Networks: which pretrained ones there are, where they can be cut, and what stands on top."""
