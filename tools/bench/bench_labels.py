"""Makes the lecture's table: label error rates of networks without alignments, and of a hybrid.

    tools/bench/bench_labels.py TRAIN TEST LANG WORK [--hybrid MODEL] [--rows rnn-1 lstm-2 ...]

TRAIN and TEST are data directories with features (make-feats), LANG their lang directory; WORK
takes the models. Networks of one to three recurrent layers are trained by CTC, and a transducer
on the encoder of one of them. MODEL is a hybrid model with its graph, trained before on the same
speech. A line a network: label errors of the best path (greedy), of the beam search, and of the
words that a loop of all words finds (the labels of their pronunciations), all in per cent;
parameters, seconds of training, real-time factor of the greedy search. Greedy and beam know no
lexicon; the hybrid has nothing without one.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

from verbs import run

from hybridasr.batch.label_decode import reference_labels
from hybridasr.corpus.datadir import DataDir, read_datadir
from hybridasr.lexicon.langdir import read_lang
from hybridasr.score.wer import score_texts

LAYERS = {"rnn-1": 1 * ["rnn cell={}"], "lstm-1": 1 * ["lstm cell={}"],
          "lstm-2": 2 * ["lstm cell={}"], "lstm-3": 3 * ["lstm cell={}"],
          "gru-2": 2 * ["gru cell={}"], "blstm-1": 1 * ["bidirectional unit=lstm cell={}"],
          "blstm-2": 2 * ["bidirectional unit=lstm cell={}"]}
BEAM = 8


def main() -> None:
    """Train and score every row."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("train", "test", "lang", "work"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--hybrid", type=Path, help="model directory with a graph")
    parser.add_argument("--rows", nargs="*", choices=LAYERS, default=["rnn-1", "lstm-1", "lstm-2",
                                                                      "lstm-3", "blstm-1"])
    parser.add_argument("--transducer", choices=LAYERS, help="row whose network is the encoder of "
                        "a transducer (none: no transducer)")
    parser.add_argument("--cell", type=int, default=128, help="memory cells of a layer (128); half "
                        "as many in each of two directions")
    parser.add_argument("--stride", type=int, default=1, choices=(1, 2, 3),
                        help="frames from one that the networks score to the next (1)")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--rate", type=float, default=5e-3, help="step size at first (0.005)")
    parser.add_argument("--minibatch", type=int, default=2048, help="frames a step (2048)")
    parser.add_argument("--known", default="none", choices=("all", "earlier", "none"))
    parser.add_argument("--nj", type=int, default=1)
    args = parser.parse_args()
    test = read_datadir(args.test)
    args.work.mkdir(parents=True, exist_ok=True)
    print(time.strftime("%Y-%m-%d"), f"cell {args.cell}, {args.epochs} epochs, speakers known: "
          f"{args.known}")
    print(f"{'network':12} {'greedy %':>8} {'beam %':>7} {'lexicon %':>9} {'parameters':>10} "
          f"{'train s':>8} {'RTF':>7}")
    for row in args.rows:
        print(ctc_line(row, test, args), flush=True)
    if args.transducer:
        print(transducer_line(test, args), flush=True)
    if args.hybrid:
        print(line("hybrid", {}, words_ler(args.hybrid, args.hybrid / "graph", test, args),
                   args.hybrid), flush=True)


def network_text(row: str, cell: int, stride: int) -> str:
    """Return the description of a row's network."""
    lines = [f"splice offsets=-2:2 stride={stride}"]
    for text in LAYERS[row]:
        # As many columns in both directions together.
        size = cell // 2 if text.startswith("bidirectional") else cell
        lines += [text.format(size), "dropout rate=0.1"]
    return "\n".join([*lines, "output"]) + "\n"


def ctc_line(row: str, test: DataDir, args: argparse.Namespace) -> str:
    """Train one network by CTC and score it; return its line."""
    model, network = args.work / row, args.work / f"{row}.conf"
    network.write_text(network_text(row, args.cell, args.stride))
    run("train-ctc", "--nj", args.nj, "--network", network.absolute(), "--num-epochs", args.epochs,
        "--minibatch-size", args.minibatch, "--initial-learning-rate", args.rate, "--held-out", 0,
        args.train.absolute(), args.lang.absolute(), model.absolute())
    graph = model / "graph"
    run("mkgraph", "--grammar", "loop", model.absolute(), graph.absolute())
    return line(row, labels_lers(model, args), words_ler(model, graph, test, args), model)


def transducer_line(test: DataDir, args: argparse.Namespace) -> str:
    """Train a transducer on a row's network and score it; return its line."""
    model = args.work / "transducer"
    run("train-transducer", "--nj", args.nj, "--num-epochs", args.epochs, "--minibatch-size",
        args.minibatch, "--held-out", 0, args.train.absolute(),
        (args.work / args.transducer).absolute(), model.absolute())
    return line("transducer", labels_lers(model, args), None, model)


def labels_lers(model: Path, args: argparse.Namespace) -> dict[str, dict]:
    """Return the summaries of both searches for labels."""
    summaries = {}
    for name, beam in (("greedy", 0), ("beam", BEAM)):
        decode = model / f"labels_{name}"
        run("decode-labels", "--nj", args.nj, "--label-beam", beam, "--known", args.known,
            model.absolute(), args.test.absolute(), decode.absolute())
        summaries[name] = json.loads((decode / "summary.json").read_text())
    return summaries


def words_ler(model: Path, graph: Path, test: DataDir, args: argparse.Namespace) -> float:
    """Return the label error rate of the words that a graph finds."""
    decode, lang = model / "decode_labels", read_lang(model / "lang")
    run("decode", "--nj", args.nj, "--known", args.known, "--model", model.absolute(),
        graph.absolute(), args.test.absolute(), decode.absolute())
    said = dict(text.partition(" ")[::2] for text in (decode / "text").read_text().splitlines())
    heard = replace(test, utterances={name: replace(one, words=tuple(said.get(name, "").split()))
                                      for name, one in test.utterances.items()})
    # The pronunciation that the lexicon says first: the words count, not how they were said.
    scores = score_texts(reference_labels(test, lang, "phones"),
                         reference_labels(heard, lang, "phones"))
    return scores.wer


def line(name: str, lers: dict[str, dict], words: float | None, model: Path) -> str:
    """Return a line of the table."""
    info = json.loads((model / "model.json").read_text())["info"]
    greedy, beam = (f"{lers[key]['ler']:.2f}" if lers else "" for key in ("greedy", "beam"))
    rtf = f"{lers['greedy']['rtf']:.4f}" if lers else ""
    lexicon = "" if words is None else f"{words:.2f}"
    return (f"{name:12} {greedy:>8} {beam:>7} {lexicon:>9} {info['parameters']:10d} "
            f"{info['train_seconds']:8.1f} {rtf:>7}")


if __name__ == "__main__":
    main()
