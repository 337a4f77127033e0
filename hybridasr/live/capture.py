"""Owns the capture thread, and capturing from files and the standard input.

A source of audio has ``capture(ring, stop)``: it puts blocks into the ring buffer until the audio
has ended or the event `stop` is set.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

from hybridasr.corpus.raw_audio import RawFormat
from hybridasr.corpus.recording import STDIN, open_recording
from hybridasr.errors import UserError
from hybridasr.live.ring_buffer import AudioBlock, RingBuffer
from hybridasr.storage import read_error

BLOCK_SECONDS = 0.05
JOIN_SECONDS = 2.0  # for a thread to end; one that waits for a pipe does not


class AudioSource(Protocol):
    """What audio comes from."""

    def capture(self, ring: RingBuffer, stop: threading.Event) -> None:
        """Put blocks into the ring buffer until the audio ends or `stop` is set."""


@contextmanager
def capturing(source: AudioSource, ring: RingBuffer, stop: threading.Event) -> Iterator[None]:
    """Capture in a thread of its own while the block runs; the end and faults close the buffer."""
    def work() -> None:
        try:
            source.capture(ring, stop)
        except Exception as error:  # raised by whoever takes the blocks
            ring.close(error)
        else:
            ring.close()

    thread = threading.Thread(target=work, name="capture", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        ring.close()
        thread.join(JOIN_SECONDS)


class RecordedAudio:
    """Audio from a file or the standard input.

    Parameters
    ----------
    path : str
        A recording that libsndfile reads, or ``-``.
    form : RawFormat, optional
        It is nothing but samples of this form. Only these are taken from a pipe as they come.
    real_time : bool
        Pace it by the clock, as a microphone would; otherwise it comes as fast as it is taken.
    """

    def __init__(self, path: str, form: RawFormat | None = None, real_time: bool = False):
        self._path, self._form, self._real_time = path, form, real_time

    def capture(self, ring: RingBuffer, stop: threading.Event) -> None:
        """Put the blocks of the recording into the ring buffer.

        Raises
        ------
        UserError
            if it cannot be read.
        """
        begun, seconds = time.monotonic(), 0.0
        for block in self._blocks():
            seconds += block.seconds
            # A block is there when its last sample is.
            if self._real_time:
                stop.wait(max(0.0, begun + seconds - time.monotonic()))
            if stop.is_set():
                return
            ring.put(block)

    def _blocks(self) -> Iterator[AudioBlock]:
        if self._form is not None:
            with _opened(self._path) as file:
                yield from _raw_blocks(file, self._form)
            return
        with open_recording(_standard_input() if self._path == STDIN else self._path) as sound:
            form = RawFormat("f32le", sound.samplerate, sound.channels)
            count = max(1, round(form.rate * BLOCK_SECONDS))
            while len(samples := sound.read(count, dtype="float32", always_2d=True)):
                yield AudioBlock(samples.astype("<f4").tobytes(), form)


def _raw_blocks(file: IO[bytes], form: RawFormat) -> Iterator[AudioBlock]:
    rest = b""  # of a sample that is not whole yet
    size = max(1, round(form.rate * BLOCK_SECONDS)) * form.bytes
    while contents := file.read(size):
        contents = rest + contents
        whole = len(contents) // form.bytes * form.bytes
        rest = contents[whole:]
        if whole:
            yield AudioBlock(contents[:whole], form)


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    if path == STDIN:
        yield _standard_input()
        return
    try:
        file = open(path, "rb", buffering=0)  # noqa: SIM115
    except FileNotFoundError:
        raise UserError("no such recording; check the path", path) from None
    except OSError as error:
        raise read_error(error, Path(path)) from None
    with file:
        yield file


def _standard_input() -> IO[bytes]:
    # Without the buffer, which waits until it is full, and must not be locked when Python ends.
    return getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)
