"""Command lists: each form of a line, and every kind of bad one."""

import pytest

from hybridasr.corpus.command_list import Command, make_commands, read_commands
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


def test_python_objects_as_the_file(tmp_path):
    path = write(tmp_path, "da3  kai1\non\t开灯\non\t打开灯\t0.25\n")
    read = read_commands(path)
    made = make_commands([" da3  kai1", ("on", "开灯"),
                          {"text": "打开灯", "id": "on", "threshold": 0.25}])
    assert [(c.text, c.id, c.threshold) for c in made] == [
        (c.text, c.id, c.threshold) for c in read]
    assert [c.line for c in made] == [0, 0, 0]
    assert make_commands(read) == read
    assert make_commands(iter([("on", "开灯", None), Command("a", "b", 1.0)])) == [
        Command("开灯", "on"), Command("a", "b", 1.0)]


@pytest.mark.parametrize(("item", "message"), [
    (("on", "开灯", "high"), "command 2: threshold 'high' is no number"),
    ({"text": "开灯", "threshold": 1.5}, "command 2: threshold 1.5 is outside 0..1"),
    (Command("开灯", "on", float("nan")), "command 2: threshold nan is outside 0..1"),
    ("打开，空调", "command 2: '打开，空调' has ，"),
    ("#", "command 2: '#' has #"),
    ("  ", "command 2: '  ' is no text"),
    (("", "开灯"), "command 2: '' is no text"),
    (("id", 3), "command 2: 3 is no text"),
    ({"id": "on"}, "command 2: no text; give text"),
    ({"text": "a", "treshold": 0.5}, "command 2: unknown field treshold; give text"),
    (7, "command 2: 7 is no command"),
    (("a", "b", 0.5, "c"), "command 2: .* is no command"),
    ("on", "'on' is there already, as command 1"),
    (Command("on", "other", line=9), "my.txt:9: 'on' is there already, as command 1"),
])
def test_bad_objects_are_named(item, message):
    source = "my.txt" if "my.txt" in message else None
    with pytest.raises(UserError, match="^" + message):
        make_commands(["on", item], source)


def test_objects_that_are_no_list():
    for items in ([], iter(())):
        with pytest.raises(UserError, match="no command in the list"):
            make_commands(items)
    for items in ("打开空调", {"text": "打开空调"}):
        with pytest.raises(UserError, match="put it into a list"):
            make_commands(items)
    with pytest.raises(UserError) as error:
        make_commands(["a!", "fine", "b?"])
    assert [line.split(":")[0] for line in str(error.value).splitlines()] == ["command 1",
                                                                              "command 3"]
