"""Owns the features of a data directory: made into Kaldi's files, and read back for a model.

`make_feats` computes raw features and CMVN statistics of a set; `load_feats` reads them and applies
the rest of the recipe (`pipeline.PipelineOptions`), which a model records.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hybridasr.corpus.audio import audio_info, is_pipe, load_utterance
from hybridasr.corpus.datadir import DataDir, Utterance
from hybridasr.corpus.kaldi_files import read_table, sort_key
from hybridasr.errors import UserError, shell_command
from hybridasr.features.archives import ScpTable, write_matrices
from hybridasr.features.cmvn import cmvn_stats
from hybridasr.features.feature_tables import FEATURE_TABLES, scp_table, table_part
from hybridasr.features.frames import FeatureOptions
from hybridasr.features.mfcc import compute_features
from hybridasr.features.normalization import Normalization
from hybridasr.features.online_cmvn import SpeechStats, level_columns, speech_stats
from hybridasr.features.pipeline import Frames, expand
from hybridasr.options import to_dict
from hybridasr.parallel import run_blocks, split_blocks
from hybridasr.progress import logger
from hybridasr.storage import write_json, write_text

# Utterances a worker takes at a time: a tenth of a second of work or more.
BLOCK_UTTERANCES = 50


def make_feats(data: DataDir, options: FeatureOptions, pool: Executor,
               allow_pipes: bool = False, channel: str | int = "mix",
               directory: Path | None = None) -> DataDir:
    """Compute raw features and CMVN statistics of a set and write them into its directory.

    Writes ``feats.ark/.scp``, ``cmvn.ark/.scp`` (per speaker), ``speech.ark/.scp`` (what is heard
    of the speaker in each utterance, `online_cmvn.SpeechStats`), ``utt2num_frames``, ``utt2dur``,
    ``frame_shift`` and, last, ``feature.json`` with the options. Utterances shorter than one
    window have no features; a warning names them. The other files of the set stay as they are,
    so that such an utterance still counts when the set is scored.

    Parameters
    ----------
    allow_pipes, channel
        As for `corpus.audio.load_audio`.
    directory : path, optional
        Where to write, in place of the set's own directory.

    Returns
    -------
    DataDir
        the set without the utterances that are too short

    Raises
    ------
    UserError
        for a recording that cannot be read (utterance and file are named), or if every
        utterance is too short.
    """
    path = directory or data.path
    # While features and options are not of one run, there must be no options to trust.
    (path / "feature.json").unlink(missing_ok=True)
    durations: dict[str, float] = {}
    frames: dict[str, int] = {}
    stats: dict[str, np.ndarray] = {}
    speech: dict[str, SpeechStats] = {}
    weight, lift = level_columns(options)
    rates: Counter[int] = Counter()

    def matrices() -> Iterator[tuple[str, np.ndarray]]:
        blocks = [(block, options, allow_pipes, channel)
                  for block in split_blocks(list(data.utterances.values()), BLOCK_UTTERANCES)]
        desc = f"features {data.path.name}"
        for results in run_blocks(pool, _features_of_block, blocks, desc=desc):
            for utterance, features, duration, rate in results:
                rates[rate] += 1
                if len(features) == 0:
                    continue
                speaker = data.utterances[utterance].speaker
                mine = cmvn_stats(features)
                stats[speaker] = stats[speaker] + mine if speaker in stats else mine
                speech[utterance] = speech_stats(features, weight, lift)
                durations[utterance], frames[utterance] = duration, len(features)
                yield utterance, features
        if not frames:
            raise UserError(f"none of the {len(data.utterances)} utterances is as long as one "
                            f"frame ({options.frame_length_ms:g} ms); check the recordings",
                            data.path)

    write_matrices(path / "feats.ark", path / "feats.scp", matrices())
    speakers = sorted(stats, key=sort_key)
    write_matrices(path / "cmvn.ark", path / "cmvn.scp", ((s, stats[s]) for s in speakers))
    write_matrices(path / "speech.ark", path / "speech.scp",
                   ((u, part.to_array()) for u, part in speech.items()))
    write_text(path / "utt2num_frames", "".join(f"{u} {n}\n" for u, n in frames.items()))
    write_text(path / "utt2dur", "".join(f"{u} {d:.3f}\n" for u, d in durations.items()))
    write_text(path / "frame_shift", f"{options.frame_shift_ms / 1000:g}\n")
    # Last: this file says that the features are complete and which options made them.
    write_json(path / "feature.json", to_dict(options))
    _warn_of_rates(data.path, rates, options.sample_rate)
    _warn_of_missing(data.path, [u for u in data.utterances if u not in frames],
                     f"are shorter than one frame ({options.frame_length_ms:g} ms)")
    whole = with_features_of(data, path)
    return replace(whole, utterances={u: data.utterances[u] for u in frames})


def with_features_of(data: DataDir, directory: Path) -> DataDir:
    """Return the set with the tables that `make_feats` wrote into a directory."""
    tables = {name: read_table(directory / name) for name in FEATURE_TABLES
              if (directory / name).is_file()}
    return replace(data, tables={**without_features(data).tables, **tables})


def without_features(data: DataDir) -> DataDir:
    """Return the set without what `make_feats` made."""
    return replace(data, tables={name: table for name, table in data.tables.items()
                                 if name not in FEATURE_TABLES})


def load_feats(data: DataDir, normalization: Normalization,
               pool: Executor | None = None) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what a model sees of each utterance of a set, in the set's order.

    Parameters
    ----------
    data : DataDir
        With features made by `make_feats` or by Kaldi. Utterances without features are passed
        over with a warning.
    normalization : Normalization
        The recipe, and what is known before each utterance.
    pool : Executor, optional
        Reads and computes ahead in its workers; the results are the same.

    Yields
    ------
    (utterance id, float32 array (frames, columns))

    Raises
    ------
    UserError
        if no utterance has features, an archive is damaged or statistics are missing.
    """
    parts = split_blocks(with_features(data), BLOCK_UTTERANCES)
    blocks = feature_blocks(data, normalization, parts)
    if pool is None:
        for block in blocks:
            yield from block.load()
        return
    for results in run_blocks(pool, _load_all, ((block,) for block in blocks),
                              desc=f"reading {data.path.name}"):
        yield from results


@dataclass(frozen=True)
class FeatureBlock:
    """A few utterances and where their features are: all that a worker needs, and small.

    Attributes
    ----------
    utterances : list of Utterance
    feats : ScpTable
        Raw features by utterance.
    normalization : Normalization
        Of these utterances.
    """

    utterances: list[Utterance]
    feats: ScpTable
    normalization: Normalization

    def load(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield (utterance id, features that a model sees); one at a time is in memory."""
        for utterance, raw in self._raw():
            yield utterance.utterance, self._seen(utterance, raw)

    def frames(self, options: FeatureOptions) -> Iterator[tuple[str, Frames]]:
        """Yield (utterance id, what a model sees); `options` are those of the features."""
        weight, _ = level_columns(options)
        for utterance, raw in self._raw():
            yield utterance.utterance, Frames(self._seen(utterance, raw), raw @ weight)

    def _seen(self, utterance: Utterance, raw: np.ndarray) -> np.ndarray:
        return expand(self.normalization.apply(raw, utterance), self.normalization.pipeline)

    def _raw(self) -> Iterator[tuple[Utterance, np.ndarray]]:
        for utterance in self.utterances:
            raw = self.feats[utterance.utterance]
            if raw.ndim != 2:
                raise UserError(f"entry '{utterance.utterance}' is a vector, not a matrix of "
                                "features; make the features again", self.feats.scp)
            yield utterance, raw


def feature_blocks(data: DataDir, normalization: Normalization,
                   parts: Iterable[Sequence[str]]) -> Iterator[FeatureBlock]:
    """Yield a block for each list of utterance ids, all of which have features."""
    feats = scp_table(data, "feats.scp")
    for names in parts:
        utterances = [data.utterances[name] for name in names]
        # Only the entries of this block, so that little is sent to the worker.
        yield FeatureBlock(utterances, table_part(feats, names), normalization.part(utterances))


def with_features(data: DataDir) -> list[str]:
    """Return the ids of the utterances that have features; a warning names the others.

    Raises
    ------
    UserError
        if none has.
    """
    feats = scp_table(data, "feats.scp")
    names = [name for name in data.utterances if name in feats]
    if not names:
        raise UserError(f"none of the {len(data.utterances)} utterances has features; "
                        f"run {shell_command('hybridasr', 'make-feats', data.path)}",
                        data.path / "feats.scp")
    _warn_of_missing(data.path, [u for u in data.utterances if u not in feats],
                     "have no features")
    return names


def _features_of_block(utterances: list[Utterance], options: FeatureOptions,
                       allow_pipes: bool, channel: str | int
                       ) -> list[tuple[str, np.ndarray, float, int]]:
    """Return (id, raw features, seconds, the recording's hertz) of each utterance."""
    results = []
    for utterance in utterances:
        try:
            samples = load_utterance(utterance, options.sample_rate, channel, allow_pipes)
        except UserError as error:
            raise error.within(f"utterance '{utterance.utterance}'") from error
        try:
            features = compute_features(samples, options, utterance.utterance)
        except UserError as error:
            raise error.within(utterance.wav) from error
        # A command is not run twice for its rate.
        piped = is_pipe(utterance.wav)
        rate = options.sample_rate if piped else audio_info(utterance.wav).sample_rate
        results.append((utterance.utterance, features, len(samples) / options.sample_rate, rate))
    return results


def _load_all(block: FeatureBlock) -> list[tuple[str, np.ndarray]]:
    return list(block.load())


def _warn_of_rates(path: Path, rates: Mapping[int, int], wanted: int) -> None:
    """Say how many utterances were resampled; up-sampled ones have no high frequencies."""
    others = {rate: count for rate, count in sorted(rates.items()) if rate != wanted}
    if not others:
        return
    parts = [f"{count} {'up' if rate < wanted else 'down'} from {rate} Hz"
             for rate, count in others.items()]
    up = [rate for rate in others if rate < wanted]
    mend = (f"; the up-sampled ones hold nothing above {min(up) // 2} Hz: give --sample-rate "
            f"{min(up)} (in a recipe: --set features.sample_rate={min(up)}) if all speech is like "
            "them" if up else "")
    logger.log(logging.WARNING if up else logging.INFO, "%s: %d of %d utterances resampled to %d "
               "Hz, %s%s", path, sum(others.values()), sum(rates.values()), wanted,
               ", ".join(parts), mend)


def _warn_of_missing(path: Path, utterances: list[str], what: str) -> None:
    if utterances:
        shown = ", ".join(utterances[:20]) + (" ..." if len(utterances) > 20 else "")
        logger.warning("%s: %d utterances %s: %s", path, len(utterances), what, shown)
