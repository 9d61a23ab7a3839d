"""Showing: tables, plots and the report."""
