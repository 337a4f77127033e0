"""Command lists: each form of a line, and every kind of bad one."""

import pytest

from hybridasr.corpus.commands import read_commands
from hybridasr.errors import UserError


def write(tmp_path, text):
    path = tmp_path / "commands.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_forms(tmp_path):
    path = write(tmp_path, "\ufeff# mine\n打开空调  # cold\n\nda3  kai1\nturn on\non\t开灯\n"
                           "on\t打开灯\t0.25\noff\t关灯\t\n")
    assert [(c.text, c.id, c.threshold) for c in read_commands(path)] == [
        ("打开空调", "打开空调", None), ("da3 kai1", "da3 kai1", None),
        ("turn on", "turn on", None),
        ("开灯", "on", None), ("打开灯", "on", 0.25), ("关灯", "off", None)]
    assert read_commands(path)[2].words == ("turn", "on")


@pytest.mark.parametrize(("line", "message"), [
    ("a\tb\t0.5\tmore", "commands.txt:2: 4 columns"),
    ("on\t开灯\thigh", "commands.txt:2: threshold 'high' is no number"),
    ("on\t开灯\t1.5", "commands.txt:2: threshold 1.5 is outside 0..1"),
    ("打开，空调", "commands.txt:2: .* has ，"),
    ("on", "commands.txt:2: 'on' is there already, in line 1"),
])
def test_bad_lines_are_named(tmp_path, line, message):
    with pytest.raises(UserError, match=message):
        read_commands(write(tmp_path, f"on\n{line}\n"))


def test_all_bad_lines_are_listed(tmp_path):
    with pytest.raises(UserError) as error:
        read_commands(write(tmp_path, "a!\nfine\nb?\n"))
    assert "commands.txt:1: 'a!'" in str(error.value)
    assert "commands.txt:3: 'b?'" in str(error.value)


def test_empty(tmp_path):
    with pytest.raises(UserError, match="no command in the list"):
        read_commands(write(tmp_path, "# nothing\n"))
