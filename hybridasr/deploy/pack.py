"""Owns packing: a model directory in, one file with all that recognising needs out, and back.

What trains, and what only people read (logs, FSTs), stays behind. The commands that are packed
with a model take the place of its graph, and their words come with their pronunciations: a device
needs no dictionary.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hybridasr import __version__
from hybridasr.corpus.command_list import Command
from hybridasr.errors import UserError
from hybridasr.grammar.command_file import JSGF_NAMES, read_command_file
from hybridasr.grammar.hass_sentences import hass_templates, is_hass_file
from hybridasr.lexicon.extend import with_commands, with_words
from hybridasr.lexicon.langdir import Lang
from hybridasr.lexicon.lexicon import (
    Lexicon,
    Pronunciation,
    format_lexicon,
    make_lexicon,
    read_own_lexicon,
)
from hybridasr.lexicon.phones import base_phone
from hybridasr.model.acoustic import AcousticModel
from hybridasr.model.directory import (
    ARRAY_FILES,
    COMMAND_FILES,
    COMMAND_LEXICON,
    COMMANDS,
    FILLERS,
    OF_THIS_MODEL,
    WAKE_PROFILE,
    copy_files,
    is_own,
    load_model,
    model_arrays,
    own_commands,
    own_files,
)
from hybridasr.pack_file import ARRAYS, MANIFEST, SUFFIX, Contents, open_pack, write_pack
from hybridasr.storage import (
    PathLike,
    atomic_write,
    digest,
    is_dir,
    is_file,
    read_arrays,
    read_bytes,
    read_json,
    read_text,
)
from hybridasr.wake.detector import FIRST
from hybridasr.wake.profile import read_profile


@dataclass(frozen=True)
class PackOptions:
    """What is packed with a model.

    Attributes
    ----------
    int8 : bool
        The weights of a network as int8, a quarter of the size.
    commands, fillers, wake : paths, optional
        As of `model.directory.OwnCommands`; those of the model where none are given.
    lexicon : path, optional
        Own pronunciations of their words.
    licence, origin : str, optional
        What the model may be used for, and where it is from; those of the pack that the directory
        was unpacked from where none are given.
    """

    int8: bool = False
    commands: Path | None = None
    fillers: Path | None = None
    wake: Path | None = None
    lexicon: Path | None = None
    licence: str | None = None
    origin: str | None = None


def pack_model(model: PathLike, destination: PathLike, options: PackOptions | None = None) -> int:
    """Pack a model directory; return the bytes of the pack. The same model gives the same bytes.

    Raises
    ------
    UserError
        if the model is incomplete or damaged, is no network although int8 is asked for, or has no
        pronunciation of a command; the line names the file.
    """
    options, model, destination = options or PackOptions(), Path(model), Path(destination)
    if destination.suffix != SUFFIX:
        raise UserError(f"is no name of a packed model; end it with {SUFFIX}", destination)
    if destination.is_dir() or destination.resolve() == model.resolve():
        raise UserError("is a directory, or the model itself; give another name", destination)
    # All of it is read and checked before anything is written.
    loaded = load_model(model)
    contents = _directory_contents(model, loaded, options.int8)
    own = _own_contents(model, loaded, options)
    if any(name in own for name in _command_names()):
        # The scales of the graph hold for command lists as well.
        contents = {name: value for name, value in contents.items()
                    if not name.startswith("graph/") or name == "graph/graph.json"}
    contents |= own
    # The first stage of wake words is a model in the model.
    small = model / FIRST
    if is_dir(small):
        contents |= {f"{FIRST}/{name}": value for name, value in _directory_contents(
            small, load_model(small), options.int8).items()}
    before = read_json(model / MANIFEST) if is_file(model / MANIFEST) else {}
    manifest = {
        "hybridasr": __version__,
        "licence": before.get("licence") if options.licence is None else options.licence,
        "origin": before.get("origin") if options.origin is None else options.origin,
        "digests": {name: digest(_bytes_of(value)) for name, value in contents.items()}}
    with atomic_write(destination, "wb") as file:
        write_pack(file, manifest, contents)
    return destination.stat().st_size


def unpack_model(pack: PathLike, destination: PathLike) -> None:
    """Write the directory of a packed model.

    Raises
    ------
    UserError
        if the pack is damaged or of a newer format, or the destination has files.
    """
    pack, destination = Path(pack), Path(destination)
    if pack.is_dir():
        raise UserError("is a directory already; unpack takes a packed model (.hyb)", pack)
    if not pack.is_file():
        raise UserError("no such file; give a packed model", pack)
    names = open_pack(pack).names
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise UserError("is there already; give the name of a new directory", destination)
    # model.json last, so that it marks a complete model.
    names = sorted(names, key=lambda name: name == "model.json")
    copy_files([pack / name for name in names], pack, destination)


def _directory_contents(directory: Path, model: AcousticModel, int8: bool
                        ) -> dict[str, Contents]:
    """Return the files of a model directory that recognising needs, by name."""
    arrays = ARRAY_FILES["gmm" if model.nnet is None else "nnet"]
    paths = [path for name in ("model.json", arrays, "adapt.npz", *OF_THIS_MODEL)
             if is_file(path := directory / name) and is_own(path, directory)]
    for folder in ("lang", "graph"):
        paths += [path for path in own_files(directory / folder) if path.suffix != ".fst"]
    contents = {path.relative_to(directory).as_posix(): _read(path) for path in paths}
    if int8:
        if model.nnet is None:
            raise UserError("only a network has weights for int8; leave --int8 out", directory)
        contents[arrays] = model_arrays(replace(model, nnet=model.nnet.quantized()))
    return contents


def _own_contents(directory: Path, model: AcousticModel, options: PackOptions
                  ) -> dict[str, Contents]:
    """Return the files of the folder `commands`, by name; none if nothing is asked for."""
    before = own_commands(directory)
    commands, fillers = options.commands or before.commands, options.fillers or before.fillers
    wake, lexicon = options.wake or before.wake, options.lexicon or before.lexicon
    sources = {_command_name(commands) if commands else "": commands, FILLERS: fillers,
               WAKE_PROFILE: wake}
    contents: dict[str, Contents] = {
        f"{COMMANDS}/{name}": _read(path) for name, path in sources.items() if path}
    if not contents:
        return {}
    own = read_own_lexicon(lexicon) if lexicon else None
    lang = model.lang
    if commands:
        lang = with_commands(lang, read_command_file(commands), commands, own)
    if fillers:
        lang = with_words(lang, _words(read_command_file(fillers)), own)
    if wake:
        lang = with_commands(lang, read_profile(wake)[0], wake, own)
    new = _new_words(model.lang, lang)
    if new.entries:
        contents[f"{COMMANDS}/{COMMAND_LEXICON}"] = format_lexicon(new, True).encode()
    return contents


def _new_words(before: Lang, lang: Lang) -> Lexicon:
    """Return the pronunciations that only `lang` has."""
    return make_lexicon({
        lang.word_name(word): [
            Pronunciation(probability, tuple(base_phone(lang.phone_name(p)) for p in phones))
            for probability, phones in choices]
        for word, choices in lang.pronunciations.items()
        if choices != before.pronunciations.get(word)})


def _words(commands: Iterable[Command]) -> set[str]:
    return {word for command in commands for word in command.words}


def _command_names() -> list[str]:
    return [f"{COMMANDS}/{name}" for name in COMMAND_FILES]


def _command_name(path: Path) -> str:
    return COMMAND_FILES[path.suffix.lower() in JSGF_NAMES]


def _read(path: Path) -> Contents:
    if is_hass_file(path):  # whoever recognises need not read YAML
        return hass_templates(read_text(path), path).encode()
    return read_arrays(path) if path.suffix == ARRAYS else read_bytes(path)


def _bytes_of(value: Contents) -> bytes:
    if isinstance(value, Mapping):
        return b"".join(name.encode() + np.ascontiguousarray(array).tobytes()
                        for name, array in value.items())
    return value
