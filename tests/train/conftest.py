"""Fixtures of the training tests."""

from small_world import world

__all__ = ["world"]
