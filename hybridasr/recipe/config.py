"""Owns the configuration of recipes: what differs between corpora, as ``egs/<recipe>/recipe.conf``.

The stages, which are the same for all, are in `hybridasr.recipe.runner`.
"""

import configparser
import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybridasr.confidence.calibrator import CalibrationOptions
from hybridasr.confidence.command_grammar import RejectOptions
from hybridasr.corpus.augment import AugmentOptions
from hybridasr.corpus.join import JoinOptions
from hybridasr.corpus.readers import READERS
from hybridasr.corpus.synthetic_set import SyntheticOptions
from hybridasr.decode.search import SearchOptions
from hybridasr.errors import UserError
from hybridasr.features.frames import FeatureOptions
from hybridasr.features.pipeline import PipelineOptions
from hybridasr.graph.self_loops import GraphOptions
from hybridasr.lexicon.langdir import LangOptions
from hybridasr.lm.estimate import LmOptions
from hybridasr.model.adaptation import AdaptOptions
from hybridasr.options import from_strings
from hybridasr.recipe.rescore_options import RescoreOptions
from hybridasr.score.result_table import KNOWN
from hybridasr.storage import PathLike, package_folder, read_text
from hybridasr.train.chain_options import ChainOptions
from hybridasr.train.ladder import LADDER
from hybridasr.train.nnet_options import DnnOptions

DNN = "dnn"  # the system that is a network
CHAIN = "chain"  # another, by lattice-free MMI
NETWORKS = (DNN, CHAIN)  # they share features and copies
# What is known of a speaker when an utterance is recognised (`features.normalization.KNOWN`): as in
# use, and as Kaldi's recipes do. What the line of a stage calls it, and the end of a folder's name.
CONDITIONS = {name: KNOWN[name] for name in ("none", "all")}
SUFFIXES = {"none": "_alone", "all": ""}
WAKE = "wake"  # the first stage of wake words, a small network below the other
JUDGES = "held_out"  # the set that scale and calibration are chosen on
# A word as a product hears it: silence of any length and level around it, near or far.
IN_USE = AugmentOptions(speeds="1.0", copies=1, colour=0.0, silence_share=1.0, max_silence=5.0,
                        noise_share=0.0, reverb_share=0.0)
BACKGROUND = "background"  # the set of other speech; a third of it, apart, is for the calibration
STRING_GRAPH = "graph_loop"  # of any number of words, beside the graph of the grammar
RESCORE = "rescore"  # the section of larger language models
SYNTHESIZE = "synthesize"  # the section of synthetic speakers
WIDER = "wider"  # the training set with them
DRAWN = "drawn"  # commands are drawn from the transcripts
GRAMMARS = ("commands", "loop", "ngram")
_NEEDED = ("title", "reader", "test", "grammar", "phrases", "systems")
_SWITCHES = ("homophones", "cut_words", "strings", "pitch_of_tones")
_FEATURES = ("features", "dnn_features")  # the sections of features
_OPTIONAL = ("alignments", "lexicon", "commands", "outside", *_SWITCHES)
SECTIONS = {"join": JoinOptions, "features": FeatureOptions, "pipeline": PipelineOptions,
            "lang": LangOptions, "lm": LmOptions,
            **{name: rung.options for name, rung in LADDER.items()},
            SYNTHESIZE: SyntheticOptions, "augment": AugmentOptions,
            "dnn_features": FeatureOptions, DNN: DnnOptions, CHAIN: ChainOptions, WAKE: DnnOptions,
            "graph": GraphOptions, "search": SearchOptions, "adapt": AdaptOptions,
            "reject": RejectOptions, "calibrate": CalibrationOptions, RESCORE: RescoreOptions}


@dataclass(frozen=True)
class Recipe:
    """The configuration of one recipe."""

    name: str
    directory: Path
    title: str
    reader: str  # a reader's name, or "auto" for any folder that one of them knows
    test: tuple[str, ...]
    grammar: str  # commands: one an utterance; loop: any number of them; ngram: sentences
    phrases: str  # lexicon: all words; texts: all training transcripts; or a command list's name
    systems: tuple[str, ...]  # those of the ladder that are trained, in order; then the networks
    alignments: str  # the system whose alignments the networks learn from
    lexicon: str | None = None
    commands: str | None = None  # the list that the network is to accept, or "drawn"
    outside: tuple[str, ...] = ()  # further sets, of which nothing is a command
    homophones: bool = False  # whether words of equal pinyin count as right for each other
    cut_words: bool = False  # whether transcripts and texts are hanzi without spaces between words
    strings: bool = False  # whether recordings are joined into strings as well, as [join] says
    pitch_of_tones: tuple[str, ...] = ()  # sections that get pitch where phones have tones
    options: dict[str, Any] = field(default_factory=dict)  # section -> options

    @property
    def string_sets(self) -> tuple[str, ...]:
        """The sets of strings that are tested on."""
        return tuple(map(string_set, self.test)) if self.strings else ()

    @property
    def synthetic_texts(self) -> Path | None:
        """What synthetic speakers say; None if it is the transcripts, or there are none."""
        options = self.options[SYNTHESIZE]
        return self.directory / options.texts if options.speakers and options.texts else None


@dataclass(frozen=True)
class RunOptions:
    """What the caller of a recipe chooses."""

    work: Path
    corpus: Path | None = None
    download: bool = False
    commands: Path | None = None
    nj: int = 2
    stage: int = 1
    stop_stage: int | None = None
    test_speaker: str | None = None
    oov: str = "error"
    allow_pipes: bool = False
    channel: str = "mix"
    background: tuple[Path, ...] = ()
    text: tuple[Path, ...] = ()


def string_set(name: str) -> str:
    """Return what the set is called whose utterances are strings of another set's.

    >>> string_set("test")
    'test_strings'
    """
    return f"{name}_strings"


def recipes_dir() -> Path:
    """Return the folder of the recipes that come with the package."""
    return package_folder("recipe/egs", "egs")


def recipe_names(folder: PathLike) -> list[str]:
    """Return the names of the recipes in a folder, sorted.

    >>> "yesno" in recipe_names(recipes_dir())
    True
    """
    return sorted(path.parent.name for path in Path(folder).glob("*/recipe.conf"))


def read_recipe(directory: PathLike, overrides: dict[str, dict[str, str]] | None = None) -> Recipe:
    """Read ``recipe.conf`` of a recipe; `overrides` replace values, section by section.

    Raises
    ------
    UserError
        if the recipe does not exist, the file is damaged, or a section, option or value is not
        known; if an override is of a system that the recipe does not train.

    Examples
    --------
    >>> from hybridasr.options import to_dict
    >>> recipe = read_recipe(recipes_dir() / "yesno", {"mono": {"totgauss": "500"}})
    >>> recipe.systems, to_dict(recipe.options["mono"])["totgauss"]
    (('mono', 'tri1', 'dnn'), 500)
    """
    directory, overrides = Path(directory), overrides or {}
    path = directory / "recipe.conf"
    if not path.is_file():
        names = recipe_names(directory.parent)
        if not names:
            raise UserError("no recipe there; check the folder", directory.parent)
        raise UserError(f"no recipe '{directory.name}'; choose one of {', '.join(names)}")
    parser = _parse(path)
    unknown = {*parser.sections(), *overrides} - {"recipe", *SECTIONS}
    if unknown:
        raise UserError(f"unknown section [{sorted(unknown)[0]}]; known: {', '.join(SECTIONS)}",
                        path)
    values = {name: (dict(parser[name]) if parser.has_section(name) else {})
              | overrides.get(name, {}) for name in ("recipe", *SECTIONS)}
    options = {name: from_strings(options_class, values[name], f"{path} [{name}]")
               for name, options_class in SECTIONS.items()}
    # Who asks for pitch, or for none, gets it.
    recipe = _read_main(values["recipe"], directory, path, options,
                        tuple(name for name in _FEATURES if "pitch" not in values[name]))
    if "join" in {*parser.sections(), *overrides} and not recipe.strings:
        raise UserError("[join] has no effect without strings = true in [recipe]; leave it out",
                        path)
    if options[RESCORE].large_order and not (recipe.grammar == "ngram"
                                             and {*NETWORKS} & {*recipe.systems}):
        raise UserError("[rescore] is for a network with the grammar ngram; leave it out", path)
    for name in overrides:
        # Copies, synthetic speakers and the network's features belong to the networks.
        users = {"augment": NETWORKS, SYNTHESIZE: NETWORKS, "dnn_features": NETWORKS,
                 WAKE: (DNN,)}.get(name, (name,))
        if {*users} <= {*LADDER, *NETWORKS} and not {*users} & {*recipe.systems}:
            raise UserError(f"[{name}] has no effect: the recipe trains {' '.join(recipe.systems)};"
                            " leave it out", path)
    return recipe


def read_overrides(texts: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return section -> option -> value of texts SECTION.OPTION=VALUE, for `read_recipe`.

    Raises
    ------
    UserError
        if a text has another form.

    Examples
    --------
    >>> read_overrides(["mono.totgauss=500", "dnn.held-out=0.2"])
    {'mono': {'totgauss': '500'}, 'dnn': {'held_out': '0.2'}}
    """
    overrides: dict[str, dict[str, str]] = {}
    for text in texts:
        # Values may have "=" and "." of their own: only the first one separates.
        name, equals, value = text.partition("=")
        section, dot, option_name = name.partition(".")
        if not (equals and dot):
            raise UserError(f"--set {text} is not SECTION.OPTION=VALUE; e.g. mono.totgauss=2000")
        # On a command line options are written with hyphens, in the file with underscores.
        overrides.setdefault(section, {})[option_name.replace("-", "_")] = value
    return overrides


def _parse(path: Path) -> configparser.ConfigParser:
    """Read the sections of a file; `UserError` with the line if it is damaged."""
    # No interpolation: a "%" in a value is a "%". No section of defaults either.
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    text = read_text(path)
    # configparser would keep control characters inside of values.
    odd = next((number for number, line in enumerate(text.split("\n"), 1)
                if any(char < " " and char not in "\t\r" for char in line)), None)
    if odd is not None:
        raise UserError("a control character; is it a text file? Restore it", path, odd)
    try:
        parser.read_string(text, str(path))
    except configparser.DuplicateSectionError as error:
        raise UserError(f"section [{error.section}] comes twice; join the two", path,
                        error.lineno) from None
    except configparser.DuplicateOptionError as error:
        raise UserError(f"[{error.section}] {error.option} comes twice; delete one of the two",
                        path, error.lineno) from None
    except configparser.MissingSectionHeaderError as error:
        raise UserError("a value before the first section; begin with [recipe]", path,
                        error.lineno) from None
    except configparser.ParsingError as error:
        number, line = error.errors[0]
        raise UserError(f"{line} is no 'name = value'; mend the line", path, number) from None
    return parser


def _read_main(main: dict[str, str], directory: Path, path: Path, options: dict[str, Any],
               open_pitch: tuple[str, ...]) -> Recipe:
    """Build the recipe from the values of the section [recipe]; `open_pitch` say nothing of it."""
    unknown = sorted({*main} - {*_NEEDED, *_OPTIONAL})
    if unknown:
        near = difflib.get_close_matches(unknown[0], [*_NEEDED, *_OPTIONAL], 1)
        hint = f"did you mean '{near[0]}'?" if near else "delete it"
        raise UserError(f"[recipe] has no '{unknown[0]}'; {hint}", path)
    lacking = [name for name in _NEEDED if not main.get(name, "").strip()]
    if lacking:
        raise UserError(f"[recipe] lacks '{lacking[0]}'; add it", path)
    for name, known in (("reader", ("auto", *sorted(READERS))), ("grammar", GRAMMARS),
                        *((name, ("true", "false")) for name in _SWITCHES)):
        if main.get(name, known[0]).lower() not in known:
            raise UserError(f"[recipe] {name} is '{main[name]}'; choose one of "
                            f"{', '.join(known)}", path)
    switches = {name: main.get(name, "").lower() == "true" for name in _SWITCHES}
    if switches["strings"] and main["phrases"] != "lexicon":
        raise UserError("[recipe] strings are of the words of the lexicon; give phrases = lexicon, "
                        "or leave strings out", path)
    tonal = open_pitch if switches.pop("pitch_of_tones") else ()
    return Recipe(directory.name, directory, main["title"], main["reader"],
                  tuple(main["test"].split()), main["grammar"], main["phrases"],
                  *_read_systems(main, path), main.get("lexicon"), main.get("commands"),
                  tuple(main.get("outside", "").split()), **switches, pitch_of_tones=tonal,
                  options=options)


def _read_systems(main: dict[str, str], path: Path) -> tuple[tuple[str, ...], str]:
    """Return the systems, and the one whose alignments the network learns from."""
    systems = tuple(main["systems"].split())
    known = (*LADDER, *NETWORKS)
    for place, name in enumerate(systems):
        if name not in known:
            raise UserError(f"[recipe] systems: no system '{name}'; known: {', '.join(known)}",
                            path)
        source = LADDER[name].source if name in LADDER else None
        if source and source not in systems[:place]:
            raise UserError(f"[recipe] systems: {name} starts from {source}, which must come "
                            "before it", path)
    ladder = tuple(name for name in systems if name not in NETWORKS)
    networks = systems[len(ladder):]
    alignments = main.get("alignments", next(reversed(ladder), ""))
    if systems[:len(ladder)] != ladder or (networks and alignments not in ladder):
        raise UserError(f"[recipe] systems: {' and '.join(NETWORKS)} come last, and their "
                        f"alignments are of a system before them, not '{alignments}'", path)
    return systems, alignments
