"""Comparison of rgru with other image codecs."""
