"""Owns events of the Wyoming protocol as they come from strangers: bounded, and checked.

An event is a line of JSON, then as many bytes of JSON and of audio as the line says. The `wyoming`
package reads them without bounds, so that a line of forty bytes may ask for any memory.
"""

import asyncio
import json
from typing import Any

from wyoming.asr import Transcribe
from wyoming.audio import AudioChunk, AudioStart
from wyoming.event import Event
from wyoming.wake import Detect

from hybridasr.corpus.raw_audio import RawFormat
from hybridasr.errors import UserError

_ENCODINGS = {1: "u8", 2: "s16le", 3: "s24le", 4: "s32le"}
LONGEST_LINE = 1 << 16  # bytes of the line of an event


async def read_bounded_event(reader: asyncio.StreamReader, most: int) -> Event | None:
    """Read the next event; None where the client has ended.

    Parameters
    ----------
    reader : StreamReader
        With a limit of `LONGEST_LINE`.
    most : int
        Bytes of JSON and audio that an event may have.

    Raises
    ------
    UserError
        if it is no event, or too large.
    asyncio.IncompleteReadError
        if the client has left in the middle of it.
    """
    try:
        line = await reader.readline()
    except ValueError:
        raise UserError(f"a line of more than {LONGEST_LINE} bytes; send an event a line"
                        ) from None
    if not line:
        return None
    head = _object(line)
    kind, data = head.get("type"), head.get("data") or {}
    sizes = [head.get(name) or 0 for name in ("data_length", "payload_length")]
    if not isinstance(kind, str) or not isinstance(data, dict) or not all(
            isinstance(size, int) and size >= 0 for size in sizes):
        raise UserError("a line that is no event; send the events of the Wyoming protocol")
    if sum(sizes) > most:
        raise UserError(f"an event of {sum(sizes)} bytes, more than {most}; send audio in shorter "
                        "chunks")
    if sizes[0]:
        data = data | _object(await reader.readexactly(sizes[0]))
    return Event(kind, data, await reader.readexactly(sizes[1]) if sizes[1] else None)


def audio_format(event: Event) -> RawFormat:
    """Return the form of the audio of an event of `AudioStart` or `AudioChunk`.

    Raises
    ------
    UserError
        if the event does not tell it, or there is no such form.
    """
    values = [event.data.get(name) for name in ("rate", "width", "channels")]
    if not all(isinstance(value, int) for value in values):
        raise UserError(f"{event.type} without rate, width and channels; give them as numbers")
    rate, width, channels = (int(value) for value in values if value is not None)
    if width not in _ENCODINGS:
        raise UserError(f"samples of {width} bytes; give 1 to 4, such as 2")
    return RawFormat(_ENCODINGS[width], rate, channels)


def is_audio(event: Event) -> bool:
    """Tell whether an event begins or is audio."""
    return AudioStart.is_type(event.type) or AudioChunk.is_type(event.type)


def asked_task(event: Event) -> tuple[bool, frozenset[str]] | None:
    """Return what an event asks for: (wake words and no text, their names if some are given).

    None if it asks for neither.
    """
    if Transcribe.is_type(event.type):
        return False, frozenset()
    if not Detect.is_type(event.type):
        return None
    names = event.data.get("names") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError("names that are no list of texts; give the names of wake words")
    return True, frozenset(names)


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UserError("bytes that are no event; send the events of the Wyoming protocol, a line "
                        "of JSON each")
    return value
