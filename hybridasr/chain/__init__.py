"""Lattice-free MMI: the graph of all phone sequences, that of one, and the loss between them."""
