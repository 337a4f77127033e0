"""Times command lists that come from sentence templates: how soon ready, how quick to recognise.

    tools/bench/bench_grammar.py [--repeat N] [--spaces] MODEL AUDIO ...

Templates of one, two and three slots say 30, 300, 3,000 and 10,000 sentences of words that the
model's phones can say. For each: milliseconds to read and expand the file, and until a recogniser
has the list (graph, and fillers of up to 200 commands); states of the graph; how many times faster
than real time the recordings AUDIO are recognised, rejection included. Beside it the same grammar
as a graph (`mkgraph --grammar rules`), with pynini: until it is ready, states, speed. All times
are those of the processor, the best of some turns but for making graphs. With --spaces, slots are
words of their own in a command list, too.
"""

# ruff: noqa: E402 - threads are limited before numpy is imported.
import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import tempfile
import time
from pathlib import Path

import soundfile
from bench_commands import draw_texts

from hybridasr.grammar.command_file import read_command_file
from hybridasr.graph.mkgraph import WordSources, find_words, make_graph
from hybridasr.model.directory import load_model
from hybridasr.progress import logger
from hybridasr.recognize.recognizer import bare_recognizer, load

# How many values each slot has.
SIZES = ((30,), (10, 30), (10, 10, 30), (10, 10, 100))


def main() -> None:
    """Write templates, make lists and graphs of them, and print a row for each size."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--spaces", action="store_true", help="between the slots")
    parser.add_argument("model", type=Path)
    parser.add_argument("audio", type=Path, nargs="+")
    args = parser.parse_args()
    logger.setLevel("ERROR")
    model = load_model(args.model)
    words = draw_texts(model.lang, 200)
    seconds = sum(soundfile.info(path).duration for path in args.audio)
    recognizer = bare_recognizer(args.model)
    recognizer.set_commands(words[:2])  # compiles, and reads the tables
    recognizer.recognize(args.audio[0])
    print(f"{'':>9} {'as a command list':^47}  {'as a graph':^27}")
    print(f"{'sentences':>9} {'expand ms':>10} {'ready ms':>9} {'states':>8} {'x real time':>12} "
          f"{'':>3} {'ready ms':>10} {'states':>7} {'x real time':>12}")
    with tempfile.TemporaryDirectory() as folder:
        for sizes in SIZES:
            path = Path(folder) / "home.txt"
            write_templates(path, sizes, words, " " if args.spaces else "")
            commands = read_command_file(path)
            expand = best_of(args.repeat, lambda path=path: read_command_file(path))
            ready = best_of(1, lambda path=path: recognizer.set_commands(path))
            speed = seconds / best_of(args.repeat, lambda: hear(recognizer, args.audio)) * 1000
            made = best_of(1, lambda path=path: graph_of(path, model, Path(folder) / "graph"))
            graph = load(args.model, graph=Path(folder) / "graph")
            hear(graph, args.audio[:1])
            graph_speed = seconds / best_of(args.repeat, lambda one=graph: hear(
                one, args.audio)) * 1000
            print(f"{len(commands):9} {expand:10.1f} {ready:9.0f} "
                  f"{recognizer.grammar.graph.num_states:8} {speed:12.0f} {'':>3} {made:10.0f} "
                  f"{graph.grammar.graph.num_states:7} {graph_speed:12.0f}", flush=True)


def graph_of(path: Path, model, directory: Path) -> None:
    """Make the graph of a grammar."""
    words = find_words(model.lang, "rules", WordSources(commands=path))
    make_graph(words.lang, model.transitions, model.tree, directory, "rules", net=words.net)


def best_of(repeat: int, step) -> float:
    """Return milliseconds of the processor in the quickest turn."""
    milliseconds = []
    for _ in range(repeat):
        begun = time.process_time()
        step()
        milliseconds.append(1000 * (time.process_time() - begun))
    return min(milliseconds)


def write_templates(path: Path, sizes: tuple[int, ...], words: list[str],
                    space: str) -> None:
    """Write one template whose slots have so many values, no word twice."""
    lines, used = [], 0
    for number, size in enumerate(sizes):
        lines.append(f"{{slot{number}}} = {', '.join(words[used:used + size])}")
        used += size
    slots = space.join(f"{{slot{number}}}" for number in range(len(sizes)))
    path.write_text("\n".join([*lines, f"intent\t{slots}"]) + "\n", encoding="utf-8")


def hear(recognizer, paths: list[Path]) -> None:
    """Recognise recordings."""
    for path in paths:
        recognizer.recognize(path)


if __name__ == "__main__":
    main()
