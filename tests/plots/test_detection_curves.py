"""Pictures of confidence: what is drawn, where, and into which files."""

import sys
from statistics import NormalDist

import numpy as np
import pytest

from hybridasr.errors import UserError
from hybridasr.plots import detection_curves as detection
from hybridasr.plots.detection_curves import draw_det, draw_reliability, draw_roc
from hybridasr.score.detection import det_curve

SCORES = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.9, 0.95])
LABELS = np.array([False, False, True, False, True, False, True, True])
CURVES = {"mono": det_curve(SCORES, LABELS), "other": det_curve(-SCORES, LABELS)}


@pytest.fixture
def drawn(monkeypatch):
    """Return the list in which drawn figures turn up in place of files."""
    pytest.importorskip("matplotlib")
    figures = []
    monkeypatch.setattr(detection, "save", lambda figure, path: figures.append(figure))
    yield figures
    for figure in figures:
        detection.pyplot_for(detection.Path("x.svg")).close(figure)


def legend(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_det_curve_is_on_normal_deviate_axes(drawn, tmp_path):
    draw_det(CURVES, tmp_path / "det.svg")
    axes = drawn[0].axes[0]
    inverse = NormalDist().inv_cdf
    line = axes.lines[0].get_xydata()
    # Rates of 0 and 1 are at infinity, and drawn on the rim.
    want = [[inverse(min(max(rate, 0.0005), 0.995)) for rate in rates]
            for rates in zip(CURVES["mono"].false_accept, CURVES["mono"].miss, strict=True)]
    np.testing.assert_allclose(line, want, rtol=0, atol=1e-9)
    np.testing.assert_allclose(axes.lines[1].get_xydata(), [[inverse(0.25)] * 2], atol=1e-9)
    assert legend(axes) == ["mono: EER 25.0 %", "other: EER 75.0 %"]
    ticks = dict(zip((text.get_text() for text in axes.get_xticklabels()), axes.get_xticks(),
                     strict=True))
    assert ticks["5"] == pytest.approx(inverse(0.05))
    assert axes.get_xlim() == axes.get_ylim() == pytest.approx((inverse(0.0005), inverse(0.995)))


def test_roc_curve_in_per_cent(drawn, tmp_path):
    draw_roc(CURVES, tmp_path / "roc.svg")
    axes = drawn[0].axes[0]
    np.testing.assert_allclose(axes.lines[0].get_xydata(), 100 * np.column_stack(
        [CURVES["mono"].false_accept, 1 - CURVES["mono"].miss]), atol=1e-9)
    assert legend(axes) == ["mono: area 0.812", "other: area 0.188"]


def test_reliability_diagram_shows_the_table(drawn, tmp_path):
    draw_reliability(SCORES, LABELS, tmp_path / "reliability.svg", bins=4)
    upper, lower = drawn[0].axes
    assert [bar.get_height() for bar in upper.patches] == [0, 0.5, 0.5, 1]
    assert [bar.get_height() for bar in lower.patches] == [2, 2, 2, 2]
    np.testing.assert_allclose(upper.lines[0].get_xydata(),
                               [[0.15, 0], [0.35, 0.5], [0.65, 0.5], [0.925, 1]], atol=1e-9)
    assert upper.get_title() == "expected calibration error 0.131"


@pytest.mark.parametrize("draw", [
    lambda path: draw_det(CURVES, path), lambda path: draw_roc({}, path),
    lambda path: draw_reliability(SCORES, LABELS, path)])
def test_files(draw, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    for ending, start in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        draw(tmp_path / f"picture{ending}")
        assert (tmp_path / f"picture{ending}").read_bytes().startswith(start)
    with pytest.raises(UserError, match=r"ends in .svg, .png or .pdf"):
        draw(tmp_path / "picture.txt")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match="pictures need matplotlib; run pip install"):
        draw(tmp_path / "picture.svg")
