"""Times how soon new commands are ready, and what they take of memory.

    tools/bench/bench_commands.py [--commands N] [--repeat N] MODEL

MODEL is a model directory, or a system of Kaldi's as `bench_graph.py` takes it. The commands are
N random words of two to four hanzi from pypinyin's phrases that the model's phones can say; where
these are not enough, pinyin of syllables that it can say. Each figure is the best of some turns in
a process that has built a graph before, from texts to the finished `DecodingGraph`.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np
from pypinyin.constants import PHRASES_DICT

from hybridasr.decode.search import SearchOptions, search
from hybridasr.errors import UserError
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.graph.command_graph import command_graph, same_sound
from hybridasr.graph.command_set import build_commands
from hybridasr.kaldi.lang_text import read_kaldi_lang
from hybridasr.kaldi.model_text import read_model
from hybridasr.kaldi.tree_text import read_tree
from hybridasr.lexicon import mandarin
from hybridasr.lexicon.extend import with_words
from hybridasr.lexicon.phones import base_phone
from hybridasr.model.directory import load_model
from hybridasr.progress import logger
from hybridasr.recognize.recognizer import load

FRAMES = 300


def main() -> None:
    """Build, change and print."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("model", type=Path)
    args = parser.parse_args()
    logger.setLevel("ERROR")
    system = load_system(args.model)
    texts = draw_texts(system[0], args.commands + 1)
    *texts, one_more = texts
    build_commands(texts[:2], *system)  # compiles, and reads the tables
    before = resident()
    made = build_commands(texts, *system)
    after = resident()

    def ready(items):
        return best_of(args.repeat, lambda: build_commands(items, *system))

    print(f"one command ready: {ready([one_more]):.1f} ms")
    print(f"{len(texts)} commands ready: {ready(texts):.1f} ms, in this:")
    phrases = list(made.commands)
    for name, step in (
            ("pronunciations", lambda: with_words(system[0], texts)),
            ("graph", lambda: command_graph(phrases, made.lang, *system[1:])),
            ("commands that sound the same", lambda: same_sound(phrases, made.lang))):
        print(f"  {best_of(args.repeat, step):8.1f} ms  {name}")
    print(f"one more: {ready([*texts, one_more]):.1f} ms, one less: {ready(texts[:-1]):.1f} ms")
    print(f"{made.graph.num_states} states, {made.graph.num_arcs} arcs, "
          f"{graph_bytes(made.graph) / 1e6:.2f} MB; process {after:.0f} MB, "
          f"{after - before:.0f} MB more than before")
    print(f"search of {FRAMES} frames of random scores: "
          f"{search_time(made.graph, system, args.repeat):.1f} ms")
    compare(made, system, args.repeat)
    if (args.model / "model.json").is_file():
        recognizer_face(args.model, texts, one_more)


def recognizer_face(path: Path, texts: list[str], one_more: str) -> None:
    """Print how soon a loaded recogniser takes commands, the fillers beside them included."""
    begun = time.perf_counter()
    recognizer = load(path, commands=[one_more])
    print(f"recogniser: loaded with one command in {1000 * (time.perf_counter() - begun):.0f} ms")
    for count in (1, 10, 100, len(texts)):
        # Of texts that were never there: near-sounding fillers are made up once a command.
        chosen = texts[-count:]
        seconds = best_of(1, lambda chosen=chosen: recognizer.set_commands(chosen))
        print(f"  {count} commands in place of others: {seconds:.1f} ms")
    recognizer.set_commands(texts[:30])
    print(f"  one more of 30: {best_of(1, lambda: recognizer.add_command(one_more)):.1f} ms, "
          f"one less: {best_of(1, lambda: recognizer.remove_command(one_more)):.1f} ms")


def compare(made, system, repeat: int) -> None:
    """Print size and speed of the same graph by way of OpenFst, where pynini is there."""
    try:
        from hybridasr.graph.compose import make_hclg
        from hybridasr.lm.grammar import command_grammar
    except ImportError:
        return
    lang, transitions, tree = made.lang, *system[1:]
    phrases = [tuple(map(lang.word_name, phrase)) for phrase in made.commands]
    try:
        seconds = best_of(repeat, lambda: make_hclg(lang, command_grammar(phrases, lang.words),
                                                    transitions, tree))
        hclg = make_hclg(lang, command_grammar(phrases, lang.words), transitions, tree)
    except ValueError:  # more homophones than the model has disambiguation symbols for
        return
    print(f"with OpenFst: {hclg.num_states} states, {hclg.num_arcs} arcs, {seconds:.1f} ms; "
          f"search {search_time(hclg, system, repeat):.1f} ms")


def load_system(path: Path):
    """Return (lang, transitions, tree)."""
    if (path / "model.json").is_file():
        model = load_model(path)
        return model.lang, model.transitions, model.tree
    return read_kaldi_lang(path), read_model(path / "final.mdl.txt.gz")[0], read_tree(
        path / "tree.txt")


def draw_texts(lang, count: int) -> list[str]:
    """Draw commands that the model can say, none of them one of its words."""
    rng = np.random.default_rng(0)
    phrases = sorted(phrase for phrase in PHRASES_DICT if 2 <= len(phrase) <= 4)
    texts: list[str] = []
    for number in rng.permutation(len(phrases)).tolist():
        phrase = phrases[number]
        if phrase not in lang.words and all(map(mandarin.is_hanzi, phrase)):
            try:
                with_words(lang, [phrase])
            except UserError:
                continue
            texts.append(phrase)
            if len(texts) == count:
                return texts
    print(f"the model can say {len(texts)} of pypinyin's phrases; pinyin for the others")
    known = {base_phone(phone) for phone in lang.phones}
    syllables = sorted(pinyin + tone for pinyin, (initial, final, tones)
                       in mandarin.syllable_table().items() for tone in tones
                       if {initial, final + tone} <= known)
    texts_found = dict.fromkeys(texts)
    while len(texts_found) < count:
        texts_found["".join(rng.choice(syllables, rng.integers(2, 5)).tolist())] = None
    return list(texts_found)


def best_of(repeat: int, step) -> float:
    """Return milliseconds of the quickest turn."""
    seconds = []
    for _ in range(repeat):
        begun = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - begun)
    return 1000 * min(seconds)


def search_time(graph: DecodingGraph, system, repeat: int) -> float:
    """Return milliseconds of a search with the default beam."""
    _, transitions, tree = system
    scores = 3 * np.random.default_rng(0).normal(size=(FRAMES, tree.num_pdfs)).astype(np.float32)
    pdfs = transitions.tid_pdf[graph.ilabel]
    options = SearchOptions(acoustic_scale=1 / 12)
    return best_of(repeat, lambda: search(graph, pdfs, scores, options))


def graph_bytes(graph: DecodingGraph) -> int:
    """Return the bytes of all arrays."""
    return sum(value.nbytes for value in vars(graph).values() if isinstance(value, np.ndarray))


def resident() -> float:
    """Return the megabytes that the process holds, or has held at most where that is unknown."""
    status = Path("/proc/self/statm")
    if status.is_file():
        return int(status.read_text().split()[1]) * resource.getpagesize() / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


if __name__ == "__main__":
    main()
