"""Owns the one import of pynini, and the line that says how to get it.

Everything that builds automata takes `pynini` from here; recognising commands needs none of it.
"""

from hybridasr.errors import UserError

try:
    import pynini
except ImportError:
    raise UserError("lang directories and graphs are built with the package pynini, which is not "
                    "installed; run 'pip install pynini' (Linux only)") from None

__all__ = ["pynini"]
