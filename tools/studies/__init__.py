"""Measurements of the model that ships, for docs/: each prints a Markdown table."""
