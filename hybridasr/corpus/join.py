"""Owns strings: recordings of single words, joined into recordings of several.

A set of words teaches nothing of how words follow one another. `join_datadir` takes the recordings
of a speaker in drawn order, each once, a drawn number to a string; some follow at once, others
after a pause of the speaker's own background. ``utt2parts`` says which recordings a string
(``<speaker>-string-<number>``) is made of: what is held out of a training is held out with all its
parts (`strings_of_parts`). All draws are seeded by speaker or string, so that the number of jobs
and the other speakers do not matter.
"""

import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.signal import fftconvolve

from hybridasr.corpus.audio import audio_info, load_utterance, write_flac
from hybridasr.corpus.datadir import DataDir, Utterance, flac_name, wav_folder, write_datadir
from hybridasr.errors import UserError
from hybridasr.options import option
from hybridasr.parallel import run_blocks, split_blocks
from hybridasr.storage import PathLike

PARTS = "utt2parts"  # table: utterance, and the recordings that it is made of
LONGEST_PAUSE = 10.0  # seconds
_BLOCK = 20  # strings a job
_SOFT = 0.02  # seconds of a recording's softest stretch, which is taken for its background


@dataclass(frozen=True)
class JoinOptions:
    """How recordings are joined into strings."""

    min_parts: int = option(3, "fewest recordings of a string")
    max_parts: int = option(7, "most recordings of a string")
    pause_share: float = option(0.5, "share of the seams that have a pause, 0 to 1")
    max_pause: float = option(0.3, "longest pause, seconds", needs="pause_share")
    fade: float = option(0.004, "seconds in which a recording begins and ends softly, so that the "
                                "seam does not click")
    seed: int = option(0, "seed of everything that is drawn")

    def __post_init__(self):
        """Refuse values outside their range."""
        if not 2 <= self.min_parts <= self.max_parts:
            raise UserError(f"min_parts {self.min_parts} and max_parts {self.max_parts} are no "
                            "range; give 2 <= min_parts <= max_parts")
        if not 0 <= self.pause_share <= 1:
            raise UserError(f"option pause_share is {self.pause_share}; give 0 to 1")
        for name in ("max_pause", "fade"):
            if not 0 <= getattr(self, name) <= LONGEST_PAUSE:
                raise UserError(f"option {name} is {getattr(self, name)}; give 0 to "
                                f"{LONGEST_PAUSE:g} seconds")
        if self.seed < 0:
            raise UserError(f"option seed is {self.seed}; give 0 or more")


@dataclass(frozen=True)
class WordString:
    """Recordings of one speaker that become one; a pause, in seconds, after each but the last."""

    utterance: str
    parts: tuple[Utterance, ...]
    pauses: tuple[float, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """All that is said."""
        return tuple(word for part in self.parts for word in part.words)


def plan_strings(data: DataDir, options: JoinOptions) -> list[WordString]:
    """Draw which recordings are joined, in which order, with which pauses.

    Each recording is in one string at most; of each speaker less than `min_parts` stay alone.
    """
    strings = []
    for speaker, ids in data.speakers.items():
        rng = np.random.default_rng([options.seed, _crc(speaker)])
        ids, own = [ids[place] for place in rng.permutation(len(ids))], []
        while len(ids) >= options.min_parts:
            count = int(rng.integers(options.min_parts, options.max_parts + 1))
            parts, ids = ids[:count], ids[count:]
            seams = len(parts) - 1
            # Drawn whether used or not: an option of pauses does not change who is joined.
            with_pause = rng.random(seams) < options.pause_share
            pauses = with_pause * rng.random(seams) * options.max_pause
            own.append(WordString(f"{speaker}-string-{len(own):04d}",
                                  tuple(data.utterances[part] for part in parts),
                                  tuple(pauses.round(3).tolist())))
        strings += own
    return strings


def join_samples(parts: Sequence[np.ndarray], rate: int, pauses: Sequence[float], fade: float,
                 rng: np.random.Generator) -> np.ndarray:
    """Return recordings one after the other, with pauses between them.

    Parameters
    ----------
    parts : sequence of float32 (num_samples,)
        Not empty.
    rate : int
        Hertz.
    pauses : sequence of float
        Seconds after each part but the last.
    fade : float
        Seconds in which each part rises and falls, as half a cosine.

    Returns
    -------
    float32 (sum of parts and pauses,)
        Pauses are noise with level and spectrum of a soft stretch of the parts: of the softest
        ones, that of middle level.
    """
    stretches = [_softest(part, max(2, round(_SOFT * rate))) for part in parts]
    background = sorted(stretches, key=_power)[len(parts) // 2]
    pieces = []
    for part, pause in zip(parts, (*pauses, 0.0), strict=True):
        length = min(round(fade * rate), len(part) // 2)
        rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(length) + 0.5) / max(length, 1))
        envelope = np.concatenate([rise, np.ones(len(part) - 2 * length), rise[::-1]])
        pieces += [part * envelope, _noise_like(background, round(pause * rate), rng)]
    return np.concatenate(pieces).astype(np.float32)


def _softest(samples: np.ndarray, length: int) -> np.ndarray:
    """Return the softest `length` samples, their mean taken off: float64 (length,) or shorter."""
    windows = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64),
                                                       min(length, len(samples)))
    windows = windows[::max(1, length // 4)]
    return min((window - window.mean() for window in windows), key=_power)


def _power(samples: np.ndarray) -> float:
    return float(np.mean(samples**2))


def _noise_like(background: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return noise (count,) of a background's spectrum and power."""
    if not count:
        return np.zeros(0)
    # White noise through a filter has its spectrum, and the sum of its squares for power.
    white = rng.standard_normal(count + len(background) - 1)
    return fftconvolve(white, background, "valid") / np.sqrt(len(background))


def join_datadir(data: DataDir, destination: PathLike, options: JoinOptions, pool: Executor,
                 allow_pipes: bool = False, channel: str | int = "mix") -> DataDir:
    """Write strings of a set's recordings as a data directory of their own.

    Parameters
    ----------
    data : DataDir
        The set; each utterance is a part, but for strings that are in it.
    destination : path
        Gets ``wav/<string>.flac`` (16 bit, one channel, at the rate of the first part).
    pool : Executor
        From `hybridasr.parallel.executor`; the files are the same for any number of jobs.
    allow_pipes, channel
        As for `load_audio`.

    Returns
    -------
    DataDir
        The strings alone; with ``utt2parts``.

    Raises
    ------
    UserError
        if no speaker has enough recordings, one cannot be used, or `destination` holds them.
    """
    folder = wav_folder(data, Path(destination))
    strings = plan_strings(without_strings(data), options)
    if not strings:
        raise UserError(f"no speaker has {options.min_parts} recordings to join; give a smaller "
                        "min_parts", data.path)
    blocks = [(block, folder, options, allow_pipes, channel)
              for block in split_blocks(strings, _BLOCK)]
    for _ in run_blocks(pool, _make_files, blocks, "join"):
        pass
    return write_datadir(destination, [
        Utterance(one.utterance, one.parts[0].speaker, one.words, one.utterance,
                  str(folder / flac_name(one.utterance))) for one in strings],
        {PARTS: {one.utterance: " ".join(part.utterance for part in one.parts)
                 for one in strings}})


def strings_of_parts(data: DataDir) -> dict[str, str]:
    """Return the string of each recording that was joined; copies (``utt2uniq``) do not count."""
    unique = data.tables.get("utt2uniq", {})
    return {part: name for name, parts in _parts(data) if unique.get(name, name) == name
            for part in parts}


def without_strings(data: DataDir) -> DataDir:
    """Return a set without the strings in it."""
    strings = {name for name, _ in _parts(data)}
    return replace(data, utterances={name: one for name, one in data.utterances.items()
                                     if name not in strings})


def _parts(data: DataDir) -> Iterable[tuple[str, list[str]]]:
    for name, value in data.tables.get(PARTS, {}).items():
        parts = value.split()
        if len(parts) > 1:
            yield name, parts


def _make_files(strings: list[WordString], folder: Path, options: JoinOptions, allow_pipes: bool,
                channel: str | int) -> None:
    for one in strings:
        rate = audio_info(one.parts[0].wav, allow_pipes).sample_rate
        parts = [load_utterance(part, rate, channel, allow_pipes) for part in one.parts]
        rng = np.random.default_rng([options.seed, _crc(one.utterance)])
        write_flac(folder / flac_name(one.utterance),
                   join_samples(parts, rate, one.pauses, options.fade, rng), rate)


def _crc(key: str) -> int:
    # Python's own hash of a string differs from run to run.
    return zlib.crc32(key.encode(errors="surrogatepass"))
