"""Owns microphones: their list, and capturing from one, also when it goes and comes back.

Through `sounddevice` (PortAudio), which the extra ``live`` installs; it is imported only here, when
a microphone is asked for.
"""

import sys
import threading
import time
from types import ModuleType
from typing import Any

from hybridasr.corpus.raw_audio import RawFormat
from hybridasr.errors import UserError, require_extra
from hybridasr.live.capture import BLOCK_SECONDS
from hybridasr.live.ring_buffer import AudioBlock, Notice, RingBuffer

RETRY_SECONDS = 1.0
# A device may go without a word: one that gives no block for so long counts as gone.
PATIENCE_SECONDS = 3.0
_ENCODING = "s16le" if sys.byteorder == "little" else "s16be"


def load_sounddevice() -> ModuleType:
    """Return the module `sounddevice`.

    Raises
    ------
    UserError
        if it, or the library PortAudio, is not installed.
    """
    require_extra("sounddevice", "live", "microphones")
    try:
        import sounddevice
    except OSError as error:  # its own library is there on Windows and macOS only
        raise UserError(f"sounddevice does not find PortAudio ({error}); install it, e.g. apt "
                        "install libportaudio2") from None
    return sounddevice


def device_lines() -> list[str]:
    """Return a line for each device that records; a star marks the default.

    Raises
    ------
    UserError
        if there is none, or as from `load_sounddevice`.
    """
    sounddevice = load_sounddevice()
    default = sounddevice.default.device[0]
    lines = [f"{'*' if number == default else ' '} {number:3d}  {device['name']}  "
             f"({device['max_input_channels']} channels, {device['default_samplerate']:.0f} Hz)"
             for number, device in enumerate(sounddevice.query_devices())
             if device["max_input_channels"] > 0]
    if not lines:
        raise UserError("no device that records; connect a microphone, or give --input FILE")
    return lines


class Microphone:
    """A microphone, one channel of 16 bits, at the wanted rate if it can, otherwise at its own.

    Parameters
    ----------
    device : str, optional
        Number or part of the name, as in `device_lines`; default: the system's.
    wanted : int
        Hertz.

    Raises
    ------
    UserError
        if there is no such device, or it does not record.
    """

    def __init__(self, device: str | None, wanted: int):
        self._sounddevice = load_sounddevice()
        self._device = int(device) if device is not None and device.isdecimal() else device
        self._wanted = wanted
        self._name = "the microphone" if device is None else f"microphone '{device}'"
        try:
            self._form = self._find_form()
        except (self._sounddevice.PortAudioError, ValueError) as error:
            raise UserError(f"{self._name} cannot be used ({_line_of(error)}); see hybridasr "
                            "listen --list-devices, and give --device") from None

    def capture(self, ring: RingBuffer, stop: threading.Event) -> None:
        """Put blocks into the ring buffer until `stop`; a device that goes is waited for."""
        while True:
            why = self._listen(ring, stop)
            if stop.is_set():
                return
            ring.put_notice(Notice("device", f"{self._name} is gone ({why}); trying again every "
                                   "second"))
            while not self._is_back():
                if stop.wait(RETRY_SECONDS):
                    return
            ring.put_notice(Notice("device", f"{self._name} is there again"))

    def _listen(self, ring: RingBuffer, stop: threading.Event) -> str:
        """Capture until `stop` or until the device is gone; return why."""
        form, ended = self._form, threading.Event()
        latest = time.monotonic()

        # In PortAudio's thread, which must not be held up: nothing but copying.
        def take(contents: Any, _frames: int, _time: Any, status: Any) -> None:
            nonlocal latest
            latest = time.monotonic()
            ring.put(AudioBlock(bytes(contents), form, bool(status.input_overflow)))

        try:
            with self._sounddevice.RawInputStream(
                    samplerate=form.rate, blocksize=round(form.rate * BLOCK_SECONDS),
                    device=self._device, channels=form.channels, dtype="int16", callback=take,
                    finished_callback=ended.set):
                while not stop.is_set() and not ended.wait(BLOCK_SECONDS):
                    if time.monotonic() - latest > PATIENCE_SECONDS:
                        return f"no audio for {PATIENCE_SECONDS:.0f} s"
        except (self._sounddevice.PortAudioError, ValueError) as error:
            return _line_of(error)
        return "it ended the stream"

    def _is_back(self) -> bool:
        try:
            # PortAudio lists the devices once; only so does it look again.
            self._sounddevice._terminate()
            self._sounddevice._initialize()
            self._form = self._find_form()
        except (self._sounddevice.PortAudioError, ValueError):
            return False
        return True

    def _find_form(self) -> RawFormat:
        own = self._sounddevice.query_devices(self._device, "input")["default_samplerate"]
        try:
            self._sounddevice.check_input_settings(
                device=self._device, channels=1, dtype="int16", samplerate=self._wanted)
        except self._sounddevice.PortAudioError:
            return RawFormat(_ENCODING, round(own))
        return RawFormat(_ENCODING, self._wanted)


def _line_of(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
