"""Measurements of rgru alone, and of text."""
