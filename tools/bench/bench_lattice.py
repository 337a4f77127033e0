"""Decodes Kaldi's systems with and without lattices, beside Kaldi's own results, and times it.

    tools/bench/bench_lattice.py [--repeat N] REF

REF holds folders with HCLG.fst, final.mdl.txt.gz, words.txt, feats.ark, decode.tsv and
lattices_first3.txt (gmm-latgen-faster with beam 13, lattice beam 6, max-active 7000, acoustic scale
0.083333). Real-time factors are processor time of one process, the best of N rounds over all
utterances: "computed" includes the Gaussians, "given" does not. Set
OPENBLAS_NUM_THREADS=1.
"""

import argparse
import time
from pathlib import Path

from hybridasr.decode.latgen import LatticeOptions, decode_lattice
from hybridasr.decode.search import SearchOptions, search
from hybridasr.features.archives import read_ark
from hybridasr.graph.openfst import read_fst
from hybridasr.kaldi.model_text import read_model
from hybridasr.lattice.lattice_text import read_lattices
from hybridasr.lattice.paths import n_best
from hybridasr.lexicon.langdir import read_symbols

SCALE = 0.083333
OPTIONS = SearchOptions(beam=13.0, max_active=7000, acoustic_scale=SCALE)
LATTICE = LatticeOptions(6.0)


def main() -> None:
    """Decode each system; print agreement and times."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("reference", type=Path, metavar="REF")
    args = parser.parse_args()
    folders = sorted(path.parent for path in args.reference.glob("*/HCLG.fst"))
    if not folders:
        raise SystemExit(f"{args.reference}: no folder with HCLG.fst there")
    for folder in folders:
        run(folder, args.repeat)


def run(folder: Path, repeat: int) -> None:
    graph = read_fst(folder / "HCLG.fst")
    transitions, gmm = read_model(folder / "final.mdl.txt.gz")
    pdfs = transitions.tid_pdf[graph.ilabel]
    scorer = gmm.scorer()
    feats = dict(read_ark(folder / "feats.ark"))
    given = {key: scorer.loglikes(frames) for key, frames in feats.items()}
    ways = {"given": given.get, "computed": lambda key: scorer.loglikes(feats[key])}
    seconds = sum(map(len, feats.values())) / 100
    print(f"{folder.name}: {len(feats)} utterances, {seconds:.1f} s, {graph.num_states} states, "
          f"{graph.num_arcs} arcs")
    for name, loglikes in ways.items():
        alone = fastest(repeat, feats, lambda key, of=loglikes: search(
            graph, pdfs, of(key), OPTIONS))
        lattices = fastest(repeat, feats, lambda key, of=loglikes: decode_lattice(
            graph, pdfs, of(key), OPTIONS, LATTICE))
        print(f"  real-time factor, scores {name}: {alone / seconds:.4f}, with lattices "
              f"{lattices / seconds:.4f}")
    compare(folder, {key: decode_lattice(graph, pdfs, loglikes, OPTIONS, LATTICE)
                     for key, loglikes in given.items()})


def fastest(repeat: int, keys, function) -> float:
    """Return the seconds of the fastest round over all keys; the first call compiles."""
    function(next(iter(keys)))
    rounds = []
    for _ in range(repeat):
        begun = time.process_time()
        for key in keys:
            function(key)
        rounds.append(time.process_time() - begun)
    return min(rounds)


def compare(folder: Path, found: dict) -> None:
    """Print how far words and costs are Kaldi's."""
    words = read_symbols(folder / "words.txt")
    equal = tied = 0
    worst = 0.0
    lines = (folder / "decode.tsv").read_text(encoding="utf-8").splitlines()[1:]
    for line in lines:
        key, _, _, _, cost, text = line.split("\t")
        path, lattice = found[key]
        ids = tuple(words[word] for word in text.split())
        costs = {other.words: other.total_cost(SCALE) for other in n_best(lattice, 100, SCALE)}
        equal += tuple(path.words) == ids
        tied += tuple(path.words) != ids and costs.get(ids, 1e9) - path.total_cost < 1e-3
        worst = max(worst, abs(path.total_cost / float(cost) - 1))
    print(f"  words equal in {equal} of {len(lines)}, in {tied} more another word costs the same; "
          f"worst relative difference of a total cost {worst:.1e}")
    same = sequences = 0
    worst = 0.0
    for key, theirs in read_lattices(folder / "lattices_first3.txt"):
        expected, mine = ({path.words: path for path in n_best(item, 10_000, SCALE)}
                          for item in (theirs, found[key][1]))
        same += set(expected) == set(mine)
        sequences += len(expected)
        worst = max([worst, *(abs(mine[ids].total_cost(SCALE) / path.total_cost(SCALE) - 1)
                              for ids, path in expected.items() if ids in mine)])
    print(f"  lattices with the same word sequences: {same} of 3 ({sequences} sequences); worst "
          f"relative difference of a cost {worst:.1e}")


if __name__ == "__main__":
    main()
