"""Owns where the recordings of a recipe are: a folder, a download, or made by the recipe.

And the sets that become of them: those of the reader, strings of their recordings where the recipe
wants some, and the background that its user gives, cut in two.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path

from hybridasr.corpus.background import background_utterances
from hybridasr.corpus.datadir import write_datadir
from hybridasr.corpus.download import download_corpus
from hybridasr.corpus.join import join_datadir
from hybridasr.corpus.kaldi_files import Utterance
from hybridasr.corpus.readers import Reader, detect_reader, find_reader, missing_corpus_message
from hybridasr.corpus.readers.base import ReaderOptions, Sets
from hybridasr.corpus.subsets import combine
from hybridasr.corpus.validate import check_datadir
from hybridasr.errors import UserError
from hybridasr.lexicon.lexicon import UNKNOWN_WORD
from hybridasr.progress import logger
from hybridasr.recipe.config import BACKGROUND, JUDGES, Recipe, RunOptions, string_set
from hybridasr.recipe.recipe_grammar import with_words_cut
from hybridasr.storage import digest

JUDGES_SHARE = 3  # one piece of background of so many judges the calibration


def find_corpus(recipe: Recipe, folder: Path | None, download: bool, work: Path
                ) -> tuple[Reader, Path]:
    """Return the reader of a recipe's recordings, and the folder that it is to read.

    Parameters
    ----------
    folder : path, optional
        The user's.
    download : bool
        Download the recipe's corpus.
    work : path
        Work directory; what is made or downloaded goes below it.

    Raises
    ------
    UserError
        if there are no recordings, or they are not for this recipe.
    """
    name = recipe.reader
    if folder is not None:
        if download:
            raise UserError("--download has no effect with --corpus; leave one of them out")
        if not folder.is_dir():
            raise UserError("no such corpus folder; check --corpus", folder)
        reader = None if name == "auto" else find_reader(name)
        if reader and not reader.matches(folder):
            reader = _own_reader(recipe, folder)
        return reader or detect_reader(folder), folder
    if name == "auto":
        raise UserError("no recordings given; pass --corpus FOLDER (one sub-folder per command, or "
                        "Kaldi's train/ and test/ data directories)")
    if find_reader(name).synthesises:
        if download:
            raise UserError(f"--download has no effect on {find_reader(name).title}; leave it out")
        return find_reader(name), work / "corpus"
    if download:
        return find_reader(name), download_corpus(name, work / "downloads")
    raise UserError(missing_corpus_message(name))


def _own_reader(recipe: Recipe, folder: Path) -> Reader:
    """Return the reader of the user's own recordings; another public corpus is refused."""
    reader = detect_reader(folder)
    if reader.address:
        raise UserError(f"is {reader.title}, not what recipe {recipe.name} is for "
                        f"({recipe.title}); pass --recipe {reader.name}, or --recipe own", folder)
    logger.warning("%s: %s, with the settings of recipe %s", folder, reader.title, recipe.name)
    return reader


def listing(folder: Path) -> str:
    """Digest of the names and sizes of all files below a folder, or of one file."""
    files = [folder] if folder.is_file() else sorted(
        path for path in folder.rglob("*") if path.is_file())
    # Names and sizes: to read hours of audio at every start would take too long.
    return digest([[str(path.relative_to(folder)), path.stat().st_size] for path in files])


def write_sets(sets: Sets, recipe: Recipe, run: RunOptions, pool: Executor) -> str:
    """Write a data directory for each set of a reader; return the closing line.

    A recipe of strings joins the recordings of a set as well, after the split, so that training and
    test share none: ``train`` gets its strings beside its recordings, a test set a further set.

    Raises
    ------
    UserError
        if a recording cannot be used, or a set has too few to join.
    """
    sizes, folder = [], run.work / "data"
    for name, utterances in sets.items():
        cut = with_words_cut(utterances) if recipe.cut_words else utterances
        data = write_datadir(folder / name, cut)
        check_datadir(data.path, check_audio=True)
        sizes.append(f"{name} {len(data)} utterances of {len(data.speakers)} speakers")
        if recipe.strings and name in ("train", *recipe.test):
            strings = join_datadir(data, folder / string_set(name), recipe.options["join"], pool,
                                   run.allow_pipes, run.channel)
            sizes[-1] += f" and {len(strings)} strings of them"
            if name == "train":
                combine([data, strings], data.path)
    return "; ".join(sizes)


def background_stage(places: Sequence[Path], folder: Path, stage: Callable[..., bool]) -> None:
    """Write the sets of other speech: what the network hears of it, and what judges it.

    Parameters
    ----------
    places
        As for `background_sets`.
    folder : path
        Of all sets.
    stage : callable
        As for `recipe.command_stages.command_stages`.
    """
    names = (BACKGROUND, f"{BACKGROUND}_{JUDGES}")

    def write() -> str:
        parts = background_sets(places, (UNKNOWN_WORD,))
        for name, part in zip(names, parts, strict=True):
            check_datadir(write_datadir(folder / name, part).path, check_audio=True)
        learned, judges = map(len, parts)
        return f"{learned} pieces to learn from, {judges} to judge by"

    sources = {str(place): listing(place) for place in places}
    stage(BACKGROUND, [{"background": sources}], [folder / name / "wav.scp" for name in names],
          write, folder / "log" / f"{BACKGROUND}.log", ReaderOptions())


def background_sets(places: Sequence[Path], words: tuple[str, ...]
                    ) -> tuple[list[Utterance], list[Utterance]]:
    """Return the pieces of background that a network learns, and those that judge it.

    Parameters
    ----------
    places, words
        As for `corpus.background.background_utterances`.

    Raises
    ------
    UserError
        if there is too little for both.
    """
    pieces = background_utterances(places, words)
    count = len(pieces) - max(1, len(pieces) // JUDGES_SHARE)
    if count < 1:
        raise UserError("a single piece of background, and some has to be kept to judge by; give "
                        "a minute or more", places[0])
    # The end, not one here and there: the pieces of a recording, and a voice, stay together.
    return pieces[:count], pieces[count:]
