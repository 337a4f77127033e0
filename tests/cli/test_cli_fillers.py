"""The verb that suggests fillers, run in this process."""

import json

import pytest

from hybridasr.cli import main
from hybridasr.confidence.confusion import estimate_confusions
from hybridasr.lexicon.langdir import LangOptions, prepare_lang
from hybridasr.lexicon.lexicon import build_lexicon
from hybridasr.lexicon.phones import default_phone_set

COMMANDS = "da3kai1 kong1tiao2\nda3kai1 kong1tiao1\nguan1bi4 deng1\n"
WORDS = ["da3kai1", "kong1tiao2", "kong1tiao1", "guan1bi4", "deng1", "tong1tiao2", "duan1bi4"]


@pytest.fixture
def commands(tmp_path):
    (tmp_path / "commands.txt").write_text(COMMANDS)
    return str(tmp_path / "commands.txt")


@pytest.fixture
def model(tmp_path):
    """What the verb reads of a model: its lang directory."""
    lexicon = build_lexicon(WORDS)
    prepare_lang(lexicon, default_phone_set().covering(lexicon.phones), tmp_path / "mono" / "lang",
                 LangOptions())
    return tmp_path / "mono"


def fillers(capsys, *words):
    assert main(["suggest-fillers", "--json", "--dictionaries", "false", *map(str, words)]) == 0
    captured = capsys.readouterr()
    return [json.loads(line) for line in captured.out.splitlines()], captured.err


def test_table_and_warning(commands, capsys):
    assert main(["suggest-fillers", "--dictionaries", "false", "--per-command", "4", commands]) == 0
    captured = capsys.readouterr()
    titles, _, *lines = captured.out.splitlines()
    assert titles.split() == ["command", "filler", "pinyin", "distance", "kind"]
    assert len(lines) == 3 * 4
    assert all(line.endswith("made-up") for line in lines)
    (warning,) = captured.err.splitlines()
    assert (f"{commands}: commands 'da3kai1 kong1tiao2' (line 1) and 'da3kai1 kong1tiao1' (line 2)"
            " sound alike (distance 1.0)") in warning


def test_phones_and_words_of_a_model(commands, model, capsys):
    rows, _ = fillers(capsys, "--lang", model, commands)
    assert {"da3kai1 tong1tiao2", "duan1bi4 deng1"} <= {
        row["filler"] for row in rows if row["kind"] == "part"}
    heard = build_lexicon(WORDS).phones
    assert heard.issuperset(phone for row in rows for phone in row["phones"])
    assert rows == fillers(capsys, "--lang", model / "lang", commands)[0]


def test_confusions_of_a_model(commands, model, capsys):
    before, warned = fillers(capsys, "--lang", model, commands)
    assert "sound alike" in warned
    # A model that tells tones, and takes no t for a k.
    said = [phone for phone in sorted(build_lexicon(WORDS).phones) for _ in range(5)]
    estimate_confusions([(said, said)] * 1000).save(model / "confusions.json")
    after, warned = fillers(capsys, "--lang", model, commands, "--max-distance", 20)
    assert "sound alike" not in warned
    nearest = [min(row["distance"] for row in rows if "tong1tiao2" in row["filler"])
               for rows in (before, after)]
    assert nearest[1] > nearest[0] + 3
    (model / "confusions.json").write_text('{"format": 1}')
    assert main(["suggest-fillers", "--lang", str(model), commands]) == 1
    assert "confusions.json: has no list of phones" in capsys.readouterr().err


def test_too_narrow_distances_are_said(commands, capsys):
    rows, warned = fillers(capsys, commands, "--max-distance", 2.0, "--min-distance", 2.0,
                           "--min-phone", 9.0)
    assert rows == []
    assert f"{commands}:3: no filler for 'guan1bi4 deng1'" in warned


@pytest.mark.parametrize(("words", "match"), [
    (["--lang", "none", "COMMANDS"], "none: lang.json is missing"),
    (["--per-command", "0", "COMMANDS"], "give whole numbers"),
    (["missing.txt"], "missing.txt: no such file")])
def test_mistakes_are_one_line(commands, capsys, words, match):
    assert main(["suggest-fillers", *(commands if w == "COMMANDS" else w for w in words)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert match in line
