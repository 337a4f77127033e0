"""Owns the frames that a network is trained on: its features, their normalisation, their classes.

They are those of the alignments of an earlier system, whose tree, transitions and lexicon stay, and
with them its graph. The features may be of another kind, as long as the frames are the same.
"""

import logging
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hybridasr.corpus.datadir import DataDir
from hybridasr.errors import UserError
from hybridasr.features.feature_kind import read_feature_options
from hybridasr.features.frames import FeatureOptions
from hybridasr.features.normalization import Normalization, set_normalization
from hybridasr.features.pipeline import PipelineOptions, feature_dim
from hybridasr.features.specaugment import SpecAugmentOptions
from hybridasr.hmm.durations import estimate_durations, rescaled
from hybridasr.lexicon.langdir import Lang
from hybridasr.lexicon.transcripts import without_other_speech
from hybridasr.model.acoustic import AcousticModel
from hybridasr.nnet.acoustics import NnetAcoustics
from hybridasr.nnet.network_text import read_network
from hybridasr.storage import read_text, write_text
from hybridasr.train.blocks import BlockRef, write_blocks
from hybridasr.train.minibatch import FrameSet, gather_frames, spoken_noise_pdf
from hybridasr.train.nnet_options import InputOptions
from hybridasr.train.start import SourceSystem

logger = logging.getLogger("hybridasr")
PRIOR_FRAMES = 20  # that the training set's speech counts for in the mean of a lone recording's


@dataclass(frozen=True)
class Description:
    """The description of a network: its text, where that is from, and the frames of an output."""

    text: str
    source: str
    subsampling: int


def read_description(options: InputOptions, default: str, features: FeatureOptions) -> Description:
    """Read the description that the options name, or take `default`.

    Raises
    ------
    UserError
        if no network can be built of it: before any work is done.
    """
    text, source = default, "the default network"
    if options.network:
        text, source = read_text(options.network), options.network
    dim = feature_dim(features, PipelineOptions(delta_order=options.delta_order))
    return Description(text, source, read_network(text, dim, 2, source=source).subsampling)


def network_frames(data: DataDir, lang: Lang, earlier: SourceSystem, destination: Path,
                   pool: Executor, options: InputOptions
                   ) -> tuple[FrameSet, AcousticModel, list[BlockRef]]:
    """Compute what a network sees of a set, and the classes of the frames.

    Parameters
    ----------
    data : DataDir
        With features; altered copies (``utt2uniq``) take the alignments of their originals.
    earlier : SourceSystem
        Alignments of the originals, and the model that they are of.
    destination : Path
        Where the frames are kept while the network is trained, in ``blocks``.

    Returns
    -------
    frames : FrameSet
    model : AcousticModel
        The earlier one with the network's features and normalisation, without Gaussians, for
        `with_network`.
    refs : list of BlockRef
        To be removed when the training is done.

    Raises
    ------
    UserError
        if the features do not fit the alignments or the options.
    """
    features = read_feature_options(data.path)
    check_masks(options.masks, options.delta_order, features)
    _check_frames(features, earlier.model.features, data.path)
    normalization = network_normalization(data, lang, features, options, options.seed)
    pipeline = normalization.pipeline
    durations = estimate_durations(earlier.alignments.values(), earlier.model.transitions,
                                   lang.nonsilence_phones)
    model = replace(earlier.model, lang=lang, pipeline=pipeline, features=features, transform=None,
                    adaptation=None, gmm=None, info={}, cmvn=normalization.prior,
                    durations=durations)
    # Deltas are appended later, when the frames are gathered.
    refs = write_blocks(data, lang, normalization, destination / "blocks", pool)
    frames = gather_frames(refs, pipeline, earlier.alignments, model, data,
                           features.frame_shift_ms / 1000, refs[0].directory / "frames.npy")
    logger.debug("%d of %d utterances, %d frames", len(frames.utterances), len(data),
                 frames.num_frames)
    if frames.noise:
        model = replace(model, info={"noise_pdf": spoken_noise_pdf(model)})
    return frames, model, refs


def with_network(model: AcousticModel, acoustics: NnetAcoustics, info: dict[str, Any]
                 ) -> AcousticModel:
    """Return the model of `network_frames` with its network.

    Transitions and durations, which are those of the alignments, count the network's scores from
    now on. Alignments of a network that scores some frames only are for networks of the same rate.
    """
    every = acoustics.subsampling // model.subsampling
    durations = None if model.durations is None else rescaled(model.durations, 1 / every)
    return replace(model, nnet=acoustics, info=info, durations=durations,
                   transitions=model.transitions.at_rate(every))


def check_rate(earlier: SourceSystem, subsampling: int) -> None:
    """Refuse alignments of a network that scores other frames than the new one will.

    Raises
    ------
    UserError
        unless every frame is aligned, or those that the new network scores.
    """
    theirs = earlier.model.subsampling
    if theirs not in (1, subsampling):
        raise UserError(f"its alignments have one id for {theirs} frames, and the new network "
                        f"scores one of {subsampling}; align with a system that scores every "
                        "frame, or give a network of the same stride", earlier.directory)


def network_normalization(data: DataDir, lang: Lang, features: FeatureOptions,
                          options: InputOptions, seed: int) -> Normalization:
    """Return how a network's features are normalised; its `pipeline` says what is appended."""
    pipeline = PipelineOptions(
        cmvn=options.cmvn, norm_vars=options.norm_vars, delta_order=options.delta_order,
        cmvn_prior_frames=PRIOR_FRAMES if options.cmvn == "online" else 50)
    # The network meets what it will be used with: nothing known of a speaker, a little, much.
    known = "drawn" if pipeline.cmvn == "online" else "all"
    return set_normalization(
        data, features, pipeline, set_normalization(without_other_speech(data, lang), features,
                                                    pipeline).prior, known, seed)


def check_masks(masks: SpecAugmentOptions, delta_order: int, features: FeatureOptions) -> None:
    """Refuse stripes of frequency where they have no effect, before any work is done."""
    if masks.freq_masks and features.kind != "fbank":
        raise UserError("stripes of frequency (freq_masks) are for fbank features; these are "
                        f"{features.kind}; leave --freq-masks out, or make fbank features")
    if delta_order and masks.freq_masks:
        raise UserError("stripes of frequency (freq_masks) leave the derivatives as they are; give "
                        "one of freq_masks and delta_order")


def originals(data: DataDir) -> DataDir:
    """Return the set without altered copies of its utterances, if the originals are there."""
    # A set of copies alone must be trained on all the same.
    unique: Mapping[str, str] = data.tables.get("utt2uniq", {})
    originals = {name: utterance for name, utterance in data.utterances.items()
            if unique.get(name, name) == name}
    return replace(data, utterances=originals) if originals else data


def write_held_out(path: Path, frames: FrameSet, share: float) -> None:
    """Write the names of the utterances that a training only watches, without their copies."""
    held_out = frames.held_out(share)
    names = [name for name, original, held in
             zip(frames.utterances, frames.originals, held_out, strict=True)
             if held and name == original]
    write_text(path, "".join(f"{name}\n" for name in names))


def _check_frames(ours: FeatureOptions, theirs: FeatureOptions, path: Path) -> None:
    """Refuse features whose frames are not those of the alignments."""
    # The alignment has one id a frame: frames must lie where they lay.
    for name in ("frame_length_ms", "frame_shift_ms", "snip_edges"):
        if getattr(ours, name) != getattr(theirs, name):
            raise UserError(f"{name} expected {getattr(theirs, name)} as in the alignments, found "
                            f"{getattr(ours, name)}; run make-feats with the same frames", path)
