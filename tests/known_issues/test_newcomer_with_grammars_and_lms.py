"""What a newcomer met: outputs over inputs, models of nothing, refusals that came late."""

import itertools

import pytest

from hybridasr.cli import main
from hybridasr.errors import NotEnoughData, UserError
from hybridasr.evaluation.sweep import SweepOptions
from hybridasr.grammar.command_file import read_grammar
from hybridasr.grammar.expansion import draw_sentences
from hybridasr.lm.estimate import estimate_ngram
from hybridasr.recipe.config import RunOptions, read_recipe, recipes_dir
from hybridasr.recipe.runner import run_recipe

TEXT = "a b a\nb c\n" * 5


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


@pytest.mark.parametrize("words", [
    "train-lm --order 2 {text} {text}", "normalize-text {text} {text}",
    "segment-text --segment {text} {text} {text}", "convert-lm {text} {text}",
    "prune-lm {text} {text}", "interpolate-lm --weights 0.5,0.5 {text} {text} {text}"])
def test_no_verb_writes_over_what_it_reads(text, capsys, words):
    assert main(words.format(text=text).split()) == 1
    assert "is read here and would be written over" in capsys.readouterr().err
    assert text.read_text() == TEXT


def test_weights_are_shares(text, tmp_path, capsys):
    one, two = (str(tmp_path / name) for name in ("one.arpa", "two.arpa"))
    for path in (one, two):
        assert main(["train-lm", "--order", "1", str(text), path]) == 0
    assert main(["interpolate-lm", "--weights", "0.7,0.7", one, two, str(tmp_path / "m")]) == 1
    assert "sum to 1.4; give shares that sum to 1" in capsys.readouterr().err


def test_a_vocabulary_without_a_word_of_the_text():
    with pytest.raises(NotEnoughData, match="no word of the text is in the --vocabulary"):
        estimate_ngram([["a", "b"]], 2, vocabulary=["x", "y"])


def test_sentences_are_drawn_as_they_are_asked_for(tmp_path, capsys):
    path = tmp_path / "home.txt"
    path.write_text("on\t(打开|开)灯\noff\t关灯\t0.8\n")
    # A list of so many would not fit into memory.
    drawn = draw_sentences(read_grammar(path), 10**12)
    assert len(list(itertools.islice(drawn, 3))) == 3
    assert main(["expand-grammar", str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == ["on\t打开灯", "on\t开灯", "off\t关灯\t0.8"]


def test_refused_before_any_work(tmp_path):
    recipe = read_recipe(recipes_dir() / "commands_zh")
    with pytest.raises(UserError, match="no recordings"):
        run_recipe(recipe, RunOptions(tmp_path / "work", background=(tmp_path / "nowhere",)))
    assert not (tmp_path / "work").exists()
    with pytest.raises(UserError, match="give whole numbers from 1 to 1000"):
        SweepOptions(min_lmwt=1, max_lmwt=10**6)
