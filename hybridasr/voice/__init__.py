"""Owns the check of who speaks: the voice in numbers, the model of voices, profiles."""
