"""Lattices of words: the alternatives of a search, what they cost and how likely they are."""
