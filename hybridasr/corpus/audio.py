"""Owns recordings: from a file (or a command in ``wav.scp``) to samples of the wanted rate.

Samples are float32 in the 16-bit range, one channel; 16-bit files come out as their integers.
Everything soundfile reads is read: wav, flac, ogg, mp3 and more, of any rate and any number of
channels. A recording that cannot be used is refused in one line with the file and the mend.
"""

import io
import math
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np
import soundfile

from hybridasr.corpus.kaldi_files import Utterance
from hybridasr.errors import UserError
from hybridasr.progress import logger
from hybridasr.storage import PathLike

FULL_SCALE = 32768.0
# Seconds by which a segment may outlast its recording (cut times are rounded); Kaldi's figure.
MAX_OVERSHOOT = 0.5
# Resampling: flat up to this part of the lower Nyquist frequency, then down by STOP_DB at 1.
PASS_BAND = 0.91
STOP_DB = 80.0
# A mix with less than this part of the energy that unlike channels would leave: 20 dB below.
CANCELLED = 0.01
# A RIFF data chunk of this size or more was written to a pipe: its length was not known.
_STREAMED = 0x7FFF0000


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


def is_pipe(source: str | Path) -> bool:
    """Return whether a ``wav.scp`` entry is a command (ends in ``|``)."""
    return isinstance(source, str) and source.rstrip().endswith("|")


def load_audio(source: str | Path | IO[bytes], sample_rate: int, channel: str | int = "mix",
               allow_pipes: bool = False, start: float = 0.0, end: float | None = None,
               strict_rate: bool = False) -> np.ndarray:
    """Read a recording, or the part of it from `start` to `end`.

    Parameters
    ----------
    source : str, Path or binary file object
        A file, or a shell command that ends in ``|`` and writes an audio file to its output.
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
    with _open(source, allow_pipes) as sound:
        source = _name_of(source)
        rate, encoding = sound.samplerate, sound.subtype
        if strict_rate and rate != sample_rate:
            raise UserError(f"{rate} Hz, the model wants {sample_rate} Hz; convert it, or leave "
                            "out --strict-rate to have it resampled", source)
        _channel_index(channel, sound.channels, source)
        first, last = _part(sound.frames, rate, start, end, source)
        samples = _read(sound, first, last, source)
    samples = mix_channels(samples, channel, source) * np.float32(FULL_SCALE)
    if not np.isfinite(samples).all():
        bad = int(np.flatnonzero(~np.isfinite(samples))[0])
        raise UserError(f"sample {first + bad} (at {(first + bad) / rate:.3f} s) is {samples[bad]};"
                        " write the file again with finite samples", source)
    if encoding in ("FLOAT", "DOUBLE") and np.abs(samples).max() > FULL_SCALE * 100:
        logger.warning("%s: its float samples reach %.0f, where 1 is full scale; if they are "
                       "16-bit values, write it again as 16-bit", source,
                       np.abs(samples).max() / FULL_SCALE)
    if rate != sample_rate:
        _note_rate(str(source), rate, sample_rate)
        samples = resample(samples, rate, sample_rate)
    return np.ascontiguousarray(samples, dtype=np.float32)


def load_utterance(utterance: Utterance, sample_rate: int, channel: str | int = "mix",
                   allow_pipes: bool = False, strict_rate: bool = False) -> np.ndarray:
    """Read the samples of one utterance; see `load_audio`."""
    _check_has_wav(utterance)
    return load_audio(utterance.wav, sample_rate, channel, allow_pipes, utterance.start,
                      utterance.end, strict_rate)


def audio_info(source: str | Path, allow_pipes: bool = False) -> AudioInfo:
    """Return rate, channels and length of a recording; `UserError` as for `load_audio`."""
    with _open(source, allow_pipes) as sound:
        return AudioInfo(sound.samplerate, sound.channels, sound.frames, sound.format,
                         sound.subtype)


def utterance_duration(utterance: Utterance, allow_pipes: bool = False) -> float:
    """Return the length of an utterance in seconds; looks at the file only where it must."""
    if utterance.end is not None:
        return utterance.end - utterance.start
    _check_has_wav(utterance)
    return audio_info(utterance.wav, allow_pipes).seconds - utterance.start


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

    Examples
    --------
    >>> mix_channels(np.array([[1.0, 3.0], [0.0, -4.0]])).tolist()
    [2.0, -2.0]
    >>> mix_channels(np.array([[1.0, 3.0], [0.0, -4.0]]), channel=1).tolist()
    [3.0, -4.0]
    """
    column = _channel_index(channel, samples.shape[1], source)
    if column is not None or samples.shape[1] == 1:
        return samples[:, column or 0]
    mix = samples.mean(axis=1)
    energies = np.square(samples, dtype=np.float64).sum(axis=0)
    # Of channels that have nothing to do with each other both sides would be equal.
    if np.square(mix, dtype=np.float64).sum() * len(energies) ** 2 < CANCELLED * energies.sum():
        loudest = int(energies.argmax())
        logger.warning("%s: its channels cancel each other in the mix; channel %d alone is used "
                       "(--channel %d)", source, loudest, loudest)
        return samples[:, loudest]
    return mix


def clipped_fraction(samples: np.ndarray) -> float:
    """Return the part of the samples (16-bit range) that are at full scale, 0 to 1.

    The loudest sample of a recording may touch full scale by right: a sample counts if its
    neighbour is at the same end of the scale too.
    """
    if len(samples) < 2:
        return 0.0
    count = 0
    for at_end in (samples >= FULL_SCALE - 1.5, samples <= 1.5 - FULL_SCALE):
        pairs = at_end[:-1] & at_end[1:]
        count += np.count_nonzero(np.append(pairs, False) | np.append(False, pairs))
    return float(count / len(samples))


def resample(samples: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Change the rate of a signal by a polyphase Kaiser-windowed filter.

    Parameters
    ----------
    samples : float32 array (num_samples,)
    rate, new_rate : int
        Hertz. Flat within 0.1 dB up to 0.91 of the lower Nyquist frequency; above that
        frequency, down by 80 dB.

    Returns
    -------
    float32 array (ceil(num_samples * new_rate / rate),)
    """
    # Odd rates without a common factor would need a filter of many millions of taps.
    ratio = Fraction(new_rate, rate).limit_denominator(20000)
    up, down = ratio.numerator, ratio.denominator
    if up == down:
        return samples
    from scipy.signal import resample_poly  # half of the start-up time, and rarely needed

    return resample_poly(samples, up, down, window=_low_pass(max(up, down))).astype(np.float32)


@lru_cache(maxsize=8)
def _low_pass(factor: int) -> np.ndarray:
    """Return a symmetric low-pass filter whose stop band begins at 1 / factor of Nyquist."""
    width = (1 - PASS_BAND) / factor
    # Kaiser's estimate of the order, made odd in length so that the delay is whole samples.
    order = (STOP_DB - 7.95) / (2.285 * math.pi * width)
    taps = 2 * math.ceil(order / 2) + 1
    from scipy.signal import firwin, kaiser_beta

    window = ("kaiser", kaiser_beta(STOP_DB))
    return firwin(taps, (1 + PASS_BAND) / 2 / factor, window=window)


@contextmanager
def _open(source: str | Path | IO[bytes], allow_pipes: bool) -> Iterator[soundfile.SoundFile]:
    """Open a recording; whatever is wrong becomes a `UserError` that names it."""
    if is_pipe(source):
        file: IO[bytes] | str | bytes = io.BytesIO(_run(str(source), allow_pipes))
        head, whole = _look_at(file, source)
    elif hasattr(source, "read"):
        contents = source.read()
        if not isinstance(contents, bytes):
            raise UserError("a file in text mode is no audio; open it in binary mode ('rb')")
        source, file = _name_of(source), io.BytesIO(contents)
        head, whole = _look_at(file, source)
    else:
        # As bytes, a name need not be UTF-8; Windows has no such names.
        file = os.fspath(source) if os.name == "nt" else os.fsencode(source)
        try:
            with open(source, "rb") as opened:
                head, whole = _look_at(opened, source)
        except OSError as error:
            raise _open_error(error, source) from None
    if whole is not None:
        file = io.BytesIO(whole)
    try:
        sound = soundfile.SoundFile(file)
    except (soundfile.LibsndfileError, TypeError, ValueError) as error:
        raise UserError(_why_unreadable(source, head, error), source) from None
    with sound:
        yield sound


def _name_of(source: str | Path | IO[bytes]) -> str | Path:
    """Return what error lines call a source."""
    return str(getattr(source, "name", "audio in memory")) if hasattr(source, "read") else source


def _look_at(file: IO[bytes], source: PathLike) -> tuple[bytes, bytes | None]:
    """Look for faults that libsndfile does not tell.

    Warns of a wav file that ends before its header says. Where the header of one was never
    finished (0 bytes of samples, but there are some), the second value is the mended contents.
    Returns the beginning of the file first.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(48)
    if size == 0:
        raise UserError("the file is empty (0 bytes); copy or record it again", source)
    position, end = 12, size
    if head[:4] not in (b"RIFF", b"RIFX") or head[8:12] != b"WAVE":
        end = 0
    order = "<" if head[:4] == b"RIFF" else ">"
    while position + 8 <= end:
        file.seek(position)
        name, length = struct.unpack(order + "4sI", file.read(8))
        position += 8
        if name != b"data":
            position += length + length % 2
            continue
        there = size - position
        if length == 0 and there > 0:
            file.seek(0)
            contents = file.read()
            sizes = [struct.pack(order + "I", min(n, _STREAMED)) for n in (size - 8, there)]
            return head, (contents[:4] + sizes[0] + contents[8:position - 4] + sizes[1]
                          + contents[position:])
        if 0 < there < length < _STREAMED:
            logger.warning("%s: cut short: the header promises %d bytes of samples, %d are "
                           "there; these are used", source, length, there)
        break
    file.seek(0)
    return head, None


def _open_error(error: OSError, path: str | Path) -> UserError:
    """Turn what the operating system says about a file into a line the user can act on."""
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return UserError("no such recording; check the path (relative paths count from the "
                         "current directory)", path)
    if isinstance(error, IsADirectoryError):
        return UserError("is a directory, not a recording; name a file in it", path)
    return UserError(f"cannot be read ({error.strerror}); check its permissions", path)


def _why_unreadable(source: str | Path, head: bytes, error: Exception) -> str:
    """Say in one line why libsndfile refused a file that begins with `head`."""
    if is_pipe(source):
        return "the command's output is not audio; make it write wav (sox ... -t wav -)"
    name = Path(source).name
    if head[:4] in (b"RIFF", b"RIFX", b"fLaC", b"OggS"):
        return "its audio header is damaged; copy or record it again"
    text = head.decode("utf-8", "ignore")
    if text.split() and all(c.isprintable() or c.isspace() for c in text):
        return f"is a text file, not audio (it begins with '{text.split()[0]}'); check the path"
    if name.lower().endswith(".raw"):
        return "raw samples have no header; convert it, e.g. sox -r 16000 -b 16 -e signed -c 1"
    reason = str(getattr(error, "error_string", "") or error).rstrip(".").removeprefix("Error : ")
    return (f"not an audio file that can be read ({reason}); convert it, e.g. "
            f"ffmpeg -i '{name}' '{Path(name).stem}.flac'")


def _run(command: str, allow_pipes: bool) -> bytes:
    """Return what the command of a ``wav.scp`` entry writes."""
    if not allow_pipes:
        raise UserError("is a command, and commands are not run unless asked for; pass "
                        "--allow-pipes if you trust this wav.scp", command)
    bare = command.rstrip()[:-1].strip()
    done = subprocess.run(bare, shell=True, stdin=subprocess.DEVNULL, capture_output=True,
                          check=False)
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise UserError(f"the command failed with status {done.returncode} "
                        f"({lines[-1].strip() if lines else 'no message'}); mend it in wav.scp",
                        command)
    if not done.stdout:
        raise UserError("the command wrote nothing; make it write wav to its output", command)
    return done.stdout


def _channel_index(channel: str | int, channels: int, source: PathLike) -> int | None:
    """Return the column of a channel, None for the mean of all."""
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
        raise UserError("has no samples, or its header is damaged; record it again, or take it out "
                        "of the set", source)
    length = frames / rate
    if not (0 <= start < length) or (end is not None and not end > start):
        shown = "the end" if end is None else f"{end:g}"
        raise UserError(f"the part from {start:g} to {shown} s is not in the recording of "
                        f"{length:.3f} s; mend segments", source)
    if end is not None and end > length + MAX_OVERSHOOT:
        raise UserError(f"the part ends at {end:g} s, the recording at {length:.3f} s; "
                        "mend segments", source)
    first = min(round(start * rate), frames - 1)
    last = frames if end is None else min(round(end * rate), frames)
    return first, max(last, first + 1)


def _read(sound: soundfile.SoundFile, first: int, last: int, source: PathLike) -> np.ndarray:
    """Read frames [first, last) as float32 (frames, channels); fewer if the file is cut short."""
    try:
        if first:
            sound.seek(first)
        samples = sound.read(last - first, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        reason = str(error.error_string).rstrip(".")
        raise UserError(f"is damaged ({reason}); copy or convert it again", source) from None
    if len(samples) == 0:
        raise UserError("is damaged: no samples can be read; copy or convert it again", source)
    if len(samples) < last - first:
        logger.warning("%s: cut short: %d of %d samples can be read; these are used",
                       source, len(samples), last - first)
    return samples


def _check_has_wav(utterance: Utterance) -> None:
    if not utterance.wav:
        raise UserError(f"utterance '{utterance.utterance}' has no recording; add it to wav.scp")


@lru_cache(maxsize=1024)
def _note_rate(source: str, rate: int, wanted: int) -> None:
    """Log once for a file that it is resampled."""
    logger.debug("%s: %d Hz, resampled to %d Hz", source, rate, wanted)
