"""Owns the bounded buffer between the thread that captures audio and the one that recognises it.

Where audio comes faster than it is taken, the buffer fills; what comes then is lost until all that
is in it was taken. So a loss is one gap, told once, and not a hole after every second block.
"""

import threading
from collections import deque
from typing import Any, NamedTuple

from hybridasr.corpus.raw_audio import RawFormat

BUFFER_SECONDS = 10.0


class AudioBlock(NamedTuple):
    """A piece of audio: whole samples as bytes, their form, whether the device lost some before."""

    contents: bytes
    form: RawFormat
    overflow: bool = False

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.contents) / self.form.bytes / self.form.rate


class Notice(NamedTuple):
    """Something to be told about the audio, which in a ring buffer does not go on behind it.

    Attributes
    ----------
    kind : str
        lost, overflow, device, rate, fault or program.
    message : str
        One line.
    seconds : float
        Of the audio that is missing here, as far as it is known.
    blocks : int
        Lost ones.
    """

    kind: str
    message: str
    seconds: float = 0.0
    blocks: int = 0

    def event(self) -> dict[str, Any]:
        """Return it as an event.

        >>> Notice("device", "microphone 2 is gone").event()
        {'notice': 'device', 'message': 'microphone 2 is gone'}
        """
        event: dict[str, Any] = {"notice": self.kind, "message": self.message}
        return event | {"blocks": self.blocks} if self.blocks else event


class RingBuffer:
    """Blocks and notices in their order, from one thread to another.

    Parameters
    ----------
    limit : float
        Seconds of audio that it holds.
    waits : bool
        Whether `put` waits for room, as with a file, in place of losing the block.

    Attributes
    ----------
    error : Exception or None
        What ended the audio, if it was a fault.
    lost_blocks : int
        In all.
    """

    def __init__(self, limit: float = BUFFER_SECONDS, waits: bool = False):
        self._limit, self._waits = limit, waits
        self._items: deque[AudioBlock | Notice] = deque()
        self._seconds = 0.0  # in the blocks
        self._gap_blocks, self._gap_seconds = 0, 0.0
        self._closed = False
        self._changed = threading.Condition()
        self.error: Exception | None = None
        self.lost_blocks = 0

    def put(self, block: AudioBlock) -> None:
        """Append a block; without room it is lost, or waited for."""
        with self._changed:
            while self._waits and self._is_full(block) and not self._closed:
                self._changed.wait()
            if self._gap_blocks or self._is_full(block):
                self._gap_blocks += 1
                self._gap_seconds += block.seconds
                self.lost_blocks += 1
                return
            self._items.append(block)
            self._seconds += block.seconds
            self._changed.notify_all()

    def put_notice(self, notice: Notice) -> None:
        """Append a notice, for which there is always room."""
        with self._changed:
            self._items.append(notice)
            self._changed.notify_all()

    def take(self, timeout: float) -> AudioBlock | Notice | None:
        """Return the next block or notice; None if there was none for `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._gap_blocks or self._closed, timeout)
            if not self._items:
                return self._gap() if self._gap_blocks else None
            item = self._items.popleft()
            if isinstance(item, AudioBlock):
                self._seconds -= item.seconds
                self._changed.notify_all()
            return item

    def close(self, error: Exception | None = None) -> None:
        """Say that nothing comes any more, and which fault was the reason; nobody waits then."""
        with self._changed:
            self._closed, self.error = True, self.error or error
            self._changed.notify_all()

    @property
    def ended(self) -> bool:
        """Whether all was taken and nothing comes any more."""
        with self._changed:
            return self._closed and not self._items and not self._gap_blocks

    def _is_full(self, block: AudioBlock) -> bool:
        # A single block always fits, however long it is.
        return bool(self._items) and self._seconds + block.seconds > self._limit

    def _gap(self) -> Notice:
        blocks, seconds = self._gap_blocks, self._gap_seconds
        self._gap_blocks, self._gap_seconds = 0, 0.0
        return Notice("lost", f"{blocks} blocks ({seconds:.1f} s) of audio are lost, "
                      f"{self.lost_blocks} in all: recognition is slower than the audio; give a "
                      "smaller model, --beam or command list", seconds, blocks)
