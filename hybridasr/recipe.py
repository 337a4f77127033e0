"""Owns recipes: the numbered stages from recordings to the table of results.

What differs between corpora is configuration (``egs/<recipe>/recipe.conf``); the stages are the
same for all. A stage that is done and whose inputs and options are unchanged is skipped, so the
same command goes on where it was interrupted. Each stage calls what the verb of its name calls.
"""

import configparser
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybridasr.corpus.datadir import read_datadir, write_datadir
from hybridasr.corpus.download import download_corpus
from hybridasr.corpus.readers import (
    Reader,
    ReaderOptions,
    detect_reader,
    find_reader,
    missing_corpus_message,
)
from hybridasr.corpus.validate import check_datadir
from hybridasr.decode.adapt import AdaptOptions
from hybridasr.decode.search import SearchOptions
from hybridasr.errors import UserError
from hybridasr.evaluate import evaluate, homophone_classes
from hybridasr.features.mfcc import FeatureOptions
from hybridasr.features.pipeline import PipelineOptions, make_feats
from hybridasr.graph.compose import GraphOptions
from hybridasr.lexicon import tables_dir
from hybridasr.lexicon.langdir import LangOptions, read_lang
from hybridasr.mkgraph import grammar_phrases, make_graph
from hybridasr.mklang import make_lang
from hybridasr.options import from_strings, to_dict
from hybridasr.parallel import executor
from hybridasr.progress import job_log, logger
from hybridasr.score.tables import add_result, read_results
from hybridasr.stages import run_stage
from hybridasr.storage import PathLike, digest, read_text
from hybridasr.train.em import training_line
from hybridasr.train.mono import train_mono
from hybridasr.train.systems import KINDS, LADDER

SECTIONS = {"features": FeatureOptions, "pipeline": PipelineOptions, "lang": LangOptions,
            **{name: rung.options for name, rung in LADDER.items()},
            "graph": GraphOptions, "search": SearchOptions, "adapt": AdaptOptions}
STAGES = {
    "corpus": "find, download or synthesise the recordings; write data/<set>",
    "lang": "lexicon and data/lang",
    "features": "features and CMVN statistics of every set",
    "mono": "monophones: train exp/mono, build its graph, recognise and score the test sets",
    **{name: f"{KINDS[rung.kind].what}: the same with exp/{name}"
       for name, rung in LADDER.items() if rung.kind in KINDS},
}


@dataclass(frozen=True)
class Recipe:
    """The configuration of one recipe."""

    name: str
    directory: Path
    title: str
    reader: str  # a reader's name, or "auto" for any folder that one of them knows
    test: tuple[str, ...]
    grammar: str  # commands: one an utterance; loop: any number of them
    phrases: str  # lexicon: all words; texts: all training transcripts; or a command list's name
    systems: tuple[str, ...]  # those of the ladder that are trained, in order
    lexicon: str | None = None
    homophones: bool = False  # whether words of equal pinyin count as right for each other
    options: dict[str, Any] = field(default_factory=dict)  # section -> options


@dataclass(frozen=True)
class RunOptions:
    """What the caller of a recipe chooses."""

    work: Path
    corpus: Path | None = None
    download: bool = False
    commands: Path | None = None
    nj: int = 2
    stage: int = 1
    stop_stage: int = len(STAGES)
    test_speaker: str | None = None
    oov: str = "error"
    allow_pipes: bool = False
    channel: str = "mix"


def read_recipe(directory: PathLike, overrides: dict[str, dict[str, str]] | None = None) -> Recipe:
    """Read ``recipe.conf`` of a recipe; `overrides` replace values, section by section.

    Raises
    ------
    UserError
        if the recipe does not exist, or a section or option is unknown.
    """
    directory = Path(directory)
    path = directory / "recipe.conf"
    if not path.is_file():
        names = sorted(p.parent.name for p in directory.parent.glob("*/recipe.conf"))
        raise UserError(f"no recipe '{directory.name}'; choose one of {', '.join(names)}")
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_text(path))
        unknown = ({*parser.sections()} - {"recipe"} | {*(overrides or {})}) - set(SECTIONS)
        if unknown:
            raise UserError(f"unknown section [{sorted(unknown)[0]}]; known: {', '.join(SECTIONS)}",
                            path)
        options = {}
        for name, options_class in SECTIONS.items():
            values = dict(parser[name]) if parser.has_section(name) else {}
            values.update((overrides or {}).get(name, {}))
            options[name] = from_strings(options_class, values, f"{path} [{name}]")
        main = dict(parser["recipe"])
        return Recipe(directory.name, directory, main["title"], main["reader"],
                      tuple(main["test"].split()), main["grammar"], main["phrases"],
                      _read_systems(main["systems"], path), main.get("lexicon"),
                      parser.getboolean("recipe", "homophones", fallback=False), options)
    except configparser.Error as error:
        raise UserError(f"{error.message.splitlines()[0]}; mend the file", path) from None
    except KeyError as error:
        raise UserError(f"[recipe] lacks {error}; add it", path) from None


def _read_systems(text: str, path: Path) -> tuple[str, ...]:
    systems = tuple(text.split())
    for place, name in enumerate(systems):
        if name not in LADDER:
            raise UserError(f"[recipe] systems: no system '{name}'; known: {', '.join(LADDER)}",
                            path)
        source = LADDER[name].source
        if source and source not in systems[:place]:
            raise UserError(f"[recipe] systems: {name} starts from {source}, which must come "
                            "before it", path)
    return systems


def run_recipe(recipe: Recipe, run: RunOptions) -> list[dict[str, Any]]:
    """Run the stages from `run.stage` to `run.stop_stage`; return the rows of results.json.

    Raises
    ------
    UserError
        with the line that says what to mend; what was finished is kept.
    """
    if not 1 <= run.stage <= run.stop_stage <= len(STAGES):
        raise UserError(f"--stage {run.stage} and --stop-stage {run.stop_stage} must be in order "
                        f"and from 1 to {len(STAGES)}")
    logger.info("recipe %s: %s; work directory %s, --nj %d", recipe.name, recipe.title, run.work,
                run.nj)
    with executor(run.nj) as pool:
        runner = _Runner(recipe, run, pool)
        for number, name in enumerate(STAGES, 1):
            if run.stage <= number <= run.stop_stage:
                if name in LADDER and name not in recipe.systems:
                    continue
                logger.info("stage %d: %s", number, STAGES[name])
                if name in LADDER:
                    runner.system(name)
                else:
                    getattr(runner, name)()
    return read_results(run.work / "results.json")


class _Runner:
    """The stages, one method each; what one hands to the next is on disk."""

    def __init__(self, recipe: Recipe, run: RunOptions, pool: Executor):
        self.recipe, self.run, self.pool = recipe, run, pool
        self.options = recipe.options
        self.data = run.work / "data"
        self.lang_dir = self.data / "lang"
        self.exp = run.work / "exp"

    def corpus(self) -> None:
        """Find, download or synthesise the recordings; write a data directory for each set."""
        reader, root = self._find_corpus()
        commands = self.run.commands if reader.name == "commands_zh" else None
        options = ReaderOptions(test_speaker=self.run.test_speaker, nj=self.run.nj,
                                commands=str(commands) if commands else None)
        # What is synthesised follows from the options; what is found is known by its listing.
        chosen = {"reader": reader.name, "corpus": str(root),
                  "test speaker": self.run.test_speaker,
                  "recordings": "" if reader.name == "commands_zh" else _listing(root)}

        def write() -> str:
            sets = reader.read(root, options)
            for name in ("train", *self.recipe.test):
                if not sets.get(name):
                    raise UserError(f"no recordings for the set '{name}'; {reader.expected()}",
                                    root)
            sizes = []
            for name, utterances in sets.items():
                data = write_datadir(self.data / name, utterances)
                check_datadir(data.path)
                sizes.append(f"{name} {len(data)} utterances of {len(data.speakers)} speakers")
            return "; ".join(sizes)

        self._stage("corpus", [chosen, *([commands] if commands else [])],
                    self._files("wav.scp", "text", "utt2spk", "spk2utt"), write,
                    self.data / "log" / "corpus.log", options)

    def lang(self) -> None:
        """Find the pronunciation of every word; write data/lang."""
        user = self.recipe.directory / self.recipe.lexicon if self.recipe.lexicon else None
        phrase_file = self._phrase_file()
        inputs = [*self._files("text"), {"oov": self.run.oov}, self.options["lang"],
                  tables_dir(), *(path for path in (user, phrase_file) if path)]

        def write() -> str:
            sources = [self.data / name for name in self.every_set]
            return make_lang(sources + ([phrase_file] if phrase_file else []), self.lang_dir,
                             self.options["lang"], self.run.oov, user)

        self._stage("lang", inputs, [self.lang_dir / "lang.json", self.lang_dir / "L.fst"], write,
                    self.data / "log" / "lang.log", self.options["lang"])

    def features(self) -> None:
        """Compute features and CMVN statistics of every set."""
        for name in self.every_set:
            directory = self.data / name

            def write(directory: Path = directory) -> str:
                data = make_feats(read_datadir(directory), self.options["features"], self.pool,
                                  self.run.allow_pipes, self.run.channel)
                hours = sum(float(value) for value in data.tables["utt2dur"].values()) / 3600
                return f"{len(data)} utterances, {hours:.2f} h"

            files = [directory / file for file in ("wav.scp", "utt2spk", "segments")]
            files += map(Path, read_datadir(directory).recordings.values())
            self._stage(f"features of {name}",
                        [*(path for path in files if path.is_file()), self.options["features"],
                         {"channel": self.run.channel}],
                        [directory / "feats.scp", directory / "cmvn.scp"], write,
                        self.data / "log" / f"features_{name}.log", self.options["features"])

    def system(self, name: str) -> None:
        """Train a system of the ladder, build its graph, recognise and score the test sets."""
        self._train(name)
        self._graph(self.exp / name)
        for test_set in self.recipe.test:
            self._decode(self.exp / name, test_set)

    def _train(self, name: str) -> None:
        rung, options, destination = LADDER[name], self.options[name], self.exp / name
        source = self.exp / rung.source if rung.source else None

        def write() -> str:
            data, lang = read_datadir(self.data / "train"), read_lang(self.lang_dir)
            if source is None:
                model = train_mono(data, lang, self.options["features"], self.options["pipeline"],
                                   destination, self.pool, options)
            else:
                model = KINDS[rung.kind].train(data, lang, source, destination, self.pool, options)
            return training_line(destination, model.info, self.run.nj)

        inputs = [self.data / "train" / file for file in ("text", "feats.ark", "cmvn.ark")]
        inputs += [self.lang_dir / "lexiconp.txt", self.lang_dir / "lang.json",
                   self.lang_dir / "phones" / "roots.int", options, self.options["pipeline"]]
        if source is not None:
            inputs += [source / "gmm.npz", source / "ali.ark"]
        self._stage(name, inputs, [destination / "model.json", destination / "ali.ark"], write,
                    destination / "log" / "train.log", options)

    def _graph(self, model: Path) -> None:
        phrase_file = self._phrase_file()

        def write() -> str:
            return make_graph(model, model / "graph", self.recipe.grammar, self._phrases(model),
                              options=self.options["graph"])

        inputs = [model / "gmm.npz", model / "lang", self.data / "train" / "text",
                  {"grammar": self.recipe.grammar, "phrases": self.recipe.phrases},
                  self.options["graph"], *([phrase_file] if phrase_file else [])]
        self._stage(f"graph {model.name}", inputs, [model / "graph" / "graph.npz"], write,
                    model / "log" / "mkgraph.log", self.options["graph"])

    def _decode(self, model: Path, test_set: str) -> None:
        results = self.run.work / "results.json"
        destination = model / f"decode_{test_set}"
        search, adapt = self.options["search"], self.options["adapt"]

        def write() -> str:
            data = read_datadir(self.data / test_set)
            classes = homophone_classes(read_lang(model / "lang"))
            row = evaluate(model, model / "graph", data, destination, search, self.pool,
                           classes if self.recipe.homophones else None, adapt)
            add_result(results, row)
            return f"{destination}: WER {row['wer']:.2f} %, real-time factor {row['rtf']:.4f}"

        files = [self.data / test_set / file for file in ("text", "feats.ark", "cmvn.ark")]
        self._stage(f"decode {model.name} {test_set}",
                    [model / "gmm.npz", model / "graph" / "graph.npz", *files, search, adapt,
                     {"homophones": self.recipe.homophones}],
                    [destination / "text", results], write,
                    model / "log" / f"decode_{test_set}.log", search)

    @property
    def every_set(self) -> tuple[str, ...]:
        """The sets that are trained and tested on."""
        return ("train", *self.recipe.test)

    def _files(self, *names: str) -> list[Path]:
        return [self.data / part / name for part in self.every_set for name in names]

    def _stage(self, name: str, inputs: list, outputs: list[Path],
               function: Callable[[], str], log: Path, options: Any) -> None:
        def logged() -> str:
            with job_log(log, f"{self.recipe.name}: {name}", to_dict(options)):
                line = function()
                logger.debug("%s", line)
            return f"{name}: {line}"

        run_stage(self.run.work, name, inputs, outputs, logged)

    def _find_corpus(self) -> tuple[Reader, Path]:
        name, given = self.recipe.reader, self.run.corpus
        if given is not None:
            if not given.is_dir():
                raise UserError("no such corpus folder; check --corpus", given)
            reader = None if name == "auto" else find_reader(name)
            # Any folder that some reader knows works with the settings of any recipe.
            return (reader if reader and reader.matches(given) else detect_reader(given)), given
        if name == "commands_zh":
            return find_reader(name), self.run.work / "corpus"
        if name != "auto" and self.run.download:
            return find_reader(name), download_corpus(name, self.run.work / "downloads")
        if name == "auto":
            raise UserError("no recordings given; pass --corpus FOLDER (one sub-folder per "
                            "command, or Kaldi's train/ and test/ data directories)")
        raise UserError(missing_corpus_message(name))

    def _phrase_file(self) -> Path | None:
        if self.run.commands:
            return self.run.commands
        if self.recipe.phrases in ("lexicon", "texts"):
            return None
        return self.recipe.directory / self.recipe.phrases

    def _phrases(self, model: Path) -> list[tuple[str, ...]]:
        if self.recipe.phrases == "texts" and not self.run.commands:
            train = read_datadir(self.data / "train")
            phrases = sorted({u.words for u in train.utterances.values() if u.words})
            if not phrases:
                raise UserError("no utterance has words; write what is said, or give --commands",
                                train.path / "text")
            return phrases
        return grammar_phrases(read_lang(model / "lang"), self._phrase_file())


def _listing(root: Path) -> str:
    """Digest of the names and sizes of all files below a folder."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return digest([[str(path.relative_to(root)), path.stat().st_size] for path in files])
