"""Owns the options of lattice-free MMI, with their ranges."""

from dataclasses import dataclass

from hybridasr.chain.den_loss import LEAKY_COEFFICIENT
from hybridasr.chain.phone_lm import PhoneLmOptions
from hybridasr.errors import UserError
from hybridasr.options import check_least, nested, option
from hybridasr.train.nnet_options import FitOptions, InputOptions


@dataclass(frozen=True)
class ChainOptions(InputOptions, FitOptions):
    """How a network is trained by lattice-free MMI (names and defaults of Kaldi's where it has)."""

    network: str = option("", "file that describes the network; none: time delays, 320 columns, an "
                              "output for every third frame")
    minibatch_size: int = option(4800, "frames a step")
    chunk_width: int = option(150, "frames in a row that are trained on together; 0: whole "
                                   "utterances")
    silence_share: float = option(1.0, "share of the chunks of silence alone that an epoch draws")
    numleaves: int = option(1000, "leaves of the tree at most", needs="context_width=2")
    context_width: int = option(2, "phones that the tree sees: 1, or 2 (left neighbour)")
    lm: PhoneLmOptions = nested(PhoneLmOptions)
    tolerance: int = option(5, "frames that a phone may begin or end earlier or later than aligned")
    leaky_hmm_coefficient: float = option(LEAKY_COEFFICIENT, "probability of leaving a state of "
                                          "the denominator for any other")
    xent_regularize: float = option(0.1, "weight of the cross-entropy of a second output layer, "
                                         "which is dropped at the end")
    l2_regularize: float = option(5e-5, "weight of half the squared outputs")

    def __post_init__(self):
        """Refuse values outside their range."""
        super().__post_init__()
        check_least(self, {"delta_order": 0, "numleaves": 1, "tolerance": 0, "xent_regularize": 0,
                           "l2_regularize": 0})
        if self.context_width not in (1, 2):
            raise UserError(f"context-width is {self.context_width}; give 1 or 2")
        if not 0 < self.leaky_hmm_coefficient < 1:
            raise UserError(f"leaky-hmm-coefficient is {self.leaky_hmm_coefficient}; give more "
                            "than 0 and less than 1, such as 1e-5")
