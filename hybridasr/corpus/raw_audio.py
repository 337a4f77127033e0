"""Owns raw audio: bytes that are nothing but samples, without a header that says of what form."""

from dataclasses import dataclass
from typing import IO

import numpy as np

from hybridasr.corpus.recording import (
    HIGHEST_RATE,
    LOWEST_RATE,
    Source,
    contents_of,
    name_of,
)
from hybridasr.errors import DamagedFile, UserError
from hybridasr.progress import logger

FULL_SCALE = 32768.0
MOST_CHANNELS = 64
# What numpy reads, and how many of its values are full scale; 24 bits numpy does not know.
ENCODINGS = {"u8": ("u1", 128.0), "s8": ("i1", 128.0), "s16le": ("<i2", 32768.0),
             "s16be": (">i2", 32768.0), "s24le": ("3u1", 2.0**23), "s32le": ("<i4", 2.0**31),
             "s32be": (">i4", 2.0**31), "f32le": ("<f4", 1.0), "f64le": ("<f8", 1.0)}


@dataclass(frozen=True)
class RawFormat:
    """The form of raw audio.

    Attributes
    ----------
    encoding : str
        One of `ENCODINGS`: signed, unsigned or float, bits, little or big endian.
    rate : int
        Hertz.
    channels : int
        Samples of all channels come in turn.

    Examples
    --------
    >>> form = RawFormat.of("s16le:8000:2")
    >>> form.rate, form.channels, form.bytes
    (8000, 2, 4)
    >>> form.decode(bytes([1, 0, 255, 255])).tolist()
    [[1.0, -1.0]]
    """

    encoding: str
    rate: int
    channels: int = 1

    def __post_init__(self):
        if self.encoding not in ENCODINGS:
            raise UserError(f"raw audio of encoding '{self.encoding}'; give one of "
                            + ", ".join(ENCODINGS))
        if not LOWEST_RATE <= self.rate <= HIGHEST_RATE:
            raise UserError(f"raw audio of {self.rate} Hz; give {LOWEST_RATE} to {HIGHEST_RATE}")
        if not 1 <= self.channels <= MOST_CHANNELS:
            raise UserError(f"raw audio of {self.channels} channels; give 1 to {MOST_CHANNELS}")

    @classmethod
    def of(cls, form: "RawFormat | str") -> "RawFormat":
        """Read ENCODING:RATE[:CHANNELS], as s16le:16000:1."""
        if isinstance(form, RawFormat):
            return form
        encoding, *numbers = form.split(":")
        if not 1 <= len(numbers) <= 2 or not all(number.isdecimal() for number in numbers):
            raise UserError(f"raw audio '{form}'; give ENCODING:RATE:CHANNELS, such as "
                            "s16le:16000:1")
        return cls(encoding, *map(int, numbers))

    @property
    def bytes(self) -> int:
        """Of one sample of all channels."""
        return np.dtype(ENCODINGS[self.encoding][0]).itemsize * self.channels

    def decode(self, contents: bytes) -> np.ndarray:
        """Return whole samples, float32 (num_samples, channels) in 16-bit range.

        Raises
        ------
        UserError
            if one is not finite, or far beyond full scale.
        """
        kind, full_scale = ENCODINGS[self.encoding]
        values = np.frombuffer(contents, np.dtype(kind))
        if self.encoding == "s24le":
            # The three bytes above a zero byte, and the shift brings the sign along.
            wide = np.zeros((len(values), 4), np.uint8)
            wide[:, 1:] = values
            values = wide.view("<i4")[:, 0] >> 8
        samples = values.astype(np.float32) * np.float32(FULL_SCALE / full_scale)
        if self.encoding == "u8":
            samples -= np.float32(FULL_SCALE)
        if not (np.abs(samples) <= 4 * FULL_SCALE).all():
            bad = int(np.argmin(np.abs(samples) <= 4 * FULL_SCALE))
            raise UserError(f"sample {bad // self.channels} of the raw audio is {values[bad]}; "
                            "give finite samples from -1 to 1, or another encoding")
        return samples.reshape(-1, self.channels)


def read_raw(source: Source | bytes | bytearray | memoryview | IO[bytes],
             form: RawFormat) -> np.ndarray:
    """Read all of a raw recording, float32 (num_samples, channels) in 16-bit range.

    Parameters
    ----------
    source : path, ``-`` for the standard input, bytes, or binary file object

    Raises
    ------
    UserError
        if it cannot be read, holds no sample, or as from `RawFormat.decode`.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        contents, name = bytes(source), "raw audio"
    elif isinstance(source, np.ndarray | list | tuple):
        raise UserError("raw is for paths, bytes and file objects; samples in an array have a rate")
    else:
        contents, name = contents_of(source), name_of(source)
    whole = len(contents) // form.bytes * form.bytes
    if whole == 0:
        raise DamagedFile("has no samples; record it again", name)
    if whole < len(contents):
        logger.warning("%s: ends within a sample; its last %d bytes are left out", name,
                       len(contents) - whole)
    try:
        return form.decode(contents[:whole])
    except UserError as error:
        raise error.within(str(name)) from None
