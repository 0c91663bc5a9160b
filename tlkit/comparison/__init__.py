"""Many trainings on the same images, from chance to a fine-tuned network."""
