"""Measuring: pictures, codecs, tasks, and the run that writes the results file."""
