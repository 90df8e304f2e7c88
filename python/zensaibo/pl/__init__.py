"""Plots: matplotlib axes, points drawn in Rust."""
