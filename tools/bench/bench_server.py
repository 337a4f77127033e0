"""How many streams in real time a server holds, how soon their results come, what faults leave.

    python tools/bench/bench_server.py MODEL DATA [--commands FILE] [--streams 20 40 80]
    python tools/bench/bench_server.py MODEL DATA --processes 2 --threads 1
    python tools/bench/bench_server.py MODEL DATA --commands FILE --connections 20000
    python tools/bench/bench_server.py MODEL DATA --commands FILE --wyoming

DATA is a Kaldi data directory. A server is started, of one process or of several (`--processes`;
`--threads` of each). Each stream plays utterances of the directory in random order, with noise
between, in real time over a WebSocket, in messages of 0.1 s.
`late` is the time from the end of an utterance, as the result tells it, to the result: the rest of
its message, what the network looks ahead, the work and the waiting; `in_time` are those of up to
0.3 s. `right` are the utterances whose text, or whose rejection, is that of `recognize`.
`server_ms` and `player_ms` are milliseconds of a processor for a second of audio of one stream, in
the server and in this program, `processors` what both took.
With --connections, so many are opened and closed, half of them badly. With --wyoming, the client of
the wyoming package says every utterance of the directory to the server.
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from websockets.asyncio.client import connect

from hybridasr.corpus.datadir import read_datadir
from hybridasr.recognize.recognizer import Recognizer, load
from hybridasr.score.result_table import format_table

MESSAGE_SECONDS = 0.1
LATE = 0.3  # seconds that a result may be late
PAUSE = 1.2  # seconds between utterances
NOISE = 20.0  # its standard deviation, of 16-bit samples
UPGRADE = (b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")

# First bytes of whole messages; the last one of a client. The streams write their messages
# themselves: a library takes as much time for one as the server does.
TEXT, BINARY, EOF = 0x81, 0x82, b'{"eof" : 1}'


class Server:
    """The verb `serve`, with the processes that it makes."""

    def __init__(self, args: argparse.Namespace, *options: str):
        words = [sys.executable, "-m", "hybridasr", "serve", "--port", "0",
                 "--max-connections", "1000", "--processes", str(args.processes), *options,
                 str(args.model)]
        words += ["--threads", str(args.threads)] if args.threads else []
        words += ["--commands", str(args.commands)] if args.commands else []
        self._process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        self.address = listening_at(self._process)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.terminate()
        self._process.stderr.read()
        self._process.wait(60)

    @property
    def _places(self) -> list[Path]:
        own = Path(f"/proc/{self._process.pid}")
        forks = (own / f"task/{self._process.pid}/children").read_text().split()
        return [own, *(Path(f"/proc/{pid}") for pid in forks)]

    def seconds(self) -> float:
        """Seconds of processors so far."""
        fields = [(place / "stat").read_text().rpartition(")")[2].split() for place in self._places]
        return sum(int(each[11]) + int(each[12]) for each in fields) / os.sysconf("SC_CLK_TCK")

    def costs(self) -> dict[str, int]:
        """Megabytes resident, threads, open files."""
        statuses = [dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
                    for place in self._places]
        return {"resident_mb": sum(int(one["VmRSS"].split()[0]) for one in statuses) // 1024,
                "threads": sum(int(one["Threads"]) for one in statuses),
                "files": sum(len(os.listdir(place / "fd")) for place in self._places)}


def listening_at(process: subprocess.Popen) -> str:
    """Wait until a server listens; return its host and port."""
    seen = ""
    for line in process.stderr:
        seen += line
        if found := re.search(r"http://(\S+)", line):
            return found[1]
    raise SystemExit(seen)


class Utterance(NamedTuple):
    """A recording of the directory, and what is heard in it alone."""

    samples: np.ndarray
    text: str


class Heard(NamedTuple):
    """What a stream has heard: seconds that results were late, right ones, all that were said."""

    late: list[float]
    right: int
    said: int


def main() -> int:
    """Print a table; return 0, or 1 where an utterance was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commands", type=Path)
    parser.add_argument("--streams", type=int, nargs="+", default=[20, 40, 80])
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--threads", type=int, help="of each process (default: that of serve)")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--connections", type=int)
    parser.add_argument("--wyoming", action="store_true")
    parser.add_argument("--utterances", type=int, default=200, help="of the directory")
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    args = parser.parse_args()
    recognizer = load(args.model, commands=args.commands)
    rate = recognizer.model.features.sample_rate
    said = read_utterances(args, recognizer)
    print(f"{len(said)} utterances, load of the machine before: {os.getloadavg()[0]:.1f}",
          flush=True)
    if args.wyoming:
        return say_over_wyoming(args, said, rate)
    if args.connections:
        return open_and_close(args, said)
    rows = []
    for streams in args.streams:
        with Server(args) as server:
            rows.append(asyncio.run(play(server, said, rate, streams, args.seconds)))
        print(rows[-1], flush=True)
    print(format_table(rows))
    return int(any(row["right_%"] < 100 for row in rows))


def read_utterances(args: argparse.Namespace, recognizer: Recognizer) -> list[Utterance]:
    """Read utterances of the directory, drawn evenly, and recognise them."""
    utterances = [one for one in read_datadir(args.data).utterances.values()]
    step = max(1, len(utterances) // args.utterances)
    return [Utterance(soundfile.read(one.wav, dtype="int16")[0], text_of(recognizer.recognize(
        one.wav))) for one in utterances[::step][:args.utterances]]


def text_of(result: dict) -> str:
    """Return the text of a result, none where it is not accepted."""
    return result["text"] if result["accepted"] else ""


async def play(server: Server, said: list[Utterance], rate: int, streams: int,
               seconds: float) -> dict[str, object]:
    """Play streams at once; return their row."""
    # One alone first, so that nothing is compiled or loaded later.
    await stream(server.address, compose(said, rate, 0, 3.0), rate)
    played = [compose(said, rate, number, seconds) for number in range(streams)]
    before, begun, own = server.seconds(), time.monotonic(), time.process_time()
    heard = await asyncio.gather(*(stream(server.address, one, rate) for one in played))
    used, elapsed = server.seconds() - before, time.monotonic() - begun
    own = time.process_time() - own
    audio = sum(len(one.audio) for one in played) / (2 * rate)
    late = np.array([one for each in heard for one in each.late])
    return {"streams": streams, "results": len(late),
            "right_%": round(100 * sum(one.right for one in heard)
                             / max(1, sum(one.said for one in heard)), 2),
            "late_50": round(float(np.percentile(late, 50)), 3),
            "late_95": round(float(np.percentile(late, 95)), 3),
            "late_max": round(float(late.max()), 3),
            "in_time_%": round(100 * float(np.mean(late <= LATE)), 1),
            "server_ms": round(1000 * used / audio, 1), "player_ms": round(1000 * own / audio, 1),
            "processors": round((used + own) / elapsed, 2), **server.costs(),
            "load": round(os.getloadavg()[0], 1)}


class Played(NamedTuple):
    """What a stream plays: 16-bit samples, and texts with a time within each utterance."""

    audio: bytes
    texts: list[tuple[str, float]]
    begin: float  # seconds that it waits before


def compose(said: list[Utterance], rate: int, number: int, seconds: float) -> Played:
    """Put utterances and noise together, for so many seconds at least."""
    rng = np.random.default_rng(number)
    parts, texts, place = [], [], 0
    while place < seconds * rate:
        one = said[rng.integers(len(said))]
        noise = np.round(rng.normal(0, NOISE, int(PAUSE * rate))).astype(np.int16)
        parts += [one.samples, noise]
        texts.append((one.text, (place + len(one.samples) / 2) / rate))
        place += len(one.samples) + len(noise)
    # Streams begin at different times within a message.
    return Played(np.concatenate(parts).tobytes(), texts, 2 * rng.random())


async def stream(address: str, played: Played, rate: int) -> Heard:
    """Play it in real time; each result is compared with the utterance that it is of."""
    audio, size = played.audio, 2 * int(MESSAGE_SECONDS * rate)
    results: list[tuple[float, dict]] = []
    reader, writer = await asyncio.open_connection(*address.split(":"))
    writer.write(UPGRADE.replace(b"GET /", b"GET /events"))
    await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(played.begin)
    begun = time.monotonic()

    async def listen() -> None:
        while (message := await read_text(reader)) is not None:
            # Most messages say nothing new.
            if '"text"' in message:
                now = time.monotonic() - begun
                results.extend((now, event) for event in json.loads(message)["events"]
                               if "text" in event)

    listener = asyncio.create_task(listen())
    for count, begin in enumerate(range(0, len(audio), size), 1):
        await asyncio.sleep(max(0.0, begun + count * MESSAGE_SECONDS - time.monotonic()))
        message = audio[begin:begin + size]
        writer.write(message_head(BINARY, len(message)) + message)
    writer.write(message_head(TEXT, len(EOF)) + EOF)
    await listener
    writer.transport.abort()
    late = [now - event["end"] for now, event in results if event["end_reason"] != "finish"]
    right = sum(any(event["start"] <= middle < event["end"] and text_of(event) == text
                    for _, event in results) for text, middle in played.texts)
    return Heard(late, right, len(played.texts))


def message_head(kind: int, length: int) -> bytes:
    """Return what stands before a message of a client; a mask of zeros leaves the bytes alone."""
    size = bytes([0x80 | length]) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
    return bytes([kind]) + size + bytes(4)


async def read_text(reader: asyncio.StreamReader) -> str | None:
    """Return the next text of a server, None where it closes."""
    kind, size = await reader.readexactly(2)
    if size >= 126:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
    contents = await reader.readexactly(size)
    return contents.decode() if kind == TEXT else None


def say_over_wyoming(args: argparse.Namespace, said: list[Utterance], rate: int) -> int:
    """Say each utterance as Home Assistant does; return 1 if one has other words."""
    from wyoming.asr import Transcribe, Transcript
    from wyoming.audio import AudioChunk, AudioStart, AudioStop
    from wyoming.client import AsyncClient

    port = 10300

    async def run() -> tuple[int, list[float]]:
        right, late = 0, []
        for one in said:
            async with AsyncClient.from_uri(f"tcp://127.0.0.1:{port}") as client:
                form = {"rate": rate, "width": 2, "channels": 1}
                audio = one.samples.tobytes()
                await client.write_event(Transcribe(language="zh").event())
                await client.write_event(AudioStart(**form).event())
                for begin in range(0, len(audio), 2048):
                    await client.write_event(AudioChunk(audio=audio[begin:begin + 2048],
                                                        **form).event())
                await client.write_event(AudioStop().event())
                begun = time.monotonic()
                event = await client.read_event()
                late.append(time.monotonic() - begun)
                right += Transcript.from_event(event).text == one.text.replace(" ", "")
        return right, late

    with Server(args, "--wyoming", f"tcp://127.0.0.1:{port}"):
        right, late = asyncio.run(run())
    print(f"{right} of {len(said)} transcripts have the words of recognize; from the end of the "
          f"audio to the transcript, sent at once: median {np.median(late):.3f} s")
    return int(right < len(said))


def open_and_close(args: argparse.Namespace, said: list[Utterance]) -> int:
    """Open and close connections, every second one badly; print what is left of them."""
    audio = said[0].samples[:1600].tobytes()

    async def good(address: str) -> None:
        async with connect(f"ws://{address}", compression=None) as connection:
            await connection.send(audio)
            await connection.recv()
            await connection.send('{"eof" : 1}')
            await connection.recv()

    async def bad(address: str, kind: int) -> None:
        reader, writer = await asyncio.open_connection(*address.split(":"))
        if kind == 1:
            writer.write(os.urandom(200))
        elif kind == 2:
            writer.write(UPGRADE[:40])
        elif kind > 2:
            writer.write(UPGRADE)
            await reader.read(4096)
            # A whole message of audio, or the first part of one.
            writer.write(bytes([0x82, 0xFE, 0x0C, 0x80]) + bytes(4) + audio[:3200 if kind == 3
                                                                          else 100])
        writer.transport.abort()

    async def batch(address: str, numbers: range) -> None:
        for number in numbers:
            await (bad(address, number // 2 % 5) if number % 2 else good(address))

    async def run(address: str, count: int) -> None:
        await asyncio.gather(*(batch(address, range(begin, count, 8)) for begin in range(8)))
        await asyncio.sleep(12)  # what says nothing is dropped after ten seconds

    rows = []
    with Server(args) as server:
        # What the first tenth leaves is there for good; what the others add would be growth.
        for count in (args.connections // 10, *[args.connections * 3 // 10] * 3):
            begun = time.monotonic()
            asyncio.run(run(server.address, count))
            rows.append({"connections": count, "seconds": round(time.monotonic() - begun),
                         **server.costs()})
    print(format_table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
