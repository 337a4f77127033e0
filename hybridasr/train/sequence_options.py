"""Owns the options of sequence training, with their ranges."""

from dataclasses import dataclass

from hybridasr.errors import UserError
from hybridasr.options import check_least, nested, option, seed_option
from hybridasr.sequence.criteria import ACCURACIES
from hybridasr.train.lattice_objective import MMI, CriterionOptions
from hybridasr.train.nnet_options import FitOptions

SMOOTHING = 0.1  # weight of the cross-entropy, of networks that were trained with it


@dataclass(frozen=True)
class SequenceOptions:
    """How a network is trained on lattices, whatever the criterion."""

    num_epochs: int = option(2, "passes over all utterances, at most")
    learning_rate: float = option(1e-5, "step size, the same all the time")
    minibatch_size: int = option(1024, "frames a step, of whole utterances")
    optimizer: str = option("adam", "what takes the steps", ("adam", "sgd"))
    momentum: float = option(0.0, "share of the last step that the next one goes on with (sgd)",
                             needs="optimizer=sgd")
    l2: float = option(0.0, "weight of half the squared norm of the matrices (sgd); a step shrinks "
                            "them by step size times this (adam)")
    max_norm: float = option(5.0, "gradients of a larger norm are scaled down to it; 0: never")
    smoothing: float | None = option(None, "weight of the cross-entropy beside the criterion, "
                                     "which has the rest (F-smoothing), 0 to 1; none: 0.1, and 0 "
                                     "for a network of train-chain, whose outputs are not those "
                                     "of frames")
    acoustic_scale: float | None = option(None, "factor on the acoustic log likelihoods; none: "
                                          "that of the lattices")
    patience: int = option(0, "stop after so many epochs in a row without gain on held-out "
                              "utterances; 0: never")
    average_rounds: int = option(1, "the networks after the last rounds (65536 frames each) that "
                                    "are averaged")
    num_jobs: int = option(1, "networks that are trained side by side and averaged every round")
    held_out: float | None = option(None, "share of the speakers, or of the utterances if there "
                                    "are few speakers, that is only watched; none: those of the "
                                    "network's own training")
    seed: int = seed_option("the order of the utterances, and how much is known of a speaker")

    def __post_init__(self):
        if self.smoothing is not None and not 0 <= self.smoothing < 1:
            raise UserError(f"smoothing is {self.smoothing}; give 0 to below 1")
        if self.acoustic_scale is not None and not self.acoustic_scale > 0:
            raise UserError(f"acoustic-scale is {self.acoustic_scale}; give a number above 0")
        if not self.learning_rate > 0:
            raise UserError(f"learning-rate is {self.learning_rate}; give a number above 0")
        check_least(self, {"num_epochs": 1})
        self.fit_options(0.05)

    def share_of_frames(self, chain: bool) -> float:
        """Return the weight of the cross-entropy, 0 by default after train-chain."""
        if self.smoothing is not None:
            return self.smoothing
        return 0.0 if chain else SMOOTHING

    def fit_options(self, held_out: float) -> FitOptions:
        """Return how the network is fitted; `held_out` is the share where none was given."""
        names = ("num_epochs", "minibatch_size", "optimizer", "momentum", "l2", "max_norm",
                 "patience", "average_rounds", "num_jobs", "seed")
        return FitOptions(
            **{name: getattr(self, name) for name in names}, chunk_width=0, silence_share=1.0,
            initial_learning_rate=self.learning_rate, final_learning_rate=self.learning_rate,
            held_out=held_out if self.held_out is None else self.held_out)


@dataclass(frozen=True)
class MmiOptions:
    """How a network is trained by maximum mutual information."""

    boost: float = option(0.0, "wrong phones count for likelier by the factor exp(boost) a frame "
                               "(boosted MMI), e.g. 0.1")
    drop_frames: bool = option(True, "no gradient for frames whose aligned state is not in the "
                                     "lattice")
    fit: SequenceOptions = nested(SequenceOptions)

    def __post_init__(self):
        if not 0 <= self.boost < 10:
            raise UserError(f"boost is {self.boost}; give 0 to below 10 (usual: 0.1)")

    def asked(self, scale: float, chain: bool) -> CriterionOptions:
        """Return the criterion, with the scale of the lattices where none was given."""
        return CriterionOptions(MMI, self.fit.acoustic_scale or scale,
                                self.fit.share_of_frames(chain), boost=self.boost,
                                drop_frames=self.drop_frames)


@dataclass(frozen=True)
class SmbrOptions:
    """How a network is trained by the expected number of right states or phones."""

    criterion: str = option("smbr", "what has to be right in a frame: the state (smbr) or the "
                            "phone (mpfe)", ACCURACIES)
    exclude_silphones: bool = option(True, "silence phones are told from others at all; if not, "
                                           "they are phones like any other")
    one_silence_class: bool = option(True, "any silence is right where silence is aligned; if "
                                     "not, no silence ever is", needs="exclude_silphones")
    fit: SequenceOptions = nested(SequenceOptions)

    def asked(self, scale: float, chain: bool) -> CriterionOptions:
        """Return the criterion, with the scale of the lattices where none was given."""
        return CriterionOptions(self.criterion, self.fit.acoustic_scale or scale,
                                self.fit.share_of_frames(chain),
                                one_silence_class=self.one_silence_class,
                                silence_apart=self.exclude_silphones)
