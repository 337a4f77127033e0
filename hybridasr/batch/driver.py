"""Owns work over the utterances of a data directory: what decoding, spotting and aligning share.

A set is cut into blocks whose number depends on the data alone. A worker gets a block (rows of
utterances and where their features are), loads the model when it meets it first, and gives a
result for each utterance. Results are handed on in the order of the ids, a few blocks at a time.
"""

import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hybridasr.corpus.datadir import DataDir
from hybridasr.corpus.kaldi_files import sort_key
from hybridasr.features.feature_set import FeatureBlock, feature_blocks, with_features
from hybridasr.features.normalization import Normalization
from hybridasr.parallel import run_blocks, split_blocks

R = TypeVar("R")
BLOCK_UTTERANCES = 64  # that a job decodes or aligns at a time
Results = list[tuple[str, R]]
"""What a worker gives for a block: (utterance id, result) of each of its utterances."""


class _Worker(threading.local):
    """What a thread, or the one thread of a process, has loaded: function -> (key, value)."""

    def __init__(self):
        self.values: dict[Callable, tuple] = {}


_worker = _Worker()


@dataclass(frozen=True)
class SetBlocks:
    """The blocks of a set; they are made one at a time, as they are asked for.

    Attributes
    ----------
    parts : list of list of str
        The utterances of each block. Those without features are in none.
    """

    data: DataDir
    normalization: Normalization
    parts: list[list[str]]

    @classmethod
    def of(cls, data: DataDir, normalization: Normalization, by_speaker: bool) -> "SetBlocks":
        """Cut a set.

        Parameters
        ----------
        by_speaker : bool
            Each speaker is a block, as adaptation needs it.

        Raises
        ------
        UserError
            if no utterance has features; a warning names those that have none.
        """
        names = sorted(with_features(data), key=sort_key)
        return cls(data, normalization, block_parts(data, names, by_speaker))

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[FeatureBlock]:
        return feature_blocks(self.data, self.normalization, self.parts)

    def in_order(self, results: Iterable[Results[R]]) -> Iterator[tuple[str, R]]:
        """Yield the results of all blocks in the order of the utterances' ids.

        Nothing has to wait if the utterances of a speaker stand together, as they do where ids
        begin with the speaker; otherwise results wait for the ones before them.
        """
        turn = iter(sorted((name for part in self.parts for name in part), key=sort_key))
        waiting: dict[str, R] = {}
        wanted = next(turn, None)
        for part in results:
            waiting.update(part)
            while wanted in waiting:
                yield wanted, waiting.pop(wanted)
                wanted = next(turn, None)


def block_parts(data: DataDir, names: Iterable[str], by_speaker: bool) -> list[list[str]]:
    """Cut utterances into blocks for the jobs; the blocks do not depend on the number of jobs."""
    if not by_speaker:
        return split_blocks(list(names), BLOCK_UTTERANCES)
    parts: dict[str, list[str]] = {speaker: [] for speaker in data.speakers}
    for name in names:
        # Adaptation needs all utterances of a speaker in one worker.
        parts[data.utterances[name].speaker].append(name)
    return [part for part in parts.values() if part]


def run_set(pool: Executor, function: Callable[..., Results[R]], blocks: SetBlocks, *arguments,
            desc: str = "") -> Iterator[tuple[str, R]]:
    """Yield (utterance id, result) of every utterance that has features, in order of the ids.

    Parameters
    ----------
    function : callable (block, *arguments) -> Results
        Runs in a worker; it gets its model from `once_a_worker`.
    """
    # A generator: blocks are made when a worker is free, so memory does not grow with the set.
    calls = ((block, *arguments) for block in blocks)
    return blocks.in_order(run_blocks(pool, function, calls, desc=desc, total=len(blocks)))


def once_a_worker(make: Callable[..., R], *key: Hashable) -> R:
    """Return ``make(*key)``; a worker, process or thread, keeps the last value of each `make`.

    >>> once_a_worker(sorted, "ba") is once_a_worker(sorted, "ba")
    True
    """
    values = _worker.values
    if make not in values or values[make][0] != key:
        values.pop(make, None)  # two models need not fit into memory
        values[make] = key, make(*key)
    return values[make][1]


def directory_stamp(*places: Path) -> tuple:
    """Return times and sizes of files, so that a new model is read again.

    Parameters
    ----------
    places : files and directories
        Only the files right in each directory count.
    """
    # Time and size are enough: to read the contents would take as long as to load them.
    return tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size)
                 for place in places
                 for path in (sorted(place.iterdir()) if place.is_dir() else [place])
                 if path.is_file())
