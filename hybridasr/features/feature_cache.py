"""Owns features that a model needs and a data directory lacks: made beside the user's files.

They lie in ``<data>/.features/<digest>``, one folder for each kind of features and state of the
recordings, as `make_feats` writes them. Nothing else in the data directory changes, models with
the same features share a folder, and the whole of ``.features`` may be removed at any time.
"""

from concurrent.futures import Executor
from pathlib import Path

from hybridasr.corpus.audio import is_pipe
from hybridasr.corpus.datadir import DataDir, Utterance
from hybridasr.errors import UserError
from hybridasr.features.feature_kind import check_features
from hybridasr.features.feature_set import make_feats, with_features_of
from hybridasr.features.frames import FeatureOptions
from hybridasr.options import to_dict
from hybridasr.progress import logger
from hybridasr.storage import digest

FOLDER = ".features"


def matching_features(data: DataDir, expected: FeatureOptions, pool: Executor) -> DataDir:
    """Return the set with features of a kind: its own if they are, otherwise those of the cache.

    Features that the cache lacks are made. Two programs at once write the same bytes.

    Parameters
    ----------
    data : DataDir
        With recordings, or with features of the kind.
    expected : FeatureOptions
        As the model was trained with; dither and its seed may differ.

    Raises
    ------
    UserError
        as from `check_features` where there are no recordings to make others from; as from
        `make_feats`.
    """
    own = "feats.scp" in data.tables
    if own:
        try:
            check_features(_feature_directory(data), expected)
            return data
        except UserError:
            if not all(utterance.wav for utterance in data.utterances.values()):
                raise
    commands = [u.recording for u in data.utterances.values() if is_pipe(u.wav)]
    if commands:
        raise UserError(f"no features of the model's kind, and recording '{commands[0]}' is a "
                        f"command, which is not run unasked; run 'hybridasr make-feats "
                        f"--allow-pipes --model MODEL {data.path}'", data.path / "wav.scp")
    directory = data.path / FOLDER / digest(to_dict(expected), _recordings(data))
    if (directory / "feature.json").is_file():  # the last file that make_feats writes
        cached = with_features_of(data, directory)
        # The index holds absolute paths: in a set that was moved they lead elsewhere.
        if _feature_directory(cached) == directory.absolute():
            return cached
    logger.info("%s: making features of the model's kind in %s%s", data.path, directory,
                " (its own are of another)" if own else "")
    make_feats(data, expected, pool, directory=directory)
    return with_features_of(data, directory)


def _feature_directory(data: DataDir) -> Path:
    """Return where the features of a set are described: in the cache, or beside the set."""
    archive = Path(next(iter(data.tables["feats.scp"].values()), "").rpartition(":")[0])
    return archive.parent if archive.parent.parent.name == FOLDER else data.path


def _recordings(data: DataDir) -> list:
    """Return the inputs of the features beside their options; a changed file changes it."""
    files = {wav: _state(Path(wav)) for wav in data.recordings.values()}
    return [[_row(utterance), files[utterance.wav]] for utterance in data.utterances.values()]


def _row(u: Utterance) -> list:
    return [u.utterance, u.speaker, u.recording, u.wav, u.start, u.end]


def _state(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:
        return []  # make_feats says what is wrong with it
    return [status.st_size, status.st_mtime_ns]
