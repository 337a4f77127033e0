"""Aligns Kaldi's reference utterances with Kaldi's own models, and compares with its alignments.

    tools/bench/bench_kaldi_align.py REFDIR [SYSTEM ...]

REFDIR holds a folder for each system (default: every kaldi_* in it) with ``final.mdl.txt.gz``,
``tree.txt``, ``L.fst`` and symbol tables, ``feats.ark``, ``text`` and ``forced_alignment.txt``.
Prints a table: frames, log likelihood a frame as gmm-align-compiled counts it (graph costs
included, over the acoustic scale), ours and Kaldi's, the share of frames with the same
transition-id, and seconds with one thread (graphs, likelihoods, search; reading and compiling
left out).
"""

import os

# ruff: noqa: E402 - threads are limited before numpy is imported.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import time
from pathlib import Path

import numpy as np

from hybridasr.decode.align import AlignmentGraph, AlignOptions, align
from hybridasr.features.archives import read_ark
from hybridasr.graph.training import TrainingGraphs, arc_costs
from hybridasr.kaldi.lang_text import read_kaldi_lang
from hybridasr.kaldi.model_text import read_model
from hybridasr.kaldi.tree_text import read_tree
from hybridasr.score.result_table import format_table

OPTIONS = AlignOptions()  # Kaldi's: beam 10, retry beam 40, scales 0.1, 1.0, 0.1
# What gmm-align-compiled reported for the reference systems.
KALDI = {"kaldi_tri1_dsp20": -93.477, "kaldi_tri1_words_zh": -87.786}


def measure(folder: Path) -> dict:
    """Align every utterance of one system; return a row of the table."""
    transitions, gmm = read_model(folder / "final.mdl.txt.gz")
    lang = read_kaldi_lang(folder)
    feats = dict(read_ark(folder / "feats.ark"))
    rows = [line.split() for line in (folder / "text").read_text(encoding="utf-8").splitlines()]
    reference = {fields[0]: np.array(fields[1:], np.int32) for fields in map(
        str.split, (folder / "forced_alignment.txt").read_text(encoding="utf-8").splitlines())}
    scorer, costs = gmm.scorer(), transitions.scaled_costs(OPTIONS.scales.transition_scale,
                                                           OPTIONS.scales.self_loop_scale)
    graphs = TrainingGraphs(lang, transitions, read_tree(folder / "tree.txt"))

    def aligned(name: str, words: list[str]):
        item = AlignmentGraph.of(graphs.build(tuple(lang.words[word] for word in words)),
                                 transitions)
        loglikes = scorer.loglikes(feats[name], item.pdfs)
        return align(item, arc_costs(item.graph, costs), loglikes, OPTIONS)

    aligned(rows[0][0], rows[0][1:])  # compile
    begun = time.perf_counter()
    paths = {name: aligned(name, words) for name, *words in rows}
    seconds = time.perf_counter() - begun
    found = {name: path for name, (path, _) in paths.items() if path is not None}
    frames = sum(len(path.transition_ids) for path in found.values())
    same = sum(int((path.transition_ids == reference[name]).sum()) for name, path in found.items())
    cost = sum(path.total_cost for path in found.values())
    return {"system": folder.name, "utterances": len(rows), "failed": len(rows) - len(found),
            "retried": sum(retried for _, retried in paths.values()), "frames": frames,
            "log likelihood": f"{-cost / OPTIONS.acoustic_scale / frames:.3f}",
            "Kaldi's": f"{KALDI[folder.name]:.3f}" if folder.name in KALDI else None,
            "same %": 100 * same / frames, "seconds": f"{seconds:.3f}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=Path, metavar="REFDIR")
    parser.add_argument("systems", nargs="*", metavar="SYSTEM")
    args = parser.parse_args()
    names = args.systems or sorted(path.name for path in args.reference.glob("kaldi_*"))
    print(format_table([measure(args.reference / name) for name in names]))


if __name__ == "__main__":
    main()
