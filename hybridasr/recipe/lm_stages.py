"""Owns the stages of language models in recipes: the graph's model, and rescoring with larger ones.

Lattices of the last network, one recording at a time, get the costs of a larger n-gram model in
place of the graph's, and then those of its mixture with a neural model. The neural model's share is
that with which the sentences of the speakers whom the network only watched are most likely; no
model has seen them.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

from hybridasr.batch.decode_dir import LATTICES, open_lattices, write_hypotheses
from hybridasr.batch.decode_set import DecodeOutput, decode_set
from hybridasr.batch.lattice_rescore import best_words, exchanged, mixed_with_neural, rescore_set
from hybridasr.checkpoint import CHECKPOINT
from hybridasr.corpus.datadir import read_datadir
from hybridasr.evaluation.evaluate import result_row
from hybridasr.lattice.lm_rescore import NgramCosts
from hybridasr.lm.interpolate import estimate_weights
from hybridasr.lm.model_file import read_ngram
from hybridasr.lm.token_store import WordIds, file_tokens
from hybridasr.model.directory import ARRAY_FILES
from hybridasr.nnet.products import product_threads
from hybridasr.nnlm.lm_trainer import LmText, train_neural_lm
from hybridasr.nnlm.nnlm_directory import load_neural_lm, save_neural_lm
from hybridasr.recipe.config import NETWORKS, Recipe, RunOptions
from hybridasr.recipe.recipe_grammar import make_language_model
from hybridasr.recipe.rescore_options import RescoreOptions
from hybridasr.score.result_table import add_result
from hybridasr.storage import PathLike, read_json, read_text
from hybridasr.train.minibatch import watched_speakers

Stage = Callable[[str, list, list[Path], Callable[[], str], Path, Any], bool]
NGRAM, LARGE, NEURAL, WATCHED = "ngram.bin", "large", "nnlm", "watched"
EVEN = 0.5  # share of a neural model where nothing is held out to find it with


def language_model_stage(recipe: Recipe, run: RunOptions, name: str, destination: Path,
                         stage: Stage, **changed: Any) -> None:
    """Estimate the n-gram model of the training transcripts and the user's texts.

    Parameters
    ----------
    destination : path
        As for `recipe_grammar.make_language_model`.
    stage : callable
        As for `recipe.command_stages.command_stages`.
    changed
        Options of [lm] that this model has in place of the recipe's.
    """
    data, options = run.work / "data", replace(recipe.options["lm"], **changed)
    train = read_datadir(data / "train")
    share = max(recipe.options[network].held_out for network in NETWORKS)
    watched = watched_speakers(train.speakers, share)

    def write() -> str:
        return make_language_model(train, run.text, destination, options, recipe.cut_words, watched)

    inputs = [data / "train" / "text", *run.text, options,
              {"cut words": recipe.cut_words, "watched": sorted(watched)}]
    stage(name, inputs, [destination / NGRAM, destination / WATCHED], write,
          data / "log" / f"{name}.log", options)


def rescore_stages(recipe: Recipe, run: RunOptions, pool: Executor, stage: Stage) -> None:
    """Make the larger models, and rescore and score the test sets with them."""
    options: RescoreOptions = recipe.options["rescore"]
    network = run.work / "exp" / [name for name in recipe.systems if name in NETWORKS][-1]
    small = run.work / "data" / "lm" / NGRAM
    large, neural = small.parent / LARGE, run.work / "exp" / "nnlm"
    language_model_stage(recipe, run, f"lm_{LARGE}", large, stage, order=options.large_order,
                         prune=0.0)
    kinds = (LARGE, NEURAL) if options.neural_order else (LARGE,)
    if options.neural_order:
        def train() -> str:
            return _train_neural(large / "text", neural, options, run.nj)

        stage("nnlm", [large / "text", options.neural], [neural / "nnlm.json"], train,
              neural / "log" / "train.log", options.neural)
    for name in recipe.test:
        test_set = run.work / "data" / "network" / name
        lattices = network / f"decode_{name}_lattices"

        def decode(test_set: Path = test_set, lattices: Path = lattices) -> str:
            summary = decode_set(network, network / "graph", read_datadir(test_set), lattices,
                                 recipe.options["search"], pool, recipe.options["adapt"],
                                 DecodeOutput(True, options.lattice_beam), "none")
            return f"{lattices}: {summary['utterances']} lattices"

        inputs = [network / ARRAY_FILES["nnet"], network / "graph" / "graph.npz",
                  test_set / "feats.ark", recipe.options["search"],
                  {"lattice beam": options.lattice_beam,
                   "acoustic scale": read_json(network / "model.json").get("acoustic_scale")}]
        stage(f"lattices {network.name} {name}", inputs, [lattices / LATTICES], decode,
              network / "log" / f"lattices_{name}.log", recipe.options["search"])

        def rescore(test_set: Path = test_set, lattices: Path = lattices) -> str:
            return _rescore(network, test_set, lattices, small, large,
                            neural if options.neural_order else None, options,
                            run.work / "results.json")

        stage(f"rescore {network.name} {name}", [
            lattices / LATTICES, small, large / NGRAM, test_set / "text", options,
            *([neural / "network.npz"] if options.neural_order else [])],
            [_rescored(lattices, kind) / "text" for kind in kinds], rescore,
            network / "log" / f"rescore_{name}.log", options)


def _train_neural(text: Path, destination: Path, options: RescoreOptions, threads: int) -> str:
    with product_threads(threads):
        _, info = train_neural_lm(LmText.read(text, False), None, options.neural,
                                  keep=lambda *best: save_neural_lm(destination, *best),
                                  checkpoint=destination / CHECKPOINT)
    return (f"{destination}: {info['words']} words, held-out perplexity "
            f"{info['held_out_perplexity']:.1f} after epoch {info['epoch']}")


def _rescored(lattices: Path, name: str) -> Path:
    return lattices.with_name(lattices.name.replace("_lattices", f"_{name}"))


def _rescore(network: Path, test_set: Path, lattices: Path, small: Path, large: Path,
             neural: Path | None, options: RescoreOptions, results: Path) -> str:
    """Rescore the lattices of one set; return the closing line."""
    source, ngram = open_lattices(lattices), read_ngram(large / NGRAM)
    old, new = (NgramCosts(model, source.names) for model in (read_ngram(small), ngram))
    target = _rescored(lattices, LARGE)
    rescore_set(source, old, exchanged(new), target / LATTICES, small, large / NGRAM)
    lines = [_score(network, test_set, target, f"{options.large_order}-gram", results)]
    if neural is not None:
        source, model, target = open_lattices(target), load_neural_lm(neural), _rescored(
            lattices, NEURAL)
        weight = _neural_share(ngram, model, large / WATCHED)
        rescore_set(source, new, mixed_with_neural(source, new, model, weight, options.neural_order,
                                                   options.neural_beam),
                    target / LATTICES, large / NGRAM, neural)
        lines.append(f"{_score(network, test_set, target, 'nnlm', results)} (share of the neural "
                     f"model {weight:.2f})")
    return f"{network.name} {test_set.name} one at a time: " + ", ".join(lines)


def _neural_share(ngram: Any, model: Any, watched: Path) -> float:
    if not read_text(watched).strip():
        return EVEN
    ids = WordIds()
    weights, _ = estimate_weights([ngram, model], file_tokens(watched, ids, False), ids)
    return float(weights[1])


def _score(network: Path, test_set: Path, target: Path, what: str, results: PathLike) -> str:
    """Score rescored lattices and put their row into the table."""
    data = read_datadir(test_set)
    words: Mapping[str, list[str]] = best_words(open_lattices(target))
    write_hypotheses(target / "text", {name: words.get(name, []) for name in data.utterances})
    row = result_row(f"{network.name}+{what}", network, network / "graph", data, target, "none")
    add_result(Path(results), row)
    return f"{what} WER {row['wer']:.2f} %"
