"""Owns the files of scores, as Kaldi's users know them, and their lines.

Kaldi's ``local/score.sh`` with ``steps/scoring/score_kaldi_wer.sh``, ``score_kaldi_cer.sh`` and
``utils/scoring/wer_*_details.pl``: in the decode directory ``wer_<LMWT>_<WIP>`` and for hanzi
``cer_<LMWT>_<WIP>``, in ``scoring_kaldi`` the best of them, the texts that were compared, and
``wer_details``. Columns are padded by places on a terminal, which for ASCII is what Kaldi does.
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybridasr.score.result_table import display_width, pad
from hybridasr.score.wer import Scores, WordAlignment, confusions
from hybridasr.storage import PathLike, write_text

_OPERATIONS = {"C": "correct", "S": "substitution", "I": "insertion", "D": "deletion"}
_SWEPT = re.compile(r"[cw]er(_\d+_[-+.\de]+)?")


@dataclass(frozen=True)
class ScoredScale:
    """Errors under one language-model weight and word insertion penalty.

    Attributes
    ----------
    lmwt : int
    penalty : str
        As the user wrote it: files are named by it.
    words : Scores
    characters : Scores or None
        The same with characters for words; None for languages in which nobody counts them.
    """

    lmwt: int
    penalty: str
    words: Scores
    characters: Scores | None = None

    @property
    def suffix(self) -> str:
        """What the names of its files end in.

        >>> ScoredScale(10, "0.5", None).suffix
        '_10_0.5'
        """
        return f"_{self.lmwt}_{self.penalty}"


def write_scores(directory: PathLike, scores: Scores, characters: Scores | None = None) -> None:
    """Write the score files of one text into a decode directory; those of a sweep are removed.

    ``wer`` and, with `characters`, ``cer`` (three lines), ``scoring_kaldi/best_wer`` and
    ``best_cer``, ``confusions.tsv``, and in ``scoring_kaldi/wer_details`` (and ``cer_details``)
    ``per_utt``, ``ops``, ``alignments.pra`` (as NIST's sclite), ``per_spk`` (if speakers are known)
    and ``wer_bootci`` (if there is an interval).
    """
    directory = Path(directory)
    _remove_scores(directory)
    for name, one in (("wer", scores), ("cer", characters)):
        if one is not None:
            _write_figures(directory / name, one)
            _write_best(directory, name, one, name)
            _write_details(directory, name, one)
    _write_confusions(directory, scores)


def write_sweep(directory: PathLike, scales: Sequence[ScoredScale], best: ScoredScale,
                best_cer: ScoredScale | None = None) -> None:
    """Write the score files of many scales into a decode directory, beside those of its text.

    As `write_scores`, for each scale ``wer_<LMWT>_<WIP>`` and ``cer_<LMWT>_<WIP>``; details are of
    `best`, with ``lmwt`` and ``wip`` among them; ``scoring_kaldi/test_filt.txt`` holds the
    references, ``scoring_kaldi/penalty_<WIP>/<LMWT>.txt`` the hypotheses.
    """
    directory = Path(directory)
    scoring = directory / "scoring_kaldi"
    for scale in scales:
        for name, one in (("wer", scale.words), ("cer", scale.characters)):
            if one is not None:
                _write_figures(directory / f"{name}{scale.suffix}", one)
        write_text(scoring / f"penalty_{scale.penalty}" / f"{scale.lmwt}.txt",
                   _format_text(scale.words, hypothesis=True))
    write_text(scoring / "test_filt.txt", _format_text(best.words, hypothesis=False))
    for name, scale in (("wer", best), ("cer", best_cer)):
        if scale is not None:
            scores = scale.words if name == "wer" else scale.characters
            _write_best(directory, name, scores, f"{name}{scale.suffix}")
            _write_details(directory, name, scores)
            for kind, value in (("lmwt", scale.lmwt), ("wip", scale.penalty)):
                write_text(scoring / f"{name}_details" / kind, f"{value}\n")
    _write_confusions(directory, best.words)


def _remove_scores(directory: Path) -> None:
    """Remove what an earlier scoring left: it would contradict the new files."""
    for path in directory.glob("[cw]er*"):
        if _SWEPT.fullmatch(path.name):
            path.unlink()
    scoring = directory / "scoring_kaldi"
    for path in [*scoring.glob("penalty_*"), *scoring.glob("cer_details")]:
        shutil.rmtree(path)
    for path in [scoring / "best_cer", scoring / "test_filt.txt",
                 *(scoring / "wer_details" / name for name in ("lmwt", "wip"))]:
        path.unlink(missing_ok=True)


def _write_figures(path: Path, scores: Scores) -> None:
    write_text(path, format_scores(scores))


def _write_best(directory: Path, name: str, scores: Scores, file: str) -> None:
    write_text(directory / "scoring_kaldi" / f"best_{name}",
               f"{format_wer(scores)} {directory / file}\n")


def _write_details(directory: Path, name: str, scores: Scores) -> None:
    details = directory / "scoring_kaldi" / f"{name}_details"
    write_text(details / "per_utt", "".join(_format_utterance(*item)
                                            for item in scores.alignments.items()))
    write_text(details / "alignments.pra", "\n".join(
        _format_pra(name, scores.speakers.get(name), alignment)
        for name, alignment in scores.alignments.items()))
    write_text(details / "ops", _format_operations(scores))
    optional = {"per_spk": _format_speakers(scores), "wer_bootci": _format_interval(scores)}
    for kind, text in optional.items():
        # A file left by an earlier scoring would contradict the new ones.
        (details / kind).unlink(missing_ok=True)
        if text:
            write_text(details / kind, text)


def _write_confusions(directory: Path, scores: Scores) -> None:
    rows = ["count\treference\thypothesis\toperation\n"]
    rows += [f"{row.count}\t{row.reference}\t{row.hypothesis}\t{_OPERATIONS[row.operation]}\n"
             for row in confusions(scores)]
    write_text(directory / "confusions.tsv", "".join(rows))


def format_wer(scores: Scores) -> str:
    """Return Kaldi's ``%WER`` line, without newline."""
    rate = float("nan") if scores.wer is None else scores.wer
    partial = " [PARTIAL]" if scores.missing else ""
    return (f"%WER {rate:.2f} [ {scores.errors} / {scores.words}, {scores.count('I')} ins, "
            f"{scores.count('D')} del, {scores.count('S')} sub ]{partial}")


def format_scores(scores: Scores) -> str:
    """Return the three lines of Kaldi's ``wer`` files."""
    return (f"{format_wer(scores)}\n"
            f"%SER {scores.ser:.2f} [ {scores.sentence_errors} / {scores.sentences} ]\n"
            f"Scored {scores.sentences} sentences, {len(scores.missing)} not present in hyp.\n")


def _format_utterance(utterance: str, alignment: WordAlignment) -> str:
    widths = [max(display_width(text) for text in pair) for pair in alignment.pairs]
    lines = []
    for name, place in (("ref ", 0), ("hyp ", 1), ("op  ", 2)):
        cells = [pad(pair[place], width, "centre")
                 for pair, width in zip(alignment.pairs, widths, strict=True)]
        lines.append(f"{utterance} {name} " + "  ".join(cells))
    counts = " ".join(str(alignment.count(operation)) for operation in "CSID")
    return "\n".join([*lines, f"{utterance} #csid {counts}"]) + "\n"


def _format_pra(utterance: str, speaker: str | None, alignment: WordAlignment) -> str:
    """Return an utterance as in the alignments of sclite, which mark the errors alone."""
    name = utterance if speaker is None or utterance.startswith(f"{speaker}-") else (
        f"{speaker}-{utterance}")
    counts = " ".join(str(alignment.count(operation)) for operation in "CSDI")
    lines = [f"id: ({name})", f"Scores: (#C #S #D #I) {counts}"]
    widths = [max(display_width(text) for text in pair) for pair in alignment.pairs]
    for title, place in (("REF: ", 0), ("HYP: ", 1), ("Eval:", 2)):
        cells = [pad("" if place == 2 and pair.operation == "C" else pair[place], width, "left")
                 for pair, width in zip(alignment.pairs, widths, strict=True)]
        lines.append(f"{title} " + " ".join(cells))
    return "\n".join(lines) + "\n"


def _format_text(scores: Scores, hypothesis: bool) -> str:
    """Return what was said or recognised, an utterance a line; without those not recognised."""
    place, left_out = (1, "D") if hypothesis else (0, "I")
    missing = set(scores.missing) if hypothesis else ()
    return "".join(" ".join([name, *(pair[place] for pair in alignment.pairs
                                     if pair.operation != left_out)]) + "\n"
                   for name, alignment in scores.alignments.items() if name not in missing)


def _format_operations(scores: Scores) -> str:
    rows = sorted(confusions(scores, correct=True))
    # Kaldi's limit: one very long word does not widen every line.
    width = min(16, max((display_width(word) for row in rows for word in row[:2]), default=0))
    digits = max((len(str(row.count)) for row in rows), default=0)
    return "".join(f"{_OPERATIONS[row.operation]:<14}{pad(row.reference, width, 'right')}    "
                   f"{pad(row.hypothesis, width, 'right')}    {row.count:>{digits}}\n"
                   for row in rows)


def _format_speakers(scores: Scores) -> str:
    if not scores.speakers:
        return ""
    totals: dict[str, np.ndarray] = {}
    for utterance, alignment in scores.alignments.items():
        # Columns as in Kaldi's per_spk: sentences, words, C S I D, errors, sentence errors.
        counts = [1, alignment.words, *(alignment.count(operation) for operation in "CSID"),
                  alignment.errors, alignment.errors > 0]
        speaker = scores.speakers[utterance]
        totals[speaker] = totals.get(speaker, 0) + np.array(counts)
    rows = [(speaker, totals[speaker]) for speaker in sorted(totals, key=str.encode)]
    rows.append(("SUM", sum(totals.values())))
    width = max(15, *(display_width(speaker) for speaker in totals))
    titles = ("#SENT", "#WORD", "Corr", "Sub", "Ins", "Del", "Err", "S.Err")
    lines = [f"{'SPEAKER':<{width}} id " + "".join(f" {title:>10}" for title in titles)]
    for speaker, counts in rows:
        name, sentences, words = pad(speaker, width, "left"), counts[0], counts[1]
        lines.append(f"{name} raw" + "".join(f" {count:>10}" for count in counts))
        if words:
            rates = [*(100 * counts[2:7] / words), 100 * counts[7] / sentences]
            lines.append(f"{name} sys {sentences:>10} {words:>10}"
                         + "".join(f" {rate:>10.2f}" for rate in rates))
    return "\n".join(lines) + "\n"


def _format_interval(scores: Scores) -> str:
    if scores.interval is None:
        return ""
    low, high = scores.interval
    return f"Set1: %WER {scores.wer:.2f} 95% Conf Interval [ {low:.2f}, {high:.2f} ]\n"
