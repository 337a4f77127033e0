"""Graphs: lexicon, HMMs and grammar composed for the search; training graphs; flat arrays."""
