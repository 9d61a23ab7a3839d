"""rgru: a learned, progressive image codec."""
