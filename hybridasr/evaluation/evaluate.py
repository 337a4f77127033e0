"""Owns the figures of whole sets: from a model, a graph and a data directory to a row of results.

`batch.decode_set` writes a decode directory, `score_set` the word error rates beside it.
`evaluate` does both.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hybridasr.batch.decode_dir import read_hypotheses
from hybridasr.batch.decode_set import decode_set
from hybridasr.corpus.datadir import DataDir
from hybridasr.decode.search import SearchOptions
from hybridasr.errors import require_extra
from hybridasr.graph.graph_words import read_graph_words
from hybridasr.lexicon.langdir import Lang, read_lang
from hybridasr.lexicon.mandarin import is_hanzi, syllables_of
from hybridasr.lexicon.transcripts import warn_of_unknown_words
from hybridasr.model.adaptation import AdaptOptions
from hybridasr.progress import logger
from hybridasr.score.score_files import format_scores, write_scores
from hybridasr.score.wer import (
    Confusion,
    References,
    Scores,
    characters_of,
    confusions,
    score_texts,
)
from hybridasr.storage import is_file, read_json


def score_set(data: DataDir, destination: Path,
              equivalent: dict[str, str] | None = None) -> Scores:
    """Score the ``text`` of a decode directory and write the figures beside it.

    Parameters
    ----------
    equivalent : dict word -> class, optional
        Words of one class count as right for each other (homophones).
    """
    hypotheses = read_hypotheses(destination / "text")
    reference = {u.utterance: list(u.words) for u in data.utterances.values()}
    speakers = {u.utterance: u.speaker for u in data.utterances.values()}
    said = References(reference, speakers, equivalent)
    scores = said.score(hypotheses)
    # Homophones that count as right are written with other characters.
    write_scores(destination, scores,
                 said.score_characters(hypotheses) if equivalent is None else None)
    logger.debug("%s", format_scores(scores))
    return scores


def evaluate(model: Path, graph: Path, data: DataDir, destination: Path, options: SearchOptions,
             pool: Executor, equivalent: dict[str, str] | None = None,
             adapt: AdaptOptions | None = None, known: str = "all") -> dict[str, Any]:
    """Decode and score a set; return its row of results.json.

    `known` is as for `decode_set`.
    A warning names the words of the transcripts that the graph does not know.

    Raises
    ------
    UserError
        if what scoring needs is not installed; as from `decode_set`.
    """
    require_extra("rapidfuzz", "score", "error rates")
    warn_of_unknown_words(data, graph_lang(model, graph).words, graph)
    summary = decode_set(model, graph, data, destination, options, pool, adapt, known=known)
    return result_row(model.name, model, graph, data, destination, known, summary["rtf"],
                      equivalent)


def result_row(system: str, model: Path, graph: Path, data: DataDir, destination: Path, known: str,
               rtf: float | None = None, equivalent: dict[str, str] | None = None
               ) -> dict[str, Any]:
    """Score a decode directory; return its row of results.json.

    Parameters
    ----------
    system : str
        What the row calls it.
    equivalent : dict word -> class, optional
        As for `score_set`.
    """
    scores = score_set(data, destination, equivalent)
    syllables = {} if equivalent else syllable_figures(data, destination)
    info = read_json(model / "model.json")["info"]
    grammar = read_json(graph / "graph.json")["grammar"] if is_file(graph / "graph.json") else ""
    return {"system": system, "test_set": data.path.name, "grammar": grammar, "known": known,
            **scores.figures(), **syllables, "rtf": rtf, "train_seconds": info.get("train_seconds")}


def syllable_figures(data: DataDir, destination: Path) -> dict[str, float | None]:
    """Return how many toned syllables are wrong, in percent; nothing where no word is hanzi.

    What stays wrong among syllables the acoustic model did; the rest is the choice of hanzi.
    Hanzi are read with the extra `mandarin`; without it there is no such figure.
    """
    said = {name: one.words for name, one in data.utterances.items()}
    if find_spec("pypinyin") is None or not any(
            is_hanzi(word[0]) for words in said.values() for word in words):
        return {}
    recognised = read_hypotheses(destination / "text")
    scores = References({name: syllables_of(words) for name, words in said.items()}).score(
        {name: syllables_of(words) for name, words in recognised.items()}, interval=False)
    return {"syllable_errors": None if scores.wer is None else round(scores.wer, 2)}


def unit_confusions(data: DataDir, destination: Path, unit: str, lang: Lang | None = None
                    ) -> list[Confusion]:
    """Return how often each unit of a set was recognised as which, right ones too.

    Parameters
    ----------
    destination : Path
        Decode directory, of which ``text`` is read.
    unit : "word", "character" or "phone"
    lang : Lang, optional
        Gives the phones of words, their first pronunciation; those of a word that it lacks are
        unknown, and the word stands in their place.

    Raises
    ------
    UserError
        as from `score.wer.score_texts`.
    """
    def split(words: Sequence[str]) -> list[str]:
        if unit == "character":
            return characters_of(words)
        return list(words) if lang is None or unit == "word" else [
            phone for word in words for phone in _phones_of(word, lang)]

    said = {u.utterance: split(u.words) for u in data.utterances.values()}
    recognised = {name: split(words) for name, words in
                  read_hypotheses(destination / "text").items()}
    return confusions(score_texts(said, recognised), correct=True)


def _phones_of(word: str, lang: Lang) -> list[str]:
    pronunciations = lang.pronunciations.get(lang.words.get(word, -1), ())
    return [lang.phone_name(phone) for phone in pronunciations[0][1]] if pronunciations else [word]


def graph_lang(model: Path, graph: Path) -> Lang:
    """Read the lang of a model directory with the words of a graph."""
    return read_graph_words(graph, read_lang(model / "lang"))


def homophone_classes(lang: Lang) -> dict[str, str]:
    """Return word -> its first pronunciation, for scores in which homophones count as right."""
    return {lang.word_name(word): " ".join(map(lang.phone_name, pronunciations[0][1]))
            for word, pronunciations in lang.pronunciations.items()}

