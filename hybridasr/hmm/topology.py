"""Owns HMM topologies: which states a phone has and how they connect.

The text form is Kaldi's ``topo`` file (hmm-topology.h). A state with a pdf-class emits; the last
state of an entry has none and is final.
"""

import re
from dataclasses import dataclass

from hybridasr.errors import UserError


@dataclass(frozen=True)
class HmmState:
    """One state: `pdf_class` (-1 where nothing is emitted) and (next state, probability) pairs."""

    pdf_class: int
    transitions: tuple[tuple[int, float], ...]


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
        best = {0: 0}
        queue = [0]
        while queue:
            state = queue.pop(0)
            emitted = best[state] + (self.states[state].pdf_class >= 0)
            for target, _ in self.states[state].transitions:
                if target != state and emitted < best.get(target, 1 << 30):
                    best[target] = emitted
                    queue.append(target)
        return best[len(self.states) - 1]


class Topology:
    """The entries of a whole phone set."""

    def __init__(self, entries: tuple[TopologyEntry, ...]):
        self.entries = entries
        self._by_phone = {phone: entry for entry in entries for phone in entry.phones}

    @property
    def phones(self) -> list[int]:
        """Every phone with an entry, ascending."""
        return sorted(self._by_phone)

    def for_phone(self, phone: int) -> TopologyEntry:
        """Return the entry of a phone; `UserError` if it has none."""
        try:
            return self._by_phone[phone]
        except KeyError:
            raise UserError(f"phone {phone} has no topology; remake the lang directory") from None

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


def read_topology(text: str, source: str = "topo") -> Topology:
    """Parse Kaldi's text form; `UserError` names `source` and what is malformed."""
    entries = []
    for body in re.findall(r"<TopologyEntry>(.*?)</TopologyEntry>", text, re.DOTALL):
        phones = re.search(r"<ForPhones>(.*?)</ForPhones>", body, re.DOTALL)
        states = []
        for number, state in enumerate(re.findall(r"<State>(.*?)</State>", body, re.DOTALL)):
            fields = state.split()
            if not fields or fields[0] != str(number):
                raise UserError(f"states are not numbered from 0 in order at '{state.strip()}'; "
                                "restore the file", source)
            pdf_class = -1
            if "<PdfClass>" in fields:
                pdf_class = int(fields[fields.index("<PdfClass>") + 1])
            arcs = tuple((int(fields[i + 1]), float(fields[i + 2]))
                         for i, field in enumerate(fields) if field == "<Transition>")
            states.append(HmmState(pdf_class, arcs))
        if phones is None or not states or states[-1].pdf_class != -1:
            raise UserError("an entry lacks <ForPhones>, states or a final state; restore the file",
                            source)
        entries.append(TopologyEntry(tuple(map(int, phones[1].split())), tuple(states)))
    if not entries:
        raise UserError("no <TopologyEntry> found; restore the file", source)
    return Topology(tuple(entries))
