"""Where the tables are found."""

import pytest

from hybridasr.errors import UserError
from hybridasr.lexicon import table_files as tables
from hybridasr.lexicon import tables_dir


def test_tables_of_the_checkout(monkeypatch):
    monkeypatch.delenv("HYBRIDASR_LEXICON", raising=False)
    assert (tables_dir() / "english.txt").is_file()


def test_the_environment_wins(monkeypatch, tmp_path):
    monkeypatch.setenv("HYBRIDASR_LEXICON", str(tmp_path))
    assert tables_dir() == tmp_path
    with pytest.raises(UserError, match="english.txt: no such file"):
        tables.builtin_table("english.txt")
    monkeypatch.setenv("HYBRIDASR_LEXICON", str(tmp_path / "none"))
    with pytest.raises(UserError, match="HYBRIDASR_LEXICON is not a directory"):
        tables_dir()


def test_missing_tables_are_said_so(monkeypatch, tmp_path):
    monkeypatch.delenv("HYBRIDASR_LEXICON", raising=False)
    monkeypatch.setattr(tables, "package_folder", lambda inside, checkout: tmp_path / checkout)
    with pytest.raises(UserError, match="tables are missing; install hybridasr again"):
        tables_dir()


def test_comments_and_blank_lines_are_skipped(tmp_path):
    (tmp_path / "t.txt").write_text("# c\n\na b\n  \nc\t d\n", encoding="utf-8")
    assert tables.read_fields(tmp_path / "t.txt") == [(3, ["a", "b"]), (5, ["c", "d"])]
