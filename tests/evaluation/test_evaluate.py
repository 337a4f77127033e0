"""Figures of a decode directory beside those of its words."""

from pathlib import Path

import pytest

from hybridasr.corpus.datadir import DataDir
from hybridasr.corpus.kaldi_files import Utterance
from hybridasr.evaluation.evaluate import syllable_figures


def spoken(tmp_path: Path, texts: dict[str, str]) -> DataDir:
    return DataDir(tmp_path, {name: Utterance(name, "speaker", tuple(text.split()), name, "a.wav")
                              for name, text in texts.items()})


def test_homophones_are_right_as_syllables(tmp_path):
    pytest.importorskip("pypinyin")
    (tmp_path / "text").write_text("a 他 打开 了 灯\nb 大海 tv\n", encoding="utf-8")
    # Another hanzi of the same sound, words cut elsewhere; a wrong tone; a word that is no hanzi.
    data = spoken(tmp_path, {"a": "她 打 开 了 灯", "b": "打开 tv"})
    assert syllable_figures(data, tmp_path) == {"syllable_errors": 25.0}


def test_no_hanzi_no_syllables(tmp_path):
    (tmp_path / "text").write_text("a lamp on\n", encoding="utf-8")
    assert syllable_figures(spoken(tmp_path, {"a": "lamp on"}), tmp_path) == {}
