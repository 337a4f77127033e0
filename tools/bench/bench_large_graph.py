"""Makes the decoding graph of a large vocabulary, and weighs word sequences in it by hand.

    python tools/bench/bench_large_graph.py MODEL WORK --text FILE [--text FILE] [--words 60000]
        [--prune X] [--sequences 50]

MODEL is a model of Mandarin, WORK a directory for what is made. The words are those that jieba
finds in the texts, then single hanzi of the texts, then the most frequent of jieba's dictionary, up
to --words. The texts are taken twice, the second time with every 8th word replaced by one drawn at
random, for as many n-grams as a larger text would have. `train-lm` makes a trigram model (with
every n-gram, unless pruned), `mkgraph` the graph; seconds and peak memory of each are those of its
process. Then word sequences are drawn, half of them from the texts, half words at random; of each
word a pronunciation, and silences between words. Their cost in HCLG along the shortest state
sequence is compared with the sum of what the model (best over backing off), the lexicon and the
transitions say.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import jieba
import numpy as np
from verbs import REPOSITORY

from hybridasr.graph.arrays import DecodingGraph
from hybridasr.graph.graph_words import read_graph_words
from hybridasr.lexicon.langdir import Lang
from hybridasr.lm.model_file import read_ngram
from hybridasr.lm.ngram import BEGIN, END, NgramModel
from hybridasr.lm.segment import jieba_cutter
from hybridasr.model.acoustic import AcousticModel
from hybridasr.model.directory import load_model
from hybridasr.storage import read_text, write_text

LN10 = math.log(10.0)
CHANGED = 8


def main() -> None:
    """Make the graph, then print a row of figures for each step and the largest difference."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--text", type=Path, action="append", required=True)
    parser.add_argument("--words", type=int, default=60_000)
    parser.add_argument("--prune", type=float, default=0.0)
    parser.add_argument("--sequences", type=int, default=50)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    sentences = cut_texts(args.text, args.words, args.work)
    lm, graph_dir = args.work / "lm.bin", args.work / "graph"
    measured("train-lm", args.work / "text", lm, "--vocabulary", args.work / "words.txt",
             "--prune", args.prune)
    measured("mkgraph", args.model, graph_dir, "--grammar", "ngram", "--arpa", lm)
    ngram, model = read_ngram(lm), load_model(args.model)
    begin = time.perf_counter()
    graph = DecodingGraph.load(graph_dir / "graph.npz")
    print(f"words {len(ngram.vocabulary) - 1}, n-grams {sum(ngram.num_ngrams)} {ngram.num_ngrams}")
    print(f"HCLG: {graph.num_states} states, {graph.num_arcs} arcs, "
          f"{(graph_dir / 'graph.npz').stat().st_size >> 20} MB, "
          f"loaded in {time.perf_counter() - begin:.2f} s")
    lang = read_graph_words(graph_dir, model.lang)
    rng = np.random.default_rng(0)
    known = [word for word in ngram.words if lang.words.get(word) in lang.pronunciations]
    worst = 0.0
    for number in range(args.sequences):
        words = (sentences[rng.integers(len(sentences))] if number % 2
                 else [known[place] for place in rng.integers(len(known), size=6)])
        words = [word for word in words if lang.words.get(word) in lang.pronunciations][:20]
        phones, cost = draw_phones(lang, words, rng)
        tids = forward_tids(model, phones)
        cost += float(model.transitions.scaled_costs(1.0, 0.1)[tids].sum(dtype=np.float64))
        cost += grammar_cost(ngram, words)
        found = graph_cost(graph, tids, [lang.words[word] for word in words])
        worst = max(worst, abs(found - cost))
    print(f"{args.sequences} word sequences: costs differ by {worst:.2g} at most")


def cut_texts(texts: list[Path], count: int, work: Path) -> list[list[str]]:
    """Write words.txt and text; return the sentences."""
    lines = [line for path in texts for line in read_text(path).splitlines()]
    hanzi = {sign for line in lines for sign in line if "\u4e00" <= sign <= "\u9fff"}
    cut = jieba_cutter()
    sentences = [[word for word in cut("".join(sign if sign in hanzi else " " for sign in line))
                  if word.strip()] for line in lines]
    frequent = sorted((word for word, count in jieba.dt.FREQ.items()
                       if count and len(word) > 1 and set(word) <= hanzi),
                      key=lambda word: (-jieba.dt.FREQ[word], word))
    words = sorted({word for sentence in sentences for word in sentence} | hanzi)[:count]
    listed = set(words)
    words += list(islice((word for word in frequent if word not in listed),
                         count - len(words)))
    rng = np.random.default_rng(0)
    changed = [[words[rng.integers(len(words))] if rng.random() < 1 / CHANGED else word
                for word in sentence] for sentence in sentences]
    write_text(work / "words.txt", "\n".join(words) + "\n")
    write_text(work / "text", "".join(" ".join(one) + "\n" for one in sentences + changed if one))
    return [sentence for sentence in sentences if sentence]


def measured(verb: str, *words: object) -> None:
    """Run a verb; print its seconds and its peak memory."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "hybridasr.cli", verb, *map(str, words)]
    process = os.posix_spawn(sys.executable, command, {**os.environ, "PYTHONPATH": str(REPOSITORY)})
    _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit(f"{verb} failed")
    print(f"{verb}: {time.perf_counter() - begin:.1f} s, {usage.ru_utime + usage.ru_stime:.1f} s "
          f"of processor time, peak memory {usage.ru_maxrss >> 10} MB", flush=True)


def draw_phones(lang: Lang, words: list[str], rng: np.random.Generator) -> tuple[list[int], float]:
    """Return phones of the words, some with silence around, and what L says of them."""
    phones, cost = [], 0.0
    for word in [None, *words]:
        if word is not None:
            choices = lang.pronunciations[lang.words[word]]
            probability, said = choices[rng.integers(len(choices))]
            cost -= math.log(probability)
            phones += said
        silence = rng.random() < 0.5
        cost -= math.log(lang.sil_prob if silence else 1 - lang.sil_prob)
        phones += [lang.optional_silence] * silence
    return phones, cost


def forward_tids(model: AcousticModel, phones: list[int]) -> list[int]:
    """Return the transition-ids of a path that is in each HMM state of its phones once."""
    tids, transitions, tree = [], model.transitions, model.tree
    width, central = tree.context_width, tree.central_position
    padded = [0] * central + phones + [0] * (width - 1 - central)
    for place, phone in enumerate(phones):
        window = tuple(padded[place:place + width])
        states = transitions.topology.for_phone(phone).states
        number = 0
        while states[number].pdf_class >= 0:
            state = states[number]
            pdf = tree.pdf(window, state.pdf_class)
            # Onward at the first chance.
            arc, target = next((index, to) for index, (to, _) in enumerate(state.transitions)
                               if to > number)
            tids.append(transitions.transition_id(
                transitions.transition_state(phone, number, pdf), arc))
            number = target
    return tids


def grammar_cost(ngram: NgramModel, words: list[str]) -> float:
    """Return the cost of a sentence, the best over all ways of backing off, as G has them."""
    ids = [*(ngram.ids[word] for word in words), ngram.ids[END]]
    living = {(ngram.ids[BEGIN],): 0.0}
    for word in ids:
        after: dict[tuple[int, ...], float] = {}
        for history, cost in living.items():
            for shorter, price in backoffs(ngram, history, cost):
                row = ngram.find(np.array([[*shorter, word]]))[0]
                if row < 0:
                    continue
                price -= LN10 * float(ngram.log10_probs[len(shorter)][row])
                target = known_history(ngram, (*shorter, word))
                after[target] = min(price, after.get(target, math.inf))
        living = after
    return min(living.values())


def backoffs(ngram: NgramModel, history: tuple[int, ...], cost: float
             ) -> Iterator[tuple[tuple[int, ...], float]]:
    """Yield a history and all shorter ones, with the cost so far and of backing off to it."""
    while True:
        yield history, cost
        if not history:
            return
        row = ngram.find(np.array([history]))[0]
        cost -= LN10 * float(ngram.log10_backoffs[len(history) - 1][row]) if row >= 0 else 0.0
        history = history[1:]


def known_history(ngram: NgramModel, words: tuple[int, ...]) -> tuple[int, ...]:
    """Return the longest end of the words that is an n-gram, and no longer than a history."""
    words = words[-(ngram.order - 1):]
    while words and ngram.find(np.array([words]))[0] < 0:
        words = words[1:]
    return words


def graph_cost(graph: DecodingGraph, tids: list[int], words: list[int]) -> float:
    """Return the cost of the best path with these transition-ids and words."""
    living = closed(graph, {(graph.start, 0): 0.0}, words)
    for tid in tids:
        after: dict[tuple[int, int], float] = {}
        for (state, said), cost in living.items():
            for arc in range(graph.arc_offsets[state], graph.eps_offsets[state]):
                if graph.ilabel[arc] == tid:
                    follow(graph, arc, said, cost, words, after)
        living = closed(graph, after, words)
    return min((cost + float(graph.final[state]) for (state, said), cost in living.items()
                if said == len(words)), default=math.inf)


def follow(graph: DecodingGraph, arc: int, said: int, cost: float, words: list[int],
           reached: dict[tuple[int, int], float]) -> tuple[int, int] | None:
    """Take an arc, unless it says another word; return what is reached better than before."""
    label = int(graph.olabel[arc])
    if label:
        if said == len(words) or words[said] != label:
            return None
        said += 1
    place, cost = (int(graph.nextstate[arc]), said), cost + float(graph.weight[arc])
    if cost >= reached.get(place, math.inf):
        return None
    reached[place] = cost
    return place


def closed(graph: DecodingGraph, living: dict[tuple[int, int], float], words: list[int]
           ) -> dict[tuple[int, int], float]:
    """Follow epsilon arcs until no cost falls."""
    waiting = list(living)
    while waiting:
        state, said = place = waiting.pop()
        for arc in range(graph.eps_offsets[state], graph.arc_offsets[state + 1]):
            better = follow(graph, arc, said, living[place], words, living)
            if better:
                waiting.append(better)
    return living


if __name__ == "__main__":
    main()
