"""Measurements against the alternatives, side by side; see README.md."""
