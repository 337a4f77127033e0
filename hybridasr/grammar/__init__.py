"""Grammars that people write: sentence templates and JSGF, read, checked, expanded and drawn."""
