"""Owns HMM topologies: which states a phone has and how they connect.

The text form is Kaldi's ``topo`` file (hmm-topology.h). A state with a pdf-class emits; the last
state of an entry has none and is final.
"""

import re
from dataclasses import dataclass

import numpy as np

from hybridasr.errors import DamagedFile, UserError

MAX_STATES = 100  # of a phone; more is a damaged file
MAX_PHONE = 1 << 20


@dataclass(frozen=True)
class HmmState:
    """One state: `pdf_class` (-1 where nothing is emitted) and (next state, probability) pairs."""

    pdf_class: int
    transitions: tuple[tuple[int, float], ...]


# Of lattice-free MMI: the first output of a phone, every later one, the end.
CHAIN_STATES = (HmmState(0, ((1, 0.5), (2, 0.5))), HmmState(1, ((1, 0.5), (2, 0.5))),
                HmmState(-1, ()))


@dataclass(frozen=True)
class TopologyEntry:
    """The states of some phones; entry is state 0, the last state is final."""

    phones: tuple[int, ...]
    states: tuple[HmmState, ...]

    @property
    def num_pdf_classes(self) -> int:
        """Number of distinct pdf-classes, numbered from 0."""
        return 1 + max(state.pdf_class for state in self.states)

    @property
    def min_frames(self) -> int:
        """Fewest frames that a path from the first to the final state emits."""
        return self.fewest_frames[len(self.states) - 1]

    @property
    def chain(self) -> np.ndarray:
        """Probability of each state after a frame in each, float64 (states, states).

        The final state is never left.
        """
        matrix = np.zeros((len(self.states), len(self.states)))
        for number, state in enumerate(self.states):
            for target, probability in state.transitions:
                matrix[number, target] += probability
        matrix[-1, -1] = 1.0
        return matrix / matrix.sum(axis=1, keepdims=True)

    @property
    def fewest_frames(self) -> dict[int, int]:
        """Fewest frames on the way to each state that can be reached."""
        # Breadth first: a state is looked at again where a shorter way to it was found.
        best = {0: 0}
        queue = [0]
        while queue:
            state = queue.pop(0)
            emitted = best[state] + (self.states[state].pdf_class >= 0)
            for target, _ in self.states[state].transitions:
                if target != state and emitted < best.get(target, 1 << 30):
                    best[target] = emitted
                    queue.append(target)
        return best


class Topology:
    """The entries of a whole phone set."""

    def __init__(self, entries: tuple[TopologyEntry, ...]):
        self.entries = entries
        self._by_phone = {phone: entry for entry in entries for phone in entry.phones}

    @property
    def phones(self) -> list[int]:
        """Every phone with an entry, ascending."""
        return sorted(self._by_phone)

    @property
    def is_chain(self) -> bool:
        """Whether all phones are as `chain_topology` makes them."""
        return all(entry.states == CHAIN_STATES for entry in self.entries)

    def for_phone(self, phone: int) -> TopologyEntry:
        """Return the entry of a phone; `UserError` if it has none."""
        try:
            return self._by_phone[phone]
        except KeyError:
            raise UserError(f"phone {phone} has no topology; remake the lang directory") from None

    def at_rate(self, every: int) -> "Topology":
        """Return the topology of paths that hold every `every`-th frame of this one's alone.

        >>> make_topology([1], [], 2).at_rate(2).for_phone(1).states[0].transitions
        ((0, 0.5625), (1, 0.375), (2, 0.0625))
        """
        entries = []
        for entry in self.entries:
            chain = np.linalg.matrix_power(entry.chain, every)
            states = tuple(HmmState(state.pdf_class, tuple(
                (int(to), float(chain[number, to])) for to in np.flatnonzero(chain[number])))
                for number, state in enumerate(entry.states[:-1]))
            entries.append(TopologyEntry(entry.phones, (*states, entry.states[-1])))
        return Topology(tuple(entries))

    def to_text(self) -> str:
        """Return Kaldi's text form."""
        lines = ["<Topology>"]
        for entry in self.entries:
            lines += ["<TopologyEntry>", "<ForPhones>", " ".join(map(str, entry.phones)),
                      "</ForPhones>"]
            for number, state in enumerate(entry.states):
                parts = [f"<State> {number}"]
                if state.pdf_class >= 0:
                    parts.append(f"<PdfClass> {state.pdf_class}")
                parts += [f"<Transition> {to} {prob:g}" for to, prob in state.transitions]
                lines.append(" ".join([*parts, "</State>"]))
            lines.append("</TopologyEntry>")
        return "\n".join([*lines, "</Topology>"]) + "\n"


def make_topology(nonsilence: list[int], silence: list[int], num_nonsilence_states: int = 3,
                  num_silence_states: int = 5) -> Topology:
    """Return the usual topology: left-to-right phones, silence with an ergodic middle.

    As Kaldi's gen_topo: speech states stay with probability 0.75; silence enters any but its
    last emitting state, wanders among the middle ones and leaves through the last.
    """
    speech = tuple(HmmState(i, ((i, 0.75), (i + 1, 0.25))) for i in range(num_nonsilence_states))
    entries = [TopologyEntry(tuple(nonsilence), (*speech, HmmState(-1, ())))]
    if silence:
        last = num_silence_states - 1
        share = 1.0 / last
        states = [HmmState(0, tuple((to, share) for to in range(last)))]
        states += [HmmState(i, tuple((to, share) for to in range(1, last + 1)))
                   for i in range(1, last)]
        states += [HmmState(last, ((last, 0.75), (last + 1, 0.25))), HmmState(-1, ())]
        entries.append(TopologyEntry(tuple(silence), tuple(states)))
    return Topology(tuple(entries))


def chain_topology(phones: list[int]) -> Topology:
    """Return the topology of lattice-free MMI, the same for every phone, silence included.

    The first output of a phone is of pdf-class 0, every later one of pdf-class 1 (Kaldi's
    gen_topo for chain models says it with one state of two pdf-classes). All transitions are
    equally likely, so that each output costs the same on every path.

    >>> chain_topology([1, 2]).for_phone(1).min_frames
    1
    """
    return Topology((TopologyEntry(tuple(phones), CHAIN_STATES),))


def read_topology(text: str, source: str = "topo") -> Topology:
    """Parse Kaldi's text form.

    Raises
    ------
    DamagedFile
        if it is malformed or absurd; `source` and the mend are named.
    UserError
        if it is a chain topology, whose states have two pdf-classes.

    Examples
    --------
    >>> topology = read_topology(make_topology([2, 3], [1]).to_text())
    >>> topology.phones, topology.for_phone(2).num_pdf_classes
    ([1, 2, 3], 3)
    """
    if not isinstance(text, str):
        raise DamagedFile(f"the topology is {text!r}, not a text; restore the file", source)
    # Two classes a state, one for entering and one for staying, are another kind of model.
    if "<ForwardPdfClass>" in text or "<SelfLoopPdfClass>" in text:
        raise UserError("is the topology of a chain model (<ForwardPdfClass>), which cannot be "
                        "read; use a model whose states have one <PdfClass>", source)
    try:
        return parse_topology(text)
    except ValueError as error:
        raise DamagedFile(f"{error}; restore the file", source) from None


def parse_topology(text: str) -> Topology:
    """Parse the text form; `ValueError` says what is wrong with it."""
    entries = tuple(map(_read_entry, re.findall(r"<TopologyEntry>(.*?)</TopologyEntry>", text,
                                                re.DOTALL)))
    if not entries:
        raise ValueError("no <TopologyEntry> found")
    phones = [phone for entry in entries for phone in entry.phones]
    if len(set(phones)) < len(phones):
        raise ValueError("a phone has two entries")
    return Topology(entries)


def _read_entry(body: str) -> TopologyEntry:
    phones = re.search(r"<ForPhones>(.*?)</ForPhones>", body, re.DOTALL)
    texts = re.findall(r"<State>(.*?)</State>", body, re.DOTALL)
    if phones is None or not 0 < len(texts) <= MAX_STATES:
        raise ValueError(f"an entry lacks <ForPhones>, or has {len(texts)} states, 1 to "
                         f"{MAX_STATES} expected")
    numbers = tuple(_whole(word, "a phone", 1, MAX_PHONE) for word in phones[1].split())
    if not numbers:
        raise ValueError("an entry is for no phone")
    states = tuple(_read_state(state, number, len(texts)) for number, state in enumerate(texts))
    entry = TopologyEntry(numbers, states)
    if len(states) < 2:
        raise ValueError("an entry has no state that emits")
    if len(states) - 1 not in entry.fewest_frames:
        raise ValueError(f"the final state of the phones {phones[1].strip()} cannot be reached")
    return entry


def _read_state(text: str, number: int, num_states: int) -> HmmState:
    fields = text.split()
    if fields[:1] != [str(number)]:
        raise ValueError(f"states are not numbered from 0 in order at '{text.strip()}'")
    # Fields come in any number, so the text is walked through once.
    pdf_class, arcs, place, final = -1, [], 1, number == num_states - 1
    while place < len(fields):
        size = {"<PdfClass>": 2, "<Transition>": 3}.get(fields[place], 0)
        if not size or place + size > len(fields):
            raise ValueError(f"state {number} has '{fields[place]}' where <PdfClass> N or "
                             "<Transition> STATE PROBABILITY is expected")
        if size == 2:
            pdf_class = _whole(fields[place + 1], "a pdf-class", 0, num_states - 1)
        else:
            target = _whole(fields[place + 1], "the target of a transition", 0, num_states - 1)
            arcs.append((target, _probability(fields[place + 2])))
        place += size
    if final and (pdf_class >= 0 or arcs):
        raise ValueError(f"an entry has no final state: its last one, {number}, has a pdf-class or "
                         "transitions")
    if not final and (pdf_class < 0 or not arcs):
        raise ValueError(f"state {number} has no <PdfClass> or no <Transition>")
    return HmmState(pdf_class, tuple(arcs))


def _whole(word: str, what: str, least: int, most: int) -> int:
    # Long numbers are not even converted: Python would take minutes for some.
    value = int(word) if word.isdecimal() and len(word) < 10 else -1
    if not least <= value <= most:
        raise ValueError(f"{what} is '{word}', {least} to {most} expected")
    return value


def _probability(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise ValueError(f"the probability of a transition is '{word}', a number above 0 and up "
                         "to 1 expected")
    return value
