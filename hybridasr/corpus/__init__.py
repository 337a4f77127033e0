"""The corpus room: data directories, their checks, recordings, and readers of public corpora."""
