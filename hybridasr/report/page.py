"""Owns pages: one file of HTML that needs nothing else, and no program in it.

The pieces are texts of HTML; whatever comes from outside goes through `text`. There are few kinds
of pieces, so that plain functions do, and no library of templates is needed.
"""

import base64
import html
import io
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from hybridasr import __version__
from hybridasr.corpus.audio import FULL_SCALE
from hybridasr.storage import PathLike, write_text

_STYLE = """
body { font: 16px/1.5 system-ui, "Noto Sans", "Noto Sans CJK SC", "Microsoft YaHei", sans-serif;
       max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff }
h1, h2, h3 { line-height: 1.25 } h2 { margin-top: 2.2em; border-bottom: 1px solid #888 }
img { max-width: 100%; height: auto } figure { margin: 1em 0 } figcaption { color: #444 }
table { border-collapse: collapse; margin: 1em 0; font-size: .9rem }
caption { text-align: left; font-weight: 600; padding: .3em 0 }
th, td { border: 1px solid #999; padding: .25em .6em; text-align: left; vertical-align: top }
th { background: #eee } td.number { text-align: right; font-variant-numeric: tabular-nums }
.verdict { font-size: 1.15rem; border-left: .4rem solid #0072B2; padding: .5em 1em;
           background: #eef5fb } .verdict.no { border-color: #D55E00; background: #fdf2ea }
audio { vertical-align: middle; height: 2rem } code { overflow-wrap: anywhere }
.wide { overflow-x: auto }
"""


@dataclass(frozen=True)
class Signed:
    """A number with its sign and two digits behind the point, as in a column that is summed up."""

    value: float

    def __str__(self) -> str:
        return f"{self.value:+.2f}"


def text(value: object) -> str:
    """Return a value as text of HTML.

    >>> text("<UNK> & more"), text(None), text(0.12345), text(3)
    ('&lt;UNK&gt; &amp; more', '–', '0.1235', '3')
    """
    if value is None:
        return "–"
    return html.escape(f"{value:.4g}" if isinstance(value, float) else str(value))


def section(title: str, *parts: str, level: int = 2) -> str:
    """Return a heading with what stands below it."""
    return "\n".join([f"<h{level}>{text(title)}</h{level}>", *parts])


def paragraph(*sentences: str, kind: str = "") -> str:
    """Return a paragraph of plain text; `kind` is a class of the style, such as verdict."""
    attribute = f' class="{kind}"' if kind else ""
    return f"<p{attribute}>{text(' '.join(sentences))}</p>"


def details(summary: str, *parts: str) -> str:
    """Return parts that are shown when the reader opens them."""
    return "\n".join([f"<details><summary>{text(summary)}</summary>", *parts, "</details>"])


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; a cell that begins with ``<audio`` is put in as it is.

    Numbers stand at the right: int, float, `Signed`, and what is missing of them.
    """
    rows = [list(row) for row in rows]
    numbers = [all(row[place] is None or _is_number(row[place]) for row in rows)
               for place in range(len(head))]
    # What may be too wide is moved with the arrow keys, once it has the focus.
    lines = [f'<div class="wide" role="group" aria-label="{text(caption)}" tabindex="0"><table>',
             f"<caption>{text(caption)}</caption>", "<thead><tr>",
             *(f'<th scope="col">{text(name)}</th>' for name in head), "</tr></thead><tbody>"]
    for row in rows:
        cells = []
        for place, cell in enumerate(row):
            inner = cell if isinstance(cell, str) and cell.startswith("<audio ") else text(cell)
            if place == 0:
                cells.append(f'<th scope="row">{inner}</th>')
            else:
                right = _is_number(cell) or (cell is None and numbers[place])
                cells.append(f'<td{" class=number" if right else ""}>{inner}</td>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join([*lines, "</tbody></table></div>"])


def _is_number(cell: object) -> bool:
    return isinstance(cell, int | float | Signed) and not isinstance(cell, bool)


def picture(draw: Callable[[Path], None], alternative: str, caption: str = "",
            form: str = "svg") -> str:
    """Return a figure with a picture inside.

    Parameters
    ----------
    draw : function
        Draws into the file that it is given.
    alternative : str
        What the picture shows, for those who cannot see it.
    caption : str
        How to read it.
    form : "svg" or "png"
        The latter for pictures of many dots.
    """
    with tempfile.TemporaryDirectory(prefix="hybridasr-") as folder:
        path = Path(folder) / f"picture.{form}"
        draw(path)
        content = path.read_bytes()
    kind = "image/svg+xml" if form == "svg" else "image/png"
    below = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    return (f'<figure><img alt="{text(alternative)}" src="{_embedded(kind, content)}">'
            f"{below}</figure>")


def reading(draw: Callable) -> str:
    """Return what the docstring of a function of `plots` says of how to read its picture.

    >>> from hybridasr.plots import draw_filterbank
    >>> reading(draw_filterbank)[:40]
    'Each triangle is one filter; it weighs t'
    """
    _, _, rest = (draw.__doc__ or "").partition("How to read it:")
    words = " ".join(rest.split("\n\n")[0].split())
    return words[:1].upper() + words[1:]


def player(samples: np.ndarray, rate: int, name: str) -> str:
    """Return a player with the recording inside, as FLAC.

    Parameters
    ----------
    samples : array (num_samples,)
        In 16-bit range.
    name : str
        What is heard, for those who cannot see it.
    """
    file = io.BytesIO()
    whole = np.clip(np.round(samples), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    soundfile.write(file, whole, rate, format="FLAC")
    return (f'<audio controls preload="none" aria-label="{text(name)}" '
            f'src="{_embedded("audio/flac", file.getvalue())}"></audio>')


def write_page(path: PathLike, title: str, parts: Iterable[str], language: str = "en") -> None:
    """Write the parts as one page."""
    write_text(path, "\n".join([
        "<!DOCTYPE html>", f'<html lang="{language}">', "<head>", '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta name="generator" content="hybridasr {__version__}">',
        f"<title>{text(title)}</title>", f"<style>{_STYLE}</style>", "</head>", "<body>",
        "<main>", f"<h1>{text(title)}</h1>", *parts, "</main>", "</body>", "</html>", ""]))


def _embedded(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
