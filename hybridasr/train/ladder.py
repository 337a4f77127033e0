"""Owns the list of systems: what each rung of the ladder is called and which trainer makes it.

The names of the kinds are those of Kaldi's steps/train_*.sh.
"""

from collections.abc import Callable
from dataclasses import dataclass

from hybridasr.train.deltas import DeltasOptions, train_deltas
from hybridasr.train.lda_mllt import LdaMlltOptions, train_lda_mllt
from hybridasr.train.mono import MonoOptions
from hybridasr.train.quick import QuickOptions, train_quick
from hybridasr.train.sat import SatOptions, train_sat


@dataclass(frozen=True)
class Kind:
    """A kind of system that is trained on alignments: its options and its trainer."""

    options: type
    train: Callable
    what: str


KINDS = {
    "deltas": Kind(DeltasOptions, train_deltas, "triphones on features with deltas"),
    "lda-mllt": Kind(LdaMlltOptions, train_lda_mllt, "triphones on LDA+MLLT features"),
    "sat": Kind(SatOptions, train_sat, "speaker-adaptive triphones (fMLLR)"),
    "quick": Kind(QuickOptions, train_quick, "a larger tree on adapted features"),
}


@dataclass(frozen=True)
class Rung:
    """One system of the ladder: its kind, and the system whose alignments it starts from."""

    kind: str
    source: str | None

    @property
    def options(self) -> type:
        """The options of its kind; monophones, which start from none, have no `Kind`."""
        return KINDS[self.kind].options if self.kind in KINDS else MonoOptions


LADDER = {
    "mono": Rung("mono", None),
    "tri1": Rung("deltas", "mono"),
    "tri2b": Rung("lda-mllt", "tri1"),
    "tri3b": Rung("sat", "tri2b"),
    "tri4b": Rung("quick", "tri3b"),
}
