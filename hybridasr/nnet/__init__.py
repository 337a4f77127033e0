"""Owns neural networks for frame classification: layers, training arithmetic, int8 inference."""
