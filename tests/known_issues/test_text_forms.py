"""The same word in two Unicode forms, or at double width, was two words, or refused."""

import unicodedata

import numpy as np
import pytest
import soundfile

from hybridasr.corpus.command_list import make_commands, read_commands
from hybridasr.corpus.datadir import read_datadir
from hybridasr.corpus.readers import find_reader
from hybridasr.corpus.text import normalize_text
from hybridasr.graph.mklang import make_lang
from hybridasr.lexicon.langdir import LangOptions, read_lang
from hybridasr.lexicon.lexicon import build_lexicon, read_own_lexicon
from hybridasr.lm.arpa import read_arpa
from hybridasr.lm.sentences import read_sentences

CAFE = "café"
CAFE_NFD = unicodedata.normalize("NFD", CAFE)


def data_directory(path, texts):
    path.mkdir()
    for name, value in (("wav.scp", "/nowhere/{}.wav"), ("utt2spk", "{}")):
        (path / name).write_text("".join(f"{u} {value.format(u)}\n" for u in sorted(texts)))
    (path / "text").write_text("".join(f"{u} {texts[u]}\n" for u in sorted(texts)))
    return path


@pytest.mark.parametrize(("text", "normal"), [
    (CAFE_NFD, CAFE), ("２６度", "26度"), ("ＷｉＦｉ", "WiFi"), ("打开　灯", "打开 灯"),
    ("打开空调", "打开空调"), ("５０％", "50%"),
])
def test_normal_form(text, normal):
    assert normalize_text(text) == normal
    assert make_commands([text])[0].text == normal


def test_command_lists_take_pinyin_with_separate_marks(tmp_path):
    (tmp_path / "list.txt").write_text(unicodedata.normalize("NFD", "dǎ kāi diàn shì\ncafé\n"))
    assert [c.text for c in read_commands(tmp_path / "list.txt")] == ["dǎ kāi diàn shì", CAFE]
    lexicon = build_lexicon(read_commands(tmp_path / "list.txt")[0].words)
    assert lexicon.entries["diàn"][0].phones == ("d", "ian4")


def test_full_width_commands_are_read():
    words = [command.text for command in make_commands(["打开ＷｉＦｉ", "空调２６度"])]
    lexicon = build_lexicon(words)
    assert lexicon.entries["空调26度"][0].phones[-6:] == ("sh", "ix2", "l", "iu4", "d", "u4")


def test_lexicon_and_transcripts_meet(tmp_path):
    data = data_directory(tmp_path / "data", {"a-1": CAFE_NFD, "a-2": CAFE})
    (tmp_path / "own.txt").write_text(f"{CAFE} K AE F EY\n")
    make_lang([data], tmp_path / "lang", LangOptions(), lexicon=tmp_path / "own.txt")
    assert CAFE in read_lang(tmp_path / "lang").words
    assert CAFE_NFD not in read_lang(tmp_path / "lang").words
    assert {u.words for u in read_datadir(data).utterances.values()} == {(CAFE,)}
    (tmp_path / "own.txt").write_text(f"{CAFE_NFD} K AE F EY\n")
    assert set(read_own_lexicon(tmp_path / "own.txt").entries) == {CAFE}


def test_folders_of_two_forms_are_one_word(tmp_path):
    for folder in (CAFE, CAFE_NFD):
        (tmp_path / folder).mkdir()
        for number in range(3):
            soundfile.write(tmp_path / folder / f"{number}.wav", np.zeros(160, np.int16), 16000)
    sets = find_reader("folder").read(tmp_path)
    assert {u.words for utterances in sets.values() for u in utterances} == {(CAFE,)}


def test_arpa_and_text_of_language_models(tmp_path):
    (tmp_path / "lm.arpa").write_text(
        f"\\data\\\nngram 1=2\n\n\\1-grams:\n-0.3 </s>\n-0.3 {CAFE_NFD}\n\n\\end\\\n")
    assert read_arpa(tmp_path / "lm.arpa").vocabulary == ["</s>", CAFE]
    (tmp_path / "lines.txt").write_text(f"{CAFE_NFD}　２６\n")
    assert read_sentences(tmp_path / "lines.txt") == [(CAFE, "26")]
