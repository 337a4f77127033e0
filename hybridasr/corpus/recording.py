"""Owns the opening of recordings: files, pipes, commands of ``wav.scp``, what is already open.

A recording that libsndfile does not read, or whose header cannot be true, is refused in one line
with the file and the mend. A header that was never finished is mended here.
"""

import io
import os
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import soundfile

from hybridasr.errors import DamagedFile, UserError
from hybridasr.progress import logger
from hybridasr.storage import PathLike, read_error

Source = str | Path | IO[bytes]
STDIN = "-"
# Hertz of recordings of speech, and of the fastest converters. Others are damaged headers, and
# would be resampled to hours.
LOWEST_RATE, HIGHEST_RATE = 1000, 768_000
# Bytes taken from a pipe: nine hours of 16 bits at 16 kHz. A device may never end.
MOST_PIPED = 1 << 30
# A RIFF data chunk of this size or more was written to a pipe: its length was not known.
_STREAMED = 0x7FFF0000
# libsndfile's number of samples of a FLAC that was written to a pipe is larger than this.
_UNKNOWN = 1 << 48
_BLOCK = 1 << 20


class _Unmeasured(soundfile.SoundFile):
    """A file of unknown length, whose end is where no more samples come."""

    def seekable(self) -> bool:
        # soundfile would otherwise go to the sample behind each block, which at the end is none.
        return False

    @property
    def frames(self) -> int:
        """Samples of each channel, counted once."""
        if self._count is None:
            self._count = 0
            while block := len(self.read(_BLOCK, dtype="float32", always_2d=True)):
                self._count += block
            self.seek(0)
        return self._count

    _count: int | None = None


def is_pipe(source: Source) -> bool:
    """Return whether a ``wav.scp`` entry is a command (ends in ``|``).

    >>> is_pipe("sox a.wav -t wav - |"), is_pipe("a.wav")
    (True, False)
    """
    return isinstance(source, str) and source.rstrip().endswith("|")


@contextmanager
def open_recording(source: Source, allow_pipes: bool = False) -> Iterator[soundfile.SoundFile]:
    """Open a recording, ``-`` for the standard input, for the time of the block.

    Raises
    ------
    UserError
        if there is none, it may not be read, or a command is not allowed or fails.
    DamagedFile
        if it is not audio, is empty, or its rate cannot be.
    """
    name = name_of(source)
    file: IO[bytes] | str | bytes
    if is_pipe(source):
        file = io.BytesIO(_run(str(source), allow_pipes))
        head, mended = _look_at(file, name)
    elif (contents := _all_of(source, name)) is not None:
        file = io.BytesIO(contents)
        head, mended = _look_at(file, name)
    else:
        # As bytes, a name need not be UTF-8; Windows has no such names.
        file = os.fspath(source) if os.name == "nt" else os.fsencode(source)
        try:
            with open(source, "rb") as opened:
                head, mended = _look_at(opened, name)
        except (OSError, ValueError) as error:
            raise _open_error(error, name) from None
    file = file if mended is None else io.BytesIO(mended)
    try:
        sound = soundfile.SoundFile(file)
        if sound.frames > _UNKNOWN:
            sound.close()
            if isinstance(file, io.BytesIO):
                file.seek(0)
            sound = _Unmeasured(file)
    except (soundfile.LibsndfileError, TypeError, ValueError) as error:
        raise DamagedFile(_why_unreadable(name, head, error), name) from None
    with sound:
        if not LOWEST_RATE <= sound.samplerate <= HIGHEST_RATE:
            raise DamagedFile(f"its header says {sound.samplerate} Hz, recordings have "
                              f"{LOWEST_RATE} to {HIGHEST_RATE} Hz; copy or record it again", name)
        yield sound


def name_of(source: Source) -> str | Path:
    """Return what error lines call a source."""
    if source == STDIN:
        return "standard input"
    return str(getattr(source, "name", "audio in memory")) if hasattr(source, "read") else source


def contents_of(source: Source) -> bytes:
    """Return all bytes of a file, of the standard input (``-``) or of a binary file object.

    Raises
    ------
    UserError
        if there is none, it may not be read, or it has no end.
    """
    name = name_of(source)
    contents = _all_of(source, name)
    if contents is not None:
        return contents
    try:
        with open(source, "rb") as file:
            return _drain(file, name)
    except (OSError, ValueError) as error:
        raise _open_error(error, name) from None


def _all_of(source: Source, name: str | Path) -> bytes | None:
    """Return all that can be read once only, from the standard input or a pipe; None of a file."""
    if hasattr(source, "read"):
        return _drain(source, name)
    if source == STDIN:
        return _drain(sys.stdin.buffer, name)
    try:
        mode = os.stat(source).st_mode
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            return None
        with open(source, "rb") as file:
            return _drain(file, name)
    except (OSError, ValueError) as error:
        raise _open_error(error, name) from None


def _drain(file: IO[bytes], name: str | Path) -> bytes:
    contents = bytearray()
    while block := file.read(_BLOCK):
        if not isinstance(block, bytes):
            raise UserError("a file in text mode is no audio; open it in binary mode ('rb')")
        contents += block
        if len(contents) > MOST_PIPED:
            raise UserError(f"more than {MOST_PIPED >> 20} MB came and no end; write a file, and "
                            "recognise it in parts", name)
    return bytes(contents)


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
        raise DamagedFile("the file is empty (0 bytes); copy or record it again", source)
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


def _open_error(error: OSError | ValueError, path: str | Path) -> UserError:
    """Turn what the operating system says about a file into a line the user can act on."""
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return UserError("no such recording; check the path (relative paths count from the "
                         "current directory)", path)
    if isinstance(error, IsADirectoryError):
        return UserError("is a directory, not a recording; name a file in it", path)
    if isinstance(error, ValueError):
        return UserError("is no name of a file (it has a zero byte); mend it", repr(str(path)))
    return read_error(error, path)


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
    process = subprocess.run(bare, shell=True, stdin=subprocess.DEVNULL, capture_output=True,
                          check=False)
    if process.returncode != 0:
        lines = process.stderr.decode("utf-8", "replace").strip().splitlines()
        raise UserError(f"the command failed with status {process.returncode} "
                        f"({lines[-1].strip() if lines else 'no message'}); mend it in wav.scp",
                        command)
    if not process.stdout:
        raise UserError("the command wrote nothing; make it write wav to its output", command)
    return process.stdout
