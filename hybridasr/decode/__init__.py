"""The search over a graph given log likelihoods, and alignment on top of it."""
