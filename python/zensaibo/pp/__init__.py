"""Preprocessing, with scanpy's names, parameters and slots."""
