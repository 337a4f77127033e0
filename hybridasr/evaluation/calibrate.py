"""Owns the calibration of a model: trials on utterances that it was not trained on, then the fit.

Without a command list, lists are drawn from the transcripts: a text in the list is a command,
any other is outside. So the probability does not depend on the commands that a user will bring.
Noise made by the program is outside as well, because nobody speaks in it, and so is background of
the user's, cut at its pauses as a device does it.
"""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hybridasr.batch.spot_set import (
    CommandList,
    SpotOptions,
    Trial,
    load_with,
    make_trial,
    phone_pairs,
    spot_set,
)
from hybridasr.confidence.calibration import Calibration, save_calibration
from hybridasr.confidence.calibrator import (
    MIN_UTTERANCES,
    CalibrationOptions,
    CalibrationReport,
    fit_calibration,
)
from hybridasr.confidence.confusion import FILE as CONFUSIONS
from hybridasr.confidence.confusion import estimate_confusions
from hybridasr.confidence.measures import LARGEST_RATIO, NAMES
from hybridasr.corpus.command_list import make_commands
from hybridasr.corpus.datadir import DataDir
from hybridasr.corpus.kaldi_files import Utterance
from hybridasr.corpus.noises import event_noises, synthetic_noises
from hybridasr.errors import NotEnoughData, UserError, name_some
from hybridasr.evaluation.false_accepts import Background, spot_background
from hybridasr.lexicon.extend import with_sayable_words
from hybridasr.lexicon.langdir import Lang, read_lang
from hybridasr.model.directory import OF_THIS_MODEL
from hybridasr.options import option
from hybridasr.progress import without_warnings
from hybridasr.score.detection import TrialKind, det_curve
from hybridasr.storage import PathLike, atomic_write

logger = logging.getLogger("hybridasr")
NOISE_DRAWS = 4  # of each kind: with one, single pieces of a recorded kitchen passed for commands
NOISE_LEVELS = (30.0, 300.0, 3000.0)  # standard deviations of noise, 16-bit range
NOISE_SECONDS = 2.0


@dataclass(frozen=True)
class DrawOptions:
    """Command lists for a calibration without one."""

    draws: int = option(6, "command lists drawn from the transcripts, where none is given")
    list_share: float = option(0.5, "share of the different transcripts in a list")
    list_size: int = option(100, "commands in a list, at most")
    seed: int = option(0, "of the draws")

    def __post_init__(self):
        if self.draws < 1 or self.list_size < 1 or not 0 < self.list_share < 1:
            raise UserError("draws and list-size must be 1 or more, list-share between 0 and 1")


def calibrate(model: Path, data: DataDir, pool: Executor, commands: CommandList | None = None,
              draw: DrawOptions | None = None, fit: CalibrationOptions | None = None,
              spot: SpotOptions | None = None, background: Sequence[Utterance] = ()
              ) -> tuple[Calibration, CalibrationReport]:
    """Fit probability, threshold and filler penalty; store them in the model directory.

    The confusions of phones, which say what fillers sound near, are counted first and stored too.
    Those of an earlier calibration have no say; they stay if this one fails.

    Parameters
    ----------
    data : DataDir
        With transcripts, of speakers that the model was not trained on.
    background : sequence of Utterance, optional
        Recordings in which nobody says a command.

    Raises
    ------
    NotEnoughData
        if there are too few utterances of either kind.
    UserError
        as from `spot_set`.
    """
    spot = spot or SpotOptions()
    lists = [commands] if commands else draw_lists(
        data, draw or DrawOptions(), read_lang(model / "lang"), spot.lexicon)
    with _made_anew(model):
        estimate_confusions(phone_pairs(model, data, pool, spot)).save(model / CONFUSIONS)
        if commands:
            load_with(model, commands, spot)  # for its warnings, once
        trials = [trial for part in spot_set(model, data, lists, pool, spot) for trial in part]
        outside = sum(trial.kind == TrialKind.OUTSIDE for trial in trials)
        if outside < MIN_UTTERANCES:
            raise NotEnoughData(f"{outside or 'no'} outside utterances to calibrate with, at "
                                f"least {MIN_UTTERANCES} are needed; add recordings of words "
                                "that are not in the command list", data.path)
        # Any list will do: no list has noise among its commands.
        trials += noise_trials(model, lists[0], spot)
        behind = (spot_background(model, background, lists, pool, spot) if background
                  else Background([], 0.0))
        calibration, report = _fitted(trials, behind, fit, spot.reject.filler_penalty,
                                      {"utterances": len(data), "lists": len(lists)})
        save_calibration(calibration, model)
    return calibration, report


def _fitted(words: list[Trial], background: Background, fit: CalibrationOptions | None,
            penalty: float | None, info: dict[str, int]) -> tuple[Calibration, CalibrationReport]:
    """Fit a calibration to trials, with the given penalty or one that balances the errors."""
    trials = [*words, *background.trials]
    kinds = np.array([trial.kind for trial in trials])
    features = np.array([trial.measures for trial in trials])
    # A measure that is missing in every trial (such as one of a network, for a GMM) cannot be
    # fitted.
    kept = ~np.isnan(features).all(axis=0)
    names = [name for name, keep in zip(NAMES, kept, strict=True) if keep]
    calibration, report = fit_calibration(
        features[:, kept], names, kinds, [trial.speaker for trial in trials], fit,
        dict.fromkeys(names, 1), info=info, background=np.arange(len(trials)) >= len(words),
        hours=background.hours)
    if penalty is None:
        # A missing ratio is the worst one: no command came near.
        ratios = np.nan_to_num(features[:len(words), 0], nan=-LARGEST_RATIO)
        penalty = _balance(ratios, kinds[:len(words)])
    return replace(calibration, filler_penalty=penalty), report


@contextmanager
def _made_anew(model: Path) -> Iterator[None]:
    """Take away what an earlier calibration stored; put it back if the block fails."""
    paths = [model / name for name in OF_THIS_MODEL]
    before = {path: path.read_bytes() for path in paths if path.is_file()}
    # Otherwise the old calibration would decide in the trials that the new one is fitted to.
    for path in paths:
        path.unlink(missing_ok=True)
    try:
        yield
    # Ctrl-C too: the user must not lose a calibration that worked.
    except BaseException:
        for path in paths:
            path.unlink(missing_ok=True)
        for path, content in before.items():
            with atomic_write(path, "wb") as file:
                file.write(content)
        raise


def draw_lists(data: DataDir, options: DrawOptions, lang: Lang,
               lexicon: PathLike | None = None) -> list[CommandList]:
    """Draw command lists from the different transcripts of a set.

    Parameters
    ----------
    lang : Lang
        Only what can be said with its phones is drawn; what cannot is told.
    lexicon : path, optional
        Own pronunciations.

    Raises
    ------
    NotEnoughData
        if there are fewer than two different transcripts.
    """
    # Sorted, so that the draw does not depend on the order of the utterances in the set.
    texts = sorted({" ".join(u.words) for u in data.utterances.values() if u.words})
    unsaid = with_sayable_words(lang, {word for text in texts for word in text.split()},
                                lexicon)[1]
    kept = [text for text in texts if unsaid.keys().isdisjoint(text.split())]
    if len(kept) < len(texts):
        logger.info("%d of %d transcripts have words without pronunciation (%s) and are no "
                    "commands here", len(texts) - len(kept), len(texts), name_some(sorted(unsaid)))
    texts = kept
    if len(texts) < 2:
        raise NotEnoughData("fewer than two different transcripts; give utterances of several "
                            "commands", data.path / "text")
    size = min(options.list_size, max(1, round(options.list_share * len(texts))))
    rng = np.random.default_rng(options.seed)
    return [CommandList(tuple(make_commands(
        texts[i] for i in sorted(rng.choice(len(texts), size, replace=False)))))
        for _ in range(options.draws)]


def noise_trials(model: Path, commands: CommandList, options: SpotOptions) -> list[Trial]:
    """Decode noises that the program makes, silence and tones among them."""
    with without_warnings():
        recognizer = load_with(model, commands, options)
    settings = recognizer.model.features
    count = int(NOISE_SECONDS * settings.sample_rate)
    times = np.arange(count) / settings.sample_rate
    pieces = {f"tone{hertz}": np.sin(2 * np.pi * hertz * times) for hertz in (220, 1000, 2500)}
    for draw in range(NOISE_DRAWS):
        noises = synthetic_noises(settings.sample_rate, draw) | event_noises(settings.sample_rate,
                                                                           draw)
        pieces |= {f"{name}{draw}-{place}": samples[place * count:(place + 1) * count]
                   for name, samples in noises.items() for place in range(3)}
    trials = []
    for name, samples in pieces.items():
        for level in NOISE_LEVELS:
            # The floor guards against a division by 0 for digital silence.
            scaled = (samples * level / max(float(samples.std()), 1e-9)).astype(np.float32)
            frames, _ = recognizer.model.front_end.recording(scaled)
            trials.append(make_trial(recognizer, f"{name}-{level:g}", f"noise {name}", (),
                                     recognizer.decode(frames), len(frames.levels)))
    return trials


def _balance(ratios: np.ndarray, kinds: np.ndarray) -> float:
    """Return the filler penalty with which costs alone err as often on either side."""
    chosen = kinds != TrialKind.WRONG
    curve = det_curve(ratios[chosen], kinds[chosen] == TrialKind.RIGHT)
    # The first point of the curve accepts nothing: its threshold is not a cost.
    gap = np.abs(curve.miss - curve.false_accept)[1:]
    equal = curve.thresholds[1:][gap == gap.min()]
    # The middle between two thresholds: right on one of them, rounding would decide.
    below = curve.thresholds[1:][curve.thresholds[1:] < equal.min()]
    return round(-float(equal.min() + below.max(initial=-LARGEST_RATIO)) / 2, 2)
