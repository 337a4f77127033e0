"""Owns the sheet that pictures are drawn on: matplotlib, fonts, colours, files.

The colours are told apart by the colour-blind (Okabe and Ito, "Color universal design", 2008) and
in grey print by their lightness; lines differ in their dashes too. Maps of values go from dark to
light (Nunez, Anderton and Renslow, "Optimizing colormaps with consideration for color vision
deficiency", 2018: cividis).
"""

import logging
import warnings
from itertools import count, cycle
from pathlib import Path
from typing import Any

from hybridasr.errors import UserError
from hybridasr.lexicon.mandarin import hanzi_readings, is_hanzi
from hybridasr.storage import atomic_path

logger = logging.getLogger("hybridasr")
WIDTH = 8.0  # inches
DPI = 100  # so that a picture is 800 pixels wide
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
MARKERS = "osD^vP*<"  # one more than colours: a pair of both comes again after 56
VALUES = "cividis"  # from dark (little) to light (much)
CHINESE_FONTS = ("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN",
                 "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Microsoft YaHei", "PingFang SC",
                 "Hiragino Sans GB", "SimHei", "Arial Unicode MS")
_LATIN_FONT = "DejaVu Sans"  # comes with matplotlib


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
    matplotlib.rcParams.update({
        # Chinese where a font for it is there.
        "font.sans-serif": [*CHINESE_FONTS, _LATIN_FONT], "font.size": 9,
        # Letters stay letters in .svg: the reader's program has a font for all of them.
        "svg.fonttype": "none",
        # The same picture is the same file.
        "svg.hashsalt": "hybridasr"})
    # It tells of every font in the list that is not there.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    from matplotlib import pyplot as plt

    return plt


def pyplot_for(path: Path) -> Any:
    """Return `pyplot` for a picture in `path`; `UserError` if its ending is of no known kind."""
    if path.suffix not in (".svg", ".png", ".pdf"):
        raise UserError("give a picture's name that ends in .svg, .png or .pdf", path)
    return pyplot()


def save(figure: Any, path: Path) -> None:
    """Write a figure in the format that the ending of `path` names, and close it.

    Where no font has hanzi, .png and .pdf show pinyin in their place; in .svg they stay.
    """
    if path.suffix != ".svg" and not _has_chinese():
        _spell_hanzi(figure)
    with atomic_path(path) as temporary, warnings.catch_warnings():
        # Hanzi of an .svg, which the reader's program draws.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
        figure.savefig(temporary, format=path.suffix[1:], bbox_inches="tight", dpi=DPI,
                       metadata=dates.get(path.suffix))
    pyplot().close(figure)


def line_styles() -> Any:
    """Return an endless iterator over the colours and dashes of lines, as keywords of `plot`."""
    return ({"color": colour, "linestyle": dash}
            for colour, dash in zip(cycle(COLOURS), cycle(DASHES), strict=False))


def mark_styles() -> Any:
    """Return an endless iterator over the colours and shapes of marks, as keywords of `plot`.

    >>> styles = [tuple(style.values()) for style, _ in zip(mark_styles(), range(20))]
    >>> len(set(styles))
    20
    """
    return ({"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}
            for place in count())


def fitting_label(label: str, width: float, height: float, size: float = 8) -> int | None:
    """Return how a label is turned to fit a box: 0 or 90 degrees; None if it does not fit.

    Parameters
    ----------
    width, height : float
        Of the box, in inches.
    size : float
        Of the letters, in points.

    >>> fitting_label("ang4", 1.0, 0.3), fitting_label("ang4", 0.2, 0.5)
    (0, 90)
    >>> fitting_label("ang4", 0.05, 0.5) is None
    True
    """
    # A letter is about 0.62 of its size wide, a hanzi all of it.
    long = sum(1.0 if is_hanzi(letter) else 0.62 for letter in label) * size / 72
    thick = 1.2 * size / 72
    if long <= width and thick <= height:
        return 0
    return 90 if long <= height and thick <= width else None


def _has_chinese() -> bool:
    from matplotlib.font_manager import fontManager

    return not {font.name for font in fontManager.ttflist}.isdisjoint(CHINESE_FONTS)


def _spell_hanzi(figure: Any) -> None:
    """Put pinyin in place of the hanzi of a figure."""
    from matplotlib.text import Text

    changed = False
    # The labels of ticks are written anew when a picture is drawn: setting their text is no use.
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        labels = [label.get_text() for label in axis.get_ticklabels()]
        if any(map(is_hanzi, "".join(labels))):
            axis.set_ticklabels([_spelled(label) for label in labels])
            changed = True
    for text in figure.findobj(Text):
        if any(map(is_hanzi, text.get_text())):
            text.set_text(_spelled(text.get_text()))
            changed = True
    if changed:
        logger.warning("no font with hanzi is installed, so that the picture shows pinyin; install "
                       "one, such as Noto Sans CJK, or write .svg")


def _spelled(text: str) -> str:
    """Return a text with its hanzi as pinyin, or as numbers where no reading is known."""
    parts, hanzi = [], ""
    for letter in [*text, ""]:
        if letter and is_hanzi(letter):
            hanzi += letter
            continue
        if hanzi:
            parts.append(_reading(hanzi))
        parts.append(letter)
        hanzi = ""
    return "".join(parts)


def _reading(hanzi: str) -> str:
    try:
        readings = hanzi_readings(hanzi)
    except UserError:  # pypinyin is not installed
        readings = None
    if not readings:
        return "".join(f"U+{ord(letter):X}" for letter in hanzi)
    return "".join(readings[0])
