"""Hidden Markov models of phones: topologies and transition models (no acoustics)."""
