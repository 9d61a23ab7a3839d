"""Training of the networks that rgru ships."""
