"""A # inside a command cut it in silence; a threshold in the second of two columns was a text."""

import numpy as np
import pytest
import soundfile

from hybridasr.corpus.command_list import read_commands
from hybridasr.corpus.readers import find_reader
from hybridasr.errors import UserError


@pytest.mark.parametrize("line", ["打开C#课程", "打开#1灯"])
def test_a_hash_inside_a_command_is_no_comment(tmp_path, line):
    (tmp_path / "list.txt").write_text(f"{line}\n")
    with pytest.raises(UserError, match=f"list.txt:1: '{line}' has #"):
        read_commands(tmp_path / "list.txt")


def test_comments_begin_a_line_or_follow_white_space(tmp_path):
    (tmp_path / "list.txt").write_text("# all of them\n打开空调 # the first\n关灯\t# 2\n  # x\n")
    assert [c.text for c in read_commands(tmp_path / "list.txt")] == ["打开空调", "关灯"]


def test_a_threshold_in_two_columns(tmp_path):
    (tmp_path / "list.txt").write_text("打开空调\t0.5\n")
    with pytest.raises(UserError, match="a threshold is the third of three: id, text, threshold"):
        read_commands(tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text("on\t打开空调\t0.5\n")
    assert read_commands(tmp_path / "list.txt")[0].threshold == 0.5


def test_folders_that_differ_by_case_are_named(tmp_path, caplog):
    for folder in ("One", "one", "two"):
        (tmp_path / folder).mkdir()
        for number in range(3):
            soundfile.write(tmp_path / folder / f"{number}.wav", np.zeros(160, np.int16), 16000)
    find_reader("folder").read(tmp_path)
    assert "differ by case alone are different words: One and one;" in caplog.text
