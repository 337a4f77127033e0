"""Pages: escaping, structure, sounds that come out as they went in."""

import base64
import io

import numpy as np
import soundfile
from page_checks import check_page

from hybridasr.report import page


def test_what_comes_from_outside_stays_text(tmp_path):
    evil = '<script>alert("x")</script> & \'y\''
    page.write_page(tmp_path / "a.html", evil, [
        page.section(evil, page.paragraph(evil), page.table(evil, [evil], [[evil, evil]]),
                     page.details(evil, page.paragraph(evil))),
        page.picture(lambda path: path.write_text("<svg/>"), evil, evil),
        page.player(np.zeros(10), 8000, evil)])
    read = check_page(tmp_path / "a.html")
    assert read.text.count(evil) == 11
    assert read.all("img")[0]["alt"] == read.all("audio")[0]["aria-label"] == evil


def test_table_tells_numbers_from_texts():
    text = page.table("errors", ["who", "words", "what"], [["s1", 3, True], ["s2", None, None]])
    # What is missing stands where numbers do.
    assert "<td class=number>3</td>" in text
    assert "<td class=number>–</td>" in text
    assert "<td>True</td>" in text
    assert "<td>–</td>" in text
    signed = page.table("sum", ["what", "odds"], [["a", page.Signed(2)], ["b", page.Signed(-1)]])
    assert "<td class=number>+2.00</td>" in signed
    assert "<td class=number>-1.00</td>" in signed
    assert '<th scope="row">s1</th>' in text


def test_sound_comes_out_as_it_went_in():
    samples = np.array([0.0, 100.4, -32768.0, 40000.0])
    text = page.player(samples, 8000, "u1")
    content = text.partition("base64,")[2].partition('"')[0]
    back, rate = soundfile.read(io.BytesIO(base64.b64decode(content)), dtype="int16")
    assert (back.tolist(), rate) == ([0, 100, -32768, 32767], 8000)


def test_every_picture_says_how_to_read_it():
    from hybridasr import plots

    drawers = [getattr(plots, name) for name in plots.__all__ if name.startswith("draw_")]
    assert [draw.__name__ for draw in drawers if len(page.reading(draw)) < 80] == []
