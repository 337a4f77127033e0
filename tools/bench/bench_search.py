"""Times the search: whole utterances, and one in blocks of a frame.

    tools/bench/bench_search.py [--repeat N] [REF]

A random graph of 10,000 states, an utterance of 1000 frames; with REF also the graphs and features
of `bench_lattice`, a whole set as one round. Times are processor time, the fastest of N rounds.
To compare with another checkout, run both in turn with PYTHONPATH set. A checkout without blocks
prints whole utterances only. Set OPENBLAS_NUM_THREADS=1.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from hybridasr.decode import search as room
from hybridasr.decode.search import SearchOptions, search, search_alternatives
from hybridasr.features.archives import read_ark
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.graph.openfst import read_fst
from hybridasr.kaldi.model_text import read_model

STATES, ARCS, PDFS, FRAMES = 10_000, 30_000, 500, 1000
OPTIONS = SearchOptions(beam=13.0, max_active=7000, acoustic_scale=1 / 12)
LATTICE_BEAM = 6.0


def main() -> None:
    """Print milliseconds of each case."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("reference", type=Path, metavar="REF", nargs="?")
    args = parser.parse_args()
    run("random graph", *random_case(), args.repeat)
    for path in sorted(args.reference.glob("*/HCLG.fst")) if args.reference else []:
        transitions, gmm = read_model(path.parent / "final.mdl.txt.gz")
        graph, scorer = read_fst(path), gmm.scorer()
        run(path.parent.name, graph, transitions.tid_pdf[graph.ilabel],
            [scorer.loglikes(feats) for _, feats in read_ark(path.parent / "feats.ark")],
            args.repeat)


def random_case() -> tuple[DecodingGraph, np.ndarray, list[np.ndarray]]:
    """Return (graph, columns of its arcs, log likelihoods): a tenth of the arcs are epsilon."""
    rng = np.random.default_rng(0)
    ilabel = np.where(rng.random(ARCS) < 0.1, 0, rng.integers(1, PDFS + 1, ARCS))
    graph = DecodingGraph.from_arcs(
        0, rng.integers(0, STATES, ARCS), ilabel, rng.integers(0, 50, ARCS),
        4 * rng.random(ARCS), rng.integers(0, STATES, ARCS), np.zeros(STATES))
    return graph, (graph.ilabel - 1).astype(np.int32), [
        10 * rng.normal(size=(FRAMES, PDFS)).astype(np.float32)]


def run(name: str, graph: DecodingGraph, pdfs: np.ndarray, utterances: list[np.ndarray],
        repeat: int) -> None:
    """Time one graph and its utterances."""
    frames = sum(map(len, utterances))
    print(f"{name}: {graph.num_states} states, {graph.num_arcs} arcs, {frames} frames")
    ways = {"whole": lambda scores: search(graph, pdfs, scores, OPTIONS),
            "whole, with links": lambda scores: search_alternatives(graph, pdfs, scores, OPTIONS,
                                                                    LATTICE_BEAM)}
    if hasattr(room, "Search"):
        ways["frame by frame"] = lambda scores: in_frames(graph, pdfs, scores, None)
        ways["frame by frame, with links"] = lambda scores: in_frames(graph, pdfs, scores,
                                                                      LATTICE_BEAM)
        ways["frame by frame, with partial results"] = lambda scores: in_frames(
            graph, pdfs, scores, None, partial=True)
    for way, function in ways.items():
        seconds = fastest(repeat, utterances, function)
        print(f"  {way}: {1e3 * seconds:.2f} ms, {1e6 * seconds / frames:.1f} us a frame")


def in_frames(graph: DecodingGraph, pdfs: np.ndarray, scores: np.ndarray,
              lattice_beam: float | None, partial: bool = False) -> None:
    utterance = room.Search(graph, pdfs, OPTIONS, lattice_beam=lattice_beam)
    for frame in range(len(scores)):
        utterance.advance(scores[frame:frame + 1])
        if partial:
            utterance.partial()
            utterance.settled()
    utterance.finish()


def fastest(repeat: int, utterances: list[np.ndarray], function) -> float:
    """Return the seconds of the fastest round; the first call compiles."""
    function(utterances[0][:2])
    rounds = []
    for _ in range(repeat):
        begun = time.process_time()
        for scores in utterances:
            function(scores)
        rounds.append(time.process_time() - begun)
    return min(rounds)


if __name__ == "__main__":
    main()
