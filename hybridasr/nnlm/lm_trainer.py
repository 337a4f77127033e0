"""Owns the training of a neural language model: a text in, the model of the best epoch out.

Truncated back-propagation through time: a sentence is learned whole up to `MOST_STEPS` words, a
longer one in stretches, each from a state of zeros. The step size is halved from the epoch on that
gains little on held-out text (new-bob), and an epoch that loses there is taken back.
"""

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hybridasr.checkpoint import part_of, read_checkpoint
from hybridasr.errors import NotEnoughData, UserError
from hybridasr.lm.perplexity import TextScore, score_tokens
from hybridasr.lm.token_store import BREAK, WordIds, file_tokens
from hybridasr.nnet.optim import Adam, AdamOptions, NewBob, NewBobOptions
from hybridasr.nnlm.neural_lm import NeuralLm, NnlmOptions, sentence_batches
from hybridasr.nnlm.word_classes import END_ID, UNKNOWN_ID, choose_words
from hybridasr.options import nested, option, seed_option, to_dict
from hybridasr.progress import logger, progress
from hybridasr.storage import PathLike, digest, write_arrays

Info = dict[str, Any]  # figures of a training
MOST_STEPS = 64
HELD_OUT_SHARE = 0.05


@dataclass(frozen=True)
class NnlmTrainOptions:
    """How a neural language model is trained."""

    network: NnlmOptions = nested(NnlmOptions)
    min_count: int = option(3, "rarer words share one class of the network, each by its count")
    epochs: int = option(10, "passes over the text, at most")
    batch_words: int = option(512, "words a step")
    learning_rate: float = option(2e-3, "step size at the beginning")
    max_norm: float = option(5.0, "gradients of a larger norm are scaled down to it; 0: never")
    seed: int = seed_option("the first weights and of all draws")

    def __post_init__(self):
        for name, least in (("min_count", 1), ("epochs", 1), ("batch_words", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise UserError(f"--{name.replace('_', '-')} {getattr(self, name)}; give {least} "
                                "or more")
        if not 0 < self.learning_rate < 1:
            raise UserError(f"--learning-rate {self.learning_rate:g}; give a number above 0 and "
                            "below 1")


@dataclass(frozen=True)
class LmText:
    """A text in memory.

    Attributes
    ----------
    tokens : int32 (num_tokens,)
        Each sentence with `BREAK` at its end.
    ids : WordIds
    """

    tokens: np.ndarray
    ids: WordIds

    @classmethod
    def read(cls, path: PathLike, skip_first: bool) -> "LmText":
        """Read one sentence a line; raises as `file_tokens`, or if there is no word."""
        ids = WordIds()
        tokens = np.concatenate([np.empty(0, np.int32), *file_tokens(path, ids, skip_first)])
        if not len(tokens):
            raise UserError("holds no word; write a sentence a line", path)
        return cls(tokens, ids)

    def sentence_ends(self) -> np.ndarray:
        """Return the place behind each sentence."""
        return np.flatnonzero(self.tokens == BREAK) + 1

    def split(self, share: float, seed: int) -> tuple["LmText", "LmText"]:
        """Return the text without a share of its sentences, and these."""
        ends = self.sentence_ends()
        chosen = np.random.default_rng([seed, 1]).permutation(len(ends)) < share * len(ends)
        if not chosen.any() or chosen.all():
            raise NotEnoughData(f"{len(ends)} sentences are too few to hold some out; give "
                                "--held-out TEXT, or more text")
        held = np.repeat(chosen, np.diff(ends, prepend=0))
        return LmText(self.tokens[~held], self.ids), LmText(self.tokens[held], self.ids)

    def score(self, model: NeuralLm) -> TextScore:
        """Score the text by a model."""
        return sum(score_tokens(model, [self.tokens], self.ids), TextScore())


def train_neural_lm(text: LmText, held_out: LmText | None, options: NnlmTrainOptions,
                    vocabulary: Sequence[str] | None = None,
                    keep: Callable[[NeuralLm, Info], None] = lambda model, info: None,
                    checkpoint: Path | None = None) -> tuple[NeuralLm, Info]:
    """Train a model.

    Parameters
    ----------
    text : LmText
    held_out : LmText, optional
        Tells the best epoch; by default 5 % of the sentences of `text`, which are not learned.
    vocabulary : sequence of str, optional
        The words of the model; by default those of the text.
    keep : callable
        Is given the model and its figures whenever it has become better.
    checkpoint : path, optional
        Written after each epoch, removed at the end; a training of the same texts and options
        goes on from it.

    Returns
    -------
    model : NeuralLm
    info : dict
        Figures of the training, for the model's description.

    Raises
    ------
    NotEnoughData
        if there is nothing to hold out, or too little to learn.
    UserError
        if the training does not come to finite numbers.
    """
    if held_out is None:
        text, held_out = text.split(HELD_OUT_SHARE, options.seed)
    names = list(text.ids)
    per_token = np.bincount(text.tokens, minlength=len(names)).tolist()
    words = choose_words(Counter({name: count for name, count
                                  in zip(names[1:], per_token[1:], strict=True) if count}),
                         per_token[BREAK], options.min_count, vocabulary)
    model = NeuralLm(words, options.network, options.seed)
    logger.info("%d words, of which %d are classes of the network; %d parameters", len(words.words),
                words.num_classes, sum(array.size for array in model.parameters.values()))
    numbers = np.array([words.ids.get(name, UNKNOWN_ID) for name in names])
    numbers[BREAK] = END_ID
    run = _Run(model, numbers[text.tokens], options)
    begin = digest(text.tokens.tobytes(), held_out.tokens.tobytes(), names, to_dict(options),
                   words.words)
    done, schedule, info = run.resume(checkpoint, begin)
    best = {name: array.copy() for name, array in model.parameters.items()}
    for epoch in range(done + 1, options.epochs + 1):
        if schedule.stopped:
            break
        begun = time.monotonic()
        learned = run.epoch(epoch, schedule.rate)
        score = held_out.score(model)
        # Behind a loss that is not finite the parameters are not worth a look.
        loss = -score.log10_prob if math.isfinite(learned) else math.nan
        rate, schedule = schedule.rate, schedule.after(loss, NewBobOptions())
        told = "" if schedule.accepted else "; taken back"
        logger.info("epoch %d: step size %.2g, perplexity %.2f in training, %.2f held out, "
                    "%.0f s%s", epoch, rate, learned, score.perplexity, time.monotonic() - begun,
                    told)
        for name, array in model.parameters.items():
            source, target = (array, best[name]) if schedule.accepted else (best[name], array)
            target[...] = source
        if schedule.accepted:
            info = {"sentences": per_token[BREAK], "words": len(text.tokens) - per_token[BREAK],
                    "epoch": epoch, "held_out_perplexity": round(score.perplexity, 3)}
            keep(model, info)
        run.save(checkpoint, begin, epoch, schedule, info)
    if not info:
        raise UserError("no epoch came to finite numbers; give a smaller --learning-rate")
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return model, info


class _Run:
    """The optimiser and the stretches of the text."""

    def __init__(self, model: NeuralLm, tokens: np.ndarray, options: NnlmTrainOptions):
        self.model, self.rows, self.options = model, model.rows(tokens), options
        self.optimiser = Adam(AdamOptions(max_norm=options.max_norm), model.parameters)
        self.starts, self.lengths = stretches(np.flatnonzero(tokens == END_ID) + 1, MOST_STEPS)
        # What rare words cost beyond their class, which the network cannot change.
        self.fixed_loss = -float(model.words.log_shares[tokens].sum())

    def save(self, checkpoint: Path | None, begin: str, epoch: int, schedule: NewBob, info: Info
             ) -> None:
        """Write what the next epoch starts from; `begin` is a digest of texts and options."""
        if checkpoint is not None:
            note = {"epoch": epoch, "schedule": asdict(schedule), "info": info}
            arrays = {f"model.{name}": array for name, array in self.model.parameters.items()}
            arrays |= {f"optimiser.{name}": array
                       for name, array in self.optimiser.to_arrays().items()}
            write_arrays(checkpoint, digest=np.array(begin), note=np.array(json.dumps(note)),
                         **arrays)

    def resume(self, checkpoint: Path | None, begin: str) -> tuple[int, NewBob, Info]:
        """Take over a checkpoint; return its epoch, schedule and figures, or those of a start."""
        def build(saved: dict[str, np.ndarray]) -> tuple[int, NewBob, Info]:
            note = json.loads(str(saved["note"]))
            parameters = part_of(saved, "model.")
            for name, array in self.model.parameters.items():
                array[...] = parameters[name]
            self.optimiser.load_arrays(part_of(saved, "optimiser."))
            logger.info("resuming after epoch %d", note["epoch"])
            return note["epoch"], NewBob(**note["schedule"]), note["info"]

        start = 0, NewBob(self.options.learning_rate), {}
        return (checkpoint and read_checkpoint(checkpoint, begin, build)) or start

    def epoch(self, number: int, rate: float) -> float:
        """Learn the text once; return the perplexity on the way."""
        rng = np.random.default_rng([self.options.seed, 2, number])
        batches = list(sentence_batches(self.rows, self.starts, self.lengths,
                                        self.options.batch_words, rng))
        total = self.fixed_loss
        for before, words, present, _ in progress(batches, desc=f"epoch {number}", unit="batches"):
            loss, grads = self.model.loss(before, words, present, rng)
            self.optimiser.step(self.model.parameters, grads, rate)
            total += loss
        mean = total / len(self.rows)
        return math.exp(mean) if mean < 700 else math.inf


def stretches(ends: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut sentences into stretches of at most `most` words.

    Parameters
    ----------
    ends : int (num_sentences,)
        The place behind each sentence.

    Returns
    -------
    starts, lengths : int arrays (num_stretches,)

    >>> stretches(np.array([3, 10]), 4)
    (array([0, 3, 7]), array([3, 4, 3]))
    """
    lengths = np.diff(ends, prepend=0)
    parts = -(-lengths // most)
    within = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    starts = np.repeat(ends - lengths, parts) + most * within
    return starts, np.minimum(np.repeat(ends, parts) - starts, most)
