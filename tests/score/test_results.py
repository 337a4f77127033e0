"""results.json and the printed table."""

import json

import pytest

from hybridasr.errors import UserError
from hybridasr.score.result_table import (
    add_result,
    display_width,
    format_results,
    format_table,
    read_results,
)

ROW = {"system": "mono", "test_set": "test", "grammar": "word", "wer": 13.45, "ser": 13.45}


def test_row_gets_every_promised_column_and_keeps_more(tmp_path):
    path = tmp_path / "results.json"
    add_result(path, {**ROW, "cer": 8.5})
    assert json.loads(path.read_text()) == [
        {"system": "mono", "test_set": "test", "grammar": "word", "known": None, "wer": 13.45,
         "ser": 13.45, "words": None, "utterances": None, "rtf": None,
         "train_seconds": None, "cer": 8.5}]


def test_same_key_is_replaced_in_place(tmp_path):
    path = tmp_path / "results.json"
    add_result(path, ROW)
    add_result(path, {**ROW, "grammar": "loop", "wer": 20.0})
    rows = add_result(path, {**ROW, "wer": 12.0})
    assert [(row["grammar"], row["wer"]) for row in rows] == [("word", 12.0), ("loop", 20.0)]
    assert read_results(path) == rows


def test_no_file_has_no_rows(tmp_path):
    assert read_results(tmp_path / "results.json") == []


@pytest.mark.parametrize(("text", "reason"), [
    ('[{"system": "mo', "not JSON"),
    ('{"system": "mono"}', "a dict, not a list of result rows"),
    ('[{"system": "mono"}]', "row 1 lacks one of system, test_set, grammar"),
    ("[3]", "row 1 lacks"),
])
def test_damaged_file_is_refused_and_kept(tmp_path, text, reason):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(UserError, match=f"results.json.*{reason}"):
        add_result(path, ROW)
    assert path.read_text() == text


def test_row_without_system_is_refused(tmp_path):
    with pytest.raises(UserError, match="a row has system = None; give it a name"):
        add_result(tmp_path / "results.json", {"test_set": "test"})
    assert not (tmp_path / "results.json").exists()


def test_table_is_aligned_and_leaves_out_empty_columns():
    rows = [{**ROW, "wer_low": 12.8, "wer_high": 14.1, "words": 20138, "rtf": 0.02,
             "train_seconds": None},
            {"system": "tri2b", "test_set": "strangers", "grammar": None, "wer": 7.0, "n": 3}]
    assert format_table(rows) == (
        "system  test set   grammar  WER %  95 % from     to  SER %  words     RTF  n\n"
        "------  ---------  -------  -----  ---------  -----  -----  -----  ------  -\n"
        "mono    test       word     13.45      12.80  14.10  13.45  20138  0.0200  -\n"
        "tri2b   strangers  -         7.00          -      -      -      -       -  3")


def test_wide_characters_take_two_places():
    lines = format_table([{"word": "打开", "n": 1}, {"word": "abcdef", "n": 22}]).split("\n")
    assert lines[2] == "打开     1"
    assert lines[3] == "abcdef  22"
    assert {display_width(line) for line in lines} == {10}
    assert display_width("é（") == 3


def test_chosen_columns_and_no_rows():
    assert format_table([ROW], ["wer"]) == "WER %\n-----\n13.45"
    assert format_table([]) == "(no results)"


def test_decisions_on_commands_have_a_table_of_their_own():
    decisions = {**ROW, "grammar": "commands and filler", "known": "none", "wer": None, "ser": None,
                 "words": None, "commands": 40, "outside": 20, "recognised": 97.5,
                 "accepted_right": 95.0,
                 "accepted_wrong": 0.0, "false_accept": 5.0, "eer": None, "ece": 0.0312,
                 "rtf": 0.01, "auc": 0.99}
    words, blank, titles, rule, line, *more = format_results([ROW, decisions]).split("\n")[2:]
    assert words.split() == ["mono", "test", "word", "13.45", "13.45"]
    assert blank == ""
    assert set(rule) == {"-", " "}
    assert titles.split("  ")[:2] == ["system", "test set"]
    assert "outside accepted %" in titles
    assert line.split() == ["mono", "test", "none", "40", "20", "97.50", "95.00", "0.00",
                            "5.00", "-", "0.031", "0.0100"]
    assert more == []
    assert format_results([ROW]) == format_table([ROW])
    # Nothing but outside words, and a set without words: still rows.
    alone = {**decisions, "commands": 0, "recognised": None, "accepted_right": None}
    assert "5.00" in format_results([alone])
    assert "mono" in format_results([{**ROW, "wer": None}])
