"""Looks at what survives, and at what codes know."""
