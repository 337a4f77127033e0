"""suggest-fillers listed made-up strings alone where the lexicon has the command as a word."""

import json
from pathlib import Path

import pytest

from hybridasr.cli import main

COMMANDS = Path(__file__).resolve().parents[2] / "egs" / "commands_zh" / "commands.txt"


@pytest.fixture(scope="module")
def lang(tmp_path_factory):
    pytest.importorskip("pypinyin")
    path = tmp_path_factory.mktemp("zh") / "lang"
    assert main(["prepare-lang", str(COMMANDS), str(path)]) == 0
    return path


def suggestions(capsys, tmp_path, text, *options):
    path = tmp_path / "commands.txt"
    path.write_text(f"{text}\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["suggest-fillers", "--json", *map(str, options), str(path)]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_real_words_come_first(lang, tmp_path, capsys):
    for options in (["--lang", lang], []):
        rows = suggestions(capsys, tmp_path, "打开空调", *options)
        real = [row for row in rows if row["kind"] != "made-up"]
        assert len(rows) == 10
        assert len(real) >= 5
        assert rows[:len(real)] == real
        for part in (real, rows[len(real):]):
            distances = [row["distance"] for row in part]
            assert distances == sorted(distances)


def test_words_of_the_lexicon_come_before_those_of_dictionaries(lang, tmp_path, capsys):
    commands = tmp_path / "more.txt"
    commands.write_text("打开空调\n打开广告\n打开公告\n打开口罩\n", encoding="utf-8")
    assert main(["prepare-lang", str(COMMANDS), str(commands), str(tmp_path / "lang")]) == 0
    rows = suggestions(capsys, tmp_path, "打开空调", "--lang", tmp_path / "lang",
                       "--max-distance", 11)
    own = [row["filler"] for row in rows if row["kind"] == "word"]
    assert own
    assert set(own) <= {"打开广告", "打开公告", "打开口罩"}
    assert own == [row["filler"] for row in rows[:len(own)]]
