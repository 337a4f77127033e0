"""Owns samples: a recording, or a part of it, at the wanted rate in one channel.

Samples are float32 in the 16-bit range; 16-bit files come out as their integers. Everything
soundfile reads is read: wav, flac, ogg, mp3 and more, of any number of channels. Files are worked
through by blocks: an hour takes the memory of its samples at the wanted rate.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile

from hybridasr.corpus.kaldi_files import Utterance
from hybridasr.corpus.raw_audio import FULL_SCALE
from hybridasr.corpus.recording import Source, is_pipe, name_of, open_recording
from hybridasr.corpus.resample import resample, resample_blocks
from hybridasr.errors import DamagedFile, UserError
from hybridasr.progress import logger
from hybridasr.storage import PathLike, atomic_path

__all__ = ["FULL_SCALE", "MAX_OVERSHOOT", "AudioInfo", "audio_info", "channel_index",
           "clipped_fraction", "is_pipe", "load_audio", "load_utterance", "mix_channels",
           "resample", "utterance_duration", "write_flac"]

LARGEST_PEAK = 4.0  # of full scale, that a mix of floats may overshoot to
# Seconds by which a segment may outlast its recording (cut times are rounded); Kaldi's figure.
MAX_OVERSHOOT = 0.5
# A mix with less than this part of the energy that unlike channels would leave: 20 dB below.
CANCELLED = 0.01
MOST_AT_ONCE = 1 << 26  # samples that memory is taken for at first: an hour and more
BLOCK = 1 << 18  # samples of each channel that are read at a time


@dataclass(frozen=True)
class AudioInfo:
    """What the header of a recording says: rate in hertz, frames are samples of each channel."""

    sample_rate: int
    channels: int
    frames: int
    format: str
    subtype: str

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate


def load_audio(source: Source, sample_rate: int, channel: str | int = "mix",
               allow_pipes: bool = False, start: float = 0.0, end: float | None = None,
               strict_rate: bool = False) -> np.ndarray:
    """Read a recording, or the part of it from `start` to `end`.

    Parameters
    ----------
    source : str, Path or binary file object
        A file, ``-`` for the standard input, or a shell command that ends in ``|`` and writes an
        audio file to its output. Pipes and devices are read whole.
    sample_rate : int
        Hertz wanted; other rates are resampled.
    channel : "mix", int, "A" or "B"
        The mean of all channels, or one of them (counted from 0; A is 0, B is 1).
    allow_pipes : bool
        Whether commands may be run.
    start, end : float
        Seconds; `end` None is the end of the recording.
    strict_rate : bool
        Refuse another rate instead of resampling.

    Returns
    -------
    float32 array (num_samples,)
        In 16-bit range (-32768..32767); num_samples > 0.

    Raises
    ------
    UserError
        if the file is missing, empty, damaged, not audio, without samples or not finite, if it
        has no such channel or part, or if a command is not allowed or fails.
    """
    name = name_of(source)
    with open_recording(source, allow_pipes) as sound:
        rate = sound.samplerate
        if strict_rate and rate != sample_rate:
            raise UserError(f"{rate} Hz, the model wants {sample_rate} Hz; convert it, or leave "
                            "out --strict-rate to have it resampled", name)
        if rate != sample_rate:
            _note_rate(str(name), rate, sample_rate)
        part = _Part(sound, *_part(sound.frames, rate, start, end, name), name)
        # The mixer is told the channel before a sample is read: a wrong one is an error at once.
        mixer = _Mixer(channel_index(channel, sound.channels, name), sound.channels)
        samples = part.samples(mixer, sample_rate)
        # The energies are known only now, after the whole part, so it is read a second time.
        if mixer.cancels:
            mixer = _Mixer(mixer.loudest(name), sound.channels)
            samples = part.samples(mixer, sample_rate)
    return samples


def load_utterance(utterance: Utterance, sample_rate: int, channel: str | int = "mix",
                   allow_pipes: bool = False, strict_rate: bool = False) -> np.ndarray:
    """Read the samples of one utterance; see `load_audio`."""
    _check_has_wav(utterance)
    return load_audio(utterance.wav, sample_rate, channel, allow_pipes, utterance.start,
                      utterance.end, strict_rate)


def audio_info(source: Source, allow_pipes: bool = False) -> AudioInfo:
    """Return rate, channels and length of a recording; errors as of `load_audio`."""
    with open_recording(source, allow_pipes) as sound:
        return AudioInfo(sound.samplerate, sound.channels, sound.frames, sound.format,
                         sound.subtype)


def utterance_duration(utterance: Utterance, allow_pipes: bool = False) -> float:
    """Return the length of an utterance in seconds; looks at the file only where it must."""
    if utterance.end is not None:
        # No file is opened here: a set has thousands of segments.
        return utterance.end - utterance.start
    _check_has_wav(utterance)
    return audio_info(utterance.wav, allow_pipes).seconds - utterance.start


def write_flac(path: Path, samples: np.ndarray, rate: int) -> None:
    """Write samples (num_samples,) in 16-bit range as FLAC, 16 bit, one channel.

    Raises
    ------
    UserError
        if the file cannot be written.
    """
    # int16 wraps around: a sample that rounds to 32768 would become -32768, a loud crackle.
    whole = np.clip(np.rint(samples), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    with atomic_path(path) as temporary:
        try:
            soundfile.write(temporary, whole, rate, format="FLAC", subtype="PCM_16")
        except soundfile.LibsndfileError as error:
            raise UserError(f"cannot be written ({error}); is the disk full? Free some space, "
                            "then run the same command again", path) from None


def mix_channels(samples: np.ndarray, channel: str | int = "mix",
                 source: PathLike = "array") -> np.ndarray:
    """Return one channel, or the mean of all.

    Channels that cancel in the mean, as where one is wired the other way round, would leave
    silence: then the louder one is taken, with a warning.

    Parameters
    ----------
    samples : float array (num_samples, channels)
    channel : "mix", int, "A" or "B"
        As for `load_audio`.
    source : path
        For the lines.

    >>> mix_channels(np.array([[1.0, 3.0], [0.0, -4.0]])).tolist()
    [2.0, -2.0]
    >>> mix_channels(np.array([[1.0, 3.0], [0.0, -4.0]]), channel=1).tolist()
    [3.0, -4.0]
    """
    mixer = _Mixer(channel_index(channel, samples.shape[1], source), samples.shape[1])
    mixed = mixer.mix(samples)
    return samples[:, mixer.loudest(source)] if mixer.cancels else mixed


def clipped_fraction(samples: np.ndarray) -> float:
    """Return the part of the samples (16-bit range) that are at full scale, 0 to 1.

    The loudest sample of a recording may touch full scale by right: a sample counts if its
    neighbour is at the same end of the scale too.

    >>> clipped_fraction(np.array([0, 32767, 32767, 5], np.float32))
    0.5
    """
    if len(samples) < 2:
        return 0.0
    count = 0
    # A clipped wave stays at full scale for more than one sample; a true peak touches it once.
    for at_end in (samples >= FULL_SCALE - 1.5, samples <= 1.5 - FULL_SCALE):
        pairs = at_end[:-1] & at_end[1:]
        count += np.count_nonzero(np.append(pairs, False) | np.append(False, pairs))
    return float(count / len(samples))


class _Mixer:
    """Takes one channel, or the mean of all, from block after block; knows if the mean cancels."""

    def __init__(self, column: int | None, channels: int):
        self.column = 0 if channels == 1 else column
        self._energies = np.zeros(channels)
        self._mix_energy = 0.0

    def mix(self, block: np.ndarray) -> np.ndarray:
        """Return (num_samples,) of (num_samples, channels)."""
        if self.column is not None:
            return block[:, self.column]
        mix = block.mean(axis=1)
        # float64: a sum of an hour of float32 squares would lose its last digits.
        self._energies += np.square(block, dtype=np.float64).sum(axis=0)
        self._mix_energy += np.square(mix, dtype=np.float64).sum()
        return mix

    @property
    def cancels(self) -> bool:
        """Whether little is left, as where a channel is wired the other way round."""
        # Of channels that have nothing to do with each other both sides would be equal.
        return bool(self._mix_energy * len(self._energies) ** 2
                    < CANCELLED * self._energies.sum())

    def loudest(self, source: PathLike) -> int:
        """Return the loudest channel, with a warning that it is used alone."""
        column = int(self._energies.argmax())
        logger.warning("%s: its channels cancel each other in the mix; channel %d alone is used "
                       "(--channel %d)", source, column, column)
        return column


@dataclass(frozen=True)
class _Part:
    """Frames [first, last) of an open recording."""

    sound: soundfile.SoundFile
    first: int
    last: int
    source: PathLike

    def samples(self, mixer: _Mixer, sample_rate: int) -> np.ndarray:
        """Return the samples of the part in 16-bit range at the wanted rate, float32 (number,)."""
        rate, count = self.sound.samplerate, self.last - self.first
        # One more than the length computed, because the resampler may round up.
        # What a header promises may be damaged: more is taken only as samples come.
        out = np.empty(min(math.ceil(count * sample_rate / rate) + 1, MOST_AT_ONCE), np.float32)
        size = 0
        for block in resample_blocks(self._scaled(mixer), rate, sample_rate):
            if size + len(block) > len(out):
                out = np.concatenate([out[:size], np.empty(size + len(block), np.float32)])
            out[size:size + len(block)] = block
            size += len(block)
        return self._within_range(out[:size])

    def _within_range(self, samples: np.ndarray) -> np.ndarray:
        """Bring floats that were written in another range than -1 to 1 into 16-bit range."""
        if self.sound.subtype not in ("FLOAT", "DOUBLE") or not len(samples):
            return samples
        peak = float(np.abs(samples).max()) / FULL_SCALE
        # A program that forgets to divide writes 16-bit values.
        if peak > 100:
            logger.warning("%s: its float samples reach %.0f, where 1 is full scale; they are "
                           "taken as 16-bit values", self.source, peak)
            return samples / np.float32(FULL_SCALE)
        if peak > LARGEST_PEAK:
            logger.warning("%s: its float samples reach %.3g, where 1 is full scale; they are "
                           "scaled down to it", self.source, peak)
            return samples / np.float32(peak)
        return samples

    def _scaled(self, mixer: _Mixer) -> Iterator[np.ndarray]:
        place = self.first
        for block in self._blocks():
            samples = mixer.mix(block) * np.float32(FULL_SCALE)
            if not np.isfinite(samples).all():
                bad = int(np.flatnonzero(~np.isfinite(samples))[0])
                raise DamagedFile(f"sample {place + bad} (at "
                                  f"{(place + bad) / self.sound.samplerate:.3f} s) is "
                                  f"{samples[bad]}; write the file again with finite samples",
                                  self.source)
            place += len(samples)
            yield samples

    def _blocks(self) -> Iterator[np.ndarray]:
        """Yield float32 (num_samples, channels); fewer in all if the file is cut short."""
        place = self.first
        try:
            # A file that cannot be sought fails here, as a damaged one does.
            self.sound.seek(place)
            while place < self.last:
                block = self.sound.read(min(BLOCK, self.last - place), dtype="float32",
                                        always_2d=True)
                # libsndfile says less than the header promised: the file is cut short.
                if not len(block):
                    break
                place += len(block)
                yield block
        except soundfile.LibsndfileError as error:
            reason = str(error.error_string).rstrip(".")
            raise DamagedFile(f"is damaged ({reason}); copy or convert it again",
                              self.source) from None
        if place == self.first:
            raise DamagedFile("is damaged: no samples can be read; copy or convert it again",
                              self.source)
        if place < self.last:
            logger.warning("%s: cut short: %d of %d samples can be read; these are used",
                           self.source, place - self.first, self.last - self.first)


def channel_index(channel: str | int, channels: int, source: PathLike) -> int | None:
    """Return the column of a channel, None for the mean of all; refuse one that is not there."""
    if channel == "mix":
        return None
    names = {"A": 0, "B": 1}
    text = str(channel)
    if text not in names and not text.isdecimal():
        raise UserError(f"channel '{channel}' is unknown; give mix, A, B or a number from 0")
    index = names[text] if text in names else int(text)
    if index >= channels:
        raise UserError(f"channel {channel} asked for, but the file has {channels}; "
                        f"give 0 to {channels - 1}, or mix", source)
    return index


def _part(frames: int, rate: int, start: float, end: float | None,
          source: PathLike) -> tuple[int, int]:
    """Return first and one-past-last frame of a part in seconds."""
    if frames <= 0:
        raise DamagedFile("has no samples, or its header is damaged; record it again, or take it "
                          "out of the set", source)
    length = frames / rate
    if not (0 <= start < length) or (end is not None and not end > start):
        shown = "the end" if end is None else f"{end:g}"
        raise UserError(f"the part from {start:g} to {shown} s is not in the recording of "
                        f"{length:.3f} s; mend segments", source)
    if end is not None and end > length + MAX_OVERSHOOT:
        raise UserError(f"the part ends at {end:g} s, the recording at {length:.3f} s; "
                        "mend segments", source)
    # A segment that begins within rounding of the end still has one sample.
    first = min(round(start * rate), frames - 1)
    last = frames if end is None else min(round(end * rate), frames)
    return first, max(last, first + 1)


def _check_has_wav(utterance: Utterance) -> None:
    if not utterance.wav:
        raise UserError(f"utterance '{utterance.utterance}' has no recording; add it to wav.scp")


@lru_cache(maxsize=1024)
def _note_rate(source: str, rate: int, wanted: int) -> None:
    """Log once for a file that it is resampled."""
    logger.debug("%s: %d Hz, resampled to %d Hz", source, rate, wanted)
