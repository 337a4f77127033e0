"""Owns the sheet that pictures are drawn on: matplotlib, fonts, files."""

from pathlib import Path
from typing import Any

from hybridasr.errors import UserError
from hybridasr.storage import atomic_path


def pyplot() -> Any:
    """Return matplotlib's pyplot, drawing to files only.

    Raises
    ------
    UserError
        if matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise UserError("pictures need matplotlib; run pip install 'hybridasr[plots]'") from None
    matplotlib.use("Agg")
    # Chinese where a font for it is there.
    matplotlib.rcParams["font.sans-serif"] = ["Noto Sans CJK SC", "WenQuanYi Zen Hei", "SimHei",
                                              "DejaVu Sans"]
    from matplotlib import pyplot as plt

    return plt


def pyplot_for(path: Path) -> Any:
    """Return `pyplot` for a picture in `path`; `UserError` if its ending is of no known kind."""
    if path.suffix not in (".svg", ".png", ".pdf"):
        raise UserError("give a picture's name that ends in .svg, .png or .pdf", path)
    return pyplot()


def save(figure: Any, path: Path) -> None:
    """Write a figure in the format that the ending of `path` names, and close it."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], bbox_inches="tight", dpi=110)
    pyplot().close(figure)
