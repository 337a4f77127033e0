"""Owns criteria of whole utterances: what a network is fitted to beyond single frames."""
