"""Owns the grammar of a recipe: its phrases or its language model, and the graph of a system.

A recipe of sentences has an n-gram model of its training transcripts and of the user's texts, never
of the transcripts of a test set.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from hybridasr.corpus.datadir import DataDir, Utterance, read_datadir
from hybridasr.corpus.written import written_words
from hybridasr.errors import UserError
from hybridasr.graph.mkgraph import (
    GraphWords,
    WordSources,
    find_words,
    grammar_phrases,
    make_graph,
)
from hybridasr.graph.self_loops import GraphOptions
from hybridasr.lexicon.langdir import Lang, read_lang
from hybridasr.lexicon.mandarin import cut_words, is_hanzi
from hybridasr.lm.estimate import LmOptions, estimate_from_file, estimate_ngram
from hybridasr.lm.interpolate import estimate_weights, interpolate_ngrams
from hybridasr.lm.model_file import write_ngram
from hybridasr.lm.ngram import NgramModel
from hybridasr.lm.prune_ngram import prune_ngram
from hybridasr.lm.token_store import WordIds, sentence_tokens
from hybridasr.model.directory import load_model
from hybridasr.recipe.config import Recipe
from hybridasr.storage import atomic_write, read_text

JUDGED = 10  # one transcript in so many judges how much the others weigh
# Transcripts of single words would leave nothing of the texts that sentences are to come from.
MOST_WEIGHT = 0.5


def cut_sentence(words: Sequence[str]) -> tuple[str, ...]:
    """Cut runs of hanzi into words of the lexicon, longest first; other words stay.

    >>> cut_sentence(["打开空调", "ok"])
    ('打开', '空调', 'ok')
    """
    return tuple(piece for word in words
                 for piece in (cut_words(word) if all(map(is_hanzi, word)) else [word]))


def with_words_cut(utterances: Sequence[Utterance]) -> list[Utterance]:
    """Return utterances whose transcripts are cut into words by `cut_sentence`."""
    return [replace(one, words=cut_sentence(one.words)) for one in utterances]


def make_language_model(train: DataDir, texts: Sequence[Path], destination: Path,
                        options: LmOptions, cut: bool, watched: Collection[str] = ()) -> str:
    """Estimate an n-gram model of the training transcripts and of further texts.

    With texts, the model of all sentences is mixed with one of the transcripts alone, which say
    best what will be said: with the weights that make transcripts left out most likely, and half
    each at most.

    Parameters
    ----------
    texts : sequence of path
        A sentence a line, as people write them; UTF-8.
    destination : path
        Gets ``text``, the words of all sentences, ``ngram.bin``, and ``watched``, the sentences of
        the speakers `watched` as far as they are left out.
    cut : bool
        Cut hanzi into words.
    watched : set of str
        Speakers on whose speech scales are chosen later. A model that knew their sentences would
        mislead that, so these are left out, unless others read most of the same.

    Returns
    -------
    str
        What was read and made.
    """
    spoken = [one for one in train.utterances.values() if one.words]
    theirs = {one.words for one in spoken if one.speaker in watched}
    transcripts = [one.words for one in spoken if one.words not in theirs]
    if 2 * len(transcripts) < len(spoken):
        transcripts, theirs = [one.words for one in spoken], set()
    further = list(_sentences(texts, cut))
    for name, sentences in (("text", transcripts + further), ("watched", sorted(theirs))):
        with atomic_write(destination / name) as file:
            file.writelines(" ".join(words) + "\n" for words in sentences)
    if further:
        model, description = _mixture(transcripts, further, options)
    else:
        model, description = estimate_from_file(destination / "text", options)
    write_ngram(destination / "ngram.bin", model)
    return description


def _mixture(transcripts: Sequence[Sequence[str]], further: Sequence[Sequence[str]],
             options: LmOptions) -> tuple[NgramModel, str]:
    """Return a model of all sentences mixed with one of the transcripts, and what was done."""
    whole = replace(options, prune=0.0)
    # Sentences, not utterances: what several people read is left out as a whole.
    judges = set(sorted({tuple(words) for words in transcripts})[::JUDGED])
    known = [words for words in transcripts if tuple(words) not in judges]
    share = 0.0
    if known:
        ids = WordIds()
        weights, _ = estimate_weights([estimate_ngram(part, options=whole)
                                       for part in ([*known, *further], known)],
                                      sentence_tokens(sorted(judges), ids), ids)
        share = min(float(weights[1]), MOST_WEIGHT)
    models = [estimate_ngram(part, options=whole)
              for part in ([*transcripts, *further], transcripts)]
    model = prune_ngram(interpolate_ngrams(models, [1 - share, share]), options.prune)
    counts = ", ".join(f"{count} {order}-grams" for order, count in enumerate(model.num_ngrams, 1))
    return model, (f"{len(transcripts)} transcripts and {len(further)} sentences of texts, the "
                   f"model of the transcripts alone with a share of {share:.2f}: {counts}")


def _sentences(texts: Sequence[Path], cut: bool) -> Iterator[Sequence[str]]:
    for path in texts:
        for line in read_text(path).splitlines():
            words = written_words(line)
            if words:
                yield cut_sentence(words) if cut else words


def phrase_file(recipe: Recipe, commands: Path | None) -> Path | None:
    """Return the command list of the phrases; None if they are of the lexicon or the transcripts.

    Parameters
    ----------
    commands : path, optional
        The user's list, in place of the recipe's.
    """
    if commands:
        return commands
    return None if recipe.phrases in ("lexicon", "texts") else recipe.directory / recipe.phrases


def recipe_phrases(recipe: Recipe, commands: Path | None, lang: Lang, train: Path
                   ) -> list[tuple[str, ...]]:
    """Return the phrases of a recipe's grammar, each a sequence of words.

    Parameters
    ----------
    commands : path, optional
        The user's list.
    lang : Lang
        Of the system.
    train : path
        The training set.

    Raises
    ------
    UserError
        if they are those of the transcripts, and there are none.
    """
    if recipe.phrases != "texts" or commands:
        return grammar_phrases(lang, phrase_file(recipe, commands))
    phrases = sorted({one.words for one in read_datadir(train).utterances.values() if one.words})
    if not phrases:
        raise UserError("no utterance has words; write what is said, or give --commands",
                        train / "text")
    return phrases


def sayable(recipe: Recipe, commands: Path | None, model: Path, train: Path, data: DataDir
            ) -> DataDir:
    """Leave out utterances that are no phrase of a recipe's grammar, unless none would stay.

    Parameters
    ----------
    commands, train
        As for `recipe_phrases`.
    model : path
        Of the system.
    """
    phrases = set()
    if recipe.grammar == "commands":
        phrases = set(recipe_phrases(recipe, commands, read_lang(model / "lang"), train))
    utterances = {name: one for name, one in data.utterances.items() if one.words in phrases}
    # If nothing fits, the whole set says more than an error.
    return replace(data, utterances=utterances) if utterances else data


def make_recipe_graph(recipe: Recipe, commands: Path | None, model: Path, train: Path,
                      ngram: Path, folder: str = "graph") -> str:
    """Build a graph of a system below its model directory; return the closing line.

    Parameters
    ----------
    commands, train
        As for `recipe_phrases`.
    ngram : path
        The language model of a recipe of sentences.
    folder : str
        Where the graph goes in the model directory.
    """
    # A model's phones come from its own lang directory, never from a newer one.
    acoustic, options = load_model(model), recipe.options["graph"]
    # Without scales of the recipe's, those that suit the model.
    if options == GraphOptions():
        options = None
    if recipe.grammar == "ngram":
        words = find_words(acoustic.lang, "ngram", WordSources(arpa=ngram))
    else:
        words = GraphWords(acoustic.lang, recipe_phrases(recipe, commands, acoustic.lang, train))
    return make_graph(words.lang, acoustic.transitions, acoustic.tree, model / folder,
                      recipe.grammar, words.phrases, words.ngram, options, words.reasons)
