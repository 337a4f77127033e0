"""The acoustic model: its parts together, its directory, its adaptation to a speaker."""
