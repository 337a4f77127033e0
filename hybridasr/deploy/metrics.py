"""Owns what the server counts, for Prometheus: sessions, audio, results, waiting, refusals.

Several processes add theirs up in files (prometheus_client's multiprocess mode).
"""

import os
from typing import Any

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

from hybridasr.deploy.serve_options import SHARED_METRICS

_ANSWER_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)
ACCEPTED = "accepted"


class Metrics:
    """The figures of a server, of all its processes; each has a registry of its own.

    Attributes
    ----------
    sessions : Gauge
        Clients that are served now, by protocol.
    audio : Counter
        Seconds that were heard, by protocol.
    answers : Histogram
        Seconds from the last audio of a result, as it had come, to the result.
    refused : Counter
        Clients that were sent away, by reason.
    lost : Counter
        Clients that left in the middle of audio, by protocol.
    """

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
            registry.register(collector)
        self.sessions = Gauge("hybridasr_sessions_open", "Clients that are served now.",
                              ["protocol"], registry=registry, multiprocess_mode="livesum")
        self.audio = Counter("hybridasr_audio_seconds", "Seconds of audio that were heard.",
                             ["protocol"], registry=registry)
        self._results = Counter("hybridasr_results", "Results, by the reason of their rejection.",
                                ["reason"], registry=registry)
        self.answers = Histogram("hybridasr_answer_seconds", "Seconds from the last audio of a "
                                 "result, as it had come, to the result.", registry=registry,
                                 buckets=_ANSWER_SECONDS)
        self.refused = Counter("hybridasr_refused", "Clients that were sent away.", ["reason"],
                               registry=registry)
        self.lost = Counter("hybridasr_lost", "Clients that left in the middle of audio.",
                            ["protocol"], registry=registry)

    def count_result(self, result: dict[str, Any]) -> None:
        """Count the result of an utterance."""
        self._results.labels(result["reason"] or ACCEPTED).inc()

    def text(self) -> bytes:
        """Return all figures in the text form of Prometheus."""
        registry = self._registry
        if SHARED_METRICS in os.environ:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)
        return generate_latest(registry)
