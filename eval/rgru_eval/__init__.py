"""Comparison of rgru with other image codecs."""

from rgru_codec import __version__ as __version__
