"""Owns the figures of accepting and rejecting commands in whole sets."""

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np

from hybridasr.batch.spot_set import CommandList, SpotOptions, Trial, load_with, spot_trials
from hybridasr.corpus.datadir import DataDir
from hybridasr.errors import UserError, name_some
from hybridasr.progress import logger
from hybridasr.score.detection import TrialKind, Trials
from hybridasr.storage import atomic_write, read_json, read_text, write_json


def evaluate_commands(model: Path, sets: Sequence[DataDir], commands: CommandList,
                      destination: Path, pool: Executor, options: SpotOptions | None = None,
                      warn: bool = True) -> dict[str, Any]:
    """Decode sets with a command list; return their row of results.json.

    Writes ``trials`` (one utterance a line: transcript, best command, probability, reason, kind),
    ``text`` (the accepted commands) and ``detection.json``. With `warn`, commands that sound
    alike are named.
    """
    options = options or SpotOptions()
    if warn:
        # Loaded once here for its warnings: the workers load it in silence.
        load_with(model, commands, options)
    outcomes, seconds, duration = [], 0.0, 0.0
    in_any_case = {command.text.casefold(): command.text for command in commands.commands}
    other_case: dict[str, str] = {}
    with atomic_write(destination / "trials") as lines, atomic_write(destination / "text") as text:
        for data in sets:
            for trial in spot_trials(model, data, commands, pool, options):
                lines.write(_line(trial))
                words = trial.text if trial.reason is None else ""
                text.write(f"{trial.utterance} {words}".rstrip() + "\n")
                outcomes.append(_outcome(trial))
                if trial.kind == TrialKind.OUTSIDE and trial.said.casefold() in in_any_case:
                    other_case[trial.said] = in_any_case[trial.said.casefold()]
                seconds, duration = seconds + trial.seconds, duration + trial.duration
    if all(kind == TrialKind.OUTSIDE for kind, _, _ in outcomes):
        logger.warning("no transcript of %s is a command of the list; transcripts and commands "
                       "are compared as they are written", " ".join(
                           str(data.path) for data in sets))
    if other_case:
        logger.warning("transcripts that are commands but for their case count as outside words: "
                       "%s; write them as the list does", name_some(
                           [f"'{said}' ('{text}')" for said, text in other_case.items()]))
    info = read_json(model / "model.json")["info"]
    row = {"system": model.name, "test_set": "+".join(data.path.name for data in sets),
           "grammar": "commands and filler", "known": options.known,
           "wer": None, "ser": None, "words": None, "utterances": len(outcomes),
           "rtf": round(seconds / max(duration, 1e-9), 5),
           "train_seconds": info.get("train_seconds"), **_figures(outcomes)}
    write_json(destination / "detection.json", row)
    return row


def decision_figures(trials: Iterable[Trial]) -> dict[str, Any]:
    """Return figures of the decisions as they were taken; see `Trials.figures`.

    Without a calibration the figures that need probabilities are None.
    """
    return _figures([_outcome(trial) for trial in trials])


_Outcome = tuple[TrialKind, bool, float | None]  # what it is, accepted, probability


def _outcome(trial: Trial) -> _Outcome:
    return trial.kind, trial.reason is None, trial.probability


def _figures(outcomes: Sequence[_Outcome]) -> dict[str, Any]:
    kinds = np.array([kind for kind, _, _ in outcomes])
    accepted = np.array([is_accepted for _, is_accepted, _ in outcomes])
    probabilities = [probability for _, _, probability in outcomes]
    # Without a calibration the decision itself is the score: 1 is accepted, 0 is rejected.
    calibrated = None not in probabilities
    values = np.array(probabilities if calibrated else accepted, float)
    figures = Trials(values, kinds).figures(0.5, accepted=accepted)
    if not calibrated:
        figures.update(dict.fromkeys(("eer", "eer_wrong", "auc", "ece", "nce")))
    return figures


def _line(trial: Trial) -> str:
    probability = "" if trial.probability is None else f"{trial.probability:.4f}"
    return "\t".join([trial.utterance, trial.said, trial.text, probability,
                      trial.reason or "accepted", trial.kind.name.lower()]) + "\n"


def read_trials(directory: Path) -> Trials:
    """Read the ``trials`` that `evaluate_commands` wrote.

    Raises
    ------
    UserError
        if the file is missing, of an older version, or of a model that is not calibrated.
    """
    path = directory / "trials"
    probabilities, kinds = [], []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        fields = line.split("\t")
        kind = {kind.name.lower(): kind for kind in TrialKind}.get(fields[-1])
        if len(fields) != 6 or kind is None:
            raise UserError("has not the six columns of trials; run 'hybridasr evaluate "
                            "--commands' again", path, number)
        try:
            probabilities.append(float(fields[3]))
        except ValueError:
            raise UserError("has no probability: the model is not calibrated; run 'hybridasr "
                            "calibrate', then 'hybridasr evaluate --commands'", path,
                            number) from None
        kinds.append(kind)
    try:
        return Trials(np.array(probabilities), np.array(kinds))
    except ValueError as error:
        raise UserError(f"{error}; run 'hybridasr evaluate --commands' again", path) from None
