"""Explanations as jobs: taken on, run in turn, kept for a while, looked after by any replica."""
