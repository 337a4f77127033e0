"""Language models and grammars: which word sequences are allowed, and how likely they are."""

GRAMMARS = ("commands", "loop", "ngram")
"""Kinds of grammar: one command an utterance; any number of them; an n-gram model."""
