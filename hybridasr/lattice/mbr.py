"""Owns minimum Bayes risk decoding: the words with the fewest expected errors, how sure each is.

H. Xu, D. Povey, L. Mangu, J. Zhu, "Minimum Bayes Risk decoding and system combination based on a
recursion for edit distance", Computer Speech and Language 25 (2011); Kaldi's sausages.cc. Starting
from the best path, each position takes its most likely word given the alignment of all paths to the
present words, until nothing changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np

from hybridasr.lattice.lattice import CompactLattice
from hybridasr.lattice.paths import n_best
from hybridasr.lattice.posteriors import forward_backward

MAX_ROUNDS = 100
# An inserted word costs a little more, so that positions of words are preferred to those between.
INSERTION = 1.0 + 1e-5


@dataclass(frozen=True)
class Position:
    """One position of a confusion network.

    `words` are (word id, posterior), likeliest first, 0: no word. `begin` and `end` are frames, on
    average over the arcs of the first word, see `decode_mbr`.
    """

    words: tuple[tuple[int, float], ...]
    begin: float
    end: float


@dataclass(frozen=True)
class RiskDecision:
    """The result of minimum Bayes risk decoding.

    Attributes
    ----------
    words : tuple of int
    confidences : tuple of float
        Posterior of each word in its position.
    times : tuple of (begin, end)
        Frames, see `Position`.
    expected_errors : float
        Expected number of word errors (substitutions, insertions, deletions) of `words`.
    positions : tuple of Position
        The confusion network: a position for each word, and those between words where another
        word is possible.
    """

    words: tuple[int, ...]
    confidences: tuple[float, ...]
    times: tuple[tuple[float, float], ...]
    expected_errors: float
    positions: tuple[Position, ...]


def decode_mbr(lattice: CompactLattice, acoustic_scale: float = 1.0,
               words: Sequence[int] | None = None,
               times: tuple[np.ndarray, np.ndarray] | None = None) -> RiskDecision | None:
    """Find the words with the least expected edit distance to what was said.

    Parameters
    ----------
    words : sequence of int, optional
        Keep these words and only say how sure they are (Kaldi's --decode-mbr=false).
    times : (begins, ends), float64 (num_arcs,), optional
        Frames of each arc's word (`decode.arc_times.arc_times`). Without them a word has the
        frames of its arc, which begin where it is told apart from others and may be the whole file.

    Returns
    -------
    RiskDecision; None if the lattice has no path.
    """
    best = n_best(lattice, 1, acoustic_scale)
    if not best:
        return None
    alignment = _Alignment(lattice, acoustic_scale, times)
    chosen = list(best[0].words if words is None else words)
    for _ in range(MAX_ROUNDS):
        # A gap (0) stands before, between and after the words: a word may be inserted there.
        around = [0, *(symbol for word in chosen for symbol in (word, 0))]
        errors, shares, begins, ends = alignment.statistics(around)
        if words is not None:
            break
        # The largest share, and what is there already where shares are equal.
        likeliest = [int(alignment.words[row.argmax()]) for row in shares]
        present = [shares[i, alignment.column(symbol)] for i, symbol in enumerate(around)]
        likeliest = [old if share >= row.max() - 1e-12 else new for old, share, row, new in zip(
            around, present, shares, likeliest, strict=True)]
        if likeliest == around:
            break
        chosen = [word for word in likeliest if word]
    return alignment.decision(around, errors, shares, begins, ends)


class _Alignment:
    """A lattice ready to be aligned: one end, arcs by target, the share of each arc of its target.

    `words` (num_words,) are the ids of the lattice in ascending order, 0 the first; the kernel
    works on their places.
    """

    def __init__(self, lattice: CompactLattice, acoustic_scale: float,
                 times: tuple[np.ndarray, np.ndarray] | None):
        arcs, ends, _ = forward_backward(lattice, acoustic_scale)
        final = np.flatnonzero(np.isfinite(lattice.final_graph))
        source = np.concatenate([lattice.source, final])
        # One more state as a common end: the recursion needs a single last state.
        target = np.concatenate([lattice.target, np.full(len(final), lattice.num_states)])
        ids = np.concatenate([lattice.word, np.zeros(len(final), lattice.word.dtype)])
        order = np.argsort(target, kind="stable")
        self.source, self.target = source[order].astype(np.int64), target[order].astype(np.int64)
        flow = np.concatenate([arcs, ends[final]])[order]
        through = np.bincount(self.target, flow, minlength=lattice.num_states + 1)[self.target]
        self.share = np.divide(flow, through, out=np.zeros_like(flow), where=through > 0)
        self.words = np.unique(np.append(ids, 0))
        self.word = np.searchsorted(self.words, ids[order])
        frames = lattice.state_frames
        last = frames[final] + [len(lattice.final_strings[state]) for state in final]
        frames = np.append(frames, last.max(initial=0)).astype(np.float64)
        begins, ends = frames[source], frames[target]
        if times is not None:
            begins[:lattice.num_arcs], ends[:lattice.num_arcs] = times
        self.begins, self.ends = begins[order], ends[order]

    def column(self, word: int) -> int:
        """Return the place of a word; a word that is not in the lattice comes behind all others."""
        place = int(np.searchsorted(self.words, word))
        known = place < len(self.words) and self.words[place] == word
        return place if known else len(self.words)

    def statistics(self, around: list[int]) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """Align to words with gaps between; return (expected errors, shares, begins, ends).

        The last three are (num_positions, num_words + 1).
        """
        symbols = np.array([self.column(word) for word in around], np.int64)
        return _align(self.source, self.target, self.word, self.share, self.begins, self.ends,
                      symbols, len(self.words) + 1)

    def decision(self, around: list[int], errors: float, shares: np.ndarray, begins: np.ndarray,
                 ends: np.ndarray) -> RiskDecision:
        """Read the words and the network off the statistics."""
        positions, chosen = [], []
        for i, symbol in enumerate(around):
            row = shares[i] / shares[i].sum()
            place = self.column(symbol)
            ranked = np.argsort(-row, kind="stable")
            ids = [(int(self.words[j]), float(row[j])) for j in ranked
                   if j < len(self.words) and row[j] > 1e-9]
            first = place if shares[i, place] > 0 else ranked[0]
            # 0 for what is never there.
            begin, end = (float(sums[i, first] / max(shares[i, first], 1e-300))
                          for sums in (begins, ends))
            if symbol:
                chosen.append((symbol, float(row[place]), (begin, end)))
            if symbol or len(ids) > 1:
                positions.append(Position(tuple(ids), begin, end))
        words, confidences, times = zip(*chosen, strict=True) if chosen else ((), (), ())
        return RiskDecision(words, confidences, times, float(errors), tuple(positions))


@numba.njit(cache=True, nogil=True)
def _align(source, target, word, share, arc_begins, arc_ends, symbols, num_words):
    """Align every path to `symbols` (place 0: no word) and gather what stands where.

    The recursion over states of the paper: `distance[s, q]` is the expected edit distance of the
    ways to state s from the first q symbols, `mass[s, q]` the probability that is aligned so.
    """
    num_states, length = target[-1] + 1, len(symbols)
    distance = np.zeros((num_states, length + 1))
    along, mass_along = np.empty(length + 1), np.empty(length + 1)
    step = np.zeros(length + 1, np.int64)
    for q in range(1, length + 1):
        # The start: no word is there yet, so all symbols so far are left out (deletions).
        distance[0, q] = distance[0, q - 1] + (symbols[q - 1] != 0)
    for arc in range(len(source)):
        _distances(distance[source[arc]], word[arc], symbols, along, step)
        distance[target[arc]] += share[arc] * along
    shares = np.zeros((length, num_words))
    begins, ends = np.zeros((length, num_words)), np.zeros((length, num_words))
    mass = np.zeros((num_states, length + 1))
    mass[num_states - 1, length] = 1.0
    for arc in range(len(source) - 1, -1, -1):
        begin, end = arc_begins[arc], arc_ends[arc]
        # Computed again rather than stored: the table of all arcs would not fit into memory.
        _distances(distance[source[arc]], word[arc], symbols, along, step)
        mass_along[:] = share[arc] * mass[target[arc]]
        for q in range(length, 0, -1):
            part = mass_along[q]
            if step[q] == 1:
                mass[source[arc], q - 1] += part
                shares[q - 1, word[arc]] += part
                begins[q - 1, word[arc]] += part * begin
                ends[q - 1, word[arc]] += part * end
            elif step[q] == 2:
                mass[source[arc], q] += part
            else:
                # The symbol is left out: its share goes to "no word", at the time of the arc's
                # begin.
                mass_along[q - 1] += part
                shares[q - 1, 0] += part
                begins[q - 1, 0] += part * begin
                ends[q - 1, 0] += part * begin
        mass[source[arc], 0] += mass_along[0]
    for q in range(length, 0, -1):
        mass[0, q - 1] += mass[0, q]
        shares[q - 1, 0] += mass[0, q]
    return distance[num_states - 1, length], shares, begins, ends


@numba.njit(cache=True, nogil=True)
def _distances(before, word, symbols, along, step):
    """Fill the distances after an arc, and how each came about.

    1: the word stands for the symbol; 2: it is inserted; 3: the symbol is left out.
    """
    inserted = 0.0 if word == 0 else INSERTION
    along[0] = before[0] + inserted
    for q in range(1, len(symbols) + 1):
        set_against = before[q - 1] + (word != symbols[q - 1])
        insertion = before[q] + inserted
        left_out = along[q - 1] + (symbols[q - 1] != 0)
        along[q] = min(set_against, insertion, left_out)
        step[q] = 1 if set_against == along[q] else 2 if insertion == along[q] else 3
