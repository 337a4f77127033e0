"""Owns what a device takes for commands in background: hours in which nobody says one."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybridasr.batch.driver import directory_stamp, once_a_worker
from hybridasr.batch.spot_set import CommandList, SpotOptions, Trial, load_with, make_trial
from hybridasr.confidence.decoded import Decoded
from hybridasr.confidence.verify import NO_SPEECH, TOO_SHORT
from hybridasr.corpus.audio import FULL_SCALE, load_utterance
from hybridasr.corpus.kaldi_files import Utterance
from hybridasr.parallel import run_blocks
from hybridasr.progress import without_warnings
from hybridasr.recognize.recognizer import Recognizer
from hybridasr.recognize.session import CHUNK

_BLOCK = 8  # utterances a job


@dataclass(frozen=True)
class Background:
    """What was taken for commands in background.

    Attributes
    ----------
    trials : list of Trial
        Of every piece between two pauses in which somebody speaks, or seems to.
    hours : float
    """

    trials: list[Trial]
    hours: float


def spot_background(model: Path, utterances: Sequence[Utterance], lists: Sequence[CommandList],
                    pool: Executor, options: SpotOptions | None = None) -> Background:
    """Listen to background as a device does, with an end of speech at every pause.

    Parameters
    ----------
    lists : sequence of CommandList
        An utterance is listened to with one of them, in turn.

    Raises
    ------
    UserError
        as `load_with`, and if a recording cannot be read.
    """
    stamp, options = directory_stamp(model), options or SpotOptions()
    blocks = []
    for number, one in enumerate(lists):
        part = utterances[number::len(lists)]
        blocks += [(model, stamp, options, one, part[start:start + _BLOCK])
                   for start in range(0, len(part), _BLOCK)]
    trials, seconds = [], 0.0
    for spotted, length in run_blocks(pool, _spot_block, blocks, desc="background"):
        trials += spotted
        seconds += length
    return Background(trials, seconds / 3600)


def _spot_block(model: Path, stamp: tuple, options: SpotOptions, commands: CommandList,
                utterances: Sequence[Utterance]) -> tuple[list[Trial], float]:
    recognizer = once_a_worker(_recognizer, model, stamp, options, commands)
    rate = recognizer.model.features.sample_rate
    trials, count = [], 0
    for one in utterances:
        samples = load_utterance(one, rate)
        count += len(samples)
        for decoded in _pieces(recognizer, samples):
            trial = make_trial(recognizer, one.utterance, one.speaker, (), decoded, 0)
            if trial.reason not in (NO_SPEECH, TOO_SHORT):
                trials.append(trial)
    return trials, count / rate


def _recognizer(model: Path, stamp: tuple, options: SpotOptions, commands: CommandList
                ) -> Recognizer:
    del stamp  # part of the key: a model made anew under the same name is read anew
    with without_warnings():
        return load_with(model, commands, options)


def _pieces(recognizer: Recognizer, samples: np.ndarray) -> Iterator[Decoded]:
    """Yield what was decoded between two pauses of a recording (num_samples,)."""
    session = recognizer.session(full_scale=FULL_SCALE, partials=False)
    size = round(CHUNK * recognizer.model.features.sample_rate)
    # A chunk at a time has one result at most, so that what each was made of is known.
    for start in range(0, len(samples), size):
        if session.accept(samples[start:start + size]):
            yield session.decoded
    if session.finish():
        yield session.decoded
