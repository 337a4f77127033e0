"""Work over a whole data directory: decode, spot, align."""
