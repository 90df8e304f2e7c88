"""Data to try things on: made here, or found on this machine."""
