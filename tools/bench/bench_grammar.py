"""Times command lists that come from sentence templates: how soon ready, how quick to recognise.

    tools/bench/bench_grammar.py [--repeat N] [--spaces] MODEL DATA

Templates of one, two and three slots say 30, 300, 3,000 and 10,000 sentences of words that the
model's phones can say. For each: milliseconds to read and expand the file, and until a recogniser
has the list (graph, and fillers of up to 200 commands); states of the graph; how many times faster
than real time it recognises, rejection included, sentences of the list (recordings of three words
of DATA, one behind the other) and other words of DATA; and how many of the sentences are right,
slots included. With --spaces, slots are words of their own, between which one may pause, as such
recordings have it. Beside it the same grammar as a graph (`mkgraph --grammar rules`), with pynini.
All times are those of the processor, the best of some turns but for making lists and graphs.
"""

import os

# ruff: noqa: E402 - threads are limited before numpy is imported.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from bench_commands import draw_texts

from hybridasr.corpus.datadir import read_datadir
from hybridasr.grammar.command_file import read_command_file
from hybridasr.graph.mkgraph import WordSources, find_words, make_graph
from hybridasr.model.directory import load_model
from hybridasr.progress import logger
from hybridasr.recognize.recognizer import bare_recognizer, load
from hybridasr.recognize.samples import read_samples

# How many values each slot has.
SIZES = ((30,), (10, 30), (10, 10, 30), (10, 10, 100))
TURNS, OTHERS, EDGE = 4, 8, 0.3  # recordings of each word; of other words; seconds cut off


def main() -> None:
    """Write templates, make lists and graphs of them, and print a row for each size."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--spaces", action="store_true", help="between the slots")
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    args = parser.parse_args()
    logger.setLevel("ERROR")
    model = load_model(args.model)
    rate = model.features.sample_rate
    said, others = recordings(args.data, rate)
    words = draw_texts(model.lang, 200)
    recognizer = bare_recognizer(args.model)
    recognizer.set_commands(words[:2])  # compiles, and reads the tables
    recognizer.utterances(others[0])
    print(f"{'':>9} {'as a command list':^60}  {'as a graph':^27}")
    print(f"{'':>9} {'expand':>8} {'ready':>7} {'':>7} {'x real time':^19} {'':>8} "
          f"{'ready':>13} {'':>7} {'x real time':>12}")
    print(f"{'sentences':>9} {'ms':>8} {'ms':>7} {'states':>7} {'sentences':>9} {'others':>9} "
          f"{'right':>8} {'ms':>13} {'states':>7} {'sentences':>12}")
    with tempfile.TemporaryDirectory() as folder:
        for sizes in SIZES:
            path, graph = Path(folder) / "home.txt", Path(folder) / "graph"
            slots = dict(zip((f"slot{number}" for number in range(len(sizes))), said, strict=False))
            write_templates(path, sizes, list(slots.values()), words, " " if args.spaces else "")
            sentences = [np.concatenate([said[word][turn] for word in slots.values()])
                         for turn in range(TURNS)]
            expand = best_of(args.repeat, lambda path=path: read_command_file(path))
            ready = best_of(1, lambda path=path: recognizer.set_commands(path))
            right = sum(recognizer.utterances(samples)[0]["slots"] == slots
                        for samples in sentences)
            speeds = [speed(recognizer, samples, rate, args.repeat)
                      for samples in (sentences, others)]
            made = best_of(1, lambda path=path, graph=graph: graph_of(path, model, graph))
            by_graph = load(args.model, graph=graph)
            print(f"{len(recognizer.commands):9} {expand:8.1f} {ready:7.0f} "
                  f"{recognizer.grammar.graph.num_states:7} {speeds[0]:9.0f} {speeds[1]:9.0f} "
                  f"{right:6}/{TURNS} {made:13.0f} {by_graph.grammar.graph.num_states:7} "
                  f"{speed(by_graph, sentences, rate, args.repeat):12.0f}", flush=True)


def recordings(data: Path, rate: int) -> tuple[dict[str, list[np.ndarray]], list[np.ndarray]]:
    """Return recordings of three words, without their edges, and some of other words."""
    wavs = defaultdict(list)
    for utterance in read_datadir(data).utterances.values():
        if len(utterance.words) == 1:
            wavs[utterance.words[0]].append(utterance.wav)
    names = sorted(wavs, key=lambda word: (word.isascii(), word))
    cut = int(EDGE * rate)
    said = {word: [read_samples(wav, None, rate)[cut:-cut] for wav in wavs[word][:TURNS]]
            for word in names[:3]}
    return said, [read_samples(wavs[word][0], None, rate) for word in names[3:3 + OTHERS]]


def write_templates(path: Path, sizes: tuple[int, ...], first: list[str], words: list[str],
                    space: str) -> None:
    """Write one template; a slot has as many values as its size, one of `first` among them."""
    lines, used = [], 0
    for number, size in enumerate(sizes):
        values = [first[number], *words[used:used + size - 1]]
        lines.append(f"{{slot{number}}} = {', '.join(values)}")
        used += size
    slots = space.join(f"{{slot{number}}}" for number in range(len(sizes)))
    path.write_text("\n".join([*lines, f"intent\t{slots}"]) + "\n", encoding="utf-8")


def graph_of(path: Path, model, directory: Path) -> None:
    """Make the graph of a grammar."""
    words = find_words(model.lang, "rules", WordSources(commands=path))
    make_graph(words.lang, model.transitions, model.tree, directory, "rules", net=words.net)


def speed(recognizer, audio: list[np.ndarray], rate: int, repeat: int) -> float:
    """Return how many times faster than real time recordings are recognised."""
    def hear() -> None:
        for samples in audio:
            recognizer.utterances(samples)
    hear()
    return 1000 * sum(map(len, audio)) / rate / best_of(repeat, hear)


def best_of(repeat: int, step) -> float:
    """Return milliseconds of the processor in the quickest turn."""
    milliseconds = []
    for _ in range(repeat):
        begun = time.process_time()
        step()
        milliseconds.append(1000 * (time.process_time() - begun))
    return min(milliseconds)


if __name__ == "__main__":
    main()
