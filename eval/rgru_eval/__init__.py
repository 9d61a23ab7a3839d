"""Comparison of rgru with other image codecs."""

__version__ = "0.1.0"
