"""Malformed input of every kind, against everything that decodes it."""
