"""Measuring: word errors with Kaldi's score files, and the table of results."""
