"""The sheet: hanzi with and without a font, the same bytes again, endings."""

import re

import pytest

from hybridasr.plots import canvas

pytest.importorskip("matplotlib")


def figure_of(text):
    plt = canvas.pyplot()
    figure, axes = plt.subplots(figsize=(2, 1))
    axes.set_title(text)
    axes.set_yticks([0, 1], [text, "b"])
    return figure


def test_hanzi_stay_in_svg(tmp_path):
    canvas.save(figure_of("打开 a"), tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    assert len(re.findall(r">打开 a<", text)) == 2


def test_hanzi_become_pinyin_where_no_font_has_them(tmp_path, monkeypatch, caplog):
    pytest.importorskip("pypinyin")
    monkeypatch.setattr(canvas, "_has_chinese", lambda: False)
    figure = figure_of("打开 a")
    canvas.save(figure, tmp_path / "a.png")
    axes, = figure.axes
    assert axes.get_title() == "da3kai1 a"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["da3kai1 a", "b"]
    assert [record.message.split(",")[0] for record in caplog.records] == [
        "no font with hanzi is installed"]


def test_hanzi_without_a_reading_are_numbers(monkeypatch):
    monkeypatch.setattr(canvas, "hanzi_readings", lambda text: None)
    assert canvas._spelled("x打开") == "xU+6253U+5F00"


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_a_picture_drawn_again_is_the_same_file(tmp_path, ending):
    for name in "ab":
        canvas.save(figure_of("a"), tmp_path / f"{name}.{ending}")
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
