"""Owns the options of the server: where it listens, who may come, and what a client may take."""

import hmac
import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hybridasr.errors import UserError
from hybridasr.options import option
from hybridasr.progress import logger

LOOPBACK = ("127.0.0.1", "::1", "localhost")
# The variable that names the folder in which several processes count together (prometheus_client).
SHARED_METRICS = "PROMETHEUS_MULTIPROC_DIR"
_LEAST_TOKEN = 16  # characters: a shorter one can be guessed over the network


@dataclass(frozen=True)
class ServeOptions:
    """Where the server listens, who may come, and what a client may take."""

    host: str = option("127.0.0.1", "address to listen at; 0.0.0.0 lets other machines in")
    port: int = option(2700, "port of page, HTTP and WebSockets; 0 chooses one")
    wyoming: str | None = option(None, "also speak Wyoming (Home Assistant) at this address, "
                                       "tcp://HOST:PORT or unix://PATH; it has neither token nor "
                                       "encryption")
    token_file: str | None = option(None, "file with a token that HTTP and WebSocket clients must "
                                          "have")
    tls_certificate: str | None = option(None, "PEM file of a certificate chain: https and wss",
                                         needs="tls_key")
    tls_key: str | None = option(None, "PEM file of its key", needs="tls_certificate")
    allow_origin: str | None = option(None, "web pages of these origins may use the server, too, "
                                            "such as https://home.example, with commas; * for all")
    sample_rate: int | None = option(None, "hertz of a client that does not say; none: the model's")
    max_connections: int = option(128, "clients at a time")
    max_message_kb: int = option(1024, "kilobytes of a message")
    max_file_mb: int = option(32, "megabytes of a file to recognise")
    max_seconds: float = option(3600.0, "seconds of audio of a client, or of a file")
    max_utterance: float = option(60.0, "seconds of what is recognised as one utterance: a file, "
                                        "and the audio of a Wyoming client")
    max_idle: float = option(60.0, "seconds that a client may be silent, or take to send a request "
                                   "or to read an answer")
    max_phrases: int = option(1000, "phrases in the command list of a client")
    processes: int = option(1, "processes that serve, each client by the one with the fewest; one "
                               "uses a processor and a half at most")
    threads: int | None = option(None, "threads of each process that recognise; none: as many as "
                                       "processors, shared among the processes")

    def __post_init__(self):
        for name in ("max_connections", "max_message_kb", "max_file_mb", "max_seconds",
                     "max_utterance", "max_idle", "max_phrases", "processes", "threads"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"{name.replace('_', '-')} is {value}; give a number above 0")
        if not 0 <= self.port < 1 << 16:
            raise UserError(f"port is {self.port}; give a number from 0 to 65535")
        if self.wyoming is not None:
            parse_address(self.wyoming)
        if self.processes > 1 and not hasattr(socket, "send_fds"):
            raise UserError("several processes need a system that hands connections from one to "
                            "another, such as Linux; leave out --processes")

    @property
    def threads_each(self) -> int:
        """Threads of each process that recognise."""
        return self.threads or max(1, (os.cpu_count() or 1) // self.processes)

    @property
    def origins(self) -> frozenset[str]:
        """Origins of other web pages that may use the server."""
        return frozenset(part.strip().rstrip("/") for part in (self.allow_origin or "").split(",")
                         if part.strip())


def parse_address(address: str) -> tuple[str, int] | Path:
    """Read tcp://HOST:PORT, or unix://PATH.

    >>> parse_address("tcp://127.0.0.1:10300")
    ('127.0.0.1', 10300)
    >>> parse_address("unix:///run/asr.sock").name
    'asr.sock'

    Raises
    ------
    UserError
        if it is neither.
    """
    try:
        parts = urlsplit(address)
        if parts.scheme == "tcp" and parts.hostname and parts.port is not None:
            return parts.hostname, parts.port
    except ValueError:  # a port that is no number
        parts = urlsplit("")
    if parts.scheme == "unix" and parts.path and not parts.netloc:
        return Path(parts.path)
    raise UserError(f"'{address}' is no address; give tcp://HOST:PORT, such as "
                    "tcp://127.0.0.1:10300, or unix:///PATH")


class Token:
    """A secret that clients must show; without a file there is none, and all may come.

    Raises
    ------
    UserError
        if the file cannot be read, or holds no token that is long enough.
    """

    def __init__(self, path: str | None):
        self._secret: bytes | None = None
        if path is None:
            return
        try:
            text = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot be read ({error}); write a token into it", path) from None
        if len(text) < _LEAST_TOKEN or len(text.split()) != 1 or not text.isascii():
            raise UserError(f"holds no token of {_LEAST_TOKEN} or more letters and digits; make "
                            "one, e.g. with 'openssl rand -hex 16'", path)
        self._secret = text.encode()

    @property
    def is_set(self) -> bool:
        """Whether clients need one."""
        return self._secret is not None

    def fits(self, header: str | None, query: str | None) -> bool:
        """Tell whether a client may come: by ``Authorization: Bearer ...``, or ``?token=...``.

        Browsers cannot give a header to a WebSocket.
        """
        if self._secret is None:
            return True
        kind, _, shown = (header or "").partition(" ")
        said = shown.strip() if kind.lower() == "bearer" else query or ""
        return hmac.compare_digest(said.encode("utf-8", "replace"), self._secret)


def tell_where(options: ServeOptions, listeners: Sequence[socket.socket]) -> None:
    """Tell where the server listens, HTTP first, and who may come that had better not."""
    several = f", {options.processes} processes" if options.processes > 1 else ""
    logger.info("listening at %s://%s:%d (page, HTTP, WebSockets)%s; Ctrl-C ends it",
                "https" if options.tls_certificate else "http", options.host,
                listeners[0].getsockname()[1], several)
    if options.host not in LOOPBACK and not Token(options.token_file).is_set:
        logger.warning("whoever reaches %s may use this server; --token-file lets in only "
                       "those who have a token", options.host)
    for place in listeners[1:]:
        name = place.getsockname()
        logger.info("listening at %s (Wyoming)", options.wyoming if isinstance(name, str) else
                    "tcp://{}:{}".format(*name[:2]))
        if not isinstance(name, str) and name[0] not in LOOPBACK:
            logger.warning("whoever reaches %s may use Wyoming there, which has no token", name[0])


def tls_context(options: ServeOptions) -> ssl.SSLContext | None:
    """Return the context of the certificate, if one is given.

    Raises
    ------
    UserError
        if certificate or key cannot be read, or do not fit.
    """
    if options.tls_certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(options.tls_certificate, options.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise UserError(f"certificate or key {options.tls_key} cannot be used "
                        f"({error.strerror or error}); give PEM files that belong together",
                        options.tls_certificate) from None
    return context
