"""The language model of a recipe: transcripts and texts."""

import random
from pathlib import Path

import numpy as np
import pytest

from hybridasr.corpus.datadir import DataDir
from hybridasr.corpus.kaldi_files import Utterance
from hybridasr.lm.estimate import LmOptions, estimate_ngram
from hybridasr.lm.model_file import read_ngram
from hybridasr.lm.ngram import BEGIN, END, NgramModel
from hybridasr.recipe.recipe_grammar import make_language_model

PLACES, THINGS = ["room", "hall", "kitchen", "garden"], ["lamp", "fan", "door", "heater"]


def command(draw: random.Random) -> tuple[str, ...]:
    return ("turn", "the", draw.choice(THINGS), "in", "the", draw.choice(PLACES), "on")


def spoken(sentences: list[tuple[str, ...]], speakers: int = 1) -> DataDir:
    return DataDir(Path("train"), {
        f"u{number}": Utterance(f"u{number}", f"s{number % speakers}", words, f"u{number}", "a.wav")
        for number, words in enumerate(sentences)})


def score(model: NgramModel, sentences: list[tuple[str, ...]]) -> float:
    """Mean log10 probability of a word."""
    total, count = 0.0, 0
    for words in sentences:
        ids = model.word_ids([BEGIN, *words, END])
        begins = np.arange(len(ids)) == 0
        total += model.token_log10_probs(ids, begins).sum()
        count += len(words) + 1
    return total / count


def test_transcripts_weigh_more_than_texts_of_another_kind(tmp_path):
    draw = random.Random(3)
    transcripts = [command(draw) for _ in range(60)]
    words = sorted({word for sentence in transcripts for word in sentence}) + ["sea", "wind"]
    texts = [tuple(draw.choices(words, k=8)) for _ in range(400)]
    (tmp_path / "book.txt").write_text("".join(" ".join(text) + "\n" for text in texts))
    line = make_language_model(spoken(transcripts), [tmp_path / "book.txt"], tmp_path / "lm",
                               LmOptions(), cut=False)
    assert line.startswith("60 transcripts and 400 sentences of texts")
    mixed, pooled = read_ngram(tmp_path / "lm" / "ngram.bin"), estimate_ngram(transcripts + texts)
    unheard = [command(draw) for _ in range(50)]
    assert score(mixed, unheard) > score(pooled, unheard) + 0.1
    assert mixed.vocabulary == pooled.vocabulary
    # Still a distribution.
    after = np.array([[mixed.ids[BEGIN], mixed.ids["turn"], number]
                      for number, word in enumerate(mixed.words) if word != BEGIN])
    assert (10 ** mixed.ngram_log10_probs(after)).sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("count", [1, 12])
def test_without_texts_the_transcripts_alone(tmp_path, count):
    draw = random.Random(1)
    transcripts = [command(draw) for _ in range(count)]
    make_language_model(spoken(transcripts), [], tmp_path, LmOptions(), cut=False)
    assert read_ngram(tmp_path / "ngram.bin") == estimate_ngram(transcripts)


def test_sentences_of_watched_speakers_are_left_out(tmp_path):
    transcripts = [("say", f"word{number}") for number in range(40)]
    make_language_model(spoken(transcripts, speakers=10), [], tmp_path, LmOptions(), cut=False,
                        watched={"s3"})
    model = read_ngram(tmp_path / "ngram.bin")
    assert {"word3", "word13", "word23", "word33"}.isdisjoint(model.vocabulary)
    assert len(model.vocabulary) == 36 + 2  # say, </s>


def test_what_everybody_reads_stays(tmp_path):
    transcripts = [("say", f"word{number // 10}") for number in range(40)]
    make_language_model(spoken(transcripts, speakers=10), [], tmp_path, LmOptions(), cut=False,
                        watched={"s3"})
    assert read_ngram(tmp_path / "ngram.bin") == estimate_ngram(transcripts)


def test_one_transcript_judges_nothing(tmp_path):
    (tmp_path / "book.txt").write_text("wind over the sea\n")
    transcripts = [("turn", "the", "lamp", "on")]
    line = make_language_model(spoken(transcripts), [tmp_path / "book.txt"], tmp_path / "lm",
                               LmOptions(), cut=False)
    assert "share of 0.00" in line
    assert {"sea", "lamp"} <= set(read_ngram(tmp_path / "lm" / "ngram.bin").vocabulary)
