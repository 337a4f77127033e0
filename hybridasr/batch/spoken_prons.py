"""Owns the step from alignments to pronunciations: what was said of each word, and what beside it.

Writes what Kaldi's get_prons.sh writes into an alignment directory: ``prons.1.gz`` (<utterance>
<first frame> <frames> <word> <phone> ..., all ids), ``pron_counts.int``, ``pron_counts.txt``,
``pron_perutt_nowb.txt`` and the three files of `lexicon.pron_counts`. "nowb" is without the marks
of places in words. Silence between words is the word 0, <eps>.
"""

import gzip
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hybridasr.corpus.datadir import DataDir
from hybridasr.decode.words import Segment, phone_segments, word_segments
from hybridasr.errors import NotEnoughData, UserError
from hybridasr.features.archives import read_ark
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import Lang
from hybridasr.lexicon.phones import base_phone
from hybridasr.lexicon.pron_counts import PronCounts, spoken_text
from hybridasr.lexicon.transcripts import check_phones, word_ids
from hybridasr.model.directory import load_model
from hybridasr.progress import logger
from hybridasr.storage import atomic_write, write_text


class SpokenPron(NamedTuple):
    """A word (0 = silence between words) with the phones that were said; frames from `begin`."""

    begin: int
    frames: int
    word: int
    phones: tuple[int, ...]


def spoken_prons(transition_ids: np.ndarray, words: list[int], lang: Lang,
                 transitions: TransitionModel) -> list[SpokenPron] | None:
    """Cut an alignment into words and silences; None if it is not one of these words.

    Parameters
    ----------
    transition_ids : int32 (num_frames,)
    words : list of word ids
    """
    phones = phone_segments(transition_ids, transitions)
    segments = word_segments(phones, words, lang)
    prons, place = [], 0
    for segment in [*segments, None]:
        # Silences before the word, or behind the last one.
        while place < len(phones) and (segment is None or phones[place].begin < segment.begin):
            prons.append(_pron(0, phones[place:place + 1]))
            place += 1
        if segment is not None:
            end = next(number for number in range(place, len(phones))
                       if phones[number].end == segment.end) + 1
            prons.append(_pron(segment.label, phones[place:end]))
            place = end
    known = {(word, phones) for word in {*words} for _, phones in lang.pronunciations[word]}
    known.add((0, (lang.optional_silence,)))
    whole = len(segments) == len(words) and all((p.word, p.phones) in known for p in prons)
    return prons if whole else None


def _pron(word: int, phones: list[Segment]) -> SpokenPron:
    return SpokenPron(phones[0].begin, phones[-1].end - phones[0].begin, word,
                      tuple(phone.label for phone in phones))


def get_prons(data: DataDir, lang: Lang, directory: Path) -> str:
    """Count pronunciations and silences in an alignment directory; return the closing line.

    Parameters
    ----------
    data : DataDir
        Its transcripts; utterances without alignment are left out.
    directory : path
        Holds a model and ``ali.ark``; the files go there.

    Raises
    ------
    NotEnoughData
        if no alignment is one of the transcripts.
    UserError
        if there are no alignments, or they were made with other phones.
    """
    model = load_model(directory)
    check_phones(model.lang, lang, directory)
    if not (directory / "ali.ark").is_file():
        raise UserError("no alignments (ali.ark) there; make them with 'hybridasr align'",
                        directory)
    counts, by_id = PronCounts(), Counter[tuple[int, tuple[int, ...]]]()
    used = 0
    with ExitStack() as files:
        packed = files.enter_context(atomic_write(directory / "prons.1.gz", "wb"))
        # No time in the file: the same alignments give the same bytes.
        prons = files.enter_context(gzip.GzipFile("", "wb", fileobj=packed, mtime=0))
        by_utterance = files.enter_context(atomic_write(directory / "pron_perutt_nowb.txt"))
        for name, spoken in _utterances(data, lang, model.transitions, directory):
            if spoken is None:
                logger.debug("%s: its alignment is of another transcript; left out", name)
                continue
            used += 1
            for one in spoken:
                by_id[one.word, one.phones] += 1
                ids = map(str, (one.begin, one.frames, one.word, *one.phones))
                prons.write(f"{name} {' '.join(ids)}\n".encode())
            by_name = [_named(one, lang) for one in spoken]
            counts.add(by_name)
            by_utterance.write("\t".join([name, "<s>", *map(spoken_text, by_name), "</s>"]) + "\n")
    if not used:
        raise NotEnoughData("no alignment is of one of the transcripts; align this set", directory)
    rows = sorted(by_id.items(), key=lambda item: (-item[1], item[0]))
    write_text(directory / "pron_counts.int", "".join(
        f"{count} {word} {' '.join(map(str, phones))}\n" for (word, phones), count in rows))
    write_text(directory / "pron_counts.txt", "".join(
        f"{count} {lang.word_name(word)} {' '.join(map(lang.phone_name, phones))}\n"
        for (word, phones), count in rows))
    for name, text in counts.texts().items():
        write_text(directory / name, text)
    said = sum(count for (word, _), count in by_id.items() if word)
    return (f"{directory}: {used} of {len(data)} utterances, {said} words, "
            f"{sum(1 for word, _ in by_id if word)} pronunciations, "
            f"{by_id.total() - said} silences")


def _utterances(data: DataDir, lang: Lang, transitions: TransitionModel, directory: Path
                ) -> Iterator[tuple[str, list[SpokenPron] | None]]:
    for name, ids in read_ark(directory / "ali.ark"):
        if name in data.utterances:
            if len(ids) and not 1 <= ids.min() <= ids.max() <= transitions.num_tids:
                raise UserError(f"the alignment of '{name}' has transition-ids that its model "
                                "lacks; align again", directory)
            words = list(word_ids(data.utterances[name], lang.words, lang.oov))
            yield name, spoken_prons(ids, words, lang, transitions) if len(ids) else None


def _named(one: SpokenPron, lang: Lang) -> tuple[str, tuple[str, ...]]:
    return lang.word_name(one.word), tuple(base_phone(lang.phone_name(p)) for p in one.phones)
