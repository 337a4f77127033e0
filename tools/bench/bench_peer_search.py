"""Searches the same graph with the same scores as Kaldi's decoders, and compares costs and time.

    python tools/bench/bench_peer_search.py MODEL GRAPH DATA [--peer PYTHON] [--count 30]
        [--beam 13] [--max-active 7000] [--lattice-beam 6] [--lattices]

PYTHON is one in whose environment the wheels kaldi-decoder and kaldifst are installed (default:
this one). It runs in a process of its own, with FasterDecoder (best path) and, with --lattices,
with LatticeSimpleDecoder (raw lattice, no limit on living states: minutes a sentence in a large
graph); ours with `search` and `search_alternatives`. DATA has the model's features. Times are
processor time for each second of speech, without loading and scoring; costs are of the best path,
acoustic costs scaled.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

FST, SCORES = "graph.fst", "scores.npz"


def main() -> None:
    """Print one row a decoder."""
    if sys.argv[1:2] == ["--as-peer"]:
        peer(Path(sys.argv[2]), json.loads(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "graph", "data"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--peer", default=sys.executable)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--beam", type=float, default=13.0)
    parser.add_argument("--max-active", type=int, default=7000)
    parser.add_argument("--lattice-beam", type=float, default=6.0)
    parser.add_argument("--lattices", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = ours(args, Path(folder))
        options = {"beam": args.beam, "max_active": args.max_active,
                   "lattice_beam": args.lattice_beam, "lattices": args.lattices}
        done = subprocess.run([args.peer, __file__, "--as-peer", folder, json.dumps(options)],
                              check=True, stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "OMP_NUM_THREADS": "1"})
        rows += json.loads(done.stdout.splitlines()[-1])
    reference = np.array(rows[0]["costs"])
    print(f"{'decoder':32} {'RTF':>7} {'cost':>12} {'better':>7} {'worse':>6}")
    for row in rows:
        difference = np.array(row["costs"]) - reference
        close = 1e-3 * np.maximum(1.0, np.abs(reference) * 1e-2)
        print(f"{row['name']:32} {row['rtf']:7.4f} {sum(row['costs']):12.2f} "
              f"{int((difference < -close).sum()):7} {int((difference > close).sum()):6}")


def ours(args: argparse.Namespace, folder: Path) -> list[dict]:
    """Search with the project's own; leave graph and scores for the peer."""
    from hybridasr.batch.driver import SetBlocks
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.decode.search import SearchOptions, search, search_alternatives
    from hybridasr.graph.arrays import DecodingGraph
    from hybridasr.graph.openfst import fst_bytes
    from hybridasr.recognize.recognizer import load

    recognizer = load(args.model, SearchOptions(args.beam, args.max_active), args.graph)
    model, grammar, options = recognizer.model, recognizer.grammar, recognizer.options
    data, graph = read_datadir(args.data), grammar.graph
    scorer, scores = model.scorer(), []
    for block in SetBlocks.of(data, model.normalization(data, "none"), False):
        for _, frames in block.frames(model.features):
            if len(scores) < args.count:
                scores.append(scorer.loglikes(model.final_features(frames.features)))
        if len(scores) == args.count:
            break
    seconds = sum(map(len, scores)) * model.frame_shift
    # Kaldi's decoders read a column for each label, from 1.
    columns = DecodingGraph(graph.start, graph.arc_offsets, graph.eps_offsets, grammar.arc_pdfs + 1,
                            graph.olabel, graph.weight, graph.nextstate, graph.final)
    (folder / FST).write_bytes(fst_bytes(columns))
    np.savez(folder / SCORES, *((options.acoustic_scale * one).astype(np.float32)
                                for one in scores), seconds=seconds)
    rows = []
    for name, decode in (
            ("hybridasr search", lambda one: search(graph, grammar.arc_pdfs, one, options)),
            ("hybridasr with alternatives", lambda one: search_alternatives(
                graph, grammar.arc_pdfs, one, options, args.lattice_beam)[0])):
        decode(scores[0])  # compiles
        begin = time.process_time()
        paths = [decode(one) for one in scores]
        rows.append({"name": name, "rtf": (time.process_time() - begin) / seconds,
                     "costs": [path.total_cost for path in paths]})
    return rows


def peer(folder: Path, options: dict) -> None:
    """Search with kaldi-decoder; print the rows as JSON."""
    import kaldi_decoder
    import kaldifst

    graph = kaldifst.StdConstFst(kaldifst.StdVectorFst.read(str(folder / FST)))
    arrays = np.load(folder / SCORES)
    scores = [arrays[f"arr_{number}"] for number in range(len(arrays.files) - 1)]
    faster = kaldi_decoder.FasterDecoder(graph, kaldi_decoder.FasterDecoderOptions(
        beam=options["beam"], max_active=options["max_active"], min_active=200))
    lattice = kaldi_decoder.LatticeSimpleDecoder(graph, kaldi_decoder.LatticeSimpleDecoderConfig(
        beam=options["beam"], lattice_beam=options["lattice_beam"], determinize_lattice=False))
    rows = []
    decoders = [("kaldi FasterDecoder", faster)]
    if options["lattices"]:
        decoders.append(("kaldi LatticeSimpleDecoder", lattice))
    for name, decoder in decoders:
        costs = []
        begin = time.process_time()
        for one in scores:
            decoder.decode(kaldi_decoder.DecodableCtc(one))
            costs.append(path_cost(decoder.get_best_path()))
        rows.append({"name": name, "costs": costs,
                     "rtf": (time.process_time() - begin) / float(arrays["seconds"])})
    print(json.dumps(rows))


def path_cost(found) -> float:
    """Return graph and acoustic cost of a linear lattice."""
    import kaldifst

    # (it reached an end, path) from one decoder, the path from the other.
    path = found[1] if isinstance(found, tuple) else found
    linear, _, _, weight = kaldifst.get_linear_symbol_sequence(path)
    assert linear
    return weight.value1 + weight.value2


if __name__ == "__main__":
    main()
