"""Owns decoding of utterances with language models biased towards their transcripts.

Each utterance has a graph of its own, of its words and the frequent ones of the set (Kaldi's
decode_segmentation.sh). A long recording is decoded in pieces that overlap, with one graph. Gives
the words heard with their times; `output.ctm_edits` holds them against the transcript.
"""

import functools
import itertools
import math
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hybridasr.batch.driver import Results, SetBlocks, directory_stamp, once_a_worker, run_set
from hybridasr.corpus.datadir import DataDir
from hybridasr.decode.align import AlignmentGraph
from hybridasr.decode.search import SearchOptions, search
from hybridasr.decode.words import phone_segments, word_segments
from hybridasr.errors import UserError
from hybridasr.features.feature_cache import matching_features
from hybridasr.features.feature_set import FeatureBlock
from hybridasr.graph.compose import make_hclg
from hybridasr.lexicon.langdir import Lang, read_lang
from hybridasr.lexicon.transcripts import check_phones
from hybridasr.lm.biased_lm import BiasOptions, biased_ngram, frequent_words
from hybridasr.lm.grammar import ngram_grammar
from hybridasr.model.acoustic import AcousticModel, Scorer
from hybridasr.model.adaptation import AdaptOptions, adapt_speaker, works_by_speaker
from hybridasr.model.directory import load_model
from hybridasr.options import nested, option

OTHER_WORD = "[other word]"  # no word of a language model is <UNK>: this one stands for it there
GRAPHS = 64  # of transcripts, that a worker keeps
SAME_TIME = 0.1  # seconds by which a word may begin later in the next piece

TimedWord = tuple[str, float, float]
"""A word, its begin and its end, in seconds."""


@dataclass(frozen=True)
class PieceOptions:
    """How long recordings are cut for decoding; shorter ones are decoded whole."""

    piece_length: float = option(30.0, "longer recordings are decoded in pieces, seconds")
    piece_overlap: float = option(5.0, "seconds that neighbouring pieces share")

    def __post_init__(self):
        if not 0 <= 2 * self.piece_overlap < self.piece_length:
            raise UserError(f"piece-length is {self.piece_length}, piece-overlap "
                            f"{self.piece_overlap}; give a length of more than twice the overlap")


@dataclass(frozen=True)
class BiasedOptions:
    """How recordings are held against their transcripts."""

    search: SearchOptions = nested(SearchOptions, beam=15.0)
    bias: BiasOptions = nested(BiasOptions)
    pieces: PieceOptions = nested(PieceOptions)


@dataclass(frozen=True)
class DecodedUtterance:
    """What was heard in an utterance.

    `words` is None if the search found no path; `seconds` is how long the utterance is.
    """

    words: tuple[TimedWord, ...] | None
    seconds: float


@dataclass(frozen=True)
class _Task:
    model: Path
    lang: Path
    stamp: tuple
    options: BiasedOptions
    counts: tuple[tuple[str, int], ...]


def decode_biased(data: DataDir, lang: Lang, source: Path, pool: Executor,
                  options: BiasedOptions) -> Iterator[tuple[str, DecodedUtterance]]:
    """Yield (utterance id, what was heard), in the order of the ids.

    Parameters
    ----------
    source : path
        The model's directory.

    Raises
    ------
    UserError
        if phones are not those of the model, or features, and there are no recordings.
    """
    model = load_model(source)
    check_phones(model.lang, lang, source)
    data = matching_features(data, model.features, pool)
    counts: dict[str, int] = {}
    for utterance in data.utterances.values():
        for word in utterance.words:
            if _is_known(word, lang):
                counts[word] = counts.get(word, 0) + 1
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:options.bias.top_n_words]
    search_options = options.search.resolved(model.acoustic_scale, model.word_ins_penalty)
    task = _Task(source, lang.path, directory_stamp(source, lang.path, lang.path / "phones"),
                 replace(options, search=search_options), tuple(most))
    blocks = SetBlocks.of(data, model.normalization(data), works_by_speaker(model, AdaptOptions()))
    return run_set(pool, _decode_block, blocks, task, desc=f"decode {data.path.name}")


def _decode_block(block: FeatureBlock, task: _Task) -> Results[DecodedUtterance]:
    decoder = once_a_worker(_BiasedDecoder, task)
    words = {u.utterance: u.words for u in block.utterances}
    loaded = block.load()
    # A block is one speaker if the model adapts.
    groups = [list(loaded)] if works_by_speaker(decoder.model, AdaptOptions()) else (
        [item] for item in loaded)
    results: Results[DecodedUtterance] = []
    for group in groups:
        results += _decode_speaker(decoder, group, words)
    return results


def _decode_speaker(decoder: "_BiasedDecoder", group: list[tuple[str, np.ndarray]],
                    words: dict[str, tuple[str, ...]]) -> Results[DecodedUtterance]:
    decodings: dict[int, tuple[TimedWord, ...] | None] = {}

    # The last pass over an utterance overwrites the ones before.
    def find_path(number: int, feats: np.ndarray, scorer: Scorer) -> np.ndarray | None:
        path, decodings[number] = decoder.decode(words[group[number][0]], feats, scorer)
        return path

    adapt_speaker(decoder.model, [decoder.model.final_features(frames) for _, frames in group],
                  find_path, AdaptOptions())
    shift = decoder.model.features.frame_shift_ms / 1000
    return [(name, DecodedUtterance(_within(decodings[number], len(frames) * shift),
                                    len(frames) * shift))
            for number, (name, frames) in enumerate(group)]


def _within(words: tuple[TimedWord, ...] | None, seconds: float) -> tuple[TimedWord, ...] | None:
    """Let words end with the utterance: the last score may stand for frames beyond it."""
    return words and tuple((word, begin, min(end, seconds)) for word, begin, end in words)


class _BiasedDecoder:
    """Decodes with one model; graphs of the last transcripts are kept."""

    def __init__(self, task: _Task):
        self.model: AcousticModel = load_model(task.model)
        self.lang = read_lang(task.lang)
        self.options = task.options
        self._frequent = frequent_words(dict(task.counts), task.options.bias)
        self._graph = functools.lru_cache(maxsize=GRAPHS)(self._build)

    def _build(self, words: tuple[str, ...]) -> AlignmentGraph:
        lang = self.lang
        known = [word if _is_known(word, lang) else OTHER_WORD for word in words]
        ngram = biased_ngram(known, self._frequent, self.options.bias)
        ids = {word: lang.words[word] for word in ngram.vocabulary if _is_known(word, lang)}
        if OTHER_WORD in known:
            ids[OTHER_WORD] = lang.oov
        # The lexicon of these words alone: the graph is small however large the whole one is.
        few = replace(lang, pronunciations={
            word: lang.pronunciations[word] for word in sorted({*ids.values()})})
        grammar = ngram_grammar(ngram, ids | {"#0": lang.words["#0"]})
        return AlignmentGraph.of(make_hclg(few, grammar, self.model.transitions, self.model.tree),
                                 self.model.transitions)

    def decode(self, words: tuple[str, ...], feats: np.ndarray, scorer: Scorer
               ) -> tuple[np.ndarray | None, tuple[TimedWord, ...] | None]:
        """Return (transition-ids, words with times) of an utterance; None and None without a path.

        Parameters
        ----------
        feats : float32 (num_frames, dim)
            Final features, which `scorer` scores.
        """
        # All places count scores, so that every piece begins with the frame of one.
        graph, shift, each = self._graph(words), self.model.frame_shift, self.model.subsampling
        paths, timed, edge = [], [], 0
        for begin, end in cut_pieces(-(-len(feats) // each), self.options.pieces, shift):
            path = search(graph.graph, graph.columns,
                          scorer.loglikes(feats[begin * each:end * each], graph.pdfs),
                          self.options.search)
            if path is None:
                return None, None
            segments = word_segments(phone_segments(path.transition_ids, self.model.transitions),
                                     path.words.tolist(), self.lang)
            offset = begin * shift
            piece = [(self.lang.word_name(s.label), offset + s.begin * shift,
                      offset + s.end * shift) for s in segments]
            middle = (edge + begin) // 2
            if begin:
                paths[-1] = paths[-1][:middle - (edge - len(paths[-1]))]
            paths.append(path.transition_ids[middle - begin if begin else 0:])
            timed = join_words(timed, piece, middle * shift) if begin else piece
            edge = end
        return (np.concatenate(paths), tuple(timed)) if paths else (None, None)


def _is_known(word: str, lang: Lang) -> bool:
    number = lang.words.get(word)
    return number in lang.pronunciations and number != lang.oov


def cut_pieces(frames: int, options: PieceOptions, shift: float) -> list[tuple[int, int]]:
    """Cut frames into overlapping pieces; the last one is at least half as long as the others."""
    length, overlap = (round(seconds / shift) for seconds in
                       (options.piece_length, options.piece_overlap))
    if frames <= length * 3 // 2:
        return [(0, frames)] if frames else []
    begins = list(range(0, frames - length // 2 - overlap, length - overlap))
    return [(begin, min(begin + length, frames)) for begin in begins[:-1]] + [(begins[-1], frames)]


def join_words(left: list[TimedWord], right: list[TimedWord], middle: float) -> list[TimedWord]:
    """Join the words of two pieces that overlap.

    The seam is a word that both have at the same time, the one nearest to the middle of the
    overlap; where they have none in common, the middle.

    >>> join_words([("a", 0.0, 1.0), ("b", 1.0, 2.0)], [("b", 1.02, 2.0), ("c", 2.0, 3.0)], 1.5)
    [('a', 0.0, 1.0), ('b', 1.0, 2.0), ('c', 2.0, 3.0)]
    """
    first = right[0][1] - SAME_TIME if right else math.inf
    late = [(i, one) for i, one in enumerate(left) if one[1] > first]
    both = [(abs(one[1] - middle), i, j) for (i, one), (j, other)
            in itertools.product(late, enumerate(right))
            if abs(one[1] - other[1]) < SAME_TIME and one[0] == other[0]]
    if both:
        _, i, j = min(both)
        return left[:i + 1] + right[j + 1:]
    return ([one for one in left if one[1] + one[2] < 2 * middle]
            + [one for one in right if one[1] + one[2] >= 2 * middle])
