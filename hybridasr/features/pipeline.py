"""Owns the feature recipe: from a data directory to the rows an acoustic model sees.

`make_feats` computes raw features and CMVN statistics of a set and writes them in Kaldi's files;
`load_feats` reads them and applies the rest of the recipe (`PipelineOptions`), which a model
records. `recognition_features` does both for one recording in memory.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hybridasr.corpus.audio import audio_info, is_pipe, load_utterance
from hybridasr.corpus.datadir import DataDir, Utterance
from hybridasr.corpus.kaldi_files import read_table, sort_key
from hybridasr.errors import UserError, shell_command
from hybridasr.features.archives import ScpTable, read_scp, write_matrices
from hybridasr.features.cmvn import apply_cmvn, cmvn_stats, sliding_cmvn, sum_stats
from hybridasr.features.frames import FeatureOptions
from hybridasr.features.mfcc import compute_features
from hybridasr.features.transforms import add_deltas, splice
from hybridasr.options import from_dict, option, to_dict
from hybridasr.parallel import run_blocks, split_blocks
from hybridasr.progress import logger
from hybridasr.storage import PathLike, read_json, write_json, write_text

CMVN_KINDS = ("speaker", "utterance", "sliding", "none")
# Utterances a worker takes at a time: a tenth of a second of work or more.
BLOCK_UTTERANCES = 50
FEATURE_TABLES = ("feats.scp", "cmvn.scp", "utt2num_frames", "utt2dur")  # that make_feats writes
# Options that change the features by noise only.
_HARMLESS = ("seed", "dither")


@dataclass(frozen=True)
class PipelineOptions:
    """What is done to raw features before a model sees them: CMVN, deltas, splicing, in order."""

    cmvn: str = option("speaker", "what the mean is taken over", CMVN_KINDS)
    norm_vars: bool = option(False, "normalise the variance too")
    cmvn_window: int = option(600, "frames of the sliding window", needs="cmvn=sliding")
    delta_order: int = option(2, "derivatives appended, 0 for none")
    delta_window: int = option(2, "frames to each side that a derivative looks at",
                              needs="delta_order")
    splice_left: int = option(0, "frames before the frame that are put beside it")
    splice_right: int = option(0, "frames after the frame that are put beside it")
    cmvn_min_window: int = option(100, "frames of the sliding window at the start",
                                 needs="cmvn=sliding")
    cmvn_center: bool = option(False, "centre the sliding window on the frame",
                              needs="cmvn=sliding")
    cmvn_prior_frames: int = option(50, "frames that the training set's mean counts for beside a "
                                        "recording's own when its speaker is unknown")

    def __post_init__(self):
        """Refuse values outside their range."""
        if self.cmvn not in CMVN_KINDS:
            raise UserError(f"option cmvn is {self.cmvn!r}; give one of {', '.join(CMVN_KINDS)}")
        least = {"cmvn_window": 1, "cmvn_min_window": 1, "delta_order": 0, "delta_window": 1,
                 "splice_left": 0, "splice_right": 0, "cmvn_prior_frames": 0}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise UserError(f"option {name} is {getattr(self, name)}; give {bound} or more")


def apply_pipeline(raw: np.ndarray, stats: np.ndarray | None,
                   options: PipelineOptions) -> np.ndarray:
    """Turn raw features into what a model sees.

    Parameters
    ----------
    raw : float32 array (frames, dim)
        As from `compute_features`.
    stats : array (2, dim + 1) or None
        CMVN statistics of the speaker; used with cmvn "speaker" only.
    options : PipelineOptions
        The recipe.

    Returns
    -------
    float32 array (frames, dim * (delta_order + 1) * (splice_left + 1 + splice_right))

    Raises
    ------
    UserError
        if statistics are wanted and missing, or do not fit.
    """
    if options.cmvn == "speaker" and stats is None:
        raise UserError("no CMVN statistics of the speaker; run 'hybridasr make-feats'")
    return expand(_normalized(raw, stats, options), options)


def expand(features: np.ndarray, options: PipelineOptions) -> np.ndarray:
    """Append deltas and neighbouring frames to normalised features, float32 (frames, columns)."""
    if options.delta_order:
        features = add_deltas(features, options.delta_order, options.delta_window)
    features = splice(features, options.splice_left, options.splice_right)
    return np.ascontiguousarray(features, dtype=np.float32)


def base_pipeline(options: PipelineOptions) -> PipelineOptions:
    """Return the recipe without what `expand` does: normalisation only."""
    return replace(options, delta_order=0, splice_left=0, splice_right=0)


def _normalized(raw: np.ndarray, stats: np.ndarray | None, options: PipelineOptions) -> np.ndarray:
    if options.cmvn == "sliding":
        return sliding_cmvn(raw, options.cmvn_window, options.cmvn_min_window,
                            options.cmvn_center, options.norm_vars)
    if options.cmvn == "none" or len(raw) == 0:
        return raw
    stats = cmvn_stats(raw) if options.cmvn == "utterance" else stats
    return apply_cmvn(raw, stats, options.norm_vars)


def feature_dim(feature_options: FeatureOptions, pipeline: PipelineOptions) -> int:
    """Return the number of columns that a model sees."""
    spliced = pipeline.splice_left + 1 + pipeline.splice_right
    return feature_options.dim * (pipeline.delta_order + 1) * spliced


def frame_levels(expanded: np.ndarray, feature_options: FeatureOptions,
                 pipeline: PipelineOptions) -> np.ndarray:
    """Return how loud each frame is, float64 (num_frames,), by a measure of the features' own.

    The mean over the filter bank, or the first cepstrum; normalised as the features are.

    Parameters
    ----------
    expanded : float32 (num_frames, feature_dim)
        As from `expand`.
    """
    begin = pipeline.splice_left * feature_options.dim * (pipeline.delta_order + 1)
    count = feature_options.num_mel_bins if feature_options.kind == "fbank" else 1
    return expanded[:, begin:begin + count].mean(axis=1, dtype=np.float64)


def recognition_features(samples: np.ndarray, feature_options: FeatureOptions,
                         pipeline: PipelineOptions, seed_id: str = "",
                         prior: np.ndarray | None = None) -> np.ndarray:
    """Return what a model sees of one recording, which counts as its own speaker.

    The mean of a single word is as much of the word as of the speaker and the room; the training
    set's, counted as `cmvn_prior_frames`, steadies it (as in Kaldi's online CMVN).

    Parameters
    ----------
    samples : array (num_samples,)
        In 16-bit range, at `feature_options.sample_rate` hertz.
    feature_options : FeatureOptions
        The raw features.
    pipeline : PipelineOptions
        What is done to them.
    seed_id : str
        Seeds the dither.
    prior : array (2, dim + 1), optional
        CMVN statistics of the training set; used with cmvn "speaker" only.

    Returns
    -------
    float32 array (frames, feature_dim); no rows if shorter than one window
    """
    raw = compute_features(samples, feature_options, seed_id)
    if len(raw) == 0:
        return np.zeros((0, feature_dim(feature_options, pipeline)), np.float32)
    stats = cmvn_stats(raw)
    if prior is not None:
        stats = stats + prior * (pipeline.cmvn_prior_frames / prior[0, -1])
    return apply_pipeline(raw, stats, pipeline)


def training_cmvn(data: DataDir, pipeline: PipelineOptions) -> np.ndarray | None:
    """Return the CMVN statistics of a whole set, (2, dim + 1); None if the recipe uses none."""
    if pipeline.cmvn != "speaker":
        return None
    table = _scp_table(data, "cmvn.scp")
    return sum_stats(np.asarray(table[speaker], np.float64) for speaker in table)


def make_feats(data: DataDir, options: FeatureOptions, pool: Executor,
               allow_pipes: bool = False, channel: str | int = "mix") -> DataDir:
    """Compute raw features and CMVN statistics of a set and write them into its directory.

    Writes ``feats.ark/.scp``, ``cmvn.ark/.scp`` (per speaker), ``utt2num_frames``, ``utt2dur``,
    ``frame_shift`` and, last, ``feature.json`` with the options. Utterances shorter than one
    window have no features; a warning names them. The other files of the set stay as they are,
    so that such an utterance still counts when the set is scored.

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
    path = data.path
    # While features and options are not of one run, there must be no options to trust.
    (path / "feature.json").unlink(missing_ok=True)
    durations: dict[str, float] = {}
    frames: dict[str, int] = {}
    stats: dict[str, np.ndarray] = {}
    rates: Counter[int] = Counter()

    def matrices() -> Iterator[tuple[str, np.ndarray]]:
        blocks = [(block, options, allow_pipes, channel)
                  for block in split_blocks(list(data.utterances.values()), BLOCK_UTTERANCES)]
        for results in run_blocks(pool, _features_of_block, blocks, desc=f"features {path.name}"):
            for utterance, features, duration, rate in results:
                rates[rate] += 1
                if len(features) == 0:
                    continue
                speaker = data.utterances[utterance].speaker
                mine = cmvn_stats(features)
                stats[speaker] = stats[speaker] + mine if speaker in stats else mine
                durations[utterance], frames[utterance] = duration, len(features)
                yield utterance, features
        if not frames:
            raise UserError(f"none of the {len(data.utterances)} utterances is as long as one "
                            f"frame ({options.frame_length_ms:g} ms); check the recordings", path)

    write_matrices(path / "feats.ark", path / "feats.scp", matrices())
    speakers = sorted(stats, key=sort_key)
    write_matrices(path / "cmvn.ark", path / "cmvn.scp", ((s, stats[s]) for s in speakers))
    write_text(path / "utt2num_frames", "".join(f"{u} {n}\n" for u, n in frames.items()))
    write_text(path / "utt2dur", "".join(f"{u} {d:.3f}\n" for u, d in durations.items()))
    write_text(path / "frame_shift", f"{options.frame_shift_ms / 1000:g}\n")
    write_json(path / "feature.json", to_dict(options))
    _warn_of_rates(path, rates, options.sample_rate)
    _warn_of_missing(path, [u for u in data.utterances if u not in frames],
                     f"are shorter than one frame ({options.frame_length_ms:g} ms)")
    tables = {**data.tables, **{name: read_table(path / name) for name in FEATURE_TABLES}}
    kept = {u: data.utterances[u] for u in frames}
    return replace(data, utterances=kept, tables=tables)


def without_features(data: DataDir) -> DataDir:
    """Return the set without what `make_feats` made."""
    return replace(data, tables={name: table for name, table in data.tables.items()
                                 if name not in FEATURE_TABLES})


def load_feats(data: DataDir, pipeline: PipelineOptions,
               pool: Executor | None = None) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what a model sees of each utterance of a set, in the set's order.

    Parameters
    ----------
    data : DataDir
        With features made by `make_feats` or by Kaldi. Utterances without features are passed
        over with a warning.
    pipeline : PipelineOptions
        The recipe.
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
    feats = _scp_table(data, "feats.scp")
    wanted = [u for u in data.utterances.values() if u.utterance in feats]
    if not wanted:
        raise UserError(f"none of the {len(data.utterances)} utterances has features; "
                        f"run {shell_command('hybridasr', 'make-feats', data.path)}",
                        data.path / "feats.scp")
    _warn_of_missing(data.path, [u for u in data.utterances if u not in feats],
                     "have no features")
    stats = _scp_table(data, "cmvn.scp") if pipeline.cmvn == "speaker" else None
    blocks = split_blocks(wanted, BLOCK_UTTERANCES)
    if pool is None:
        for block in blocks:
            yield from _load_block(block, feats, stats, pipeline)
        return
    work = [(block, _part(feats, [u.utterance for u in block]),
             stats and _part(stats, [u.speaker for u in block]), pipeline) for block in blocks]
    for results in run_blocks(pool, _load_all, work, desc=f"reading {data.path.name}"):
        yield from results


def check_features(data_dir: PathLike, expected: FeatureOptions) -> None:
    """Check that the features of a set are of the kind a model was trained with.

    Dither and its seed may differ. Features made elsewhere (no ``feature.json``) are checked for
    their number of columns.

    Raises
    ------
    UserError
        naming every option that differs, expected and found.
    """
    path = Path(data_dir)
    mend = f"run {shell_command('hybridasr', 'make-feats', path)} with the model's options"
    if not (path / "feature.json").exists():
        table = read_scp(path / "feats.scp")
        columns = next(iter(table.values())).shape[1] if len(table) else expected.dim
        if columns != expected.dim:
            raise UserError(f"{columns} columns found, {expected.dim} expected "
                            f"({expected.kind}); {mend}", path / "feats.scp")
        return
    found = read_feature_options(path)
    ours, theirs = _comparable(expected), _comparable(found)
    wrong = [f"{name} expected {ours[name]}, found {theirs[name]}"
             for name in ours if ours[name] != theirs[name]]
    if wrong:
        raise UserError(f"features of another kind: {'; '.join(wrong)}; {mend}",
                        path / "feature.json")


def read_feature_options(data_dir: PathLike) -> FeatureOptions:
    """Return the options with which `make_feats` made the features of a set."""
    path = Path(data_dir) / "feature.json"
    if not path.exists():
        command = shell_command("hybridasr", "make-feats", data_dir)
        raise UserError(f"no such file; run {command} first", path)
    return from_dict(FeatureOptions, read_json(path), str(path))


def _comparable(options: FeatureOptions) -> dict[str, object]:
    values = {**to_dict(options), "use_energy": options.has_energy, "high_freq": options.top_freq}
    unused = ("num_ceps", "cepstral_lifter") if options.kind == "fbank" else ("use_log_fbank",)
    return {name: value for name, value in values.items() if name not in (*_HARMLESS, *unused)}


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


def _load_block(block: list[Utterance], feats: ScpTable, stats: ScpTable | None,
                pipeline: PipelineOptions) -> Iterator[tuple[str, np.ndarray]]:
    loaded: dict[str, np.ndarray] = {}
    for utterance in block:
        raw, speaker = feats[utterance.utterance], utterance.speaker
        if raw.ndim != 2:
            raise UserError(f"entry '{utterance.utterance}' is a vector, not a matrix of features; "
                            "make the features again", feats.scp)
        if stats is not None and speaker not in loaded:
            if speaker not in stats:
                raise UserError(f"speaker '{speaker}' has no CMVN statistics; make the features "
                                "again", stats.scp)
            loaded[speaker] = stats[speaker]
        yield utterance.utterance, apply_pipeline(raw, loaded.get(speaker), pipeline)


def _load_all(*block) -> list[tuple[str, np.ndarray]]:
    return list(_load_block(*block))


def _part(table: ScpTable, keys: list[str]) -> ScpTable:
    kept = {key: table.entries[key] for key in keys if key in table}
    return ScpTable(kept, table.scp, table.allow_pipes)


def _scp_table(data: DataDir, name: str) -> ScpTable:
    if name in data.tables:
        return ScpTable(data.tables[name], data.path / name)
    if not (data.path / name).exists():
        command = shell_command("hybridasr", "make-feats", data.path)
        raise UserError(f"no such file; run {command} first",
                        data.path / name)
    return read_scp(data.path / name)


def _warn_of_rates(path: Path, rates: Mapping[int, int], wanted: int) -> None:
    """Say how many utterances were resampled; up-sampled ones have no high frequencies."""
    others = {rate: count for rate, count in sorted(rates.items()) if rate != wanted}
    if not others:
        return
    parts = [f"{count} {'up' if rate < wanted else 'down'} from {rate} Hz"
             for rate, count in others.items()]
    up = [rate for rate in others if rate < wanted]
    mend = (f"; the up-sampled ones hold nothing above {min(up) // 2} Hz: give --sample-rate "
            f"{min(up)} if all speech is like them" if up else "")
    logger.log(logging.WARNING if up else logging.INFO, "%s: %d of %d utterances resampled to %d "
               "Hz, %s%s", path, sum(others.values()), sum(rates.values()), wanted,
               ", ".join(parts), mend)


def _warn_of_missing(path: Path, utterances: list[str], what: str) -> None:
    if utterances:
        shown = ", ".join(utterances[:20]) + (" ..." if len(utterances) > 20 else "")
        logger.warning("%s: %d utterances %s: %s", path, len(utterances), what, shown)
