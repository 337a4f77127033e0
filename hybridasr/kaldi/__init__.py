"""Kaldi's own files in text form: models and trees. Archives of features are read elsewhere."""
