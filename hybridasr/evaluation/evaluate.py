"""Owns decoding and scoring of whole sets: from a model, a graph and a data directory to figures.

`decode_set` writes a decode directory as Kaldi users know it (``text``, ``ctm``, ``log``), and
`score_set` the word error rates beside it. `evaluate` does both for one row of results.json.
"""

import functools
import logging
import time
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hybridasr.corpus.datadir import DataDir
from hybridasr.corpus.kaldi_files import sort_key
from hybridasr.decode.search import SearchOptions
from hybridasr.errors import UserError
from hybridasr.features.pipeline import check_features, load_feats
from hybridasr.lexicon.langdir import Lang
from hybridasr.model.adaptation import AdaptOptions, decoding_blocks
from hybridasr.parallel import run_blocks
from hybridasr.recognize.recognizer import Recognizer, load
from hybridasr.score.wer import Scores, format_scores, score_texts, write_scores
from hybridasr.storage import read_json, read_text, write_json, write_text

logger = logging.getLogger("hybridasr")


@dataclass(frozen=True)
class Hypothesis:
    """What was recognised in one utterance; times in seconds."""

    utterance: str
    words: list[str]
    times: list[tuple[str, float, float]]
    complete: bool
    seconds: float  # of scoring and search
    duration: float  # of the speech


def decode_set(model: Path, graph: Path, data: DataDir, destination: Path, options: SearchOptions,
               pool: Executor, adapt: AdaptOptions | None = None) -> dict[str, list[str]]:
    """Decode every utterance of a set and write the decode directory.

    Writes ``text``, ``ctm``, ``summary.json`` (real-time factor) and ``log/decode.log``.

    Returns
    -------
    dict utterance -> words

    Raises
    ------
    UserError
        if the features are not those the model was trained with, or none can be decoded.
    """
    adapt = adapt or AdaptOptions()
    recognizer = load(model, options, graph, adapt)
    check_features(data.path, recognizer.model.features)
    features = data.tables.get("feats.scp", {})
    wanted = {u: item for u, item in data.utterances.items() if not features or u in features}
    blocks = decoding_blocks(replace(data, utterances=wanted), recognizer.adapts)
    calls = [(model, graph, options, adapt, block) for block in blocks]
    found: list[Hypothesis] = []
    for part in run_blocks(pool, _decode_block, calls, desc=f"decode {data.path.name}"):
        found += part
    found.sort(key=lambda item: sort_key(item.utterance))
    if not found:
        raise UserError("no utterance to decode has features; run make-feats", data.path)
    duration = sum(item.duration for item in found)
    rtf = sum(item.seconds for item in found) / max(duration, 1e-9)
    partial = [item.utterance for item in found if not item.complete]
    write_text(destination / "text", "".join(
        " ".join([item.utterance, *item.words]) + "\n" for item in found))
    write_text(destination / "ctm", "".join(
        f"{item.utterance} 1 {begin:.2f} {end - begin:.2f} {word}\n"
        for item in found for word, begin, end in item.times))
    write_json(destination / "summary.json", {
        "utterances": len(found), "hours": round(duration / 3600, 4), "rtf": round(rtf, 5),
        "partial": partial})
    if partial:
        logger.warning("%s: %d of %d utterances reached no final state; their partial results are "
                       "in text (listed in summary.json); a wider --beam may help", destination,
                       len(partial), len(found))
    return {item.utterance: item.words for item in found}


def score_set(data: DataDir, destination: Path,
              equivalent: dict[str, str] | None = None) -> Scores:
    """Score the ``text`` of a decode directory and write the figures beside it.

    Parameters
    ----------
    equivalent : dict word -> class, optional
        Words of one class count as right for each other (homophones).
    """
    hypotheses = {}
    for line in read_text(destination / "text").splitlines():
        utterance, *words = line.split(" ")
        hypotheses[utterance] = [word for word in words if word]
    reference = {u.utterance: list(u.words) for u in data.utterances.values()}
    speakers = {u.utterance: u.speaker for u in data.utterances.values()}
    scores = score_texts(reference, hypotheses, speakers, equivalent)
    write_scores(destination, scores)
    logger.debug("%s", format_scores(scores))
    return scores


def evaluate(model: Path, graph: Path, data: DataDir, destination: Path, options: SearchOptions,
             pool: Executor, equivalent: dict[str, str] | None = None,
             adapt: AdaptOptions | None = None) -> dict[str, Any]:
    """Decode and score a set; return its row of results.json."""
    decode_set(model, graph, data, destination, options, pool, adapt)
    scores = score_set(data, destination, equivalent)
    info = read_json(model / "model.json")["info"]
    grammar = read_json(graph / "graph.json")["grammar"] if (graph / "graph.json").is_file() else ""
    return {"system": model.name, "test_set": data.path.name, "grammar": grammar,
            **scores.figures(), "rtf": read_json(destination / "summary.json")["rtf"],
            "train_seconds": info.get("train_seconds")}


def homophone_classes(lang: Lang) -> dict[str, str]:
    """Return word -> its first pronunciation, for scores in which homophones count as right."""
    return {lang.word_name(word): " ".join(map(lang.phone_name, pronunciations[0][1]))
            for word, pronunciations in lang.pronunciations.items()}


def _decode_block(model: Path, graph: Path, options: SearchOptions, adapt: AdaptOptions,
                  data: DataDir) -> list[Hypothesis]:
    recognizer = _loaded(model, graph, options, adapt, _stamp(model, graph))
    shift = recognizer.model.features.frame_shift_ms / 1000
    loaded = list(load_feats(data, recognizer.model.pipeline))
    # A block is one speaker if the recogniser adapts.
    groups = [loaded] if recognizer.adapts else [[item] for item in loaded]
    results = []
    for group in groups:
        begun = time.perf_counter()
        decoded = recognizer.decode_speaker([feats for _, feats in group])
        seconds = (time.perf_counter() - begun) / len(group)
        results += [Hypothesis(utterance, item.words, item.times, item.complete, seconds,
                               len(feats) * shift)
                    for (utterance, feats), item in zip(group, decoded, strict=True)]
    return results


def _stamp(model: Path, graph: Path) -> tuple[int, int]:
    return ((model / "model.json").stat().st_mtime_ns, (graph / "graph.npz").stat().st_mtime_ns)


@functools.lru_cache(maxsize=2)
def _loaded(model: Path, graph: Path, options: SearchOptions, adapt: AdaptOptions,
            stamp: tuple[int, int]) -> Recognizer:
    del stamp  # part of the key: a model made anew under the same name is read anew
    recognizer = load(model, options, graph, adapt)
    # The first call compiles or loads the kernels: not part of the real-time factor.
    recognizer.warm_up()
    return recognizer
