"""Pronunciations: words to phones (Mandarin, English, user lexicons) and the lang directory.

The knowledge is text under the top-level `lexicon/`; the modules here read it.
"""

from hybridasr.lexicon.table_files import tables_dir

__all__ = ["tables_dir"]
