"""train-lm took the first word of each line for an id, and a blank line for a sentence."""

import pytest
from test_text_forms import data_directory

from hybridasr import cli
from hybridasr.errors import UserError
from hybridasr.lm.arpa import read_arpa
from hybridasr.lm.sentences import read_sentences


def test_a_plain_text_has_no_ids(tmp_path):
    (tmp_path / "lines.txt").write_text("打开 空调\n\n关闭 空调\n \n")
    assert read_sentences(tmp_path / "lines.txt") == [("打开", "空调"), ("关闭", "空调")]
    assert read_sentences(tmp_path / "lines.txt", ids=True) == [("空调",), ("空调",)]


def test_a_data_directory_has_ids(tmp_path):
    data = data_directory(tmp_path / "data", {"a-1": "one two", "a-2": ""})
    assert read_sentences(data) == [("one", "two")]
    assert read_sentences(data / "text") == [("one", "two")]
    assert read_sentences(data / "text", ids=False) == [("a-1", "one", "two"), ("a-2",)]
    (tmp_path / "text").write_text("one two\n")  # nothing beside it
    assert read_sentences(tmp_path / "text") == [("one", "two")]


def test_a_text_without_words_is_refused(tmp_path):
    (tmp_path / "lines.txt").write_text("\n \n")
    with pytest.raises(UserError, match="holds no word"):
        read_sentences(tmp_path / "lines.txt")


def test_blank_lines_do_not_change_the_model(tmp_path, caplog):
    for name, text in (("plain", "a b\na\n"), ("blank", "\na b\n\n\na\n\n")):
        (tmp_path / name).write_text(text)
        assert cli.main(["train-lm", "--order", "2", str(tmp_path / name),
                         str(tmp_path / f"{name}.arpa")]) == 0
    assert read_arpa(tmp_path / "plain.arpa") == read_arpa(tmp_path / "blank.arpa")


def test_the_closing_line_shows_what_was_read(tmp_path, capfd):
    (tmp_path / "lines.txt").write_text("u1 one\nu2 two\n")
    assert cli.main(["train-lm", str(tmp_path / "lines.txt"), str(tmp_path / "lm.arpa")]) == 0
    assert "2 sentences, 4 words (4 different); the first words are u1 u2" in capfd.readouterr().err
    assert cli.main(["train-lm", "--ids", "true", str(tmp_path / "lines.txt"),
                     str(tmp_path / "lm.arpa")]) == 0
    assert "the first words are one two" in capfd.readouterr().err
