"""Owns audio as programs have it: arrays, lists, bytes and files become samples in 16-bit range.

Whatever the form, the samples that come out are float32, one channel, -32768 to 32767, as the
features want them. What a number means is told by its type; where that leaves a doubt, by the
values; and where that is still no answer the audio is refused, since a wrong guess would be heard
as silence or as noise.
"""

import io
from pathlib import Path
from typing import IO, Any

import numpy as np

from hybridasr.corpus.audio import (
    FULL_SCALE,
    LARGEST_PEAK,
    channel_index,
    load_audio,
    mix_channels,
    resample,
)
from hybridasr.corpus.raw_audio import RawFormat, read_raw
from hybridasr.corpus.recording import HIGHEST_RATE, LOWEST_RATE
from hybridasr.errors import UserError
from hybridasr.progress import logger
from hybridasr.storage import PathLike

__all__ = ["Audio", "Chunker", "Piece", "PieceReader", "RawFormat", "read_samples",
           "to_16_bit_range"]

Piece = bytes | bytearray | memoryview | np.ndarray | list | tuple
Audio = PathLike | bytes | bytearray | memoryview | IO[bytes] | np.ndarray | list | tuple

# Floats up to this are taken for -1 to 1. Resampled audio may go a little beyond 1; a recording in
# 16-bit range that is so quiet has nothing but rounding in it.
LARGEST_UNIT_PEAK = 2.0
MOST_CHANNELS = 64


def read_samples(audio: Audio, rate: int | None, wanted: int, channel: str | int = "mix",
                 strict_rate: bool = False, raw: RawFormat | str | None = None) -> np.ndarray:
    """Return the samples of one recording.

    Parameters
    ----------
    audio : path, contents of an audio file, binary file object, or samples
        Samples are an array or a list, (num_samples,) or (num_samples, channels), at `rate`
        hertz; for what their values mean see `to_16_bit_range`.
    rate : int, optional
        Of samples; files know their own.
    wanted : int
        Hertz; files of another rate are resampled, samples must have it.
    channel : "mix" or channel number
        What to do with several channels.
    strict_rate : bool
        Refuse a file of another sampling rate instead of resampling it.
    raw : RawFormat or str, optional
        The path, bytes or file object holds nothing but samples of this form, such as
        "s16le:16000:1".

    Returns
    -------
    float32 (num_samples,) in 16-bit range

    Raises
    ------
    UserError
        if the audio cannot be read, is not finite, of no known form or range, or `rate` is not
        `wanted`.
    """
    if raw is not None:
        form = RawFormat.of(raw)
        if strict_rate and form.rate != wanted:
            raise UserError(f"raw audio of {form.rate} Hz, the model wants {wanted} Hz; convert "
                            "it, or leave out --strict-rate to have it resampled")
        samples = mix_channels(read_raw(audio, form), channel, "raw audio")
        return resample(samples, form.rate, wanted)
    if isinstance(audio, bytes | bytearray | memoryview):
        return load_audio(io.BytesIO(audio), wanted, channel, strict_rate=strict_rate)
    if isinstance(audio, str | Path):
        return load_audio(audio, wanted, channel, strict_rate=strict_rate)
    if hasattr(audio, "read"):
        return load_audio(audio, wanted, channel, strict_rate=strict_rate)
    array = _as_array(audio)
    if rate is None:
        raise UserError(f"samples without a rate; give rate={wanted}, which the model wants")
    if rate != wanted:
        raise UserError(f"array of {rate} Hz, the model wants {wanted} Hz; resample it")
    return mix_channels(to_16_bit_range(_in_columns(array)), channel, "array")


class PieceReader:
    """Turns the pieces of a stream into samples of one channel, float32 in 16-bit range.

    Parameters
    ----------
    rate : int, optional
        Hertz; default: that of `raw`, or `wanted`.
    wanted : int
        The model's, for the default.
    full_scale, channel, raw
        As for `recognize.session.Session`.

    Attributes
    ----------
    rate : int
    """

    def __init__(self, rate: int | None, wanted: int, full_scale: float,
                 channel: str | int = "mix", raw: RawFormat | str | None = None):
        form = None if raw is None else RawFormat.of(raw)
        if form is not None and rate not in (None, form.rate):
            raise UserError(f"a stream of {rate} Hz whose bytes are of {form.rate} Hz; leave the "
                            "rate out")
        self.rate = form.rate if form else wanted if rate is None else rate
        if not isinstance(self.rate, int | np.integer) or not (
                LOWEST_RATE <= self.rate <= HIGHEST_RATE):
            raise UserError(f"a stream of {self.rate} Hz; give a whole number from {LOWEST_RATE} "
                            f"to {HIGHEST_RATE}")
        self._form = form or RawFormat("s16le", int(self.rate), 1)
        self._full_scale, self._channel = full_scale, channel
        self._rest = b""  # of a sample that is not whole yet

    def read(self, piece: Piece, rate: int | None = None) -> np.ndarray:
        """Return the samples of the next piece, float32 (num_samples,); nothing of a faulty one.

        Raises
        ------
        UserError
            if the piece is not finite, of no known form or range, or `rate` is another.
        """
        if rate is not None and rate != self.rate:
            raise UserError(f"a piece of {rate} Hz in a stream of {self.rate} Hz; begin another "
                            "session for it")
        if isinstance(piece, bytes | bytearray | memoryview):
            contents = self._rest + bytes(piece)
            whole = len(contents) // self._form.bytes * self._form.bytes
            samples = self._form.decode(contents[:whole])
            mixed = self._mixed(samples)
            self._rest = contents[whole:]
            return mixed
        array = _as_array(piece)
        if array.ndim == 2 and array.size == 0:
            return np.zeros(0, np.float32)
        return self._mixed(to_16_bit_range(_in_columns(array), self._full_scale))

    def _mixed(self, samples: np.ndarray) -> np.ndarray:
        # Whether channels cancel each other cannot be told from one piece: the mean is the mean.
        column = channel_index(self._channel, samples.shape[1], "stream")
        if column is None and samples.shape[1] > 1:
            return samples.mean(axis=1, dtype=np.float32)
        return samples[:, column or 0]


class Chunker:
    """Cuts samples that come in pieces of any size into chunks of one size.

    >>> chunker = Chunker(2)
    >>> [chunk.tolist() for chunk in chunker.accept(np.arange(5, dtype=np.float32))]
    [[0.0, 1.0], [2.0, 3.0]]
    >>> chunker.finish().tolist()
    [4.0]
    """

    def __init__(self, size: int):
        self._size = size
        self._pieces: list[np.ndarray] = []
        self._waiting = 0  # samples in the pieces

    def accept(self, samples: np.ndarray) -> np.ndarray:
        """Take the next samples; return the chunks that are whole, float32 (chunks, size)."""
        self._pieces.append(samples)
        self._waiting += len(samples)
        if self._waiting < self._size:
            return np.zeros((0, self._size), np.float32)
        joined = np.concatenate(self._pieces)
        whole = len(joined) // self._size * self._size
        self._pieces, self._waiting = [joined[whole:]], len(joined) - whole
        return joined[:whole].reshape(-1, self._size)

    def finish(self) -> np.ndarray:
        """Return the samples that fill no chunk, float32 (num_samples,)."""
        rest = np.concatenate([np.zeros(0, np.float32), *self._pieces])
        self._pieces, self._waiting = [], 0
        return rest


def to_16_bit_range(samples: np.ndarray, full_scale: float | None = None) -> np.ndarray:
    """Scale samples to the 16-bit range by their type and, where there is a doubt, their values.

    int16 stays as it is. int8, int32 and unsigned types are scaled by their own full scale;
    int32 that stays within the 16-bit range, as where a program has widened int16, is taken as
    16-bit values, with a warning. int64, which no audio has, holds 16-bit values. Floats up to
    2 are taken for -1 to 1, unless all are whole numbers; larger ones for 16-bit values.

    Parameters
    ----------
    samples : array (num_samples,) or (num_samples, channels)
    full_scale : float, optional
        What floats have at full scale: 1 or 32768. None: decided by the values.

    Returns
    -------
    float32, of the same shape

    Raises
    ------
    UserError
        if a sample is not finite or beyond 4 times full scale, or the type is no number.

    Examples
    --------
    >>> to_16_bit_range(np.array([0, -32768, 16384], np.int16)).tolist()
    [0.0, -32768.0, 16384.0]
    >>> to_16_bit_range(np.array([0.0, -1.0, 0.5])).tolist()
    [0.0, -32768.0, 16384.0]
    >>> to_16_bit_range(np.array([0.0, -32768.0, 16384.0])).tolist()
    [0.0, -32768.0, 16384.0]
    >>> to_16_bit_range(np.array([128, 0, 192], np.uint8)).tolist()
    [0.0, -32768.0, 16384.0]
    """
    kind, size = samples.dtype.kind, samples.dtype.itemsize
    if kind not in "iuf":
        raise UserError(f"samples of type {samples.dtype}; give int16, or floats from -1 to 1")
    values = samples.astype(np.float64)
    if values.size == 0:
        return values.astype(np.float32)
    if not np.isfinite(values).all():
        place = tuple(np.argwhere(~np.isfinite(values))[0])
        raise UserError(f"sample {place[0]} is {values[place]}; give finite samples")
    if kind == "f":
        values *= FULL_SCALE / (full_scale or _full_scale_of(values))
    elif size < 8:
        # Unsigned samples are around the middle of their range.
        middle = 0.0 if kind == "i" else 2.0 ** (8 * size - 1)
        values = (values - middle) * (FULL_SCALE / 2.0 ** (8 * size - 1))
        # Of a stream, one piece says nothing of the others.
        reached = np.abs(samples.astype(np.int64)).max() if samples.dtype == np.int32 else 0
        if full_scale is None and 0 < reached <= FULL_SCALE:
            logger.warning("int32 samples reach only %d and are taken as 16-bit values; give "
                           "int16", np.abs(values).max() * 65536)
            values = samples.astype(np.float64)
    peak = np.abs(values).max()
    if peak > LARGEST_PEAK * FULL_SCALE:
        # In the range in which they were given.
        told = peak * ((full_scale or FULL_SCALE) / FULL_SCALE if kind == "f" else 1.0)
        raise UserError(f"samples reach {told:.6g}; give them as int16, from -32768 to 32767, or "
                        "as floats from -1 to 1")
    return values.astype(np.float32)


def _full_scale_of(values: np.ndarray) -> float:
    """Return what floats have at full scale."""
    whole = bool((values == np.round(values)).all())
    return 1.0 if not whole and np.abs(values).max() <= LARGEST_UNIT_PEAK else FULL_SCALE


def _as_array(audio: Any) -> np.ndarray:
    """Return an array or a list of numbers as an array."""
    if isinstance(audio, list | tuple):
        try:
            audio = np.array(audio)
        except ValueError:  # rows of different lengths
            raise UserError("the list is no list of samples; give numbers, or rows of one length"
                            ) from None
        if audio.dtype.kind not in "iuf":
            raise UserError(f"the list holds {audio.dtype}, not samples; give numbers")
    if not isinstance(audio, np.ndarray | np.generic):
        raise UserError(f"{type(audio).__name__} is no audio; give a path, the bytes of an audio "
                        "file, a file opened in binary mode, or an array of samples")
    return np.asarray(audio)


def _in_columns(array: np.ndarray) -> np.ndarray:
    """Return the array as (num_samples, channels); refuse other shapes."""
    columns = array[:, None] if array.ndim == 1 else array
    fit = columns.ndim == 2 and 1 <= columns.shape[1] <= MOST_CHANNELS
    if not fit or 0 < columns.shape[0] < columns.shape[1]:
        turned = "; turn it with array.T" if array.ndim == 2 and array.size else ""
        raise UserError(f"array of shape {array.shape}; give (samples,) or (samples, channels)"
                        f"{turned}")
    return columns
