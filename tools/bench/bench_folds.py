"""Leaves speakers out in folds and prints how many words each system of the ladder has wrong.

    tools/bench/bench_folds.py RECIPE CORPUS [--work DIR] [--systems mono tri1 ...] [--alone]
                               [--strings] [--nj 2] [--set SECTION.OPTION=VALUE ...]

Settings are chosen by this, so that the test speakers judge nothing: of dsp20 each of five folds
leaves out four of the twenty training speakers; of digits, whose recipe tests on each speaker in
turn, each leaves out one. All utterances of the speakers left out are decoded as `hybridasr
evaluate` does; with --alone also one at a time, nothing known of their speaker. With --strings
systems are trained on strings of the recordings too, as a recipe of strings does, and recognise
those of the speakers left out. Spread is the standard deviation over the folds.

What --work holds already is used again, so a trial of tri2b trains no tri1. It knows options, not
the code: begin another folder after a change of the code.
"""

import argparse
import statistics
import tempfile
import time
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from verbs import REPOSITORY

from hybridasr.corpus.datadir import DataDir, read_datadir, write_datadir
from hybridasr.corpus.join import join_datadir, without_strings
from hybridasr.corpus.readers import find_reader
from hybridasr.corpus.readers.base import ReaderOptions
from hybridasr.corpus.subsets import combine, subset
from hybridasr.evaluation.evaluate import evaluate
from hybridasr.features.feature_set import make_feats
from hybridasr.graph.mkgraph import grammar_phrases, make_graph
from hybridasr.graph.mklang import make_lang
from hybridasr.lexicon.langdir import read_lang
from hybridasr.model.directory import load_model
from hybridasr.options import to_dict
from hybridasr.parallel import executor, run_blocks
from hybridasr.recipe.config import Recipe, read_overrides, read_recipe
from hybridasr.storage import digest, read_json, write_json
from hybridasr.train.ladder import LADDER, TRAINERS
from hybridasr.train.mono import train_mono

FOLDS = {"dsp20": 5, "digits": 4}
ALL_SPEAKERS = ("digits",)  # recipes without test speakers of their own


@dataclass(frozen=True)
class Fold:
    """What a fold needs: who is left out, and where everything is."""

    recipe: Recipe
    systems: tuple[str, ...]
    data: Path
    lang: Path
    left_out: tuple[str, ...]
    work: Path
    alone: bool
    strings: bool


def main() -> None:
    """Run all folds, print the table."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", choices=list(FOLDS))
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--systems", nargs="*", default=["mono", "tri1", "tri2b", "tri3b"],
                        choices=list(LADDER))
    parser.add_argument("--alone", action="store_true", help="recognise one at a time, too")
    parser.add_argument("--strings", action="store_true", help="train on strings of the "
                        "recordings, too, and recognise some")
    parser.add_argument("--nj", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], help="SECTION.OPTION=VALUE")
    args = parser.parse_args()
    recipe = read_recipe(REPOSITORY / "egs" / args.recipe, read_overrides(args.set))
    work = args.work or Path(tempfile.mkdtemp(prefix="hybridasr-folds-"))
    print(f"{args.recipe}, {time.strftime('%Y-%m-%d')},",
          " ".join(args.set) or "the recipe's options")
    with executor(args.nj) as pool:
        data, lang = prepare(recipe, args.corpus, work, pool, args.strings)
        speakers, count = list(data.speakers), FOLDS[args.recipe]
        folds = [Fold(recipe, tuple(args.systems), data.path, lang, tuple(speakers[k::count]),
                      work / f"fold{k + 1}", args.alone, args.strings) for k in range(count)]
        results = list(run_blocks(pool, run_fold, [(fold,) for fold in folds], desc="folds"))
    for fold in folds:
        print(f"{fold.work.name}: {' '.join(fold.left_out)}")
    print(f"{'system':20}{''.join(f'{fold.work.name:>8}' for fold in folds)}    mean  spread")
    for name in results[0]:
        values = [result[name] for result in results]
        print(f"{name:20}{''.join(f'{value:8.2f}' for value in values)}"
              f"{statistics.mean(values):8.2f}{statistics.stdev(values):8.2f}")


def prepare(recipe: Recipe, corpus: Path, work: Path, pool: Executor, strings: bool
            ) -> tuple[DataDir, Path]:
    """Make the features and the lang directory, unless they are there."""
    features, lang = recipe.options["features"], recipe.options["lang"]
    join = [to_dict(recipe.options["join"])] if strings else []
    path = work / f"data-{digest(to_dict(features), *join)}"
    if not (path / "feats.scp").is_file():
        sets = find_reader(recipe.reader).read(corpus, ReaderOptions())
        chosen = sets if recipe.name in ALL_SPEAKERS else ("train",)
        data = write_datadir(path, [u for name in chosen for u in sets[name]])
        if strings:  # each is of one speaker, and so of one side of every fold
            data = combine([data, join_datadir(data, path / "strings", recipe.options["join"],
                                               pool)], path)
        make_feats(data, features, pool)
    # One lexicon for all folds: every speaker says every word.
    lang_dir = work / f"lang-{digest(to_dict(lang))}"
    if not (lang_dir / "lang.json").is_file():
        make_lang([path], lang_dir, lang)
    return read_datadir(path), lang_dir


def run_fold(fold: Fold) -> dict[str, float]:
    """Train the ladder without the speakers left out; return the per cent of words wrong."""
    whole, lang, options = read_datadir(fold.data), read_lang(fold.lang), fold.recipe.options
    test = subset(whole, speakers=fold.left_out)
    train = subset(whole, speakers=[name for name in whole.speakers if name not in fold.left_out])
    results, source = {}, None
    chain = [fold.data.name, fold.lang.name, to_dict(options["pipeline"])]
    with executor(1) as pool:
        for name in (name for name in LADDER if name in needed(fold.systems)):
            rung = LADDER[name]
            # The options of a system and of all that it starts from are in its folder's name.
            chain.append(to_dict(options[name]))
            model = fold.work / f"{name}-{digest(*chain)}"
            if not (model / "model.json").is_file():
                if rung.source is None:
                    train_mono(train, lang, options["features"], options["pipeline"], model, pool,
                               options[name])
                else:
                    TRAINERS[rung.kind].train(train, lang, source, model, pool, options[name])
            source = model
            if name in fold.systems:
                results |= score(name, model, test, fold, pool)
    return results


def needed(systems: tuple[str, ...]) -> set[str]:
    """Return the systems and all that they start from."""
    names = set()
    for name in systems:
        source: str | None = name
        while source:
            names.add(source)
            source = LADDER[source].source
    return names


def score(name: str, model: Path, test: DataDir, fold: Fold, pool: Executor) -> dict[str, float]:
    """Return the per cent of words wrong: of whole speakers, and one at a time if wanted."""
    options = fold.recipe.options
    settings = [to_dict(options[part]) for part in ("graph", "search", "adapt")]
    cache = model / f"folds-{digest(fold.alone, *settings)}.json"
    if cache.is_file():
        return read_json(cache)
    acoustic, words = load_model(model), without_strings(test)
    tests = [("", words, fold.recipe.grammar)]
    if fold.strings:
        tests += [(" strings", subset(test, utterances={*test.utterances} - {*words.utterances}),
                   "loop")]
    rates = {}
    for what, data, grammar in tests:
        graph = model / f"graph_{grammar}"
        make_graph(acoustic.lang, acoustic.transitions, acoustic.tree, graph, grammar,
                   grammar_phrases(acoustic.lang, None), options=options["graph"])
        for known, how in (("all", ""), ("none", " alone"))[:1 + fold.alone]:
            row = evaluate(model, graph, data, model / "decode", options["search"], pool,
                           adapt=options["adapt"], known=known)
            rates[name + what + how] = row["wer"]
    write_json(cache, rates)
    return rates


if __name__ == "__main__":
    main()
