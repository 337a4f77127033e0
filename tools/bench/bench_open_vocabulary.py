"""Puts words that a model did not have at training into a graph, and scores them.

    tools/bench/bench_open_vocabulary.py WORK [--words 1000] [--system tri2b | --network]

WORK is the work directory of the recipe words_zh after its stage 3 (features). Unseen words are
those of the test, of which the training has none, filled up with phrases of pypinyin's dictionary
that are drawn. Three models:

    known     trained with a lexicon that has the unseen words
    removed   a copy of it: the same phones and numbers, but its lexicon lacks the unseen words
    unseen    trained on the same recordings with a lexicon of the words of the training alone; it
              lacks the phones that only unseen words have

With --network, the recipe's trained network (WORK/exp/dnn) takes the place of the first two, with a
lexicon that has the unseen words and one that lacks them; no third one is trained.

`mkgraph --commands` builds the same grammars for each: the unseen words alone, and with the words
of the training. Printed: words wrong (as in the recipe, homophones count as right for each other),
texts that are not those of `known`, homophones among them, and the seconds of mkgraph, start of
the program included: by the clock, and of one processor.
"""

import argparse
import itertools
import random
import resource
import time
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

from verbs import REPOSITORY, run

from hybridasr.corpus.datadir import read_datadir
from hybridasr.decode.search import SearchOptions
from hybridasr.evaluation.evaluate import evaluate, graph_lang, homophone_classes
from hybridasr.graph.mklang import make_lang
from hybridasr.lexicon.langdir import LangOptions, prepare_lang, read_lang
from hybridasr.lexicon.lexicon import build_lexicon
from hybridasr.lexicon.phones import default_phone_set
from hybridasr.lexicon.transcripts import check_phones
from hybridasr.model.directory import load_model, save_model
from hybridasr.parallel import executor
from hybridasr.recipe.config import Recipe, read_recipe
from hybridasr.storage import read_text, write_text
from hybridasr.train.ladder import LADDER, TRAINERS
from hybridasr.train.mono import train_mono


def main() -> None:
    """Train two models, copy one, build the graphs, score, print."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--words", type=int, default=1000, help="unseen words (1000)")
    parser.add_argument("--system", default="tri2b", choices=("mono", "tri1", "tri2b"))
    parser.add_argument("--network", action="store_true", help="the network of WORK/exp/dnn")
    parser.add_argument("--nj", type=int, default=1)
    args = parser.parse_args()
    recipe = read_recipe(REPOSITORY / "egs" / "words_zh")
    folder, data = args.work / "open_vocabulary", args.work / "data"
    train = read_datadir(data / "train")
    test = read_datadir((data / "network" if args.network else data) / "test")
    sayable = args.work / "exp" / "dnn" / "lang" if args.network else folder / "unseen" / "lang"
    if not args.network:
        make_lang([train.path], sayable, recipe.options["lang"])
    known = sorted({word for u in train.utterances.values() for word in u.words})
    unseen = unseen_words(sayable, known, test, args.words)
    lists = {"unseen": unseen, "all": [*known, *unseen]}
    for name, words in lists.items():
        write_text(folder / f"{name}.txt", "".join(f"{word}\n" for word in words))
    if not args.network:
        make_lang([train.path, folder / "unseen.txt"], folder / "known" / "lang",
                  recipe.options["lang"])
    texts = {}
    system = "dnn" if args.network else args.system
    print(time.strftime("%Y-%m-%d"), f"{system}, {len(unseen)} unseen words,",
          f"{len(known)} words of the training, {len(test)} utterances")
    print(f"{'model':8} {'phones':>6} {'grammar':>8} {'words wrong':>12} {'WER %':>6} "
          f"{'other texts':>12} {'mkgraph s':>10} {'CPU s':>6}")
    with executor(args.nj) as pool:
        options = recipe.options["lang"]
        if args.network:
            models = {"known": with_words(args.work / "exp" / "dnn", [*known, *unseen],
                                          folder / "known", options)}
        else:
            models = {kind: train_ladder(recipe, folder / kind, train, args.system, pool)
                      for kind in ("known", "unseen")}
        models["removed"] = with_words(models["known"], known, folder / "removed", options)
        for (name, words), kind in itertools.product(lists.items(), sorted(models)):
            model, graph = models[kind], folder / kind / f"graph_{name}"
            begun, busy = time.perf_counter(), seconds_of_children()
            run("mkgraph", "--commands", folder / f"{name}.txt", model, graph)
            seconds, busy = time.perf_counter() - begun, seconds_of_children() - busy
            lang = graph_lang(model, graph)
            row = evaluate(model, graph, test, graph / "decode", SearchOptions(), pool,
                           homophone_classes(lang))
            texts[kind, name] = read_text(graph / "decode" / "text").splitlines()
            other = sum(one != two for one, two in zip(texts["known", name], texts[kind, name],
                                                       strict=True))
            wrong = round(row["wer"] * row["words"] / 100)
            print(f"{kind:8} {len(lang.lexicon.phones):6} {len(words):8} {wrong:12} "
                  f"{row['wer']:6.2f} {other:12} {seconds:10.1f} {busy:6.1f}", flush=True)


def seconds_of_children() -> float:
    """Return the processor time of the programs that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def with_words(source: Path, words: list[str], folder: Path, options: LangOptions) -> Path:
    """Copy a model with a lexicon of `words` alone; its phones stay."""
    model = load_model(source)
    phones = default_phone_set().restrict(model.lang.lexicon.phones)
    lang = prepare_lang(build_lexicon(words), phones, folder / "lang",
                        replace(options, used_phones_only=False))
    check_phones(model.lang, lang, source)
    save_model(replace(model, lang=lang), folder / source.name)
    return folder / source.name


def unseen_words(lang: Path, known: list[str], test, count: int) -> list[str]:
    """Return the words of the test that the training lacks, filled up with drawn phrases."""
    from pypinyin.constants import PHRASES_DICT

    spoken = {word for u in test.utterances.values() for word in u.words} - set(known)
    phrases = sorted({phrase for phrase in PHRASES_DICT if len(phrase) == 2} - spoken - set(known))
    random.Random(0).shuffle(phrases)
    # Of the drawn ones only those of which the training's phones can say every reading; the test's
    # must be.
    phones = read_lang(lang).lexicon.phones
    readings = build_lexicon(phrases[:2 * count]).entries
    drawn = [phrase for phrase in phrases[:2 * count]
             if all(phones.issuperset(reading.phones) for reading in readings[phrase])]
    return sorted([*spoken, *drawn][:count] if len(spoken) < count else spoken)


def train_ladder(recipe: Recipe, folder: Path, train, system: str, pool: Executor) -> Path:
    """Train the systems up to `system` with the options of the recipe; return its directory."""
    lang = read_lang(folder / "lang")
    for name in ("mono", "tri1", "tri2b"):
        rung, destination = LADDER[name], folder / name
        if not (destination / "ali.ark").is_file():
            if rung.source is None:
                train_mono(train, lang, recipe.options["features"], recipe.options["pipeline"],
                           destination, pool, recipe.options[name])
            else:
                TRAINERS[rung.kind].train(train, lang, folder / rung.source, destination, pool,
                                          recipe.options[name])
        if name == system:
            break
    return folder / system


if __name__ == "__main__":
    main()
