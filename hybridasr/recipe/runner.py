"""Owns the stages of recipes: from recordings to the table of results.

What differs between corpora is configuration (`hybridasr.recipe.config`). A stage that is done
and whose inputs and options are unchanged is skipped, so the same command goes on where it was
interrupted. Each stage calls the same function as the verb of its name.
"""

import shutil
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from hybridasr.corpus.augment import augment_datadir
from hybridasr.corpus.background import check_background
from hybridasr.corpus.datadir import read_datadir
from hybridasr.corpus.join import without_strings
from hybridasr.corpus.readers import ReaderOptions
from hybridasr.corpus.subsets import combine, copy_datadir
from hybridasr.errors import UserError, require_extra
from hybridasr.evaluation.evaluate import evaluate, graph_lang, homophone_classes
from hybridasr.evaluation.tune import held_out, tune_scale
from hybridasr.features.feature_set import make_feats, without_features
from hybridasr.features.frames import FeatureOptions
from hybridasr.graph.mklang import make_lang
from hybridasr.lexicon import tables_dir
from hybridasr.lexicon.langdir import read_lang
from hybridasr.model.directory import ARRAY_FILES
from hybridasr.options import to_dict
from hybridasr.parallel import executor
from hybridasr.progress import job_log, logger
from hybridasr.recipe.command_stages import command_stages
from hybridasr.recipe.config import (
    BACKGROUND,
    CHAIN,
    CONDITIONS,
    DNN,
    IN_USE,
    JUDGES,
    NETWORKS,
    RESCORE,
    STRING_GRAPH,
    SUFFIXES,
    WAKE,
    Recipe,
    RunOptions,
)
from hybridasr.recipe.corpus import background_stage, find_corpus, listing, write_sets
from hybridasr.recipe.lm_stages import language_model_stage, rescore_stages
from hybridasr.recipe.lock import work_lock
from hybridasr.recipe.network_stage import train_recipe_network
from hybridasr.recipe.recipe_grammar import make_recipe_graph, phrase_file, sayable
from hybridasr.recipe.stage import run_stage
from hybridasr.recipe.synthetic_stage import hears_synthetic, wider_alignments, wider_set
from hybridasr.recipe.tones import with_pitch
from hybridasr.score.result_table import add_result, read_results
from hybridasr.storage import digest, read_json, read_text, remove_stale_temporaries
from hybridasr.train.em import training_line
from hybridasr.train.ladder import LADDER, TRAINERS
from hybridasr.train.mono import train_mono

STAGES = {
    "corpus": "find, download or synthesise the recordings; write data/<set>",
    "lang": "lexicon and data/lang",
    "features": "features and CMVN statistics of every set",
    "mono": "monophones: train exp/mono, build its graph, recognise and score the test sets",
    **{name: f"{TRAINERS[rung.kind].what}: the same with exp/{name}"
       for name, rung in LADDER.items() if rung.kind in TRAINERS},
    "copies": "copies of the training set at other speeds and with noise; the network's features",
    DNN: "network: train exp/dnn on alignments, build its graph, recognise and score",
    "commands": "commands and fillers: calibrate the network, accept and reject",
    WAKE: "first stage of wake words, where the recipe has one: train exp/dnn/wake, int8",
    CHAIN: "network by lattice-free MMI: the same with exp/chain",
    RESCORE: "lattices of the last network, with larger language models",
}


def run_recipe(recipe: Recipe, run: RunOptions) -> list[dict[str, Any]]:
    """Run the stages from `run.stage` to `run.stop_stage`; return the rows of results.json.

    Raises
    ------
    UserError
        with the line that says what to mend; what was finished is kept.
    """
    last = len(STAGES) if run.stop_stage is None else run.stop_stage
    if not 1 <= run.stage <= last <= len(STAGES):
        raise UserError(f"--stage {run.stage} and --stop-stage {last} must be in order "
                        f"and from 1 to {len(STAGES)}")
    if run.background and not {*NETWORKS} & {*recipe.systems}:
        raise UserError("--background is for the network, and the recipe trains "
                        f"{' '.join(recipe.systems)} alone; leave it out")
    if run.text and recipe.grammar != "ngram":
        raise UserError(f"--text has no effect: the grammar of recipe {recipe.name} is "
                        f"{recipe.grammar}; leave it out")
    check_background(run.background)
    require_extra("rapidfuzz", "score", "error rates")
    logger.info("recipe %s: %s; work directory %s, --nj %d", recipe.name, recipe.title, run.work,
                run.nj)
    with work_lock(run.work), executor(run.nj) as pool:
        remove_stale_temporaries(run.work)  # of a run that was killed
        runner = _Runner(recipe, run, pool)
        for number, name in enumerate(STAGES, 1):
            if run.stage <= number <= last:
                # The copies feed the networks only, and commands are accepted by one of them.
                users = {"copies": NETWORKS, "commands": (DNN,), WAKE: (DNN,)}.get(name, (name,))
                if {*users} <= {*LADDER, *NETWORKS} and not {*users} & {*recipe.systems}:
                    continue
                if name == "commands" and not (recipe.commands or run.commands):
                    continue
                if name == WAKE and not recipe.options[WAKE].network:
                    continue
                if name == RESCORE and not recipe.options[RESCORE].large_order:
                    continue
                logger.info("stage %d: %s", number, STAGES[name])
                runner.recipe = with_pitch(runner.recipe, runner.lang_dir)
                if name in LADDER:
                    runner.system(name)
                else:
                    getattr(runner, name)()
    return read_results(run.work / "results.json")


class _Runner:
    """The stages, one method each; what one hands to the next is on disk."""

    def __init__(self, recipe: Recipe, run: RunOptions, pool: Executor):
        self.recipe, self.run, self.pool = recipe, run, pool
        self.data = run.work / "data"
        self.lang_dir = self.data / "lang"
        self.network_data = self.data / "network"  # sets with the network's features
        self.exp = run.work / "exp"
        self.lm = self.data / "lm" / "ngram.bin"

    @property
    def options(self) -> dict[str, Any]:
        """Section of the recipe -> its options."""
        return self.recipe.options

    @cached_property
    def synthetic(self) -> bool:
        """Whether synthetic speakers are heard; a warning, once, where they should be."""
        return hears_synthetic(self.recipe)

    def corpus(self) -> None:
        """Find, download or synthesise the recordings; write a data directory for each set."""
        reader, root = find_corpus(self.recipe, self.run.corpus, self.run.download,
                                   self.run.work)
        commands = self.run.commands if reader.synthesises else None
        options = ReaderOptions(test_speaker=self.run.test_speaker, nj=self.run.nj,
                                commands=str(commands) if commands else None)
        # What is synthesised follows from the options; what is found is known by its listing.
        source = {"reader": reader.name, "corpus": str(root),
                  "test speaker": self.run.test_speaker,
                  "recordings": "" if reader.synthesises else listing(root)}

        def write() -> str:
            sets = reader.read(root, options)
            for name in ("train", *self.recipe.test):
                if not sets.get(name):
                    raise UserError(f"no recordings for the set '{name}'; {reader.expected()}",
                                    root)
            return write_sets(sets, self.recipe, self.run, self.pool)

        if self.recipe.strings:
            source |= {**to_dict(self.options["join"]), "channel": self.run.channel}
        self._stage("corpus", [source, *([commands] if commands else [])],
                    self._files("wav.scp", "text", "utt2spk", "spk2utt"), write,
                    self.data / "log" / "corpus.log", options)
        if self.run.background:
            background_stage(self.run.background, self.data, self._stage)

    def lang(self) -> None:
        """Find the pronunciation of every word; write data/lang."""
        user = self.recipe.directory / self.recipe.lexicon if self.recipe.lexicon else None
        # Words of these need pronunciations even if nobody says them in the data.
        lists = [path for path in (phrase_file(self.recipe, self.run.commands),
                                   self.recipe.synthetic_texts) if path]
        inputs = [*self._files("text"), {"oov": self.run.oov}, self.options["lang"],
                  tables_dir(), *([user] if user else []), *lists]

        def write() -> str:
            sources = [self.data / name for name in self.every_set]
            return make_lang(sources + lists, self.lang_dir, self.options["lang"], self.run.oov,
                             user)

        self._stage("lang", inputs, [self.lang_dir / "lang.json", self.lang_dir / "L.fst"], write,
                    self.data / "log" / "lang.log", self.options["lang"])
        if self.recipe.grammar == "ngram":
            language_model_stage(self.recipe, self.run, "lm", self.lm.parent, self._stage)

    def features(self) -> None:
        """Compute features and CMVN statistics of every set."""
        for name in self.every_set:
            self._features(name, self.data / name, self.options["features"])

    def _features(self, name: str, directory: Path, options: FeatureOptions) -> None:
        def write() -> str:
            data = make_feats(read_datadir(directory), options, self.pool, self.run.allow_pipes,
                              self.run.channel)
            hours = sum(float(value) for value in data.tables["utt2dur"].values()) / 3600
            return f"{len(data)} utterances, {hours:.2f} h"

        files = [directory / file for file in ("wav.scp", "utt2spk", "segments")]
        files += map(Path, read_datadir(directory).recordings.values())
        self._stage(f"features of {name}",
                    [*(path for path in files if path.is_file()), options,
                     {"channel": self.run.channel}],
                    [directory / "feats.scp", directory / "cmvn.scp"], write,
                    self.data / "log" / f"features_{name.replace(' ', '_')}.log", options)

    def copies(self) -> None:
        """Write altered copies of the training set, and the network's features of all sets."""
        train, options = self.data / "train", self.options["augment"]
        if self.synthetic:
            train = wider_set(self.recipe, self.data, self.pool, self._stage)
        altered, joined = self.data / "train_copies", self.network_data / "train"

        def write() -> str:
            data = read_datadir(train)
            sets = [data]
            if options.copies or set(options.factors) - {1.0}:
                sets.append(augment_datadir(data, altered, options, self.pool,
                                            self.run.allow_pipes, self.run.channel))
            copies = sum(map(len, sets)) - len(data)
            if self.run.background:
                sets.append(read_datadir(self.data / BACKGROUND))
            combine([without_features(part) for part in sets], joined)
            # Test sets are copied unchanged: only their features are made anew.
            for name in self.every_set[1:]:
                copy_datadir(without_features(read_datadir(self.data / name)),
                             self.network_data / name)
            return f"{len(data)} utterances, {copies} copies"

        files = self._files("wav.scp", "text", "utt2spk", "segments") + [train / "wav.scp"]
        if self.run.background:
            files += [self.data / BACKGROUND / name for name in ("wav.scp", "segments")]
        files += map(Path, read_datadir(train).recordings.values())
        self._stage("copies", [*(path for path in files if path.is_file()), options,
                               {"channel": self.run.channel}],
                    [joined / "wav.scp"], write, self.data / "log" / "copies.log", options)
        for name in self.every_set:
            self._features(f"{name} for the network", self.network_data / name,
                           self.options["dnn_features"])

    def system(self, name: str) -> None:
        """Train a system of the ladder, build its graph, recognise and score the test sets."""
        self._train(name)
        self._graph(self.exp / name)
        self._test(self.exp / name, self.data)

    def dnn(self) -> None:
        """Train a network on alignments, build its graph, recognise and score the test sets."""
        self._network(DNN)

    def chain(self) -> None:
        """Train a network by lattice-free MMI, build its graph, recognise and score."""
        self._network(CHAIN)

    def _network(self, name: str) -> None:
        destination = self.exp / name
        self._train_network(name, self.recipe.alignments, destination)
        self._graph(destination)
        self._judges(destination)
        self._tune(destination)
        self._test(destination, self.network_data)

    def rescore(self) -> None:
        """Give lattices of the last network the costs of larger language models, and score."""
        rescore_stages(self.recipe, self.run, self.pool, self._stage)

    def wake(self) -> None:
        """Train the first stage of wake words: states of phones alone, with int8 weights."""
        self._train_network(WAKE, "mono", self.exp / DNN / WAKE)

    def _train_network(self, name: str, alignments: str, destination: Path) -> None:
        """Train a network on the alignments of a system."""
        options = self.options[name]
        source, train = self.exp / alignments, self.network_data / "train"
        if self.synthetic:
            source = wider_alignments(self.recipe, source, self.data, self.pool, self._stage)
        if options.network:
            options = replace(options, network=str(self.recipe.directory / options.network))

        def write() -> str:
            # A new model has no scale of its own, even if its arrays are those of the old one.
            shutil.rmtree(destination / "tune", ignore_errors=True)
            return train_recipe_network(name, train, self.lang_dir, source, destination, self.pool,
                                        options, self.run.nj)

        inputs = [train / file for file in ("text", "feats.ark", "cmvn.ark")]
        inputs += [source / "gmm.npz", source / "ali.ark", self.options[name]]
        inputs += [self.lang_dir / "lexiconp.txt"]  # which goes with the model
        inputs += [Path(value) for option, value in to_dict(options).items()
                   if option in ("network", "teacher") and value]
        self._stage(name, inputs, [destination / "model.json"], write,
                    destination / "log" / "train.log", options)

    def commands(self) -> None:
        """Calibrate the network on held-out speech; accept and reject in the test sets."""
        command_stages(self.recipe, self.run.commands, self.run.work, self.pool, self._stage,
                       self._features, self.data / f"{BACKGROUND}_{JUDGES}"
                       if self.run.background else None)

    def _train(self, name: str) -> None:
        rung, options, destination = LADDER[name], self.options[name], self.exp / name
        source = self.exp / rung.source if rung.source else None

        def write() -> str:
            data, lang = read_datadir(self.data / "train"), read_lang(self.lang_dir)
            if source is None:
                model = train_mono(data, lang, self.options["features"], self.options["pipeline"],
                                   destination, self.pool, options)
            else:
                train = TRAINERS[rung.kind].train
                model = train(data, lang, source, destination, self.pool, options)
            return training_line(destination, model.info, self.run.nj)

        inputs = [self.data / "train" / file for file in ("text", "feats.ark", "cmvn.ark")]
        inputs += [self.lang_dir / "lexiconp.txt", self.lang_dir / "lang.json",
                   self.lang_dir / "phones" / "roots.int", options, self.options["pipeline"]]
        if source is not None:
            inputs += [source / "gmm.npz", source / "ali.ark"]
        self._stage(name, inputs, [destination / "model.json", destination / "ali.ark"], write,
                    destination / "log" / "train.log", options)

    def _graph(self, model: Path, folder: str = "graph") -> None:
        recipe, commands = self.recipe, self.run.commands
        if folder == STRING_GRAPH:  # strings of any words of the lexicon
            recipe, commands = replace(recipe, grammar="loop"), None
        phrases = phrase_file(recipe, commands)

        def write() -> str:
            return make_recipe_graph(recipe, commands, model, self.data / "train", self.lm, folder)

        inputs = [_arrays(model), model / "lang", self.data / "train" / "text",
                  {"grammar": recipe.grammar, "phrases": recipe.phrases},
                  self.options["graph"], *([phrases] if phrases else []),
                  *([self.lm] if recipe.grammar == "ngram" else [])]
        self._stage(f"{folder} {model.name}", inputs, [model / folder / "graph.npz"], write,
                    model / "log" / f"mk{folder}.log", self.options["graph"])

    def _judges(self, model: Path) -> None:
        """Write what a network's choices rest on: speech held out, as it is and with silence."""
        destination, copies = self.network_data / JUDGES, self.data / f"{JUDGES}_copies"
        if not read_text(model / "held_out"):
            shutil.rmtree(destination, ignore_errors=True)  # of an earlier network
            return

        def write() -> str:
            data = without_strings(held_out(model, read_datadir(self.data / "train")))
            padded = augment_datadir(data, copies, IN_USE, self.pool, self.run.allow_pipes,
                                     self.run.channel)
            combine([without_features(part) for part in (data, padded)], destination)
            return f"{len(data)} utterances, each as it is and with silence around it"

        # By what it says: the networks of a recipe have the same list, each in its own place.
        names = {"names": digest(read_text(model / "held_out"))}
        self._stage(JUDGES.replace("_", " "), [names, IN_USE, {"channel": self.run.channel}],
                    [destination / "wav.scp"], write, self.data / "log" / f"{JUDGES}.log", IN_USE)
        self._features(f"{JUDGES} for the network", destination, self.options["dnn_features"])

    def _tune(self, model: Path) -> None:
        search = self.options["search"]

        def write() -> str:
            classes = homophone_classes(graph_lang(model, model / "graph"))
            judges = sayable(self.recipe, self.run.commands, model, self.data / "train",
                             read_datadir(self.network_data / JUDGES))
            best, rates = tune_scale(model, model / "graph", judges, self.pool, search,
                                     classes if self.recipe.homophones else None)
            return (f"{model}: acoustic scale {best[0]:.3f}, WER {rates[best]:.2f} % of the "
                    "utterances held out")

        # A scale that the recipe gives needs no tuning; without held-out speech there is no data.
        if search.acoustic_scale is None and read_text(model / "held_out"):
            self._stage(f"tune {model.name}",
                        [_arrays(model), model / "graph" / "graph.npz", search,
                         {"homophones": self.recipe.homophones}], [model / "tune"], write,
                        model / "log" / "tune.log", search)

    def _test(self, model: Path, data: Path) -> None:
        for name in self.recipe.test:
            self._decode(model, data / name, "graph")
        if self.recipe.strings:
            self._graph(model, STRING_GRAPH)
        for name in self.recipe.string_sets:
            self._decode(model, data / name, STRING_GRAPH)

    def _decode(self, model: Path, test_set: Path, graph: str) -> None:
        results = self.run.work / "results.json"
        folders = {known: model / f"decode_{test_set.name}{end}" for known, end in SUFFIXES.items()}
        search, adapt = self.options["search"], self.options["adapt"]

        def write() -> str:
            data = read_datadir(test_set)
            classes = homophone_classes(graph_lang(model, model / graph))
            lines = []
            for known, what in CONDITIONS.items():
                row = evaluate(model, model / graph, data, folders[known], search, self.pool,
                               classes if self.recipe.homophones else None, adapt, known)
                add_result(results, row)
                lines.append(f"{what} {row['wer']:.2f} %")
            return (f"{folders['all']}: WER {', '.join(lines)}, real-time factor "
                    f"{row['rtf']:.4f}")

        files = [test_set / file for file in ("text", "feats.ark", "cmvn.ark")]
        self._stage(f"decode {model.name} {test_set.name}",
                    [_arrays(model), model / graph / "graph.npz", *files, search, adapt,
                     # tune-scale changes model.json only, so that the scale is named here.
                     {"homophones": self.recipe.homophones,
                      "acoustic scale": read_json(model / "model.json").get("acoustic_scale")}],
                    [*(folder / "text" for folder in folders.values()), results], write,
                    model / "log" / f"decode_{test_set.name}.log", search)

    @property
    def every_set(self) -> tuple[str, ...]:
        """The sets that are trained and tested on."""
        return ("train", *self.recipe.test, *self.recipe.string_sets)

    def _files(self, *names: str) -> list[Path]:
        return [self.data / part / name for part in self.every_set for name in names]

    def _stage(self, name: str, inputs: list, outputs: list[Path],
               function: Callable[[], str], log: Path, options: Any) -> bool:
        def logged() -> str:
            with job_log(log, f"{self.recipe.name}: {name}", to_dict(options)):
                line = function()
                logger.debug("%s", line)
            return f"{name}: {line}"

        return run_stage(self.run.work, name, inputs, outputs, logged)


def _arrays(model: Path) -> Path:
    return model / ARRAY_FILES["nnet" if model.name in NETWORKS else "gmm"]
