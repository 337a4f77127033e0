"""Owns what the server answers over HTTP: files to recognise, health, metrics, the page.

What the addresses answer stands in ``page/openapi.json``.
"""

import asyncio
import io
import json
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from importlib import resources
from typing import IO, Any

from aiohttp import web

from hybridasr import __version__
from hybridasr.corpus.recording import open_recording
from hybridasr.deploy.client_messages import error_message
from hybridasr.deploy.event_client import EventClient
from hybridasr.deploy.serve_options import ServeOptions, Token
from hybridasr.deploy.vosk_client import VoskClient
from hybridasr.deploy.websocket import WebSocketTalk
from hybridasr.deploy.workers import PIECE_SECONDS, Idle, TooMany, Workers
from hybridasr.errors import UserError
from hybridasr.recognize.graph_grammar import NoGrammar
from hybridasr.recognize.recognizer import Recognizer
from hybridasr.vosk import Model

_PROTOCOL = "http"
_PAGE = "page"  # folder of the page's files in this package
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript",
          ".json": "application/json", ".svg": "image/svg+xml"}
# Nothing from elsewhere, nothing inline; blob: is the recording that a page plays.
_HEADERS = {"Content-Security-Policy": "default-src 'self'; connect-src 'self' ws: wss:; "
            "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
            "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache"}
_IN_MEMORY = 1 << 18  # bytes of a file that are not put on disk while it comes
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class TooLarge(UserError):
    """A file has more bytes or seconds than the server takes."""


class HttpService:
    """The routes, and what they share."""

    def __init__(self, model: Model, workers: Workers, options: ServeOptions, token: Token):
        self._model, self._workers, self._options = model, workers, options
        self._token = token
        self._files = asyncio.Semaphore(2)  # recordings whose bytes are in memory

    def application(self) -> web.Application:
        """Return the application of aiohttp."""
        app = web.Application(middlewares=[self._guard],
                              client_max_size=self._options.max_file_mb << 20)
        app.router.add_get("/", self._root)
        app.router.add_get("/events", self._events)
        app.router.add_post("/recognize", self._recognize)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/openapi.json", self._openapi)
        for name, contents in page_files().items():
            app.router.add_get(f"/{name}", _file_handler(name, contents))
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Answer, and drop a client that does not read the answer."""
        response = await self._answer(request, handler)
        if isinstance(response, web.Response):
            try:
                await self._workers.within(_sent(request, response), "reading of answers")
            except Idle:
                if request.transport is not None:
                    request.transport.abort()
        return response

    async def _answer(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Refuse strangers, and pages of other origins; turn errors into JSON."""
        try:
            if not self._is_own_page(request):
                self._workers.metrics.refused.labels("origin").inc()
                return _refusal(403, "a page of another origin; start the server with "
                                "--allow-origin")
            if not (_is_open(request) or self._token.fits(
                    request.headers.get("Authorization"), request.query.get("token"))):
                self._workers.metrics.refused.labels("token").inc()
                return _refusal(401, "no token, or another one; send Authorization: Bearer TOKEN",
                                **{"WWW-Authenticate": "Bearer"})
            return await handler(request)
        except web.HTTPRequestEntityTooLarge:
            return self._refused(413, f"a file of more than {self._options.max_file_mb} MB")
        except web.HTTPException as error:
            return _refusal(error.status, f"{request.method} {request.path[:80]}: {error.reason}; "
                            "see /openapi.json")

    def _is_own_page(self, request: web.Request) -> bool:
        origin = request.headers.get("Origin")
        own = {f"{scheme}://{request.host}" for scheme in ("http", "https")}
        return (origin is None or origin.rstrip("/") in own | self._options.origins
                or "*" in self._options.origins)

    async def _root(self, request: web.Request) -> web.StreamResponse:
        if not _is_websocket(request):
            return await _file_handler("index.html", page_files()["index.html"])(request)
        talk = WebSocketTalk("vosk", self._workers, self._options)
        return await talk.run(request, VoskClient(self._model, self._options, talk.count))

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if not _is_websocket(request):
            return _refusal(426, "nothing but a WebSocket; see /openapi.json")
        talk = WebSocketTalk("events", self._workers, self._options)
        return await talk.run(request, EventClient(self._model.recognizer, self._options,
                                                   talk.count))

    async def _recognize(self, request: web.Request) -> web.StreamResponse:
        workers = self._workers
        try:
            with workers.admit(_PROTOCOL), tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
                cut, nbest = _asked(request)
                await workers.within(self._store(request, file), "end of the file")
                async with self._files:
                    return web.json_response(await self._result(file, cut, nbest),
                                             dumps=_json)
        except TooMany as error:
            return _refusal(503, str(error), **{"Retry-After": "1"})
        except Idle as error:
            return self._refused(408, str(error))
        except TooLarge as error:
            return self._refused(413, str(error))
        except UserError as error:
            return self._refused(400, error)

    async def _store(self, request: web.Request, file: IO[bytes]) -> None:
        """Take the body: on disk, so that slow senders of large files cost no memory."""
        most = self._options.max_file_mb << 20
        if request.content_type.startswith("multipart/"):
            raise UserError("a form; send the recording itself as the body, as curl "
                            "--data-binary @FILE does")
        async for block in request.content.iter_chunked(1 << 16):
            file.write(block)
            if file.tell() > most:
                raise TooLarge(f"a file of more than {self._options.max_file_mb} MB")
        file.seek(0)

    async def _result(self, file: IO[bytes], cut: bool, nbest: int | None) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        recording = _Recording(await self._workers.run(file.read))
        steps = _steps(recording, self._model.recognizer, cut, nbest, self._options)
        events, begun = [], loop.time()
        while (step := await self._workers.run(next, steps, None)) is not None:
            seconds, new = step
            self._workers.metrics.audio.labels(_PROTOCOL).inc(seconds)
            events, begun = events + new, begun if new else loop.time()
        for event in events:
            self._workers.metrics.count_result(event)
        self._workers.metrics.answers.observe(loop.time() - begun)
        return {"results": events} if cut else events[-1]

    async def _health(self, _request: web.Request) -> web.Response:
        ending, recognizer = self._workers.ending.is_set(), self._model.recognizer
        return web.json_response(
            {"status": "ending" if ending else "ok", "version": __version__,
             "sample_rate": recognizer.model.features.sample_rate,
             "commands": len(recognizer.commands)}, status=503 if ending else 200)

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._workers.metrics.text(), headers={
            "Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def _openapi(self, _request: web.Request) -> web.Response:
        return web.json_response(openapi_description(), dumps=_json)

    def _refused(self, status: int, error: UserError | str) -> web.Response:
        self._workers.metrics.refused.labels("file").inc()
        return _refusal(status, error)


class _Recording(io.BytesIO):
    """The bytes of a file, under a name for error lines."""

    name = "the recording"


def page_files() -> dict[str, bytes]:
    """Return the files of the page by name."""
    folder = resources.files("hybridasr.deploy") / _PAGE
    return {path.name: path.read_bytes() for path in folder.iterdir()
            if any(path.name.endswith(suffix) for suffix in _KINDS)
            and path.name != "openapi.json"}


def openapi_description() -> dict[str, Any]:
    """Return the description of the routes (OpenAPI 3.1)."""
    folder = resources.files("hybridasr.deploy") / _PAGE
    description = json.loads((folder / "openapi.json").read_text(encoding="utf-8"))
    description["info"]["version"] = __version__
    return description


def _steps(recording: IO[bytes], recognizer: Recognizer, cut: bool, nbest: int | None,
           options: ServeOptions) -> Iterator[tuple[float, list[dict[str, Any]]]]:
    """Recognise a recording piece by piece: seconds of each, and the results that ended there."""
    if isinstance(recognizer.grammar, NoGrammar):
        raise UserError("no commands here, and no graph; start the server with --commands FILE")
    most, seconds = options.max_seconds if cut else options.max_utterance, 0.0
    with open_recording(recording) as sound:
        session = recognizer.session(sound.samplerate, nbest=nbest, partials=False,
                                     endpoint="default" if cut else None)
        count = max(1, round(sound.samplerate * PIECE_SECONDS))
        while len(samples := sound.read(count, dtype="float32", always_2d=True)):
            seconds += len(samples) / sound.samplerate
            if seconds > most:
                raise TooLarge(f"more than {most:g} s of audio; " + (
                    "send it in parts" if cut else "send it to /recognize?utterances=true, which "
                    "cuts it where speech ends"))
            yield len(samples) / sound.samplerate, session.accept(samples)
        yield 0.0, session.finish()


def _asked(request: web.Request) -> tuple[bool, int | None]:
    """Return what a request asks for: (whether to cut into utterances, number of alternatives)."""
    odd = sorted(set(request.query) - {"utterances", "nbest", "token"})
    if odd:
        raise UserError(f"unknown parameter {odd[0][:40]}; there are utterances and nbest")
    cut, nbest = request.query.get("utterances", "false"), request.query.get("nbest")
    if cut not in ("true", "false"):
        raise UserError(f"utterances is {cut[:20]}; give true or false")
    if nbest is not None and not (nbest.isdecimal() and nbest.isascii() and len(nbest) < 4):
        raise UserError(f"nbest is {nbest[:20]}; give a number from 0 to 999")
    return cut == "true", None if nbest is None else int(nbest)


def _file_handler(name: str, contents: bytes) -> _Handler:
    kind = next(kind for suffix, kind in _KINDS.items() if name.endswith(suffix))

    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=contents, headers={"Content-Type": f"{kind}; charset=utf-8",
                                                    **_HEADERS})

    return handler


async def _sent(request: web.Request, response: web.Response) -> None:
    await response.prepare(request)
    await response.write_eof()


def _is_websocket(request: web.Request) -> bool:
    return web.WebSocketResponse().can_prepare(request).ok


def _is_open(request: web.Request) -> bool:
    """Tell whether a request needs no token: the page itself, the description, the health."""
    return (request.method == "GET" and not _is_websocket(request)
            and request.path not in ("/metrics", "/events"))


def _refusal(status: int, error: UserError | str, **headers: str) -> web.Response:
    shown = error if isinstance(error, UserError) else UserError(error)
    return web.Response(text=error_message(shown), status=status, headers=headers,
                        content_type="application/json")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
