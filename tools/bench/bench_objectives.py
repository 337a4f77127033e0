"""Trains one network by every objective on a recipe of sentences, and prints what each gives.

    tools/bench/bench_objectives.py WORK [--recipe NAME] [--rows cross-entropy ctc ...]

WORK is the work directory of a recipe with an n-gram (common_voice_zh) that was run: its
alignments, copies, language model and exp/chain are used. The layers of all rows, the number of
passes and the stripes are those of the section [chain] of its recipe.conf. MMI and sMBR go on from
cross-entropy, the second sMBR from the chain, on lattices of --utterances of the training set; the
transducer from CTC. Models are written to WORK/exp/bench_<row>; what is there is only scored.

A line a row: per cent of words and characters wrong, one recording at a time, of the training
speakers that nobody was trained on (on whom the acoustic scale is chosen) and of the test set;
parameters; seconds of training, of this row alone; real-time factor in the test. Of CTC and the
transducer also phones wrong, without words or a graph; the transducer has nothing else.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from verbs import REPOSITORY, run

from hybridasr.options import to_dict
from hybridasr.recipe.config import read_recipe
from hybridasr.storage import read_json

SAME = ("num_epochs", "held_out", "freq_masks", "max_freq", "time_masks", "max_time")


def main() -> None:
    """Train and score every row."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS))
    parser.add_argument("--recipe", default="common_voice_zh")
    parser.add_argument("--utterances", type=int, default=1500, help="with lattices (1500)")
    parser.add_argument("--rate", type=float, default=1e-5, help="step size on lattices (1e-5)")
    parser.add_argument("--nj", type=int, default=2)
    args = parser.parse_args()
    bench = Bench(args)
    print(time.strftime("%Y-%m-%d"), bench.network.name, " ".join(bench.same))
    print(f"{'objective':18} {'held out: words':>15} {'characters':>10} {'test: words':>12} "
          f"{'characters':>10} {'phones':>6} {'parameters':>10} {'train s':>7} {'RTF':>6}")
    for row in args.rows:
        print(bench.line(row), flush=True)


class Bench:
    """The rows, each a method that trains a model unless it is there."""

    def __init__(self, args: argparse.Namespace):
        self.args, self.work = args, args.work.resolve()
        self.exp, self.lang = self.work / "exp", self.work / "data" / "lang"
        self.train, self.test, self.held_out = (
            self.work / "data" / "network" / name for name in ("train", "test", "held_out"))
        recipe = REPOSITORY / "egs" / args.recipe
        options = to_dict(read_recipe(recipe).options["chain"])
        self.network = (recipe / options["network"]).resolve()
        self.same = [f"--{name.replace('_', '-')}={options[name]}" for name in SAME]

    def model(self, row: str) -> Path:
        """Return where a row's model is."""
        return self.exp / ("chain" if row == "lf-mmi" else f"bench_{row}")

    def line(self, row: str) -> str:
        """Train a row and score it."""
        model = self.model(row)
        if not (model / "model.json").is_file() and not (model / "transducer.json").is_file():
            ROWS[row](self, model)
        info = read_json(model / "model.json")["info"] if (model / "model.json").is_file() else {}
        cells = [f"{row:18}"]
        if row != "transducer":
            graph = self.graph(model)
            rows = [json.loads(run("evaluate", "--known", "none", "--nj", self.args.nj, "--graph",
                                   graph, model, data))[0] for data in (self.held_out, self.test)]
            cells += [f"{rows[0]['wer']:15.2f} {rows[0]['cer']:10.2f} {rows[1]['wer']:12.2f} "
                      f"{rows[1]['cer']:10.2f}"]
        else:
            cells += [" " * 50]
        phones = f"{self.phones(model):6.2f}" if row in ("ctc", "transducer") else " " * 6
        rtf = f"{rows[1]['rtf']:6.3f}" if row != "transducer" else ""
        return " ".join([*cells, phones, f"{info.get('parameters', 0):10d}",
                         f"{info.get('train_seconds', 0):7.0f}", rtf])

    def graph(self, model: Path) -> Path:
        """Return the graph of a model, made with the recipe's n-gram; its scale is chosen too."""
        graph = model / "graph"
        if not (graph / "graph.npz").is_file():
            run("mkgraph", "--grammar", "ngram", "--arpa", self.work / "data" / "lm" / "ngram.bin",
                model)
            run("tune-scale", "--nj", self.args.nj, model, self.held_out)
        return graph

    def phones(self, model: Path) -> float:
        """Return the phones wrong in the test, by the best path over labels."""
        run("decode-labels", "--known", "none", "--nj", self.args.nj, model, self.test,
            model / "labels_test")
        return read_json(model / "labels_test" / "summary.json")["ler"]

    def cross_entropy(self, model: Path) -> None:
        """The classes of the frames, of the recipe's last alignments."""
        run("train-dnn", "--nj", self.args.nj, "--network", self.network, "--chunk-width=150",
            "--minibatch-size=2400", *self.same, self.train, self.lang, self.exp / "tri3b", model)

    def chain(self, model: Path) -> None:
        """Lattice-free MMI is the recipe's."""
        raise SystemExit(f"{model} is missing; run the recipe with its chain first")

    def ctc(self, model: Path) -> None:
        """Phones and the blank, without alignments."""
        run("train-ctc", "--nj", self.args.nj, "--network", self.network, *self.same, self.train,
            self.lang, model)

    def transducer(self, model: Path) -> None:
        """A second network over the phones so far, on the encoder of CTC."""
        run("train-transducer", "--nj", self.args.nj, "--every", 1, *self.same, self.train,
            self.model("ctc"), model)

    def lattices(self, source: Path, verb: str, model: Path, *options: str) -> None:
        """Go on from a network with the criterion of a verb."""
        data, ali, denlats = (self.work / "data" / "bench_lattices", source / "bench_ali",
                              source / "bench_denlats")
        if not data.is_dir():
            run("subset-data", "--random", self.args.utterances, self.work / "data" / "train", data)
        if not ali.is_dir():
            run("align", "--nj", self.args.nj, data, self.lang, source, ali)
        run("make-denlats", "--nj", self.args.nj, data, self.lang, source, denlats)
        run(verb, "--nj", self.args.nj, "--learning-rate", self.args.rate, *options, data,
            self.lang, source, ali, denlats, model)


def _on_lattices(source: str, verb: str, *options: str) -> Callable[[Bench, Path], None]:
    return lambda bench, model: bench.lattices(bench.model(source), verb, model, *options)


ROWS: dict[str, Callable[[Bench, Path], None]] = {
    "cross-entropy": Bench.cross_entropy,
    "mmi": _on_lattices("cross-entropy", "train-mmi"),
    "smbr": _on_lattices("cross-entropy", "train-smbr"),
    "lf-mmi": Bench.chain,
    "lf-mmi-smbr": _on_lattices("lf-mmi", "train-smbr"),
    "ctc": Bench.ctc,
    "transducer": Bench.transducer,
}

if __name__ == "__main__":
    main()
