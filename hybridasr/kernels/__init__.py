"""Compiled kernels: where they are stored, and what is said while they are made."""
