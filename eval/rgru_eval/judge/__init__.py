"""Judging: metrics of a decoded picture, curves, and the statistics of many of them."""
