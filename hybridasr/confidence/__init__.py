"""Belief: how probable it is that the top command is right, and when to reject it."""
