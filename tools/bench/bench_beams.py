"""Error rate against real-time factor: a model and a graph at several beams.

    python tools/bench/bench_beams.py MODEL GRAPH DATA WORK [--beams 8 9 10 11 13 15]
        [--max-active 7000] [--every 1] [--lattice-beam 6]

Each row decodes DATA, or every Nth utterance of it, one recording at a time in one process, without
and with lattices (--lattice-beam), and says what is wrong: words, characters and toned syllables.
The real-time factor counts scoring and search, by the clock. WORK gets the decode directories.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from hybridasr.batch.decode_set import DecodeOutput, decode_set
from hybridasr.corpus.datadir import read_datadir
from hybridasr.decode.search import SearchOptions
from hybridasr.evaluation.evaluate import evaluate
from hybridasr.parallel import executor


def main() -> None:
    """Print a row for each beam."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "graph", "data", "work"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--beams", type=float, nargs="+", default=[8, 9, 10, 11, 13, 15])
    parser.add_argument("--max-active", type=int, default=7000)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--lattice-beam", type=float, default=6.0)
    args = parser.parse_args()
    data = read_datadir(args.data)
    names = list(data.utterances)[::args.every]
    data = replace(data, utterances={name: data.utterances[name] for name in names})
    print(f"{len(data)} utterances; max-active {args.max_active}, "
          f"lattice beam {args.lattice_beam:g}")
    print("  beam   WER %   CER %  syllables %     RTF  with lattices")
    with executor(1) as pool:
        for beam in args.beams:
            options = SearchOptions(beam=beam, max_active=args.max_active)
            row = evaluate(args.model, args.graph, data, args.work / f"beam{beam:g}", options, pool,
                           known="none")
            lattices = decode_set(args.model, args.graph, data, args.work / f"lattices{beam:g}",
                                  options, pool, known="none",
                                  output=DecodeOutput(True, args.lattice_beam))
            print(f"{beam:6g} {row['wer']:7.2f} {row['cer']:7.2f} "
                  f"{row.get('syllable_errors', float('nan')):12.2f} {row['rtf']:7.3f} "
                  f"{lattices['rtf']:14.3f}", flush=True)


if __name__ == "__main__":
    main()
