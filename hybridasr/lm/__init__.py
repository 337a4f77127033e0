"""Language models and grammars: which word sequences are allowed, and how likely they are."""

GRAMMARS = ("commands", "loop", "ngram", "rules")
"""Kinds of grammar: one command an utterance; any number of them; an n-gram model; a grammar that
people write, with its weights and repetitions."""
