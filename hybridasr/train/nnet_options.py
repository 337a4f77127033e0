"""Owns the options of the training of networks, with their ranges."""

from dataclasses import dataclass

from hybridasr.errors import UserError
from hybridasr.features.pipeline import CMVN_KINDS
from hybridasr.features.specaugment import SpecAugmentOptions
from hybridasr.options import check_least, nested, option, seed_option

ROUND_FRAMES = 1 << 16  # frames of a round, after which networks are averaged


@dataclass(frozen=True)
class FitOptions:
    """How a network is fitted, whatever it is fitted to."""

    num_epochs: int = option(4, "passes over all frames, at most")
    minibatch_size: int = option(256, "frames a step")
    chunk_width: int = option(1, "frames in a row that are drawn together, for layers that share "
                                 "work between neighbours (tdnn 8, lstm 40); 0: whole utterances")
    silence_share: float = option(0.2, "share of the chunks of silence alone that an epoch draws")
    optimizer: str = option("adam", "what takes the steps", ("adam", "sgd"))
    momentum: float = option(0.9, "share of the last step that the next one goes on with (sgd)",
                             needs="optimizer=sgd")
    l2: float = option(0.0, "weight of half the squared norm of the matrices (sgd); a step shrinks "
                            "them by step size times this (adam)")
    max_norm: float = option(5.0, "gradients of a larger norm are scaled down to it; 0: never")
    schedule: str = option("exponential", "how the step size falls: exponential; cosine: half a "
                           "wave of it; new-bob: halved from the epoch on that gains little on "
                           "held-out utterances", ("exponential", "cosine", "new-bob"))
    initial_learning_rate: float = option(1e-3, "step size at the beginning")
    final_learning_rate: float = option(3e-5, "step size at the end (exponential, cosine)",
                                        needs="schedule=exponential|cosine")
    patience: int = option(0, "stop after so many epochs in a row without gain on held-out "
                              "utterances; 0: never")
    average_rounds: int = option(5, f"the networks after the last rounds ({ROUND_FRAMES} frames "
                                    "each) that are averaged")
    num_jobs: int = option(1, "networks that are trained side by side and averaged every round")
    replicas: int = option(1, "parts of every mini-batch that are worked on side by side, on a "
                              "thread each if --nj allows it; a part has batch statistics of its "
                              "own")
    held_out: float = option(0.05, "share of the speakers, or of the utterances if there are few "
                                   "speakers, that is only watched")
    seed: int = seed_option("the first weights and of all draws")
    masks: SpecAugmentOptions = nested(SpecAugmentOptions)

    def __post_init__(self):
        """Refuse values outside their range."""
        least = {"num_epochs": 1, "minibatch_size": 2, "chunk_width": 0, "average_rounds": 1,
                 "num_jobs": 1, "replicas": 1, "seed": 0, "patience": 0}
        check_least(self, least)
        # A rate that rises again would undo what was learned.
        if not 0 < self.final_learning_rate <= self.initial_learning_rate:
            raise UserError(f"learning rates {self.initial_learning_rate} to "
                            f"{self.final_learning_rate}; give positive ones that do not rise")
        for name in ("held_out", "silence_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"option {name} is {getattr(self, name)}; give 0 to 1")
        if self.held_out == 1:
            raise UserError("option held_out is 1; nothing would be left to train on")
        if self.held_out == 0 and (self.patience or self.schedule == "new-bob"):
            raise UserError("new-bob and patience watch held-out utterances; give --held-out more "
                            "than 0")


@dataclass(frozen=True)
class InputOptions:
    """What a network is, and what it sees."""

    network: str = option("", "file that describes the network; none: three layers of 512")
    cmvn: str = option("online", "mean that is taken off the features, as of a recipe's pipeline",
                       CMVN_KINDS)
    norm_vars: bool = option(False, "normalise the variance of the features too")
    delta_order: int = option(0, "derivatives that the network sees")


@dataclass(frozen=True)
class DnnOptions(InputOptions, FitOptions):
    """How a network is trained on alignments."""

    realign: int = option(0, "how often the set is aligned with the network, which is then trained "
                             "anew")
    teacher: str = option("", "model of a larger network with the same pdfs and features, whose "
                              "posteriors are learned beside the classes; none: the classes alone")
    teacher_weight: float = option(0.8, "share of the loss that is the teacher's, 0 to 1",
                                   needs="teacher")
    temperature: float = option(2.0, "what both networks' logits are divided by before they are "
                                     "compared; larger: unlikely classes count for more",
                                needs="teacher")

    def __post_init__(self):
        """Refuse values outside their range."""
        super().__post_init__()
        check_least(self, {"realign": 0, "delta_order": 0})
        if not 0 < self.teacher_weight <= 1:
            raise UserError(f"option teacher_weight is {self.teacher_weight}; give more than 0, up "
                            "to 1, or leave the teacher out")
        if not 0.1 <= self.temperature <= 100:
            raise UserError(f"option temperature is {self.temperature}; give 0.1 to 100")
