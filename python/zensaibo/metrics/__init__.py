"""Scores of quality."""
