"""The verbs on language models, as a user calls them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from hybridasr import cli
from hybridasr.cli.verb import Parser
from hybridasr.lm.model_file import read_ngram


@pytest.fixture
def place(tmp_path):
    rng = np.random.default_rng(0)
    for name, size in (("text", 300), ("more", 100), ("held_out", 60)):
        lines = [" ".join(f"w{min(int(x), 40)}" for x in rng.pareto(1.0, rng.integers(1, 9)) * 4)
                 for _ in range(size)]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    return tmp_path


def run(place, *words):
    return cli.main([str(place / word[1:]) if word.startswith("@") else word for word in words])


def perplexity(place, capsys, model, *options):
    capsys.readouterr()
    assert run(place, "perplexity", *options, model, "@held_out") == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_train_prune_interpolate_convert_and_score(place, capsys):
    assert run(place, "train-lm", "--order", "4", "--smoothing", "kneser-ney", "--unknown", "true",
               "@text", "@lm.bin") == 0
    assert "kneser-ney 4-gram of 300 sentences" in capsys.readouterr().err
    assert run(place, "prune-lm", "--threshold", "1e-4", "@lm.bin", "@small.gz") == 0
    assert run(place, "train-lm", "--smoothing", "katz", "--vocabulary", "@text", "@more",
               "@more.arpa") == 0
    assert run(place, "interpolate-lm", "--held-out", "@held_out", "@lm.bin", "@more.arpa",
               "@mixed.arpa") == 0
    assert "perplexity of" in capsys.readouterr().err
    assert run(place, "interpolate-lm", "--weights", "0.5,0.5", "@lm.bin", "@more.arpa",
               "@half.arpa") == 0
    assert run(place, "convert-lm", "@mixed.arpa", "@mixed.bin") == 0
    assert read_ngram(place / "mixed.bin") == read_ngram(place / "mixed.arpa")
    small = read_ngram(place / "small.gz")
    assert sum(small.num_ngrams) < sum(read_ngram(place / "lm.bin").num_ngrams)
    (mixed,), (half,), (whole,) = (perplexity(place, capsys, name)
                                   for name in ("@mixed.arpa", "@half.arpa", "@lm.bin"))
    assert mixed["perplexity_without_oovs"] <= half["perplexity_without_oovs"] + 0.01
    assert mixed["perplexity_without_oovs"] <= whole["perplexity_without_oovs"] + 0.01
    assert set(mixed) == {"sentences", "words", "oovs", "log10_prob", "perplexity",
                          "log10_prob_without_oovs", "perplexity_without_oovs"}


def test_rows_of_sentences_add_up(place, capsys):
    assert run(place, "train-lm", "@text", "@lm.arpa") == 0
    *rows, total = perplexity(place, capsys, "@lm.arpa", "--per-sentence")
    assert [row["sentence"] for row in rows] == list(range(1, 61))
    assert sum(row["words"] for row in rows) == total["words"]
    assert sum(row["log10_prob_without_oovs"] for row in rows) == pytest.approx(
        total["log10_prob_without_oovs"], abs=1e-3)


@pytest.mark.parametrize(("words", "message"), [
    (("train-lm", "--order", "9", "@text", "@lm"), "n-gram order 9; give 1 to 6"),
    (("train-lm", "--vocabulary", "@more", "--min-count", "2", "@text", "@lm"),
     "--min-count has no effect with --vocabulary"),
    (("train-lm", "@none", "@lm"), "none: no such file"),
    (("prune-lm", "--threshold", "-1", "@text.arpa", "@lm"), "threshold -1; give"),
    (("interpolate-lm", "--weights", "1", "@text.arpa", "@lm"), "nothing to be interpolated with"),
    (("interpolate-lm", "--weights", "1,x", "@text.arpa", "@text.arpa", "@lm"), "give numbers"),
    (("interpolate-lm", "--weights", "1", "@text.arpa", "@text.arpa", "@lm"), "give one each"),
    (("interpolate-lm", "--weights", "1,1", "--ids", "true", "@text.arpa", "@text.arpa", "@lm"),
     "--ids has no effect with --weights"),
    (("perplexity", "@text.arpa", "@blank"), "blank: holds no word"),
    (("perplexity", "@text", "@text"), r"\\data\\ is missing"),
    (("convert-lm", "@text", "@lm"), r"\\data\\ is missing"),
])
def test_what_the_user_can_mend_is_one_line(place, capsys, words, message):
    (place / "blank").write_text("\n")
    assert run(place, "train-lm", "@text", "@text.arpa") == 0
    capsys.readouterr()
    assert run(place, *words) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert re.search(message, lines[0])
    assert not (place / "lm").exists()


def test_text_becomes_words_and_a_model(place, capsys):
    (place / "zh.txt").write_text("打开2盏灯。关灯！привет\n打开灯\n")
    (place / "lexicon.txt").write_text("打开 d a3\n灯 d eng1\n盏 zh\n关 g\n")
    assert run(place, "normalize-text", "--unreadable", "@rest", "@zh.txt", "@spoken") == 0
    assert (place / "spoken").read_text() == "打开两盏灯\n关灯\n打开灯\n"
    assert (place / "rest").read_text() == "привет\t1\n"
    assert "cannot be read: привет; 1 sentences are left out" in capsys.readouterr().err
    for method in ("longest", "unigram"):
        assert run(place, "segment-text", "--method", method, "--segment", "@lexicon.txt",
                   "@spoken", "@cut") == 0
        assert (place / "cut").read_text() == "打开 两 盏 灯\n关 灯\n打开 灯\n"
        assert "1 words (1 different) are not in" in capsys.readouterr().err
    assert run(place, "train-lm", "@cut", "@zh.arpa") == 0
    assert run(place, "segment-text", "--arpa", "@zh.arpa", "--segment", "@lexicon.txt",
               "@spoken", "@again") == 0
    assert (place / "again").read_text() == (place / "cut").read_text()


@pytest.mark.parametrize(("words", "message"), [
    (("segment-text", "@text", "@lm"), "no words to segment with; give --segment"),
    (("segment-text", "--method", "jieba", "--segment", "@text", "@text", "@lm"),
     "--segment has no effect with --method jieba"),
    (("segment-text", "--method", "longest", "--segment", "@text", "--arpa", "@x", "@text", "@lm"),
     "--arpa has no effect with --method longest"),
    (("segment-text", "--segment", "@text", "@blank", "@lm"), "blank: holds no word"),
    (("normalize-text", "@blank", "@lm"), "blank: holds no sentence that can be read"),
])
def test_faults_of_text_are_one_line(place, capsys, words, message):
    test_what_the_user_can_mend_is_one_line(place, capsys, words, message)


def test_the_page_runs_as_written(place, capsys, monkeypatch):
    page = (Path(__file__).resolve().parents[2] / "docs" / "language_models.md").read_text("utf-8")
    monkeypatch.chdir(place)
    for name, copy in (("text", "train.txt"), ("held_out", "held_out.txt"), ("text", "article.txt"),
                       ("text", "lexicon.txt"), ("more", "test.txt")):
        (place / copy).write_text((place / name).read_text())
    assert run(place, "train-lm", "@more", "@other.arpa") == 0
    lines = [line.split()[1:] for line in page.splitlines() if line.startswith("    hybridasr ")]
    assert len(lines) > 5
    for words in lines:
        parser = Parser(prog=words[0])
        cli.VERBS[words[0]].arguments(parser)
        parser.parse(words[1:])
        if words[0] not in ("mkgraph", "lattice-lmrescore-nnlm"):  # which need an acoustic model
            assert cli.main(words) == 0, (words, capsys.readouterr().err)
    (block,) = re.findall(r"```python\n(.*?)```", page, re.S)
    exec(block, {})


SMALL = ("--dim", "8", "--epochs", "2", "--batch-words", "100", "--learning-rate", "0.01")


def test_neural_model_of_a_text(place, capsys):
    assert run(place, "train-lm", "@text", "@lm.arpa") == 0
    assert run(place, "train-nnlm", *SMALL, "--held-out", "@held_out", "@text", "@nnlm") == 0
    lines = capsys.readouterr().err.splitlines()
    assert re.search(r"epoch 2: step size 0.01, perplexity \S+ in training, \S+ held", lines[-2])
    assert "nnlm: lstm of 8 columns, 1 layers, of 300 sentences" in lines[-1]
    assert "epoch 2: step size" in (place / "nnlm" / "log" / "train.log").read_text()
    (neural,) = perplexity(place, capsys, "@nnlm")
    *rows, mixed = perplexity(place, capsys, "@nnlm", "--ngram", "@lm.arpa", "--held-out",
                              "@held_out", "--per-sentence")
    (ngram,) = perplexity(place, capsys, "@lm.arpa")
    assert len(rows) == 60
    assert 0 <= mixed["weight"] <= 1
    assert mixed["perplexity_without_oovs"] <= min(
        one["perplexity_without_oovs"] for one in (neural, ngram)) + 0.01
    # The same again, over the model, with words of a list and on two threads.
    first = (place / "nnlm" / "network.npz").read_bytes()
    assert run(place, "train-nnlm", *SMALL, "--held-out", "@held_out", "--nj", "2", "@text",
               "@nnlm") == 0
    assert (place / "nnlm" / "network.npz").read_bytes() == first
    assert run(place, "train-nnlm", *SMALL, "--cell", "gru", "--vocabulary", "@more", "@text",
               "@other") == 0
    words = {row.split()[0] for row in (place / "other" / "words.txt").read_text().splitlines()}
    assert words == {"</s>", "<UNK>", *(row.split()[0] for row in
                                        (place / "more").read_text().splitlines())}


@pytest.mark.parametrize(("words", "message"), [
    (("train-nnlm", "@blank", "@new"), "blank: holds no word; write a sentence a line"),
    (("train-nnlm", "@one", "@new"), "1 sentences are too few to hold some out; give --held-out"),
    (("train-nnlm", "--held-out", "@one", "@one", "@new"), "no word of the model occurs 3 times"),
    (("train-nnlm", "--dim", "0", "@text", "@new"), "--dim 0; give 1 to 4096"),
    (("train-nnlm", "--dim", "4096", "--layers", "9", "@text", "@new"), "give a smaller --dim"),
    (("train-nnlm", "--batch-words", "0", "@text", "@new"), "--batch-words 0; give 1 or more"),
    (("train-nnlm", "--nj", "0", "@text", "@new"), "--nj 0; give 1 or more"),
    (("train-nnlm", "@text", "@lang"), "lang: is there already and no neural language model"),
    (("train-nnlm", "@text", "@text"), "text: is there already and no neural language model"),
    (("perplexity", "@lang", "@text"), "lang: no nnlm.json there; give a directory"),
    (("perplexity", "--weight", "0.5", "@lm.arpa", "@text"), "--weight has no effect without --ng"),
    (("perplexity", "--ngram", "@lm.arpa", "@lm.arpa", "@text"), "mix n-gram models with 'hybrid"),
    (("perplexity", "--ngram", "@lm.arpa", "@lang", "@text"), "needs the share of the neural"),
    (("perplexity", "--ngram", "@lm.arpa", "--weight", "2", "@lang", "@text"), "--weight 2; give"),
])
def test_what_the_user_can_mend_of_neural_models(place, capsys, words, message):
    (place / "blank").write_text("\n")
    (place / "one").write_text("a b c\n")
    (place / "lang").mkdir()
    (place / "lang" / "words.txt").write_text("a 1\n")
    assert run(place, "train-lm", "@text", "@lm.arpa") == 0
    capsys.readouterr()
    assert run(place, *words) == 1
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (place / "new" / "nnlm.json").exists()
    assert (place / "lang" / "words.txt").read_text() == "a 1\n"
