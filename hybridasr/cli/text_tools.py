"""Owns the verbs that make text for language models: as it is spoken, and cut into words."""

import argparse
from collections import Counter
from pathlib import Path

from hybridasr.cli.verb import Verb, check_output, refuse
from hybridasr.errors import UserError, name_some


def _normalize_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--simplified", action="store_true",
                        help="write traditional hanzi as simplified ones (extra mandarin)")
    parser.add_argument("--unreadable", type=Path, metavar="FILE", help="write every word that "
                        "cannot be read, with its count, the most frequent first")
    parser.add_argument("--keep-unreadable", action="store_true",
                        help="keep sentences with such words; else they are left out")
    parser.epilog = ("One sentence a line comes out. Numbers, dates, units become hanzi, "
                     "abbreviations letters, punctuation goes.")
    parser.add_argument("text", type=Path, help="Mandarin text")
    parser.add_argument("spoken", type=Path, help="the text to write")


def _normalize_text(args: argparse.Namespace) -> None:
    from hybridasr.errors import require_extra
    from hybridasr.lexicon.simplified import to_simplified
    from hybridasr.lm.spoken_text import spoken_sentences, unreadable_words
    from hybridasr.progress import logger
    from hybridasr.storage import atomic_write, read_text, write_text

    check_output(args.spoken, [args.text])
    if args.simplified:
        require_extra("opencc", "mandarin", "simplified hanzi")
    unreadable: Counter[str] = Counter()
    count = dropped = 0
    with atomic_write(args.spoken) as file:
        for line in read_text(args.text).split("\n"):
            for sentence in spoken_sentences(to_simplified(line) if args.simplified else line):
                words = unreadable_words(sentence)
                unreadable.update(words)
                if words and not args.keep_unreadable:
                    dropped += 1
                    continue
                file.write(sentence + "\n")
                count += 1
        if not count:
            raise UserError("holds no sentence that can be read; look at the text", args.text)
    if args.unreadable is not None:
        write_text(args.unreadable, "".join(f"{word}\t{number}\n" for word, number
                                            in unreadable.most_common()))
    if unreadable:
        logger.warning("%d different words cannot be read: %s%s", len(unreadable),
                       name_some([word for word, _ in unreadable.most_common()]),
                       "" if args.keep_unreadable else f"; {dropped} sentences are left out")
    logger.info("%s: %d sentences", args.spoken, count)


def _segment_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--method", choices=("unigram", "longest", "jieba"), default="unigram",
                        help="unigram: the most likely words; longest: the longest match; jieba: "
                        "by its own dictionary, extra text (unigram)")
    parser.add_argument("--segment", type=Path, metavar="LEXICON", help="the words: a lexicon, "
                        "words.txt or a lang directory")
    parser.add_argument("--arpa", type=Path, metavar="LM", help="language model that tells how "
                        "likely words are (unigram); else the text itself does")
    parser.add_argument("text", type=Path, help="Mandarin text, one sentence a line")
    parser.add_argument("words", type=Path, help="the text to write, with spaces between words")


def _segment_text(args: argparse.Namespace) -> None:
    from hybridasr.corpus.text import normalize_text
    from hybridasr.progress import logger
    from hybridasr.storage import atomic_write, read_text

    if args.method == "jieba":
        refuse(args, ["segment", "arpa"], "with --method jieba, which has its own dictionary")
    elif args.segment is None:
        raise UserError("no words to segment with; give --segment LEXICON or --method jieba")
    if args.method == "longest":
        refuse(args, ["arpa"], "with --method longest", "give --method unigram")
    check_output(args.words, [args.text])
    lines = [normalize_text(line) for line in read_text(args.text).split("\n")]
    cut, known = _cutter(args, lines)
    words = sentences = 0
    unlisted: Counter[str] = Counter()
    with atomic_write(args.words) as file:
        for line in lines:
            parts = cut(line)
            if not parts:
                continue
            unlisted.update(part for part in parts if known and part not in known)
            words, sentences = words + len(parts), sentences + 1
            file.write(" ".join(parts) + "\n")
        if not words:
            raise UserError("holds no word; write a sentence a line", args.text)
    if unlisted:
        logger.warning("%d words (%d different) are not in %s: %s", sum(unlisted.values()),
                       len(unlisted), args.segment,
                       name_some([word for word, _ in unlisted.most_common()]))
    logger.info("%s: %d sentences, %d words", args.words, sentences, words)


def _cutter(args: argparse.Namespace, lines: list[str]):
    """Return what cuts a line, and the words that it knows."""
    import math

    from hybridasr.lm.estimate import read_vocabulary
    from hybridasr.lm.model_file import read_ngram
    from hybridasr.lm.segment import Segmenter, estimate_unigrams, jieba_cutter

    if args.method == "jieba":
        return jieba_cutter(), frozenset()
    listed = read_vocabulary(args.segment)
    log_probs = None
    if args.arpa is not None:
        model = read_ngram(args.arpa)
        log_probs = {word: prob * math.log(10) for (word,), prob, _ in model.entries(1)}
        log_probs = {word: log_probs[word] for word in listed if log_probs.get(word, -99) > -99}
    elif args.method == "unigram":
        log_probs = estimate_unigrams(lines, listed)
    segmenter = Segmenter(listed, log_probs)
    return segmenter.cut, segmenter.words


VERBS = {
    "normalize-text": Verb("write Mandarin text as it is spoken: numbers, dates, punctuation",
                           _normalize_arguments, _normalize_text),
    "segment-text": Verb("cut Mandarin text into the words of a lexicon", _segment_arguments,
                         _segment_text),
}
