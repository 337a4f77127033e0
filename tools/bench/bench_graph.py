"""Times the building of decoding graphs from Kaldi's systems, beside Kaldi's own graphs.

    tools/bench/bench_graph.py [--repeat N] [--bigram SENTENCES] SYSTEM [SYSTEM ...]

A SYSTEM holds L.fst, G.fst, HCLG.fst, tree.txt, final.mdl.txt.gz, phones.txt, words.txt,
disambig.int and silence.csl. Counts the time from lexicon and grammar in memory to the finished
`DecodingGraph`, in a process that has built one before, and says which steps take it. With
--bigram, builds instead the graph of a bigram model of random sentences of eight words.
"""

import argparse
import dataclasses
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pynini

from hybridasr.graph import compose
from hybridasr.graph.openfst import read_fst
from hybridasr.kaldi.lang_text import read_kaldi_lang
from hybridasr.kaldi.model_text import read_model
from hybridasr.kaldi.tree_text import read_tree
from hybridasr.lm.estimate import estimate_ngram
from hybridasr.lm.grammar import ngram_grammar

STEPS = ("lexicon_fst", "_minimized", "_to_flat", "_from_flat", "expand_context", "hmm_fst",
         "add_self_loops")
OPENFST_STEPS = ("compose", "determinize")


def main() -> None:
    """Build each system's graph and print sizes and times."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--bigram", type=int, metavar="SENTENCES")
    parser.add_argument("systems", type=Path, nargs="+", metavar="SYSTEM")
    args = parser.parse_args()
    spent = watch()
    for path in args.systems:
        lang, tree = read_kaldi_lang(path), read_tree(path / "tree.txt")
        transitions, _ = read_model(path / "final.mdl.txt.gz")
        grammar = pynini.Fst.read(str(path / "G.fst"))
        if args.bigram:
            names = [lang.word_name(arc.ilabel) for arc in grammar.arcs(grammar.start())]
            rng = np.random.default_rng(0)
            text = rng.choice(names, (args.bigram, 8)).tolist()
            grammar = ngram_grammar(estimate_ngram(text, 2), lang.words)
        seconds, steps = [], []
        for _ in range(args.repeat + 1):
            spent.clear()
            fresh = dataclasses.replace(lang)  # without what an earlier turn has worked out
            begun = time.perf_counter()
            graph = compose.make_hclg(fresh, grammar, transitions, tree)
            seconds.append(time.perf_counter() - begun)
            steps.append(dict(spent))
        best = 1 + int(np.argmin(seconds[1:]))
        print(f"{path.name}: {graph.num_states} states, {graph.num_arcs} arcs in "
              f"{seconds[best]:.3f} s (median {np.median(seconds[1:]):.3f} s, "
              f"first time {seconds[0]:.2f} s)")
        rest = seconds[best] - sum(steps[best].values())
        for step, share in [*steps[best].items(), ("rest (epsilon removal, sorting)", rest)]:
            print(f"  {1000 * share:8.1f} ms  {step}")
        if not args.bigram:
            theirs = read_fst(path / "HCLG.fst")
            print(f"  Kaldi's graph: {theirs.num_states} states, {theirs.num_arcs} arcs")


def watch() -> dict[str, float]:
    """Make `compose` note the seconds of its steps; return where they are noted."""
    spent: dict[str, float] = defaultdict(float)

    def timed(name, function):
        def run(*args, **kwargs):
            begun = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                spent[name] += time.perf_counter() - begun
        return run

    for name in STEPS:
        setattr(compose, name, timed(name, getattr(compose, name)))
    for name in OPENFST_STEPS:
        setattr(pynini, name, timed(f"pynini.{name}", getattr(pynini, name)))
    return spent


if __name__ == "__main__":
    main()
