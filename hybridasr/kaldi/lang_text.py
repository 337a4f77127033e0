"""Owns reading of Kaldi's directories on the graph side into a `Lang`.

Takes symbol tables, phone lists and ``L.fst`` (or a lexicon) as Kaldi's prepare_lang.sh leaves
them; gives what `TrainingGraphs` and the matching of words need. The pronunciations are walked
out of L, so that no lexicon is needed beside it.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hybridasr.errors import UserError
from hybridasr.graph.openfst import FlatFst, read_flat
from hybridasr.lexicon.lang_files import Root, read_symbols
from hybridasr.lexicon.langdir import IntPronunciation, Lang, LangOptions
from hybridasr.lexicon.lexicon import UNKNOWN_WORD, read_lexicon
from hybridasr.lexicon.phones import POSITIONS, add_positions
from hybridasr.storage import PathLike, read_text

_REMEDY = "make the directory again with Kaldi's prepare_lang.sh"
_LEXICONS = ("lexiconp.txt", "lexicon.txt")
# Costs are float32 in the file, and a sum of two of them is split again.
_TOLERANCE = 1e-3

_Pronunciations = dict[int, list[IntPronunciation]]


def read_kaldi_lang(path: PathLike, sil_prob: float | None = None) -> Lang:
    """Read a directory of Kaldi's as far as alignment and training graphs need it.

    Parameters
    ----------
    path : path
        Holds ``phones.txt``, ``words.txt``, ``disambig.int``, ``silence.csl`` (the last two
        beside them or in ``phones/``), and ``L.fst`` or else ``lexiconp.txt`` or ``lexicon.txt``.
    sil_prob : float, optional
        Probability of silence between words where only a lexicon is there; default 0.5. L.fst
        says it itself.

    Returns
    -------
    Lang
        Each phone is a set and a tree root of its own, there are no extra questions; `oov` is 0
        where neither ``oov.int`` nor <UNK> is there.

    Raises
    ------
    UserError
        naming the file that is missing, damaged or does not fit the others.
    """
    path = Path(path)
    if not path.is_dir():
        raise UserError("no such directory; check the path", path)
    phones, words = read_symbols(path / "phones.txt"), read_symbols(path / "words.txt")
    silence = _phone_list(path, "silence.csl", phones)
    disambig = _phone_list(path, "disambig.int", phones)
    apart = {0, *silence, *disambig}
    nonsilence = sorted(phone for phone in phones.values() if phone not in apart)
    # Kaldi writes no option for this: only the names of the phones show it.
    positions = any(name[-2:] in POSITIONS for name in phones)
    if (path / "L.fst").is_file():
        # Two sources for one number could disagree, and nobody would see which one won.
        if sil_prob is not None:
            raise UserError("L.fst is there and says how likely silence is; leave sil_prob out",
                            path)
        sil_prob, silence_id, pronunciations = _read_l(path / "L.fst", words, phones, set(disambig))
    else:
        sil_prob = 0.5 if sil_prob is None else LangOptions(sil_prob=sil_prob).sil_prob
        silence_id, pronunciations = 0, _read_lexicon(path, words, phones, positions)
    return Lang(
        path=path,
        phones=phones,
        words=words,
        silence_phones=silence,
        nonsilence_phones=nonsilence,
        disambig_phones=disambig,
        optional_silence=silence_id or _optional_silence(path, silence, phones),
        sil_prob=sil_prob,
        oov=_oov(path, words),
        sets=[[phone] for phone in silence + nonsilence],
        roots=[Root((phone,)) for phone in silence + nonsilence],
        extra_questions=[],
        pronunciations=pronunciations,
        position_dependent=positions,
    )


def _find(path: Path, name: str) -> Path:
    """Return where a phone list is: in the directory itself, or in phones/."""
    for file in (path / name, path / "phones" / name):
        if file.is_file():
            return file
    raise UserError(f"{name} is missing, also in phones/; {_REMEDY}", path)


def _phone_list(path: Path, name: str, phones: dict[str, int]) -> list[int]:
    """Read ids, one a line or between colons; ascending, every one of them in phones.txt."""
    file = _find(path, name)
    fields = read_text(file).replace(":", " ").split()
    known = {str(number): number for number in phones.values() if number > 0}
    for field in fields:
        if field not in known:
            raise UserError(f"'{field}' is not the id of a phone in phones.txt; {_REMEDY}", file)
    if not fields:
        raise UserError(f"is empty, a phone id is expected; {_REMEDY}", file)
    return sorted({known[field] for field in fields})


def _optional_silence(path: Path, silence: list[int], phones: dict[str, int]) -> int:
    # prepare_lang.sh writes this file; a directory that was put together by hand may lack it.
    if (path / "phones/optional_silence.int").is_file():
        return _phone_list(path, "optional_silence.int", phones)[0]
    return silence[0]


def _oov(path: Path, words: dict[str, int]) -> int:
    file = path / "oov.int"
    if not file.is_file():
        # 0 is <eps>: a word that is not in the lexicon then has no pronunciation, and its
        # utterance fails.
        return words.get(UNKNOWN_WORD, 0)
    text = read_text(file).strip()
    if not text.isdecimal() or int(text) not in words.values():
        raise UserError(f"'{text}' is not the id of a word in words.txt; {_REMEDY}", file)
    return int(text)


def _read_lexicon(path: Path, words: dict[str, int], phones: dict[str, int],
                  positions: bool) -> _Pronunciations:
    file = next((path / name for name in _LEXICONS if (path / name).is_file()), None)
    if file is None:
        raise UserError(f"L.fst is missing, and so are {' and '.join(_LEXICONS)}; put one of them "
                        "there", path)
    result: _Pronunciations = {}
    for word, choices in read_lexicon(file).entries.items():
        if word not in words:
            raise UserError(f"word '{word}' is not in words.txt; add it there, or remove it", file)
        for choice in choices:
            # A lexicon has plain phones; prepare_lang.sh adds the positions when it makes L.fst.
            names = add_positions(choice.phones) if positions else choice.phones
            for name in names:
                if name not in phones:
                    raise UserError(f"phone '{name}' of '{word}' is not in phones.txt; add it "
                                    "there, or correct it", file)
            result.setdefault(words[word], []).append(
                (choice.probability, tuple(phones[name] for name in names)))
    return result


def _read_l(file: Path, words: dict[str, int], phones: dict[str, int],
            disambig: set[int]) -> tuple[float, int, _Pronunciations]:
    """Return (silence probability, the optional silence or 0, pronunciations) of L.fst."""
    walk = _Walk(read_flat(file), file, set(words.values()), set(phones.values()), disambig)
    return walk.sil_prob, walk.silence, walk.pronunciations()


class _Arc(NamedTuple):
    ilabel: int
    olabel: int
    weight: float
    nextstate: int


class _Walk:
    """The form of Kaldi's make_lexicon_fst.py: START -> LOOP, or silence -> LOOP; words at LOOP.

    Each word is a chain of arcs from LOOP, the word on the first one; it ends in LOOP, and once
    more in the state that silence begins in, if there is one.
    """

    def __init__(self, fst: FlatFst, file: Path, words: set[int], phones: set[int],
                 disambig: set[int]):
        arcs = [_Arc(*row) for row in zip(fst.ilabel.tolist(), fst.olabel.tolist(),
                                          fst.weight.tolist(), fst.nextstate.tolist(),
                                          strict=True)]
        edges = fst.arc_offsets.tolist()
        self.arcs = {state: arcs[edges[state]:edges[state + 1]]
                     for state in range(fst.num_states)}
        self.finals = set(np.flatnonzero(np.isfinite(fst.final)).tolist())
        self.file, self.words, self.phones = file, words, phones
        # Its symbols would become phones without frames: no transcript could be aligned.
        if any(arc.ilabel in disambig for arcs in self.arcs.values() for arc in arcs):
            raise self._error("has disambiguation symbols: it is L_disambig.fst; take L.fst")
        self.loop, self.before_silence = fst.start, -1
        self.sil_prob, self.silence, self.pause = 0.0, 0, 0.0
        # Without optional silence START is LOOP itself, and LOOP is final.
        if self.loop not in self.finals:
            self._leave(fst.start)
        if self.finals != {self.loop}:
            raise self._error("has another final state than the one where words begin")

    def pronunciations(self) -> _Pronunciations:
        """Follow every word from LOOP back to it."""
        pronunciations: _Pronunciations = {}
        for first in self.arcs[self.loop]:
            if first.olabel not in self.words or first.olabel == 0:
                raise self._error(f"has an arc with word {first.olabel} where words begin, which "
                                  "is not one of words.txt")
            # Each word ends twice, in LOOP and before the optional silence: the second way says
            # nothing new.
            if first.nextstate == self.before_silence:
                continue  # a word of one phone, the way to silence
            cost, phones = self._chain(first)
            if not phones:
                raise self._error(f"gives word {first.olabel} no phones")
            if not cost > -_TOLERANCE:
                raise self._error(f"gives word {first.olabel} a pronunciation of probability "
                                  f"{math.exp(-cost):g}")
            # Rounding may leave a probability a little above 1, and with it a negative cost.
            pronunciations.setdefault(first.olabel, []).append((min(1.0, math.exp(-cost)), phones))
        if not pronunciations:
            raise self._error("has no word")
        return {word: pronunciations[word] for word in sorted(pronunciations)}

    def _chain(self, arc) -> tuple[float, tuple[int, ...]]:
        """Follow one arc back to LOOP; return (cost up to the end of the word, phones)."""
        word, cost, phones = arc.olabel, 0.0, []
        # No chain is longer than the number of states: the bound ends the walk on a cycle.
        for _ in range(len(self.arcs)):
            if arc.ilabel not in self.phones:
                raise self._error(f"has phone {arc.ilabel}, which is not in phones.txt")
            cost += arc.weight
            phones += [arc.ilabel] * (arc.ilabel > 0)
            if arc.nextstate == self.loop:
                # The last arc also carries the cost of "no silence", which belongs to the pause.
                return cost - self.pause, tuple(phones)
            onward = [after for after in self.arcs[arc.nextstate]
                      if after.nextstate != self.before_silence]
            if len(onward) != 1 or onward[0].olabel:
                break
            arc = onward[0]
        raise self._error(f"has no chain of arcs from word {word} back to where words begin")

    def _leave(self, start: int) -> None:
        """Find LOOP, the optional silence and its probability from the arcs of START."""
        silent, plain = [], []
        for arc in self.arcs[start]:
            (plain if arc.ilabel == 0 and arc.nextstate in self.finals else silent).append(arc)
        if len(plain) != 1 or len(silent) > 1 or any(arc.olabel for arc in self.arcs[start]):
            raise self._error("does not begin with one way on and one optional silence")
        self.loop, self.pause = plain[0].nextstate, plain[0].weight
        if not silent:
            return
        self.before_silence = silent[0].nextstate
        behind = self.arcs[self.before_silence]
        if (silent[0].ilabel or len(behind) != 1 or behind[0].olabel or behind[0].weight
                or behind[0].nextstate != self.loop):
            raise self._error("has an optional silence that is not one phone")
        self.silence = behind[0].ilabel
        if self.silence not in self.phones or self.silence == 0:
            raise self._error(f"has the optional silence {self.silence}, which is not in "
                              "phones.txt")
        # More digits than a float32 cost holds would be noise.
        self.sil_prob = round(math.exp(-silent[0].weight), 6)
        if abs(self.sil_prob + math.exp(-self.pause) - 1.0) > _TOLERANCE:
            raise self._error(f"gives silence the probability {self.sil_prob:g} and its absence "
                              f"{math.exp(-self.pause):g}, a sum of 1 is expected")

    def _error(self, what: str) -> UserError:
        return UserError(f"{what}; L.fst of the form of Kaldi's make_lexicon_fst.py without "
                         "silence probabilities of single words is expected", self.file)
