"""Owns scoring over lattices: error rates under many language-model weights and penalties.

Kaldi's ``score.sh``: for each LMWT and each word insertion penalty, the best path of every lattice
is scored against what was said. LMWT is the inverse of the acoustic scale that the models here
store: LMWT 10 is acoustic scale 0.1. The best path is that of the lattice, so that a weight far
from the one of the search may want words that the search has pruned.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hybridasr.batch.decode_dir import open_lattices, read_hypotheses
from hybridasr.corpus.datadir import DataDir
from hybridasr.errors import UserError
from hybridasr.lattice.shortest import LatticeScales, best_paths
from hybridasr.options import option
from hybridasr.score.score_files import ScoredScale, write_sweep
from hybridasr.score.wer import References

MOST = 1000  # the greatest weight that may be asked for: each has a file of its own


@dataclass(frozen=True)
class SweepOptions:
    """Which scales lattices are scored with, with the names and defaults of Kaldi's score.sh."""

    min_lmwt: int = option(7, "least language-model weight: 1 / acoustic scale")
    max_lmwt: int = option(17, "greatest language-model weight")
    word_ins_penalty: str = option("0.0,0.5,1.0", "costs of every word, with commas between")

    def __post_init__(self):
        if not 1 <= self.min_lmwt <= self.max_lmwt <= MOST:
            raise UserError(f"min-lmwt {self.min_lmwt} and max-lmwt {self.max_lmwt} are no range; "
                            f"give whole numbers from 1 to {MOST}")
        for text in self.penalties:
            try:
                usable = math.isfinite(float(text))
            except ValueError:
                usable = False
            if not usable:
                raise UserError(f"word-ins-penalty is '{self.word_ins_penalty}'; give numbers with "
                                "commas between, such as 0.0,0.5,1.0")

    @property
    def penalties(self) -> list[str]:
        """The penalties as the user wrote them, each once."""
        return list(dict.fromkeys(text.strip() for text in self.word_ins_penalty.split(",")))

    @property
    def pairs(self) -> list[tuple[int, str]]:
        """Every (LMWT, penalty), in the order in which Kaldi looks for the best."""
        return [(lmwt, penalty) for penalty in self.penalties
                for lmwt in range(self.min_lmwt, self.max_lmwt + 1)]


@dataclass(frozen=True)
class Sweep:
    """Errors of a decode directory under many scales, and the best; `best_cer` of hanzi alone."""

    scales: list[ScoredScale]
    best: ScoredScale
    best_cer: ScoredScale | None


def score_lattices(data: DataDir, destination: Path, options: SweepOptions,
                   words: Path | None = None) -> Sweep:
    """Score the lattices of a decode directory under many scales; write Kaldi's score files.

    Parameters
    ----------
    data : DataDir
        The set that was decoded.
    words : path, optional
        Table of words, or the graph directory that has it; by default what the decode directory
        names.

    Returns
    -------
    Sweep
        Of equal error rates the lowest penalty wins, then the lowest weight, as in Kaldi.

    Raises
    ------
    UserError
        if there is no lattice, an utterance of ``text`` has none, the table of words is not that
        of the lattices, or a file is damaged.
    """
    reference = {one.utterance: list(one.words) for one in data.utterances.values()}
    hypotheses = _hypotheses(destination, options, words, reference)
    speakers = {one.utterance: one.speaker for one in data.utterances.values()}
    said = References(reference, speakers)
    scales = [ScoredScale(lmwt, penalty, said.score(texts, interval=False),
                          said.score_characters(texts))
              for (lmwt, penalty), texts in hypotheses.items()]
    best = min(scales, key=lambda scale: scale.words.errors)
    # Only of the best: a thousand draws take longer than the alignments.
    best = ScoredScale(best.lmwt, best.penalty, said.score(hypotheses[best.lmwt, best.penalty]),
                       best.characters)
    best_cer = None if best.characters is None else min(
        scales, key=lambda scale: scale.characters.errors)
    write_sweep(destination, scales, best, best_cer)
    return Sweep(scales, best, best_cer)


def _hypotheses(destination: Path, options: SweepOptions, words: Path | None,
                reference: Mapping[str, list[str]]
                ) -> dict[tuple[int, str], dict[str, tuple[str, ...]]]:
    """Return (LMWT, penalty) -> utterance -> words of the best path."""
    source, pairs = open_lattices(destination, words), options.pairs
    names = source.names
    scales = [LatticeScales.of_lmwt(lmwt, float(penalty)) for lmwt, penalty in pairs]
    texts: dict[tuple[int, str], dict[str, tuple[str, ...]]] = {pair: {} for pair in pairs}
    for utterance, lattice in source.lattices():
        for pair, path in zip(pairs, best_paths(lattice, scales), strict=True):
            texts[pair][utterance] = () if path is None else tuple(
                names[word] for word in path.words)
    _add_silent(destination, texts)
    shared = {name for name in texts[pairs[0]] if name in reference}
    # None shared is told by the scoring; otherwise what has no reference was told with the text.
    return texts if not shared else {
        pair: {name: one for name, one in text.items() if name in shared}
        for pair, text in texts.items()}


def _add_silent(destination: Path, texts: dict[tuple[int, str], dict[str, tuple[str, ...]]]
                ) -> None:
    """Give utterances of ``text`` in which nothing was recognised, and no lattice made, no words.

    Raises
    ------
    UserError
        if an utterance of ``text`` has words and no lattice.
    """
    path = destination / "text"
    for name, words in (read_hypotheses(path) if path.is_file() else {}).items():
        for text in texts.values():
            if name not in text and words:
                raise UserError(f"no lattice of '{name}', of which text has words: cut short, or "
                                "of another decoding; decode again", destination)
            text.setdefault(name, ())
