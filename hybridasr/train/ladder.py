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
class Trainer:
    """What trains a kind of system from alignments, with the class of its options."""

    options: type
    train: Callable
    what: str


TRAINERS = {
    "deltas": Trainer(DeltasOptions, train_deltas, "triphones on features with deltas"),
    "lda-mllt": Trainer(LdaMlltOptions, train_lda_mllt, "triphones on LDA+MLLT features"),
    "sat": Trainer(SatOptions, train_sat, "speaker-adaptive triphones (fMLLR)"),
    "quick": Trainer(QuickOptions, train_quick, "a larger tree on adapted features"),
}


@dataclass(frozen=True)
class Rung:
    """One system of the ladder: its kind, and the system whose alignments it starts from."""

    kind: str
    source: str | None

    @property
    def options(self) -> type:
        """The options of its kind; monophones, which start from none, have no `Trainer`."""
        return TRAINERS[self.kind].options if self.kind in TRAINERS else MonoOptions


LADDER = {
    "mono": Rung("mono", None),
    "tri1": Rung("deltas", "mono"),
    "tri2b": Rung("lda-mllt", "tri1"),
    "tri3b": Rung("sat", "tri2b"),
    "tri4b": Rung("quick", "tri3b"),
}
