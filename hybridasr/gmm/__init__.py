"""Gaussian mixture models: mathematics only, no files of recordings."""
