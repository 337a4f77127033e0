"""Owns the map from phones in context to pdfs.

Takes the sets of phones that share pdfs; gives `pdf(window, pdf_class)`. Context width 1 is the
monophone tree (Kaldi's MonophoneContextDependencyShared).
"""

from dataclasses import dataclass
from typing import Protocol

from hybridasr.errors import UserError
from hybridasr.hmm.topology import Topology


class ContextTree(Protocol):
    """What graph building and training need of a tree."""

    context_width: int
    central_position: int
    num_pdfs: int

    def pdf(self, window: tuple[int, ...], pdf_class: int) -> int:
        """Return the pdf of the phone in the middle of `window`."""
        ...


@dataclass(frozen=True)
class MonophoneTree:
    """Pdfs by phone set alone: the pdf-classes of a set are numbered consecutively."""

    first_pdf: dict[int, int]  # phone -> pdf of its pdf-class 0
    num_classes: dict[int, int]  # phone -> number of pdf-classes
    num_pdfs: int
    context_width: int = 1
    central_position: int = 0

    def pdf(self, window: tuple[int, ...], pdf_class: int) -> int:
        """Return the pdf of ``window[0]``; phones of one set share theirs."""
        return self.first_pdf[window[0]] + pdf_class

    def to_dict(self) -> dict:
        """Return a form for JSON."""
        return {"kind": "monophone", "num_pdfs": self.num_pdfs,
                "phones": [[p, self.first_pdf[p], self.num_classes[p]]
                           for p in sorted(self.first_pdf)]}


def monophone_tree(sets: list[list[int]], topology: Topology) -> MonophoneTree:
    """Build the monophone tree: one run of pdfs for each set of phones.

    Raises
    ------
    UserError
        if the phones of a set have different numbers of pdf-classes.
    """
    first_pdf, num_classes, total = {}, {}, 0
    for phones in sets:
        sizes = {topology.for_phone(phone).num_pdf_classes for phone in phones}
        if len(sizes) != 1:
            raise UserError(f"phones {phones} share pdfs but not a topology; "
                            "put silence and speech phones into different sets")
        size = sizes.pop()
        for phone in phones:
            first_pdf[phone], num_classes[phone] = total, size
        total += size
    return MonophoneTree(first_pdf, num_classes, total)


def tree_from_dict(values: dict, source: str = "tree.json") -> MonophoneTree:
    """Rebuild a tree from `MonophoneTree.to_dict`."""
    if values.get("kind") != "monophone":
        raise UserError(f"tree kind {values.get('kind')!r} is unknown to this version; "
                        "upgrade hybridasr", source)
    phones = values["phones"]
    return MonophoneTree({p: first for p, first, _ in phones}, {p: n for p, _, n in phones},
                         values["num_pdfs"])


def allowed_tuples(tree: MonophoneTree, topology: Topology) -> list[tuple[int, int, int]]:
    """Return every (phone, HMM state, pdf) that a monophone tree allows."""
    return [(phone, number, tree.pdf((phone,), state.pdf_class))
            for phone in topology.phones
            for number, state in enumerate(topology.for_phone(phone).states)
            if state.pdf_class >= 0]
