"""Owns the configuration of recipes: what differs between corpora, as ``egs/<recipe>/recipe.conf``.

The stages, which are the same for all, are in `hybridasr.recipe.runner`.
"""

import configparser
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybridasr.confidence.calibrator import CalibrationOptions
from hybridasr.confidence.command_grammar import RejectOptions
from hybridasr.corpus.augment import AugmentOptions
from hybridasr.decode.search import SearchOptions
from hybridasr.errors import UserError
from hybridasr.features.frames import FeatureOptions
from hybridasr.features.pipeline import PipelineOptions
from hybridasr.graph.self_loops import GraphOptions
from hybridasr.lexicon.langdir import LangOptions
from hybridasr.model.adaptation import AdaptOptions
from hybridasr.options import from_strings
from hybridasr.storage import PathLike, read_text
from hybridasr.train.ladder import LADDER
from hybridasr.train.nnet_options import DnnOptions

DNN = "dnn"  # the system that is a network
DRAWN = "drawn"  # commands are drawn from the transcripts
SECTIONS = {"features": FeatureOptions, "pipeline": PipelineOptions, "lang": LangOptions,
            **{name: rung.options for name, rung in LADDER.items()},
            "augment": AugmentOptions, "dnn_features": FeatureOptions, DNN: DnnOptions,
            "graph": GraphOptions, "search": SearchOptions, "adapt": AdaptOptions,
            "reject": RejectOptions, "calibrate": CalibrationOptions}


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
    systems: tuple[str, ...]  # those of the ladder that are trained, in order; then the network
    alignments: str  # the system whose alignments the network learns from
    lexicon: str | None = None
    commands: str | None = None  # the list that the network is to accept, or "drawn"
    outside: tuple[str, ...] = ()  # further sets, of which nothing is a command
    homophones: bool = False  # whether words of equal pinyin count as right for each other
    options: dict[str, Any] = field(default_factory=dict)  # section -> options


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
                      *_read_systems(main, path), main.get("lexicon"), main.get("commands"),
                      tuple(main.get("outside", "").split()),
                      parser.getboolean("recipe", "homophones", fallback=False), options)
    except configparser.Error as error:
        raise UserError(f"{error.message.splitlines()[0]}; mend the file", path) from None
    except KeyError as error:
        raise UserError(f"[recipe] lacks {error}; add it", path) from None


def _read_systems(main: dict[str, str], path: Path) -> tuple[tuple[str, ...], str]:
    """Return the systems, and the one whose alignments the network learns from."""
    systems = tuple(main["systems"].split())
    known = (*LADDER, DNN)
    for place, name in enumerate(systems):
        if name not in known:
            raise UserError(f"[recipe] systems: no system '{name}'; known: {', '.join(known)}",
                            path)
        source = LADDER[name].source if name in LADDER else None
        if source and source not in systems[:place]:
            raise UserError(f"[recipe] systems: {name} starts from {source}, which must come "
                            "before it", path)
    alignments = main.get("alignments", next((s for s in reversed(systems) if s != DNN), ""))
    if DNN in systems and (systems[-1] != DNN or alignments not in systems[:-1]):
        raise UserError(f"[recipe] systems: {DNN} comes last, and its alignments are of a system "
                        f"before it, not '{alignments}'", path)
    return systems, alignments
