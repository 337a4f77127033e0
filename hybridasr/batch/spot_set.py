"""Owns decoding of a data directory with command lists: every utterance a trial.

Phones in place of words are recognised here too: a calibration counts their confusions.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from hybridasr.batch.driver import Results, SetBlocks, directory_stamp, once_a_worker, run_set
from hybridasr.confidence.command_grammar import RejectOptions
from hybridasr.confidence.measures import nothing
from hybridasr.confidence.spoken import lexicon_of
from hybridasr.corpus.command_list import Command
from hybridasr.corpus.datadir import DataDir
from hybridasr.corpus.kaldi_files import sort_key
from hybridasr.decode.search import SearchOptions
from hybridasr.errors import UserError
from hybridasr.features.feature_cache import matching_features
from hybridasr.features.feature_set import FeatureBlock
from hybridasr.model.adaptation import AdaptOptions, works_by_speaker
from hybridasr.model.directory import load_model
from hybridasr.parallel import run_blocks
from hybridasr.progress import without_warnings
from hybridasr.recognize.recognizer import Decoded, Recognizer, bare_recognizer, load
from hybridasr.score.detection import TrialKind


@dataclass(frozen=True)
class CommandList:
    """Commands and the fillers beside them, as `Recognizer.set_commands` takes them."""

    commands: tuple[Command, ...]
    fillers: tuple[str, ...] = ()


@dataclass(frozen=True)
class SpotOptions:
    """All options that decide the result; `known` as for `decode_set`."""

    search: SearchOptions = SearchOptions()
    adapt: AdaptOptions = AdaptOptions()
    reject: RejectOptions = RejectOptions()
    known: str = "none"
    lexicon: Path | None = None  # the user's, for words of commands and fillers


@dataclass(frozen=True)
class Trial:
    """An utterance and the command recognised in it.

    Attributes
    ----------
    said : str
        The transcript.
    text : str
        Of the best command, accepted or not; empty if there is none.
    probability : float or None
        That the command is right; None if the model is not calibrated.
    reason : str or None
        Why it is not accepted.
    measures : float64 (num_measures,)
    seconds, duration : float
        Of scoring and search, and of the audio.
    """

    utterance: str
    speaker: str
    said: str
    kind: TrialKind
    text: str
    probability: float | None
    reason: str | None
    measures: np.ndarray
    seconds: float
    duration: float


def spot_set(model: Path, data: DataDir, lists: Sequence[CommandList], pool: Executor,
             options: SpotOptions | None = None) -> list[list[Trial]]:
    """Decode every utterance of a set with each command list.

    Returns
    -------
    list of list of Trial
        For each command list what `spot_trials` yields.

    Raises
    ------
    UserError
        as `spot_trials`.
    """
    return [list(trials) for trials in _spot_lists(model, data, lists, pool, options)]


def spot_trials(model: Path, data: DataDir, commands: CommandList, pool: Executor,
                options: SpotOptions | None = None) -> Iterator[Trial]:
    """Decode every utterance of a set with a command list; yield the trials in order of the ids.

    An utterance that is too short for features counts as one without any near command. There is
    no warning of commands that sound alike. Features that the set lacks are made into a cache.

    Raises
    ------
    UserError
        if the features are not those of the model, none can be decoded, or a command cannot be
        said with the model's phones.
    """
    yield from next(_spot_lists(model, data, [commands], pool, options))


def _spot_lists(model: Path, data: DataDir, lists: Sequence[CommandList], pool: Executor,
                options: SpotOptions | None) -> Iterator[Iterator[Trial]]:
    """Yield the trials of each list; to be taken in order, as all are one run over the blocks."""
    options = options or SpotOptions()
    if options.known != "all":
        options = replace(options, adapt=options.adapt.for_one_utterance())
    with without_warnings():
        loaded = load_with(model, lists[0], options).model  # says what cannot be said
    data = matching_features(data, loaded.features, pool)
    if not data.tables.get("feats.scp", {}).keys() & data.utterances.keys():
        raise UserError("no utterance to decode has features; run make-feats", data.path)
    blocks = SetBlocks.of(data, loaded.normalization(data, options.known),
                          works_by_speaker(loaded, options.adapt, options.known))
    stamp = directory_stamp(model, *([options.lexicon] if options.lexicon else []))
    # One run over all lists, so that workers do not stand idle between two of them.
    calls = ((block, model, stamp, options, one) for one in lists for block in blocks)
    parts = run_blocks(pool, _spot_block, calls, desc=f"commands in {data.path.name}",
                       total=len(lists) * len(blocks))
    for one in lists:
        # Blocks of one list come together, in order: the next ones belong to the next list.
        spotted = blocks.in_order(islice(parts, len(blocks)))
        yield _with_short_ones(data, spotted, one, options, model)


def _with_short_ones(data: DataDir, spotted: Iterator[tuple[str, Trial]], commands: CommandList,
                     options: SpotOptions, model: Path) -> Iterator[Trial]:
    """Put a trial where an utterance is too short for features."""
    recognizer = None
    name, trial = next(spotted, (None, None))
    for key in sorted(data.utterances, key=sort_key):
        utterance = data.utterances[key]
        if key == name:
            yield trial
            name, trial = next(spotted, (None, None))
            continue
        if recognizer is None:
            with without_warnings():
                # Loaded only if there is such an utterance: most sets have none.
                recognizer = load_with(model, commands, options)
        yield make_trial(recognizer, key, utterance.speaker, utterance.words,
                         Decoded([], [], False, None), 0)


def load_with(model: Path, commands: CommandList, options: SpotOptions) -> Recognizer:
    """Load a model with a command list; a warning names commands that sound alike."""
    return load(model, options.search, None, options.adapt, commands.commands, commands.fillers,
                options.reject, options.lexicon)


def phone_pairs(model: Path, data: DataDir, pool: Executor,
                options: SpotOptions | None = None) -> list[tuple[list[str], list[str]]]:
    """Recognise phones in a set; return what was said and what was recognised, by utterance.

    What was said is the first pronunciation of the words; utterances with words that the model
    does not know are left out.
    """
    options = options or SpotOptions()
    loaded = load_model(model)
    data = matching_features(data, loaded.features, pool)
    blocks = SetBlocks.of(data, loaded.normalization(data, options.known), False)
    pairs = run_set(pool, _phone_block, blocks, model, directory_stamp(model), options,
                    desc=f"phones of {data.path.name}")
    return [pair for _, pair in pairs if pair is not None]


def _phone_block(block: FeatureBlock, model: Path, stamp: tuple, options: SpotOptions
                 ) -> Results[tuple[list[str], list[str]] | None]:
    recognizer = once_a_worker(_recognizer, model, stamp, options)
    entries = lexicon_of(recognizer.model.lang).entries
    words = {utterance.utterance: utterance.words for utterance in block.utterances}
    results: Results[tuple[list[str], list[str]] | None] = []
    for name, feats in block.load():
        pair = None
        if words[name] and all(word in entries for word in words[name]):
            said = [phone for word in words[name] for phone in entries[word][0].phones]
            pair = said, recognizer.phones(feats)
        results.append((name, pair))
    return results


def _spot_block(block: FeatureBlock, model: Path, stamp: tuple, options: SpotOptions,
                commands: CommandList) -> Results[Trial]:
    recognizer = once_a_worker(_recognizer, model, stamp, options)
    # To build the grammar takes longer than to decode: it stays while the list is the same.
    if (recognizer.commands, recognizer.fillers) != (commands.commands, commands.fillers):
        with without_warnings():
            recognizer.set_commands(commands.commands, commands.fillers)
        recognizer.warm_up()
    rows = {utterance.utterance: utterance for utterance in block.utterances}
    loaded = block.frames(recognizer.model.features)
    # A block is one speaker if the recogniser adapts.
    groups = [list(loaded)] if works_by_speaker(
        recognizer.model, options.adapt, options.known) else ([item] for item in loaded)
    results: Results[Trial] = []
    for group in groups:
        begun = time.perf_counter()
        decoded = recognizer.decode_speaker([frames for _, frames in group])
        seconds = (time.perf_counter() - begun) / len(group)
        for (name, frames), item in zip(group, decoded, strict=True):
            results.append((name, make_trial(recognizer, name, rows[name].speaker,
                                             rows[name].words, item, len(frames.levels), seconds)))
    return results


def _recognizer(model: Path, stamp: tuple, options: SpotOptions) -> Recognizer:
    del stamp  # part of the key: a model made anew under the same name is read anew
    return bare_recognizer(model, options.search, options.adapt, options.reject, options.lexicon)


def make_trial(recognizer: Recognizer, name: str, speaker: str, words: Sequence[str],
               decoded: Decoded, frames: int, seconds: float = 0.0) -> Trial:
    """Compare the transcript with the command recognised."""
    decision = decoded.decision
    command = decision.command if decision else None
    # Compared by words: the id may be a code that nobody says.
    said = next((c for c in recognizer.commands if c.words == tuple(words)), None)
    kind = (TrialKind.OUTSIDE if said is None else
            TrialKind.RIGHT if command is not None and command.meaning == said.meaning
            else TrialKind.WRONG)
    calibrated = recognizer.calibration is not None
    values = decision.measures if decision is not None else None
    return Trial(name, speaker, " ".join(words), kind, command.text if command else "",
                 decision.probability if decision else (0.0 if calibrated else None),
                 decision.reason if decision else "too-short",
                 nothing() if values is None else values, seconds,
                 frames * recognizer.model.features.frame_shift_ms / 1000)
