"""Owns decoding of whole sets with command lists: every utterance a trial of accept or reject."""

import functools
import logging
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hybridasr.confidence.command_grammar import RejectOptions
from hybridasr.confidence.measures import nothing
from hybridasr.confidence.spoken import lexicon_of
from hybridasr.corpus.command_list import Command
from hybridasr.corpus.datadir import DataDir
from hybridasr.corpus.kaldi_files import sort_key
from hybridasr.decode.search import SearchOptions
from hybridasr.errors import UserError
from hybridasr.features.pipeline import check_features, load_feats
from hybridasr.model.adaptation import AdaptOptions, decoding_blocks
from hybridasr.model.directory import OF_THIS_MODEL
from hybridasr.parallel import run_blocks
from hybridasr.progress import without_warnings
from hybridasr.recognize.recognizer import Decoded, Recognizer, bare_recognizer, load
from hybridasr.score.detection import Kind, Trials
from hybridasr.storage import read_json, write_json, write_text

logger = logging.getLogger("hybridasr")


@dataclass(frozen=True)
class CommandList:
    """Commands and the fillers beside them, as `Recognizer.set_commands` takes them."""

    commands: tuple[Command, ...]
    fillers: tuple[str, ...] = ()


@dataclass(frozen=True)
class SpotOptions:
    """All that decides what is found."""

    search: SearchOptions = SearchOptions()
    adapt: AdaptOptions = AdaptOptions()
    reject: RejectOptions = RejectOptions()


@dataclass(frozen=True)
class Trial:
    """An utterance and what it was taken for.

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
    kind: Kind
    text: str
    probability: float | None
    reason: str | None
    measures: np.ndarray
    seconds: float
    duration: float


def spot_set(model: Path, data: DataDir, lists: Sequence[CommandList], pool: Executor,
             options: SpotOptions | None = None) -> list[list[Trial]]:
    """Decode every utterance of a set with each command list.

    An utterance that is too short for features is one that no command came near. Nothing is said
    of commands that sound alike.

    Returns
    -------
    list of list of Trial
        For each command list the utterances in order.

    Raises
    ------
    UserError
        if the features are not those of the model, none can be decoded, or a command cannot be
        said with the model's phones.
    """
    options = options or SpotOptions()
    with without_warnings():
        recognizer = load_with(model, lists[0], options)
    check_features(data.path, recognizer.model.features)
    if not _with_features(data).utterances:
        raise UserError("no utterance to decode has features; run make-feats", data.path)
    stamp = _stamp(model)
    blocks = decoding_blocks(data, recognizer.adapts)
    calls = [(model, one, options, block, stamp) for one in lists for block in blocks]
    parts = list(run_blocks(pool, _spot_block, calls, desc=f"commands in {data.path.name}"))
    return [sorted(sum(parts[begin:begin + len(blocks)], []),
                   key=lambda trial: sort_key(trial.utterance))
            for begin in range(0, len(parts), len(blocks))]


def load_with(model: Path, commands: CommandList, options: SpotOptions) -> Recognizer:
    """Load a model with a command list; a warning names commands that sound alike."""
    return load(model, options.search, None, options.adapt, commands.commands, commands.fillers,
                options.reject)


def evaluate_commands(model: Path, sets: Sequence[DataDir], commands: CommandList,
                      destination: Path, pool: Executor, options: SpotOptions | None = None,
                      warn: bool = True) -> dict[str, Any]:
    """Decode sets with a command list; return their row of results.json.

    Writes ``trials`` (one utterance a line: said, taken for, probability, reason), ``text`` (what
    was accepted) and ``detection.json``. With `warn`, commands that sound alike are named.
    """
    options = options or SpotOptions()
    if warn:
        load_with(model, commands, options)
    trials = [trial for data in sets for trial in
              spot_set(model, data, [commands], pool, options)[0]]
    if all(trial.kind == Kind.OUTSIDE for trial in trials):
        logger.warning("no transcript of %s is a command of the list; transcripts and commands "
                       "are compared as they are written", " ".join(
                           str(data.path) for data in sets))
    write_text(destination / "trials", "".join(
        "\t".join([trial.utterance, trial.said, trial.text,
                   "" if trial.probability is None else f"{trial.probability:.4f}",
                   trial.reason or "accepted"]) + "\n" for trial in trials))
    write_text(destination / "text", "".join(
        f"{trial.utterance} {trial.text if trial.reason is None else ''}".rstrip() + "\n"
        for trial in trials))
    info = read_json(model / "model.json")["info"]
    rtf = sum(t.seconds for t in trials) / max(sum(t.duration for t in trials), 1e-9)
    row = {"system": model.name, "test_set": "+".join(data.path.name for data in sets),
           "grammar": "commands and filler",
           "wer": None, "ser": None, "words": None, "utterances": len(trials),
           "rtf": round(rtf, 5), "train_seconds": info.get("train_seconds"),
           **decision_figures(trials)}
    write_json(destination / "detection.json", row)
    return row


def decision_figures(trials: Sequence[Trial]) -> dict[str, Any]:
    """Return figures of the decisions as they were taken; see `Trials.figures`.

    Without a calibration the figures that need probabilities are None.
    """
    kinds = np.array([trial.kind for trial in trials])
    accepted = np.array([trial.reason is None for trial in trials])
    calibrated = all(trial.probability is not None for trial in trials)
    values = np.array([trial.probability for trial in trials] if calibrated else accepted, float)
    figures = Trials(values, kinds).figures(0.5, accepted=accepted)
    if not calibrated:
        figures.update(dict.fromkeys(("eer", "eer_wrong", "auc", "ece", "nce")))
    return figures


def phone_pairs(model: Path, data: DataDir, pool: Executor,
                options: SpotOptions | None = None) -> list[tuple[list[str], list[str]]]:
    """Recognise phones in a set; return what was said and what was recognised, by utterance.

    What was said is the first pronunciation of the words; utterances with words that the model
    does not know are left out.
    """
    options = options or SpotOptions()
    calls = [(model, options, block, _stamp(model))
             for block in decoding_blocks(_with_features(data), False)]
    return sum(run_blocks(pool, _phone_block, calls, desc=f"phones of {data.path.name}"), [])


def _phone_block(model: Path, options: SpotOptions, data: DataDir, stamp: tuple[int, ...]
                 ) -> list[tuple[list[str], list[str]]]:
    recognizer = _loaded(model, options, stamp)
    entries = lexicon_of(recognizer.model.lang).entries
    pairs = []
    for name, feats in load_feats(data, recognizer.model.pipeline):
        words = data.utterances[name].words
        if words and all(word in entries for word in words):
            said = [phone for word in words for phone in entries[word][0].phones]
            pairs.append((said, recognizer.phones(feats)))
    return pairs


def _stamp(model: Path) -> tuple[int, ...]:
    """Return when the files of a model were written: one that is made anew is read anew."""
    files = (model / name for name in ("model.json", *OF_THIS_MODEL))
    return tuple(path.stat().st_mtime_ns if path.is_file() else 0 for path in files)


def _spot_block(model: Path, commands: CommandList, options: SpotOptions, data: DataDir,
                stamp: tuple[int, ...]) -> list[Trial]:
    recognizer = _loaded(model, options, stamp)
    if (recognizer.commands, recognizer.fillers) != (commands.commands, commands.fillers):
        with without_warnings():
            recognizer.set_commands(commands.commands, commands.fillers)
        recognizer.warm_up()
    heard = _with_features(data)
    trials = [make_trial(recognizer, name, utterance.speaker, utterance.words,
                         Decoded([], [], False, None), 0)
              for name, utterance in data.utterances.items() if name not in heard.utterances]
    loaded = list(load_feats(heard, recognizer.model.pipeline)) if heard.utterances else []
    groups = [[item] for item in loaded]
    if recognizer.adapts and loaded:
        groups = [loaded]
    for group in groups:
        begun = time.perf_counter()
        decoded = recognizer.decode_speaker([feats for _, feats in group])
        seconds = (time.perf_counter() - begun) / len(group)
        for (name, feats), item in zip(group, decoded, strict=True):
            utterance = data.utterances[name]
            trials.append(make_trial(recognizer, name, utterance.speaker, utterance.words, item,
                                     len(feats), seconds))
    return trials


def _with_features(data: DataDir) -> DataDir:
    """Leave out what make-feats found too short."""
    features = data.tables.get("feats.scp")
    if features is None:
        return data
    return replace(data, utterances={name: utterance for name, utterance in data.utterances.items()
                                     if name in features})


def make_trial(recognizer: Recognizer, name: str, speaker: str, words: Sequence[str],
               decoded: Decoded, frames: int, seconds: float = 0.0) -> Trial:
    """Compare what was said with what it was taken for."""
    decision = decoded.decision
    command = decision.command if decision else None
    said = next((c for c in recognizer.commands if c.words == tuple(words)), None)
    kind = (Kind.OUTSIDE if said is None else
            Kind.RIGHT if command is not None and command.id == said.id else Kind.WRONG)
    calibrated = recognizer.calibration is not None
    values = decision.measures if decision is not None else None
    return Trial(name, speaker, " ".join(words), kind, command.text if command else "",
                 decision.probability if decision else (0.0 if calibrated else None),
                 decision.reason if decision else "too-short",
                 nothing() if values is None else values, seconds,
                 frames * recognizer.model.features.frame_shift_ms / 1000)


@functools.lru_cache(maxsize=1)
def _loaded(model: Path, options: SpotOptions, stamp: tuple[int, ...]) -> Recognizer:
    del stamp  # part of the key
    return bare_recognizer(model, options.search, options.adapt, options.reject)
