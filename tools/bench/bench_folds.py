"""Leaves speakers out in folds and prints how many words each system of the ladder has wrong.

    tools/bench/bench_folds.py RECIPE CORPUS [--work DIR] [--systems mono tri1 ...] [--alone]
                               [--nj 2] [--set SECTION.OPTION=VALUE ...]

Settings are chosen by this, so that the test speakers judge nothing: of dsp20 each of five folds
leaves out four of the twenty training speakers; of digits, whose recipe tests on each speaker in
turn, each leaves out one. All utterances of the speakers left out are decoded as `hybridasr
evaluate` does; with --alone each file is also recognised by itself. Spread is the standard
deviation over the folds.

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
from hybridasr.corpus.readers import find_reader
from hybridasr.corpus.readers.base import ReaderOptions
from hybridasr.corpus.subsets import subset
from hybridasr.evaluation.evaluate import evaluate
from hybridasr.features.feature_set import make_feats
from hybridasr.graph.mkgraph import grammar_phrases, make_graph
from hybridasr.graph.mklang import make_lang
from hybridasr.lexicon.langdir import read_lang
from hybridasr.model.directory import load_model
from hybridasr.options import to_dict
from hybridasr.parallel import executor, run_blocks
from hybridasr.recipe.config import Recipe, read_overrides, read_recipe
from hybridasr.recognize.recognizer import load
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


def main() -> None:
    """Run all folds, print the table."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", choices=list(FOLDS))
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--systems", nargs="*", default=["mono", "tri1", "tri2b", "tri3b"],
                        choices=list(LADDER))
    parser.add_argument("--alone", action="store_true", help="recognise each file by itself, too")
    parser.add_argument("--nj", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], help="SECTION.OPTION=VALUE")
    args = parser.parse_args()
    recipe = read_recipe(REPOSITORY / "egs" / args.recipe, read_overrides(args.set))
    work = args.work or Path(tempfile.mkdtemp(prefix="hybridasr-folds-"))
    print(f"{args.recipe}, {time.strftime('%Y-%m-%d')},",
          " ".join(args.set) or "the recipe's options")
    with executor(args.nj) as pool:
        data, lang = prepare(recipe, args.corpus, work, pool)
        speakers, count = list(data.speakers), FOLDS[args.recipe]
        folds = [Fold(recipe, tuple(args.systems), data.path, lang, tuple(speakers[k::count]),
                      work / f"fold{k + 1}", args.alone) for k in range(count)]
        results = list(run_blocks(pool, run_fold, [(fold,) for fold in folds], desc="folds"))
    for fold in folds:
        print(f"{fold.work.name}: {' '.join(fold.left_out)}")
    print(f"{'system':8}{''.join(f'{fold.work.name:>8}' for fold in folds)}    mean  spread")
    for name in results[0]:
        values = [result[name] for result in results]
        print(f"{name:8}{''.join(f'{value:8.2f}' for value in values)}"
              f"{statistics.mean(values):8.2f}{statistics.stdev(values):8.2f}")


def prepare(recipe: Recipe, corpus: Path, work: Path, pool: Executor) -> tuple[DataDir, Path]:
    """Make the features and the lang directory, unless they are there."""
    features, lang = recipe.options["features"], recipe.options["lang"]
    path = work / f"data-{digest(to_dict(features))}"
    if not (path / "feats.scp").is_file():
        sets = find_reader(recipe.reader).read(corpus, ReaderOptions())
        chosen = sets if recipe.name in ALL_SPEAKERS else ("train",)
        make_feats(write_datadir(path, [u for name in chosen for u in sets[name]]), features, pool)
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
    """Return the per cent of words wrong: of whole speakers, and of files alone if wanted."""
    options, graph = fold.recipe.options, model / "graph"
    settings = [to_dict(options[part]) for part in ("graph", "search", "adapt")]
    cache = model / f"folds-{digest(fold.alone, *settings)}.json"
    if cache.is_file():
        return read_json(cache)
    acoustic = load_model(model)
    make_graph(acoustic.lang, acoustic.transitions, acoustic.tree, graph, fold.recipe.grammar,
               grammar_phrases(acoustic.lang, None), options=options["graph"])
    row = evaluate(model, graph, test, model / "decode", options["search"], pool,
                   adapt=options["adapt"])
    rates = {name: row["wer"]}
    if fold.alone:
        recognizer = load(model, options["search"], adapt=options["adapt"])
        wrong = sum(tuple(recognizer.recognize(utterance.wav)["text"].split()) != utterance.words
                    for utterance in test.utterances.values())
        rates[f"{name} alone"] = 100 * wrong / len(test)
    write_json(cache, rates)
    return rates


if __name__ == "__main__":
    main()
