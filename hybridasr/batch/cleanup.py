"""Owns the cleaning of a set, and the cutting of long recordings with one transcript.

Each utterance is decoded with a language model biased towards its transcript; what was heard as
it is written is kept (Kaldi's clean_and_segment_data.sh, segment_long_utterances.sh). Writes into a
working directory, in Kaldi's forms: ``ctm_edits``, ``segments`` and ``text`` of the parts, their
times counted in the utterance; and ``worst``, the utterances with the most errors first. The new
data directory has the parts as utterances of the same recordings.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from hybridasr.batch.biased_decode import BiasedOptions, DecodedUtterance, decode_biased
from hybridasr.corpus.datadir import DataDir, Utterance, write_datadir
from hybridasr.errors import NotEnoughData, require_extra
from hybridasr.features.frames import FeatureOptions
from hybridasr.lexicon.langdir import Lang
from hybridasr.model.directory import load_model
from hybridasr.options import nested
from hybridasr.output.ctm_edits import Edit, count_errors, find_edits
from hybridasr.output.good_parts import GoodPart, PartOptions, good_parts
from hybridasr.storage import atomic_write, write_text

SHOWN = 5


@dataclass(frozen=True)
class CleanOptions:
    """How a set is held against its transcripts, and what of it is kept."""

    biased: BiasedOptions = nested(BiasedOptions)
    parts: PartOptions = nested(PartOptions)


@dataclass(frozen=True)
class LongOptions:
    """The same for long recordings, of which utterances are made."""

    biased: BiasedOptions = nested(BiasedOptions)
    parts: PartOptions = nested(PartOptions, max_segment_length=15.0, min_segment_length=1.0,
                                max_internal_silence=1.0)


@dataclass
class _Totals:
    """What became of a set."""

    seconds: float = 0.0
    kept: float = 0.0
    words: int = 0
    errors: int = 0
    whole: int = 0
    cut: int = 0
    dropped: int = 0
    utterances: list[Utterance] = field(default_factory=list)
    rows: list[tuple[float, str]] = field(default_factory=list)


def clean_set(data: DataDir, lang: Lang, model: Path, work: Path, destination: Path,
              pool: Executor, options: CleanOptions | LongOptions) -> list[str]:
    """Keep of a set what its transcripts fit; return the lines to print.

    Parameters
    ----------
    model : path
        A model directory, best of all one that was trained on this set.
    work, destination : path
        Where the files of the comparison go, and the new data directory.

    Raises
    ------
    NotEnoughData
        if nothing of the set is as it is written.
    UserError
        if phones, features or options do not fit.
    """
    require_extra("rapidfuzz", "score", "comparisons of words")
    features = load_model(model).features
    totals = _Totals()
    decodings = decode_biased(data, lang, model, pool, options.biased)
    with ExitStack() as files:
        edits_file, segments, text = (files.enter_context(atomic_write(work / name))
                                      for name in ("ctm_edits", "segments", "text"))
        for name, edits, parts in _compared(data, lang, decodings, options.parts, totals):
            edits_file.writelines(edit.line(name) for edit in edits)
            for one, part in _named(data.utterances[name], parts, features):
                totals.utterances.append(one)
                segments.write(f"{one.utterance} {name} {part.begin:.2f} {part.end:.2f}\n")
                text.write(" ".join([one.utterance, *one.words]) + "\n")
    worst = sorted(totals.rows, key=lambda row: (-row[0], row[1]))
    write_text(work / "worst", "".join(f"{line}\n" for _, line in worst))
    if not totals.utterances:
        raise NotEnoughData("no utterance has a word that was heard as it is written; is the model "
                            f"of this language, and do ids of text and recordings fit? ({work})",
                            data.path / "text")
    write_datadir(destination, totals.utterances)
    return _lines(data, destination, work, totals)


def _compared(data: DataDir, lang: Lang, decodings: Iterable[tuple[str, DecodedUtterance]],
              options: PartOptions, totals: _Totals
              ) -> Iterator[tuple[str, list[Edit], list[GoodPart]]]:
    """Yield (utterance, edits, good parts), and count."""
    oov = lang.word_name(lang.oov)
    for name, item in decodings:
        utterance = data.utterances[name]
        edits = find_edits(utterance.words, item.words or (), item.seconds, lang.words, oov)
        parts = good_parts(edits, options) if item.words is not None else []
        errors, kept = count_errors(edits), sum(part.end - part.begin for part in parts)
        if any(part.whole for part in parts):
            totals.whole, kept = totals.whole + 1, item.seconds
        else:
            totals.cut, totals.dropped = totals.cut + bool(parts), totals.dropped + (not parts)
        totals.seconds, totals.kept = totals.seconds + item.seconds, totals.kept + kept
        totals.words, totals.errors = totals.words + len(utterance.words), totals.errors + errors
        share = errors / max(1, len(utterance.words))
        if errors or not parts:
            totals.rows.append((share, f"{name} {errors} errors, {len(utterance.words)} words, "
                                       f"{kept:.2f} of {item.seconds:.2f} s kept"))
        yield name, edits, parts


def _named(utterance: Utterance, parts: list[GoodPart], features: FeatureOptions
           ) -> Iterator[tuple[Utterance, GoodPart]]:
    """Yield the parts as utterances: <utterance>-1, -2 ...; a whole one keeps its name."""
    # The last frame of a part reaches beyond its begin by a window, not by a shift.
    beyond = (features.frame_length_ms - features.frame_shift_ms) / 1000
    digits = len(str(len(parts)))
    for number, part in enumerate(parts, 1):
        if part.whole:
            yield utterance, part
            continue
        end = utterance.start + part.end + beyond
        yield replace(utterance, utterance=f"{utterance.utterance}-{number:0{digits}}",
                      words=part.words, start=round(utterance.start + part.begin, 3),
                      end=round(end if utterance.end is None else min(end, utterance.end), 3)), part


def _lines(data: DataDir, destination: Path, work: Path, totals: _Totals) -> list[str]:
    seconds, words = max(totals.seconds, 1e-9), max(totals.words, 1)
    lines = [f"utterances  {len(data)}: {totals.whole} whole, {totals.cut} cut, "
             f"{totals.dropped} dropped; {len(totals.utterances)} in {destination}",
             f"speech      {totals.kept / 3600:.2f} of {totals.seconds / 3600:.2f} h kept "
             f"({100 * totals.kept / seconds:.1f} %)",
             f"words       {totals.errors} of {totals.words} not as written "
             f"({100 * totals.errors / words:.1f} %)"]
    worst = sorted(totals.rows, key=lambda row: (-row[0], row[1]))[:SHOWN]
    if worst:
        lines.append(f"worst ({work / 'worst'} has all):")
        lines += [f"  {line}" for _, line in worst]
    return lines
